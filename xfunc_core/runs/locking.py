"""Locks that the system frees when their holder dies. Lock files are never removed: two processes could then each hold "the" lock."""

from __future__ import annotations

import fcntl
import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[int] = set()
_PAUSE = 0.02


@contextmanager
def exclusive(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Hold the lock on a file, or find it held by another process.

    Args:
        path: the lock file; made if missing.
        patience: seconds to wait for it.

    Yields:
        Whether the lock is held now; False means that another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    _close_in_forks()
    _held.add(descriptor)
    try:
        yield _acquire(descriptor, time.monotonic() + patience)
    finally:
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


def _acquire(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)


@functools.cache
def _close_in_forks() -> None:
    """A forked child, such as a data loader's, would keep the lock after its parent was killed."""
    os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    while _held:
        os.close(_held.pop())
