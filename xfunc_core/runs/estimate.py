"""How long a run will take, from the runs this machine has finished."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState

SECONDS_PER_ATOM = {"cpu": 0.0075, "cuda": 0.0015}
"""Training, per atom and epoch, before this machine has finished a run of its own: measured on two
cores (docs/performance.md) for the CPU, a guess for GPUs."""
STARTUP_SECONDS = 12.0
"""Importing torch and chgnet, building graphs, evaluating."""
_REMEMBERED = 5


@dataclass(frozen=True)
class Estimate:
    """An estimate of wall-clock time in seconds, and whether it rests on runs of this machine."""

    seconds: float
    measured_here: bool


def estimate(atoms_per_epoch: int, epochs: int, device: str, finished: Iterable[RunFolder] = ()) -> Estimate:
    """Estimate a run's time: start-up plus a constant per atom and epoch.

    Args:
        atoms_per_epoch: atoms in the training frames.
        epochs: passes over them.
        device: cpu or cuda.
        finished: runs to learn the constant from, newest first.
    """
    costs = [c for c in (_cost(run, device) for run in _take(finished)) if c]
    per_atom = sorted(costs)[len(costs) // 2] if costs else SECONDS_PER_ATOM[device]
    return Estimate(STARTUP_SECONDS + per_atom * atoms_per_epoch * epochs, bool(costs))


def _take(finished: Iterable[RunFolder]) -> list[RunFolder]:
    return [run for run in finished if run.state() is RunState.FINISHED][:_REMEMBERED]


def _cost(run: RunFolder, device: str) -> float | None:
    try:
        timing = json.loads(run.metrics.read_text())["timing"]
        atoms = timing["atoms_trained"]
        return timing["seconds"] / atoms if timing["device"] == device and atoms else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
