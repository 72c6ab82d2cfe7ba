"""The worker's side of a run folder: be its only worker, show a heartbeat, record the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xfunc_core.errors import RunError
from xfunc_core.runs.atomic import DISK_FULL
from xfunc_core.runs.files import now_text
from xfunc_core.runs.identity import Identity
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.state import RunState

if TYPE_CHECKING:
    from xfunc_core.runs.folder import RunFolder

HEARTBEAT_SECONDS = 2.0
_PATIENCE = 0.5
_RESERVE_BYTES = 16 * 1024


@contextmanager
def claim(run: RunFolder) -> Iterator[None]:
    """Be the one process that works on a run until the block ends.

    Raises:
        RunError: another process works on it, or it is over.
    """
    if not run.path.is_dir():
        raise RunError(f"There is no run {run.id} in {run.path.parent}.")
    with exclusive(run.lock_file, _PATIENCE) as held:
        if not held:
            raise RunError(f"Another process is working on run {run.id} already.")
        if run.outcome_file.exists():
            raise RunError(f"Run {run.id} is over: resume it to put it back into the queue.")
        _introduce(run)
        try:
            with _heartbeat(run.heartbeat_file):
                yield
        finally:
            run.reserve_file.unlink(missing_ok=True)


def finish(run: RunFolder, state: RunState, message: str, **extra: Any) -> None:
    """Record how the run ended, on a full disk too: there the reserve makes room."""
    if not state.is_recorded:
        raise ValueError(f"{state} is not an outcome")
    outcome = {"state": state.value, "message": message, "ended_at": now_text(), **extra}
    try:
        run.write_json(run.outcome_file, outcome)
    except OSError as error:
        if error.errno not in DISK_FULL or not run.reserve_file.exists():
            raise
        run.reserve_file.unlink()
        run.write_json(run.outcome_file, outcome)


def _introduce(run: RunFolder) -> None:
    me = Identity.of(os.getpid())
    run.heartbeat_file.touch()
    run.write_json(run.worker_file, {**(me.to_json() if me else {}), "started_at": now_text(), "attempt": run.attempt})
    with suppress(OSError):
        run.reserve_file.write_bytes(os.urandom(_RESERVE_BYTES))  # random: nothing to compress or leave sparse


@contextmanager
def _heartbeat(file: Path) -> Iterator[None]:
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # a hiccup of the file system must not stop the run
                os.utime(file)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
