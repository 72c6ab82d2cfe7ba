"""CIF files, block by block, to crystals: cell, sites and the symmetry operations that the file lists.

Tags are compared in lower case and with the dots of the newer dictionary as underscores.

Read here, since the readers at hand either evaluate expressions out of magnetic CIF or take quadratic
time. What is asked of a block: a cell, full occupation, and its operations (or no symmetry at all).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.opening import open_lines
from xfunc_core.data.formats.structure_dict import Crystal
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError

MAX_BLOCK = 64 << 20
"""Characters of values one block may keep."""
MAX_IMAGES = 2_000_000
"""Sites times operations of one block."""
SAME_SITE = 0.02
"""Å within which two images of a site are one atom; files give special positions to four digits."""

_CELL = ("_cell_length_a", "_cell_length_b", "_cell_length_c", "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
_PLACES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_SITES = (*_PLACES, "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy")
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz")
_NO_SYMMETRY = {"_symmetry_int_tables_number": "1", "_space_group_it_number": "1", "_symmetry_space_group_name_h-m": "P1", "_space_group_name_h-m_alt": "P1"}
_KEPT = {*_CELL, *_OPERATIONS, *_MAGNETIC, *_NO_SYMMETRY, *_SITES}
_TOKEN = re.compile(r"""'[^']*'(?=\s|$)|"[^"]*"(?=\s|$)|\#.*|\S+""")
_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d+)?(?:/\d+)?)\*?)?([xyz]?)")

Block = dict[str, list[str]]


def read_cif(path: Path) -> Iterator[Crystal | values.Unusable]:
    """Yield the crystal of every block that has a cell or sites, or why it is none; of a file without either, why there is none.

    Raises:
        DataError: the file cannot be read, or a block is too long.
    """
    found = False
    for block in _blocks(path):
        if any(tag in block for tag in (*_CELL, *_SITES)):
            found = True
            try:
                yield _crystal(block)
            except values.Unusable as problem:
                yield problem
    if not found:
        yield values.Unusable("it holds neither a cell nor atoms")


def _blocks(path: Path) -> Iterator[Block]:
    """The tags of every block that a crystal needs, each with its values."""
    block: Block = {}
    columns: list[str] = []
    in_header = False
    place = kept = 0
    with open_lines(path) as lines:
        for token, quoted in _tokens(lines):
            word = "" if quoted else token.lower().replace(".", "_") if token[:1] == "_" else token.lower()
            if word.startswith("data_"):
                yield block
                block, columns, in_header, place, kept = {}, [], False, 0, 0
            elif word == "loop_":
                columns, in_header, place = [], True, 0
            elif word.startswith("_"):
                columns = [*columns, word] if in_header else [word]
                place = 0
                if len(columns) > 1000:
                    raise DataError(f"{path.name}: a loop has more than 1,000 columns, so this is no CIF file: choose another file.")
            elif columns:
                in_header = False
                column = columns[place % len(columns)]
                place += 1
                if column in _KEPT:
                    block.setdefault(column, []).append(token)
                    kept += len(token) + 50
                if kept > MAX_BLOCK:
                    raise DataError(f"{path.name}: a block is longer than {MAX_BLOCK:,} characters, too long for a structure: leave it out.")
    yield block


def _tokens(lines: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """The words of a CIF file, and whether each was quoted; a text field between semicolons is one without content."""
    for line in lines:
        if line.startswith(";"):
            next((end for end in lines if end.startswith(";")), "")
            yield "", True
            continue
        for token in _TOKEN.findall(line):
            if token[0] == "#":
                break
            quoted = len(token) > 1 and token[0] in "'\"" and token[-1] == token[0]
            yield (token[1:-1] if quoted else token), quoted


def _crystal(block: Block) -> Crystal:
    cell = _cell(block)
    if not any(tag in block for tag in _SITES):
        raise values.Unusable("it holds a cell and no atoms")
    symbols = block.get("_atom_site_type_symbol") or block.get("_atom_site_label") or []
    fractional = np.array([_numbers(block.get(tag, []), len(symbols), tag) for tag in _PLACES]).T
    _check_occupied(block.get("_atom_site_occupancy", []), len(symbols))
    numbers = np.array([_element(symbol, place) for place, symbol in enumerate(symbols, start=1)], dtype=np.uint8)
    operations = _operations(block)
    if len(symbols) * len(operations) > MAX_IMAGES:
        raise values.Unusable(f"its sites have more than {MAX_IMAGES:,} images")
    owner, images = _images(fractional, operations, cell)
    lattice = values.lattice(cell, len(owner))
    return Crystal(numbers[owner], lattice, values.positions(images, len(owner), lattice), None)


def _check_occupied(occupancies: list[str], n_sites: int) -> None:
    given = ["1" if entry in (".", "?") else entry for entry in occupancies]
    if given and any(abs(occupancy - 1) > 1e-6 for occupancy in _numbers(given, n_sites, "_atom_site_occupancy")):
        raise values.Unusable("it has sites that are only partly occupied (disordered structures have no single energy)")


def _cell(block: Block) -> np.ndarray:
    """Row vectors in Å, the first along x and the second in the xy plane."""
    a, b, c, *angles = (_number(block.get(tag, ["?"])[0], tag) for tag in _CELL)
    alpha, beta, gamma = np.cos(np.radians(angles))
    height = np.sqrt(max(1 - gamma**2, 0.0))
    y = (alpha - beta * gamma) / height if height else 0.0
    return np.array([[a, 0, 0], [b * gamma, b * height, 0], [c * beta, c * y, c * np.sqrt(max(1 - beta**2 - y**2, 0.0))]])


def _images(fractional: np.ndarray, operations: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The site that each atom is an image of, and its fractional coordinates within the cell."""
    if len(operations) == 1:
        return np.arange(len(fractional)), fractional
    owners, found = [], []
    for site, place in enumerate(fractional):
        images = operations[:, :, :3] @ place + operations[:, :, 3]
        apart = images[:, None] - images[None]
        distance = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1)
        first = [i for i in range(len(images)) if not (distance[i, :i] < SAME_SITE).any()]
        owners += [site] * len(first)
        found.append(images[first] % 1.0)
    return np.array(owners), np.concatenate(found)


def _operations(block: Mapping[str, list[str]]) -> np.ndarray:
    """Rotations and translations, shape (G, 3, 4), in fractional coordinates; the first is the identity where there is one alone."""
    if any(tag in block for tag in _MAGNETIC):
        raise values.Unusable("its symmetry is that of a magnetic structure, which xfunc does not read")
    listed = next((block[tag] for tag in _OPERATIONS if block.get(tag)), None)
    if listed is not None:
        if len(listed) > 192:
            raise values.Unusable("it lists more than 192 symmetry operations")
        return np.array([_operation(text) for text in listed])
    named = [(tag, block[tag][0]) for tag in _NO_SYMMETRY if block.get(tag) and block[tag][0] not in ("?", ".")]
    if any(name.replace(" ", "").upper() != _NO_SYMMETRY[tag] for tag, name in named):
        raise values.Unusable(f"it names the space group {values.shown(named[0][1])}, but lists no symmetry operations")
    return np.eye(3, 4)[None]


def _operation(text: str) -> list[list[float]]:
    """``x-y, -z, z+1/2`` as three rows of x, y, z and a constant."""
    rows = text.lower().replace(" ", "").split(",")
    if len(rows) != 3 or len(text) > 100 or not all(re.fullmatch(rf"(?:{_TERM.pattern})+", row) for row in rows):
        raise values.Unusable(f"its symmetry operation {values.shown(text)!r} cannot be read")
    return [_row(row, text) for row in rows]


def _row(row: str, text: str) -> list[float]:
    found = [0.0] * 4
    for sign, amount, axis in _TERM.findall(row):
        if amount or axis:
            try:
                size = float(Fraction(amount or "1"))
            except (ZeroDivisionError, ValueError) as error:
                raise values.Unusable(f"its symmetry operation {values.shown(text)!r} cannot be read") from error
            found["xyz".index(axis) if axis else 3] += -size if sign == "-" else size
    return found


def _element(symbol: str, place: int) -> int:
    """The atomic number of ``Fe``, ``Fe3+`` or the label ``Fe1a``; deuterium counts as hydrogen."""
    letters = re.match(r"[A-Za-z]{0,2}", symbol)[0].capitalize()
    name = next((part for part in (letters, letters[:1]) if part in Z_OF), symbol)
    return values.atomic_number("H" if letters in ("D", "T") else name, place)


def _numbers(entries: list[str], count: int, tag: str) -> list[float]:
    if len(entries) != count or not count:
        raise values.Unusable(f"it has {count} sites and {len(entries)} values of {tag}")
    return [_number(entry, tag) for entry in entries]


def _number(entry: str, tag: str) -> float:
    """A number, without its uncertainty in brackets."""
    try:
        return float(entry.partition("(")[0])
    except ValueError as error:
        raise values.Unusable(f"its {tag} is {values.shown(entry)!r}, not a number") from error
