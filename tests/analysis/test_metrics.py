"""Errors against scikit-learn and hand-made cases."""

import math

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from xfunc_core.analysis.metrics import error_by_element, error_summary
from xfunc_core.errors import ConfigError, DataError


def test_summary_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    reference, predicted = rng.normal(size=(2, 40, 3))
    got = error_summary(reference, predicted)
    assert got.n == 120
    assert got.mae == pytest.approx(mean_absolute_error(reference.ravel(), predicted.ravel()))
    assert got.rmse == pytest.approx(root_mean_squared_error(reference.ravel(), predicted.ravel()))
    assert got.bias == pytest.approx((predicted - reference).mean())


def test_summary_leaves_nan_pairs_out_and_counts_the_rest():
    got = error_summary([1.0, math.nan, 3.0, 4.0], [2.0, 2.0, math.nan, 3.0])
    assert (got.n, got.mae, got.rmse, got.bias) == (2, 1.0, 1.0, 0.0)


def test_summary_of_nothing_is_nan():
    got = error_summary([math.nan], [1.0])
    assert got.n == 0
    assert math.isnan(got.mae) and math.isnan(got.rmse) and math.isnan(got.bias)


def test_summary_refuses_different_shapes():
    with pytest.raises(DataError, match="different shape"):
        error_summary([1.0, 2.0], [1.0])


@pytest.fixture
def water_and_iron():
    composition = np.zeros((3, 94))
    composition[0, [0, 7]] = 2 / 3, 1 / 3
    composition[1, 25] = 1.0
    composition[2, [7, 25]] = 0.5, 0.5
    return np.array([0.3, 0.1, 0.9]), composition


def test_element_errors_weighted_by_fraction(water_and_iron):
    got = error_by_element(*water_and_iron)
    assert list(got.index) == ["H", "O", "Fe"]
    assert list(got["z"]) == [1, 8, 26]
    assert list(got["n_frames"]) == [1, 2, 2]
    assert got.loc["O", "mae"] == pytest.approx((0.3 / 3 + 0.9 / 2) / (1 / 3 + 1 / 2))
    assert "fraction" in got.attrs["weighting"]


def test_element_errors_weighted_by_frame(water_and_iron):
    got = error_by_element(*water_and_iron, weighting="frame")
    assert got["mae"].to_dict() == pytest.approx({"H": 0.3, "O": 0.6, "Fe": 0.5})


def test_element_errors_leave_nan_frames_out(water_and_iron):
    _, composition = water_and_iron
    got = error_by_element([0.3, math.nan, 0.9], composition)
    assert got.loc["Fe", "n_frames"] == 1 and got.loc["Fe", "mae"] == pytest.approx(0.9)


def test_element_errors_name_a_wrong_weighting(water_and_iron):
    with pytest.raises(ConfigError, match="fraction, frame"):
        error_by_element(*water_and_iron, weighting="mass")
    with pytest.raises(DataError, match="94"):
        error_by_element([1.0], np.ones((1, 3)))
