"""95 % intervals by a bootstrap of whole clusters (materials), honest with few of them and fast with many.

On a scale where a statistic is distributed nearly evenly (Fisher's z, logarithms) the interval is centre ± q·s:

- q is the 95 % quantile of |θ* − θ|/s* over resamples of clusters, the symmetric bootstrap-t (Hall, J. R. Stat. Soc. B 50, 35 (1988)),
  with the linearised standard error s* of each resample. For the slope, MAE, RMSE and spread, whose errors are skewed, each end takes the
  equal-tailed quantile of its own side (Hall, Ann. Stat. 16, 927 (1988)) where that is the further one: few clusters show too little of
  their tails, and what they do show of skewness must not shorten the other side;
- s is the linearised standard error of the sample (Cameron and Miller, J. Hum. Resour. 50, 317 (2015)), the influence of a cluster
  divided by (1 − h)ᵏ where h is its share of the weight: k = 1 is exact for leaving it out of a mean, 2 close for the others, and 4 for
  the spread: to leave it out of the line lengthens its residuals by 1/(1 − 2h), and the spread is of their squares. Where every cluster
  is one row, Kendall's is that of a U-statistic (`_kendall_error`);
- the centre is the estimate less its bias: by the jackknife (Efron, The Jackknife, 1982) for statistics of moments, in closed form for
  Spearman's coefficient (`RankCorrelation.spearman_bias`), whose intervals near ±1 would else cover 88 to 92 %; Kendall's has none. A
  jackknife that finds a bias above the standard error has met one cluster that decides everything, and is followed that far only.

Rank coefficients are resampled in linear form, by the influence of each cluster, and the spread about the line of the sample: a line
through each resample would pass too near its few distinct clusters. Above `MAX_BLOCKS` clusters these are gathered at random
into as many blocks, independent as they are. Intervals of coefficients and errors longer than `WIDEST` are not given.

The slope is an axis, and an interval of its angle may hold the upright one. It is then the slopes outside two ends rather than between
them, or any slope (Gleser and Hwang, Ann. Stat. 15, 1351 (1987): no interval that always has two ends covers what it should).

By simulation (`python -m benchmarks.coverage`, docs/data.md) nominal 95 % cover 93 to 97 % within the noise of 1 to 2 %, but for RMSE and spread of heavy tails
(Student's t of five degrees), 91 to 96 %: tails that a sample does not hold cannot be told from it, and 50 materials do not hold them; and
for Spearman's and Kendall's coefficients near ±1 from 12 to 20 materials of one frame each, up to 99 %.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xfunc_core.analysis.moments import N_SUMS, ClusterSums, Moments, about_line, moments, scaled, scaled_derivatives, unscaled

N_RESAMPLES = 1000
MAX_BLOCKS = 500
LEVEL = 0.95
_LEVERAGE = np.array([2, 2, 1, 1, 2, 4])
"""k of the statistics of moments, in the order of `moments.scaled`; the shift and MAE are means."""
_SLOPE, _SHIFT, _RATIOS = 1, 2, [0, 3, 4, 5]
_ROUNDING = 1e-12
"""Of the root mean square of differences: their mean is known no better. The forces of a frame, for one, add up to 0."""
_SKEWED = np.array([False, True, False, True, True, True])
"""Those whose ends take the further of two quantiles, in the same order."""
_RANK_LEVERAGE = 2
_FIRST, _SECOND = np.triu_indices(N_SUMS)
_PRODUCT = np.zeros((N_SUMS, N_SUMS), dtype=int)
_PRODUCT[_FIRST, _SECOND] = _PRODUCT[_SECOND, _FIRST] = np.arange(_FIRST.size)
"""Which product of two sums stands where in the matrix of all, which is symmetric."""
WIDEST = 2.0
"""Longest side of an interval on the scale of Fisher's z, from −0.96 to 0.96 about 0, or of a logarithm, a factor of 7. A longer one comes
of resamples in which next to nothing varies; it says nothing, and is not given."""


def effective_number(weight: np.ndarray) -> float:
    """How many clusters of equal weight tell as much as clusters of these weights, shape (G,) (Kish, Survey Sampling, 1965)."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if weight.size else 0.0


def moment_intervals(clusters: ClusterSums, seed: int) -> np.ndarray:
    """Low and high ends for the statistics of moments, shape (6, 2), in the order of `moments.scaled`; NaN where there is none.

    A low end of the slope above its high one means slopes outside the two; −∞ and ∞ any slope.

    Args:
        clusters: sums of the clusters, or of the blocks that `in_blocks` makes of many.
        seed: of the resamples.
    """
    with np.errstate(all="ignore"):
        sums = clusters.columns.T
        counts = resample_counts(len(sums), seed)
        all_sums = sums.sum(axis=0)
        m = moments(all_sums, clusters.mean_d)
        estimate = scaled(m)
        influence = sums @ (scaled_derivatives(m) / all_sums[0]).T
        error = standard_error(influence, sums[:, 0], _LEVERAGE)
        error[_SHIFT] = error[_SHIFT] if error[_SHIFT] > _ROUNDING * np.sqrt(m.mse) else np.nan
        bias = np.clip(_bias(estimate, scaled(moments(all_sums - sums, clusters.mean_d))), -error, error)
        t = _moment_pivots(sums, counts, m, clusters.mean_d)
        below, above = _quantiles(t) * error
        below[_RATIOS], above[_RATIOS] = _told(below[_RATIOS]), _told(above[_RATIOS])
        ends = unscaled(np.stack([estimate - bias - below, estimate - bias + above])).T
    if below[_SLOPE] + above[_SLOPE] >= np.pi:
        ends[_SLOPE] = -np.inf, np.inf
    finite = np.isfinite(ends).all(axis=1)
    finite[_SLOPE] = True
    return np.where(finite[:, None], ends, np.nan)


def _quantiles(t: np.ndarray) -> np.ndarray:
    """How far the ends below and above lie in standard errors by t of resamples, shape (N_RESAMPLES, S): shape (2, S)."""
    even = critical(t)
    tail = (1 - LEVEL) / 2
    below = np.quantile(np.where(np.isnan(t), np.inf, t), 1 - tail, axis=0, method="higher")
    above = -np.quantile(np.where(np.isnan(t), -np.inf, t), tail, axis=0, method="lower")
    return np.where(_SKEWED, np.maximum(even, [below, above]), even)


def rank_intervals(
    coefficients: np.ndarray, bias: np.ndarray, influence: np.ndarray, weight: np.ndarray, starts: np.ndarray, seed: int
) -> np.ndarray:
    """Low and high ends for Spearman's and Kendall's coefficients given by the influence of each row, shape (2, 2); NaN where there is none.

    Args:
        coefficients: shape (2,).
        bias: what each lies above the truth on average, shape (2,).
        influence: shape (2, n), of each row, clusters one after the other in a random order.
        weight: shape (n,), of each row.
        starts: shape (G,), the first row of each cluster.
        seed: of the resamples.
    """
    with np.errstate(all="ignore"):
        blocks = in_blocks(np.add.reduceat(np.vstack([influence, weight]), starts, axis=1)).T
        to_z, n_rows, weight = 1 / (1 - coefficients**2), weight.size, blocks[:, -1]
        influence = blocks[:, :-1] * to_z
        counts = resample_counts(len(blocks), seed)
        moved, squares = np.hsplit(counts @ np.hstack([influence, influence**2]), 2)
        variance = squares - moved**2 / len(blocks)
        t = moved / _error(variance, len(blocks))
        error = standard_error(influence, weight, _RANK_LEVERAGE)
        if len(blocks) == len(starts) == n_rows:
            error[1] = _kendall_error(coefficients[1], influence[:, 1] / to_z[1], effective_number(weight)) * to_z[1]
        half = _told(critical(t) * error)
        ends = np.tanh(np.arctanh(coefficients) - bias * to_z + np.stack([-half, half]))
    return _both_or_none(ends.T)


def _kendall_error(tau: float, influence: np.ndarray, n: float) -> float:
    """Standard error of Kendall's coefficient of n independent rows (the effective number of weighted ones), of influences of shape (G,).

    The variance of a U-statistic, (4(n − 2)ζ₁ + 2ζ₂)/(n(n − 1)), with ζ₂ = 1 − τ² known and ζ₁ from the scatter of the influences less what
    ζ₂ adds to it (Hoeffding, Ann. Math. Stat. 19, 293 (1948)). Their scatter alone counts ζ₂ twice: intervals near ±1 would cover 99 %.
    """
    scatter = (influence**2).sum() * n**2 / 4 / (n - 1)
    of_pairs = 1 - tau**2
    share = (n - 2) / (n - 1) ** 2
    of_rows = max((scatter - share * of_pairs) / (1 - 1 / (n - 1) - 3 * share), 0.0)
    return float(np.sqrt((4 * (n - 2) * of_rows + 2 * of_pairs) / (n * (n - 1))))


def in_blocks(sums: np.ndarray) -> np.ndarray:
    """Sums of clusters in a random order, shape (S, G), gathered into at most `MAX_BLOCKS`: shape (S, B)."""
    n = sums.shape[1]
    if n <= MAX_BLOCKS:
        return sums
    padded = np.pad(sums, ((0, 0), (0, -n % MAX_BLOCKS)))
    return padded.reshape(len(sums), -1, MAX_BLOCKS).sum(axis=1)


@lru_cache(maxsize=4)
def resample_counts(n: int, seed: int) -> np.ndarray:
    """How often each of n clusters is drawn in each resample with replacement, shape (N_RESAMPLES, n); not to be written to."""
    drawn = np.random.default_rng([seed, n]).integers(0, n, (N_RESAMPLES, n), dtype=np.int32)
    drawn += n * np.arange(N_RESAMPLES, dtype=np.int32)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * N_RESAMPLES).reshape(N_RESAMPLES, n).astype(float)


def standard_error(influence: np.ndarray, weight: np.ndarray, leverage: np.ndarray | int) -> np.ndarray:
    """Standard errors from the influence of clusters, shape (G, S), of the given weights, shape (G,): shape (S,)."""
    n, share = len(influence), (weight / weight.sum())[:, None]
    return np.sqrt(((influence / (1 - share) ** leverage) ** 2).sum(axis=0) * (n - 1) / n)


def critical(t: np.ndarray) -> np.ndarray:
    """The quantile of |t| over resamples, shape (N_RESAMPLES, S), that 95 % stay below: shape (S,); infinite where too many fail."""
    return np.quantile(np.where(np.isnan(t), np.inf, np.abs(t)), LEVEL, axis=0, method="higher")


def _moment_pivots(sums: np.ndarray, counts: np.ndarray, whole: Moments, mean_d: float) -> np.ndarray:
    """(θ* − θ)/s* of every resample, shape (N_RESAMPLES, 6), of clusters whose moments are ``whole``."""
    resampled = counts @ np.hstack([sums, sums[:, _FIRST] * sums[:, _SECOND]])
    m = moments(resampled[:, :N_SUMS], mean_d)
    values, slopes = scaled(m), scaled_derivatives(m)
    values[:, -1], slopes[:, -1] = about_line(resampled[:, :N_SUMS], whole)
    slopes /= resampled[:, 0, None, None]
    products = resampled[:, N_SUMS:][:, _PRODUCT]
    variance = ((slopes @ products) * slopes).sum(axis=-1)
    return _turned(values - scaled(whole)) / _error(variance, len(sums))


def _error(variance: np.ndarray, n: int) -> np.ndarray:
    """Standard error from the sum of squared influences of n clusters; NaN where nothing varies."""
    return np.sqrt(np.where(variance > 0, variance, np.nan) * n / (n - 1))


def _bias(estimate: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Bias by the jackknife of estimates, shape (6,), from those without each cluster, shape (G, 6)."""
    return (len(without) - 1) * _turned(without - estimate).mean(axis=0)


def _turned(differences: np.ndarray) -> np.ndarray:
    """Differences with those of the angle, the second, brought to −π/2 to π/2: an axis has no head."""
    angle = differences[..., 1]
    differences[..., 1] = (angle + np.pi / 2) % np.pi - np.pi / 2
    return differences


def _told(half: np.ndarray) -> np.ndarray:
    """Sides of intervals on Fisher's scale or of logarithms; NaN where one is too long to tell anything."""
    return np.where(half <= WIDEST, half, np.nan)


def _both_or_none(ends: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(ends).all(axis=1, keepdims=True), ends, np.nan)
