"""Have torchrun start a worker several times, as processes that work on one run together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from xfunc_core.runs.devices import threads_per_slot

RANK = "RANK"
"""Where torchrun tells each process that it starts its number."""

log = logging.getLogger(__name__)


def run_together(module: str, run_dir: Path, n: int) -> int:
    """Run ``python -m MODULE RUN_DIR`` as n processes, with their share of the threads each, until all have ended.

    What they print is logged here. SIGTERM goes on to them.

    Returns:
        The exit code of torchrun: 0 if none of them failed.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", "-m", module, str(run_dir)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, own_threads() // n)), "PYTHONUNBUFFERED": "1"}
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    before = signal.signal(signal.SIGTERM, lambda *_: started.terminate())
    try:
        return _log_until_it_ends(started)
    except KeyboardInterrupt:  # Ctrl-C has reached them, too
        return _log_until_it_ends(started)
    finally:
        signal.signal(signal.SIGTERM, before)


def own_threads() -> int:
    """Threads that this process may keep busy: the first of ``OMP_NUM_THREADS``, a list by nesting, or else its processors."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if given.isdecimal() and int(given):
        return int(given)
    return threads_per_slot(1)


def _log_until_it_ends(process: subprocess.Popen[str]) -> int:
    for line in process.stdout or ():
        log.info("%s", line.rstrip())
    return process.wait()
