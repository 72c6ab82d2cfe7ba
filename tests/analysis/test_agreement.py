"""Point statistics against scipy, scikit-learn and closed forms; intervals are in test_intervals.py."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from xfunc_core.analysis.agreement import STATISTICS, agreement, agreements
from xfunc_core.analysis.groups import Attribution, Groups, element_groups
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError

pytestmark = pytest.mark.filterwarnings("error")


def independent(x, y):
    """What scipy and scikit-learn say of the same rows."""
    line, axis = stats.linregress(x, y), PCA(1).fit(np.column_stack([x, y])).components_[0]
    return {
        "pearson": stats.pearsonr(x, y).statistic,
        "spearman": stats.spearmanr(x, y).statistic,
        "kendall": stats.kendalltau(x, y).statistic,
        "slope": axis[1] / axis[0],
        "shift": np.mean(y - x),
        "mae": mean_absolute_error(x, y),
        "rmse": root_mean_squared_error(x, y),
        "spread": np.sqrt(np.mean((y - line.intercept - line.slope * x) ** 2)),
    }


def values(found):
    return {name: getattr(found, name).value for name in STATISTICS}


def rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(-5, 2, n)
    return x, 0.9 * x - 3 + rng.normal(0, 0.4, n), rng.integers(0, 40, n)


def test_every_statistic_agrees_with_scipy_and_scikit_learn():
    x, y, materials = rows()
    found = agreement(x, y, materials)
    assert values(found) == pytest.approx(independent(x, y), rel=1e-10)
    assert (found.n, found.n_materials, found.n_ranked) == (200, len(np.unique(materials)), 200)


def test_differences_of_meV_survive_beside_energies_of_tens_of_eV():
    x, _, materials = rows()
    x = x * 20
    y = x + 1e-3 * np.random.default_rng(1).normal(size=x.size) + 60
    assert values(agreement(x, y, materials)) == pytest.approx(independent(x, y), rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(1, 3)), min_size=5, max_size=40))
def test_whole_weights_are_repeated_rows(drawn):
    x, y, weights = np.array(drawn, dtype=float).T
    x_all, y_all = (np.repeat(side, weights.astype(int)) for side in (x, y))
    repeated = np.repeat(np.arange(x.size), weights.astype(int))
    weighted = agreement(x, y, np.arange(x.size), weights, intervals=False)
    expected = values(agreement(x_all, y_all, repeated, intervals=False))
    # On an exact line the spread is the root of a sum that rounding leaves at 1e-16 or so.
    assert values(weighted) == pytest.approx(expected, rel=1e-9, abs=1e-7, nan_ok=True)
    if np.ptp(x) and np.ptp(y) and weighted.slope.known:
        assert values(weighted) == pytest.approx(independent(x_all, y_all), rel=1e-7, abs=1e-7)


def test_a_group_is_its_rows_alone():
    x, y, materials = rows()
    x[3] = math.nan
    groups = Groups(("a", "none", "b"), np.array([0, 90, 90, 200]), np.random.default_rng(2).permutation(200))
    found = agreements(x, y, materials, groups)
    assert list(found) == ["a", "none", "b"]
    assert found["none"].too_few and found["none"].n == 0
    for name, of_group in (("a", groups.rows[:90]), ("b", groups.rows[90:])):
        kept = of_group[of_group != 3]
        assert values(found[name]) == pytest.approx(independent(x[kept], y[kept]), rel=1e-10)
        assert (found[name].n, found[name].n_materials) == (kept.size, np.unique(materials[kept]).size)


def test_rows_that_weigh_nothing_do_not_count():
    x, y, materials = rows(20)
    weights = np.where(np.arange(20) < 12, 1.0, 0.0)
    got, alone = agreement(x, y, materials, weights), agreement(x[:12], y[:12], materials[:12])
    assert (got.n, got.n_materials, values(got)) == (12, alone.n_materials, pytest.approx(values(alone)))


@pytest.mark.parametrize(
    ("x", "y", "materials", "counts", "words"),
    [
        ([], [], [], (0, 0), "0 rows of 0 materials"),
        ([1.0], [2.0], [7], (1, 1), "1 row of 1 material"),
        ([1.0, 2.0], [2.0, 4.0], [0, 1], (2, 2), "2 rows of 2 materials"),
        ([math.nan] * 9, np.arange(9.0), np.arange(9), (0, 0), "0 rows of 0 materials"),
        (np.arange(9.0), np.arange(9.0) ** 2, np.zeros(9), (9, 1), "9 rows of 1 material"),
        (np.arange(9.0), np.arange(9.0) ** 2, np.arange(9) % 4, (9, 4), "9 rows of 4 materials"),
    ],
)
def test_too_few_rows_or_materials_say_nothing(x, y, materials, counts, words):
    found = agreement(x, y, np.asarray(materials, dtype=int))
    assert found.too_few and (found.n, found.n_materials) == counts
    for name in STATISTICS:
        estimate = getattr(found, name)
        assert not estimate.known and not estimate.has_interval
        assert estimate.why == f"Too few to say: {words}, and 3 rows and 5 materials are needed."


@pytest.mark.parametrize("intervals", [True, False])
def test_constant_sides_leave_undefined_what_needs_a_slope(intervals):
    rising, constant, materials = np.arange(40.0), np.full(40, -7.1), np.arange(40)

    def known(x, y):
        found = agreement(x, y, materials, intervals=intervals)
        assert not found.too_few and found.n == 40
        return {name for name in STATISTICS if getattr(found, name).known}

    assert known(constant, rising) == {"shift", "mae", "rmse"}
    assert known(rising, constant) == {"shift", "mae", "rmse", "spread"}
    assert known(constant, constant + 1e-14) == {"shift", "mae", "rmse"}
    assert agreement(constant, rising, materials, intervals=intervals).pearson.why == "Not defined: one side is the same in all rows."
    same = agreement(rising, rising, materials, intervals=intervals)
    assert values(same) == pytest.approx(
        {"pearson": 1, "spearman": 1, "kendall": 1, "slope": 1, "shift": 0, "mae": 0, "rmse": 0, "spread": 0}, abs=1e-12
    )


@pytest.mark.parametrize(("x_last", "y_last"), [(1e300, 1e300), (-1e308, 1e308), (0.0, -1e200)])
def test_absurd_values_leave_blank_what_overflows(x_last, y_last):
    """Squares of 1e200 are infinite: nothing is infinite, nothing is taken for too few, and ranks do not mind."""
    x, y, materials = rows(40)
    x, y = np.append(x, x_last), np.append(y, y_last)
    found = agreement(x, y, np.append(materials, 99))
    assert not found.too_few and found.n == 41
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert not found.pearson.known and not found.slope.known
    for estimate in (getattr(found, name) for name in STATISTICS):
        assert not any(math.isinf(number) for number in (estimate.value, estimate.low, estimate.high))
        assert estimate.has_interval or estimate.why
    assert found.pearson.why == "Not to be said: the squares of such values overflow."


def test_a_line_without_a_direction_has_no_slope():
    turn = np.arange(12) * np.pi / 6
    round_ = agreement(np.cos(turn), np.sin(turn), np.arange(12))
    assert not round_.slope.known and round_.pearson.value == pytest.approx(0, abs=1e-12)
    assert round_.slope.why == "Not defined: the rows scatter as far to all sides, or straight up."
    upright = agreement(np.cos(turn), 3 * np.sin(turn), np.arange(12))
    assert not upright.slope.known
    assert agreement(3 * np.cos(turn), np.sin(turn), np.arange(12)).slope.value == pytest.approx(0, abs=1e-12)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="not of the same rows"):
        agreement([1.0, 2.0], [1.0], [0])
    with pytest.raises(DataError, match="3 weights for 2 rows"):
        agreement([1.0, 2.0], [1.0, 2.0], [0, 1], [1.0, 1.0, 1.0])


def test_the_costly_parts_can_be_left_out():
    x, y, materials = rows()
    found = agreement(x, y, materials, ranks=False)
    assert not found.spearman.known and not found.kendall.known and found.n_ranked == 0 and found.pearson.known


def test_public_pairs_correlate_per_element_as_known(materials_project):
    x, y, composition = (np.asarray(part) for part in materials_project[:3])
    groups = element_groups(composition, np.arange(x.size), Attribution.CONTAINS)
    found = agreements(x, y, np.arange(x.size), groups)
    assert agreement(x, y, np.arange(x.size)).pearson.value == pytest.approx(0.070, abs=5e-4)
    known = {"O": 0.24, "Fe": 0.20, "Na": -0.22, "Cu": -0.25}
    assert {symbol: round(found[symbol].pearson.value, 2) for symbol in known} == known
    for symbol in ("O", "Fe", "Na", "Cu"):
        has = composition[:, Z_OF[symbol] - 1] > 0
        assert values(found[symbol]) == pytest.approx(independent(x[has], y[has]), rel=1e-8)
    assert len(found) == 81 and found["Xe"].too_few and found["Xe"].n == 1
