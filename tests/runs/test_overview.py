"""How far a run is, and the table of runs, from records with known numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.overview import progress_of, run_table
from xfunc_core.runs.state import RunState


@pytest.fixture
def run(root: Path) -> RunFolder:
    return RunFolder.create(root, {"method": "M4", "dataset": "few", "epochs": 20}, run_id="r")


def epoch(number: int, energy: float, seconds: float = 3.0) -> dict:
    return {"kind": "epoch", "epoch": number, "step": 2 * number, "total_steps": 40, "lr": 1e-3, "train": {}, "validation": {"energy": energy}, "best_epoch": 1, "seconds": seconds}


def step(number: int, seconds: float) -> dict:
    return {"kind": "step", "epoch": number // 2 + 1, "step": number, "total_steps": 40, "seconds": seconds}


def test_waiting_run_has_no_progress(run: RunFolder) -> None:
    found = progress_of(run)
    assert (found.records, found.epoch, found.epochs, found.fraction, found.seconds) == ([], 0, 20, 0.0, 0.0)
    assert math.isnan(found.seconds_left)


def test_time_left_follows_from_the_pace(run: RunFolder) -> None:
    for record in (step(1, 2.0), epoch(1, 0.5), step(3, 1.0)):
        run.append_progress(record)
    found = progress_of(run)
    assert found.records == [epoch(1, 0.5)]
    assert (found.epoch, found.fraction) == (1, 3 / 40)
    assert found.seconds == pytest.approx(4.0)  # an epoch of 3 s and 1 s into the next
    assert found.seconds_left == pytest.approx(4.0 * 37 / 3)


def test_epochs_validated_together_count_all(run: RunFolder) -> None:
    run.append_progress(epoch(8, 0.5))
    run.append_progress(epoch(16, 0.4))
    found = progress_of(run)
    assert (found.epoch, len(found.records), found.fraction) == (16, 2, 0.8)
    assert found.seconds_left == pytest.approx(6.0 * 0.25)


def test_finished_run_has_nothing_left(run: RunFolder) -> None:
    run.append_progress(epoch(20, 0.5))
    assert (progress_of(run).fraction, progress_of(run).seconds_left) == (1.0, 0.0)


def test_damaged_settings_leave_the_progress(run: RunFolder) -> None:
    run.append_progress(epoch(4, 0.5))
    run.config_file.write_text("[")
    assert (progress_of(run).epoch, progress_of(run).epochs) == (4, 0)


@pytest.mark.parametrize("edited", ["many", [20], None])
def test_epochs_edited_into_something_else_are_not_known(run: RunFolder, edited: object) -> None:
    run.write_json(run.config_file, {"method": "M4", "dataset": "few", "epochs": edited})
    assert progress_of(run).epochs == 0
    assert run_table([run])["Epochs"].tolist() == ["0 / –"]


def test_records_with_an_error_that_is_no_number_are_left_out(run: RunFolder) -> None:
    for record in (epoch(1, 0.5), epoch(2, "small"), epoch(3, 0.4) | {"train": []}, epoch(4, 0.3) | {"validation": None}):
        run.append_progress(record)
    assert progress_of(run).records == [epoch(1, 0.5)]


def test_table_says_each_run_in_a_line(run: RunFolder, root: Path) -> None:
    for record in (epoch(1, 0.5), epoch(2, 0.0423), epoch(3, math.nan), epoch(4, 0.1)):
        run.append_progress(record)
    run.finish(RunState.CANCELLED)
    run.rename("First try")
    broken = RunFolder.create(root, {}, run_id="broken")
    broken.config_file.write_text("{")
    table = run_table([run, broken])
    assert list(table["Run"]) == ["First try", "broken"]
    assert list(table["State"]) == ["Cancelled", "Broken"]
    assert list(table["Method"]) == ["M4", "–"]
    assert list(table["Data"]) == ["few", "–"]
    assert list(table["Epochs"]) == ["4 / 20", "0 / –"]
    assert list(table["Best validation energy MAE (meV/atom)"]) == ["42.3", "–"]
    created = run.created_at.astimezone()
    assert table["Submitted"].iat[0] == f"{created:%Y-%m-%d %H:%M}"


def test_no_run_gives_an_empty_table() -> None:
    assert run_table([]).empty
