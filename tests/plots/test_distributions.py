"""Histograms: what is drawn is what was counted."""

from types import SimpleNamespace

import numpy as np

from xfunc_core.plots.distributions import distributions

EDGES = np.linspace(0.0, 4.0, 5)


def panel(title, *counts):
    return SimpleNamespace(title=title, edges=EDGES, counts=tuple(map(np.array, counts)))


def test_one_panel_a_quantity_one_colour_a_dataset():
    figure = distributions([panel("Pressure (GPa)", [1, 0, 2, 3], [4, 4, 0, 0]), panel("Volume (Å³/atom)", [6, 0, 0, 0], [8, 0, 0, 0])], ["a", "b"])
    assert [bar.name for bar in figure.data] == ["a", "b", "a", "b"]
    assert len({bar.marker.color for bar in figure.data}) == 2
    np.testing.assert_array_equal(figure.data[0].y, [1, np.nan, 2, 3])
    assert list(figure.data[0].customdata) == ["1 frame", "0 frames", "2 frames", "3 frames"]
    np.testing.assert_allclose(figure.data[0].x, [0.5, 1.5, 2.5, 3.5])
    assert figure.layout.xaxis.title.text == "Pressure (GPa)"
    assert figure.layout.xaxis2.title.text == "Volume (Å³/atom)"


def test_the_note_states_n():
    note = distributions([panel("Pressure (GPa)", [1, 0, 2, 3])], ["a"]).layout.annotations[-1].text
    assert note.startswith("N = 6 ")


def test_nothing_is_said_in_words():
    assert "No frame" in distributions([], ["a"]).layout.annotations[0].text


def test_names_are_no_html():
    figure = distributions([panel("Pressure (GPa)", [1, 0, 2, 3], [4, 4, 0, 0])], ["<b>a</b>", "b & c"])
    assert [bar.name for bar in figure.data] == ["&lt;b>a&lt;/b>", "b &amp; c"]
    assert figure.layout.annotations[-1].text.startswith("&lt;b>a&lt;/b>: N = 6 · b &amp; c: N = 8")
