"""The queue: start waiting runs in free slots, oldest first, and see to it that cancelled ones end.

It keeps nothing that matters in memory. Killed and started again, it finds in the folders which runs
live and which slots they take.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xfunc_core.errors import RunError
from xfunc_core.runs.devices import cpu_slots, gpu_ids, threads_per_slot
from xfunc_core.runs.folder import RunFolder, by_age, list_runs, unsorted_runs
from xfunc_core.runs.launching import has_ended, start_worker
from xfunc_core.runs.lifecycle import clean
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.state import RunState

log = logging.getLogger("xfunc.queue")

LOCK_NAME = ".dispatcher.lock"
TRAINING = "xfunc_core.worker"
"""The module that works on a run unless another one is named."""
_PATIENCE = 0.3
_CPU, _GPU = "cpu", "gpu:"
_NO_GPU = "This run asks for a GPU, and this machine has none that xfunc may use: launch it on the CPU."
_FEW_GPUS = "This run asks for {n} GPUs, one for each of its processes, and this machine has {here} that xfunc may use: launch it with fewer processes."


@dataclass(frozen=True)
class Pace:
    """Waiting times in seconds.

    Attributes:
        look: between two looks at the runs.
        idle: without work, until the dispatcher leaves.
        grace: from the wish to cancel to SIGTERM.
        kill: from SIGTERM to SIGKILL.
        refused: until a run is tried again whose start the system refused.
    """

    look: float = 0.5
    idle: float = 5.0
    grace: float = 10.0
    kill: float = 5.0
    refused: float = 5.0


@dataclass
class Dispatcher:
    """Starts the workers of one runs folder.

    Attributes:
        runs_root: the folder that holds the runs.
        worker: the command that is given a run folder.
        n_cpu: how many runs may use the CPU at once.
        gpus: names of the GPUs, a slot each; None asks the machine when the first run wants one.
        pace: waiting times.
    """

    runs_root: Path
    worker: Sequence[str] = (sys.executable, "-m", TRAINING)
    n_cpu: int = field(default_factory=cpu_slots)
    gpus: Sequence[str] | None = None
    pace: Pace = Pace()
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False)
    _settled: dict[str, int] = field(default_factory=dict, init=False)
    _terminated: dict[str, float] = field(default_factory=dict, init=False)
    _refused: dict[str, float] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Serve until there was nothing to do for a while; return at once if another dispatcher serves this folder."""
        while True:
            with exclusive(self.runs_root / LOCK_NAME, _PATIENCE) as held:
                if not held:
                    return
                clean(self.runs_root)
                self._serve()
            # A run may have been submitted just before the lock was freed, by somebody who therefore started no dispatcher.
            if not any(state.is_active for _, state in self._unsettled()):
                return

    def look(self) -> bool:
        """Look at all runs once and act; returns whether any waits or works."""
        self._children = [child for child in self._children if not has_ended(child)]
        found = self._unsettled()
        running = [run for run, state in found if state is RunState.RUNNING]
        queued = sorted((run for run, state in found if state is RunState.QUEUED), key=by_age)
        self._press([run for run in running if run.cancel_requested()])
        self._fill(queued, running)
        return bool(running or queued)

    def _serve(self) -> None:
        last_work = time.monotonic()
        while time.monotonic() - last_work < self.pace.idle:
            try:
                if self.look():
                    last_work = time.monotonic()
            except OSError as error:  # such as a network file system that is away for a moment
                log.warning("Cannot look at the runs: %s", error)
            time.sleep(self.pace.look)

    def _unsettled(self) -> list[tuple[RunFolder, RunState]]:
        """Runs with their states, but those with an outcome only once: until their folder changes nothing is to be done for them."""
        found = []
        for run in unsorted_runs(self.runs_root):
            changed = run.changed()
            if self._settled.get(run.id) == changed:
                continue
            state = run.state()
            found.append((run, state))
            if state.is_recorded and run.outcome() is not None:
                self._settled[run.id] = changed
        return found

    def _fill(self, queued: Sequence[RunFolder], running: Sequence[RunFolder]) -> None:
        """Start what fits into the free slots; a run that the system refuses to start waits without holding up the others."""
        taken = [slot for run in running for slot in _single(run.launch_slot() or next(iter(self._slots(run)), _CPU))]
        for run in queued:
            if time.monotonic() < self._refused.get(run.id, 0.0):
                continue
            try:
                self._start(run, taken)
            except OSError as error:
                log.warning("Cannot start run %s: %s", run.id, error)
                self._refused[run.id] = time.monotonic() + self.pace.refused

    def _start(self, run: RunFolder, taken: list[str]) -> None:
        slots, n = self._slots(run), _slots_needed(run)
        free = list((Counter(slots) - Counter(taken)).elements())
        if len(slots) < n:
            run.finish(RunState.FAILED, _FEW_GPUS.format(n=n, here=len(slots)) if slots else _NO_GPU)
        elif len(free) < n:
            taken += free  # kept for it: else runs of one GPU would pass it for ever
        else:
            gpu = ",".join(slot.removeprefix(_GPU) for slot in free[:n] if slot != _CPU)
            slot = _GPU + gpu if gpu else _CPU
            self._children.append(start_worker(self.worker, run, slot, gpu, threads_per_slot(self.n_cpu)))
            taken += free[:n]
            log.info("Started run %s on %s.", run.id, slot)

    def _slots(self, run: RunFolder) -> list[str]:
        """The slots that a run may take, free or not."""
        if not _wants_gpu(run):
            return [_CPU] * self.n_cpu
        self.gpus = gpu_ids() if self.gpus is None else self.gpus
        return [_GPU + gpu for gpu in self.gpus]

    def _press(self, unwanted: Sequence[RunFolder]) -> None:
        """Ask runs that do not heed the wish to cancel by SIGTERM, then end them by SIGKILL."""
        now = time.monotonic()
        self._terminated = {run.id: self._terminated[run.id] for run in unwanted if run.id in self._terminated}
        for run in unwanted:
            if run.id in self._terminated:
                if now - self._terminated[run.id] >= self.pace.kill:
                    _send(run, signal.SIGKILL)
            elif run.seconds_since_wish() >= self.pace.grace:
                self._terminated[run.id] = now
                _send(run, signal.SIGTERM)


def waiting(runs_root: Path) -> list[RunFolder]:
    """The runs in the queue, the next one first."""
    return [run for run in reversed(list_runs(runs_root)) if run.state() is RunState.QUEUED]


def queue_position(run: RunFolder) -> int | None:
    """The place of a run in the queue, from 1; None if it does not wait."""
    ids = [other.id for other in waiting(run.path.parent)]
    return ids.index(run.id) + 1 if run.id in ids else None


def _send(run: RunFolder, number: signal.Signals) -> None:
    for process in run.processes():
        process.send(number)


def _wants_gpu(run: RunFolder) -> bool:
    return _setting(run, "device") == "cuda"


def _slots_needed(run: RunFolder) -> int:
    """A GPU for each process; on the CPU the processes of a run share its slot and its threads."""
    n = _setting(run, "processes")
    return n if _wants_gpu(run) and isinstance(n, int) and n > 1 else 1


def _single(slot: str) -> list[str]:
    """The slots in one that may be of several GPUs: ``gpu:0,1`` is ``gpu:0`` and ``gpu:1``."""
    return [_GPU + gpu for gpu in slot.removeprefix(_GPU).split(",")] if slot.startswith(_GPU) else [slot]


def _setting(run: RunFolder, name: str) -> object:
    try:
        return run.config().get(name)
    except RunError:
        return None
