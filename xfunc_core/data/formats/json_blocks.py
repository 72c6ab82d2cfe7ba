"""Cut a file of JSON lines, or of one JSON list, into blocks of whole documents without parsing it.

Where a block ends is a guess: at the end of a line, or, in a list, where what stands between the first two documents
comes again. A guess is cheap and needs no trust, because only a block that parses as a run of whole objects is taken.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from xfunc_core.data.formats import json_stream
from xfunc_core.data.formats.opening import GZIP_MAGIC, open_file
from xfunc_core.errors import DataError

CHUNK = 4 << 20
"""Bytes that are read at a time; a block has about as many."""
MOST_SCANNED = 16 << 20
"""Bytes that are looked through for braces; their places take eight times as much memory at worst."""
_BETWEEN = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]*"')


class Irregular(ValueError):
    """The file is not what the fast way understands; the careful reader says what it is."""


@dataclass(frozen=True)
class Block:
    """Consecutive documents as text.

    Attributes:
        text: whole documents, in a list with a comma between them.
        separator: what stands between two documents of a list, from the closing brace to the first key of the next;
            empty where the list has only one, None for JSON lines.
    """

    text: bytes
    separator: bytes | None = None

    def spaced(self) -> tuple[bytes, int | None]:
        """The documents with white space between them, and how many they must be then (None: any number).

        A comma that is taken away inside of a document leaves what is no JSON, so that can only be a refusal, never an error.
        """
        if not self.separator:
            return self.text, None if self.separator is None else 1
        blanked = b"}" + self.separator[1:].replace(b",", b" ", 1)
        return self.text.replace(self.separator, blanked), self.text.count(self.separator) + 1

    def documents(self) -> list[bytes]:
        """The documents one by one, by their braces.

        Raises:
            Irregular: there is something else than documents.
        """
        starts, ends = _boundaries(self.text)
        gaps = [self.text[a:b].strip() for a, b in zip([0, *ends], [*starts, len(self.text)], strict=True)]
        inner = b"" if self.separator is None else b","
        if gaps[0] or gaps[-1] or any(gap != inner for gap in gaps[1:-1]):
            raise Irregular("text between documents")
        return [self.text[a:b] for a, b in zip(starts, ends, strict=True)]


def read_blocks(path: Path) -> Iterator[Block]:
    """The documents of a file, gzip or not, in order and in blocks; memory is bounded.

    Raises:
        Irregular: it is another container, holds a document beyond json_stream.MAX_DOCUMENT, or is damaged.
    """
    try:
        with open_file(path) as raw:
            gzipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            yield from _blocks(gzip.GzipFile(fileobj=raw) if gzipped else raw)
    except (EOFError, OSError, zlib.error, DataError) as error:
        raise Irregular(str(error)) from error


def _blocks(stream: IO[bytes]) -> Iterator[Block]:
    start = _read_on(stream, 0).lstrip()
    if start[:1] == b"{":
        yield from _lines(start, stream)
    elif start[:1] == b"[":
        yield from _list(start[1:], stream)
    else:
        raise Irregular("neither a list nor lines")


def _lines(rest: bytes, stream: IO[bytes]) -> Iterator[Block]:
    end = rest.rfind(b"\n") + 1
    while more := _read_on(stream, len(rest) - end):
        if end and not (lines := rest[:end]).isspace():
            yield Block(lines)
        rest = rest[end:] + more
        end = rest.rfind(b"\n") + 1
    if not rest.isspace():
        yield Block(rest)


def _list(rest: bytes, stream: IO[bytes]) -> Iterator[Block]:
    separator = _separator(rest)
    end = _last(separator, rest)
    while more := _read_on(stream, len(rest) - end):
        if end:
            yield Block(rest[:end], separator)
            rest = rest[rest.index(b",", end) + 1 :]
        rest += more
        separator = separator or _separator(rest)
        end = _last(separator, rest)
    last, closing, after = rest.rpartition(b"]")
    if not closing or after.strip() or not last.strip():
        raise Irregular("cut, empty, or text after the end")
    yield Block(last, separator)


def _last(separator: bytes, text: bytes) -> int:
    """Where the last document ends that another is seen to follow; 0 if none is."""
    return text.rfind(separator) + 1 if separator else 0


def _read_on(stream: IO[bytes], remaining: int) -> bytes:
    """At least as much again as remains of a document that is not whole, so that looking for its end stays linear in all."""
    if remaining > json_stream.MAX_DOCUMENT:
        raise Irregular("a document too long")
    return stream.read(min(max(CHUNK, remaining), json_stream.MAX_DOCUMENT + 1 - remaining))


def _separator(text: bytes) -> bytes:
    """What stands between the first two documents; empty as long as there is only one."""
    _, ends = _boundaries(text)
    between = _BETWEEN.match(text, ends[0] - 1) if ends else None
    return between[0] if between else b""


def _boundaries(text: bytes) -> tuple[list[int], list[int]]:
    """Where outermost objects begin and end; braces inside of strings do not count."""
    if len(text) > MOST_SCANNED:
        raise Irregular("documents too long to look through")
    array = np.frombuffer(_without_escapes(text), dtype=np.uint8)
    braces = np.flatnonzero((array == 0x7B) | (array == 0x7D))
    quotes = np.flatnonzero(array == 0x22)
    braces = braces[np.searchsorted(quotes, braces) % 2 == 0]
    depth = np.cumsum(np.where(array[braces] == 0x7B, 1, -1))
    closing = np.flatnonzero(depth == 0)
    opening = np.concatenate([[0], closing[:-1] + 1])[: len(closing)].astype(np.int64)
    return braces[opening].tolist(), (braces[closing] + 1).tolist()


def _without_escapes(text: bytes) -> bytes:
    """The text with each escaped character blanked, so that every quote that is left opens or closes a string."""
    if b"\\" not in text:
        return text
    parts = text.split(b"\\\\")  # a backslash that is escaped itself
    return b"__".join(part.replace(b'\\"', b"__") for part in parts)
