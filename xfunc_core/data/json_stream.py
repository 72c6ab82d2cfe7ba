"""Read JSON documents one at a time from a file of any size, gzip or not.

Three containers occur in the field and are told apart by content, never by name: a list of
documents, one object that maps keys to documents, and JSON lines. Python's own decoder is used
because it accepts the NaN that VASP pipelines write; nothing is ever turned into objects of
other classes (no MSONable decoding).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from xfunc_core.errors import DataError

CHUNK = 1 << 20
MAX_DOCUMENT = 64 << 20
"""Characters one document may have: a frame of 100,000 atoms fits, an endless one does not."""

_WHITE = " \t\r\n"


def read_documents(path: Path) -> Iterator[tuple[str | None, Any]]:
    """Yield ``(key, document)`` in file order; the key is None in lists and JSON lines.

    Raises:
        DataError: the file is missing, cut, no JSON, or holds a document beyond MAX_DOCUMENT.
    """
    try:
        with _open_text(path) as stream:
            yield from _Documents(stream, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged or cut gzip file ({error}): copy or download it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not a text file in UTF-8, so it cannot be JSON: choose another file.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): check the path and its permissions.") from error


def _open_text(path: Path) -> IO[str]:
    with path.open("rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if gzipped else path.open(encoding="utf-8")


class _Documents:
    """A window over the text that decodes whole documents and reads on when one is cut."""

    def __init__(self, stream: IO[str], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._text = ""
        self._at = 0
        self._ended = False
        self._count = 0
        self._decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[tuple[str | None, Any]]:
        opening = self._peek()
        if opening == "":
            raise DataError(f"{self._path.name} is empty: choose a file with frames.")
        if opening == "[":
            return self._list()
        if opening == "{" and self._maps_keys_to_documents():
            return self._object()
        if opening == "{":
            return self._lines()
        raise DataError(f"{self._path.name} is no JSON file (it starts with {opening!r}): choose a MatPES JSON or JSON-lines file.")

    def _list(self) -> Iterator[tuple[str | None, Any]]:
        self._at += 1
        while self._peek() != "]":
            yield None, self._document()
            self._comma("]")
        self._nothing_after()

    def _object(self) -> Iterator[tuple[str | None, Any]]:
        self._at += 1
        while self._peek() != "}":
            key = self._document()
            if self._peek() != ":":
                raise self._broken("a ':' is missing")
            self._at += 1
            self._peek()
            yield str(key), self._document()
            self._comma("}")
        self._nothing_after()

    def _lines(self) -> Iterator[tuple[str | None, Any]]:
        while self._peek():
            yield None, self._document()

    def _comma(self, closing: str) -> None:
        mark = self._peek()
        if mark == ",":
            self._at += 1
            if self._peek() == closing:
                raise self._broken("a document is missing after the last comma")
        elif mark != closing:
            raise self._broken(f"a comma or '{closing}' is missing")

    def _nothing_after(self) -> None:
        self._at += 1
        if self._peek():
            raise self._broken("there is text after the end of the data")

    def _document(self) -> Any:
        while True:
            try:
                document, self._at = self._decoder.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise self._broken("it is nested too deeply") from error
            except ValueError as error:
                if self._ended or not self._read_on():
                    raise self._broken(getattr(error, "msg", str(error))) from error
            else:
                self._count += 1
                return document

    def _peek(self) -> str:
        """The next character that is not white space, or '' at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _WHITE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended or not self._read_on():
                return ""

    def _read_on(self) -> bool:
        remaining = len(self._text) - self._at
        if remaining > MAX_DOCUMENT:
            raise self._broken(f"it is longer than {MAX_DOCUMENT >> 20} million characters")
        more = self._stream.read(max(CHUNK, remaining))
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)

    def _maps_keys_to_documents(self) -> bool:
        """Whether the first member of the opening object is itself an object holding a structure."""
        start = self._at
        try:
            self._at += 1
            self._peek()
            self._document()
            self._peek()
            self._at += 1
            if self._peek() != "{":
                return False
            first = self._document()
            return "structure" in first or any(isinstance(v, dict) and "structure" in v for v in first.values())
        except DataError:
            return False
        finally:
            self._rewind(start)

    def _rewind(self, start: int) -> None:
        # Sniffing happens at the very beginning: nothing before `start` has been dropped unless the
        # first member was larger than one chunk, in which case the file is reopened.
        self._count = 0
        if self._stream.seekable():
            self._stream.seek(0)
            self._text, self._at, self._ended = "", 0, False
            self._peek()

    def _broken(self, reason: str) -> DataError:
        return DataError(f"{self._path.name}: document {self._count + 1} is not valid JSON ({reason}); the file may be cut, so copy or download it again.")
