"""The process that serves the queue: ``python -m xfunc_core.runs.dispatcher RUNS_ROOT [WORKER]``.

WORKER is the module that works on each run, one for all runs of the folder. The process is detached from
whoever started it, is the only one for its folder, and leaves when there is nothing to do. The interface and the CLI start it by `submit` and `ensure_dispatcher`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import xfunc_core
from xfunc_core.errors import RunError
from xfunc_core.runs.folder import RunFolder, unsorted_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.queue import LOCK_NAME, TRAINING, Dispatcher

_LOG_NAME = "dispatcher.log"
_LOG_BYTES = 1024 * 1024


def submit(runs_root: Path, config: dict[str, Any], *, run_id: str | None = None, worker: str = TRAINING) -> RunFolder:
    """Put a run into the queue; the same id twice gives the run that is already there.

    Raises:
        RunError: the run cannot be written, or the process that starts runs cannot be started.
    """
    run = RunFolder.create(runs_root, config, run_id=run_id)
    ensure_dispatcher(runs_root, worker)
    return run


def ensure_dispatcher(runs_root: Path, worker: str = TRAINING) -> None:
    """Start a dispatcher if none serves the folder and a run waits or works; cheap enough for each page view.

    Raises:
        RunError: it cannot be started.
    """
    if not runs_root.is_dir():
        return
    try:
        with exclusive(runs_root / LOCK_NAME) as free:
            pass  # freed again at once, for the dispatcher to take
        if free and any(run.state().is_active for run in unsorted_runs(runs_root)):
            _start(runs_root.resolve(), worker)
    except OSError as error:
        raise RunError(f"The process that starts runs could not be started in {runs_root} ({error.strerror}); the runs wait in the queue.") from error


def _start(runs_root: Path, worker: str) -> None:
    log = runs_root / _LOG_NAME
    fresh = not log.exists() or log.stat().st_size > _LOG_BYTES
    with log.open("wb" if fresh else "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "xfunc_core.runs.dispatcher", str(runs_root), worker],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=runs_root,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,
        )
    threading.Thread(target=process.wait, name="reap dispatcher", daemon=True).start()


def _python_path() -> str:
    """Where the package lies, so that the dispatcher and its workers find it from any folder."""
    parent = str(Path(xfunc_core.__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([parent, known]) if known else parent


def main(runs_root: str, worker: str = TRAINING) -> None:
    """Serve the queue of a folder until it is empty."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s")
    Dispatcher(Path(runs_root).resolve(), (sys.executable, "-m", worker)).run()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m xfunc_core.runs.dispatcher RUNS_ROOT [WORKER]")
    main(*sys.argv[1:])
