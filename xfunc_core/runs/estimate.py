"""How long a run will take, from the runs this machine has finished."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState

SECONDS_PER_ATOM = {"cpu": 0.0075, "cuda": 0.0015}
"""Training and validating, per atom trained on and epoch, before this machine has finished a run of its
own: for the CPU measured on two cores with cells of 2 to 5 atoms, for GPUs a guess."""
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
        finished: runs to learn the constant from, newest first; those that did not finish on this device are passed over.
    """
    known = (_cost(run, device) for run in finished if run.state() is RunState.FINISHED)
    costs = list(islice((cost for cost in known if cost), _REMEMBERED))
    per_atom = sorted(costs)[len(costs) // 2] if costs else SECONDS_PER_ATOM[device]
    return Estimate(STARTUP_SECONDS + per_atom * atoms_per_epoch * epochs, bool(costs))


def _cost(run: RunFolder, device: str) -> float | None:
    try:
        timing = json.loads(run.metrics.read_bytes())["timing"]
        return timing["seconds"] / timing["atoms_trained"] if timing["device"] == device else None
    except (OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
        return None
