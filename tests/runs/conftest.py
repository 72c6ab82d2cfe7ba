"""Real workers for real dispatchers: small scripts, started and killed as the real ones are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xfunc_core.runs.folder import RunFolder, list_runs

ROOT = Path(__file__).resolve().parents[2]
WORKERS = {
    "good": "with run.claim():\n    run.append_progress({'epoch': 1})\n    run.finish(RunState.FINISHED)",
    "patient": "with run.claim():\n    while not run.cancel_requested():\n        time.sleep(0.02)\n    run.finish(RunState.CANCELLED, 'As you wished.')",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwith run.claim():\n    time.sleep(600)",
    "deaf": "with run.claim():\n    time.sleep(600)",
    "stillborn": "raise ImportError('no module named torch')",
    "parent": "import os\nwith run.claim():\n    if os.fork() == 0:\n        (run.path / 'child').write_text(str(os.getpid()))\n        time.sleep(600)\n    time.sleep(600)",
    "teller": "import json, os\nwith run.claim():\n    run.write_json(run.metrics, dict(os.environ))\n    run.finish(RunState.FINISHED)",
}
HEAD = "import signal, sys, time\nfrom pathlib import Path\nfrom xfunc_core.runs.folder import RunFolder\nfrom xfunc_core.runs.state import RunState\nrun = RunFolder(Path(sys.argv[1]))\n"


@pytest.fixture(autouse=True)
def _package_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty runs folder; processes that a test leaves there are ended."""
    runs_root = tmp_path / "runs"
    runs_root.mkdir()
    yield runs_root
    for run in list_runs(runs_root):
        for process in run.processes():
            if process.pid != os.getpid():
                process.send(signal.SIGKILL)


@pytest.fixture
def worker(tmp_path: Path) -> Callable[[str], list[str]]:
    """The command of a worker that behaves as its name says."""

    def command(name: str) -> list[str]:
        script = tmp_path / f"{name}.py"
        script.write_text(HEAD + WORKERS[name])
        return [sys.executable, str(script)]

    return command


@pytest.fixture
def started(worker: Callable[[str], list[str]]) -> Iterator[Callable[[RunFolder, str], subprocess.Popen[bytes]]]:
    """Start a worker by hand, as a cluster would, and wait until it has claimed its run."""
    children: list[subprocess.Popen[bytes]] = []

    def start(run: RunFolder, name: str) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen([*worker(name), str(run.path)], start_new_session=True))
        until(run.worker_file.exists)
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def soon() -> Callable[..., None]:
    """Wait until something holds, and fail if it does not soon."""
    return until


def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
