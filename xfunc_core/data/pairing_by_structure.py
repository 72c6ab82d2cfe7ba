"""Pair frames that are the same crystal, whatever their ids: identical cells first, then what pymatgen's StructureMatcher accepts.

The matcher takes milliseconds a comparison, so only frames of one reduced formula, of about the same volume per atom and of
one size of the primitive cell are compared, the nearest in volume first, and no more than `MOST_COMPARISONS` times in all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.pairs import PairingMethod, Pairs, check_functionals, count_keys, shared_keys, unpaired_frames, volume_per_atom
from xfunc_core.data.same_structure import Structures, group_same
from xfunc_core.quantities import count_text

if TYPE_CHECKING:
    from pymatgen.core import Structure

Progress = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and what comes next."""

NO_FORMULA = "no frame of its formula in the other dataset"
NO_CANDIDATE = "the frames of its formula in the other dataset are far in volume per atom or nearer to others, or have a primitive cell of another size"
NO_MATCH = "it matches none of the frames of its formula that are nearest in volume"
TAKEN = "the frames it matches are paired with others"
NOT_COMPARED = "not compared with every candidate, because the limit of comparisons was reached"
MOST_COMPARISONS = 5_000
"""Comparisons of pymatgen that are made, some minutes; a set of relaxed materials needs about one a frame."""
NEAREST = 8
"""Frames of its formula that a frame is compared with, the next smaller and the next larger in volume per atom, as many of each."""
VOLUME_RANGE = 0.3
"""Relative difference of volumes per atom that is allowed: as far apart as the functionals put molecules in a crystal, such as those of sulphur."""
_REMEMBERED = 4096
"""Primitive cells that are kept in memory."""


def pair_by_structure(pbe: Dataset, r2scan: Dataset, progress: Progress | None = None, most_comparisons: int = MOST_COMPARISONS) -> Pairs:
    """Pair each frame with one that is the same structure, of several the most similar.

    ``details`` tells the distance of each pair. Frames that are strained or rattled by little match too:
    two sets of such frames pair by the nearest, which need not be the frame that was meant.

    Raises:
        DataError: the two datasets are not one of PBE and one of r²SCAN.
    """
    check_functionals(pbe, r2scan)
    identical, surplus = _identical(pbe, r2scan)
    left = [np.setdiff1d(np.arange(len(d)), np.union1d(rows, more)) for d, rows, more in zip((pbe, r2scan), identical.T, surplus, strict=True)]
    formulas = shared_keys(pbe, r2scan, "formula")
    candidates = _candidates(formulas, (volume_per_atom(pbe), volume_per_atom(r2scan)), left)
    distances = _compare(_Matcher(pbe, r2scan), candidates[:most_comparisons], progress)
    matched, distance = _nearest_first(candidates[: len(distances)], distances)
    rows, distance = np.concatenate([identical, matched]), np.concatenate([np.zeros(len(identical)), distance])
    order = np.argsort(rows[:, 0])
    paired = rows[order, 0], rows[order, 1]
    reasons = [_reasons(side, formulas, candidates, distances, surplus[side]) for side in (0, 1)]
    return Pairs(pbe, r2scan, *paired, unpaired_frames((pbe, r2scan), paired, reasons), PairingMethod.BY_STRUCTURE, pd.DataFrame({"distance": distance[order]}))


def _identical(pbe: Dataset, r2scan: Dataset) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pairs of rows of identical cells, shape (P, 2), each frame in one of them, and the surplus on each side."""
    group = group_same(Structures(pbe, r2scan))
    sides = pd.Series(group[: len(pbe)]), pd.Series(group[len(pbe) :])
    tables = [pd.DataFrame({"group": side, "place": side.groupby(side).cumcount(), "row": side.index}) for side in sides]
    pairs = tables[0].merge(tables[1], on=["group", "place"], suffixes=("_0", "_1"))
    surplus = [np.setdiff1d(np.flatnonzero(side.isin(pairs["group"])), pairs[f"row_{i}"]) for i, side in enumerate(sides)]
    return pairs[["row_0", "row_1"]].to_numpy(dtype=np.int64), surplus


def _candidates(formulas: tuple[np.ndarray, np.ndarray], volumes: tuple[np.ndarray, np.ndarray], left: list[np.ndarray]) -> np.ndarray:
    """Pairs of rows that are worth a comparison, shape (n, 2), the nearest in volume per atom first.

    Args:
        formulas: a number for the formula of each frame, of both sides.
        volumes: Å³/atom, of both sides.
        left: rows that are still without a partner, of both sides.
    """
    (formula_a, formula_b), (volume_a, volume_b) = ([side[rows] for side, rows in zip(both, left, strict=True)] for both in (formulas, volumes))
    ranks = np.unique(np.concatenate([volume_a, volume_b]), return_inverse=True)[1].astype(np.int64)
    key_a, key_b = formula_a * len(ranks) + ranks[: len(volume_a)], formula_b * len(ranks) + ranks[len(volume_a) :]
    order = np.argsort(key_b, kind="stable")
    place = np.searchsorted(key_b[order], key_a)[:, None] + np.arange(-NEAREST, NEAREST)
    a, place = np.repeat(np.arange(len(key_a)), 2 * NEAREST), place.ravel()
    inside = (place >= 0) & (place < len(key_b))
    a, b = a[inside], order[place[inside]]
    difference = np.abs(volume_a[a] - volume_b[b]) / np.maximum(volume_a[a], volume_b[b])
    close = (formula_a[a] == formula_b[b]) & (difference <= VOLUME_RANGE)
    nearest = np.argsort(difference[close], kind="stable")
    return np.column_stack([left[0][a[close][nearest]], left[1][b[close][nearest]]])


def _compare(matcher: _Matcher, candidates: np.ndarray, progress: Progress | None) -> np.ndarray:
    """The distance of each pair of rows, shape (n,): infinite where they do not match, NaN where their primitive cells differ in size."""
    distances = np.empty(len(candidates))
    for i, (a, b) in enumerate(candidates.tolist()):
        if progress and i % 50 == 0:
            progress(i / len(candidates), f"Comparing structures: {count_text(i)} of {count_text(len(candidates))}")
        distances[i] = matcher.distance(a, b)
    return distances


def _nearest_first(candidates: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the pairs that match those that are chosen, the smallest distance first, each row once: rows (P, 2) and distances (P,)."""
    chosen: list[int] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for i in np.argsort(distances, kind="stable").tolist():
        a, b = candidates[i].tolist()
        if np.isfinite(distances[i]) and a not in taken[0] and b not in taken[1]:
            chosen.append(i)
            taken[0].add(a)
            taken[1].add(b)
    return candidates[chosen].reshape(-1, 2), distances[chosen]


def _reasons(side: int, formulas: tuple[np.ndarray, np.ndarray], candidates: np.ndarray, distances: np.ndarray, surplus: np.ndarray) -> np.ndarray:
    """Why each frame of one side would be without a partner, shape (F,); the later the stage it came to, the better."""
    here, compared = formulas[side], candidates[: len(distances), side]
    reason = np.full(len(here), NO_CANDIDATE, dtype=object)
    reason[count_keys(*formulas)[1 - side][here] == 0] = NO_FORMULA
    reason[compared[np.isinf(distances)]] = NO_MATCH
    reason[compared[np.isfinite(distances)]] = TAKEN
    reason[candidates[len(distances) :, side]] = NOT_COMPARED
    reason[surplus] = TAKEN
    return reason


class _Matcher:
    """pymatgen's StructureMatcher with its default tolerances, on primitive cells that are made once."""

    def __init__(self, pbe: Dataset, r2scan: Dataset) -> None:
        from pymatgen.analysis.structure_matcher import StructureMatcher

        self._datasets = pbe, r2scan
        self._matcher = StructureMatcher(primitive_cell=False)
        self._primitive = lru_cache(_REMEMBERED)(self._reduced)

    def distance(self, row_pbe: int, row_r2scan: int) -> float:
        """Root mean square distance of atoms as a share of the cube root of the volume per atom; infinite and NaN as in `_compare`."""
        a, b = self._primitive(0, row_pbe), self._primitive(1, row_r2scan)
        if a is None or b is None or len(a) != len(b):
            return np.nan
        try:
            found = self._matcher.get_rms_dist(a, b)
        except (ValueError, ArithmeticError, IndexError):  # a cell that pymatgen cannot reduce
            return np.inf
        return np.inf if found is None else float(found[0])

    def _reduced(self, side: int, row: int) -> Structure | None:
        try:
            return self._datasets[side].structure(row).get_primitive_structure()
        except (ValueError, ArithmeticError, IndexError):  # as above
            return None
