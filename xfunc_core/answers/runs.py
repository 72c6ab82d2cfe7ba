"""Answers about runs: list, look at, cancel, resume and delete them; the errors of a finished one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_pairs, text_table
from xfunc_core.answers.waiting import last_error_text, progress_text, wait_for
from xfunc_core.data.home import runs_root
from xfunc_core.errors import ConfigError, RunError
from xfunc_core.quantities import ENERGY, MISSING, count_text, counted, duration_text
from xfunc_core.runs.behind import leak_of
from xfunc_core.runs.dispatcher import ensure_dispatcher
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.overview import progress_of
from xfunc_core.runs.queue import queue_position
from xfunc_core.runs.results import PARTS, RunResults
from xfunc_core.runs.state import RunState

Work = Callable[[RunFolder], None]
"""Does a run's work in this process."""


def listing() -> Answer:
    """List the runs, newest first."""
    found = list_runs(runs_root())
    rows = [_row(run) for run in found]
    return Answer(text_table(rows, "There are no runs yet: `python -m xfunc_core finetune DATASET` starts one."), {"runs": [run_data(run) for run in found]})


def show(run_id: str) -> Answer:
    """Show one run: settings, progress, time and outcome; its errors if it has finished."""
    run = find.run(run_id)
    state = run.state()
    lines = [text_pairs(_summary(run, state)), "", "Settings", text_pairs(_settings(run), indent="  ")]
    data = run_data(run) | {"settings": _config(run)}
    if state is RunState.FINISHED:
        results = RunResults(run)
        lines += ["", error_text(results, "test")]
        data["errors"] = results.metrics["errors"]
    return Answer("\n".join(lines), data)


def log(run_id: str, lines: int) -> Answer:
    """The end of a run's log."""
    run = find.run(run_id)
    tail = run.log_tail(lines)
    return Answer(tail or f"The log of run {run_id} is empty.", {"run": run_id, "log": tail})


def cancel(run_id: str) -> Answer:
    """Ask a run to stop.

    Raises:
        RunError: it is over.
    """
    run = find.run(run_id)
    state = run.state()
    if state.is_over:
        raise RunError(f"Run {run_id} is {state.label.lower()}, so there is nothing to cancel.")
    run.request_cancel()
    return Answer(f"Asked run {run_id} to stop: it keeps its last finished epoch and can be resumed.", run_data(run))


def resume(run_id: str, work: Work | None, wait: bool, say: Say) -> Answer:
    """Put a run back into the queue, or go on with it in this process.

    Raises:
        RunError: it waits, works or has finished.
    """
    run = find.run(run_id)
    run.retry()
    if work:
        work(run)
        return outcome(run)
    ensure_dispatcher(runs_root())
    if wait:
        wait_for([run], say)
        return outcome(run)
    return Answer(f"Run {run_id} is in the queue again and goes on from its last finished epoch.", run_data(run))


def delete(run_id: str) -> Answer:
    """Delete a run's folder.

    Raises:
        RunError: it waits or works.
    """
    find.run(run_id).delete()
    return Answer(f"Deleted run {run_id}.", {"deleted": run_id})


def outcome(run: RunFolder, part: str = "test") -> Answer:
    """The errors of a run in one part if it has finished, else what became of it, with exit code 1.

    Raises:
        ConfigError: there is no such part.
    """
    if part not in PARTS:
        raise ConfigError(f"A run has no part {part!r}: choose one of {', '.join(PARTS)}.")
    state = run.state()
    if state is not RunState.FINISHED:
        return Answer(f"Run {run.id}: {_state_text(run, state)}", run_data(run), exit_code=1)
    results = RunResults(run)
    return Answer(error_text(results, part), run_data(run) | {"part": part, **results.metrics})


def error_text(results: RunResults, part: str) -> str:
    """Errors before and after training, and what they were measured on."""
    metrics = results.metrics
    n, lacking = metrics["n_frames"][part], metrics.get("n_test_uncovered", 0) if part == "test" else 0
    said = [f"Run {results.folder.id}: {PARTS[part].lower()} part, {counted(n, 'frame')}, trained on {count_text(metrics['n_frames']['train'])}; best epoch {metrics['best_epoch']}."]
    said.append(text_table(results.error_table(part).to_dict("records")))
    said += filter(None, [results.share_of_references(part), leak_of(results.folder)])
    said += [f"{counted(lacking, 'test frame holds', 'test frames hold')} an element that no training frame has: part of their error is a missing reference energy."] if lacking else []
    said += [f"Left out {frame['frame_id']}: {frame['reason']}." for frame in metrics["left_out"]]
    return "\n".join(said)


def run_data(run: RunFolder) -> dict[str, Any]:
    """One run for scripts: times in seconds, the best validation energy error in eV/atom."""
    config, progress = _config(run), progress_of(run)
    times = {name: getattr(run, name) for name in ("created_at", "started_at", "ended_at")}
    return {
        "run": run.id,
        "title": run.title,
        "state": run.state(),
        "message": run.explanation(),
        "method": config.get("method"),
        "dataset": config.get("dataset"),
        "sweep": config.get("sweep") or None,
        "epochs": progress.epochs,
        "epochs_done": progress.epoch,
        "fraction": progress.fraction,
        "seconds": progress.seconds,
        "seconds_left": progress.seconds_left,
        "best_validation_energy_mae": _best(run),
        **{name: moment.isoformat() if moment else None for name, moment in times.items()},
        "path": run.path,
    }


def _row(run: RunFolder) -> dict[str, str]:
    config, progress = _config(run), progress_of(run)
    return {
        "Run": run.id,
        "State": run.state().label,
        "Method": config.get("method", MISSING),
        "Data": config.get("dataset", MISSING),
        "Epochs": f"{count_text(progress.epoch)}/{count_text(progress.epochs)}",
        f"Best validation energy MAE ({ENERGY.error_unit})": ENERGY.error(_best(run)),
        "Time": duration_text(progress.seconds),
        "Created": _moment(run),
    }


def _summary(run: RunFolder, state: RunState) -> dict[str, str]:
    position = queue_position(run) if state is RunState.QUEUED else None
    return {
        "Run": run.id,
        "Title": run.title if run.title != run.id else "",
        "State": _state_text(run, state),
        "Queue": f"number {count_text(position)} in the queue" if position else "",
        "Progress": progress_text(run),
        "Last epoch": last_error_text(run),
        "Best epoch": f"validation {ENERGY.label.lower()} MAE {ENERGY.error_with_unit(_best(run))}" if _best(run) is not None else "",
        "Created": _moment(run),
        "Folder": str(run.path),
    }


def _state_text(run: RunFolder, state: RunState) -> str:
    said = run.explanation()
    return said if said.startswith(state.label) else f"{state.label}. {said}"


def _settings(run: RunFolder) -> dict[str, str]:
    return {name: MISSING if value is None else str(value) for name, value in _config(run).items()}


def _best(run: RunFolder) -> float | None:
    errors = [r["validation"][ENERGY.key] for r in progress_of(run).records if ENERGY.key in r["validation"]]
    return min(errors, default=None)


def _moment(run: RunFolder) -> str:
    return run.created_at.astimezone().strftime("%Y-%m-%d %H:%M") if run.created_at else MISSING


def _config(run: RunFolder) -> dict[str, Any]:
    try:
        return run.config()
    except RunError:
        return {}
