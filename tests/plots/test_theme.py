"""The look: both modes, the line that states N, ticks."""

import plotly.graph_objects as go
import pytest

from xfunc_core.plots.theme import (
    CENTRED_NOTE_WIDTH,
    NOTE_WIDTH,
    apply_theme,
    faded,
    log_ticks,
    nothing_to_draw,
    on_ground,
    palette,
    scatter_class,
    template,
)


@pytest.mark.parametrize("dark", [False, True])
def test_the_ground_is_transparent_and_text_follows_the_mode(dark):
    layout = template(dark).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.font.color == palette(dark).text
    assert palette(True).text != palette(False).text


def test_a_long_note_is_broken_at_its_dots_and_gets_room():
    short = apply_theme(go.Figure(), note="N = 3")
    long = apply_theme(go.Figure(), note=" · ".join(["twenty characters ok"] * 5))
    assert short.layout.annotations[0].text == "N = 3"
    assert long.layout.annotations[0].text.count("<br>") == 2
    assert long.layout.margin.t > short.layout.margin.t


def test_a_sentence_longer_than_a_line_is_broken_between_words():
    sentence = "Every value counts for each element in its structure with the atomic fraction of that element."
    for centred, width in ((False, NOTE_WIDTH), (True, CENTRED_NOTE_WIDTH)):
        lines = apply_theme(go.Figure(), note=f"N = 3 · {sentence}", centred=centred).layout.annotations[0].text.split("<br>")
        assert max(map(len, lines)) <= width and " ".join(lines) in (f"N = 3 {sentence}", f"N = 3 · {sentence}")


def test_the_legend_shows_only_when_it_has_rows():
    assert apply_theme(go.Figure()).layout.showlegend is False
    assert apply_theme(go.Figure(), legend_rows=2).layout.margin.b > apply_theme(go.Figure(), legend_rows=1).layout.margin.b


def test_colours_are_lifted_on_dark_ground_only():
    assert on_ground("#000000", dark=False) == "#000000"
    assert on_ground("#000000", dark=True) == "#555555"
    assert faded("#0072B2", 0.5) == "rgba(0, 114, 178, 0.5)"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(1, 1000, [1, 10, 100, 1000]), (20, 160, [20, 50, 100]), (0.02, 0.035, [0.02, 0.025, 0.03, 0.035])],
)
def test_log_ticks_are_round_numbers_in_range(low, high, ticks):
    got = log_ticks(low, high)
    assert set(ticks) <= set(got) and 4 <= len(got) <= 9
    assert low / 1.1 <= min(got) and max(got) <= high * 1.1


def test_few_points_stay_vector_graphics():
    assert scatter_class(1392) is go.Scatter and scatter_class(10_000) is go.Scattergl


def test_an_empty_figure_says_why():
    assert nothing_to_draw("No run yet.").layout.annotations[0].text == "No run yet."
