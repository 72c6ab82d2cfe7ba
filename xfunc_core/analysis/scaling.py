"""Power laws of the test error in the number of training frames, with intervals and honest caveats.

error = 10^intercept · N^slope, fitted by least squares of log10 error on log10 N over single runs
(Huang et al. 2025, npj Comput. Mater. 11, 313, Fig. 6). Tables are tidy: one row per run with the
columns ``size`` (training frames), ``seed`` and ``error`` (any one unit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from xfunc_core.analysis.resampling import cluster_weights
from xfunc_core.errors import DataError

GRID_POINTS = 60
DECADE = 10.0
"""Sizes that span less than this factor are not extrapolated from."""
EXTRAPOLATION = 10.0
"""The grid of a band ends at this multiple of the largest measured size."""


@dataclass(frozen=True)
class PowerLaw:
    """error = 10^intercept_log10 · N^slope, in the unit of the errors it was fitted to.

    Attributes:
        slope: exponent, negative where more data helps.
        intercept_log10: log10 of the error at N = 1.
        r2: share of the variance of log10 error explained; NaN where all errors are equal.
        n_points: runs fitted.
        n_sizes: distinct sizes among them.
    """

    slope: float
    intercept_log10: float
    r2: float
    n_points: int
    n_sizes: int

    def predict(self, sizes: ArrayLike) -> np.ndarray:
        """Error at each size, of the same shape, in the unit of the fit."""
        return 10.0 ** (self.intercept_log10 + self.slope * np.log10(np.asarray(sizes, dtype=float)))

    def size_for(self, error: float) -> float | None:
        """Frames at which the law reaches ``error``; None where it does not fall or ``error`` is not above 0."""
        if self.slope >= 0 or not error > 0:
            return None
        return _power_of_ten((math.log10(error) - self.intercept_log10) / self.slope)


@dataclass(frozen=True)
class PowerLawBand:
    """A power law with its bootstrap interval.

    Attributes:
        fit: least squares over all runs.
        slope_low, slope_high: interval of the slope; NaN where the data leave no scatter to resample.
        level: coverage aimed at, such as 0.95.
        grid: shape (G,), sizes from the smallest measured to ``EXTRAPOLATION`` times the largest.
        lower, upper: shape (G,), pointwise interval of the error, in its unit.
        slopes, intercepts: shape (n_boot,), the resampled fits.
        n_boot: resamples behind the interval; 0 where there is none.
        largest: largest measured size; the grid beyond it is extrapolation.
    """

    fit: PowerLaw
    slope_low: float
    slope_high: float
    level: float
    grid: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    slopes: np.ndarray
    intercepts: np.ndarray
    n_boot: int
    largest: float

    @property
    def may_extrapolate(self) -> bool:
        """Whether the line may be drawn beyond the data: three sizes or more over a decade or more, and an error that falls."""
        return self.fit.n_sizes >= 3 and self.fit.slope < 0 and self.largest >= DECADE * self.grid[0]


@dataclass(frozen=True)
class Crossing:
    """Where two laws meet, with an interval.

    Attributes:
        size: crossing of the two fits, or None where they do not meet.
        low, high: interval over the resamples that cross; NaN without any.
        share: share of the resamples that cross above one frame; NaN without resamples.
    """

    size: float | None
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class LeftOut:
    """The largest size, predicted from the others: how a law is to be judged, rather than by R².

    Attributes:
        size: the size left out.
        predicted: what the law of the smaller sizes says for it.
        measured: mean error of the runs at it.
    """

    size: float
    predicted: float
    measured: float


def fit_power_law(sizes: ArrayLike, errors: ArrayLike) -> PowerLaw:
    """Fit log10 error against log10 size by least squares, every run with the same weight.

    Args:
        sizes: shape (n,), training frames, above 0.
        errors: shape (n,), above 0, any one unit.

    Raises:
        DataError: a value is missing or not above 0, or there are fewer than two distinct sizes.
    """
    x, y = _logs(sizes, errors)
    slope, intercept = _weighted_lines(x, y, np.ones((1, x.size)))
    residual = y - (intercept[0] + slope[0] * x)
    total = float(np.square(y - y.mean()).sum())
    r2 = 1.0 - float(residual @ residual) / total if total > 0 else math.nan
    return PowerLaw(float(slope[0]), float(intercept[0]), r2, int(x.size), len(np.unique(x)))


def bootstrap_power_law(table: pd.DataFrame, n_boot: int = 2000, seed: int = 0, level: float = 0.95) -> PowerLawBand:
    """Fit a power law and resample it for an interval.

    Cluster bootstrap over seeds × sizes: sizes and seeds are each drawn with replacement, and a run
    counts as often as its size times as often as its seed, because runs of one size share the
    departure from a straight line and runs of one seed share nested subsets. Draws that hold fewer
    than two distinct sizes are drawn again. In simulations of 3–8 sizes the 95 % interval held the true
    slope in 88–99 % of cases; it errs on the wide side for few sizes. With two runs, or with one seed and two sizes, every draw
    gives the same line: the interval is NaN then, since zero width would be a lie.

    Args:
        table: columns ``size``, ``seed``, ``error``.
        n_boot: resamples.
        seed: of the random numbers.
        level: coverage aimed at, between 0 and 1.

    Raises:
        DataError: as ``fit_power_law``.
    """
    fit = fit_power_law(table["size"], table["error"])
    x, y = _logs(table["size"], table["error"])
    grid = np.geomspace(10 ** x.min(), 10 ** x.max() * EXTRAPOLATION, GRID_POINTS)
    sizes, seeds = pd.factorize(table["size"])[0], pd.factorize(table["seed"])[0]
    slopes = intercepts = np.empty(0)
    if fit.n_points > 2 and (fit.n_sizes > 2 or seeds.max() > 0):
        weights = cluster_weights(sizes, seeds, n_boot, np.random.default_rng(seed))
        slopes, intercepts = _weighted_lines(x, y, weights)
    tails = [(1 - level) / 2, (1 + level) / 2]
    slope_low, slope_high = np.quantile(slopes, tails) if slopes.size else (math.nan, math.nan)
    lines = intercepts[:, None] + slopes[:, None] * np.log10(grid)
    lower, upper = 10 ** np.quantile(lines, tails, axis=0) if slopes.size else np.full((2, grid.size), math.nan)
    return PowerLawBand(
        fit,
        float(slope_low),
        float(slope_high),
        level,
        grid,
        lower,
        upper,
        slopes,
        intercepts,
        slopes.size,
        float(10 ** x.max()),
    )


def crossover(a: PowerLaw, b: PowerLaw) -> float | None:
    """Break-even size of two laws in one unit; None where they are parallel or meet nowhere countable."""
    if math.isclose(a.slope, b.slope, rel_tol=1e-12, abs_tol=1e-12):
        return None
    return _power_of_ten((b.intercept_log10 - a.intercept_log10) / (a.slope - b.slope))


def crossover_interval(a: PowerLawBand, b: PowerLawBand) -> Crossing:
    """Break-even size of two bands in one unit, resamples taken pairwise, at the level of ``a``.

    Resamples that do not meet above one frame are left out of the interval and told in ``share``.
    """
    n = min(a.n_boot, b.n_boot)
    size = crossover(a.fit, b.fit)
    if n == 0:
        return Crossing(size, math.nan, math.nan, math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = (b.intercepts[:n] - a.intercepts[:n]) / (a.slopes[:n] - b.slopes[:n])
    meets = exponent[np.isfinite(exponent) & (exponent > 0) & (exponent < 300)]
    if meets.size == 0:
        return Crossing(size, math.nan, math.nan, 0.0)
    low, high = 10 ** np.quantile(meets, [(1 - a.level) / 2, (1 + a.level) / 2])
    return Crossing(size, float(low), float(high), meets.size / n)


def leave_largest_out(table: pd.DataFrame) -> LeftOut:
    """Predict the largest size from a power law of the smaller ones.

    Raises:
        DataError: as ``fit_power_law``; three distinct sizes are needed.
    """
    sizes, errors = table["size"].to_numpy(dtype=float), table["error"].to_numpy(dtype=float)
    _logs(sizes, errors)
    largest = sizes == sizes.max()
    if len(np.unique(sizes)) < 3:
        raise DataError("Leaving the largest size out needs three sizes or more; train at one more size.")
    law = fit_power_law(sizes[~largest], errors[~largest])
    return LeftOut(float(sizes.max()), float(law.predict(sizes.max())), float(errors[largest].mean()))


def caveats(table: pd.DataFrame) -> list[str]:
    """What a reader must know before trusting a law of this table; empty where nothing stands out."""
    sizes = table["size"].to_numpy(dtype=float)
    distinct = len(np.unique(sizes))
    said = []
    if distinct < 4:
        noun = "size" if distinct == 1 else "sizes"
        said.append(f"Only {distinct} training {noun}: the slope is a rough guide, and no curvature can be seen.")
    seeds = int(table.groupby("size")["seed"].nunique().min()) if len(table) else 0
    if seeds < 3:
        noun = "seed" if seeds == 1 else "seeds"
        said.append(f"Only {seeds} {noun} at some sizes: the scatter between runs is hardly known; take the interval as a rough guide.")
    if distinct > 1 and sizes.max() / sizes.min() < DECADE:
        said.append(f"The sizes span a factor of {sizes.max() / sizes.min():.1f}, less than one decade: do not extrapolate.")
    means = table.groupby("size")["error"].mean().to_numpy()
    if distinct > 1 and np.any(np.diff(means) >= 0):
        said.append("The mean error does not fall at every step in size, so a power law may not describe these runs.")
    return said


def _logs(sizes: ArrayLike, errors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    sizes, errors = np.asarray(sizes, dtype=float), np.asarray(errors, dtype=float)
    if sizes.ndim != 1 or sizes.shape != errors.shape:
        raise DataError(f"There are {sizes.size} sizes for {errors.size} errors; one for each run is needed.")
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise DataError("A training size is missing or not above 0; leave untrained models out of the fit.")
    if not (np.isfinite(errors).all() and (errors > 0).all()):
        raise DataError("An error is missing or not above 0; leave runs without a test error out of the fit.")
    if len(np.unique(sizes)) < 2:
        raise DataError("A power law needs runs at two training sizes or more; train at another size.")
    return np.log10(sizes), np.log10(errors)


def _weighted_lines(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept for each row of ``weights``, shape (lines, n)."""
    total = weights.sum(axis=1)
    x_mean, y_mean = weights @ x / total, weights @ y / total
    dx, dy = x - x_mean[:, None], y - y_mean[:, None]
    slope = (weights * dx * dy).sum(axis=1) / (weights * dx * dx).sum(axis=1)
    return slope, y_mean - slope * x_mean


def _power_of_ten(exponent: float) -> float | None:
    return 10.0**exponent if abs(exponent) < 300 else None
