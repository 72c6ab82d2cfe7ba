"""How far an import is: readers open what they read through a path that tells, and know nothing of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.frame import Note

BUFFER = 1 << 18
"""Bytes read at once: few enough to tell soon, many enough that telling costs nothing."""

Item = TypeVar("Item")


class Stage(Enum):
    """What an import is doing; the value is what files see."""

    DOWNLOADING = "downloading"
    CHECKING = "checking"  # the file's hash, for the provenance
    READING = "reading"
    FINISHING = "finishing"  # the dataset takes its name; there is no way back any more

    @property
    def label(self) -> str:
        """The name on screen."""
        return self.value.capitalize()


@dataclass(frozen=True)
class Reading:
    """How far an import is.

    Attributes:
        stage: what it is doing.
        documents: read so far.
        n_bytes: of the file read in this stage, compressed ones if it is gzip; None for a folder or a database.
        total: bytes of the file; None for a folder.
    """

    stage: Stage
    documents: int
    n_bytes: int | None
    total: int | None


class Watch:
    """Follows one import and tells somebody, often: at each piece read and each frame. Without anybody it does nothing."""

    def __init__(self, path: Path, tell: Callable[[Reading], None] | None) -> None:
        self._path = path
        self._tell = tell
        self._stage = Stage.CHECKING
        self._documents = 0
        self._n_bytes: int | None = None
        self._total = path.stat().st_size if tell and path.is_file() else None

    def path(self, stage: Stage) -> Path:
        """The path to read in this stage."""
        self._enter(stage)
        return self._path if self._tell is None else watched(self._path, self._at)

    def counted(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items of a reader, counted; after the last one the import is finishing."""
        for item in items:
            self._documents += len(item) if isinstance(item, FrameBatch) else not isinstance(item, Note)
            self._say()
            yield item
        self._enter(Stage.FINISHING)

    def _enter(self, stage: Stage) -> None:
        self._stage, self._n_bytes = stage, None
        self._say()

    def _at(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._say()

    def _say(self) -> None:
        if self._tell is not None:
            self._tell(Reading(self._stage, self._documents, self._n_bytes, self._total))


def watched(path: Path, tell: Callable[[int], None]) -> Path:
    """The same path; ``tell`` gets the position in bytes of the file opened through it, at each piece that is read."""

    class Telling(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            n = super().readinto(buffer)
            tell(self.tell())
            return n

    class Watched(type(path)):  # type: ignore[misc]  # PosixPath or WindowsPath
        def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode != "rb":
                return super().open(mode, *args, **kwargs)
            return io.BufferedReader(Telling(str(self)), BUFFER)

    return Watched(path)
