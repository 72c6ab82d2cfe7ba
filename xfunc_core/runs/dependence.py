"""Datasets that runs wait for or work with, and deleting those that none needs: the same for the pages and the CLI."""

from __future__ import annotations

from pathlib import Path

from xfunc_core.data.library import delete_dataset, is_bundled
from xfunc_core.errors import DataError, RunError
from xfunc_core.runs.folder import RunFolder, unsorted_runs


def runs_in_need(runs_root: Path, dataset: str) -> list[RunFolder]:
    """The runs in the queue or at work that learn from a dataset, by id."""
    return sorted((run for run in unsorted_runs(runs_root) if run.state().is_active and _learns_from(run, dataset)), key=lambda run: run.id)


def delete_unneeded(datasets_root: Path, runs_root: Path, name: str) -> None:
    """Delete a dataset that no run needs and that would not be put back at once.

    Raises:
        DataError: it comes with xfunc, there is none of that name, or the system refuses.
        RunError: a run waits for it or works with it.
    """
    if is_bundled(name):
        raise DataError(f"{name!r} comes with xfunc and would be put back at once, so it cannot be deleted.")
    for run in runs_in_need(runs_root, name):
        raise RunError(f"Run {run.id} needs {name!r}: cancel the run, then delete the dataset.")
    delete_dataset(datasets_root, name)


def _learns_from(run: RunFolder, dataset: str) -> bool:
    try:
        return run.config().get("dataset") == dataset
    except RunError:  # settings that were damaged after its start say nothing
        return False
