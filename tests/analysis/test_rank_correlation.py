"""Rank coefficients against scipy, influences against finite differences, counts against counting."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xfunc_core.analysis.rank_correlation import dense_ranks, rank_correlation, weight_below_before


def correlation(x, y, weight):
    return rank_correlation(dense_ranks(x), dense_ranks(y), weight)


tied_rows = st.integers(2, 60).flatmap(lambda n: st.tuples(*(st.lists(st.integers(0, high), min_size=n, max_size=n) for high in (6, 6, 2))))


@settings(deadline=None, max_examples=150)
@given(tied_rows)
def test_ties_and_whole_weights_agree_with_scipy_on_repeated_rows(rows):
    x, y, extra = (np.array(values, dtype=float) for values in rows)
    weight = extra + 1
    x_all, y_all = np.repeat(x, weight.astype(int)), np.repeat(y, weight.astype(int))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    got = correlation(x, y, weight)
    assert got.spearman == pytest.approx(stats.spearmanr(x_all, y_all).statistic, abs=1e-12)
    assert got.kendall == pytest.approx(stats.kendalltau(x_all, y_all).statistic, abs=1e-12)


@pytest.mark.parametrize("n", [3, 16, 17, 33, 64, 65, 1000, 4097, 70_000])
def test_long_columns_agree_with_scipy(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = np.round(x + rng.normal(size=n), 1)
    got = correlation(x, y, np.ones(n))
    assert got.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert got.kendall == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("highest", [3, 10_000])
def test_influence_is_the_derivative_with_respect_to_the_weight(highest):
    rng = np.random.default_rng(0)
    x = rng.integers(0, highest, 80).astype(float)
    y, weight = x + rng.integers(0, highest, 80), rng.uniform(0.2, 2.0, 80)
    got, step = correlation(x, y, weight), 1e-5 * np.eye(80)
    for row in (0, 17, 79):
        up, down = (correlation(x, y, weight + sign * step[row]) for sign in (1, -1))
        for name in ("spearman", "kendall"):
            slope = (getattr(up, name) - getattr(down, name)) / 2e-5
            assert getattr(got, f"{name}_influence")[row] == pytest.approx(weight[row] * slope, abs=1e-9)
    assert got.spearman_influence.sum() == pytest.approx(0, abs=1e-12)
    assert got.kendall_influence.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "r"), [(10, 0.6), (20, 0.99)])
def test_spearmans_bias_is_that_of_normal_rows(n, r):
    """Of infinitely many normal rows ρ = 6/π · arcsin(r/2); small samples lie below it on average by what is said."""
    rng, found = np.random.default_rng(n), []
    for _ in range(4000):
        x, z = rng.normal(size=(2, n))
        found.append(correlation(x, r * x + math.sqrt(1 - r * r) * z, np.ones(n)))
    spearman, bias = (np.array([getattr(one, name) for one in found]) for name in ("spearman", "spearman_bias"))
    expected = spearman.mean() - 6 / math.pi * math.asin(r / 2)
    assert expected < -3 * spearman.std() / math.sqrt(4000)
    assert bias.mean() == pytest.approx(expected, abs=3 * spearman.std() / math.sqrt(4000) + 0.1 * abs(expected))
    twice = correlation(x, r * x + math.sqrt(1 - r * r) * z, np.full(n, 2.0))
    assert twice.spearman_bias == pytest.approx(found[-1].spearman_bias)  # weights are of one scale or another


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.integers(0, 200), st.integers(1000, 9000)), st.integers(0, 1000))
def test_smaller_numbers_before_are_counted_and_weighed(n, seed):
    """Against the definition; 8192 and more take three digits."""
    rng = np.random.default_rng(seed)
    place, weight = rng.permutation(n), rng.uniform(0, 1, n)
    rows = rng.choice(n, min(n, 40), replace=False)
    before = [place[:i] < place[i] for i in rows]
    assert weight_below_before(place)[rows].tolist() == [one.sum() for one in before]
    assert weight_below_before(place, weight)[rows] == pytest.approx([weight[:i][one].sum() for i, one in zip(rows, before, strict=True)])


@pytest.mark.filterwarnings("error")
def test_a_constant_side_has_no_rank_correlation():
    got = correlation(np.ones(5), np.arange(5.0), np.ones(5))
    assert math.isnan(got.spearman) and math.isnan(got.kendall)
