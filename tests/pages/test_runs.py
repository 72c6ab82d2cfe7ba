"""The Runs page: every state a run can be in, made by real faults, and what a user can do about it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.state import RunState
from xfunc_core.training.settings import FinetuneSettings

ROOT = Path(__file__).resolve().parents[2]


def epochs_in(run: Path) -> list[dict]:
    """The epochs a run has recorded, by plain json."""
    records = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "epoch"]


def row(page, run_id: str) -> dict[str, str]:
    return page.table("Run", "State").set_index("Run").loc[run_id].to_dict()


def test_finished_run_in_the_table_and_below(trained, screen, run_id, as_number) -> None:
    run = trained / "runs" / run_id
    page = screen("runs").choose("run", run_id)
    config, epochs = json.loads((run / "config.json").read_text()), epochs_in(run)
    shown = row(page, run_id)
    assert (shown["State"], shown["Method"], shown["Data"]) == ("Finished", "M4", config["dataset"])
    assert shown["Epochs"] == f"{config['epochs']} / {config['epochs']}"
    best = 1000 * min(record["validation"]["energy"] for record in epochs)
    assert as_number(shown["Best validation energy MAE (meV/atom)"]) == pytest.approx(best, abs=0.06)
    created = datetime.fromisoformat(json.loads((run / "created.json").read_text())["created_at"])
    assert shown["Submitted"] == created.astimezone().strftime("%Y-%m-%d %H:%M")
    assert "**Finished** · Done; its results are ready." in page.words()
    assert {"See results", "Delete for good"} <= set(page.buttons())
    assert not {"Cancel", "Resume"} & set(page.buttons())


def test_every_run_is_a_row_and_the_newest_is_shown_first(trained, screen) -> None:
    page = screen("runs")
    created = {path.name: json.loads((path / "created.json").read_text())["created_at"] for path in (trained / "runs").iterdir()}
    newest_first = sorted(created, key=created.get, reverse=True)
    assert page.table("Run", "State")["Run"].tolist() == newest_first
    assert page.widget("run").value == newest_first[0]


def test_learning_curves_are_the_recorded_errors(trained, screen, run_id, array) -> None:
    page = screen("runs").choose("run", run_id)
    drawn = [array(trace["y"]).astype(float) for trace in page.figure(f"curves_{run_id}")["data"]]
    epochs = epochs_in(trained / "runs" / run_id)
    expected = [scale * np.array([record[part][key] for record in epochs]) for key, scale in (("energy", 1000), ("force", 1000), ("stress", 1)) for part in ("train", "validation")]
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)


def test_log_is_the_end_of_the_file(trained, screen, run_id) -> None:
    log = trained / "runs" / run_id / "log.txt"
    log.write_text("".join(f"line {i}\n" for i in range(1000)))
    [shown] = [code.value for code in screen("runs").choose("run", run_id).at.code]
    assert shown == "\n".join(f"line {i}" for i in range(800, 1000))


def test_see_results_leads_to_this_run(trained, screen, run_id, sweep_id) -> None:
    for chosen in (run_id, f"{sweep_id}-m1-n8-s0"):
        page = screen("runs").choose("run", chosen).click("See results")
        assert page.title() == "Results"
        assert page.widget("result_run").value == chosen


def test_no_run_is_a_designed_empty_state(home, screen) -> None:
    page = screen("runs")
    assert "No run yet" in page.words()
    assert page.go(page.links()["Launch a fine-tuning"]).title() == "Fine-tune"


# --- waiting, running, cancelled --------------------------------------------------------------


def test_waiting_run_can_be_cancelled_before_it_starts(home, screen, small, held_queue) -> None:
    with held_queue(home):
        run = RunFolder.create(home / "runs", small.to_dict(), run_id="waits")
        page = screen("runs")
        assert row(page, "waits")["State"] == "Queued"
        assert "**Queued** · Waiting for a free slot." in page.words()
        assert "Delete for good" not in page.buttons()
        page.click("Cancel")
    assert run.state() is RunState.CANCELLED
    assert row(page, "waits")["State"] == "Cancelled"
    assert {"Resume", "Delete for good"} <= set(page.buttons())


def test_running_run_shows_how_far_it_is_and_takes_the_wish_to_cancel(trained, screen, small, held_queue, run_id) -> None:
    records = (trained / "runs" / run_id / "progress.jsonl").read_text().splitlines()
    run = RunFolder.create(trained / "runs", small.to_dict(), run_id="runs-now")
    with held_queue(trained), run.claim():
        page = screen("runs")
        assert row(page, run.id)["State"] == "Running"
        assert "**Running** · Working" in page.words()
        assert not page.at.get("plotly_chart")
        run.progress_file.write_text("\n".join(records[: 1 + next(i for i, text in enumerate(records) if json.loads(text)["kind"] == "epoch")]) + "\n")
        [epoch] = epochs_in(run.path)
        assert row(page.run(), run.id)["Epochs"] == f"1 / {small.epochs}"
        [bar] = page.at.get("progress")
        assert bar.proto.value == round(100 * epoch["step"] / epoch["total_steps"])
        assert bar.proto.text.startswith(f"Epoch 1 of {small.epochs} · ")
        page.click("Cancel")
        assert run.cancel_requested()
        assert [button.disabled for button in page.at.button if button.label == "Cancel"] == [True]
        run.finish(RunState.CANCELLED, "Cancelled; as you wished.")
    assert "**Cancelled** · Cancelled; as you wished." in page.run().words()


# --- failed, lost, broken ---------------------------------------------------------------------


def test_failed_run_says_why_and_can_be_resumed(home, screen, work, until) -> None:
    run = RunFolder.create(home / "runs", FinetuneSettings(dataset="nowhere").to_dict(), run_id="fails")
    assert work(run) == 1
    page = screen("runs")
    why = json.loads(run.outcome_file.read_text())["message"]
    assert "'nowhere'" in why
    assert row(page, run.id)["State"] == "Failed"
    assert f"**Failed** · {why}" in page.words()
    [log] = [expander for expander in page.at.expander if expander.label == "Log"]
    assert log.proto.expanded
    assert why in log.code[0].value
    page.click("Resume")
    until(lambda: run.attempt == 2 and run.state().is_over)  # a dispatcher was started, and its worker fails again
    assert run.state() is RunState.FAILED
    assert json.loads((run.attempts / "1" / "outcome.json").read_text())["message"] == why
    page.run().click("Delete for good")
    assert not run.path.exists()
    assert "No run yet" in page.words()


def test_killed_worker_is_a_lost_run_that_can_be_resumed(home, screen, small, until) -> None:
    run = RunFolder.create(home / "runs", small.to_dict(), run_id="killed")
    worker = subprocess.Popen([sys.executable, "-m", "xfunc_core.worker", str(run.path)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(run.worker_file.exists)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    page = screen("runs")
    assert row(page, run.id)["State"] == "Lost"
    assert "**Lost** · The process is gone and left no result" in page.words()
    assert {"Resume", "Delete for good"} <= set(page.buttons())


@pytest.mark.parametrize("nonsense", ["nonsense", "[]", "", '{"method": "M4"'])
def test_broken_run_is_one_sentence_and_the_rest_stays(trained, screen, small, run_id, nonsense) -> None:
    broken = RunFolder.create(trained / "runs", small.to_dict(), run_id="broken")
    broken.config_file.write_text(nonsense)
    page = screen("runs").choose("run", "broken")
    assert row(page, "broken")["State"] == "Broken"
    [sentence] = page.errors()
    assert str(broken.config_file) in sentence
    page.choose("run", run_id)
    assert not page.errors()
    assert "**Finished**" in page.words()
    for other in ("start", "finetune", "results", "scaling"):
        assert not page.go(other).errors()


def test_broken_run_can_be_deleted(trained, screen, small) -> None:
    broken = RunFolder.create(trained / "runs", small.to_dict(), run_id="broken")
    broken.config_file.write_text("nonsense")
    screen("runs").choose("run", "broken").click("Delete for good")
    assert not broken.path.exists()


def test_settings_edited_into_other_types_do_not_take_the_page_down(trained, screen, run_id) -> None:
    (trained / "runs" / run_id / "config.json").write_text(json.dumps({"epochs": "many", "method": None, "dataset": ["a"]}))
    page = screen("runs").choose("run", run_id)
    assert "**Finished**" in page.words()


def test_torn_progress_is_survived(trained, screen, run_id) -> None:
    progress = trained / "runs" / run_id / "progress.jsonl"
    whole = progress.read_text()
    progress.write_text(whole + whole.splitlines()[-1][:20])
    page = screen("runs").choose("run", run_id)
    assert row(page, run_id)["Epochs"] == "2 / 2"


# --- what a user does -------------------------------------------------------------------------


def test_delete_removes_the_folder_and_the_row(trained, screen, run_id) -> None:
    others = {path.name for path in (trained / "runs").iterdir()} - {run_id}
    page = screen("runs").choose("run", run_id).click("Delete for good")
    assert {path.name for path in (trained / "runs").iterdir()} == others
    assert set(page.table("Run", "State")["Run"]) == others
    assert page.widget("run").value in others


def test_rename(trained, screen, run_id) -> None:
    page = screen("runs").choose("run", run_id).choose(f"title_{run_id}", "  My best\nrun ").click("Save")
    assert (trained / "runs" / run_id / "title.txt").read_text() == "My best run"
    assert row(page, "My best run")["State"] == "Finished"
    assert page.widget("run").value == run_id
    assert "My best run" in page.go("results").widget("result_run").options
    page.go("runs").choose(f"title_{run_id}", "").click("Save")
    assert row(page, run_id)["State"] == "Finished"


def test_two_runs_with_one_title_can_both_be_chosen(trained, screen) -> None:
    runs = list_runs(trained / "runs")[:2]
    for run in runs:
        run.rename("the same")
    page = screen("runs")
    for run in runs:
        assert page.choose("run", run.id).widget("run").value == run.id


def test_run_that_is_gone_meanwhile_is_no_accident(trained, screen, run_id) -> None:
    page = screen("runs").choose("run", run_id)
    shutil.rmtree(trained / "runs" / run_id)
    page.run()
    assert page.widget("run").value in os.listdir(trained / "runs")
