"""Staying with runs until they end, and saying how far they are."""

from __future__ import annotations

import time
from collections.abc import Sequence

from xfunc_core.answers.answer import Say
from xfunc_core.data.home import runs_root
from xfunc_core.quantities import ENERGY, count_text, counted, duration_text
from xfunc_core.runs.dispatcher import ensure_dispatcher
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.overview import progress_of
from xfunc_core.runs.state import RunState

LOOK_SECONDS = 0.5
SERVE_SECONDS = 10.0
"""How often it is seen to that somebody serves the queue: the process that did may have been killed."""


def wait_for(folders: Sequence[RunFolder], say: Say) -> None:
    """Return when every run has ended."""
    served = time.monotonic()
    while active := [folder for folder in folders if folder.state().is_active]:
        say(_how_far(folders, active))
        time.sleep(LOOK_SECONDS)
        if time.monotonic() - served > SERVE_SECONDS:
            served = time.monotonic()
            ensure_dispatcher(runs_root())


def progress_text(run: RunFolder) -> str:
    """How far a run is, such as ``epoch 12 of 30 (41 %), 31 s so far, about 46 s left``."""
    progress = progress_of(run)
    text = f"epoch {count_text(progress.epoch)} of {count_text(progress.epochs)} ({100 * progress.fraction:.0f} %), {duration_text(progress.seconds)} so far"
    return f"{text}, about {duration_text(progress.seconds_left)} left" if 0 < progress.fraction < 1 else text


def last_error_text(run: RunFolder) -> str:
    """The validation energy error of the last epoch, or nothing before the first."""
    records = progress_of(run).records
    error = records[-1]["validation"].get(ENERGY.key) if records else None
    return f"validation {ENERGY.label.lower()} MAE {ENERGY.error_with_unit(error)}" if error is not None else ""


def _how_far(folders: Sequence[RunFolder], active: Sequence[RunFolder]) -> str:
    working = next((run for run in active if run.state() is RunState.RUNNING), None)
    what = f"{working.id}: {', '.join(filter(None, [progress_text(working), last_error_text(working)]))}" if working else "waiting for a free slot"
    return f"{count_text(len(folders) - len(active))} of {counted(len(folders), 'run')} ended; {what}" if len(folders) > 1 else what
