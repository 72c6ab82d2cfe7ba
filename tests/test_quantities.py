"""Words that go with counts."""

from __future__ import annotations

import pytest

from xfunc_core.quantities import counted, plural


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
