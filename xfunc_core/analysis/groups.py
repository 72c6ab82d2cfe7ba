"""Which rows count for which element or chemistry, and how much: the groups that an agreement is given for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse

from xfunc_core.analysis.metrics import as_composition
from xfunc_core.elements import METALLOIDS, METALS, N_REFERENCED, SYMBOLS, Z_OF
from xfunc_core.errors import ConfigError, DataError


class Attribution(Enum):
    """How rows (frames, atoms, components) are shared among elements."""

    CONTAINS = "contains"
    WEIGHTED = "weighted"
    OWN = "own"

    @property
    def label(self) -> str:
        """The short name on screen."""
        return {"contains": "Contains the element", "weighted": "Weighted by composition", "own": "The atom's own element"}[self.value]

    @property
    def sentence(self) -> str:
        """What it does, for a reader; printed on figures."""
        return {
            "contains": "Every value counts in full for each element in its structure.",
            "weighted": "Every value counts for each element in its structure with the atomic fraction of that element.",
            "own": "Every value counts for the element of the atom that it belongs to.",
        }[self.value]


@dataclass(frozen=True)
class Groups:
    """Rows by group, compressed: those of group k are ``rows[indptr[k]:indptr[k + 1]]``, ascending.

    Attributes:
        names: K names, each once.
        indptr: shape (K + 1,), int64.
        rows: shape (M,), int; a row may stand in several groups.
        weights: shape (M,), what each row counts in its group, or None where it counts once.
    """

    names: tuple[str, ...]
    indptr: np.ndarray
    rows: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.names)

    def rows_of(self, name: str) -> np.ndarray:
        """The rows of one group; none for a name that is no group."""
        if name not in self.names:
            return self.rows[:0]
        k = self.names.index(name)
        return self.rows[self.indptr[k] : self.indptr[k + 1]]


ANION_FORMERS = ("N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I")
_ANIONS = {"oxides": "O", "fluorides": "F", "chlorides": "Cl", "sulfides": "S", "nitrides": "N"}
_SERIES = {"3d": ("Sc", "Zn"), "4d": ("Y", "Cd"), "5d": ("Hf", "Hg"), "4f": ("La", "Lu")}

CHEMISTRIES: dict[str, str] = {
    **{
        name: f"contain {anion} and a metal or metalloid, and none of {', '.join(other for other in ANION_FORMERS if other != anion)}; H, B, C, Si and P are no bar, so that carbonates, phosphates and the like count with their anion"
        for name, anion in _ANIONS.items()
    },
    "intermetallics": "two or more metals and nothing else; metalloids (B, Si, Ge, As, Sb, Te, Po) are no metals here",
    **{name: f"contain any of {first} to {last}, whatever else" for name, (first, last) in _SERIES.items()},
}
"""Names of chemistries, which may overlap, and what belongs to them: name -> the words to show."""


def element_groups(
    composition: ArrayLike | csr_array, pair_of_row: ArrayLike, attribution: Attribution, element_of_row: ArrayLike | None = None
) -> Groups:
    """The rows of every element that has any, in order of Z.

    Args:
        composition: shape (P, 94), atomic fractions of the pairs, column Z − 1; sparse and sorted by column if there are many.
        pair_of_row: shape (R,), the pair that each row belongs to.
        attribution: how rows are shared.
        element_of_row: shape (R,), Z of the atom that each row belongs to; needed for `Attribution.OWN`.

    Raises:
        ConfigError: `Attribution.OWN` is asked for values that belong to no atom.
        DataError: the shapes do not fit.
    """
    pair = np.asarray(pair_of_row)
    if attribution is Attribution.OWN:
        return _own(pair, element_of_row)
    pairs, columns, fractions = _entries(composition)
    weights = fractions if attribution is Attribution.WEIGHTED else None
    n_pairs = composition.shape[0] if issparse(composition) else len(composition)
    if not np.array_equal(pair, np.arange(n_pairs)):
        pairs, entry = _rows_of_pairs(pairs, pair, n_pairs)
        columns, weights = columns[entry], None if weights is None else weights[entry]
    return _present(_compressed(SYMBOLS[:N_REFERENCED], columns, pairs, weights))


def chemistry_groups(composition: ArrayLike | csr_array, pair_of_row: ArrayLike) -> Groups:
    """The rows of every chemistry of `CHEMISTRIES`, in that order, empty ones included.

    Args:
        composition: shape (P, 94), atomic fractions of the pairs, column Z − 1; sparse if there are many.
        pair_of_row: shape (R,), the pair that each row belongs to.

    Raises:
        DataError: the shapes do not fit.
    """
    fractions = composition if issparse(composition) else as_composition(composition, len(np.asarray(composition)))
    rows, columns = np.nonzero(chemistries(fractions)[np.asarray(pair_of_row)])
    return _compressed(tuple(CHEMISTRIES), columns, rows, None)


def chemistries(composition: np.ndarray | csr_array) -> np.ndarray:
    """Which chemistries each composition, shape (P, 94), belongs to: bool, shape (P, 10), columns as `CHEMISTRIES`."""
    marks = np.zeros((N_REFERENCED, 4 + len(_ANIONS) + len(_SERIES)), dtype=np.float32)
    series = [list(range(Z_OF[first] - 1, Z_OF[last])) for first, last in _SERIES.values()]
    anions = [[Z_OF[symbol] - 1] for symbol in _ANIONS.values()]
    kinds = [slice(None), _columns(frozenset(ANION_FORMERS)), _columns(METALS), _columns(METALLOIDS - {"Te"})]
    for column, members in enumerate([*kinds, *anions, *series]):
        marks[members, column] = 1
    counts = (composition > 0).astype(np.float32) @ marks
    n_elements, n_anions, n_metals, n_metalloids = counts.T[: len(kinds)]
    ionic = (n_anions == 1) & (n_metals + n_metalloids > 0)
    metallic = (n_metals >= 2) & (n_metals == n_elements)
    has = counts[:, len(kinds) :] > 0
    return np.column_stack([has[:, : len(anions)] & ionic[:, None], metallic, has[:, len(anions) :]])


def _entries(composition: ArrayLike | csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair, column and fraction of everything that is not 0, pair by pair."""
    if issparse(composition):
        return np.repeat(np.arange(composition.shape[0]), np.diff(composition.indptr)), composition.indices, composition.data
    fractions = as_composition(composition, len(np.asarray(composition)))
    pairs, columns = np.nonzero(fractions)
    return pairs, columns, fractions[pairs, columns]


def _columns(symbols: frozenset[str]) -> list[int]:
    return sorted(Z_OF[symbol] - 1 for symbol in symbols if Z_OF[symbol] <= N_REFERENCED)


def _own(pair: np.ndarray, element_of_row: ArrayLike | None) -> Groups:
    if element_of_row is None:
        raise ConfigError(
            f"These values belong to no atom, so {Attribution.OWN.label.lower()!r} cannot be asked for; choose another attribution."
        )
    z = np.asarray(element_of_row)
    if z.shape != pair.shape:
        raise DataError(f"There are {z.size} elements for {pair.size} rows; one for each row is needed.")
    return _present(_compressed(SYMBOLS[:N_REFERENCED], z - 1, np.arange(z.size), None))


def _rows_of_pairs(pairs: np.ndarray, pair_of_row: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each entry's pair, and the entry that each comes from; ``pairs``, shape (E,), ascends."""
    entries = np.searchsorted(pairs, np.arange(n_pairs + 1))
    first, count = entries[pair_of_row], np.diff(entries)[pair_of_row]
    rows = np.repeat(np.arange(pair_of_row.size), count)
    within = np.arange(rows.size) - np.repeat(np.cumsum(count) - count, count)
    return rows, np.repeat(first, count) + within


def _compressed(names: tuple[str, ...], columns: np.ndarray, rows: np.ndarray, weights: np.ndarray | None) -> Groups:
    """Sort entries (group, row), given row by row, into groups."""
    order = np.argsort(columns.astype(np.uint8), kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=len(names)))])
    return Groups(tuple(names), indptr, rows[order], None if weights is None else weights[order])


def _present(groups: Groups) -> Groups:
    count = np.diff(groups.indptr)
    names = tuple(name for name, n in zip(groups.names, count, strict=True) if n)
    return Groups(names, np.concatenate([[0], np.cumsum(count[count > 0])]), groups.rows, groups.weights)
