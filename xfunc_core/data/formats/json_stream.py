"""Read JSON documents one at a time from a file of any size, gzip or not.

Three containers occur in the field and are told apart by content, never by name: a list of
documents, one object that maps keys to documents, and JSON lines. Python's own decoder is used
because it accepts the NaN that VASP pipelines write; nothing is ever turned into objects of
other classes (no MSONable decoding).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xfunc_core.data.formats.opening import open_plain
from xfunc_core.errors import DataError

CHUNK = 1 << 20
MAX_DOCUMENT = 64 << 20
"""Characters one document may have: a frame of 100,000 atoms fits, an endless one does not."""

_WHITE = re.compile(r"[ \t\r\n]*")
_LONGEST_TOKEN = 16
"""Characters before the end of the window in which a cut token (``-Infinity``, ``\\ud83d\\ude00``, ``1e+5``) may start."""


def read_documents(path: Path) -> Iterator[tuple[str | None, Any]]:
    """Yield ``(key, document)`` in file order; the key is None in lists and JSON lines.

    Memory stays below a few times MAX_DOCUMENT whatever the file holds.

    Raises:
        DataError: the file is missing, cut, no JSON, or holds a document beyond MAX_DOCUMENT.
    """
    with _open_documents(path) as documents:
        by_key = documents.map_keys_to_documents()
    with _open_documents(path) as documents:
        yield from documents.read(by_key)


def read_members(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield ``(key, value)`` of a file that is one object, in file order and in bounded memory.

    Raises:
        DataError: as `read_documents`.
    """
    with _open_documents(path) as documents:
        yield from documents.members()


def read_nested(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield ``(outer key, inner key, document)`` of ``{outer: {inner: document}}``, document by document.

    Only one document is in memory, however many one outer key has. A member that is no object comes
    as one document with an empty inner key.

    Raises:
        DataError: as `read_documents`.
    """
    with _open_documents(path) as documents:
        yield from documents.nested()


@contextmanager
def _open_documents(path: Path) -> Iterator[_Documents]:
    with open_plain(path) as stream:
        yield _Documents(io.TextIOWrapper(stream, encoding="utf-8-sig"), path)


class _Documents:
    """A window over the text that decodes whole documents and reads on when one is cut."""

    def __init__(self, stream: IO[str], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._text = ""
        self._at = 0
        self._count = 0
        self._decoder = json.JSONDecoder()

    def map_keys_to_documents(self) -> bool:
        """Whether the file is one object whose first member holds a structure; reads that member only."""
        if self._peek() != "{":
            return False
        try:
            self._at += 1
            self._key()
            first = self._document() if self._peek() == "{" else {}
        except DataError:
            return False  # reading it as JSON lines then says what is wrong
        return "structure" in first or any(isinstance(v, dict) and "structure" in v for v in first.values())

    def read(self, by_key: bool) -> Iterator[tuple[str | None, Any]]:
        """All documents, from the beginning."""
        opening = self._peek()
        if opening == "":
            raise DataError(f"{self._path.name} is empty: choose a file with frames.")
        if opening not in "[{":
            raise DataError(f"{self._path.name} is no JSON file (it starts with {opening!r}): choose a MatPES JSON or JSON-lines file.")
        if opening == "[":
            return self._list()
        return self.members() if by_key else self._lines()

    def members(self) -> Iterator[tuple[str, Any]]:
        """The members of the object that comes next, and nothing may follow it."""
        for key in self._keys():
            yield key, self._document()
        self._nothing_after()

    def nested(self) -> Iterator[tuple[str, str, Any]]:
        """The members of the members of the object that comes next, and nothing may follow it."""
        for outer in self._keys():
            if self._peek() != "{":
                yield outer, "", self._document()
                continue
            for inner in self._keys():
                yield outer, inner, self._document()
        self._nothing_after()

    def _list(self) -> Iterator[tuple[str | None, Any]]:
        self._at += 1
        while self._peek() != "]":
            yield None, self._document()
            self._comma("]")
        self._at += 1
        self._nothing_after()

    def _keys(self) -> Iterator[str]:
        """The keys of the object that comes next; whoever takes one reads its value before the next."""
        if self._peek() != "{":
            raise self._broken("an object is missing")
        self._at += 1
        while self._peek() != "}":
            key = self._key()
            self._peek()
            yield key
            self._comma("}")
        self._at += 1

    def _lines(self) -> Iterator[tuple[str | None, Any]]:
        while self._peek():
            yield None, self._document()

    def _key(self) -> str:
        if self._peek() != '"':
            raise self._broken("a key is missing")
        key = self._decode()
        if self._peek() != ":":
            raise self._broken("a ':' is missing")
        self._at += 1
        return key

    def _comma(self, closing: str) -> None:
        mark = self._peek()
        if mark == ",":
            self._at += 1
            if self._peek() == closing:
                raise self._broken("a document is missing after the last comma")
        elif mark != closing:
            raise self._broken(f"a comma or '{closing}' is missing")

    def _nothing_after(self) -> None:
        if self._peek():
            raise self._broken("there is text after the end of the data")

    def _document(self) -> Any:
        document = self._decode()
        self._count += 1
        return document

    def _decode(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise DataError(f"{self._path.name}: document {self._count + 1} is nested too deeply to be a frame: leave it out.") from error
            except ValueError as error:
                if not self._may_be_cut(error) or not self._read_on():
                    raise self._broken(getattr(error, "msg", str(error))) from error
                continue
            # A number that ends with the window may go on behind it; everything else closes itself.
            if isinstance(value, int | float) and len(self._text) - end < _LONGEST_TOKEN and self._read_on():
                continue
            self._at = end
            return value

    def _may_be_cut(self, error: ValueError) -> bool:
        """Whether more text could mend it: without this, one typo would make the rest of a large file be read."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_TOKEN

    def _peek(self) -> str:
        """The next character that is not white space, or '' at the end of the file."""
        while True:
            self._at = _WHITE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def _read_on(self) -> bool:
        """Drop what was decoded and at least double the rest, so that decoding it again stays linear in all; False at the end of the file."""
        remaining = len(self._text) - self._at
        if remaining > MAX_DOCUMENT:
            raise DataError(f"{self._path.name}: document {self._count + 1} is longer than {MAX_DOCUMENT:,} characters, too long for a frame: leave it out.")
        more = self._stream.read(min(max(CHUNK, remaining), MAX_DOCUMENT + 1 - remaining))
        if not more:
            return False
        self._text = self._text[self._at :] + more
        self._at = 0
        return True

    def _broken(self, reason: str) -> DataError:
        return DataError(f"{self._path.name}: document {self._count + 1} is not valid JSON ({reason}); the file may be cut, so copy or download it again.")
