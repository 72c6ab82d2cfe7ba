"""How a run folder comes to be, goes back into the queue, and goes."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xfunc_core.errors import RunError
from xfunc_core.runs.atomic import DISK_FULL, write_atomic
from xfunc_core.runs.files import RunFiles, now_text
from xfunc_core.runs.locking import exclusive

if TYPE_CHECKING:
    from xfunc_core.runs.folder import RunFolder

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without letters and digits that look alike
_NEW, _GONE = ".new-", ".deleted-"
_STALE_SECONDS = 3600
_PATIENCE = 0.5


def create(runs_root: Path, config: dict[str, Any], run_id: str | None) -> Path:
    """Make a run folder at once: it is prepared under a hidden name and renamed.

    Returns:
        The folder; the one that is already there if the id is taken.

    Raises:
        RunError: the id could not be a folder name, or the folder cannot be written; nothing is left behind.
    """
    run_id = new_id(config) if run_id is None else run_id
    if not _ID.fullmatch(run_id):
        raise RunError(f"{run_id!r} cannot name a run: use up to 100 letters, digits, dots, dashes and underscores, beginning with a letter or digit.")
    final = runs_root / run_id
    content = json.dumps(config, indent=1, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
    if not final.exists():
        with refusals_said(runs_root):
            _prepare_and_rename(runs_root, final, content)
    return final


def new_id(config: dict[str, Any]) -> str:
    """A readable id that sorts by time, such as ``20261124-143512-m4-k3f9``."""
    method = re.sub(r"[^a-z0-9]", "", str(config.get("method", "")).lower())[:20] or "run"
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{method}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"


def rename(run: RunFolder, title: str) -> None:
    """Give a run a title, on one line.

    Raises:
        RunError: the folder cannot be written.
    """
    with refusals_said(run.path):
        write_atomic(run.title_file, " ".join(title.split()).encode(errors="replace"))


def request_cancel(run: RunFolder) -> None:
    """Leave the wish to cancel with a run, unless it is over.

    Raises:
        RunError: the folder cannot be written.
    """
    if run.state().is_active:
        with refusals_said(run.path):
            run.cancel_file.touch()


def retry(run: RunFolder) -> None:
    """Put a run that ended early back into the queue; what its last attempt said goes into ``attempts``.

    Raises:
        RunError: the run waits, works, is finished or cannot be read.
    """
    with _alone(run):
        if not run.state().can_retry:
            raise RunError(f"Run {run.id} cannot be resumed: it is {run.state().label.lower()}.")
        _remove_unfinished(run.path)
        kept = run.attempts / str(run.attempt)
        kept.mkdir(parents=True)
        # The launch and the outcome go last: after a crash in between the run can still be resumed.
        for file in (run.heartbeat_file, run.worker_file, run.cancel_file, run.launch_file, run.outcome_file):
            if file.exists():
                file.rename(kept / file.name)


def delete(run: RunFolder) -> None:
    """Remove a run with everything in it.

    Raises:
        RunError: the run waits or works.
    """
    with _alone(run):
        if run.state().is_active:
            raise RunError(f"Run {run.id} is {run.state().label.lower()}: cancel it, then delete it.")
        hidden = run.path.with_name(f"{_GONE}{run.id}-{secrets.token_hex(4)}")
        run.path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def clean(runs_root: Path) -> None:
    """Remove what interrupted deletions left, and preparations of more than an hour ago."""
    for path in runs_root.glob(".*"):
        if path.name.startswith(_GONE) or (path.name.startswith(_NEW) and _is_stale(path)):
            shutil.rmtree(path, ignore_errors=True)


def _prepare_and_rename(runs_root: Path, final: Path, config: bytes) -> None:
    runs_root.mkdir(parents=True, exist_ok=True)
    files = RunFiles(runs_root / f"{_NEW}{final.name}-{secrets.token_hex(4)}")
    try:
        files.path.mkdir()
        write_atomic(files.config_file, config)
        write_atomic(files.created_file, json.dumps({"created_at": now_text()}).encode())
        files.lock_file.touch()  # made now, so that on a full disk a run can still be deleted
        _move(files.path, final)
    except BaseException:
        shutil.rmtree(files.path, ignore_errors=True)
        raise


def _move(prepared: Path, final: Path) -> None:
    try:
        prepared.rename(final)
    except OSError:
        if not final.is_dir():  # else another process made the same run meanwhile
            raise
        shutil.rmtree(prepared, ignore_errors=True)


@contextmanager
def refusals_said(folder: Path) -> Iterator[None]:
    """What the system refuses while something is written into a folder becomes a sentence.

    Raises:
        RunError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise RunError(f"There is no free disk space in {folder}: free some and try again.") from error
        raise RunError(f"{folder} cannot be written ({error.strerror}): check its permissions or set XFUNC_HOME.") from error


@contextmanager
def _alone(run: RunFolder) -> Iterator[None]:
    """Hold the run's lock, so that no worker and no second click acts on it meanwhile."""
    if not run.path.is_dir():
        raise RunError(f"There is no run {run.id} in {run.path.parent}.")
    with refusals_said(run.path), exclusive(run.lock_file, _PATIENCE) as held:
        if not held:
            raise RunError(f"Run {run.id} is still held by a process: cancel it and try again in a few seconds.")
        yield


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        if _is_stale(path):
            path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _STALE_SECONDS
    except OSError:
        return False
