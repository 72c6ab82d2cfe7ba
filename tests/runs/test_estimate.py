"""Estimates of time from runs with known timings."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfunc_core.runs.estimate import SECONDS_PER_ATOM, STARTUP_SECONDS, estimate, evidence
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState


@pytest.fixture
def timed(root: Path):
    """A finished run that took some seconds for some atoms."""

    def of(seconds: float, atoms: int = 100, device: str = "cpu", state: RunState = RunState.FINISHED) -> RunFolder:
        run = RunFolder.create(root, {})
        run.write_json(run.metrics, {"timing": {"device": device, "seconds": seconds, "atoms_trained": atoms}})
        run.finish(state)
        return run

    return of


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_first_guess_until_a_run_has_finished(timed, device: str) -> None:
    found = estimate(200, 30, device, [timed(1.0, device="cpu" if device == "cuda" else "cuda"), timed(1.0, device=device, state=RunState.FAILED)])
    assert found.seconds == pytest.approx(STARTUP_SECONDS + SECONDS_PER_ATOM[device] * 200 * 30)
    assert not found.measured_here


def test_this_machines_pace_replaces_it(timed) -> None:
    found = estimate(200, 30, "cpu", [timed(50.0)])
    assert found.seconds == pytest.approx(STARTUP_SECONDS + 0.5 * 200 * 30)
    assert found.measured_here


def test_median_of_the_five_newest_decides(timed) -> None:
    runs = [timed(seconds) for seconds in (10.0, 20.0, 1000.0, 30.0, 40.0, 7000.0, 7000.0, 7000.0)]
    assert estimate(1, 1, "cpu", runs).seconds == pytest.approx(STARTUP_SECONDS + 0.3)


def test_runs_of_the_other_device_do_not_crowd_out_those_of_this_one(timed) -> None:
    runs = [*(timed(1.0, device="cuda") for _ in range(6)), timed(50.0)]
    assert estimate(1, 1, "cpu", runs).measured_here


def test_no_more_runs_are_looked_at_than_needed(timed) -> None:
    def endless():
        while True:
            yield timed(50.0)

    assert estimate(1, 1, "cpu", endless()).measured_here


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"timing": 3}', '{"timing": {"device": "cpu", "seconds": 1, "atoms_trained": 0}}', '{"timing": {"device": "cpu", "seconds": "1", "atoms_trained": 5}}', '{"timing": {"device": "cpu", "seconds": 0, "atoms_trained": 5}}'])
def test_damaged_timings_are_passed_over(timed, content: str) -> None:
    run = timed(1.0)
    run.metrics.write_text(content)
    assert not estimate(1, 1, "cpu", [run]).measured_here


def test_evidence_changes_with_the_runs_that_ended_and_with_nothing_else(root: Path) -> None:
    seen = [evidence(root), evidence(root / "none")]
    run = RunFolder.create(root, {}, run_id="r")
    run.append_progress({"kind": "step"})
    assert {*seen, evidence(root)} == {seen[0]}
    run.finish(RunState.FINISHED)
    assert evidence(root) != seen[0]
    run.delete()
    assert evidence(root) == seen[0]
