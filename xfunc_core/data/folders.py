"""Folders under a root of the data home, a thing each: whole under its name or not there, listed, described and deleted.

Datasets and tables of relaxed pairs are kept alike. Whoever makes one works in a hidden folder and renames it; what a
killed process left behind is removed by the next. ``kind`` is what the thing is called in sentences.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from xfunc_core.errors import DataError

LEFTOVER_AGE = 24 * 3600.0
"""Seconds without any change after which a hidden folder has no living writer any more."""
_NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_HIDDEN, _DISCARDED = ".importing-", ".discarded-"
T = TypeVar("T")


# --- made -------------------------------------------------------------------------------------


def hidden_folder(root: Path, name: str) -> Path:
    """A new folder in which ``name`` is made, in ``root``, which is made if missing and rid of leftovers."""
    root.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(root)
    return Path(tempfile.mkdtemp(prefix=f"{_HIDDEN}{name}-", dir=root))


def take_name(hidden: Path, target: Path, kind: str, replace: bool) -> None:
    """Rename the folder; whoever else takes the name at the same moment, one whole thing has it in the end.

    Raises:
        DataError: the name is taken and ``replace`` is False.
    """
    while True:
        try:
            hidden.rename(target)
            return
        except OSError as error:
            if error.errno not in _NAME_TAKEN:
                raise
            if not replace:
                raise taken(kind, target.name) from error
        _discard(target)


def taken(kind: str, name: str) -> DataError:
    """That the name is another's."""
    return DataError(f"There is already a {kind} named {name!r}: choose another name, or delete it first.")


def delete_folder(folder: Path, kind: str) -> None:
    """Remove a thing, damaged or not, so that nobody ever sees half of it.

    Raises:
        DataError: there is none, or the system refuses.
    """
    try:
        if not folder.is_dir():
            raise DataError(f"There is no {kind} {folder.name!r} in {folder.parent}.")
        _discard(folder)
    except OSError as error:
        raise DataError(
            f"{kind.capitalize()} {folder.name!r} cannot be deleted ({error.strerror or error}): check the permissions of {folder}."
        ) from error


def _discard(folder: Path) -> None:
    """Out of sight first, then off the disk."""
    grave = Path(tempfile.mkdtemp(prefix=f"{_DISCARDED}{folder.name}-", dir=folder.parent))
    try:
        with suppress(FileNotFoundError):  # another process was quicker
            folder.rename(grave / folder.name)
    finally:
        shutil.rmtree(grave, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    for path in root.iterdir():
        if path.name.startswith((_HIDDEN, _DISCARDED)):
            with suppress(OSError):  # it may just be going away
                changed = max(part.stat().st_mtime for part in (path, *path.rglob("*")))
                if changed < time.time() - LEFTOVER_AGE:
                    shutil.rmtree(path, ignore_errors=True)


# --- listed -----------------------------------------------------------------------------------


def opened(root: Path, kind: str, open_one: Callable[[Path], T]) -> Iterator[T | DataError]:
    """Every folder opened, or why it cannot be.

    Raises:
        DataError: ``root`` is there but cannot be listed.
    """
    for path in _folders(root, kind):
        try:
            yield open_one(path)
        except DataError as error:
            yield error


def _folders(root: Path, kind: str) -> list[Path]:
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(
            f"The {kind}s in {root} cannot be listed ({error.strerror or error}): check the path and its permissions, or set XFUNC_HOME to another place."
        ) from error


# --- described --------------------------------------------------------------------------------


def read_description(file: Path, kind: str, version: int, damaged: Callable[[str], DataError]) -> Any:
    """The content of a description in JSON, of this version if it names one.

    Raises:
        DataError: there is no such file, it cannot be read (as ``damaged`` says it), or it is of another version.
    """
    folder = file.parent
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"There is no {kind} {folder.name!r} in {folder.parent}: import it first.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(str(error)) from error
    if isinstance(content, dict) and content.get("schema_version", version) != version:
        raise DataError(
            f"{kind.capitalize()} {folder.name!r} was written by another version of xfunc: delete the folder {folder} and import it again."
        )
    return content


def read_report(file: Path, parts: tuple[str, ...], damaged: Callable[[str], DataError]) -> dict[str, Any]:
    """What an import left out: the content of ``file``, which holds a list for each of ``parts``.

    Raises:
        DataError: the file is missing or damaged, as ``damaged`` says it.
    """
    try:
        report = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(str(error)) from error
    if not isinstance(report, dict) or not all(isinstance(report.get(part), list) for part in parts):
        raise damaged("it is no report")
    return report


def wrong_field(content: Any, described: type) -> str:
    """What keeps a JSON value from being the fields of a dataclass of texts, counts and dictionaries of numbers; '' if nothing."""
    if not isinstance(content, dict):
        return "it is no JSON object"
    known = {f.name: str(f.type) for f in fields(described)}
    optional = {f.name for f in fields(described) if f.default is not MISSING or f.default_factory is not MISSING}
    wrong = sorted(set(known) - set(content) - optional | set(content) - set(known))
    wrong += [name for name, kind in known.items() if name in content and not _CHECKS[kind](content[name])]
    return f"its {wrong[0][:40]!r} is missing, unknown or no {known.get(wrong[0], 'part of it')}" if wrong else ""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": _is_count,
    "dict[str, int]": lambda value: isinstance(value, dict) and all(map(_is_count, value.values())),
    "dict[str, float]": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}
"""Whether a JSON value is of the type that a field is annotated with."""
