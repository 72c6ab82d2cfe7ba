"""Measure fine-tuning on this machine: time, and what it does to the errors.

::

    .venv/bin/python -m benchmarks.finetune                     # the default run, M3 against M4, about 5 minutes
    .venv/bin/python -m benchmarks.finetune --threads 1 --seeds 1

Every run is the command a user would type, ``python -m xfunc_core finetune … --here``, in a data home of
its own that is removed afterwards. Errors are means over the seeds, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xfunc_core.answers.answer import text_table
from xfunc_core.quantities import ENERGY, FORCE, STRESS, Method, Quantity, count_text, duration_text
from xfunc_core.runs.results import STAGES

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the methods one after another and print what was measured, the command first."""
    parser = argparse.ArgumentParser(description="Measure fine-tuning on this machine.")
    parser.add_argument("--dataset", default="xfunc-dft-r2scan", help="a bundled dataset")
    parser.add_argument("--methods", default="M3,M4", help="separated by commas")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for each run")
    options = parser.parse_args()
    print(f"$ {' '.join(['python -m benchmarks.finetune', *sys.argv[1:]])}")
    print(f"{_machine()}, {options.threads} threads a run; load average at the start {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="xfunc-benchmark-") as home:
        runs = {m: [_run(home, options, m, s) for s in range(options.seeds)] for m in options.methods.split(",")}
    print(text_table(_time_row(method, found) for method, found in runs.items()), end="\n\n")
    print(text_table(row for method, found in runs.items() for row in _error_rows(method, found)))


def _run(home: str, chosen: argparse.Namespace, method: str, seed: int) -> dict[str, Any]:
    """One run by the command line; its answer, with the wall-clock seconds of the whole command."""
    options = ["--method", method, "--epochs", str(chosen.epochs), "--seed", str(seed)]
    command = [sys.executable, "-m", "xfunc_core", "finetune", chosen.dataset, *options, "--here", "--json"]
    environment = {**os.environ, "XFUNC_HOME": home, "OMP_NUM_THREADS": str(chosen.threads)}
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout), "wall": time.monotonic() - start}


def _time_row(method: str, runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    per_atom = [1e3 * run["timing"]["seconds"] / run["timing"]["atoms_trained"] for run in runs]
    return {
        "Method": Method(method).label,
        "Frames": count_text(runs[0]["n_frames"]["train"]),
        "Atoms × epochs": count_text(runs[0]["timing"]["atoms_trained"]),
        "Whole command": duration_text(statistics.median(run["wall"] for run in runs)),
        "of which training": duration_text(statistics.median(run["timing"]["seconds"] for run in runs)),
        "ms per atom and epoch": f"{statistics.median(per_atom):.2f} ({min(per_atom):.2f} to {max(per_atom):.2f})",
    }


def _error_rows(method: str, runs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    rows = []
    for stage, label in STAGES.items():
        row = {"Method": method, "Model": label}
        for quantity in (ENERGY, FORCE, STRESS):
            errors = [run["errors"]["test"][stage][quantity.key] for run in runs]
            row[f"{quantity.label} MAE ({quantity.error_unit})"] = _spread(quantity, [e["mae"] for e in errors])
            row[f"RMSE {quantity.label.lower()}"] = _spread(quantity, [e["rmse"] for e in errors])
            row[f"N {quantity.label.lower()}"] = count_text(errors[0]["n"])
        rows.append(row)
    return rows


def _spread(quantity: Quantity, errors: Sequence[float]) -> str:
    low, high = quantity.error(min(errors)), quantity.error(max(errors))
    mean = quantity.error(statistics.fmean(errors))
    return mean if low == high else f"{mean} ({low} to {high})"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
