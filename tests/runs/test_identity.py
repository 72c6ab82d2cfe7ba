"""Telling processes apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from xfunc_core.runs import identity
from xfunc_core.runs.identity import Identity

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_own_process_lives_and_survives_json() -> None:
    me = Identity.of(os.getpid())
    assert me.is_alive() is True
    assert Identity.from_json(me.to_json() | {"slot": "cpu"}) == me


def test_dead_zombie_and_reused_ids_are_not_alive() -> None:
    child = subprocess.Popen(SLEEP, start_new_session=True)
    found = Identity.of(child.pid)
    assert replace(found, started="1").is_alive() is False
    found.send(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert found.is_alive() is False  # a zombie still
    child.wait()
    assert found.is_alive() is False
    found.send(signal.SIGKILL)


def test_signals_never_reach_a_process_that_only_has_the_same_id() -> None:
    child = subprocess.Popen(SLEEP, start_new_session=True)
    replace(Identity.of(child.pid), started="1").send(signal.SIGKILL)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_other_machines_cannot_be_judged() -> None:
    assert replace(Identity.of(os.getpid()), system="elsewhere").is_alive() is None


@pytest.mark.parametrize("data", [None, [], {}, {"pid": True, "started": "", "system": "", "host": ""}, {"pid": "1"}])
def test_nonsense_is_no_identity(data: object) -> None:
    assert Identity.from_json(data) is None


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_impossible_ids_are_nobody(pid: int) -> None:
    assert Identity.of(pid) is None


def test_ps_tells_the_same_where_there_is_no_proc() -> None:
    start, state = identity._look_with_ps(os.getpid())
    assert start
    assert state in "RS"
    assert identity._look_with_ps(2**22 + 1) is None
