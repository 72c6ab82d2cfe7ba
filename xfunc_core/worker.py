"""The one command that runs a fine-tuning, anywhere: ``python -m xfunc_core.worker RUN_DIR``.

It reads the run folder, trains, and writes what happened back into it. Started again on the same
folder it goes on from the last checkpoint. A broad ``except`` stands here and in the other workers, at the edge of each process, and else only around the
first use of a GPU's kernels (`xfunc_core.model.fused.on_gpu`): whatever happens ends as an outcome in the folder, never as a run that silently stopped.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.library import open_dataset
from xfunc_core.errors import DataError, RunError, XfuncError
from xfunc_core.quantities import QUANTITIES
from xfunc_core.runs.atomic import DISK_FULL
from xfunc_core.runs.behind import LEAK, UNTOLD, frames_behind_table
from xfunc_core.runs.folder import RunFolder, write_atomic, write_atomic_with
from xfunc_core.runs.state import RunState
from xfunc_core.runs.together import RANK, run_together
from xfunc_core.runs.working import heed_termination, ignore_termination, unexpected, while_claimed
from xfunc_core.training.settings import FinetuneSettings

if TYPE_CHECKING:
    from xfunc_core.model.predict import Predictions
    from xfunc_core.training.finetune import Finetuning
    from xfunc_core.training.parallel import Processes

log = logging.getLogger("xfunc.worker")

MAY_CHANGE = ("device", "processes", "sweep")
"""Settings that may be edited between two attempts; any other would make one run out of two different ones."""
_ONE_ENDED = "One of the processes of this run failed or was ended; the log has the details."
_SECONDS_FOR_PROCESS_0 = 10.0
"""What ends one process often ends all: the one that may write gets the time to say it before torchrun ends it."""


def main(run_dir: str) -> int:
    """Run the folder to its end; the exit code is 0 unless the run failed."""
    folder = RunFolder(Path(run_dir).resolve())  # the datasets lie beside the runs, wherever this was started
    together = RANK in os.environ
    logging.basicConfig(
        level=logging.INFO, format="%(message)s" if together else "%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stdout
    )
    if not together and (n := _asked_processes(folder)) > 1:
        return _run_together(folder, n)
    if int(os.environ.get(RANK, 0)) > 0:
        return _follow(folder)
    return while_claimed(folder, log, _run_and_record)


def _run_together(folder: RunFolder, n: int) -> int:
    """Run the folder as n processes, and record their end where none of them lived to do so."""
    before = folder.outcome()
    code = run_together("xfunc_core.worker", folder.path, n)
    if code and folder.state() is RunState.LOST:
        folder.finish(RunState.FAILED, _ONE_ENDED)
    ended = folder.outcome() != before and folder.state() is not RunState.FAILED
    return 0 if ended else code  # gloo's threads sometimes abort a process that has nothing left to do


def _asked_processes(folder: RunFolder) -> int:
    try:
        return FinetuneSettings.from_dict(folder.config()).processes
    except XfuncError:
        return 1  # which will say what is wrong


def _follow(folder: RunFolder) -> int:
    """Train along with process 0, which alone writes."""
    logging.getLogger().setLevel(logging.WARNING)
    try:
        settings, dataset = _asked(folder)
        from xfunc_core.training import finetune, loop, parallel

        with parallel.joined(settings.device) as processes, contextlib.suppress(loop.Stopped):
            job = finetune.prepare(settings, dataset, processes=processes)
            _load_checkpoint(folder, job, settings, dataset)
            for _ in job.trainer.epochs():
                pass
    except XfuncError as error:
        log.error("Process %s: %s", os.environ[RANK], error)
        time.sleep(_SECONDS_FOR_PROCESS_0)
        return 1
    return 0


def _run_and_record(folder: RunFolder) -> RunState:
    state, message = _outcome(folder)
    ignore_termination()
    folder.finish(state, message)
    return state


def _outcome(folder: RunFolder) -> tuple[RunState, str]:
    """Run the folder; how it ended, and one sentence on it unless it finished."""
    try:
        heed_termination()
        run(folder)
    except KeyboardInterrupt:
        if RANK in os.environ and not folder.cancel_requested():
            return RunState.FAILED, _ONE_ENDED
        kept = "the last recorded epoch is kept in the checkpoint" if folder.checkpoint.exists() else "no epoch was finished"
        log.info("Cancelled; %s.", kept)
        return RunState.CANCELLED, f"Cancelled; {kept}."
    except XfuncError as error:
        log.error("%s", error)
        return RunState.FAILED, str(error)
    except OSError as error:
        log.exception("The run stopped.")
        return RunState.FAILED, _os_sentence(error, folder)
    except Exception as error:
        return RunState.FAILED, unexpected("The run", error, log)
    return RunState.FINISHED, ""


def run(folder: RunFolder) -> None:
    """Prepare, train and evaluate, recording each step in the folder.

    Raises:
        XfuncError: the settings, the dataset or the checkpoint cannot be used, or training goes astray.
        KeyboardInterrupt: the run is cancelled.
    """
    settings, dataset = _asked(folder)

    from xfunc_core.training import loop, parallel  # seconds; what is wrong with the settings is said before

    stopped = False
    with parallel.joined(settings.device) as processes:
        try:
            _run(folder, settings, dataset, processes)
        except loop.Stopped:  # of which all processes know, and leave together
            stopped = True
    if stopped:
        raise KeyboardInterrupt


def _asked(folder: RunFolder) -> tuple[FinetuneSettings, Dataset]:
    settings = FinetuneSettings.from_dict(folder.config())
    return settings, open_dataset(folder.path.parent.parent / "datasets", settings.dataset)


def _run(folder: RunFolder, settings: FinetuneSettings, dataset: Dataset, processes: Processes) -> None:
    from xfunc_core.model.weights import save_engine
    from xfunc_core.training import finetune

    log.info("Preparing %s on %s (%s).", settings.method, dataset.info.title, settings.device)
    table_frames = frames_behind_table(folder.path.parent, settings.reference_table_run)
    job = finetune.prepare(settings, dataset, folder.cancel_requested, processes, table_frames)
    _load_checkpoint(folder, job, settings, dataset)
    done = _seconds_spent(folder, job.trainer.epoch)
    folder.write_json(folder.split, job.plan.to_json(dataset))
    folder.write_json(folder.references, job.references.to_json())
    if job.references.leaky:
        log.info("%s", LEAK)
    if job.references.leaky is None:
        log.info("%s", UNTOLD)
    for frame in job.left_out:
        log.info("Left out %s: %s.", frame["frame_id"], frame["reason"])
    log.info("Training on %d frames, validating on %d, testing on %d.", *(len(job.samples[p]) for p in ("train", "validation", "test")))
    start = {"settings": settings.to_dict(), "dataset": dataset.info.content_sha256}
    seconds = done + _train(folder, job, lambda: {**start, "trainer": job.trainer.state_dict()})
    log.info("Evaluating.")
    predictions = job.evaluate()
    _save_predictions(folder, dataset, job, predictions)
    folder.write_json(folder.references, job.final_references().to_json())
    model = io.BytesIO()
    save_engine(job.trainer.model, model, epoch=job.trainer.best_epoch)
    write_atomic(folder.model, model.getvalue())
    timing = {"device": settings.device, "seconds": seconds, "atoms_trained": job.plan.atoms_per_epoch * settings.epochs}
    learnt_from = {"name": settings.dataset} | {key: getattr(dataset.info, key) for key in ("content_sha256", "functional", "energy_scale")}
    folder.write_json(folder.metrics, {**finetune.metrics(job, predictions), "dataset": learnt_from, "timing": timing})
    log.info("Finished; the best epoch was %d.", job.trainer.best_epoch)


def _load_checkpoint(folder: RunFolder, job: Finetuning, settings: FinetuneSettings, dataset: Dataset) -> None:
    """Go on from the checkpoint if there is one.

    Raises:
        RunError: the checkpoint is damaged, or belongs to other settings or other data.
    """
    from xfunc_core.model.saved import WRONG_CONTENT, read_saved

    if not folder.checkpoint.exists():
        return
    try:
        saved = read_saved(folder.checkpoint)
        _check_same_run(saved, settings, dataset)
        job.trainer.load_state_dict(saved["trainer"])
    except (DataError, *WRONG_CONTENT) as error:
        raise RunError(
            f"The checkpoint {folder.checkpoint} is damaged ({error.__class__.__name__}): delete this file and resume the run, which then starts over."
        ) from error
    log.info("Going on from the checkpoint of epoch %d.", job.trainer.epoch)


def _seconds_spent(folder: RunFolder, epoch: int) -> float:
    """Seconds of training until an epoch; records of what came after it, which is trained and recorded again, are removed."""
    records = folder.progress()
    kept = [record for record in records if record.get("epoch", 0) <= epoch]
    if len(kept) < len(records):
        write_atomic(folder.progress_file, b"".join(json.dumps(record).encode() + b"\n" for record in kept))
    return sum(record["seconds"] for record in kept if record.get("kind") == "epoch")


def _check_same_run(saved: dict[str, Any], settings: FinetuneSettings, dataset: Dataset) -> None:
    then, now = {**FinetuneSettings(settings.dataset).to_dict(), **saved["settings"]}, settings.to_dict()  # older ones know fewer settings
    for name in now:
        if name not in MAY_CHANGE and then[name] != now[name]:
            raise RunError(
                f"The setting {name} was {then[name]!r} when this run began and is {now[name]!r} now: put it back and resume, or launch a new run."
            )
    if saved["dataset"] != dataset.info.content_sha256:
        raise RunError(
            f"The dataset {settings.dataset} has other frames than when this run began, so training and test frames would mix: launch a new run."
        )


def _train(folder: RunFolder, job: Finetuning, checkpoint: Callable[[], dict[str, Any]]) -> float:
    """Train what is left with a checkpoint after every record of an epoch; returns the seconds it took."""
    import torch

    seconds = 0.0
    for record in job.trainer.epochs():
        folder.append_progress(record)
        if record["kind"] == "epoch":
            content = io.BytesIO()  # torch hides the reason when it fails to write to a disk itself
            torch.save(checkpoint(), content)
            write_atomic(folder.checkpoint, content.getvalue())
            seconds += record["seconds"]
            found = record["validation"]
            errors = [f"{q.label.lower()} {q.error_with_unit(found[q.key])}" for q in QUANTITIES if q.key in found]
            log.info("Epoch %d: validation MAE %s.", record["epoch"], ", ".join(errors))
    return seconds


def _save_predictions(folder: RunFolder, dataset: Dataset, job: Finetuning, predictions: dict[str, dict[str, Predictions]]) -> None:
    """Labels and predictions of every part and stage in one npz, keyed ``part/stage/array``."""
    from xfunc_core.training.finetune import label_arrays

    arrays: dict[str, np.ndarray] = {}
    for part, by_stage in predictions.items():
        samples = job.samples[part]
        arrays[f"{part}/row"] = np.array([s.row for s in samples])
        arrays[f"{part}/frame_id"] = dataset.table["frame_id"].to_numpy(dtype=str)[arrays[f"{part}/row"]]
        arrays[f"{part}/formula"] = dataset.table["formula"].to_numpy(dtype=str)[arrays[f"{part}/row"]]
        arrays[f"{part}/n_atoms"] = np.array([s.n_atoms for s in samples])
        for stage, values in {"label": label_arrays(samples), **by_stage}.items():
            for name in ("energy", "forces", "stress", "magmoms"):
                arrays[f"{part}/{stage}/{name}"] = getattr(values, name)
    write_atomic_with(folder.predictions, lambda stream: np.savez_compressed(stream, **arrays))


def _os_sentence(error: OSError, folder: RunFolder) -> str:
    if error.errno in DISK_FULL:
        return f"The disk that holds {folder.path.parent} is full: free some space and resume the run; the last checkpoint is intact."
    return f"The run could not read or write its files ({error.strerror or error}: {error.filename or folder.path})."


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m xfunc_core.worker RUN_DIR")
    sys.exit(main(sys.argv[1]))
