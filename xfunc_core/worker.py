"""The one command that runs a fine-tuning, anywhere: ``python -m xfunc_core.worker RUN_DIR``.

It reads the run folder, trains, and writes what happened back into it. Started again on the same
folder it goes on from the last finished epoch. The broad ``except`` here is the only one in xfunc:
whatever happens ends as an outcome in the folder, never as a run that silently stopped.
"""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.library import open_dataset
from xfunc_core.errors import XfuncError
from xfunc_core.quantities import duration_text
from xfunc_core.runs.folder import RunFolder, write_atomic_with
from xfunc_core.runs.state import RunState
from xfunc_core.training.settings import FinetuneSettings

if TYPE_CHECKING:
    from xfunc_core.model.predict import Predictions
    from xfunc_core.training.finetune import Finetuning

log = logging.getLogger("xfunc.worker")


def main(run_dir: str) -> int:
    """Run the folder to its end; the exit code is 0 unless the run failed."""
    folder = RunFolder(Path(run_dir))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with folder.claim():
            return _run_and_record(folder)
    except XfuncError as error:
        log.error("%s", error)
        return 1


def _run_and_record(folder: RunFolder) -> int:
    from xfunc_core.training.loop import Stopped

    try:
        run(folder)
    except (Stopped, KeyboardInterrupt):
        log.info("Cancelled. What was learnt so far is in the checkpoint.")
        folder.finish(RunState.CANCELLED, "Cancelled; the last finished epoch is kept in the checkpoint.")
    except XfuncError as error:
        log.error("%s", error)
        folder.finish(RunState.FAILED, str(error))
        return 1
    except OSError as error:
        log.exception("The run stopped.")
        folder.finish(RunState.FAILED, _os_sentence(error, folder))
        return 1
    except Exception as error:
        log.exception("The run stopped on an error that xfunc did not expect.")
        folder.finish(RunState.FAILED, f"The run stopped on an unexpected {type(error).__name__}: {error}. The log has the details.")
        return 1
    else:
        folder.finish(RunState.FINISHED)
    return 0


def run(folder: RunFolder) -> None:
    """Prepare, train and evaluate, recording each step in the folder."""
    from xfunc_core.training import finetune

    settings = FinetuneSettings.from_dict(folder.config())
    dataset = open_dataset(folder.path.parent.parent / "datasets", settings.dataset)
    log.info("Preparing %s on %s (%s).", settings.method, dataset.info.title, settings.device)
    job = finetune.prepare(settings, dataset, should_stop=folder.cancel_requested)
    folder.write_json(folder.split, job.plan.to_json(dataset))
    folder.write_json(folder.references, job.references.to_json())
    for frame in job.left_out:
        log.info("Left out %s: %s.", frame["frame_id"], frame["reason"])
    log.info("Training on %d frames, validating on %d, testing on %d.", *(len(job.samples[p]) for p in ("train", "validation", "test")))
    seconds = _train(folder, job)
    log.info("Evaluating.")
    predictions = job.evaluate()
    _save_predictions(folder, dataset, job, predictions)
    folder.write_json(folder.references, job.final_references().to_json())
    write_atomic_with(folder.model, lambda stream: job.trainer.model.save(stream, epoch=job.trainer.best_epoch))
    timing = {"device": settings.device, "seconds": seconds, "atoms_trained": job.plan.atoms_per_epoch * settings.epochs}
    folder.write_json(folder.metrics, {**finetune.metrics(job, predictions), "timing": timing})
    log.info("Finished; the best epoch was %d.", job.trainer.best_epoch)


def _train(folder: RunFolder, job: Finetuning) -> float:
    """Train what is left, saving a checkpoint each epoch; returns the seconds spent in all attempts."""
    import torch

    if folder.checkpoint.exists():
        job.trainer.load_state_dict(torch.load(folder.checkpoint, weights_only=True))
        log.info("Going on from the checkpoint.")
    total = sum(record["seconds"] for record in folder.progress() if record["kind"] == "epoch")
    for record in job.trainer.epochs():
        if record["kind"] == "epoch":
            write_atomic_with(folder.checkpoint, lambda stream: torch.save(job.trainer.state_dict(), stream))
            total += record["seconds"]
            log.info("Epoch %d: validation %s. %s so far.", record["epoch"], json.dumps({k: round(v, 4) for k, v in record["validation"].items()}), duration_text(total))
        folder.append_progress(record)
    return total


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
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {folder.path.parent} is full: free some space and resume the run; the last checkpoint is intact."
    return f"The run could not read or write its files ({error.strerror or error}: {error.filename or folder.path})."


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m xfunc_core.worker RUN_DIR")
    sys.exit(main(sys.argv[1]))
