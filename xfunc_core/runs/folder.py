"""A run is a folder: everything known about it lies there, one writer per file, and nowhere else.

Nobody stores whether a run is alive: that is found on looking, from its outcome, its processes and the
wish to cancel.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xfunc_core.errors import RunError
from xfunc_core.runs import claiming, lifecycle
from xfunc_core.runs.atomic import append_line, write_atomic, write_atomic_with
from xfunc_core.runs.files import RunFiles, modified, now_text, parse_object, read_config, read_moment, read_object, read_tail
from xfunc_core.runs.identity import Identity
from xfunc_core.runs.state import RunState

__all__ = ["RunFolder", "list_runs", "write_atomic", "write_atomic_with"]

HEARTBEAT_LIMIT = 30.0
"""Seconds without a sign of life after which a run that another machine works on counts as lost."""
_LOG_BYTES = 256 * 1024
_TITLE_LENGTH = 120
_START = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class RunFolder(RunFiles):
    """One run on disk; its file names are in `RunFiles`."""

    @classmethod
    def create(cls, runs_root: Path, config: dict[str, Any], *, run_id: str | None = None) -> RunFolder:
        """Make a run that waits in the queue; the same id twice gives the run that is already there.

        Raises:
            RunError: the id could not be a folder name, or the folder cannot be written; nothing is left behind.
        """
        return cls(lifecycle.create(runs_root, config, run_id))

    # --- what the run is and does ---------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """The run's settings.

        Raises:
            RunError: they are missing or edited into nonsense.
        """
        return read_config(self)

    def state(self) -> RunState:
        """What the run is doing, found from its files and processes."""
        try:
            return self._found_state()
        except OSError:  # such as a folder of another user
            return RunState.BROKEN

    def outcome(self) -> dict[str, Any] | None:
        """How the run ended: state, message, ended_at; None if its worker has not said."""
        return read_object(self.outcome_file)

    def explanation(self) -> str:
        """One sentence on the run: what its worker said, what cannot be read, or what its state means."""
        message = (self.outcome() or {}).get("message")
        if message and isinstance(message, str):
            return message
        state = self.state()
        if state is RunState.BROKEN:
            return self._problem() or state.sentence
        last = self.log_tail(1) if state is RunState.LOST else ""
        return f"{state.sentence} The log ends with: {last}" if last else state.sentence

    @property
    def title(self) -> str:
        """What the user called the run, or its id."""
        try:
            return " ".join(self.title_file.read_text(errors="replace").split())[:_TITLE_LENGTH] or self.id
        except OSError:
            return self.id

    @property
    def sweep(self) -> str:
        """The sweep the run belongs to, '' if none or if its settings cannot be read."""
        try:
            return str(self.config().get("sweep") or "")
        except RunError:
            return ""

    @property
    def created_at(self) -> datetime | None:
        """When the run was put into the queue; the folder's own time if that is not recorded."""
        return read_moment(self.created_file, "created_at") or modified(self.path)

    @property
    def started_at(self) -> datetime | None:
        """When the worker of the latest attempt began, or was launched."""
        return read_moment(self.worker_file, "started_at") or read_moment(self.launch_file, "launched_at")

    @property
    def ended_at(self) -> datetime | None:
        """When the worker recorded the end."""
        return read_moment(self.outcome_file, "ended_at")

    def progress(self) -> list[dict[str, Any]]:
        """Progress records in order; lines torn by a crash are left out."""
        try:
            lines = self.progress_file.read_bytes().split(b"\n")
        except OSError:
            return []
        return [record for line in lines if (record := parse_object(line)) is not None]

    def log_tail(self, lines: int = 200) -> str:
        """The last lines of the log."""
        return "\n".join(read_tail(self.log_file, lines, _LOG_BYTES))

    # --- what a user may do ---------------------------------------------------------------------

    def request_cancel(self) -> None:
        """Wish the run cancelled; nothing happens if it is over."""
        lifecycle.request_cancel(self)

    def cancel_requested(self) -> bool:
        """Whether somebody wishes the run cancelled."""
        return os.path.exists(self.cancel_file)  # False, too, while a network file system is away

    def rename(self, title: str) -> None:
        """Give the run a title; an empty one gives back its id."""
        lifecycle.rename(self, title)

    def retry(self) -> None:
        """Put a failed, cancelled or lost run back into the queue; the checkpoint stays, so it goes on from there.

        Raises:
            RunError: the run is in another state.
        """
        lifecycle.retry(self)

    def delete(self) -> None:
        """Remove the run with everything in it.

        Raises:
            RunError: the run waits or works.
        """
        lifecycle.delete(self)

    # --- what the dispatcher does ---------------------------------------------------------------

    def record_launch(self, process: Identity | None, slot: str) -> None:
        """Record the process that was started for this run and the slot it takes."""
        self.write_json(self.launch_file, {**(process.to_json() if process else {}), "slot": slot, "launched_at": now_text()})

    def launch_slot(self) -> str | None:
        """The slot recorded at launch; None for a worker started by hand."""
        slot = (read_object(self.launch_file) or {}).get("slot")
        return slot if isinstance(slot, str) else None

    def seconds_since_wish(self) -> float:
        """Seconds since somebody wished the run cancelled; 0 if nobody did."""
        wished = modified(self.cancel_file)
        return time.time() - wished.timestamp() if wished else 0.0

    def processes(self) -> list[Identity]:
        """The run's processes that live on this machine."""
        return [process for process in self._identities() if process.is_alive()]

    # --- what the worker does -------------------------------------------------------------------

    def claim(self) -> AbstractContextManager[None]:
        """Be the one process that works on this run, with a heartbeat, until the block ends.

        Raises:
            RunError: another process works on it, or it is over.
        """
        return claiming.claim(self)

    def append_progress(self, record: dict[str, Any]) -> None:
        """Append one record with one write."""
        append_line(self.progress_file, json.dumps(record).encode())

    def write_json(self, path: Path, data: Any) -> None:
        """Replace a JSON file at once."""
        write_atomic(path, json.dumps(data, indent=1, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")

    def finish(self, state: RunState, message: str = "", **extra: Any) -> None:
        """Record how the run ended: finished, failed or cancelled."""
        claiming.finish(self, state, message, **extra)

    def _found_state(self) -> RunState:
        if self.outcome_file.exists():
            return self._recorded_state()
        launched = self.launch_file.exists() or self.worker_file.exists()
        if self._is_alive():
            return RunState.RUNNING
        if self.outcome_file.exists():  # written between the two looks
            return self._recorded_state()
        if self.cancel_requested():
            return RunState.CANCELLED
        if launched:
            return RunState.LOST
        return RunState.BROKEN if self._problem() else RunState.QUEUED

    def _recorded_state(self) -> RunState:
        recorded = (self.outcome() or {}).get("state")
        return next((s for s in RunState if s.is_recorded and s.value == recorded), RunState.BROKEN)

    def _problem(self) -> str:
        """Why the folder cannot be read, or nothing."""
        try:
            self.config()
            if self.outcome_file.exists() and self._recorded_state() is RunState.BROKEN:
                return f"The outcome {self.outcome_file} cannot be read: repair the file or delete the run."
        except RunError as error:
            return str(error)
        except OSError as error:
            return f"The run's folder {self.path} cannot be read ({error.strerror})."
        return ""

    def _identities(self) -> list[Identity]:
        found = (Identity.from_json(read_object(file)) for file in (self.worker_file, self.launch_file))
        return list(dict.fromkeys(identity for identity in found if identity))

    def _is_alive(self) -> bool:
        """Whether a process of this run lives; where only another machine could say, its heartbeat decides."""
        answers = {identity.is_alive() for identity in self._identities()}
        return True in answers or (None in answers and self._silence() < HEARTBEAT_LIMIT)

    def _silence(self) -> float:
        """Seconds since the last sign of life."""
        signs = (modified(file) for file in (self.heartbeat_file, self.worker_file, self.launch_file))
        return time.time() - max((sign.timestamp() for sign in signs if sign), default=0.0)


def list_runs(runs_root: Path) -> list[RunFolder]:
    """All runs, newest first; hidden folders and files are none."""
    return sorted(unsorted_runs(runs_root), key=by_age, reverse=True)


def unsorted_runs(runs_root: Path) -> list[RunFolder]:
    """All runs in no order, without reading a file."""
    try:
        return [RunFolder(path) for path in runs_root.iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError:
        return []


def by_age(run: RunFolder) -> tuple[datetime, str]:
    """Sort key: the oldest run first."""
    return run.created_at or _START, run.id
