"""Energies of the pretrained CHGNet for a dataset: asked for once, worked out in the background, kept by content.

`predictions` reads what is known, `request_predictions` has the rest worked out by `xfunc_core.prediction_worker`
on run folders under ``$XFUNC_HOME/predicting`` (a queue of their own), and `evaluate` works it out in this process.
Whatever is finished lies in `xfunc_core.prediction_store`, so nothing is evaluated twice, whoever asked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import ConfigError, DataError, RunError
from xfunc_core.prediction_store import Predictions, PredictionStore
from xfunc_core.quantities import count_text, counted, duration_text
from xfunc_core.runs.dispatcher import ensure_dispatcher, submit
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.state import RunState

WORKER = "xfunc_core.prediction_worker"
BLOCK_ATOMS = 1000
"""Atoms evaluated and recorded together: a fraction of a second on a CPU, a few hundred MB."""
_PATIENCE = 0.2


@dataclass(frozen=True)
class PredictionRequest:
    """What a prediction worker is to evaluate.

    Attributes:
        dataset: its name.
        content_sha256: its content when the rows were chosen.
        rows: first and last row of each stretch of consecutive rows.
    """

    dataset: str
    content_sha256: str
    rows: tuple[tuple[int, int], ...]

    @classmethod
    def for_rows(cls, dataset: Dataset, rows: np.ndarray) -> PredictionRequest:
        """A request for some rows, in any order."""
        rows = np.unique(rows)
        stretches = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
        return cls(dataset.info.name, dataset.info.content_sha256, tuple((int(s[0]), int(s[-1])) for s in stretches))

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> PredictionRequest:
        """Read what `to_dict` gave.

        Raises:
            ConfigError: it is something else.
        """
        try:
            rows = tuple((int(first), int(last)) for first, last in config["rows"])
            return cls(str(config["dataset"]), str(config["content_sha256"]), rows)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "The request for these predictions was edited into something else: delete its folder and ask again."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads."""
        return asdict(self)

    def all_rows(self, dataset: Dataset) -> np.ndarray:
        """Every row asked for, ascending.

        Raises:
            DataError: the dataset is not the one that the rows were chosen from.
        """
        last = max((end for _, end in self.rows), default=-1)
        if dataset.info.content_sha256 != self.content_sha256 or last >= len(dataset):
            raise DataError(f"Dataset {self.dataset!r} has other frames than when its predictions were asked for: ask again.")
        return np.concatenate([np.arange(first, end + 1) for first, end in self.rows] or [np.empty(0, dtype=np.int64)])

    @property
    def id(self) -> str:
        """The same for the same rows of the same content."""
        return f"predict-{hashlib.sha256(repr(self).encode()).hexdigest()[:20]}"


@dataclass(frozen=True)
class PredictionStatus:
    """How far the predictions for some rows are.

    Attributes:
        state: of the process that works on them; FINISHED where all are known, None where nobody asked.
        done: rows that are known.
        total: rows asked about.
        seconds_left: at the pace so far; NaN where it cannot be said.
        sentence: one sentence on the state.
    """

    state: RunState | None
    done: int
    total: int
    seconds_left: float
    sentence: str

    @property
    def fraction(self) -> float:
        """How much of a progress bar to fill, 0 to 1."""
        return self.done / self.total if self.total else 1.0

    def words(self) -> str:
        """The progress in words: ``1,200 of 4,000 frames · about 40 s left``."""
        left = f" · about {duration_text(self.seconds_left)} left" if math.isfinite(self.seconds_left) else ""
        return f"{count_text(self.done)} of {counted(self.total, 'frame')}{left}"


def predictions(dataset: Dataset) -> Predictions:
    """Everything known by now about the frames of a dataset; nothing is started."""
    return PredictionStore.of(dataset).read()


def request_predictions(dataset: Dataset, rows: np.ndarray) -> RunFolder | None:
    """Have the model asked about rows in the background; None if all are known.

    The same rows twice are one job. A job that failed, was cancelled or was lost goes on where it stopped.

    Raises:
        RunError: the job cannot be recorded, or the process that starts it cannot be started.
    """
    if not len(predictions(dataset).lacking(rows)):
        return None
    root, request = jobs_of(dataset), PredictionRequest.for_rows(dataset, rows)
    _remove_finished(root)  # among them one for these rows whose store was deleted since
    job = submit(root, request.to_dict(), run_id=request.id, worker=WORKER)
    if job.state().can_retry:
        job.retry()
        ensure_dispatcher(root, WORKER)
    return job


def prediction_status(dataset: Dataset, rows: np.ndarray) -> PredictionStatus:
    """How far the predictions for rows are; also sees to it that a process starts what waits. Cheap enough for each page view.

    Raises:
        RunError: the process that starts jobs cannot be started.
    """
    done = len(rows) - len(predictions(dataset).lacking(rows))
    if done == len(rows):
        return PredictionStatus(RunState.FINISHED, done, len(rows), 0.0, "Every frame is evaluated.")
    job = RunFolder(jobs_of(dataset) / PredictionRequest.for_rows(dataset, rows).id)
    if not job.path.is_dir():
        return PredictionStatus(None, done, len(rows), math.nan, "Nobody has asked the pretrained model about these frames yet.")
    ensure_dispatcher(job.path.parent, WORKER)
    state = job.state()
    return PredictionStatus(state, done, len(rows), _seconds_left(job) if state is RunState.RUNNING else math.nan, _sentence(job, state))


def cancel_predictions(dataset: Dataset, rows: np.ndarray) -> None:
    """Wish the job for these rows cancelled; what it has evaluated stays.

    Raises:
        RunError: the wish cannot be recorded.
    """
    job = RunFolder(jobs_of(dataset) / PredictionRequest.for_rows(dataset, rows).id)
    if job.path.is_dir():
        job.request_cancel()


def jobs_of(dataset: Dataset) -> Path:
    """Where the jobs for a dataset lie, beside the folder of its datasets."""
    return dataset.path.resolve().parent.parent / "predicting"


def evaluate(
    dataset: Dataset,
    rows: np.ndarray,
    tell: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Ask the model about those of ``rows`` it was not asked about yet, in this process, block by block.

    Args:
        dataset: the frames.
        rows: which of them.
        tell: called with the number of rows done and of all that were lacking, after each block.
        should_stop: asked before each block.

    Raises:
        DataError: the disk is full or cannot be written; the blocks before it are kept.
        KeyboardInterrupt: ``should_stop`` said so.
    """
    store = PredictionStore.of(dataset)
    if not len(store.read().lacking(rows)):
        return
    from xfunc_core.model.energies import pretrained_energies

    ask, references = pretrained_energies()
    _made(store)
    with _alone(store, should_stop):
        store.begin(references)
        lacking, done = np.unique(store.read().lacking(rows)), 0
        for block in _blocks(lacking, dataset.table["n_atoms"].to_numpy()):
            if should_stop():
                raise KeyboardInterrupt
            found = ask(dataset, block)
            store.append(block, found.energy, found.reasons)
            done += len(block)
            tell(done, len(lacking))


@contextmanager
def _alone(store: PredictionStore, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Be the one process that writes a store; wait for another one unless told to stop."""
    while True:
        with exclusive(store.lock_file, _PATIENCE) as held:
            if held:
                yield
                return
        if should_stop():
            raise KeyboardInterrupt


def _made(store: PredictionStore) -> None:
    try:
        store.path.mkdir(parents=True, exist_ok=True)
        store.lock_file.touch()
    except OSError as error:
        raise DataError(
            f"The predictions cannot be kept in {store.path.parent} ({error.strerror or error}): check the permissions, or set XFUNC_HOME."
        ) from error


def _blocks(rows: np.ndarray, n_atoms: np.ndarray) -> list[np.ndarray]:
    """Rows in stretches of about `BLOCK_ATOMS` atoms."""
    if not len(rows):
        return []
    number = np.cumsum(n_atoms[rows]) // BLOCK_ATOMS
    return np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def _remove_finished(root: Path) -> None:
    """Finished jobs say nothing that the store does not."""
    for job in list_runs(root):
        if job.state() is RunState.FINISHED:
            with suppress(RunError):  # another process was quicker
                job.delete()


def _seconds_left(job: RunFolder) -> float:
    last = next(iter(job.progress()[-1:]), {})
    done, total, seconds = (last.get(key) for key in ("done", "total", "seconds"))
    if not all(isinstance(value, int | float) for value in (done, total, seconds)) or not done:
        return math.nan
    return seconds * (total - done) / done


def _sentence(job: RunFolder, state: RunState) -> str:
    if state is RunState.RUNNING and job.cancel_requested():
        return "It is being cancelled; what it has evaluated stays."
    if state is RunState.LOST:
        return "The process that asked the model is gone (killed, out of memory, or the machine went down): ask again, it goes on where it stopped."
    return job.explanation()
