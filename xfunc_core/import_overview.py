"""Imports in the background for a reader: what each is, how far it is, how long it will take, how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from xfunc_core.data.watching import Stage
from xfunc_core.errors import XfuncError
from xfunc_core.imports import ImportRequest
from xfunc_core.quantities import counted, duration_text
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState

_SENTENCES = {
    RunState.QUEUED: "Waiting until the import before it has ended.",
    RunState.RUNNING: "It goes on without the browser and without the app.",
    RunState.CANCELLED: "Cancelled; nothing of it was kept.",
    RunState.LOST: "Its process is gone and left no result (killed, out of memory, or the machine went down); nothing half-imported is shown: restart it.",
}


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is.

    Attributes:
        stage: what it is doing; None before it began.
        documents: read so far.
        fraction: of this stage, 0 to 1; NaN where only the frames are known.
        per_second: documents, or in other stages than reading bytes, per second; NaN before the second look.
        seconds_left: of this stage at its pace so far; NaN where it cannot be said.
        n_bytes: read or fetched in this stage, None if not known.
        total: bytes there are, None if not known.
    """

    stage: Stage | None = None
    documents: int = 0
    fraction: float = math.nan
    per_second: float = math.nan
    seconds_left: float = math.nan
    n_bytes: int | None = None
    total: int | None = None

    @property
    def bar(self) -> float:
        """How much of a progress bar to fill, 0 to 1."""
        return self.fraction if math.isfinite(self.fraction) else 0.0

    def words(self) -> str:
        """The same in words: ``Reading · 120,000 frames · 15,000 frames/s · about 40 s left``."""
        if self.stage is None:
            return "Starting …"
        parts = [self.stage.label]
        if self.stage is Stage.READING:
            parts.append(counted(self.documents, "frame"))
        elif self.n_bytes is not None:
            parts.append(size_text(self.n_bytes) + (f" of {size_text(self.total)}" if self.total else ""))
        elif self.documents:
            parts.append(counted(self.documents, "document"))
        if math.isfinite(self.per_second):
            parts.append(f"{counted(round(self.per_second), 'frame')}/s" if self.stage is Stage.READING else f"{size_text(self.per_second)}/s")
        if math.isfinite(self.seconds_left):
            parts.append(f"about {duration_text(self.seconds_left)} left")
        return " · ".join(parts)


@dataclass(frozen=True)
class ImportStatus:
    """An import as it is shown.

    Attributes:
        state: what it is doing.
        name: of the dataset.
        title: of the dataset, on screen.
        source: where the data come from.
        sentence: one sentence on its state, or why it failed.
        progress: how far it is while it runs.
        report: the sentences of the import's report once it is finished.
    """

    state: RunState
    name: str
    title: str
    source: str
    sentence: str
    progress: ImportProgress
    report: tuple[str, ...] = ()


def import_status(job: RunFolder) -> ImportStatus:
    """Look at an import; a damaged one is told, not raised."""
    state = job.state()
    try:
        request = ImportRequest.from_dict(job.config())
    except XfuncError as error:
        return ImportStatus(RunState.BROKEN if state is RunState.QUEUED else state, job.id, job.id, "", str(error), ImportProgress())
    outcome = job.outcome() or {}
    report = outcome.get("report")
    return ImportStatus(
        state=state,
        name=request.name,
        title=request.title or request.name,
        source=request.source,
        sentence=_sentence(job, state, outcome),
        progress=progress_of(job) if state is RunState.RUNNING else ImportProgress(),
        report=tuple(map(str, report)) if state is RunState.FINISHED and isinstance(report, list) else (),
    )


def progress_of(job: RunFolder) -> ImportProgress:
    """How far an import is, from its latest record."""
    records = [record for record in job.progress() if _is_whole(record)]
    if not records:
        return ImportProgress()
    last = records[-1]
    stage, seconds, n_bytes, total = Stage(last["stage"]), last["seconds"], last["bytes"], last["total"]
    fraction = min(1.0, n_bytes / total) if n_bytes is not None and total else math.nan
    done = last["documents"] if stage is Stage.READING else n_bytes or 0
    per_second = done / seconds if done and seconds > 0 else math.nan
    left = seconds * (1 - fraction) / fraction if fraction > 0 and seconds > 0 else math.nan
    return ImportProgress(stage, last["documents"], fraction, per_second, left, n_bytes, total)


def size_text(n_bytes: float) -> str:
    """Format a number of bytes: ``850 kB``, ``1.9 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            number = n_bytes / size
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{n_bytes:.0f} bytes"


def _sentence(job: RunFolder, state: RunState, outcome: dict[str, Any]) -> str:
    message = outcome.get("message")
    if state is RunState.RUNNING and job.cancel_requested():
        return "It is being cancelled."
    return message if message and isinstance(message, str) else _SENTENCES.get(state) or job.explanation()


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a line of the progress file holds what the worker writes."""
    numbers = all(isinstance(record.get(key), int | float) for key in ("documents", "seconds"))
    optional = all(isinstance(record.get(key, ""), int | None) for key in ("bytes", "total"))
    return numbers and optional and record.get("stage") in {stage.value for stage in Stage}
