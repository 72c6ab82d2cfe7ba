"""Figures of the reference lab: what is drawn is what is in the table, and every figure goes to print."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xfunc_core.plots.export import FigureFormat, drawn_numbers, export
from xfunc_core.plots.references import COLOURS, colour_of, comparison_figure, curve_figure
from xfunc_core.plots.references_elements import residual_figure, shift_line_figure
from xfunc_core.references.scheme import Scheme


@pytest.fixture
def schemes() -> pd.DataFrame:
    """Three schemes, the lowest first."""
    return pd.DataFrame(
        {
            "label": ["Smooth", "Least squares", "Atoms"],
            "test_mae": [0.05, 0.5, 3.0],
            "test_mae_low": [0.04, 0.45, 3.0],
            "test_mae_high": [0.1, 1.2, 3.0],
            "test_rmse": [0.06, 0.9, 3.6],
            "held_out_mae": [0.09, 0.7, 2.0],
            "n_test": [14, 14, 14],
            "n_held_out": [69, 69, 69],
            "recommended": [True, False, False],
            "off_scale": [False, False, True],
            "note": ["recommended", "", "another energy scale"],
        },
        index=["residual-smooth", "lstsq", "isolated-atoms"],
    )


@pytest.fixture
def curves() -> pd.DataFrame:
    """Two schemes at two sizes; one is exact at the largest."""
    return pd.DataFrame(
        {
            "scheme": ["lstsq", "lstsq", "residual", "residual"],
            "label": ["Least squares", "Least squares", "Residual", "Residual"],
            "size": [8, 16, 8, 16],
            "n_frames": [8.0, 16.0, 8.0, 16.0],
            "low": [0.8, 0.4, 0.2, 0.0],
            "median": [1.0, 0.5, 0.3, 0.0],
            "high": [1.2, 0.6, 0.4, 0.0],
        }
    )


@pytest.fixture
def shifts() -> pd.DataFrame:
    """Three elements on a line but for one."""
    return pd.DataFrame(
        {"z": [1, 8, 26], "shift": [-0.2, -1.6, -6.2], "sigma_refits": [0.1, np.nan, 0.3], "n_frames": [5, 9, 1]}, index=["H", "O", "Fe"]
    )


@pytest.fixture
def residuals() -> pd.DataFrame:
    """Quartiles of two elements."""
    columns = [f"{when}_{name}" for when in ("before", "after") for name in ("low", "median", "high")]
    return pd.DataFrame(
        [[-3.1, -3.0, -2.8, -0.02, 0.01, 0.05], [-5.0, -4.0, -3.5, 0.0, 0.0, 0.1]], columns=columns, index=["H", "O"]
    ).assign(n_frames=[3, 7])


def test_every_scheme_has_a_colour() -> None:
    assert set(COLOURS) == {scheme.value for scheme in Scheme}
    assert all(colour_of(name, dark).startswith("#") for name in COLOURS for dark in (False, True))


def test_schemes_stand_in_order_with_their_intervals(schemes: pd.DataFrame) -> None:
    fig = comparison_figure(schemes, ("a set",))
    by_name = {trace.name: trace for trace in fig.data}
    smooth = by_name["Smooth"]
    assert (smooth.x[0], smooth.y[0]) == (50.0, 2)  # meV/atom, on top
    assert smooth.error_x.array[0] == pytest.approx(50.0) and smooth.error_x.arrayminus[0] == pytest.approx(10.0)
    assert by_name["Atoms"].marker.symbol == "circle-open" and by_name["Least squares"].marker.symbol == "circle"
    assert list(by_name["test RMSE"].x) == pytest.approx([60.0, 900.0, 3600.0])
    assert list(by_name["held-out MAE"].x) == pytest.approx([90.0, 700.0, 2000.0])
    names = {a.text: a.y for a in fig.layout.annotations if a.name != "note"}
    assert names == {"<b>Smooth</b>": 2, "Least squares": 1, "Atoms": 0}  # what the menu calls them, each above its row
    assert fig.layout.xaxis.type == "log"
    assert [a.text for a in fig.layout.annotations if a.name == "note"] == ["Test: N = 14 frames · held-out: N = 69 frames · a set"]


def test_names_of_files_and_datasets_are_shown_letter_by_letter(schemes: pd.DataFrame) -> None:
    fig = comparison_figure(schemes.assign(label="<a href='x'>table</a>"), ("<b>set</b>",))
    assert any("&lt;b>set&lt;/b>" in a.text for a in fig.layout.annotations)
    assert any(a.text == "<b>&lt;a href='x'>table&lt;/a></b>" for a in fig.layout.annotations)
    assert fig.data[0].customdata[0][0] == "&lt;a href='x'>table&lt;/a>"


def test_curves_leave_out_what_a_logarithm_cannot_show(curves: pd.DataFrame) -> None:
    fig = curve_figure(curves, "Error", "10 orders")
    lines = {trace.name: trace for trace in fig.data if trace.name}
    assert list(lines["Least squares"].y) == [1000.0, 500.0] and list(lines["Least squares"].x) == [8, 16]
    assert list(lines["Residual"].x) == [8]
    [band] = [trace for trace in fig.data if trace.fill == "toself"]
    assert list(band.y) == pytest.approx([1200.0, 600.0, 400.0, 800.0])


def test_shifts_have_their_line_and_their_spread(shifts: pd.DataFrame) -> None:
    line, points = shift_line_figure(shifts, -0.2, 0.0, ("−0.20 eV per Z",)).data
    assert list(line.x) == [1, 26] and list(line.y) == pytest.approx([-0.2, -5.2])
    assert list(points.y) == [-0.2, -1.6, -6.2]
    assert list(points.error_y.array) == [0.1, 0.0, 0.3]
    assert points.customdata[1][1] == "–"  # no refit moves it
    assert len(shift_line_figure(shifts, np.nan, np.nan).data) == 1


def test_residuals_before_and_after_have_their_own_scales(residuals: pd.DataFrame) -> None:
    before, after = residual_figure(residuals).data
    assert list(before.x) == [-3000.0, -4000.0] and list(after.x) == pytest.approx([10.0, 0.0])
    assert list(before.error_x.array) == pytest.approx([200.0, 500.0]) and list(before.error_x.arrayminus) == pytest.approx([100.0, 1000.0])
    assert before.xaxis != after.xaxis
    assert list(before.y) == [1, 0]  # hydrogen on top


@pytest.mark.parametrize("kind", list(FigureFormat))
def test_figures_go_to_print(kind: FigureFormat, schemes, curves, shifts, residuals) -> None:
    for fig in (
        comparison_figure(schemes),
        curve_figure(curves, "Error", "N"),
        shift_line_figure(shifts, -0.2, 0.0),
        residual_figure(residuals),
    ):
        assert len(export(fig, kind)) > 3000
        assert len(drawn_numbers(fig))


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_to_draw_is_a_sentence(dark: bool, schemes, curves, shifts, residuals) -> None:
    for fig in (
        comparison_figure(schemes.iloc[:0], dark=dark),
        curve_figure(curves.iloc[:0], "Error", "N", dark),
        shift_line_figure(shifts.iloc[:0], np.nan, np.nan, dark=dark),
        residual_figure(residuals.iloc[:0], dark),
    ):
        assert not fig.data and fig.layout.annotations[0].text.endswith(".")


def test_hovers_write_intervals_as_everywhere(schemes, curves, residuals) -> None:
    assert list(comparison_figure(schemes).data[0].customdata[0][1:5]) == ["50.0 (40.0 to 100.0)", "60.0", "90.0", "recommended"]
    lstsq = next(t for t in curve_figure(curves, "Test error", "N").data if t.name == "Least squares")
    assert list(lstsq.customdata) == ["1,000.0 (800.0 to 1,200.0)", "500.0 (400.0 to 600.0)"]
    before = residual_figure(residuals).data[0]
    low, median, high = (f"{1000 * residuals[f'before_{name}'].iloc[0]:,.1f}".replace("-", "−") for name in ("low", "median", "high"))
    assert before.customdata[0][2] == f"{median} ({low} to {high})"
    for figure in (comparison_figure(schemes), curve_figure(curves, "Test error", "N"), residual_figure(residuals)):
        assert not any("[" in (trace.hovertemplate or "").replace("customdata[", "") for trace in figure.data)
