"""The run folder: what is found in it, whatever state it is in."""

from __future__ import annotations

import errno
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.errors import RunError
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.identity import Identity
from xfunc_core.runs.state import RunState

CONFIG = {"method": "M4", "device": "cpu"}


@pytest.fixture
def run(root: Path) -> RunFolder:
    return RunFolder.create(root, CONFIG)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC


def launch_of_dead_process() -> Identity:
    me = Identity.of(os.getpid())
    return Identity(me.pid, "1", me.system, me.host)


# --- making -----------------------------------------------------------------------------------


def test_new_run_waits_and_says_what_it_is(run: RunFolder) -> None:
    assert run.state() is RunState.QUEUED
    assert run.config() == CONFIG
    assert run.id.split("-")[2] == "m4"
    assert abs((datetime.now(UTC) - run.created_at).total_seconds()) < 60
    assert (run.started_at, run.ended_at, run.outcome(), run.progress(), run.log_tail()) == (None, None, None, [], "")


def test_same_id_twice_is_one_run(root: Path) -> None:
    first = RunFolder.create(root, CONFIG, run_id="abc")
    assert RunFolder.create(root, {"method": "M1"}, run_id="abc") == first
    assert first.config() == CONFIG
    assert list_runs(root) == [first]


@pytest.mark.parametrize("run_id", ["", ".", "..", ".hidden", "a/b", "../x", "/abs", "a\0b", "a b", "a\n", "ü", "x" * 101])
def test_ids_that_are_no_folder_names_are_refused(root: Path, run_id: str) -> None:
    with pytest.raises(RunError, match="cannot name a run"):
        RunFolder.create(root, CONFIG, run_id=run_id)
    assert list(root.iterdir()) == []


def test_config_that_is_not_json_leaves_nothing(root: Path) -> None:
    with pytest.raises(TypeError):
        RunFolder.create(root, {"x": object()})
    assert list(root.iterdir()) == []


def test_full_disk_is_said_and_leaves_nothing(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(RunError, match="no free disk space in "):
        RunFolder.create(small_disk, CONFIG)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_disk_that_fills_while_writing_is_said_and_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no free disk space in "):
        RunFolder.create(root, CONFIG)
    assert list(root.iterdir()) == []


def test_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs", CONFIG)


def test_list_is_newest_first_and_passes_over_what_is_no_run(root: Path) -> None:
    made = [RunFolder.create(root, CONFIG, run_id=name) for name in ("b", "a", "c")]
    (root / ".hidden").mkdir()
    (root / "note.txt").write_text("")
    assert list_runs(root) == made[::-1]
    assert list_runs(root / "missing") == []


def test_two_who_make_the_same_run_at_once_get_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = RunFolder.create(root, CONFIG, run_id="same")
    monkeypatch.setattr(Path, "exists", lambda self: False)  # the second looked before the first was there
    assert RunFolder.create(root, {"method": "M1"}, run_id="same") == first
    assert [path.name for path in root.iterdir()] == ["same"]
    assert first.config() == CONFIG


def test_what_the_system_refuses_is_said(run: RunFolder) -> None:
    run.lock_file.unlink()
    run.lock_file.mkdir()
    run.title_file.mkdir()
    for act in (run.delete, run.retry, lambda: run.rename("x")):
        with pytest.raises(RunError, match="cannot be written"):
            act()


# --- states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"a": 1'])
def test_config_edited_into_nonsense_is_broken_and_said(run: RunFolder, content: bytes) -> None:
    run.config_file.write_bytes(content)
    assert run.state() is RunState.BROKEN
    with pytest.raises(RunError, match="repair the file or delete the run"):
        run.config()
    assert "config.json" in run.explanation()
    run.delete()


def test_missing_folder_is_broken_and_said(root: Path) -> None:
    run = RunFolder(root / "nothing")
    assert run.state() is RunState.BROKEN
    for act in (run.config, run.delete, run.retry):
        with pytest.raises(RunError, match="no run nothing"):
            act()


@pytest.mark.parametrize("content", ["", "[]", '{"state": "glorious"}', '{"state": "lost"}', '{"state": []}'])
def test_outcome_edited_into_nonsense_is_broken(run: RunFolder, content: str) -> None:
    run.outcome_file.write_text(content)
    assert run.state() is RunState.BROKEN
    assert "outcome.json" in run.explanation()


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.FAILED, RunState.CANCELLED])
def test_outcome_decides_even_against_a_cancel_and_a_broken_config(run: RunFolder, state: RunState) -> None:
    run.request_cancel()
    run.config_file.write_text("")
    run.finish(state, "Done: r²SCAN \udcff.", epochs=3)
    assert run.state() is state
    assert run.outcome()["epochs"] == 3
    assert run.explanation().startswith("Done: r²SCAN")
    assert run.ended_at is not None


@pytest.mark.parametrize("state", [RunState.LOST, RunState.BROKEN, RunState.QUEUED, RunState.RUNNING])
def test_derived_states_are_never_stored(run: RunFolder, state: RunState) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        run.finish(state)


def test_cancelled_while_waiting(run: RunFolder) -> None:
    run.request_cancel()
    assert run.state() is RunState.CANCELLED


def test_live_pid_with_another_start_time_is_not_the_worker(run: RunFolder) -> None:
    me = Identity.of(os.getpid())
    run.write_json(run.worker_file, me.to_json())
    assert run.state() is RunState.RUNNING
    run.write_json(run.worker_file, me.to_json() | {"started": "12345"})
    assert run.state() is RunState.LOST


@pytest.mark.parametrize("content", ["", "{}", "nonsense", '{"pid": "1", "started": 2}', '{"pid": -1, "started": "2", "system": "", "host": ""}'])
def test_launch_edited_into_nonsense_is_lost_and_not_started_again(run: RunFolder, content: str) -> None:
    run.launch_file.write_text(content)
    os.utime(run.launch_file, (0, 0))
    assert run.state() is RunState.LOST


def test_run_of_another_machine_lives_by_its_heartbeat(run: RunFolder) -> None:
    run.write_json(run.worker_file, Identity(1, "1", "another boot", "node7").to_json())
    run.heartbeat_file.touch()
    assert run.state() is RunState.RUNNING
    for file in (run.worker_file, run.heartbeat_file):
        os.utime(file, (0, 0))
    assert run.state() is RunState.LOST


def test_lost_run_quotes_its_log(run: RunFolder) -> None:
    run.log_file.write_text("start\nKilled: out of memory\n")
    run.record_launch(launch_of_dead_process(), "cpu")
    assert run.state() is RunState.LOST
    assert run.explanation().endswith("The log ends with: Killed: out of memory")


# --- what the user does -----------------------------------------------------------------------


def test_title_is_one_line_and_falls_back_to_the_id(run: RunFolder) -> None:
    assert run.title == run.id
    run.rename("  r²SCAN\n on oxides ")
    assert run.title == "r²SCAN on oxides"
    run.rename(" ")
    assert run.title == run.id


def test_delete_refuses_active_runs_and_leaves_nothing(run: RunFolder, root: Path) -> None:
    with pytest.raises(RunError, match="is queued: cancel it"):
        run.delete()
    run.request_cancel()
    run.delete()
    assert list(root.iterdir()) == []


def test_cancelling_what_is_over_changes_nothing(run: RunFolder) -> None:
    run.record_launch(launch_of_dead_process(), "cpu")
    run.request_cancel()
    assert run.state() is RunState.LOST


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost"])
def test_retry_waits_again_and_keeps_the_checkpoint(run: RunFolder, end: str) -> None:
    run.record_launch(launch_of_dead_process(), "cpu")
    run.checkpoint.write_bytes(b"weights")
    run.append_progress({"epoch": 1})
    if end != "lost":
        run.finish(RunState(end))
    run.retry()
    assert run.state() is RunState.QUEUED
    assert run.attempt == 2
    assert run.checkpoint.read_bytes() == b"weights"
    assert run.progress() == [{"epoch": 1}]
    assert (run.attempts / "1" / "launch.json").exists()
    with pytest.raises(RunError, match="cannot be resumed: it is queued"):
        run.retry()


def test_finished_run_is_not_retried(run: RunFolder) -> None:
    run.finish(RunState.FINISHED)
    with pytest.raises(RunError, match="it is finished"):
        run.retry()


# --- what the worker does ---------------------------------------------------------------------


def test_only_one_worker_claims_a_run(run: RunFolder, started, soon) -> None:
    child = started(run, "patient")
    assert run.state() is RunState.RUNNING
    with pytest.raises(RunError, match="Another process"), run.claim():
        pass
    with pytest.raises(RunError, match="is running: cancel it|still held"):
        run.delete()
    run.request_cancel()
    assert child.wait(10) == 0
    assert run.explanation() == "As you wished."
    with pytest.raises(RunError, match="is over"), run.claim():
        pass


def test_killed_worker_is_lost_though_not_yet_reaped_and_its_forked_child_lives(run: RunFolder, started, soon) -> None:
    child = started(run, "parent")
    soon((run.path / "child").exists)
    soon((run.path / "child").read_text)
    os.kill(child.pid, signal.SIGKILL)
    soon(lambda: run.state() is RunState.LOST)
    run.retry()  # takes the lock, which the forked child must not hold
    os.kill(int((run.path / "child").read_text()), signal.SIGKILL)


def test_heartbeat_beats_while_claimed(run: RunFolder, soon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.runs.claiming.HEARTBEAT_SECONDS", 0.01)
    with run.claim():
        os.utime(run.heartbeat_file, (0, 0))
        soon(lambda: run.heartbeat_file.stat().st_mtime > 0)
    assert run.started_at is not None
    os.utime(run.heartbeat_file, (0, 0))
    assert run.heartbeat_file.stat().st_mtime == 0


def test_full_disk_keeps_the_old_checkpoint_and_has_room_for_the_outcome(small_disk: Path) -> None:
    run = RunFolder.create(small_disk, CONFIG)
    run.write_json(run.checkpoint, "old")
    with run.claim():
        fill(small_disk)
        with pytest.raises(OSError, match="No space left"):
            run.write_json(run.checkpoint, "new")
        with pytest.raises(OSError, match="No space left"):
            for epoch in range(1000):
                run.append_progress({"epoch": epoch, "note": "x" * 100})
        run.finish(RunState.FAILED, "The disk is full.")
    assert json.loads(run.checkpoint.read_text()) == "old"
    assert run.state() is RunState.FAILED
    assert not list(run.path.glob(".*"))
    run.delete()


def test_log_tail_reads_the_end_of_a_long_log(run: RunFolder) -> None:
    with run.log_file.open("wb") as log:
        for number in range(200_000):
            log.write(b"line %d\n" % number)
        log.write(b"\xff torn")
    assert run.log_tail(3).splitlines() == ["line 199998", "line 199999", "\ufffd torn"]
    assert len(run.log_tail(10**6)) <= 256 * 1024
    assert run.log_tail(10**6).startswith("line ")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8)
RECORDS = st.lists(st.dictionaries(st.text(), JSON, min_size=1, max_size=4), max_size=6)


@given(before=RECORDS, torn=st.dictionaries(st.text(), JSON, min_size=1), cut=st.floats(0, 1, exclude_max=True), after=RECORDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_progress_survives_any_records_and_a_torn_line_anywhere(run: RunFolder, before: list, torn: dict, cut: float, after: list) -> None:
    run.progress_file.write_bytes(b"")
    for record in before:
        run.append_progress(record)
    line = json.dumps(torn).encode()
    with run.progress_file.open("ab") as stream:
        stream.write(line[: int(len(line) * cut)])
    assert run.progress() == before
    for record in after:
        run.append_progress(record)
    assert run.progress() == before + after
