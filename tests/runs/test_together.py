"""How many threads the processes of one run share."""

from __future__ import annotations

import os

import pytest

from xfunc_core.runs.together import own_threads


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("5,1", 5), (" 4 , 2", 4)])
def test_threads_are_those_asked_for(given: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert own_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors of a process cannot be chosen here")
@pytest.mark.parametrize("given", [None, "", "many", "0", "-1"])
def test_without_a_number_they_are_the_processors_of_this_process(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    allowed = os.sched_getaffinity(0)
    assert own_threads() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert own_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)
