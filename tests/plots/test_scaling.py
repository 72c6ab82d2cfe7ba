"""The scaling figure: runs, means, fits, intervals and the paper's points."""

import numpy as np
import pandas as pd
import pytest

from xfunc_core.analysis import paper
from xfunc_core.analysis.scaling import bootstrap_power_law
from xfunc_core.plots.scaling import scaling_figure
from xfunc_core.quantities import ENERGY, STRESS, Method


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = [
        {"method": m, "size": n, "seed": k, "error": a * n**-0.4 * np.exp(rng.normal(0, 0.05))}
        for m, a in (("M1", 3.0), ("M4", 0.5))
        for n in (100, 200, 400, 1000)
        for k in range(2)
    ]
    return pd.DataFrame([*rows, {"method": "M4", "size": 0, "seed": 0, "error": 0.17}])


def test_the_error_before_training_is_drawn_as_crosses(table, bands):
    figure = scaling_figure(table.assign(start=0.4), bands, ENERGY)
    crosses = [t for t in figure.data if t.legendgroup == "start"]
    assert [len(t.x) for t in crosses] == [4, 4]
    assert set(np.concatenate([t.y for t in crosses])) == {400.0}
    assert [t.showlegend for t in crosses] == [True, False]
    assert not [t for t in scaling_figure(table, bands, ENERGY).data if t.legendgroup == "start"]


@pytest.fixture
def bands(table):
    trained = table[table["size"] > 0]
    return {m: bootstrap_power_law(t, n_boot=200) for m, t in trained.groupby("method")}


def test_runs_means_and_fits_are_drawn_in_the_error_unit(table, bands):
    fig = scaling_figure(table, bands, ENERGY)
    m1 = table[table["method"] == "M1"]
    runs = next(t for t in fig.data if t.mode == "markers" and len(t.x) == 8)
    np.testing.assert_allclose(runs.y, 1000 * m1["error"])
    means = next(t for t in fig.data if t.name and t.name.startswith("M1"))
    np.testing.assert_allclose(means.y, 1000 * m1.groupby("size")["error"].mean())
    assert f"{bands['M1'].fit.slope:.2f}".replace("-", "−") in means.name
    lines = [t for t in fig.data if t.line.dash in ("solid", "dash")]
    assert [list(t.x) for t in lines[:2]] == [pytest.approx([100, 1000]), pytest.approx([1000, 10000])]
    np.testing.assert_allclose(lines[0].y, 1000 * bands["M1"].fit.predict([100, 1000]))
    assert sum(t.fill == "toself" for t in fig.data) == 2
    assert fig.layout.annotations[-1].text == "N = 16 runs · 4 sizes · 2 seeds"


def test_the_untrained_model_is_a_level_not_a_point(table, bands):
    fig = scaling_figure(table, bands, ENERGY)
    assert fig.layout.shapes[0].y0 == pytest.approx(170)
    label = next(a for a in fig.layout.annotations if "untrained" in a.text)
    assert label.y == pytest.approx(np.log10(170))
    assert all(0 not in t.x for t in fig.data)


def test_the_paper_is_labelled_as_the_paper(table, bands):
    fig = scaling_figure(table, bands, ENERGY, paper_overlay=True)
    points = next(t for t in fig.data if t.marker.symbol == "diamond-open" and t.x[0] is not None)
    assert len(points.x) == 14 and points.y.max() == pytest.approx(542)
    assert any(t.name and t.name.replace("<br>", " ") == paper.FIG6_LABEL for t in fig.data)
    assert {points.marker.color[0], points.marker.color[-1]} == {Method.M1.colour, Method.M4.colour}


def test_the_paper_has_no_stress_points(table, bands):
    fig = scaling_figure(table, bands, STRESS, paper_overlay=True)
    assert not any(t.marker.symbol == "diamond-open" for t in fig.data)


def test_a_method_without_a_fit_keeps_its_points(table):
    fig = scaling_figure(table, {"M1": None}, ENERGY)
    assert not any(t.line.dash for t in fig.data)
    assert {t.name for t in fig.data if t.name} == {Method.M1.label, Method.M4.label}


def test_one_seed_draws_a_line_without_an_interval(table):
    few = table[(table["size"].isin([100, 1000])) & (table["seed"] == 0)]
    fig = scaling_figure(few, {m: bootstrap_power_law(t) for m, t in few.groupby("method")}, ENERGY)
    assert sum(t.line.dash == "solid" for t in fig.data) == 2 and not any(t.fill for t in fig.data)


def test_no_runs_yet():
    empty = pd.DataFrame({"method": [], "size": [], "seed": [], "error": []})
    assert "No finished run" in scaling_figure(empty, {}, ENERGY).layout.annotations[0].text
    with_paper = scaling_figure(empty, {}, ENERGY, paper_overlay=True)
    assert [t.name for t in with_paper.data if t.showlegend is not False][:2] == [Method.M1.label, Method.M4.label]  # what the colours mean


def test_few_sizes_are_not_extrapolated(table, bands):
    few = table[table["size"].isin([100, 200])]
    band = {m: bootstrap_power_law(t, n_boot=200) for m, t in few.groupby("method")}
    assert not any(b.may_extrapolate for b in band.values())
    assert not [t for t in scaling_figure(few, band, ENERGY).data if t.line.dash == "dash"]
    assert [t for t in scaling_figure(table, bands, ENERGY).data if t.line.dash == "dash"]
