"""Shifts along the periodic table and importances of a decision tree: what is drawn is what was given."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from xfunc_core.plots.importances import SHOWN, importance_figure
from xfunc_core.plots.shifts import LABEL_GAP, shift_figure
from xfunc_core.plots.theme import palette

SYMBOLS = ["H", "Li", "O", "Na", "Cl", "Fe", "U"]


@pytest.fixture
def table() -> pd.DataFrame:
    z = np.array([1, 3, 8, 11, 17, 26, 92])
    shift = -0.7 * z + np.array([0, 0, 0.5, 0, -3.0, 4.0, 0])
    found = pd.DataFrame(
        {"z": z, "shift": shift, "low": shift - 0.2, "high": shift + 0.1, "n_materials": 9, "why": "", "published": shift + 0.05}, index=SYMBOLS
    )
    found.loc["Na", ["low", "high"]] = math.nan
    found.loc["Na", "why"] = "fewer than 5 materials"
    found.loc["U", "shift"] = math.nan
    found.loc["H", "published"] = math.nan
    return found


def test_shifts_stand_at_their_number_with_their_interval(table) -> None:
    published, ours = shift_figure(table, "Reference shift").data
    assert list(ours.x) == [1, 3, 8, 11, 17, 26] and list(published.x) == [3, 8, 11, 17, 26, 92]
    np.testing.assert_allclose(ours.y, table["shift"].dropna())
    np.testing.assert_allclose(ours.error_y.array, [0.1, 0.1, 0.1, 0, 0.1, 0.1])
    np.testing.assert_allclose(ours.error_y.arrayminus, [0.2, 0.2, 0.2, 0, 0.2, 0.2])
    np.testing.assert_allclose(published.y, table["published"].dropna())


def test_an_interval_is_written_as_everywhere(table) -> None:
    ours = shift_figure(table).data[1]
    assert list(ours.customdata[2]) == ["O", "−5.100 (−5.300 to −5.000)", "9 materials", ""]
    assert list(ours.customdata[3]) == ["Na", "−7.700", "9 materials", "<br>No interval: fewer than 5 materials"]


def test_the_note_states_n_and_the_straight_line(table) -> None:
    figure = shift_figure(table, words=("Least squares.",))
    known = table.dropna(subset="shift")
    slope, r = np.polyfit(known["z"], known["shift"], 1)[0], np.corrcoef(known["z"], known["shift"])[0, 1]
    assert figure.layout.annotations[0].text.replace(
        "<br>", " · "
    ) == f"N = 6 elements · {slope:.2f} eV per Z · r = {r:.4f} · Least squares.".replace("-", "−")


def test_elements_off_the_line_are_named_and_none_hides_another(table) -> None:
    ours = shift_figure(table).data[1]
    named = [s for s in ours.text if s]
    assert {"Fe", "Cl"} <= set(named) and "Li" not in named or "H" not in named
    z = sorted(table.loc[named, "z"])
    assert min(np.diff(z)) >= LABEL_GAP


def test_chosen_elements_stand_out_and_are_all_named(table) -> None:
    _, rest, out = shift_figure(table, chosen=["Na", "Cl", "U", "Xe"]).data
    assert (list(rest.x), list(out.x)) == ([1, 3, 8, 26], [11, 17])
    assert not any(rest.text) and list(out.text) == ["Na", "Cl"]
    assert rest.marker.color == rest.error_y.color == palette(False).quiet and out.marker.color == out.error_y.color == palette(False).accent
    np.testing.assert_allclose(out.error_y.array, [0, 0.1])
    assert (rest.showlegend, out.showlegend) == (False, True)
    assert shift_figure(table, chosen=["Na"]).layout.annotations == shift_figure(table).layout.annotations


def test_choosing_elements_without_a_shift_changes_nothing(table) -> None:
    assert shift_figure(table, chosen=["U", "Xe"]) == shift_figure(table)


def test_nothing_and_one_element_are_drawn_or_said(table) -> None:
    none = table.assign(shift=math.nan, published=math.nan)
    assert "No element has a shift" in shift_figure(none).layout.annotations[0].text
    one = shift_figure(table.iloc[[2]].assign(n_materials=1))
    assert one.data[1].customdata[0][2] == "1 material"
    assert one.layout.annotations[0].text == "N = 1 element" and "nan" not in one.to_json().lower()


def test_importances_are_sorted_and_keep_their_spread() -> None:
    names = [f"E{i}" for i in range(40)]
    table = pd.DataFrame({"per_atom": np.arange(40.0), "permutation": np.arange(40.0)[::-1], "permutation_std": 0.5}, index=names)
    table.loc["E39", "per_atom"] = math.nan
    impurity, permutation = importance_figure(table, 1234).data
    assert list(impurity.x) == list(range(39 - SHOWN, 39)) and list(impurity.customdata) == names[39 - SHOWN : 39]
    np.testing.assert_array_equal(permutation.x, 1000 * (39 - np.asarray(impurity.x)))
    assert set(permutation.error_x.array) == {500.0}
    figure = importance_figure(table, 1234)
    assert figure.layout.annotations[-1].text.startswith(f"N = 1,234 pairs · the {SHOWN} largest of 39 elements")
    assert list(figure.layout.yaxis.ticktext) == list(impurity.customdata)


def test_importances_of_nothing_are_said() -> None:
    empty = pd.DataFrame({"per_atom": [], "permutation": [], "permutation_std": []})
    assert "too few pairs" in importance_figure(empty, 0).layout.annotations[0].text
