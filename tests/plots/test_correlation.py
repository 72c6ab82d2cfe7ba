"""The energy scatter and the shift figure show what the analysis found."""

import math

import numpy as np
import pytest

from xfunc_core.analysis.correlation import correlate_energies
from xfunc_core.errors import ConfigError
from xfunc_core.plots.correlation import energy_scatter, shift_against_z_figure
from xfunc_core.quantities import correlation_text


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    composition = np.zeros((30, 94))
    composition[np.arange(30), np.arange(30) % 10] = 0.5
    composition[:, 50] = 0.5
    references = rng.normal(-5, 1, 94), -0.7 * np.arange(1, 95) - 5
    references[1][50] = -40.0
    bonding = rng.normal(-1, 0.5, 30)
    pbe, r2scan = (composition @ w + bonding + rng.normal(0, 0.01, 30) for w in references)
    pbe[3] = math.nan
    return correlate_energies(pbe, r2scan, composition, np.arange(30), *references)


@pytest.mark.parametrize("mode", ["raw", "referenced"])
def test_points_carry_their_frame_and_the_note_states_the_numbers(result, mode):
    fig = energy_scatter(result, [f"F{i}" for i in range(30)], mode)
    points = fig.data[0]
    x = result.pbe if mode == "raw" else result.pbe_referenced
    assert 3 not in points.customdata and len(points.x) == 29
    np.testing.assert_array_equal(x[points.customdata], points.x)
    assert points.text[5] == f"F{points.customdata[5]}"
    rho = result.pearson_raw if mode == "raw" else result.pearson_referenced
    assert fig.layout.annotations[0].text == f"N = 29 frames · 29 materials · r = {correlation_text(rho)}"


def test_referenced_energies_share_one_scale_and_an_identity_line(result):
    layout = energy_scatter(result, mode="referenced").layout
    assert layout.xaxis.range == layout.yaxis.range and layout.yaxis.scaleanchor == "x"
    line = layout.shapes[0]
    assert (line.x0, line.x1) == (line.y0, line.y1)
    assert layout.yaxis.title.text == "r²SCAN referenced energy (eV/atom)"


def test_a_selection_stands_out(result):
    selected = np.arange(30) < 5
    fig = energy_scatter(result, mode="raw", selected=selected)
    assert [sorted(t.customdata) for t in fig.data] == [list(range(5, 30)), [0, 1, 2, 4]]
    assert fig.data[0].marker.color != fig.data[1].marker.color
    assert "4 selected" in fig.layout.annotations[0].text


def test_what_cannot_be_drawn_is_said(result):
    raw = correlate_energies([1.0, 2.0], [1.0, 2.0], np.eye(94)[:2], ["a", "b"])
    with pytest.raises(ConfigError, match="no references"):
        energy_scatter(raw, mode="referenced")
    with pytest.raises(ConfigError, match="unknown"):
        energy_scatter(result, mode="centred")
    nothing = correlate_energies([math.nan], [1.0], np.eye(94)[:1], ["a"])
    assert "No frame" in energy_scatter(nothing, mode="raw").layout.annotations[0].text
    assert "No element" in shift_against_z_figure(nothing).layout.annotations[0].text


def test_shifts_stand_at_their_atomic_number(result):
    fig = shift_against_z_figure(result)
    points = fig.data[-1]
    assert list(points.x) == [*range(1, 11), 51]
    np.testing.assert_allclose(points.y, result.by_element["shift"])
    assert "N = 11 elements" in fig.layout.annotations[0].text
    assert "Reference shift" in fig.layout.yaxis.title.text


def test_without_references_the_mean_shift_takes_their_place():
    raw = correlate_energies([1.0, 2.0], [0.0, -3.0], np.eye(94)[:2], ["a", "b"])
    fig = shift_against_z_figure(raw)
    assert list(fig.data[-1].y) == [-1.0, -5.0] and "Mean shift" in fig.layout.yaxis.title.text


def test_names_are_no_html(result):
    [points] = [trace for trace in energy_scatter(result, ["<a href='http://x'>Na&Cl</a>"] * 30).data if trace.text is not None]
    assert set(points.text) == {"&lt;a href='http://x'>Na&amp;Cl&lt;/a>"}
