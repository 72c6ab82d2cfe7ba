"""Removing what the pretrained model said about datasets that are gone."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from xfunc_core.data.library import list_datasets
from xfunc_core.errors import RunError
from xfunc_core.prediction_store import PredictionStore
from xfunc_core.runs.folder import list_runs
from xfunc_core.runs.locking import exclusive


def delete_orphaned_predictions(datasets_root: Path) -> None:
    """Delete the predictions that no dataset's content asks for any more, and the jobs for datasets that are not there.

    Datasets of the same content share their predictions, which stay with the last of them. What a process writes at this moment
    stays until the next call; its job is cancelled.

    Raises:
        DataError: the datasets cannot be listed, or the pretrained model is missing.
    """
    datasets, home = list_datasets(datasets_root), datasets_root.resolve().parent
    names = {dataset.info.name for dataset in datasets}
    for job in list_runs(home / "predicting"):
        with suppress(RunError):  # it still works, or its request is damaged
            if job.config().get("dataset") not in names:
                job.request_cancel()
                job.delete()
    kept = {PredictionStore.of(dataset).path for dataset in datasets}
    for folder in (home / "predictions").glob("*/"):
        with suppress(OSError):
            if folder not in kept:
                _delete_unless_written(folder)


def _delete_unless_written(folder: Path) -> None:
    with exclusive(folder / "lock") as is_ours:
        if is_ours:
            shutil.rmtree(folder, ignore_errors=True)
