"""How many threads numpy's linear algebra takes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """A context in which numpy's linear algebra runs on one thread: on matrices of a hundred columns more are several times slower."""
    return _linear_algebra().limit(limits=1, user_api="blas")


@cache
def _linear_algebra() -> ThreadpoolController:
    """The libraries that numpy loaded; looking for them takes milliseconds, as long as a fit."""
    return ThreadpoolController()
