"""ASE databases in a local file, SQLite or JSON, to frames.

Energies are total eV, forces eV/Å, stress six numbers in eV/Å³, tension positive, in ASE's Voigt order
xx yy zz yz xz xy. The rows are read here and not by ASE: ASE opens a database for writing and builds
objects out of what it finds; this opens it read-only and takes numbers only.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.extxyz import EV_PER_A3_TO_GPA, FUNCTIONAL_KEYS, ID_KEYS, MATERIAL_KEYS
from xfunc_core.data.formats.functional_names import Said, settle_named
from xfunc_core.data.formats.json_stream import read_members
from xfunc_core.data.formats.opening import head
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError

SQLITE_MAGIC = b"SQLite format 3\0"
MAX_VALUE = 64 << 20
"""Bytes one cell of a database may have."""
OLDEST = 5
"""Version of ASE's SQLite schema that is read; ASE itself asks to convert older ones."""

_NUMBERS = {"numbers": "<i4", "positions": "<f8", "cell": "<f8", "forces": "<f8", "stress": "<f8", "magmoms": "<f8"}
_PLAIN = ("id", "pbc", "energy", "free_energy", "key_value_pairs", "calculator_parameters")

Row = dict[str, Any]
"""A row of a database by ASE's names; arrays are flat, absent values None."""


def read_ase_db(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame or a Rejected for every row, by id, and notes on what was assumed.

    Args:
        path: an SQLite or JSON database; it is opened for reading only.
        functional: what the labels are, for rows that do not say.

    Raises:
        DataError: the file is unreadable or no ASE database, or its functional is unknown or contradicts ``functional``.
    """
    stem = values.shown(path.name.rsplit(".", 1)[0])
    rows = _sqlite_rows(path) if head(path, 16) == SQLITE_MAGIC else _json_rows(path)
    for position, (key, row) in enumerate(rows, start=1):
        frame_id = f"{stem}-{values.shown(key)}"
        try:
            if isinstance(row, values.Unusable):
                raise row
            named = _members(row.get("key_value_pairs"))
            frame_id = _first_id(named, ID_KEYS) or frame_id
            frame = _frame(row, named, frame_id, functional, f"{path.name}: row {values.shown(key)}")
        except values.Unusable as problem:
            yield Rejected(position, frame_id, str(problem))
            continue
        yield Note("Energies are read as total eV, forces as eV/Å, stress as eV/Å³, tension positive (ASE's conventions).")
        if frame.material_id == frame_id:
            yield Note("Some rows name no material (material_id or mp_id): each of these counts as one, so a split may separate frames of one trajectory.")
        yield frame


def _frame(row: Row, named: Mapping[str, Any], frame_id: str, said: Said, where: str) -> Frame:
    masked: list[str] = []
    numbers = _atomic_numbers(row.get("numbers"))
    n_atoms = len(numbers)
    if row.get("pbc") not in (7, [True, True, True]):
        raise values.Unusable("its cell does not repeat in all three directions (pbc)")
    functional, hubbard_u = settle_named(_functional(row, named), said, where)
    return Frame(
        frame_id=frame_id,
        material_id=_first_id(named, MATERIAL_KEYS) or frame_id,
        functional=functional,
        numbers=numbers,
        lattice=values.lattice(_shaped(row.get("cell"), (3, 3)), n_atoms),
        positions=values.positions(_shaped(row.get("positions"), (n_atoms, 3)), n_atoms),
        energy=values.energy(row.get("free_energy") if row.get("energy") is None else row["energy"], masked),
        forces=values.label(_shaped(row.get("forces"), (n_atoms, 3)), (n_atoms, 3), "forces", masked),
        stress=_stress(row.get("stress"), masked),
        magmoms=values.moments(row.get("magmoms"), n_atoms, masked),
        masked=tuple(masked),
        hubbard_u=hubbard_u,
    )


def _stress(value: Any, masked: list[str]) -> np.ndarray | None:
    stress = values.label(value, (6,), "stress", masked)
    return None if stress is None else EV_PER_A3_TO_GPA * stress


def _atomic_numbers(numbers: Any) -> np.ndarray:
    found = np.asarray([] if numbers is None else numbers)
    if found.dtype.kind != "i" or found.ndim != 1 or not found.size:
        raise values.Unusable("it has no atoms")
    if not ((found >= 1) & (found <= N_REFERENCED)).all():
        raise values.Unusable("it holds what CHGNet does not know (only hydrogen to plutonium)")
    return found.astype(np.uint8)


def _functional(row: Row, named: Mapping[str, Any]) -> str | None:
    """The name in the key-value pairs, else the calculator's parameter xc."""
    names = [named.get(key) for key in FUNCTIONAL_KEYS] + [_members(row.get("calculator_parameters")).get("xc")]
    return next((name for name in names if isinstance(name, str) and name.strip("- ")), None)


def _first_id(named: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((found for key in keys if (found := values.identifier(named.get(key), key))), "")


def _shaped(flat: Any, shape: tuple[int, ...]) -> Any:
    """An array in the given shape, if it has as many numbers."""
    return np.reshape(flat, shape) if isinstance(flat, np.ndarray) and flat.size == math.prod(shape) else flat


def _members(value: Any) -> Mapping[str, Any]:
    """A JSON object, whether already parsed or not; empty if it is none."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise values.Unusable("its key-value pairs are no JSON") from error
    return parsed if isinstance(parsed, dict) else {}


def _sqlite_rows(path: Path) -> Iterator[tuple[int, Row | values.Unusable]]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.text_factory = lambda text: text.decode(errors="replace")
            names = _columns(connection, path)
            for cells in connection.execute(f"SELECT {', '.join(names)} FROM systems ORDER BY id"):  # the names are ours
                yield cells[0], _decoded(dict(zip(names, cells, strict=True)))
    except (sqlite3.Error, OverflowError) as error:
        raise DataError(f"{path.name} is no ASE database, or a damaged one ({values.shown(error)}): choose another file, or copy it again.") from error


def _columns(connection: sqlite3.Connection, path: Path) -> list[str]:
    """The columns to read. A view might never end, so both tables have to be plain ones."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%' AND name IN ('systems', 'information')")
    missing = {"systems", "information"} - {name for (name,) in tables}
    if missing:
        raise DataError(f"{path.name} is an SQLite file, but no ASE database (it has no table {max(missing)!r}): choose another file.")
    there = {str(name): hidden for _, name, _, _, _, _, hidden in connection.execute("PRAGMA table_xinfo(systems)")}
    wanted = [*_PLAIN, *_NUMBERS]
    missing = [name for name in ("id", "numbers", "positions", "cell", "pbc") if there.get(name) != 0]
    version = connection.execute("SELECT value FROM information WHERE name = 'version'").fetchone()
    if missing or version is None or not str(version[0]).isdecimal() or int(str(version[0])[:9]) < OLDEST:
        raise DataError(f"{path.name} is an ASE database of another version: convert it with `python -m ase.db.convert`.")
    return [name for name in wanted if there.get(name) == 0]


def _decoded(row: Row) -> Row | values.Unusable:
    for name, dtype in _NUMBERS.items():
        blob = row.get(name)
        if blob is None:
            continue
        if not isinstance(blob, bytes) or len(blob) % np.dtype(dtype).itemsize:
            return values.Unusable(f"its {name} are no array")
        row[name] = np.frombuffer(blob, dtype)
    return row


def _json_rows(path: Path) -> Iterator[tuple[str, Row | values.Unusable]]:
    for key, document in read_members(path):
        if key in ("ids", "nextid"):
            continue
        if not isinstance(document, dict):
            yield key, values.Unusable("it is no JSON object")
            continue
        cell = document.get("cell")
        row = document | {"cell": cell.get("array") if isinstance(cell, dict) and "array" in cell else cell}
        try:
            yield key, row | {name: _array(row[name]) for name in (*_NUMBERS, "pbc") if row.get(name) is not None}
        except values.Unusable as problem:
            yield key, problem


def _array(value: Any) -> Any:
    """A flat array out of ``{"__ndarray__": [shape, dtype, numbers]}`` or of (nested) lists, as ASE has written both; flags stay a list."""
    if isinstance(value, dict):
        parts = value.get("__ndarray__")
        value = parts[2] if isinstance(parts, list) and len(parts) == 3 else None
    try:
        found = np.array(value)
    except (ValueError, OverflowError) as error:
        raise values.Unusable("one of its arrays is no array") from error
    if found.dtype.kind not in "ifb":
        raise values.Unusable("one of its arrays does not hold numbers")
    return found.ravel().tolist() if found.dtype.kind == "b" else found.ravel()
