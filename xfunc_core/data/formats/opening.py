"""Open what a user names: regular files, gzip or not, with an end to every line, and one sentence when that fails."""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xfunc_core.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
MAX_LINE = 1 << 20
"""Characters a line may have: no format of the field comes near, a file without line ends passes it soon."""


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading; a pipe or a device might never end.

    Raises:
        DataError: there is no such file, it may not be read, or it is something else than a file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is not a file but a folder or a device: choose a file.")
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(path, error) from error


@contextmanager
def open_plain(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed if it is gzip by content; every way it can be unreadable becomes a DataError.

    Raises:
        DataError: the file cannot be opened, or, while it is read, turns out to be a damaged gzip file or no UTF-8.
    """
    try:
        with open_file(path) as raw:
            gzipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            yield gzip.GzipFile(fileobj=raw) if gzipped else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged or cut gzip file ({error}): copy or download it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not a text file in UTF-8: choose another file.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def open_lines(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a text file without their ends, gzip or not.

    Raises:
        DataError: as `open_plain`; or a line is longer than MAX_LINE characters.
    """
    with open_plain(path) as stream:
        yield _lines(io.TextIOWrapper(stream, encoding="utf-8-sig"), path)


def head(path: Path, size: int) -> bytes:
    """The first bytes of a file, decompressed; fewer where a gzip file breaks off.

    Raises:
        DataError: the file cannot be opened, or is no gzip file although it starts like one.
    """
    with open_plain(path) as stream:
        return stream.read(size)


def _lines(stream: IO[str], path: Path) -> Iterator[str]:
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise DataError(f"{path.name}: line {number} is longer than {MAX_LINE:,} characters, so this is no file of lines: choose another file.")
        yield line.rstrip("\r\n")


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}): check the path and its permissions.")
