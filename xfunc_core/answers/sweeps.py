"""Answers about scaling laws: submit a sweep, and fit what its runs found."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import pandas as pd

from xfunc_core.analysis import paper
from xfunc_core.analysis.laws import ScalingLaws, law_table, scaling_laws
from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.runs import Work
from xfunc_core.answers.training import estimate_text, no_gpu, refuse_missing_gpu
from xfunc_core.answers.waiting import wait_for
from xfunc_core.data.home import runs_root, sweeps_root
from xfunc_core.errors import ConfigError, RunError
from xfunc_core.launch import SweepPreview, launch_sweep, preview_sweep
from xfunc_core.quantities import ENERGY, QUANTITIES, Method, Quantity, count_text, counted
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.state import RunState
from xfunc_core.runs.sweep_overview import sweep_progress, sweep_run_table
from xfunc_core.runs.sweeps import SweepRecord, list_sweeps, record_sweep, sweep_table
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import BUDGETS, SweepSettings, default_sizes, parse_sizes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
"""What a sweep may be called; its runs' ids add to it and must stay folder names."""


def sweep(base: FinetuneSettings, methods: str, sizes: str, n_seeds: int, budget: str, name: str | None, *, wait: bool, dry_run: bool, work: Work | None, say: Say) -> Answer:
    """Submit a sweep, share in its work, or list its runs."""
    dataset = find.dataset(base.dataset)
    chosen = parse_sizes(sizes) if sizes else default_sizes(make_plan(base, dataset).n_pool)
    settings = SweepSettings(base, tuple(m.strip().upper() for m in methods.split(",") if m.strip()), chosen, n_seeds, budget)
    if name and not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a sweep: use up to 60 letters, digits, dots, dashes and underscores, beginning with a letter or digit.")
    planned = preview_sweep(settings, dataset, name or time.strftime("sweep-%Y%m%d-%H%M%S"), list_runs(runs_root()))
    warnings = planned.warnings() + no_gpu(base.device)
    head = [f"Sweep {planned.id}: {counted(len(planned.runs), 'run')} on {planned.title}, {BUDGETS[budget]}; about {estimate_text(planned.estimate)} in all.", *warnings]
    data = {"sweep": planned.id, "runs": list(planned.runs), "budget": budget, "sizes": chosen, "estimated_seconds": planned.estimate.seconds, "warnings": warnings}
    if dry_run:
        data["settings"] = {run_id: run.to_dict() for run_id, run in planned.runs.items()}
        return Answer("\n".join([*head, text_table(_planned_row(run_id, run) for run_id, run in planned.runs.items())]), data)
    refuse_missing_gpu(base.device)
    _refuse_another(planned)
    if work:
        _share_in(planned, work, say)
        return scaling(planned.id, ENERGY.key)
    folders = launch_sweep(planned, sweeps_root(), runs_root())
    if not wait:
        return Answer("\n".join([*head, f"It goes on by itself; follow it with: python -m xfunc_core scaling {planned.id}"]), data)
    wait_for(folders, say)
    return scaling(planned.id, ENERGY.key)


def scaling(sweep_id: str, quantity_key: str, with_paper: bool = False, with_runs: bool = False) -> Answer:
    """Fit the scaling laws of a sweep. Exit code 1 if it is over and no run has finished."""
    quantity = next(q for q in QUANTITIES if q.key == quantity_key)
    record = find.sweep(sweep_id)
    table = sweep_table(record, runs_root())
    laws = scaling_laws(table, quantity)
    progress = sweep_progress(table)
    parts = [f"Sweep {record.id} on {record.title}: {progress.sentence}; {BUDGETS.get(record.budget, record.budget)}.", ""]
    parts += [text_table(sweep_run_table(table).to_dict("records")), ""] if with_runs else []
    parts += [text_table(_size_rows(table, quantity), f"No finished run has a {quantity.label.lower()} error."), ""]
    parts += [text_table(law_table(laws, quantity).to_dict("records")), *laws.sentences(quantity), *laws.caveats]
    parts += ["", *_paper_lines(quantity)] if with_paper else []
    text = "\n".join(parts).rstrip().replace("\n\n\n", "\n\n")
    data = _scaling_data(record, table, laws, quantity) | ({"paper": _paper_data(quantity)} if with_paper else {})
    nothing = not progress.is_active and RunState.FINISHED not in progress.counts
    return Answer(text, data, exit_code=int(nothing))


def listing() -> Answer:
    """List the sweeps, newest first."""
    found = list_sweeps(sweeps_root())
    rows = [{"Sweep": s.id, "Data": s.title, "Runs": count_text(len(s.run_ids)), "State": sweep_progress(sweep_table(s, runs_root())).sentence} for s in found]
    return Answer(text_table(rows, "There are no sweeps yet: `python -m xfunc_core sweep DATASET` starts one."), {"sweeps": found})


def _refuse_another(planned: SweepPreview) -> None:
    """Refuse to mix two sweeps under one name; the same again, or with more runs, is welcome."""
    known = next((record for record in list_sweeps(sweeps_root()) if record.id == planned.id), None)
    lost = set(known.run_ids) - set(planned.runs) if known else set()
    made = {run.id: run.config() for run in list_runs(runs_root()) if run.id in planned.runs}
    if lost or any(config != planned.runs[run_id].to_dict() for run_id, config in made.items()):
        raise ConfigError(f"There is already a sweep {planned.id!r} with other settings: choose another --name.")


def _share_in(planned: SweepPreview, work: Work, say: Say) -> None:
    """Work on the sweep's runs that nobody works on, one after another, in this process.

    A run is made only when its turn comes: a waiting one would be started by whoever next opens the app,
    be it on the login node of a cluster.
    """
    record_sweep(sweeps_root(), SweepRecord(planned.id, planned.title, planned.budget, tuple(planned.runs)))
    for run_id, settings in planned.runs.items():
        folder = RunFolder.create(runs_root(), settings.to_dict(), run_id=run_id)
        if folder.state() is RunState.LOST:
            _take_up(folder, say)
        if folder.state() is RunState.QUEUED:
            say(f"Working on {run_id} …")
            work(folder)
            if folder.state() is RunState.CANCELLED and not folder.cancel_requested():
                return  # the system asks this process to stop, not the user this run


def _take_up(lost: RunFolder, say: Say) -> None:
    """Put a lost run back into the queue, unless another job of the same array is quicker; what its state is then is for the caller to see."""
    try:
        lost.retry()
    except RunError as error:
        if lost.state() is RunState.LOST:  # nobody was quicker: the others may still be worked on
            say(str(error))


def _planned_row(run_id: str, settings: FinetuneSettings) -> dict[str, str]:
    return {"Run": run_id, "Method": settings.method, "Training frames": count_text(settings.train_size or 0), "Seed": str(settings.seed), "Epochs": count_text(settings.epochs)}


def _size_rows(table: pd.DataFrame, quantity: Quantity) -> list[dict[str, str]]:
    done = table.dropna(subset=[quantity.key])
    return [
        {
            "Method": method,
            "N": count_text(int(size)),
            "Runs": count_text(len(runs)),
            f"Test MAE ({quantity.error_unit})": quantity.error(runs[quantity.key].mean()),
            "Lowest": quantity.error(runs[quantity.key].min()),
            "Highest": quantity.error(runs[quantity.key].max()),
            "Test frames": count_text(int(runs["n_test"].max())),
            "With unseen elements": _range(runs["n_test_uncovered"]),
        }
        for (method, size), runs in done.groupby(["method", "size"])
    ]


def _range(counts: Sequence[float]) -> str:
    low, high = int(min(counts)), int(max(counts))
    return count_text(low) if low == high else f"{count_text(low)} to {count_text(high)}"


def _paper_lines(quantity: Quantity) -> list[str]:
    points = paper.fig6_points(quantity).pivot(index="size", columns="method", values="error")
    rows = [{"N": count_text(int(n)), **{f"{m} MAE ({quantity.error_unit})": quantity.error(row[m]) for m in points.columns}} for n, row in points.iterrows()]
    laws = [paper.printed_law(quantity, Method(m)) for m in points.columns]
    exponents = ", ".join(f"{m} {f'{law.slope:.3f}'.replace('-', '−')} (R² {law.r2:.3f})" for m, law in zip(points.columns, laws, strict=True))
    return [
        f"For comparison, not measured here: {paper.FIG6_LABEL}",
        text_table(rows),
        f"Printed exponents for N > {count_text(paper.FIT_ABOVE)}: {exponents}; the laws meet at N = {count_text(paper.CROSSOVER[quantity.key])}.",
    ]


def _paper_data(quantity: Quantity) -> dict[str, Any]:
    points = paper.fig6_points(quantity)
    laws = {m: paper.printed_law(quantity, Method(m)) for m in points["method"].unique()}
    return {"source": paper.FIG6_LABEL, "unit": quantity.unit, "points": points.to_dict("records"), "laws": laws, "crossover": paper.CROSSOVER[quantity.key]}


def _scaling_data(record: SweepRecord, table: pd.DataFrame, laws: ScalingLaws, quantity: Quantity) -> dict[str, Any]:
    return {
        "sweep": record.id,
        "budget": record.budget,
        "quantity": quantity.key,
        "unit": quantity.unit,
        "runs": table.to_dict("records"),
        "laws": {method: law.to_json() for method, law in laws.by_method.items()},
        "crossing": laws.crossing,
        "caveats": laws.caveats,
    }
