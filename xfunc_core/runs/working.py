"""What the processes that work on a folder have in common at their edge: termination, what nobody expected, the exit code."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType

from xfunc_core.errors import XfuncError
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState


def while_claimed(folder: RunFolder, log: logging.Logger, work: Callable[[RunFolder], RunState]) -> int:
    """Claim the folder, work on it and give the exit code: 0 unless it failed or is another's."""
    try:
        with folder.claim():
            return 1 if work(folder) is RunState.FAILED else 0
    except XfuncError as error:
        log.error("%s", error)
        return 1


def heed_termination() -> None:
    """From here on SIGTERM is a `KeyboardInterrupt`, the first one."""
    signal.signal(signal.SIGTERM, _terminate)


def ignore_termination() -> None:
    """From here on SIGTERM could only keep the outcome from being recorded."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def unexpected(what: str, error: Exception, log: logging.Logger) -> str:
    """Log an error that nobody expected, with its traceback, and say so in a sentence; call it where it is caught."""
    log.exception("%s stopped on an error that xfunc did not expect.", what)
    words = " ".join(str(error).split())[:200]
    return f"{what} stopped on an unexpected {type(error).__name__} ({words}); the log has the details."


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    ignore_termination()  # a second one must not cut short how the first is recorded
    raise KeyboardInterrupt
