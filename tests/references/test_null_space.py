"""What a set of compositions determines, in words, against sets whose answer is plain and against numpy's null space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.references.null_space import OpenGroup, open_groups
from xfunc_core.references.solvers import triangle


def groups(composition: np.ndarray) -> tuple[OpenGroup, ...]:
    return open_groups(triangle(composition, np.zeros(len(composition))))


def sentences(composition: np.ndarray) -> list[str]:
    return [group.sentence for group in groups(composition)]


@pytest.mark.parametrize(
    ("formulas", "expected"),
    [
        ([{"Na": 1, "Cl": 1}], ["Na and Cl only ever occur 1:1 here: only their sum is determined."]),
        ([{"Na": 1, "Cl": 1}, {"Na": 4, "Cl": 4}, {"Fe": 1}], ["Na and Cl only ever occur 1:1 here: only their sum is determined."]),
        ([{"Al": 2, "Pt": 1}], ["Al and Pt only ever occur 2:1 here: only 2 Al + Pt is determined."]),
        ([{"Al": 4, "O": 6}], ["O and Al only ever occur 3:2 here: only 3 O + 2 Al is determined."]),
        ([{"Li": 1, "O": 2, "Ti": 1}], ["Li, O and Ti: only the combination Li + 2 O + Ti is determined; 2 combinations stay open."]),
        (
            [{"Na": 1, "Cl": 1}, {"K": 1, "Cl": 1}],
            ["Na, Cl and K: only the combinations Na − K and Cl + K are determined; 1 combination stays open."],
        ),
        (
            [{"Na": 1, "Cl": 1}, {"Mg": 1, "O": 1}],
            [
                "O and Mg only ever occur 1:1 here: only their sum is determined.",
                "Na and Cl only ever occur 1:1 here: only their sum is determined.",
            ],
        ),
        ([{"Na": 1, "Cl": 1}, {"Na": 1}], []),
    ],
)
def test_words_for_sets_whose_answer_is_plain(
    fractions: Callable[..., np.ndarray], formulas: list[dict[str, int]], expected: list[str]
) -> None:
    assert sentences(fractions(*formulas)) == expected


def test_numbers_too_large_to_read_are_only_counted(fractions: Callable[..., np.ndarray]) -> None:
    assert sentences(fractions({"Si": 997, "P": 3})) == [
        "Si and P: 1 combination of their energies is determined, 1 combination stays open."
    ]


def test_bundled_set_names_the_pairs_that_occur_together_only(xfunc_dft) -> None:
    found = {group.elements for group in groups(xfunc_dft.composition)}
    x = xfunc_dft.composition
    for a, b in found:  # each is a pair whose fractions are proportional over all frames
        i, j = SYMBOLS.index(a), SYMBOLS.index(b)
        ratio = x[x[:, i] > 0, j] / x[x[:, i] > 0, i]
        assert np.ptp(ratio) < 1e-12
        assert ((x[:, i] > 0) == (x[:, j] > 0)).all()
    assert found == {("Ti", "Ir"), ("Hf", "Os")}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any), min_size=1, max_size=7))
def test_determined_combinations_are_those_of_the_row_space(rows: list[list[int]]) -> None:
    x = np.zeros((len(rows), N_REFERENCED))
    x[:, :6] = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    found = groups(x)
    present = np.flatnonzero(x.any(axis=0))
    rank = np.linalg.matrix_rank(x)
    assert sum(group.n_open for group in found) == len(present) - rank
    for group in found:
        columns = [SYMBOLS.index(symbol) for symbol in group.elements]
        assert group.n_open + group.n_determined == len(columns)
        for numbers in group.determined:
            combination = np.zeros(N_REFERENCED)
            combination[columns] = numbers
            assert np.linalg.matrix_rank(np.vstack([x, combination])) == rank  # the rows span it
    open_here = {symbol for group in found for symbol in group.elements}
    for column in present:
        unit = np.eye(N_REFERENCED)[column]
        assert (SYMBOLS[column] in open_here) == (np.linalg.matrix_rank(np.vstack([x, unit])) > rank)
