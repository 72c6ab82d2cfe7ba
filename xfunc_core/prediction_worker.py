"""The command that asks the pretrained model in the background: ``python -m xfunc_core.prediction_worker JOB_DIR``.

What it evaluates goes into the prediction store block by block, so started again on the same folder it goes on where it
stopped. Like the other workers it has one broad ``except``: whatever happens ends as an outcome in the folder.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path

from xfunc_core.data.library import open_dataset
from xfunc_core.errors import XfuncError
from xfunc_core.predictions import PredictionRequest, evaluate
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState
from xfunc_core.runs.working import heed_termination, ignore_termination, unexpected, while_claimed

log = logging.getLogger("xfunc.predict")

RECORD_SECONDS = 1.0
"""Between two progress records."""


def main(job_dir: str) -> int:
    """Do the job to its end; the exit code is 0 unless it failed."""
    job = RunFolder(Path(job_dir).resolve())  # the datasets lie beside the jobs, wherever this was started
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    return while_claimed(job, log, _evaluate_and_record)


def _evaluate_and_record(job: RunFolder) -> RunState:
    state, message = _outcome(job)
    ignore_termination()
    job.finish(state, message)
    return state


def _outcome(job: RunFolder) -> tuple[RunState, str]:
    try:
        heed_termination()
        run(job)
    except KeyboardInterrupt:
        log.info("Cancelled.")
        return RunState.CANCELLED, "Cancelled; what was evaluated until then is kept."
    except XfuncError as error:
        log.error("%s", error)
        return RunState.FAILED, str(error)
    except Exception as error:
        return RunState.FAILED, unexpected("The predictions", error, log)
    return RunState.FINISHED, "Every frame is evaluated."


def run(job: RunFolder) -> None:
    """Evaluate what is lacking, recording how far it is.

    Raises:
        XfuncError: the request or the dataset cannot be used, or the disk is full.
        KeyboardInterrupt: the job is cancelled.
    """
    request = PredictionRequest.from_dict(job.config())
    dataset = open_dataset(job.path.parent.parent / "datasets", request.dataset)
    rows = request.all_rows(dataset)
    job.progress_file.unlink(missing_ok=True)
    log.info("Asking the pretrained model about %s frames of %s.", f"{len(rows):,}", dataset.info.title)
    evaluate(dataset, rows, _Recorder(job), job.cancel_requested)
    log.info("Every frame is evaluated.")


class _Recorder:
    """Records how far the job is, in time for people and no more often."""

    def __init__(self, job: RunFolder) -> None:
        self._job = job
        self._began = self._recorded = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._recorded >= RECORD_SECONDS:
            self._recorded = now
            with suppress(OSError):  # a full disk ends the job where the energies are written, with a sentence
                self._job.append_progress({"done": done, "total": total, "seconds": now - self._began})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m xfunc_core.prediction_worker JOB_DIR")
    sys.exit(main(sys.argv[1]))
