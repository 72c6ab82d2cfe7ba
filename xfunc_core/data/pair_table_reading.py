"""Read a relaxed-pair table: CSV, TSV and the like, gzipped or not, line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from xfunc_core.data.formats.opening import MAX_LINE, open_plain
from xfunc_core.data.pair_table_columns import recognise
from xfunc_core.data.pair_table_rows import PairRows, RowParser
from xfunc_core.data.per_atom import Verdict
from xfunc_core.data.watching import Stage, Watch
from xfunc_core.errors import DataError
from xfunc_core.quantities import count_text

DELIMITERS = ",\t;|"


def read_pair_rows(path: Path, columns: Mapping[str, str] | None = None, energies: str = "", watch: Watch | None = None) -> PairRows:
    """Read a table.

    Args:
        path: the file; lines that start with ``#`` before the header are passed over.
        columns: the user's word for columns, see `xfunc_core.data.pair_table_columns.recognise`.
        energies: a value of `per_atom.Verdict`, the user's word for what the energies are; else as the names of the columns say,
            and refused where they look otherwise.
        watch: told of each row.

    Raises:
        DataError: the file is no table with the needed columns, none of its rows can be used, or its energies look like what they are
            not said to be.
    """
    if energies not in {verdict.value for verdict in Verdict}:
        raise DataError(f"Energies are 'total' or 'per-atom', not {energies[:40]!r}: say one of these, or nothing.")
    watch = watch or Watch(path, None)
    with open_plain(watch.path(Stage.READING)) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        lines = _table(path, text)
        _, header = next(lines)
        parser = RowParser(header, recognise(header, columns), energies)
        for line, cells in watch.counted(lines):
            parser.take(line, cells)
    return parser.finish(path.name)


def read_header(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        DataError: the file is no table.
    """
    with open_plain(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        return next(_table(path, text))[1]


def _table(path: Path, text: io.TextIOWrapper) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of the header and of each row that is not empty."""
    before, header, delimiter = _header(path, text)
    yield before, header
    reader = csv.reader(text, delimiter=delimiter)
    while True:
        start = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path.name} cannot be read as a table from line {count_text(start)} on ({error}): mend that line.") from error
        if any(cell.strip() for cell in cells):
            yield start, cells


def _header(path: Path, text: io.TextIOWrapper) -> tuple[int, list[str], str]:
    """The number of the header's line, the names of the columns, and what parts them."""
    number, line = 1, text.readline(MAX_LINE)
    while not line.strip() or line.startswith("#"):
        if not line:
            raise DataError(f"{path.name} is empty: choose a table with a header and a row a pair.")
        number, line = number + 1, text.readline(MAX_LINE)
    try:
        found = {mark: [name.strip() for name in next(csv.reader([line], delimiter=mark), [])] for mark in DELIMITERS}
    except csv.Error as error:
        raise DataError(f"{path.name} is no table ({error} in its header): choose a file with columns parted by commas or tabs.") from error
    delimiter = max(DELIMITERS, key=lambda mark: len(found[mark]))
    return number, found[delimiter], delimiter
