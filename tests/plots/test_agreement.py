"""The agreement figure: every value or their density, the lines, the differences and what is written above."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xfunc_core.analysis.agreement import Agreement, Estimate, agreement
from xfunc_core.errors import DataError
from xfunc_core.plots.agreement import CELLS, OUTLIERS, agreement_figure
from xfunc_core.plots.density import counts_in_cells, furthest_from_middle
from xfunc_core.plots.one_sided import one_sided_figure
from xfunc_core.quantities import ENERGY, FORCE, Quantity

ANGLE = Quantity("force_angle", "Force angle", "°", "°", 1.0, 1, 1)


def data(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    x = chance.normal(-1, 0.6, n)
    return x, 0.97 * x + chance.normal(0, 0.05, n), np.arange(n) // 3


def points(figure, axis: str):
    return [t for t in figure.data if t.type.startswith("scatter") and t.mode == "markers" and (t.yaxis or "y") == axis]


def note(figure) -> str:
    return figure.layout.annotations[-1].text.replace("<br>", " · ")


def test_points_carry_their_row_and_their_difference_stands_below() -> None:
    x, y, materials = data(60)
    x[7], y[9] = math.nan, math.nan
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials), names=lambda rows: [f"frame {row}" for row in rows])
    [above], [below] = points(figure, "y"), points(figure, "y2")
    assert list(above.customdata) == [row for row in range(60) if row not in (7, 9)]
    np.testing.assert_array_equal(above.y, y[above.customdata])
    np.testing.assert_allclose(below.y, (y - x)[below.customdata])
    assert above.text[7] == "frame 8"


def test_one_range_for_both_axes_and_the_line_of_equal_values() -> None:
    x, y, materials = data(60)
    layout = agreement_figure(x, y, FORCE, agreement(x, y, materials)).layout
    assert layout.xaxis.range == layout.yaxis.range and layout.yaxis.scaleanchor == "x"
    assert layout.xaxis.range[0] <= min(x.min(), y.min()) and layout.xaxis.range[1] >= max(x.max(), y.max())
    assert layout.xaxis.title.text == "PBE force (eV/Å)" and layout.yaxis2.title.text == "r²SCAN − PBE<br>(eV/Å)"


def test_axes_far_apart_keep_their_own_range_and_say_so() -> None:
    x, y, materials = data(60)
    figure = agreement_figure(x, y - 40, ENERGY, agreement(x, y - 40, materials))
    assert figure.layout.yaxis.scaleanchor is None and figure.layout.yaxis.range[1] < -30 < figure.layout.xaxis.range[0]
    assert "the axes differ in range" in note(figure)


def test_the_line_of_total_least_squares_is_the_first_principal_axis() -> None:
    x, y, materials = data(200)
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials))
    [line] = [t for t in figure.data if t.name and t.name.startswith("Total")]
    axis = np.linalg.svd(np.stack([x - x.mean(), y - y.mean()], axis=1))[2][0]
    assert (line.y[1] - line.y[0]) / (line.x[1] - line.x[0]) == pytest.approx(axis[1] / axis[0])
    assert np.interp(x.mean(), line.x, line.y) == pytest.approx(y.mean())
    assert f"slope {axis[1] / axis[0]:.3f}" in line.name


def test_the_note_states_n_materials_r_and_how_it_was_made() -> None:
    x, y, materials = data(60)
    result = Agreement(60, 20, pearson=Estimate(-0.5, -0.61234, -0.4), slope=Estimate())
    figure = agreement_figure(x, y, ENERGY, result, words=["least-squares references", "Every value counts in full."])
    assert (
        note(figure) == "N = 60 · 20 materials · r = −0.5000 (−0.6123 to −0.4000) · least-squares references · Every value counts in full."
    )
    assert not [t for t in figure.data if t.name and t.name.startswith("Total")]  # no slope, no line


def test_a_click_marks_its_point_and_leaves_the_others_as_they_are() -> None:
    x, y, materials = data(60)
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials))
    for trace in points(figure, "y") + points(figure, "y2"):
        assert trace.unselected.marker.opacity == trace.marker.opacity
        assert trace.selected.marker.size > trace.marker.size and trace.selected.marker.color != trace.marker.color


def test_chosen_rows_stand_out() -> None:
    x, y, materials = data(60)
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials), selected=np.arange(60) < 9)
    others, chosen = points(figure, "y")
    assert list(chosen.customdata) == list(range(9)) and list(others.customdata) == list(range(9, 60))
    assert chosen.marker.color != others.marker.color and "9 selected" in note(figure)


def test_the_histogram_holds_every_difference_once() -> None:
    x, y, materials = data(60)
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials), selected=np.arange(60) < 9)
    counts = [np.sum(t.x) for t in figure.data if t.type == "bar"]
    assert counts == [51, 9]


def test_many_values_become_a_density_with_the_furthest_differences_to_click() -> None:
    x, y, materials = data(400_000)
    names = lambda rows: [f"Na3Bi2O7 · mp-{row}" for row in rows]  # noqa: E731
    for selected in (None, x > -1):
        figure = agreement_figure(x, y, ENERGY, Agreement(x.size, 133_334), names=names, selected=selected)
        density = [t for t in figure.data if t.type == "heatmap"]
        assert sum(np.nansum(10.0**t.z) for t in density if t.yaxis == "y") == pytest.approx(x.size, rel=1e-4)
        assert density[0].z.shape == (CELLS, CELLS)
        [drawn] = points(figure, "y")
        difference = (y - x)[slice(None) if selected is None else selected]
        furthest = np.sort(np.abs(difference - np.median(difference)))[-OUTLIERS]
        assert drawn.customdata.size == OUTLIERS
        assert np.abs((y - x)[drawn.customdata] - np.median(difference)).min() == pytest.approx(furthest)
        assert len(figure.to_json()) < 2_000_000
        assert f"the {OUTLIERS:,} furthest differences" in note(figure).replace(" · ", " ")


def test_nothing_a_single_value_and_constants_are_drawn_or_said() -> None:
    nothing = agreement_figure([math.nan], [1.0], ENERGY, Agreement(0, 0))
    assert "No energy is known in both" in nothing.layout.annotations[0].text
    for x, y in (([1.0], [2.0]), ([1.0] * 9, [1.0] * 9), ([1.0] * 9, np.arange(9.0))):
        figure = agreement_figure(x, y, ENERGY, Agreement(len(x), 1))
        assert np.isfinite([*figure.layout.xaxis.range, *figure.layout.yaxis.range, *figure.layout.yaxis2.range]).all()
        assert len(points(figure, "y")[0].x) == len(x)
        assert "nan" not in figure.to_json().lower()


def far_ones(n: int, places: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, materials = data(n)
    y[places] += 300.0
    return x, y, materials


@pytest.mark.parametrize(("n", "places"), [(93, [4]), (93, [4, 50, 60]), (4_000, [1, 2, 3]), (20_000, list(range(0, 20_000, 1_000)))])
def test_a_few_far_values_lie_outside_the_first_view_and_stay_clickable(n, places) -> None:
    x, y, materials = far_ones(n, places)
    figure = agreement_figure(x, y, ENERGY, Agreement(n, n // 3))
    near = np.delete(y, places)
    layout = figure.layout
    assert layout.yaxis.range[0] <= near.min() and near.max() <= layout.yaxis.range[1] < 10
    assert layout.xaxis.range == layout.yaxis.range and layout.yaxis2.range[1] < 10
    assert f"{len(places)} point{'s' if len(places) > 1 else ''} outside the view · double-click shows all" in note(figure)
    [above], [below] = points(figure, "y"), points(figure, "y2")
    assert set(places) <= set(above.customdata) and set(places) <= set(below.customdata)
    assert above.y.max() > 290
    density = [t for t in figure.data if t.type == "heatmap" and t.yaxis == "y"]
    assert sum(np.nansum(10.0**t.z) for t in density) == pytest.approx(n - len(places) if density else 0, rel=1e-4)


@pytest.mark.parametrize("places", [[], list(range(20))])
def test_a_spread_that_is_not_of_a_few_values_is_shown_whole(places) -> None:
    x, y, materials = far_ones(93, places)
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials))
    assert figure.layout.yaxis.range[1] >= y.max() and "outside" not in note(figure)


def test_far_values_alone_may_be_chosen_among_many() -> None:
    x, y, _ = far_ones(20_000, [7, 9])
    figure = agreement_figure(x, y, ENERGY, Agreement(x.size, 9), selected=np.isin(np.arange(x.size), [7, 9]))
    [drawn] = points(figure, "y")
    assert sorted(drawn.customdata) == [7, 9] and "nan" not in figure.to_json().lower()


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match="not of the same rows"):
        agreement_figure([1.0, 2.0], [1.0], ENERGY, Agreement(0, 0))


def test_names_are_no_html() -> None:
    x, y, materials = data(6)
    figure = agreement_figure(x, y, ENERGY, agreement(x, y, materials), names=lambda rows: ["<a href='http://x'>Na&Cl</a>"] * len(rows))
    assert set(points(figure, "y")[0].text) == {"&lt;a href='http://x'>Na&amp;Cl&lt;/a>"}


def test_counts_are_those_of_numpy() -> None:
    x, y, _ = data(5000)
    spans = (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))
    expected = np.histogram2d(x, y, bins=(31, 17), range=spans)[0].T
    assert np.abs(counts_in_cells(x, y, spans, (31, 17)) - expected).sum() <= 4  # a value on a border, rounded otherwise


def test_the_furthest_are_those_of_a_sort() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    assert set(furthest_from_middle(values, 10)) == set(np.argsort(np.abs(values - np.median(values)))[-10:])
    assert list(furthest_from_middle(values[:3], 10)) == [0, 1, 2]


def test_a_one_sided_number_is_a_histogram_with_mean_and_median() -> None:
    values = np.concatenate([np.arange(9.0), [90.0, math.nan]])
    figure = one_sided_figure(values, ANGLE, 4, words=["All atoms."])
    [bars] = [t for t in figure.data if t.type == "bar"]
    assert np.nansum(bars.y) == 10
    assert [shape.x0 for shape in figure.layout.shapes] == [12.6, 4.5]
    assert [t.name for t in figure.data if t.type == "scatter"] == ["mean 12.6 °", "median 4.5 °"]
    assert note(figure) == "N = 10 · 4 materials · All atoms."
    assert "No force angle is known" in one_sided_figure([math.nan], ANGLE, 0).layout.annotations[0].text
    chosen = one_sided_figure(values, ANGLE, 4, selected=values < 2)
    assert [np.nansum(t.y) for t in chosen.data if t.type == "bar"] == [10, 2] and "2 selected" in note(chosen)
