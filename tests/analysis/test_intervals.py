"""Intervals against closed forms and textbooks, and where there can be none; how often they hold the truth is in test_coverage.py."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.coverage import Setting
from xfunc_core.analysis import agreement as agreement_module
from xfunc_core.analysis.agreement import STATISTICS, agreement, agreements
from xfunc_core.analysis.groups import Groups
from xfunc_core.analysis.intervals import MAX_BLOCKS, effective_number, in_blocks, resample_counts
from xfunc_core.analysis.moments import moments, scaled, scaled_derivatives
from xfunc_core.analysis.units import Units

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("n_materials", [8, 13, 20])
def test_an_interval_says_more_than_minus_one_to_one(n_materials):
    """Ranks of materials all but in one order: what is given is of use, and what is not is no number beside a number."""
    given = dict.fromkeys(("pearson", "spearman", "kendall"), 0)
    for seed in range(200):
        found = agreement(*Setting(n_materials, "one", 0.998, heavy=False).draw(np.random.default_rng(seed)), seed=seed)
        for name in given:
            estimate = getattr(found, name)
            if estimate.has_interval:
                given[name] += 1
                assert estimate.high - estimate.low < 1.3, (name, seed, estimate)
    assert (given["pearson"] > 130) == (n_materials > 10) and (given["spearman"] > 0) == (n_materials > 12)
    assert (given["pearson"] == 0) == (n_materials < 10)


@pytest.mark.parametrize("n", [60, 10 * MAX_BLOCKS])
def test_of_independent_normal_rows_intervals_are_those_of_textbooks(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = 0.8 * x + 0.6 * rng.normal(size=n)
    found = agreement(x, y, rng.permutation(n))
    student = stats.ttest_1samp(y - x, 0).confidence_interval()
    fisher = stats.pearsonr(x, y).confidence_interval()
    width = student.high - student.low
    assert (found.shift.low, found.shift.high) == pytest.approx(student, abs=0.15 * width)
    assert np.arctanh([found.pearson.low, found.pearson.high]) == pytest.approx(np.arctanh(fisher), abs=0.3 * 2 * 1.96 / math.sqrt(n))


def test_derivatives_of_the_scales_are_differences():
    rng = np.random.default_rng(3)
    x = rng.normal(-5, 2, 50)
    units = Units.of(x, 0.8 * x + rng.normal(0, 0.5, 50) + 1)
    rows = units.cluster_sums(np.arange(50), rng.uniform(0.5, 2, 50), np.arange(0, 50, 2))
    sums = rows.columns.sum(axis=1)
    derivatives = scaled_derivatives(moments(sums, rows.mean_d)) / sums[0]
    for column, step in enumerate(1e-4 * np.eye(9)):
        up, down = (scaled(moments(sums + sign * step, rows.mean_d)) for sign in (1, -1))
        assert derivatives[:, column] == pytest.approx((up - down) / 2e-4, rel=1e-5, abs=1e-9)
    assert derivatives @ sums == pytest.approx(0, abs=1e-12)  # twice the rows say the same


def test_effective_numbers_and_blocks():
    assert effective_number(np.full(12, 3.0)) == pytest.approx(12)
    assert effective_number(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    sums = np.random.default_rng(0).normal(size=(2, 3 * MAX_BLOCKS + 7))
    assert in_blocks(sums).shape == (2, MAX_BLOCKS)
    assert in_blocks(sums).sum(axis=1) == pytest.approx(sums.sum(axis=1))
    assert in_blocks(sums[:, :9]).shape == (2, 9)
    counts = resample_counts(9, 0)
    assert (counts.sum(axis=1) == 9).all() and counts.mean(axis=0) == pytest.approx(1, abs=0.15)


def test_few_or_lopsided_materials_have_values_without_intervals():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)
    few = agreement(x, y, np.arange(400) % 7)
    assert few.n_effective == pytest.approx(7, rel=0.01)
    lopsided = agreement(x, y, np.where(np.arange(400) < 200, 0, np.arange(400)))
    assert lopsided.n_materials == 201 and lopsided.n_effective == pytest.approx(400**2 / (200**2 + 200))
    for found in (few, lopsided):
        assert all(getattr(found, name).known and not getattr(found, name).has_interval for name in STATISTICS)
    assert few.mae.why == "No interval: the 7 materials weigh like 7.0 equal ones, and 8 are needed."
    assert lopsided.kendall.why == "No interval: the 201 materials weigh like 4.0 equal ones, and 12 are needed."


def test_a_slope_that_may_be_upright_says_which_slopes_it_rules_out():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 200))
    steep = agreement(x, 1.6 * y + 8 * x, np.arange(200))
    turned = agreement(1.6 * y + 8 * x, x, np.arange(200))
    upright = agreement(x, 1.6 * y, np.arange(200))
    assert steep.slope.has_interval and not upright.slope.has_interval and upright.pearson.has_interval
    assert (1 / steep.slope.high, 1 / steep.slope.low) == pytest.approx((turned.slope.low, turned.slope.high), rel=0.05)
    low, high = upright.slope.ruled_out
    assert low < 0 < high and not low < upright.slope.value < high
    sentence = f"No interval: the line may stand upright, and only slopes from {low:.3f} to {high:.3f} are ruled out."
    assert upright.slope.why == sentence.replace("-", "−")


def test_rows_without_a_direction_rule_out_no_slope():
    x, y = np.random.default_rng(2).normal(size=(2, 20))
    found = agreement(x, y, np.arange(20)).slope
    assert found.known and not found.has_interval
    assert found.why == "No interval: the rows have no clear direction, and no slope can be ruled out."


def test_perfect_agreement_has_no_interval_of_what_it_cannot_tell():
    x = np.arange(40.0)
    found = agreement(x, x, np.arange(40))
    assert (found.mae.value, found.spread.value, found.pearson.value) == pytest.approx((0, 0, 1), abs=1e-9)
    for name in STATISTICS:
        estimate = getattr(found, name)
        assert not estimate.has_interval
        assert estimate.why == "No interval: nothing varies between the materials, or in too many resamples of them."


def test_every_estimate_has_an_interval_or_says_why_not():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y, material = Setting(int(rng.integers(3, 25)), "unequal", float(rng.choice([0.0, 0.9, 0.99999])), heavy=True).draw(rng)
        x, y = (side.round(int(rng.integers(0, 3))) for side in (x, y))
        found = agreement(x, y, material)
        for name in STATISTICS:
            estimate = getattr(found, name)
            assert estimate.has_interval == (estimate.why == "") and (estimate.why == "" or estimate.why.endswith(".")), (seed, name)
    unasked = agreement(*Setting(20, "one", 0.9, heavy=False).draw(rng), intervals=False)
    assert not any(getattr(unasked, name).why or getattr(unasked, name).has_interval for name in STATISTICS)


def test_a_seed_is_repeatable_and_intervals_hold_the_value():
    x, y, material = Setting(60, "unequal", 0.8, heavy=True).draw(np.random.default_rng(2))
    first, again, other = (agreement(x, y, material, seed=seed) for seed in (4, 4, 5))
    assert first == again and first != other
    for name in STATISTICS:
        estimate = getattr(first, name)
        assert estimate.low < estimate.value < estimate.high
        assert getattr(other, name).low == pytest.approx(estimate.low, abs=0.15 * (estimate.high - estimate.low))


def test_ranks_of_very_many_rows_are_taken_of_whole_materials(monkeypatch):
    monkeypatch.setattr(agreement_module, "RANKED_ROWS", 1000)
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    y = x + rng.normal(size=3000)
    groups = Groups(("small", "large"), np.array([0, 200, 3000]), np.arange(3000))
    found = agreements(x, y, np.arange(3000) // 20, groups)
    assert (found["small"].n_ranked, found["large"].n_ranked, found["large"].n) == (200, 800, 2800)
    assert found["small"].spearman.value == pytest.approx(stats.spearmanr(x[:200], y[:200]).statistic)
    assert found["large"].spearman.low < stats.spearmanr(x[200:], y[200:]).statistic < found["large"].spearman.high
    long = agreement(x, y, np.arange(3000) // 300)
    assert long.n_ranked == 1500 and long.pearson.has_interval  # five materials at least, whatever the limit
    assert long.spearman.known and not long.spearman.has_interval


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 200))
def test_groups_are_cut_to_the_largest_common_size_that_fits(counts, total):
    limit = agreement_module._common_limit(np.array(counts), total)
    assert np.minimum(counts, limit).sum() <= total
    assert limit == max(counts) or np.minimum(counts, limit + 1).sum() > total


def test_a_mean_that_is_zero_in_every_material_has_no_interval_of_rounding_noise():
    """The forces of a frame add up to 0, in both functionals."""
    generator = np.random.default_rng(0)
    x, noise = generator.normal(size=(2, 40, 6, 3))
    y = x + 0.1 * noise
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    found = agreement(x.ravel(), y.ravel(), np.repeat(np.arange(40), 18))
    assert abs(found.shift.value) < 1e-15 and not found.shift.has_interval and "nothing varies" in found.shift.why
    assert found.mae.has_interval
