"""The queue with real worker processes: order, slots, cancelling, deaths."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.identity import Identity
from xfunc_core.runs.queue import Dispatcher, Pace, queue_position, waiting
from xfunc_core.runs.state import RunState

CPU, GPU = {"device": "cpu"}, {"device": "cuda"}
QUICK = Pace(look=0.02, idle=0.1, grace=0.2, kill=0.3, refused=0.1)


@pytest.fixture
def dispatcher(root: Path, worker: Callable[[str], list[str]]) -> Callable[..., Dispatcher]:
    """A dispatcher whose workers behave as the name says."""
    return lambda name, n_cpu=1, gpus=(): Dispatcher(root, worker(name), n_cpu, gpus, QUICK)


def look_until(dispatcher: Dispatcher, holds: Callable[[], object], soon: Callable[..., None]) -> None:
    soon(lambda: dispatcher.look() in (True, False) and holds())


def test_serves_all_runs_in_order_and_leaves(root: Path, dispatcher) -> None:
    runs = [RunFolder.create(root, CPU, run_id=name) for name in ("b", "c", "a")]
    dispatcher("good").run()
    assert [run.state() for run in runs] == [RunState.FINISHED] * 3
    assert sorted(runs, key=lambda run: run.started_at) == runs
    assert all(a.ended_at <= b.started_at for a, b in zip(runs, runs[1:], strict=False))


def test_broken_and_cancelled_runs_are_never_started_and_hold_up_nothing(root: Path, dispatcher) -> None:
    broken, cancelled, good = (RunFolder.create(root, CPU) for _ in range(3))
    broken.config_file.write_text("{")
    cancelled.request_cancel()
    dispatcher("good").run()
    assert [run.state() for run in (broken, cancelled, good)] == [RunState.BROKEN, RunState.CANCELLED, RunState.FINISHED]
    assert not broken.launch_file.exists()
    assert not cancelled.launch_file.exists()


def test_slots_limit_what_runs_at_once(root: Path, dispatcher, soon) -> None:
    runs = [RunFolder.create(root, CPU) for _ in range(3)]
    two = dispatcher("patient", n_cpu=2)
    two.look()
    assert [run.state() for run in runs] == [RunState.RUNNING, RunState.RUNNING, RunState.QUEUED]
    assert [queue_position(run) for run in runs] == [None, None, 1]
    assert waiting(root) == runs[2:]
    runs[0].request_cancel()
    look_until(two, lambda: runs[2].state() is RunState.RUNNING, soon)
    assert runs[1].state() is RunState.RUNNING


def test_gpu_runs_take_a_gpu_each_beside_the_cpu_runs(root: Path, dispatcher, soon) -> None:
    runs = [RunFolder.create(root, config) for config in (GPU, GPU, GPU, CPU)]
    dispatcher("patient", gpus=("0", "GPU-ab12")).look()
    assert [run.launch_slot() for run in runs] == ["gpu:0", "gpu:GPU-ab12", None, "cpu"]


def test_run_of_several_processes_takes_as_many_gpus_and_is_not_passed_while_it_waits(root: Path, dispatcher, soon) -> None:
    pair = {**GPU, "processes": 2}
    runs = [RunFolder.create(root, config) for config in (GPU, pair, GPU, {**CPU, "processes": 2})]
    queue = dispatcher("patient", gpus=("0", "GPU-ab12"))
    queue.look()
    assert [run.launch_slot() for run in runs] == ["gpu:0", None, None, "cpu"]  # the second GPU is kept for the pair
    runs[0].request_cancel()
    look_until(queue, lambda: runs[1].state() is RunState.RUNNING, soon)
    assert runs[1].launch_slot() == "gpu:0,GPU-ab12" and runs[2].launch_slot() is None
    runs[1].request_cancel()
    look_until(queue, lambda: runs[2].state() is RunState.RUNNING, soon)
    assert runs[2].launch_slot() == "gpu:0"


def test_worker_of_several_processes_sees_all_its_gpus(root: Path, dispatcher) -> None:
    run = RunFolder.create(root, {**GPU, "processes": 2})
    dispatcher("teller", gpus=("1", "3", "5")).run()
    assert json.loads(run.metrics.read_text())["CUDA_VISIBLE_DEVICES"] == "1,3"


def test_run_of_more_processes_than_gpus_fails_with_a_sentence(root: Path, dispatcher) -> None:
    run = RunFolder.create(root, {**GPU, "processes": 3})
    dispatcher("good", gpus=("0", "1")).run()
    assert run.state() is RunState.FAILED
    assert "asks for 3 GPUs, one for each of its processes, and this machine has 2" in run.explanation()


def test_worker_sees_its_gpu_and_its_threads(root: Path, dispatcher) -> None:
    cpu, gpu = RunFolder.create(root, CPU), RunFolder.create(root, GPU)
    dispatcher("teller", n_cpu=1000, gpus=("1",)).run()
    seen = [json.loads(run.metrics.read_text()) for run in (cpu, gpu)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in seen] == ["", "1"]
    assert [environment["OMP_NUM_THREADS"] for environment in seen] == ["1", "1"]


def test_gpu_run_without_a_gpu_fails_with_a_sentence(root: Path, dispatcher) -> None:
    run = RunFolder.create(root, GPU)
    dispatcher("good").run()
    assert run.state() is RunState.FAILED
    assert "launch it on the CPU" in run.explanation()


def test_stillborn_worker_is_lost_once_and_says_why(root: Path, dispatcher) -> None:
    run = RunFolder.create(root, CPU)
    dispatcher("stillborn").run()
    assert run.state() is RunState.LOST
    assert run.explanation().endswith("no module named torch")
    assert run.log_tail().count("Traceback") == 1
    run.retry()
    dispatcher("good").run()
    assert run.state() is RunState.FINISHED
    assert run.log_tail().count("Traceback") == 1


def test_killed_worker_is_lost_and_the_queue_goes_on(root: Path, dispatcher, soon) -> None:
    first, second = RunFolder.create(root, CPU), RunFolder.create(root, CPU)
    queue = dispatcher("deaf")
    queue.look()
    soon(first.worker_file.exists)
    os.kill(first.processes()[0].pid, signal.SIGKILL)
    look_until(queue, lambda: second.state() is RunState.RUNNING, soon)
    assert first.state() is RunState.LOST


def test_what_a_dead_worker_left_running_is_ended(root: Path, dispatcher, soon) -> None:
    run = RunFolder.create(root, CPU)
    queue = dispatcher("parent")
    queue.look()
    soon(lambda: (run.path / "child").exists() and (run.path / "child").read_text())
    child = Identity.of(int((run.path / "child").read_text()))
    os.kill(run.processes()[0].pid, signal.SIGKILL)
    look_until(queue, lambda: not child.is_alive(), soon)


@pytest.mark.parametrize(("name", "message"), [("patient", "As you wished."), ("deaf", "Stopped on request"), ("stubborn", "Stopped on request")])
def test_cancel_ends_the_run_whether_it_listens_or_not(root: Path, dispatcher, soon, name: str, message: str) -> None:
    run, following = RunFolder.create(root, CPU), RunFolder.create(root, CPU)
    queue = dispatcher(name)
    queue.look()
    soon(run.worker_file.exists)
    run.request_cancel()
    began = time.monotonic()
    look_until(queue, lambda: run.state() is RunState.CANCELLED, soon)
    assert run.explanation().startswith(message)
    if name == "stubborn":
        assert time.monotonic() - began > QUICK.kill
    look_until(queue, lambda: following.state() is RunState.RUNNING, soon)


def test_new_dispatcher_finds_what_runs_and_can_cancel_it(root: Path, dispatcher, soon) -> None:
    running, queued = RunFolder.create(root, CPU), RunFolder.create(root, CPU)
    dispatcher("deaf").look()
    soon(running.worker_file.exists)
    successor = dispatcher("good")
    for _ in range(3):
        successor.look()
    assert [running.state(), queued.state()] == [RunState.RUNNING, RunState.QUEUED]
    running.request_cancel()
    successor.run()
    assert [running.state(), queued.state()] == [RunState.CANCELLED, RunState.FINISHED]


def test_worker_started_by_hand_takes_a_slot(root: Path, dispatcher, started) -> None:
    by_hand, queued = RunFolder.create(root, CPU), RunFolder.create(root, CPU)
    started(by_hand, "deaf")
    dispatcher("good").look()
    assert queued.state() is RunState.QUEUED


def test_run_that_cannot_be_started_waits_and_holds_up_nothing(root: Path, dispatcher, soon) -> None:
    refused, good = RunFolder.create(root, CPU), RunFolder.create(root, CPU)
    refused.log_file.mkdir()  # cannot be opened for writing, not even by root
    queue = dispatcher("good")
    look_until(queue, lambda: good.state() is RunState.FINISHED, soon)
    assert refused.state() is RunState.QUEUED
    refused.log_file.rmdir()
    look_until(queue, lambda: refused.state() is RunState.FINISHED, soon)


def test_full_disk_keeps_the_run_waiting_until_there_is_space(small_disk: Path, worker, soon) -> None:
    run = RunFolder.create(small_disk, CPU)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    queue = Dispatcher(small_disk, worker("deaf"), 1, (), QUICK)
    queue.look()
    queue.look()
    assert run.state() is RunState.QUEUED
    assert run.processes() == []
    filler.unlink()
    look_until(queue, lambda: run.state() is RunState.RUNNING, soon)
    for process in run.processes():
        process.send(signal.SIGKILL)
    look_until(queue, lambda: run.state() is RunState.LOST, soon)


def test_retry_while_the_dispatcher_remembers_the_run_as_over(root: Path, dispatcher, soon) -> None:
    run = RunFolder.create(root, CPU)
    run.finish(RunState.FAILED)
    queue = dispatcher("good")
    assert queue.look() is False
    assert queue.look() is False
    run.retry()
    look_until(queue, lambda: run.state() is RunState.FINISHED, soon)


def test_dispatcher_finishes_interrupted_deletions(root: Path, dispatcher) -> None:
    (root / ".deleted-x-1" / "attempts").mkdir(parents=True)
    (root / ".new-y-2").mkdir()
    dispatcher("good").run()
    assert not (root / ".deleted-x-1").exists()
    assert (root / ".new-y-2").exists()  # may still be in the making


def test_missing_runs_folder_is_no_work(root: Path, dispatcher) -> None:
    root.rmdir()
    assert dispatcher("good").look() is False
    assert list_runs(root) == []


def test_dispatcher_passes_a_folder_it_may_not_read(root: Path, dispatcher) -> None:
    closed, good = RunFolder.create(root, CPU), RunFolder.create(root, CPU)
    closed.path.chmod(0)
    try:
        dispatcher("good").run()
    finally:
        closed.path.chmod(stat.S_IRWXU)
    assert good.state() is RunState.FINISHED
