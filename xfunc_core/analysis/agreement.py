"""How well two functionals agree, with intervals clustered by material: one result for a group of rows, or for many groups at once.

Rows of one material are not independent (frames of one relaxation, components of one frame), so materials are resampled, not rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike

from xfunc_core.analysis import estimate as reasons
from xfunc_core.analysis.estimate import Estimate, estimate
from xfunc_core.analysis.groups import Groups
from xfunc_core.analysis.intervals import effective_number, in_blocks, moment_intervals, rank_intervals
from xfunc_core.analysis.moments import ClusterSums, moment_values
from xfunc_core.analysis.rank_correlation import dense_ranks, rank_correlation
from xfunc_core.analysis.rows_by_material import RowsByMaterial
from xfunc_core.blas import one_blas_thread
from xfunc_core.errors import DataError
from xfunc_core.quantities import TOO_FEW, count_text, counted

MIN_MATERIALS = 5
"""Materials below which nothing is said."""
MIN_ROWS = 3
"""Rows below which nothing is said: any two points lie on a line."""
MIN_EFFECTIVE = {"pearson": 10, "spearman": 12, "kendall": 12, "slope": 12, "shift": 8, "mae": 8, "rmse": 8, "spread": 8}
"""Effective number of materials below which a statistic has no interval: there Pearson's would be long, for a fifth too long to give, and
hold the truth too often, as would those of ranks near ±1, which rest on one or two rows out of order; slopes not upright too seldom."""
RANKED_ROWS, RANKED_ROWS_OF_ONE = 1_500_000, 300_000
"""Rows of all groups together, and of one, that ranks are taken of, a third of a second; larger groups are cut to a common size, whole
materials at random, and the intervals are those of the rows that are left. 400,000 pairs of three or four elements are not cut."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of y with x over a group of rows. Weighted throughout where the group has weights.

    Attributes:
        n: rows that are finite on both sides and weigh something.
        n_materials: materials among them.
        n_effective: materials of equal weight that would tell as much (Kish); below `MIN_EFFECTIVE` a statistic has no interval; 0 where too few.
        n_ranked: rows that Spearman's and Kendall's coefficients are made of; fewer than ``n`` in very large groups.
        pearson: correlation coefficient.
        spearman: Pearson's coefficient of mid-ranks.
        kendall: τ_b.
        slope: of y on x by total least squares, the first principal axis; in units of y over x.
        shift: mean of y − x, in the unit of y.
        mae: mean of |y − x|, in the unit of y.
        rmse: root mean square of y − x, in the unit of y.
        spread: root mean square residual of y after its ordinary least squares line on x, in the unit of y.
    """

    n: int
    n_materials: int
    n_effective: float = 0.0
    n_ranked: int = 0
    pearson: Estimate = Estimate()
    spearman: Estimate = Estimate()
    kendall: Estimate = Estimate()
    slope: Estimate = Estimate()
    shift: Estimate = Estimate()
    mae: Estimate = Estimate()
    rmse: Estimate = Estimate()
    spread: Estimate = Estimate()

    @property
    def too_few(self) -> bool:
        """Whether there are too few rows or materials to say anything."""
        return self.n_effective == 0


STATISTICS = ("pearson", "spearman", "kendall", "slope", "shift", "mae", "rmse", "spread")
"""Names of the estimates of an `Agreement`."""


def agreement(
    x: ArrayLike,
    y: ArrayLike,
    materials: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    ranks: bool = True,
    intervals: bool = True,
    seed: int = 0,
) -> Agreement:
    """Agreement of y with x over all rows.

    Args:
        x, y: shape (R,); rows with a NaN on either side are left out.
        materials: shape (R,), whole numbers, the same for rows of one material.
        weights: shape (R,), what each row counts; 1 if None.
        ranks: whether to work out Spearman's and Kendall's coefficients, the costly ones.
        intervals: whether to work out intervals.
        seed: of the resamples.

    Raises:
        DataError: the shapes differ.
    """
    n = np.asarray(x).size
    weights = None if weights is None else np.asarray(weights, dtype=float)
    if weights is not None and weights.shape != (n,):
        raise DataError(f"There are {weights.size} weights for {n} rows; one for each row is needed.")
    groups = Groups(("all",), np.array([0, n]), np.arange(n), weights)
    return agreements(x, y, materials, groups, ranks=ranks, intervals=intervals, seed=seed)["all"]


def agreements(
    x: ArrayLike,
    y: ArrayLike,
    materials: ArrayLike,
    groups: Groups,
    *,
    ranks: bool = True,
    intervals: bool = True,
    seed: int = 0,
) -> dict[str, Agreement]:
    """Agreement of y with x over each group of rows, by the name of the group; see `agreement`."""
    table = RowsByMaterial.of(x, y, materials, seed)
    return GroupedRows(table, table.unit_groups(groups)).agreements(ranks=ranks, intervals=intervals)


class GroupedRows:
    """Groups of rows, asked several times: what was worked out for one question is not worked out again."""

    def __init__(self, table: RowsByMaterial, groups: Groups) -> None:
        """Take groups of the units of a table, those of each group ascending."""
        self._groups = {
            name: _Group(table, groups.rows[start:end], None if groups.weights is None else groups.weights[start:end])
            for name, start, end in zip(groups.names, groups.indptr[:-1], groups.indptr[1:], strict=True)
        }

    def agreements(self, *, ranks: bool = True, intervals: bool = True) -> dict[str, Agreement]:
        """Agreement by the name of the group; see the function `agreements`."""
        counts = np.array([group.n for group in self._groups.values()], dtype=int)
        limit = min(_common_limit(counts, RANKED_ROWS), RANKED_ROWS_OF_ONE) if ranks else 0
        with one_blas_thread():
            return {name: group.agreement(limit, intervals) for name, group in self._groups.items()}


def _common_limit(counts: np.ndarray, total: int) -> int:
    """The most rows that a group of these counts, shape (K,), may have for all groups, cut to it, to have a total at most."""
    left = total
    for position, count in enumerate(np.sort(counts)):
        share = left // (counts.size - position)
        if count > share:
            return share
        left -= count
    return int(counts.max(initial=0))


@dataclass(frozen=True)
class _Group:
    """Some units of a table, ascending, shape (k,), and what a row of each counts, if that is not 1."""

    table: RowsByMaterial
    units: np.ndarray
    weights: np.ndarray | None

    @cached_property
    def n(self) -> int:
        """Rows."""
        return int(self.table.units.n[self.units].sum())

    @cached_property
    def starts(self) -> np.ndarray:
        """The first unit of each material, shape (G,)."""
        return np.flatnonzero(np.diff(self.table.material[self.units], prepend=-1))

    @cached_property
    def _summed(self) -> tuple[ClusterSums, float]:
        """Sums over materials, or over blocks of them, and the effective number of materials."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums = self.table.units.cluster_sums(self.units, self.weights, self.starts)
            return replace(sums, columns=in_blocks(sums.columns)), effective_number(sums.columns[0])

    @cached_property
    def _values(self) -> dict[str, float]:
        with np.errstate(over="ignore", invalid="ignore"):
            return moment_values(self._summed[0])

    @cached_property
    def _ends(self) -> np.ndarray:
        """Of the intervals of the statistics of moments, shape (6, 2)."""
        sums, n_effective = self._summed
        few = np.array([n_effective < MIN_EFFECTIVE[name] for name in self._values])
        if few.all():
            return np.full((few.size, 2), np.nan)
        ends = moment_intervals(sums, self.table.seed)
        ends[few] = np.nan
        if not abs(self._values["pearson"]) < 1 - 1e-12:
            ends[1] = np.nan  # a line's slope varies by rounding only
        return ends

    def agreement(self, limit: int, intervals: bool) -> Agreement:
        """Agreement of the rows, coefficients of ranks of at most so many of them."""
        n_materials = self.starts.size
        if self.n < MIN_ROWS or n_materials < MIN_MATERIALS:
            return _too_few(self.n, n_materials)
        sums, n_effective = self._summed
        ends = self._ends if intervals else np.full((len(self._values), 2), np.nan)
        undefined = _undefined(sums)
        without = partial(_without_interval, n_materials=n_materials, n_effective=n_effective)
        estimates = {
            name: estimate(value, end, undefined.get(name, ""), without(name, value) if intervals else "")
            for (name, value), end in zip(self._values.items(), ends, strict=True)
        }
        found = Agreement(self.n, n_materials, n_effective, **estimates)
        return replace(found, **self._ranks(limit, intervals)) if limit else found

    def _ranks(self, limit: int, intervals: bool) -> dict[str, Estimate | int]:
        """Both coefficients of ranks, and how many rows they are of."""
        sums, _ = self._summed
        if sums.constant_x or sums.constant_y:
            return dict.fromkeys(("spearman", "kendall"), Estimate(why=reasons.ONE_SIDE_CONSTANT))
        places = self.table.places(self.units)
        counts = np.diff(self.table.starts)[self.units]
        weights = np.ones(places.size) if self.weights is None else np.repeat(self.weights, counts)
        starts = (np.cumsum(counts) - counts)[self.starts]
        n = _whole_materials(starts, places.size, limit)
        seed = self.table.seed if intervals else None
        return {"n_ranked": n} | _rank_estimates(self.table, places[:n], weights[:n], starts[starts < n], seed)


def _too_few(n: int, n_materials: int) -> Agreement:
    needed = f"{MIN_ROWS} rows and {MIN_MATERIALS} materials"
    why = f"{TOO_FEW.capitalize()}: {counted(n, 'row')} of {counted(n_materials, 'material')}, and {needed} are needed."
    return Agreement(n, n_materials, **dict.fromkeys(STATISTICS, Estimate(why=why)))


def _undefined(sums: ClusterSums) -> dict[str, str]:
    """Why statistics are undefined, by name, of sums that leave them so."""
    if sums.constant_x:
        return dict.fromkeys(("pearson", "slope", "spread"), reasons.ONE_SIDE_CONSTANT)
    if sums.constant_y:
        return dict.fromkeys(("pearson", "slope"), reasons.ONE_SIDE_CONSTANT)
    return {"slope": reasons.NO_DIRECTION} if np.isfinite(sums.columns).all() else {}


def _without_interval(name: str, value: float, n_materials: int, n_effective: float) -> str:
    """Why a statistic of a group for which intervals were asked would have none."""
    needed = MIN_EFFECTIVE[name]
    if n_effective < needed:
        return f"No interval: the {count_text(n_materials)} materials weigh like {n_effective:.1f} equal ones, and {needed} are needed."
    wide = name in ("pearson", "spearman", "kendall") and abs(value) < 1 - 1e-12
    return reasons.TOO_WIDE if wide else reasons.NOTHING_VARIES


def _whole_materials(starts: np.ndarray, n: int, limit: int) -> int:
    """How many rows to take so that materials stay whole: all, or at most the limit, or `MIN_MATERIALS` materials if they are more."""
    if n <= limit:
        return n
    ends = np.append(starts[1:], n)
    return int(ends[max(np.searchsorted(ends, limit, side="right"), MIN_MATERIALS) - 1])


def _rank_estimates(
    table: RowsByMaterial, places: np.ndarray, weights: np.ndarray, starts: np.ndarray, seed: int | None
) -> dict[str, Estimate]:
    found = rank_correlation(dense_ranks(table.x[places]), dense_ranks(table.y[places]), weights)
    values = np.array([found.spearman, found.kendall])
    n_effective = effective_number(np.add.reduceat(weights, starts))
    ends = np.full((2, 2), np.nan)
    if seed is not None and n_effective >= MIN_EFFECTIVE["spearman"]:
        influence = np.stack([found.spearman_influence, found.kendall_influence])
        ends = rank_intervals(values, np.array([found.spearman_bias, 0.0]), influence, weights, starts, seed)
    without = partial(_without_interval, n_materials=starts.size, n_effective=n_effective)
    return {
        name: estimate(value, end, reasons.ONE_SIDE_CONSTANT, "" if seed is None else without(name, value))
        for name, value, end in zip(("spearman", "kendall"), values, ends, strict=True)
    }
