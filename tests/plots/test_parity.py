"""Parity figures hold every finite pair, its frame and the errors they state."""

import math

import numpy as np
import pytest

from xfunc_core.analysis.metrics import error_summary
from xfunc_core.errors import DataError
from xfunc_core.plots.parity import CELLS, OUTLIERS, legend_text, parity_figure
from xfunc_core.quantities import ENERGY, FORCE, STRESS


def legends(fig):
    return [t.name for t in fig.data if t.showlegend is not False]


def test_points_and_residuals_of_both_models():
    reference, before, after = np.array([1.0, 2.0, 3.0]), np.array([1.1, 2.1, 3.1]), np.array([1.0, 2.0, math.nan])
    fig = parity_figure(ENERGY, reference, before, after, frames=[7, 8, 9])
    points = [t for t in fig.data if t.x[0] is not None]
    assert [t.yaxis for t in points] == ["y", "y2", "y", "y2"]
    assert list(points[0].y) == [1.1, 2.1, 3.1] and list(points[0].customdata) == [7, 8, 9]
    assert list(points[1].y) == pytest.approx([100, 100, 100])
    assert list(points[2].customdata) == [7, 8]
    assert legends(fig) == [
        "<b>Before</b>: MAE 100.0 meV/atom · RMSE 100.0 · N 3",
        "<b>After</b>: MAE 0.0 meV/atom · RMSE 0.0 · N 2",
    ]


def test_axes_are_equal_and_named():
    layout = parity_figure(FORCE, [0.0, 10.0], [0.0, 9.0]).layout
    assert layout.xaxis.range == layout.yaxis.range and layout.yaxis.scaleanchor == "x"
    assert layout.xaxis.title.text == "DFT force (eV/Å)" and "meV/Å" in layout.yaxis2.title.text


def test_a_single_model_is_the_accent():
    fig = parity_figure(STRESS, [0.0, 1.0], [0.1, 1.1], labels=("Pretrained", ""))
    assert legends(fig) == ["<b>Pretrained</b>: MAE 0.100 GPa · RMSE 0.100 · N 2"]


def test_many_points_become_a_density_with_the_largest_errors_as_points():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=5000)
    predicted = reference + rng.normal(0, 0.1, 5000)
    fig = parity_figure(FORCE, reference, predicted, max_points=4000)
    density = [t for t in fig.data if t.type == "heatmap"]
    assert density[0].z.shape == (CELLS, CELLS)
    assert np.nansum(10.0 ** density[0].z) == pytest.approx(5000, rel=1e-5)
    drawn = next(t for t in fig.data if t.type == "scatter" and t.x[0] is not None)
    worst = np.sort(np.abs(predicted - reference))[-OUTLIERS]
    assert len(drawn.x) == OUTLIERS and np.abs(drawn.y - drawn.x).min() == pytest.approx(worst)
    assert np.array_equal(reference[drawn.customdata], drawn.x)
    assert "log" in fig.layout.annotations[0].text and len(fig.to_json()) < 1_500_000


def test_nothing_to_compare_is_said():
    fig = parity_figure(ENERGY, [math.nan], [1.0])
    assert "No energy has both" in fig.layout.annotations[0].text


def test_lengths_must_agree():
    with pytest.raises(DataError, match="Before: 1 predictions and 2 references"):
        parity_figure(ENERGY, [1.0, 2.0], [1.0])


def test_the_legend_uses_the_one_number_format():
    assert legend_text("M4", error_summary([0.0], [0.0169]), ENERGY) == "<b>M4</b>: MAE 16.9 meV/atom · RMSE 16.9 · N 1"
