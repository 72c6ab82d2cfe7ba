"""The detached dispatcher process: one per folder, survives its starter, replaceable at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xfunc_core.errors import RunError
from xfunc_core.runs.dispatcher import ensure_dispatcher, submit
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.queue import LOCK_NAME
from xfunc_core.runs.state import RunState

SERVE = "import sys; from pathlib import Path; from xfunc_core.runs.queue import Dispatcher, Pace; Dispatcher(Path(sys.argv[1]), sys.argv[2:], 1, (), Pace(look=0.05, idle=0.5)).run()"


@pytest.fixture
def serve(root: Path, worker: Callable[[str], list[str]]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a dispatcher process for workers that behave as the name says."""
    children: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen([sys.executable, "-c", SERVE, str(root), *worker(name)]))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()


def is_served(root: Path) -> bool:
    with exclusive(root / LOCK_NAME) as free:
        return not free


def test_killed_dispatcher_leaves_the_run_alone_and_the_next_takes_over(root: Path, serve, soon) -> None:
    first, second = RunFolder.create(root, {}), RunFolder.create(root, {})
    dispatcher = serve("patient")
    soon(first.worker_file.exists)
    dispatcher.kill()
    dispatcher.wait()
    assert [first.state(), second.state()] == [RunState.RUNNING, RunState.QUEUED]
    successor = serve("good")
    soon(lambda: is_served(root))
    first.request_cancel()
    assert successor.wait(10) == 0
    assert [first.state(), second.state()] == [RunState.CANCELLED, RunState.FINISHED]
    assert first.explanation() == "As you wished."


def test_second_dispatcher_leaves_at_once(root: Path, serve, soon) -> None:
    run = RunFolder.create(root, {})
    first = serve("patient")
    soon(run.worker_file.exists)
    second = serve("patient")
    assert second.wait(5) == 0
    assert first.poll() is None
    assert run.state() is RunState.RUNNING


def test_interrupting_the_starters_group_reaches_neither_dispatcher_nor_worker(root: Path, soon, tmp_path: Path) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler); from pathlib import Path; from xfunc_core.runs.dispatcher import submit; submit(Path(sys.argv[1]), {'dataset': 'none'}); time.sleep(60)"
    interface = subprocess.Popen([sys.executable, "-c", code, str(root)], start_new_session=True, cwd=tmp_path, stderr=subprocess.DEVNULL)
    soon(lambda: is_served(root))
    os.killpg(interface.pid, signal.SIGINT)
    assert interface.wait(30) != 0  # a shell may have started these tests with the signal ignored; above it is heeded again
    assert is_served(root)
    (run,) = list_runs(root)
    soon(lambda: run.state().is_over, seconds=60)  # the real worker, which finds no dataset of that name
    assert run.state() is RunState.FAILED
    assert "no dataset 'none'" in run.explanation()


def test_submitting_one_id_twice_makes_one_run_and_one_dispatcher(root: Path, soon) -> None:
    broken = {"dataset": "none"}
    assert submit(root, broken, run_id="once") == submit(root, broken, run_id="once")
    assert len(list_runs(root)) == 1
    RunFolder(root / "once").request_cancel()
    soon(lambda: not RunFolder(root / "once").state().is_active, seconds=60)


def test_ensure_starts_nothing_without_work(root: Path) -> None:
    ensure_dispatcher(root)
    ensure_dispatcher(root / "missing")
    assert not (root / "dispatcher.log").exists()
    assert not (root / "missing").exists()


def test_dispatcher_that_cannot_be_started_is_said(root: Path) -> None:
    (root / "dispatcher.log").mkdir()
    with pytest.raises(RunError, match="could not be started"):
        submit(root, {})
