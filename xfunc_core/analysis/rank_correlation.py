"""Spearman's and Kendall's coefficients of weighted rows, and the influence of every row on them, in n log n operations.

Both are those of the repeated rows where weights are whole numbers: Spearman's is Pearson's of mid-ranks, Kendall's is τ_b (Kendall,
Rank Correlation Methods, 1970). The influence of a row is the derivative of the coefficient with respect to its weight (the infinitesimal
jackknife: Efron, The Jackknife, 1982) times that weight; influences sum to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CHUNK = 6
"""Bits of the places that are compared each with each; the fastest of 4 to 8."""
_WEIGHTED_CHUNK = 4
"""The same where each has a weight, so that a comparison costs a multiplication."""
_DIGIT = 5
"""Most bits of a place that are counted at once."""


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
class _Side:
    """How every row stands in one variable, shapes (n,), all in one order of the rows.

    Attributes:
        below, tied: weights of rows with a smaller and with the same value.
        below_other: weights of rows with the same value here and a smaller one in the other variable.
        both: weights of rows with the same value in both.
    """

    below: np.ndarray
    tied: np.ndarray
    below_other: np.ndarray
    both: np.ndarray


def dense_ranks(values: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 that order as the values, shape (n,), do, equal where they are equal."""
    return np.unique(values, return_inverse=True)[1]


def rank_correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> RankCorrelation:
    """Both coefficients of y against x.

    Args:
        x, y: shape (n,), whole numbers from 0 to 2³¹, such as `dense_ranks` of a table that these rows are some of.
        weight: shape (n,), above zero.
    """
    n = x.size
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(np.nan, np.nan, np.nan, np.full(n, np.nan), np.full(n, np.nan))
    by_x = in_order((x << int(y.max()).bit_length()) + (y.max() - y))  # y falls where x is equal
    x, y, w = x[by_x], y[by_x], weight[by_x]
    by_y = in_order((y << n.bit_length()) + np.arange(n - 1, -1, -1))  # and x where y is
    place = np.empty(n, dtype=np.int32 if n < 1 << 31 else np.int64)
    place[by_y] = np.arange(n, dtype=place.dtype)
    in_x, in_y = _side(x, y, w), _side(y[by_y], x[by_y], w[by_y])
    in_y = _Side(*(column[place] for column in (in_y.below, in_y.tied, in_y.below_other, in_y.both)))
    even = w.min() == w.max()
    both_below = weight_below_before(place) * w[0] if even else weight_below_before(place, w)
    kendall, of_kendall = _kendall(_concordance(both_below, in_x, in_y, w), in_x, in_y, w)
    spearman, of_spearman = _spearman(in_x, in_y, w, by_y, place)
    bias = 3 * (kendall - spearman) / (w.sum() ** 2 / (w @ w) + 1)
    spearman_influence, kendall_influence = np.empty((2, n))
    spearman_influence[by_x], kendall_influence[by_x] = of_spearman, of_kendall
    return RankCorrelation(spearman, kendall, float(bias), spearman_influence, kendall_influence)


def in_order(key: np.ndarray) -> np.ndarray:
    """The places of n whole numbers from 0 in ascending order, equal ones in the order that they stand in."""
    bits = key.size.bit_length()
    if int(key.max(initial=0)).bit_length() + bits > 63:
        return np.argsort(key, kind="stable")
    return np.sort((key << bits) + np.arange(key.size)) & ((1 << bits) - 1)  # numpy sorts numbers several times as fast as places


def _side(value: np.ndarray, other: np.ndarray, weight: np.ndarray) -> _Side:
    """Of rows in ascending order of a value, and in descending order of the other one where it is equal."""
    before = np.concatenate([[0.0], np.cumsum(weight)])
    differs = value[1:] != value[:-1]
    first, last = (before[ends] for ends in _runs(differs))
    first_both, last_both = (before[ends] for ends in _runs(differs | (other[1:] != other[:-1])))
    return _Side(first, last - first, last - last_both, last_both - first_both)


def _runs(differs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stretch of equal rows each one is in: its first place and the one after its last, shapes (n,).

    Args:
        differs: shape (n − 1,), whether each row but the first differs from the one before.
    """
    edges = np.concatenate([[0], np.flatnonzero(differs) + 1, [differs.size + 1]])
    if edges.size == differs.size + 2:
        return edges[:-1], edges[1:]
    run = np.repeat(np.arange(edges.size - 1), np.diff(edges))
    return edges[run], edges[run + 1]


def _concordance(both_below: np.ndarray, in_x: _Side, in_y: _Side, weight: np.ndarray) -> np.ndarray:
    """Weight of the rows that each row is concordant with, less that of the discordant ones, shape (n,).

    With a = 2, 1, 0 for smaller, equal and greater x, and b likewise, the sum over rows of (a − 1)(b − 1).
    """
    sum_ab = 4 * both_below + 2 * in_x.below_other + 2 * in_y.below_other + in_x.both
    return sum_ab - (2 * in_x.below + in_x.tied) - (2 * in_y.below + in_y.tied) + weight.sum()


def weight_below_before(place: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """How many of the numbers before each one are smaller, shape (n,), or the weight of them.

    The numbers are counted digit by digit from the highest. Those that share all higher digits stand together in their order, as many as
    there are such numbers, so that the k-th such stretch begins at k times its length: counting by chunks needs no bounds.

    Args:
        place: shape (n,), the numbers 0 to n − 1, each once.
        weight: shape (n,); every one counts once if None.
    """
    chunk = _CHUNK if weight is None else _WEIGHTED_CHUNK
    n, size = place.size, -(-place.size >> chunk) << chunk
    whole = np.arange(size, dtype=place.dtype)
    whole[:n] = place
    weights = None if weight is None else np.concatenate([weight, np.zeros(size - n)])
    found = np.zeros(size, dtype=np.int64 if weight is None else float)
    ends = _digits(max((n - 1).bit_length(), chunk), chunk)
    for high, low in zip(ends, [*ends[1:], 0], strict=True):
        stretch = whole >> high
        order = np.argsort(stretch.astype(np.min_scalar_type(size >> high)), kind="stable")  # by radix: two bytes at most
        digit = (whole[order] >> low & (1 << high - low) - 1).astype(np.uint8)
        w = None if weights is None else weights[order]
        count = _within_chunks(digit, w, 1 << chunk)
        if high > chunk:
            count = count + _from_chunks(digit, w, 1 << chunk, 1 << high - low, 1 << high - chunk)
        found[order] += count
    return found[:n]


def _digits(bits: int, chunk: int) -> list[int]:
    """The bits that each digit ends before, from the highest to the lowest, which is of a chunk's length."""
    n = -(-(bits - chunk) // _DIGIT)
    return [chunk + (bits - chunk) * k // n for k in range(n, 0, -1)] + [chunk]


def _within_chunks(digit: np.ndarray, weight: np.ndarray | None, chunk: int) -> np.ndarray:
    """For every digit, shape (n,), the number or weight of smaller ones before it in its chunk."""
    digits = np.ascontiguousarray(digit.reshape(-1, chunk).T)
    weights = None if weight is None else np.ascontiguousarray(weight.reshape(-1, chunk).T)
    found = np.zeros(digits.shape, dtype=np.uint8 if weight is None else float)
    for i in range(chunk - 1):
        smaller = digits[i] < digits[i + 1 :]
        found[i + 1 :] += smaller.view(np.uint8) if weights is None else weights[i] * smaller
    return np.ascontiguousarray(found.T).ravel()


def _from_chunks(digit: np.ndarray, weight: np.ndarray | None, chunk: int, base: int, chunks: int) -> np.ndarray:
    """The same in the earlier chunks of its stretch, of so many chunks each; digits are below the base."""
    n = digit.size // chunk
    cell = (np.arange(n, dtype=np.int32)[:, None] * base + digit.reshape(-1, chunk)).ravel()
    counts = np.bincount(cell, weight, n * base).reshape(n, base)
    before = np.zeros((n + 1, base), dtype=counts.dtype)
    np.cumsum(counts, axis=0, out=before[1:])
    before = before[:-1] - before[np.arange(n) // chunks * chunks]
    smaller = np.zeros_like(before)
    np.cumsum(before[:, :-1], axis=1, out=smaller[:, 1:])
    return smaller.ravel()[cell]


def _kendall(concordance: np.ndarray, in_x: _Side, in_y: _Side, weight: np.ndarray) -> tuple[float, np.ndarray]:
    total = weight.sum()
    untied_x, untied_y = (total**2 - weight @ side.tied for side in (in_x, in_y))
    scale = np.sqrt(untied_x * untied_y)
    tau = weight @ concordance / scale
    of_ties = (total - in_x.tied) / untied_x + (total - in_y.tied) / untied_y
    return float(tau), weight * (2 * concordance / scale - tau * of_ties)


def _spearman(in_x: _Side, in_y: _Side, weight: np.ndarray, by_y: np.ndarray, place: np.ndarray) -> tuple[float, np.ndarray]:
    total = weight.sum()
    rank_x, rank_y = (side.below + side.tied / 2 - total / 2 for side in (in_x, in_y))
    square_x, square_y = weight @ rank_x**2, weight @ rank_y**2
    scale = np.sqrt(square_x * square_y)
    rho = weight @ (rank_x * rank_y) / scale
    above_y = _above(in_y.below[by_y], (weight * rank_x)[by_y])[place]
    of_product = rank_x * rank_y + _above(in_x.below, weight * rank_y) + above_y
    of_squares = (total**2 - in_x.tied**2) / square_x + (total**2 - in_y.tied**2) / square_y
    return float(rho), weight * (of_product / scale - rho / 8 * of_squares)


def _above(below: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For every row, in ascending order, the sum of a second quantity over rows with a greater value, and half of it over equal ones."""
    before = np.concatenate([[0.0], np.cumsum(values)])
    first, last = _runs(below[1:] != below[:-1])
    return before[-1] - (before[first] + before[last]) / 2
