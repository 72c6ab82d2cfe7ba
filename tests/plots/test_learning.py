"""Learning curves: one panel per quantity with numbers, in the error unit."""

import math

import pytest

from xfunc_core.plots.learning import learning_curves


def records(n=5, magmom=math.nan):
    found = []
    for k in range(1, n + 1):
        part = {"energy": 0.1 / k, "force": 0.08 / k, "stress": 0.3 / k, "magmom": magmom}
        found.append({"epoch": k, "step": 10 * k, "lr": 1e-3, "train": part, "validation": part})
    return found


def titles(fig):
    return [a.text for a in fig.layout.annotations if a.name != "note"]


def test_a_quantity_without_numbers_has_no_panel():
    assert titles(learning_curves(records())) == ["Energy MAE (meV/atom)", "Force MAE (meV/Å)", "Stress MAE (GPa)"]
    assert len(titles(learning_curves(records(magmom=0.02)))) == 4


def test_few_epochs_have_a_tick_each():
    assert learning_curves(records(n=3)).layout.xaxis.dtick == 1
    assert learning_curves(records(n=30)).layout.xaxis.dtick is None
    assert {learning_curves(records()).layout[a].title.text for a in ("xaxis", "xaxis2", "xaxis3")} == {"Epoch"}


def test_values_are_in_the_error_unit_on_log_axes():
    fig = learning_curves(records())
    assert [t.name for t in fig.data] == ["Training", "Validation"] * 3
    assert list(fig.data[0].x) == [1, 2, 3, 4, 5] and fig.data[0].y[0] == pytest.approx(100.0)
    assert fig.data[4].y[0] == pytest.approx(0.3)
    assert fig.layout.yaxis.type == fig.layout.yaxis3.type == "log"


def test_zoom_survives_an_update():
    assert learning_curves(records(2)).layout.uirevision == learning_curves(records(9)).layout.uirevision is not None


def test_gaps_are_left_out():
    rows = records(3)
    rows[1]["validation"] = {"energy": math.nan}
    rows[2]["validation"] = None
    fig = learning_curves(rows)
    assert list(next(t for t in fig.data if t.name == "Validation").x) == [1]


def test_the_note_states_frames_and_the_best_epoch():
    note = learning_curves(records(), n_train=640, n_validation=80).layout.annotations[-1].text
    assert note.replace("<br>", " · ") == (
        "N = 640 training · 80 validation frames · lowest validation energy error 20.0 meV/atom at epoch 5"
    )


def test_before_the_first_epoch():
    assert learning_curves([]).layout.annotations[0].text == "No epoch has finished yet."
