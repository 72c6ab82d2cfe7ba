"""Numbers as they read on screen, and words that go with counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xfunc_core.quantities import ENERGY, STRESS, correlation_text, counted, number_text, plural, short_text, slope_text


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (1392, ("training frame",), "1,392 training frames"),
        (1, ("reaction energy", "reaction energies"), "1 reaction energy"),
        (2, ("reaction energy", "reaction energies"), "2 reaction energies"),
        (1, ("frame is", "frames are"), "1 frame is"),
    ],
)
def test_counts_go_with_their_words(n: int, words: tuple[str, ...], text: str) -> None:
    assert counted(n, *words) == text


def test_verbs_agree() -> None:
    assert [plural(n, "stays", "stay") for n in (0, 1, 2)] == ["stay", "stays", "stay"]


@pytest.mark.parametrize(
    ("text", "number", "zero", "below"),
    [
        (ENERGY.value, 1e-4, "0.000", "−0.001"),
        (STRESS.value, 1e-3, "0.00", "−0.01"),
        (slope_text, 1e-5, "0.000", "−0.001"),
        (correlation_text, 1e-6, "0.0000", "−0.0001"),
        (lambda x: number_text(x, 2), 1e-3, "0.00", "−0.01"),
    ],
)
def test_what_rounds_to_zero_has_no_sign(text: Callable[[float], str], number: float, zero: str, below: str) -> None:
    assert [text(x) for x in (-number, number, 0.0, -0.0)] == [zero] * 4
    assert text(-float(below[1:])) == below


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0.00"), (-0.0042, "−0.004"), (0.094, "0.094"), (0.0951, "0.10"), (-1.277, "−1.28"), (14.93, "14.9"), (382.1, "382")]
)
def test_cells_of_a_periodic_table_have_three_digits_or_so(number: float, text: str) -> None:
    assert short_text(number) == text
    assert short_text(7, whole=True) == "7"
