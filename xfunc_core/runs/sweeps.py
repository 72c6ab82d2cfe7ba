"""Sweeps in the queue: submit all their runs, and collect what has finished into one tidy table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from xfunc_core.errors import RunError
from xfunc_core.quantities import QUANTITIES, Method
from xfunc_core.runs.dispatcher import ensure_dispatcher
from xfunc_core.runs.files import modified, read_object
from xfunc_core.runs.folder import RunFolder, list_runs, write_atomic
from xfunc_core.runs.lifecycle import refusals_said
from xfunc_core.runs.results import RunResults
from xfunc_core.runs.state import RunState

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class SweepRecord:
    """What was asked for when a sweep was submitted."""

    id: str
    title: str
    budget: str
    run_ids: tuple[str, ...]


def record_sweep(sweeps_root: Path, record: SweepRecord) -> None:
    """Write the record of a sweep; call it before its runs are submitted.

    Raises:
        RunError: it cannot be written.
    """
    with refusals_said(sweeps_root):
        sweeps_root.mkdir(parents=True, exist_ok=True)
        write_atomic(sweeps_root / f"{record.id}.json", json.dumps(record.__dict__, indent=1).encode())


def submit_sweep(sweeps_root: Path, runs_root: Path, sweep_id: str, title: str, budget: str, configs: Mapping[str, dict[str, Any]]) -> list[RunFolder]:
    """Record a sweep and put all its runs into the queue; submitting it twice starts nothing twice."""
    record_sweep(sweeps_root, SweepRecord(sweep_id, title, budget, tuple(configs)))
    folders = [RunFolder.create(runs_root, config, run_id=run_id) for run_id, config in configs.items()]
    ensure_dispatcher(runs_root)
    return folders


def list_sweeps(sweeps_root: Path) -> list[SweepRecord]:
    """All readable sweep records, newest first."""
    paths = sorted(sweeps_root.glob("*.json"), key=lambda path: modified(path) or _LONG_AGO, reverse=True)
    return [record for path in paths if (record := _read(path)) is not None]


def open_sweep(sweeps_root: Path, sweep_id: str) -> SweepRecord:
    """One sweep's record.

    Raises:
        RunError: there is none of that id.
    """
    for record in list_sweeps(sweeps_root):
        if record.id == sweep_id:
            return record
    raise RunError(f"There is no sweep {sweep_id!r}: `python -m xfunc_core scaling` lists them.")


def sweep_table(record: SweepRecord, runs_root: Path) -> pd.DataFrame:
    """One row a run: run_id, state, method, seed, size (training frames used), n_elements, n_test, n_test_uncovered,
    and the test MAE of each quantity in its unit (NaN until finished)."""
    rows = [_row(folder) for folder in _folders(record, runs_root)]
    columns = ["run_id", "state", "method", "seed", "size", "nominal_size", "n_elements", "n_test", "n_test_uncovered", *(q.key for q in QUANTITIES), *(f"{q.key}_start" for q in QUANTITIES)]
    return pd.DataFrame(rows, columns=columns)


def _read(path: Path) -> SweepRecord | None:
    """A sweep's record, None if the file holds anything else."""
    data = read_object(path) or {}
    texts, run_ids = [data.get(name) for name in ("id", "title", "budget")], data.get("run_ids")
    if not all(isinstance(text, str) for text in texts) or not isinstance(run_ids, list) or not all(isinstance(i, str) for i in run_ids):
        return None
    return SweepRecord(*texts, tuple(run_ids))


def _folders(record: SweepRecord, runs_root: Path) -> Iterable[RunFolder]:
    wanted = set(record.run_ids)
    return sorted((run for run in list_runs(runs_root) if run.id in wanted), key=lambda run: record.run_ids.index(run.id))


def _row(folder: RunFolder) -> dict[str, Any]:
    state = folder.state()
    row: dict[str, Any] = {"run_id": folder.id, "state": state}
    try:
        config = folder.config()
        if not all(isinstance(config[name], int) for name in ("seed", "train_size")):
            raise TypeError("a number is none")
        row |= {"method": Method(config["method"]).value, "seed": config["seed"], "size": config["train_size"], "nominal_size": config["train_size"]}
        if state is RunState.FINISHED:
            found = RunResults(folder)
            frames = found.metrics["n_frames"]
            row |= {"size": frames["train"], "n_elements": found.metrics["n_elements"], "n_test": frames["test"], "n_test_uncovered": found.metrics["n_test_uncovered"]}
            row |= {q.key: (found.error("trained", q) or {}).get("mae", math.nan) for q in QUANTITIES}
            row |= {f"{q.key}_start": (found.error("start", q) or {}).get("mae", math.nan) for q in QUANTITIES}
    except (RunError, LookupError, TypeError, ValueError):
        row["state"] = RunState.BROKEN
    return row
