"""How many threads numpy's linear algebra takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

_lock = Lock()
_inside: list[object] = []
"""The limit, once for each caller inside: the number of threads is the whole process's."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context in which numpy's linear algebra runs on one thread: on matrices of a hundred columns more are several times slower.

    Threads of Python may be inside at the same time: the first sets the limit, and the last takes it away.
    """
    with _lock:
        _inside.append(_inside[0] if _inside else _linear_algebra().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            limit = _inside.pop()
            if not _inside:
                limit.restore_original_limits()


@cache
def _linear_algebra() -> ThreadpoolController:
    """The libraries that are loaded at the first call, numpy's among them; looking for them takes milliseconds, as long as a fit."""
    return ThreadpoolController()
