"""Which format a file or folder has, by its content and never by its name alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xfunc_core.data.formats.ase_db import SQLITE_MAGIC
from xfunc_core.data.formats.json_stream import read_documents, read_members, read_nested
from xfunc_core.data.formats.opening import head
from xfunc_core.data.formats.structures import structure_files
from xfunc_core.data.formats.vasp import vasp_files
from xfunc_core.errors import DataError

READ = "MatPES, MPtrj and MP-r2SCAN JSON, extended XYZ, ASE databases (SQLite or JSON), VASP's vasprun.xml and OUTCAR, CIF, POSCAR and pymatgen structures"
"""What xfunc reads, for sentences."""
START = 1 << 16
"""Bytes at the beginning of a file that are looked at."""

_TEXTS = {
    "vasp": re.compile(r"\A\s*(vasp\.\d|<\?xml[^>]*>\s*<modeling|<modeling)"),
    "extxyz": re.compile(r"\A\s*\d+[ \t]*\r?\n[^\n]*\n[ \t]*[A-Za-z0-9]{1,3}([ \t]+[-+\w.]+){3}"),
    "structures": re.compile(r"(?mi)^[ \t]*(data_\S*\s|_cell[_.]length_a\s)"),
}


def detect(path: Path) -> str:
    """The format of a file or folder, as a key of `xfunc_core.data.importing.READERS`.

    Raises:
        DataError: it cannot be read, is nothing that xfunc reads, or could be several things.
    """
    if path.is_dir():
        return _of_folder(path)
    start = head(path, START)
    if not start.strip():
        raise DataError(f"{path.name} is empty: choose a file with frames.")
    if start.startswith(SQLITE_MAGIC):
        return "ase-db"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _of_json(path)
    text = start.decode("utf-8-sig", errors="replace")
    found = ["structures"] if _is_poscar(text) else [name for name, pattern in _TEXTS.items() if pattern.search(text)]
    if len(found) != 1:
        raise _unknown(path)
    return found[0]


def _of_folder(path: Path) -> str:
    """VASP's calculations come with POSCARs, so they count first."""
    for name, files in (("vasp", vasp_files), ("structures", structure_files)):
        if _any(files, path):
            return name
    raise DataError(f"{path.name} is a folder without anything that xfunc reads in folders: VASP's vasprun.xml and OUTCAR, CIF files and POSCARs.")


def _any(files: Callable[[Path], Iterator[Path]], path: Path) -> bool:
    try:
        return next(files(path), None) is not None
    except DataError:
        return False


def _of_json(path: Path) -> str:
    nested = _first(read_nested, path)
    if nested and isinstance(nested[2], dict) and "structure" in nested[2]:
        return "mptrj"
    member = _first(read_members, path)
    if member and isinstance(member[1], dict) and {"numbers", "positions"} <= set(member[1]):
        return "ase-db"
    document = next(iter(read_documents(path)), (None, None))[1]
    if _is_split(document):
        raise DataError(f"{path.name} is a split of MatPES, lists of row numbers and no data: import the data file it belongs to.")
    if isinstance(document, dict) and {"lattice", "sites"} <= set(document):
        return "structures"
    if isinstance(document, dict) and ("structure" in document or {"elements", "energy"} <= set(document)):
        return "matpes"
    raise _unknown(path)


def _first(read: Callable[[Path], Iterator[tuple[Any, ...]]], path: Path) -> tuple[Any, ...] | None:
    """What a way of reading finds first, None if the file is not of that make."""
    try:
        return next(read(path), None)
    except DataError:
        return None


def _is_split(document: Any) -> bool:
    """``{"train": [int, …], "valid": […], "test": […]}``."""
    return isinstance(document, dict) and "train" in document and all(isinstance(rows, list) and all(isinstance(row, int) for row in rows) for rows in document.values())


def _is_poscar(text: str) -> bool:
    """A comment, a scale of one or three numbers, three rows of three numbers."""
    lines = text.split("\n", 6)[1:5]
    numbers = [_count_numbers(line) for line in lines]
    return len(numbers) == 4 and numbers[0] in (1, 3) and min(numbers[1:]) >= 3


def _count_numbers(line: str) -> int:
    """How many numbers a line starts with."""
    count = 0
    for word in line.split()[:4]:
        try:
            float(word)
        except ValueError:
            break
        count += 1
    return count


def _unknown(path: Path) -> DataError:
    return DataError(f"{path.name} is nothing that xfunc recognises; it reads {READ}: choose another file, or name its format if it is one of these.")
