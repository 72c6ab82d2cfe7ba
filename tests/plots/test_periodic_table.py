"""The periodic table: places, colours, what can be clicked."""

import math

import pytest
from pymatgen.core import Element

from xfunc_core.elements import ELEMENTS
from xfunc_core.plots.periodic_table import colour_scale, periodic_table_figure, readable_on
from xfunc_core.plots.theme import faded, palette


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def fills(figure):
    return dict(zip((e.symbol for e in ELEMENTS), (s.fillcolor for s in figure.layout.shapes), strict=False))


def test_no_two_cells_overlap():
    cells = [(s.x0, s.x1, s.y0, s.y1) for s in periodic_table_figure({}).layout.shapes]
    for i, (x0, x1, y0, y1) in enumerate(cells):
        for u0, u1, v0, v1 in cells[:i]:
            assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0


def test_elements_stand_where_pymatgen_puts_them():
    figure = periodic_table_figure({})
    missing = trace(figure, "missing")
    place = dict(zip((e.symbol for e in ELEMENTS), zip(missing.x, missing.y, strict=True), strict=True))
    for element in ELEMENTS:
        known = Element(element.symbol)
        if not (known.is_lanthanoid or known.is_actinoid):
            assert place[element.symbol] == (known.group, known.row)
    assert place["La"][1] > 7 and place["Ac"][1] == place["La"][1] + 1


def test_only_elements_with_a_value_can_be_clicked_and_the_others_are_grey():
    figure = periodic_table_figure({"O": 1.0, "Fe": 2.0, "Xe": math.nan})
    assert list(trace(figure, "elements").customdata) == ["O", "Fe"]
    assert trace(figure, "missing").customdata is None
    grey = faded(palette().missing, 0.55)
    assert fills(figure)["Xe"] == fills(figure)["H"] == grey != fills(figure)["O"]


def test_zero_is_a_value_and_in_the_middle_of_a_diverging_scale():
    scale = colour_scale([-3.0, 0.0, 1.0], diverging=True, log=False, dark=False)
    assert (scale.low, scale.high, scale.position(0.0)) == (-3.0, 3.0, 0.5)
    assert list(trace(periodic_table_figure({"O": 0.0}, diverging=True), "elements").customdata) == ["O"]


def test_a_ratio_has_its_middle_at_one():
    scale = colour_scale([0.8, 1.0, 1.5], diverging=True, log=False, dark=False, middle=1.0)
    assert (scale.low, scale.high, scale.position(1.0)) == (0.5, 1.5, 0.5)
    assert colour_scale([1.0], diverging=True, log=False, dark=False, middle=1.0).position(1.0) == 0.5


def test_a_coefficient_is_coloured_between_minus_one_and_one_whatever_the_data():
    scale = colour_scale([0.97, 0.99], diverging=True, log=False, dark=False, reach=1.0)
    assert (scale.low, scale.high, scale.position(0.0)) == (-1.0, 1.0, 0.5)
    whole = periodic_table_figure({"O": 0.99, "Fe": -1.0}, diverging=True, reach=1.0)
    part = periodic_table_figure({"O": 0.99, "Fe": 0.98}, diverging=True, reach=1.0)
    assert fills(whole)["O"] == fills(part)["O"]
    assert list(trace(part, "colours").marker.colorbar.ticktext) == ["-1", "0", "1"]


def test_elements_with_data_but_no_value_look_neither_absent_nor_coloured():
    figure = periodic_table_figure({"O": 1.0}, untold={"O": "not asked", "Fe": "too few to say"}, counts={"O": 90, "Fe": 4})
    assert list(trace(figure, "elements").customdata) == ["O", "Fe"]  # both can be chosen
    assert trace(figure, "elements").text[1] == "<b>Iron</b> (Z = 26)<br>too few to say<br>N = 4"
    cells = dict(zip((e.symbol for e in ELEMENTS), figure.layout.shapes, strict=False))
    assert len({cells[symbol].fillcolor for symbol in ("O", "Fe", "Xe")}) == 3
    assert cells["Fe"].line.width > 0 == cells["O"].line.width == cells["Xe"].line.width


@pytest.mark.parametrize(
    ("untold", "words"),
    [
        ({}, ["no data"]),
        ({"Fe": "Too few to say: 2 rows."}, ["no data", "too few to say"]),
        ({"Fe": "too few to say", "O": "–"}, ["no data", "data, but no number"]),
    ],
)
def test_the_legend_names_the_cells_without_a_colour(untold, words):
    figure = periodic_table_figure({"H": 1.0}, untold=untold)
    assert [a.text for a in figure.layout.annotations if a.name == "legend"] == words
    boxes = figure.layout.shapes[len(ELEMENTS) :]
    cells = dict(zip((e.symbol for e in ELEMENTS), figure.layout.shapes, strict=False))
    assert [box.fillcolor for box in boxes] == [cells["Xe"].fillcolor, *([cells["Fe"].fillcolor] if untold else [])]


def test_a_table_on_which_nothing_can_be_said_still_says_what_it_is():
    figure = periodic_table_figure({}, title="Pearson r", untold={"Fe": "too few to say"})
    assert [a.text for a in figure.layout.annotations if a.name == "title"] == ["Pearson r"]


def test_the_strongest_colour_is_furthest_from_zero():
    falling, rising = (colour_scale(values, diverging=False, log=False, dark=False) for values in ([-16.0, -0.1], [0.1, 16.0]))
    assert falling.colour(-16.0) == rising.colour(16.0)
    assert falling.colour(-0.1) == rising.colour(0.1)


def test_a_logarithmic_scale_puts_the_geometric_mean_in_the_middle():
    scale = colour_scale([1.0, 100.0], diverging=False, log=True, dark=False)
    assert scale.position(10.0) == pytest.approx(0.5)
    assert list(trace(periodic_table_figure({"O": 0.0, "H": 3.0}, log=True), "elements").customdata) == ["H"]


def test_hover_tells_name_value_unit_and_n():
    figure = periodic_table_figure({"Fe": -6.02}, unit="eV/atom", counts={"Fe": 1392}, number_format="{:.2f}".format)
    assert trace(figure, "elements").text[0] == "<b>Iron</b> (Z = 26)<br>-6.02 eV/atom<br>N = 1,392"


def test_chosen_elements_are_outlined():
    plain, chosen = periodic_table_figure({"O": 1.0}), periodic_table_figure({"O": 1.0}, selected=["O"])
    assert len(chosen.layout.shapes) == len(plain.layout.shapes) + 1
    assert chosen.layout.shapes[-1].line.width > 0


@pytest.mark.parametrize(("fill", "text"), [((255, 255, 255), "#000000"), ((0, 0, 0), "#ffffff"), ((6, 48, 79), "#ffffff")])
def test_text_is_readable_on_its_cell(fill, text):
    assert readable_on(fill) == text
