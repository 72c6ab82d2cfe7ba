"""Rows ordered by material, once for all groups that are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xfunc_core.analysis.groups import Groups
from xfunc_core.analysis.rank_correlation import dense_ranks, in_order
from xfunc_core.analysis.units import Units
from xfunc_core.errors import DataError


@dataclass(frozen=True)
class RowsByMaterial:
    """Rows that are finite on both sides, ordered by material and unit, the materials in a random order.

    Attributes:
        x, y: shape (F,).
        place: shape (R,), where each row of the input stands among the F; −1 where it is left out.
        starts: shape (U + 1,), the place of the first row of each unit, and F.
        rows: shape (U,), the first row of each unit in the input.
        material: shape (U,), whole numbers that ascend.
        units: their sums.
        seed: of the order and of the resamples.
    """

    x: np.ndarray
    y: np.ndarray
    place: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    material: np.ndarray
    units: Units
    seed: int

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, materials: ArrayLike, seed: int = 0, alike: np.ndarray | None = None) -> RowsByMaterial:
        """Order rows.

        Args:
            x, y: shape (R,); rows with a NaN on either side are left out.
            materials: shape (R,), whole numbers, the same for rows of one material.
            seed: of the order.
            alike: shape (R,), whole numbers from 0; rows of one material and one such number are a unit: they are in the same groups, with
                the same weight. Every row is one if None.

        Raises:
            DataError: the shapes differ.
        """
        x, y, materials = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(materials)
        if x.ndim != 1 or x.shape != y.shape or x.shape != materials.shape:
            raise DataError(f"Values of shapes {x.shape} and {y.shape} with materials of shape {materials.shape} are not of the same rows.")
        finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        key = _codes(materials[finite])
        key = np.random.default_rng(seed).permutation(key.max(initial=-1) + 1)[key]
        n_alike = 1 if alike is None else int(alike.max(initial=0)) + 1
        if alike is not None:
            key = key * n_alike + alike[finite]
        order = in_order(key)
        key, order = key[order], finite[order]
        place = np.full(x.size, -1)
        place[order] = np.arange(order.size)
        x, y = x[order], y[order]
        starts = np.arange(order.size) if alike is None else np.flatnonzero(np.diff(key, prepend=-1))
        return cls(x, y, place, np.append(starts, order.size), order[starts], key[starts] // n_alike, Units.of(x, y, starts), seed)

    @property
    def all(self) -> Groups:
        """One group of all units."""
        return Groups(("all",), np.array([0, self.rows.size]), np.arange(self.rows.size))

    def unit_groups(self, groups: Groups) -> Groups:
        """Groups of rows as groups of units, which are one row each; what weighs nothing is left out."""
        counts = (groups.weights > 0) if groups.weights is not None else np.ones(groups.rows.size, dtype=bool)
        places = self.place[groups.rows]
        chosen = np.flatnonzero((places >= 0) & counts)
        group = np.repeat(np.arange(len(groups)), np.diff(groups.indptr))[chosen]
        chosen = chosen[in_order(group * self.x.size + places[chosen])]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(groups)))])
        return Groups(groups.names, indptr, places[chosen], None if groups.weights is None else groups.weights[chosen])

    def places(self, units: np.ndarray) -> np.ndarray:
        """Places of the rows of the units, one unit after the other."""
        first, n = self.starts[units], self.starts[units + 1] - self.starts[units]
        return first if n.max(initial=1) == 1 else np.repeat(first - np.cumsum(n) + n, n) + np.arange(n.sum())


def _codes(values: np.ndarray) -> np.ndarray:
    """`dense_ranks`, in one pass where no whole number is far larger than there are."""
    if not values.size or values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 4 * values.size:
        return dense_ranks(values)
    present = np.zeros(int(values.max()) + 1, dtype=bool)
    present[values] = True
    return (np.cumsum(present) - 1)[values]
