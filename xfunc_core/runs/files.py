"""What lies in a run folder: every file name, and how the small files are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xfunc_core.errors import RunError


class _File:
    """The path of one file of a run folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, files: RunFiles, _owner: type) -> Path:
        return files.path / self.name


@dataclass(frozen=True)
class RunFiles:
    """The paths in one run folder. Each file has one writer."""

    path: Path

    # written once, when the run is made
    config_file = _File("config.json")
    created_file = _File("created.json")
    # by the interface
    title_file = _File("title.txt")
    cancel_file = _File("cancel")  # its presence is the wish
    attempts = _File("attempts")  # a numbered folder for what each earlier attempt left
    # by the dispatcher
    launch_file = _File("launch.json")
    # by the worker
    lock_file = _File("lock")  # held while it works; never removed
    worker_file = _File("worker.json")
    heartbeat_file = _File("heartbeat")
    reserve_file = _File(".reserve")  # space for the outcome on a full disk
    progress_file = _File("progress.jsonl")
    log_file = _File("log.txt")
    outcome_file = _File("outcome.json")
    checkpoint = _File("checkpoint.pt")
    model = _File("model.pt")
    references = _File("references.json")
    split = _File("split.json")
    metrics = _File("metrics.json")
    predictions = _File("predictions.npz")

    @property
    def id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.path.name

    @property
    def attempt(self) -> int:
        """The number of the current attempt, from 1."""
        try:
            return 1 + max((int(kept.name) for kept in self.attempts.iterdir() if kept.name.isdecimal()), default=0)
        except OSError:
            return 1

    def changed(self) -> int:
        """A number that changes when files come, go or are replaced in the folder; -1 if it is gone."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return -1


def read_config(files: RunFiles) -> dict[str, Any]:
    """A run's settings.

    Raises:
        RunError: they are missing or edited into nonsense.
    """
    if not files.path.is_dir():
        raise RunError(f"There is no run {files.id} in {files.path.parent}.")
    try:
        found = json.loads(files.config_file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"The settings {files.config_file} cannot be read ({_reason(error)}): repair the file or delete the run.") from error
    if not isinstance(found, dict):
        raise RunError(f"The settings {files.config_file} are not a JSON object: repair the file or delete the run.")
    return found


def parse_object(text: bytes) -> dict[str, Any] | None:
    """A JSON object, or None if the text is anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None if there is none."""
    try:
        return parse_object(path.read_bytes())
    except OSError:
        return None


def read_moment(path: Path, key: str) -> datetime | None:
    """The time that a JSON file holds under a key, or None."""
    try:
        found = datetime.fromisoformat((read_object(path) or {})[key])
    except (KeyError, TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def modified(path: Path) -> datetime | None:
    """When a file or folder last changed, or None if there is none."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def read_tail(path: Path, n_lines: int, n_bytes: int) -> list[str]:
    """The last lines of a text file, from its last bytes only."""
    try:
        with path.open("rb") as stream:
            start = max(0, stream.seek(0, 2) - n_bytes)
            stream.seek(start)
            lines = stream.read(n_bytes).decode(errors="replace").rstrip().splitlines()
    except OSError:
        return []
    return lines[1 if start and len(lines) > 1 else 0 :][-n_lines:] if n_lines > 0 else []


def now_text() -> str:
    """The time as it is stored."""
    return datetime.now(UTC).isoformat()


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: {error.msg}"
    return getattr(error, "strerror", None) or "not JSON text"
