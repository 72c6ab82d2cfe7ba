"""Threads of numpy's linear algebra are limited while anybody needs that, and no longer."""

from __future__ import annotations

import pytest
from threadpoolctl import ThreadpoolController

from xfunc_core.blas import one_blas_thread


def n_threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def several() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        yield


def test_callers_that_overlap_leave_it_as_it_was() -> None:
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert n_threads() == {1}
    first.__exit__(None, None, None)
    assert n_threads() == {1}  # the second is still inside
    second.__exit__(None, None, None)
    assert n_threads() == {2}


def test_an_error_inside_lifts_the_limit() -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018
    assert n_threads() == {2}
