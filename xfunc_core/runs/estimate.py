"""How long a run will take, from the runs this machine has finished."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from xfunc_core.runs.files import modified
from xfunc_core.runs.folder import RunFolder, unsorted_runs
from xfunc_core.runs.state import RunState

SECONDS_PER_ATOM = {"cpu": 0.0015, "cuda": 0.0015}
"""Training and validating, per atom trained on and epoch, before this machine has finished a run of its
own: for the CPU measured with the compiled kernels and cells of 2 to 5 atoms in batches of 8 (larger cells take about
half), for GPUs a guess: such small batches leave one idle."""
STARTUP_SECONDS = 5.0
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


def evidence(runs_root: Path) -> str:
    """A text that changes when the runs do on which estimates rest: which have ended, and when that was recorded."""
    ended = sorted((run.id, str(when)) for run in unsorted_runs(runs_root) if (when := modified(run.outcome_file)))
    return sha256(json.dumps(ended).encode()).hexdigest()


def _cost(run: RunFolder, device: str) -> float | None:
    try:
        timing = json.loads(run.metrics.read_bytes())["timing"]
        return timing["seconds"] / timing["atoms_trained"] if timing["device"] == device else None
    except (OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
        return None
