"""Sweeps in the queue and their table, from hand-made runs."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from xfunc_core.errors import RunError
from xfunc_core.runs import sweeps
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.results import STAGES
from xfunc_core.runs.state import RunState
from xfunc_core.runs.sweeps import SweepRecord, list_sweeps, open_sweep, record_sweep, submit_sweep, sweep_table

IDS = ("s1-m1-n8-s0", "s1-m4-n8-s0", "s1-m4-n16-s0")
RECORD = SweepRecord("s1", "Few frames · r²SCAN", "steps", IDS)


def config(run_id: str) -> dict:
    _, method, size, seed = run_id.split("-")
    return {"method": method.upper(), "train_size": int(size[1:]), "seed": int(seed[1:])}


@pytest.fixture
def submitted(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of sweeps after one was submitted, with nobody to run it."""
    monkeypatch.setattr(sweeps, "ensure_dispatcher", lambda runs_root: None)
    submit_sweep(tmp_path / "sweeps", root, RECORD.id, RECORD.title, RECORD.budget, {run_id: config(run_id) for run_id in IDS})
    return tmp_path / "sweeps"


def finish(run: RunFolder, n_train: int, **maes: float) -> None:
    trained = {quantity: {"n": 5, "mae": mae, "rmse": mae} for quantity, mae in maes.items()}
    errors = {part: {stage: trained if (part, stage) == ("test", "trained") else {} for stage in STAGES} for part in ("test", "validation")}
    run.write_json(run.metrics, {"errors": errors, "n_frames": {"train": n_train, "validation": 3, "test": 5}, "best_epoch": 1, "left_out": [], "n_elements": 6, "n_test_uncovered": 1})
    run.finish(RunState.FINISHED)


def test_record_is_written_before_the_runs_and_read_again(submitted: Path, root: Path) -> None:
    assert open_sweep(submitted, "s1") == RECORD
    assert {run.id for run in list_runs(root)} == set(IDS)
    assert RunFolder(root / IDS[0]).config() == config(IDS[0])


def test_submitting_twice_makes_nothing_twice(submitted: Path, root: Path) -> None:
    finish(RunFolder(root / IDS[0]), 8, energy=0.1)
    submit_sweep(submitted, root, RECORD.id, RECORD.title, RECORD.budget, {run_id: {} for run_id in IDS})
    assert len(list_runs(root)) == 3
    assert RunFolder(root / IDS[0]).config() == config(IDS[0])
    assert RunFolder(root / IDS[0]).state() is RunState.FINISHED


def test_table_tells_what_finished_and_what_did_not(submitted: Path, root: Path) -> None:
    finish(RunFolder(root / IDS[0]), 9, energy=0.25, force=0.5)
    RunFolder(root / IDS[1]).finish(RunState.FAILED, "The disk is full.")
    table = sweep_table(RECORD, root).set_index("run_id")
    assert list(table.index) == list(IDS)
    assert list(table["state"]) == [RunState.FINISHED, RunState.FAILED, RunState.QUEUED]
    assert list(table["method"]) == ["M1", "M4", "M4"]
    assert list(table["size"]) == [9, 8, 16]  # the frames really trained on, once they are known
    first = table.loc[IDS[0]]
    assert (first["energy"], first["force"], first["n_elements"], first["n_test"], first["n_test_uncovered"]) == (0.25, 0.5, 6, 5, 1)
    assert math.isnan(first["stress"])  # no labels
    assert table.loc[list(IDS[1:]), ["energy", "force"]].isna().all(axis=None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"errors": []}'])
def test_finished_run_without_readable_results_is_broken(submitted: Path, root: Path, content: str) -> None:
    finish(RunFolder(root / IDS[0]), 8, energy=0.1)
    RunFolder(root / IDS[0]).metrics.write_text(content)
    table = sweep_table(RECORD, root)
    assert table["state"].iat[0] is RunState.BROKEN
    assert math.isnan(table["energy"].iat[0])
    assert table["method"].iat[0] == "M1"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"method": "M1", "seed": "one", "train_size": 8}', '{"method": "M1", "seed": 0, "train_size": [8]}'])
def test_run_with_damaged_settings_is_broken_and_the_others_are_shown(submitted: Path, root: Path, content: str) -> None:
    RunFolder(root / IDS[1]).config_file.write_text(content)
    table = sweep_table(RECORD, root)
    assert list(table["state"]) == [RunState.QUEUED, RunState.BROKEN, RunState.QUEUED]


def test_deleted_runs_and_those_of_others_are_left_out(submitted: Path, root: Path) -> None:
    run = RunFolder(root / IDS[1])
    run.request_cancel()
    run.delete()
    RunFolder.create(root, {}, run_id="single")
    assert list(sweep_table(RECORD, root)["run_id"]) == [IDS[0], IDS[2]]


def test_table_of_no_run_has_its_columns(root: Path) -> None:
    table = sweep_table(RECORD, root)
    assert table.empty
    assert {"run_id", "state", "method", "seed", "size", "energy", "magmom"} <= set(table.columns)


def test_list_is_newest_first_and_passes_over_damage(submitted: Path) -> None:
    record_sweep(submitted, SweepRecord("s2", "x", "epochs", ()))
    os.utime(submitted / "s1.json", (1, 1))
    odd = [("a", ""), ("b", "[]"), ("c", '{"id": "c"}'), ("d", "\udcff"), ("e", '{"id": "e", "title": "", "budget": "", "run_ids": 3}')]
    whole = {"id": "f", "title": "", "budget": "", "run_ids": []}
    changes = ({"budget": []}, {"id": ["x"]}, {"title": None}, {"run_ids": [3]}, {"run_ids": {"a": "b"}})
    odd += [(f"f{i}", json.dumps(whole | change)) for i, change in enumerate(changes)]
    for name, content in odd:
        (submitted / f"{name}.json").write_bytes(content.encode(errors="surrogateescape"))
    assert [record.id for record in list_sweeps(submitted)] == ["s2", "s1"]
    assert list_sweeps(submitted / "missing") == []


def test_unknown_sweep_is_said(submitted: Path) -> None:
    with pytest.raises(RunError, match="There is no sweep 's9'"):
        open_sweep(submitted, "s9")


def test_record_that_cannot_be_written_is_said_and_no_run_is_made(tmp_path: Path, root: Path) -> None:
    (tmp_path / "sweeps").write_text("")
    with pytest.raises(RunError, match="sweeps cannot be written .*: check its permissions or set XFUNC_HOME"):
        submit_sweep(tmp_path / "sweeps", root, "s1", "x", "steps", {"s1-a": {}})
    assert list_runs(root) == []


def test_record_on_a_full_disk_is_said(small_disk: Path) -> None:
    (small_disk / "rest").write_bytes(bytes(250 * 1024))
    record = SweepRecord("s1", "x", "steps", tuple(f"run-{i}" for i in range(9999)))
    with pytest.raises(RunError, match="There is no free disk space in .*sweeps"):
        record_sweep(small_disk / "sweeps", record)
    assert list_sweeps(small_disk / "sweeps") == []
