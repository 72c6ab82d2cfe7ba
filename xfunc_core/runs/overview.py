"""Runs for a reader: what each is, how far it is, how long it will take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xfunc_core.errors import RunError
from xfunc_core.quantities import ENERGY, MISSING
from xfunc_core.runs.folder import RunFolder


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        records: one record per validation, which short epochs share.
        epoch: finished epochs, as of the last record.
        epochs: epochs asked for; 0 if the settings cannot be read.
        fraction: optimiser steps done over all, 0 to 1.
        seconds: spent training so far.
        seconds_left: at the pace so far; NaN before the first step record.
    """

    records: list[dict[str, Any]]
    epoch: int
    epochs: int
    fraction: float
    seconds: float
    seconds_left: float


def progress_of(run: RunFolder) -> Progress:
    """Read a run's progress."""
    records = [r for r in run.progress() if _is_whole(r)]
    epochs = [r for r in records if r["kind"] == "epoch"]
    last = records[-1] if records else {"kind": "", "step": 0, "total_steps": 1}
    fraction = min(1.0, last["step"] / max(last["total_steps"], 1))
    running = last["seconds"] if last["kind"] == "step" else 0.0
    seconds = sum(r["seconds"] for r in epochs) + running
    left = seconds * (1 - fraction) / fraction if fraction else float("nan")
    asked = _config(run).get("epochs", 0)
    return Progress(epochs, epochs[-1]["epoch"] if epochs else 0, asked if isinstance(asked, int) else 0, fraction, seconds, left)


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a line of the progress file holds what the worker writes."""
    if record.get("kind") not in ("step", "epoch"):
        return False
    errors = [record.get("train", {}), record.get("validation")] if record["kind"] == "epoch" else []
    if not all(isinstance(by_quantity, dict) for by_quantity in errors):
        return False
    numbers = [record.get(name) for name in ("epoch", "step", "total_steps", "seconds")] + [error for by_quantity in errors for error in by_quantity.values()]
    return all(isinstance(number, int | float) for number in numbers)


def run_table(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row a run, newest first, formatted."""
    return pd.DataFrame([_row(run) for run in runs])


def _row(run: RunFolder) -> dict[str, Any]:
    config, progress = _config(run), progress_of(run)
    errors = [r["validation"].get("energy", math.nan) for r in progress.records]
    best = min((error for error in errors if math.isfinite(error)), default=math.nan)
    created = run.created_at
    return {
        "Run": run.title,
        "State": run.state().label,
        "Method": config.get("method", MISSING),
        "Data": config.get("dataset", MISSING),
        "Epochs": f"{progress.epoch} / {progress.epochs or MISSING}",
        f"Best validation energy MAE ({ENERGY.error_unit})": ENERGY.error(best),
        "Submitted": created.astimezone().strftime("%Y-%m-%d %H:%M") if created else MISSING,
    }


def _config(run: RunFolder) -> dict[str, Any]:
    try:
        return run.config()
    except RunError:
        return {}
