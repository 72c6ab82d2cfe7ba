"""Worker processes: start one for a run, and notice that it ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.identity import Identity


def start_worker(command: Sequence[str], run: RunFolder, slot: str, gpu: str, threads: int) -> subprocess.Popen[bytes]:
    """Start a run's worker in a session of its own, so that Ctrl-C elsewhere does not reach it, and record it.

    Args:
        command: what to run; the run's folder is added.
        run: the run.
        slot: name of the slot it takes.
        gpu: the GPUs it may see, separated by commas; empty for none.
        threads: threads it may use.

    Raises:
        OSError: the system refuses, such as on a full disk; then no process is left.
    """
    limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": gpu}
    limits["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait starve each other on a busy machine
    with run.log_file.open("ab") as output:
        child = subprocess.Popen(
            [*command, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=run.path.parent,
            env={**os.environ, **limits, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        run.record_launch(Identity.of(child.pid), slot)
    except OSError:  # unrecorded, it would be started again and again
        _end_group(child)
        child.wait()
        raise
    return child


def has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether a worker ended; if so it is taken in, and what it left running in its session is ended.

    The leftovers are ended before the worker is taken in: until then its id cannot go to another process.
    """
    if hasattr(os, "waitid"):
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return False
            _end_group(child)
    return child.poll() is not None


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
