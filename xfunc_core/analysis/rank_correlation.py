"""Spearman's and Kendall's coefficients of weighted rows, and the influence of every row on them, in n log n operations.

Both are those of the repeated rows where weights are whole numbers: Spearman's is Pearson's of mid-ranks, Kendall's is τ_b (Kendall,
Rank Correlation Methods, 1970). The influence of a row is the derivative of the coefficient with respect to its weight (the infinitesimal
jackknife: Efron, The Jackknife, 1982) times that weight; influences sum to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SMALLEST_BLOCK = 16
"""Rows that are compared each with each before blocks are merged; the fastest of 8, 16 and 32."""


@dataclass(frozen=True)
class RankCorrelation:
    """Coefficients of one group; NaN where a side is constant.

    Attributes:
        spearman, kendall: the coefficients.
        spearman_bias: what Spearman's lies above that of infinitely many rows on average, 3(τ − ρ)/(n + 1) for n independent rows (Kendall,
            Rank Correlation Methods, 1970); n is the effective number of the rows' weights. Kendall's has none.
        spearman_influence, kendall_influence: shape (n,), of each row.
    """

    spearman: float
    kendall: float
    spearman_bias: float
    spearman_influence: np.ndarray
    kendall_influence: np.ndarray


@dataclass(frozen=True)
class _Place:
    """Where every row stands in one variable, shapes (n,).

    Attributes:
        order: rows by this variable, then the other one.
        first, last: the run of equal values each row of ``order`` is in, as the first row and the one after the last.
        below, tied: weights of rows with a smaller and with the same value, in the order of the input.
    """

    order: np.ndarray
    first: np.ndarray
    last: np.ndarray
    below: np.ndarray
    tied: np.ndarray


def dense_ranks(values: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 that order as the values, shape (n,), do, equal where they are equal."""
    return np.unique(values, return_inverse=True)[1]


def rank_correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> RankCorrelation:
    """Both coefficients of y against x.

    Args:
        x, y: shape (n,), whole numbers from 0 to 2³¹, such as `dense_ranks` of a table that these rows are some of.
        weight: shape (n,), above zero.
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(np.nan, np.nan, np.nan, np.full(x.size, np.nan), np.full(x.size, np.nan))
    by_x = _place((x << 31) + (y.max() - y), x, weight)
    by_y = _place((y << 31) + x, y, weight)
    concordance = _concordance(x, y, by_x, by_y, weight)
    kendall, kendall_influence = _kendall(concordance, by_x, by_y, weight)
    spearman, spearman_influence = _spearman(by_x, by_y, weight)
    bias = 3 * (kendall - spearman) / (weight.sum() ** 2 / (weight @ weight) + 1)
    return RankCorrelation(spearman, kendall, float(bias), spearman_influence, kendall_influence)


def _place(key: np.ndarray, code: np.ndarray, weight: np.ndarray) -> _Place:
    order = np.argsort(key)
    first, last = _runs(code[order])
    before = _before(weight[order])
    below, tied = np.empty_like(weight), np.empty_like(weight)
    below[order], tied[order] = before[first], before[last] - before[first]
    return _Place(order, first, last, below, tied)


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stretch of equal values each one is in: its first place and the one after its last, shapes (n,)."""
    changes = np.flatnonzero(np.diff(values)) + 1
    edges = np.concatenate([[0], changes, [values.size]])
    run = np.repeat(np.arange(edges.size - 1), np.diff(edges))
    return edges[run], edges[run + 1]


def _before(values: np.ndarray) -> np.ndarray:
    """Sums of all values before each place and, last, of all: shape (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _concordance(x: np.ndarray, y: np.ndarray, by_x: _Place, by_y: _Place, weight: np.ndarray) -> np.ndarray:
    """Weight of the rows that each row is concordant with, less that of the discordant ones, shape (n,).

    With a = 2, 1, 0 for smaller, equal and greater x, and b likewise, the sum over rows of (a − 1)(b − 1).
    """
    total = weight.sum()
    both_below, equal_x, equal_y, equal = (np.empty_like(weight) for _ in range(4))
    order = by_x.order
    both_below[order] = weight_below_before(y[order], weight[order])
    before = _before(weight[order])
    first, last = _runs_of_both(x[order], y[order])
    equal[order] = before[last] - before[first]
    equal_x[order] = before[by_x.last] - before[last]  # y falls where x is equal
    order = by_y.order
    first, _ = _runs_of_both(x[order], y[order])
    before = _before(weight[order])
    equal_y[order] = before[first] - before[by_y.first]
    sum_ab = 4 * both_below + 2 * equal_x + 2 * equal_y + equal
    return sum_ab - (2 * by_x.below + by_x.tied) - (2 * by_y.below + by_y.tied) + total


def _runs_of_both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _runs(np.cumsum(np.concatenate([np.zeros(min(a.size, 1), dtype=bool), (a[1:] != a[:-1]) | (b[1:] != b[:-1])])))


def weight_below_before(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """For every place the weight of smaller values at places before it, shape (n,).

    Sorted blocks are merged two by two; in the merged block what is smaller and came from the left one is a running sum.

    Args:
        values: shape (n,), whole numbers from 0 to 2³¹.
        weight: shape (n,).
    """
    n = values.size
    merges = max(int(np.ceil(np.log2(max(n, 1) / _SMALLEST_BLOCK))), 0)
    size = max(-(-n // (1 << merges)), 1)
    padded = np.zeros((2, size << merges))
    padded[0, :n], padded[1, :n] = values, weight
    padded[0, n:] = values.max(initial=0) + 1
    found = _within_blocks(padded.reshape(2, -1, size)).ravel()
    bits = padded.shape[1].bit_length()
    places = (1 << bits) - 1
    key = (padded[0].astype(np.int64) << bits) + places - np.arange(padded.shape[1])  # of equal values the later one first
    key = np.sort(key.reshape(-1, size), axis=1)
    for _ in range(merges):
        key = np.sort(key.reshape(len(key) // 2, -1), axis=1, kind="stable")
        place = places - (key & places)
        half = key.shape[1] // 2
        from_right = place >= (np.arange(len(key)) * 2 * half + half)[:, None]
        found[place] += np.cumsum(padded[1][place] * ~from_right, axis=1) * from_right
    return found[:n]


def _within_blocks(blocks: np.ndarray) -> np.ndarray:
    """The same within each block, of values and weights in blocks, shape (2, blocks, size): shape (blocks, size)."""
    values, weight = np.ascontiguousarray(blocks.transpose(0, 2, 1))
    found = np.zeros_like(weight)
    for i in range(len(values) - 1):
        found[i + 1 :] += weight[i] * (values[i] < values[i + 1 :])
    return np.ascontiguousarray(found.T)


def _kendall(concordance: np.ndarray, by_x: _Place, by_y: _Place, weight: np.ndarray) -> tuple[float, np.ndarray]:
    total = weight.sum()
    untied_x, untied_y = (total**2 - weight @ place.tied for place in (by_x, by_y))
    scale = np.sqrt(untied_x * untied_y)
    tau = weight @ concordance / scale
    of_ties = (total - by_x.tied) / untied_x + (total - by_y.tied) / untied_y
    return float(tau), weight * (2 * concordance / scale - tau * of_ties)


def _spearman(by_x: _Place, by_y: _Place, weight: np.ndarray) -> tuple[float, np.ndarray]:
    total = weight.sum()
    rank_x, rank_y = (place.below + place.tied / 2 - total / 2 for place in (by_x, by_y))
    square_x, square_y = weight @ rank_x**2, weight @ rank_y**2
    scale = np.sqrt(square_x * square_y)
    rho = weight @ (rank_x * rank_y) / scale
    of_product = rank_x * rank_y + _above(by_x, weight * rank_y) + _above(by_y, weight * rank_x)
    of_squares = (total**2 - by_x.tied**2) / square_x + (total**2 - by_y.tied**2) / square_y
    return float(rho), weight * (of_product / scale - rho / 8 * of_squares)


def _above(place: _Place, values: np.ndarray) -> np.ndarray:
    """For every row the sum of a second quantity over rows with a greater value, and half of it over equal ones."""
    before = _before(values[place.order])
    found = np.empty_like(values)
    found[place.order] = before[-1] - (before[place.first] + before[place.last]) / 2
    return found
