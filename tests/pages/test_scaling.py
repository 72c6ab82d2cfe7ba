"""The Scaling page: laws fitted here with numpy on the runs' own test errors, the paper beside them, and new sweeps."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from xfunc_core.data.library import open_dataset
from xfunc_core.quantities import Method
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.state import RunState
from xfunc_core.runs.sweeps import list_sweeps
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

METHODS = {"M1": "M1 · from scratch", "M4": "M4 · transfer, refitted AtomRef"}
QUANTITIES = {"energy": ("energy", "meV/atom", 1000.0), "force": ("forces", "meV/Å", 1000.0), "stress": ("stress", "GPa", 1.0)}
FIG6_ENERGY = {  # Huang et al. 2025, Fig. 6, meV/atom by training frames, from the project's notes on the paper
    "M4": {196: 113, 1008: 73, 1987: 52, 4036: 38, 19_350: 23, 38_563: 20, 190_560: 15},
    "M1": {196: 542, 1008: 482, 1987: 354, 4036: 228, 19_350: 71, 38_563: 49, 190_560: 22},
}


def sweep_runs(home: Path, sweep_id: str) -> list[Path]:
    return sorted((home / "runs").glob(f"{sweep_id}-*"))


def mae_of(run: Path, key: str) -> tuple[str, int, float]:
    """Method, training frames and test MAE on screen's scale, from split.json and predictions.npz."""
    name, _, scale = QUANTITIES[key]
    with np.load(run / "predictions.npz") as saved:
        mae = scale * mean_absolute_error(saved[f"test/label/{name}"].ravel(), saved[f"test/trained/{name}"].ravel())
    return json.loads((run / "config.json").read_text())["method"], len(json.loads((run / "split.json").read_text())["train"]), mae


@pytest.fixture
def measured(trained, sweep_id):
    """Training frames and test MAE of the sweep's runs, by method, smaller first."""

    def of(key: str) -> dict[str, list[tuple[int, float]]]:
        runs = [mae_of(run, key) for run in sweep_runs(trained, sweep_id)]
        return {method: sorted((size, mae) for m, size, mae in runs if m == method) for method in METHODS}

    return of


def named(figure: dict[str, Any], start: str) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if (trace.get("name") or "").startswith(start)]


def paper_points(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if trace.get("legendgroup") == "paper"]


# --- a finished sweep -------------------------------------------------------------------------


def test_progress_is_a_sentence(trained, screen, sweep_id) -> None:
    n = len(sweep_runs(trained, sweep_id))
    [bar] = screen("scaling").at.get("progress")
    assert (bar.proto.value, bar.proto.text) == (100, f"{n} of {n} runs finished")


@pytest.mark.parametrize("key", list(QUANTITIES))
def test_law_table_is_a_straight_line_through_the_runs_own_errors(trained, screen, measured, as_number, key) -> None:
    page = screen("scaling").choose("sweep_quantity", key)
    table = page.table("Method", "Exponent (95 % interval)").set_index("Method")
    assert set(table.index) == set(METHODS.values())
    [column] = [name for name in table.columns if name.startswith("Test MAE there")]
    assert QUANTITIES[key][1] in column
    for method, runs in measured(key).items():
        sizes, errors = np.transpose(runs)
        slope, _ = np.polyfit(np.log10(sizes), np.log10(errors), 1)
        row = table.loc[METHODS[method]]
        assert as_number(row["Exponent (95 % interval)"].split(" (")[0]) == pytest.approx(slope, abs=0.0051)
        assert "(" not in row["Exponent (95 % interval)"]  # two runs leave no scatter to resample
        assert as_number(row["Largest N"]) == sizes.max()
        assert as_number(row[column]) == pytest.approx(errors[sizes.argmax()], abs=0.051 if QUANTITIES[key][2] > 1 else 0.00051)
        assert as_number(row["Runs"]) == len(runs)


@pytest.mark.parametrize("key", list(QUANTITIES))
def test_figure_draws_every_run_and_its_law(trained, screen, measured, array, key) -> None:
    figure = screen("scaling").choose("sweep_quantity", key).figure("scaling")
    assert QUANTITIES[key][1] in figure["layout"]["yaxis"]["title"]["text"]
    assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"
    for method, runs in measured(key).items():
        [means] = named(figure, METHODS[method])
        np.testing.assert_allclose(np.transpose([array(means["x"]), array(means["y"])]), runs, rtol=1e-6)
        slope, intercept = np.polyfit(*np.log10(np.transpose(runs)), 1)
        assert f"slope {slope:.2f}".replace("-", "−") in means["name"]
        lines = [t for t in figure["data"] if t.get("mode") == "lines" and t["line"].get("color") == means["marker"]["color"]]
        assert [line["line"]["dash"] for line in lines] == ["solid"]  # two sizes are not extrapolated
        for line in lines:
            np.testing.assert_allclose(array(line["y"]), 10 ** (intercept + slope * np.log10(array(line["x"]))), rtol=1e-6)


def test_paper_overlay_adds_its_points_with_its_label(trained, screen, array) -> None:
    page = screen("scaling")
    points, legend = paper_points(page.figure("scaling"))
    drawn: dict[str, dict[int, float]] = {}
    for method, size, error in zip(points["customdata"], array(points["x"]), array(points["y"]), strict=True):
        drawn.setdefault(method, {})[int(size)] = round(float(error), 6)
    assert drawn == FIG6_ENERGY
    assert re.sub("<br>", " ", legend["name"]) == "Huang et al. 2025, Fig. 6 (digitised, validation set, MP-r²SCAN)"
    without = page.choose("paper_overlay", False).figure("scaling")
    assert not paper_points(without)
    own = [trace for trace in page.choose("paper_overlay", True).figure("scaling")["data"] if trace.get("legendgroup") != "paper"]
    assert [(trace["x"], trace["y"]) for trace in own] == [(trace["x"], trace["y"]) for trace in without["data"]]


def test_paper_has_energy_and_force_only(trained, screen) -> None:
    page = screen("scaling")
    force = paper_points(page.choose("sweep_quantity", "force").figure("scaling"))
    assert len(force) == 2
    assert not paper_points(page.choose("sweep_quantity", "stress").figure("scaling"))
    assert page.widget("paper_overlay").disabled


def test_quantity_without_labels_has_no_law(trained, screen) -> None:
    assert "Magnetic moment" not in str(screen("scaling").widget("sweep_quantity").options)  # xfunc-dft has none, so it is not offered


def test_caveats_of_few_points(trained, screen, measured) -> None:
    words = screen("scaling").words()
    runs = measured("energy")["M4"]
    assert "Only 2 training sizes: the slope is a rough guide" in words
    assert "Only 1 seed at some sizes" in words
    assert f"The sizes span a factor of {runs[-1][0] / runs[0][0]:.1f}, less than one decade: do not extrapolate." in words
    assert "In this sweep every run sees its frames equally often." in words
    assert "Errors are test MAEs; references are fitted on each subset alone, for M1 and M4 by the same scheme." in words


def test_runs_behind_it(trained, screen, sweep_id, as_number) -> None:
    table = screen("scaling").table("Run", "Training frames").set_index("Run")
    assert set(table.index) == {run.name for run in sweep_runs(trained, sweep_id)}
    for run in sweep_runs(trained, sweep_id):
        method, size, mae = mae_of(run, "energy")
        row = table.loc[run.name]
        assert (row["State"], row["Method"], row["Training frames"]) == ("Finished", method, f"{size:,}")
        assert as_number(row["Energy MAE (meV/atom)"]) == pytest.approx(mae, abs=0.051)
        assert as_number(row["N test frames"]) == len(json.loads((run / "split.json").read_text())["test"])
    assert "Magnetic moment MAE (μB)" not in table.columns


# --- damaged and incomplete sweeps ------------------------------------------------------------


def test_run_without_readable_results_is_counted_and_left_out(trained, screen, sweep_id, measured) -> None:
    bad = trained / "runs" / f"{sweep_id}-m1-n8-s0"
    (bad / "metrics.json").write_text("garbage")
    page = screen("scaling")
    [bar] = page.at.get("progress")
    assert bar.proto.text == "3 of 4 runs finished · 1 broken"
    assert not page.errors()
    table = page.table("Method", "Exponent (95 % interval)").set_index("Method")
    assert table.loc[METHODS["M1"], "Exponent (95 % interval)"] == "–"
    assert table.loc[METHODS["M1"], "Runs"] == "1"
    slope, _ = np.polyfit(*np.log10(np.transpose(measured("energy")["M4"])), 1)
    assert float(table.loc[METHODS["M4"], "Exponent (95 % interval)"].replace("−", "-")) == pytest.approx(slope, abs=0.0051)
    assert "M1: A power law needs runs at two training sizes or more" in page.words()




@pytest.mark.parametrize("settings", ["nonsense", "{}", '{"method": "M9", "seed": 0, "train_size": 8}'])
def test_run_with_edited_settings_does_not_take_the_page_down(trained, screen, sweep_id, settings) -> None:
    (trained / "runs" / f"{sweep_id}-m1-n8-s0" / "config.json").write_text(settings)
    page = screen("scaling")
    assert not page.errors()
    assert METHODS["M4"] in set(page.table("Method", "Exponent (95 % interval)")["Method"])


def test_sweep_whose_runs_are_gone(trained, screen, sweep_id) -> None:
    for run in sweep_runs(trained, sweep_id):
        shutil.rmtree(run)
    page = screen("scaling")
    assert not page.errors()
    [bar] = page.at.get("progress")
    assert bar.proto.text == "0 of 0 runs finished"
    assert len(paper_points(page.figure("scaling"))) == 2
    page.choose("paper_overlay", False)
    assert "No finished run has a test error yet." in json.dumps(page.figure("scaling"))


@pytest.mark.parametrize("record", ["garbage", "[]", "{}", '{"id": "a", "title": "a", "budget": [], "run_ids": []}', '{"id": ["x"], "title": "a", "budget": "steps", "run_ids": []}'])
def test_unreadable_record_is_passed_over(trained, screen, sweep_id, record) -> None:
    (trained / "sweeps" / "other.json").write_text(record)
    assert [sweep_id in option for option in screen("scaling").widget("sweep").options] == [True]


def test_no_sweep_is_a_designed_empty_state(home, screen) -> None:
    page = screen("scaling")
    assert "No sweep yet" in page.words()
    assert not page.at.get("plotly_chart")
    [form] = [expander for expander in page.at.expander if expander.label == "New sweep"]
    assert form.proto.expanded


# --- a new sweep ------------------------------------------------------------------------------


def announced(page: Any) -> int:
    return int(re.search(r"\*\*([\d,]+)\*\* runs on the same", page.words()).group(1).replace(",", ""))


def test_sizes_offered_halve_the_training_frames(home, screen) -> None:
    dataset = open_dataset(home / "datasets", "xfunc-dft-r2scan")
    pool = make_plan(FinetuneSettings(dataset=dataset.info.name), dataset).n_pool
    sizes = [int(part) for part in screen("scaling").widget("sizes_xfunc-dft-r2scan").value.split(", ")]
    assert sizes == [round(pool / 8), round(pool / 4), round(pool / 2), pool]


@pytest.mark.parametrize(("sizes", "seeds", "methods"), [("8, 16", 1, 2), ("8, 12, 16, 20", 3, 2), ("16; 8; 16", 2, 1), ("8,16,32", 1, 4)])
def test_preview_counts_the_runs(home, screen, sizes, seeds, methods) -> None:
    page = screen("scaling")
    assert page.widget("sweep_methods").value == [Method.M1, Method.M4]
    page.widget("sweep_methods").set_value(list(Method)[:methods])
    page.widget("sweep_seeds").set_value(seeds)
    page.choose("sizes_xfunc-dft-r2scan", sizes)
    assert announced(page) == len(set(re.findall(r"\d+", sizes))) * seeds * methods
    assert not page.errors()


@pytest.mark.parametrize(
    ("sizes", "part"),
    [("8", "at least two training sizes"), ("8, 8", "at least two training sizes"), ("8, many", "8, 16, 32"), ("0, 8", "8, 16, 32"), ("-4, 8", "8, 16, 32"), ("", "8, 16, 32"), ("8, 100000", "100000")],
)
def test_sizes_that_cannot_work_are_one_sentence(trained, screen, sizes, part) -> None:
    page = screen("scaling").choose("sizes_xfunc-dft-r2scan", sizes)
    [sentence] = page.errors()
    assert part in sentence
    assert "Launch the sweep" not in page.buttons()
    assert page.table("Method", "Exponent (95 % interval)") is not None  # the sweep above is still there


def test_no_method_is_one_sentence(home, screen) -> None:
    [sentence] = screen("scaling").choose("sweep_methods", []).errors()
    assert "choose from M1, M2, M3, M4" in sentence


def test_data_that_cannot_be_split_are_one_sentence(home, screen) -> None:
    [sentence] = screen("scaling").choose("sweep_dataset", "matpes-elements-r2scan").errors()
    assert "part is empty" in sentence


def test_launch_puts_every_run_of_the_sweep_into_the_queue(home, screen, held_queue) -> None:
    page = screen("scaling")
    page.widget("sweep_seeds").set_value(1)
    page.widget("sweep_epochs").set_value(3)
    page.widget("sweep_budget").set_value("epochs")
    page.choose("sizes_xfunc-dft-r2scan", "8, 16")
    with held_queue(home):
        page.click("Launch the sweep")
        [record] = list_sweeps(home / "sweeps")
        runs = {run.id: run.config() for run in list_runs(home / "runs")}
        assert set(runs) == set(record.run_ids)
        assert sorted((c["method"], c["train_size"], c["seed"], c["epochs"]) for c in runs.values()) == [(m, n, 0, 3) for m in ("M1", "M4") for n in (8, 16)]
        assert {config["sweep"] for config in runs.values()} == {record.id}
        assert page.widget("sweep").value == record.id
        [bar] = page.at.get("progress")
        assert bar.proto.text == "0 of 4 runs finished · 4 queued"
        for run_id in runs:
            RunFolder(home / "runs" / run_id).request_cancel()
    [bar] = page.run().at.get("progress")
    assert bar.proto.text == "0 of 4 runs finished · 4 cancelled"
    assert {run.state() for run in list_runs(home / "runs")} == {RunState.CANCELLED}


def test_equal_steps_give_small_subsets_more_epochs(home, screen, held_queue) -> None:
    page = screen("scaling")
    page.widget("sweep_seeds").set_value(1)
    page.widget("sweep_epochs").set_value(2)
    page.choose("sizes_xfunc-dft-r2scan", "8, 40")
    with held_queue(home):
        page.click("Launch the sweep")
        dataset = open_dataset(home / "datasets", "xfunc-dft-r2scan")
        settings = [FinetuneSettings.from_dict(run.config()) for run in list_runs(home / "runs")]
        for run in list_runs(home / "runs"):
            run.request_cancel()
    steps = {s.train_size: (make_plan(s, dataset).total_steps, make_plan(s, dataset).steps_per_epoch) for s in settings}
    most, _ = steps[40]
    small, an_epoch = steps[8]
    assert most <= small < most + an_epoch
    assert {s.epochs for s in settings if s.train_size == 40} == {2}


def test_sweep_that_cannot_be_recorded_is_one_sentence_and_starts_nothing(home, screen) -> None:
    page = screen("scaling").choose("sizes_xfunc-dft-r2scan", "8, 16")
    (home / "sweeps").write_text("")
    [sentence] = page.click("Launch the sweep").errors()
    assert "sweeps cannot be written" in sentence and sentence.endswith("check its permissions or set XFUNC_HOME.")
    assert list_runs(home / "runs") == []


def test_a_sweep_that_failed_to_start_is_not_found_by_the_next(home, screen, held_queue) -> None:
    page = screen("scaling").choose("sweep_seeds", 1).choose("sizes_xfunc-dft-r2scan", "8, 16")
    blocked(home)
    assert len(page.click("Launch the sweep").errors()) == 1
    first = {run.id for run in list_runs(home / "runs")}
    with held_queue(home):
        (home / "runs" / "dispatcher.log").rmdir()
        page.choose("sizes_xfunc-dft-r2scan", "8, 12").click("Launch the sweep")
        second = [run for run in list_runs(home / "runs") if run.id not in first]
        assert {run.config()["sweep"] for run in second} == {page.widget("sweep").value}  # the one just launched is shown
        sizes = sorted(run.config()["train_size"] for run in second)
        for run in list_runs(home / "runs"):
            run.request_cancel()
    assert sizes == [8, 8, 12, 12]


def blocked(home: Path) -> None:
    """Make it impossible to start the process that starts runs: its log is a folder."""
    (home / "runs" / "dispatcher.log").mkdir(parents=True)
