"""POSCAR and CONTCAR files to crystals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.opening import open_lines
from xfunc_core.data.formats.structure_dict import Crystal

MAX_ATOMS = 1_000_000
"""Atoms a file may announce."""


def read_poscar(path: Path) -> Iterator[Crystal | values.Unusable]:
    """Yield the one crystal, or why it is none.

    Raises:
        DataError: the file cannot be read.
    """
    with open_lines(path) as lines:
        try:
            yield _crystal(lines)
        except values.Unusable as problem:
            yield problem


def _crystal(lines: Iterator[str]) -> Crystal:
    next(lines, "")  # a comment
    scale = _floats(next(lines, ""), "scale")
    rows = np.array([_three(next(lines, ""), "lattice") for _ in range(3)])
    symbols = next(lines, "").split()
    if not symbols or not all(symbol[:1].isalpha() for symbol in symbols):
        raise values.Unusable("it does not name its elements (line 6, which VASP 4 left out)")
    counts = [int(count) if count.isdecimal() and len(count) < 8 else 0 for count in next(lines, "").split("!")[0].split()]
    if len(counts) != len(symbols) or not 0 < sum(counts) <= MAX_ATOMS:
        raise values.Unusable("its numbers of atoms (line 7) do not fit its elements (line 6)")
    mode = next(lines, "").strip().lower()
    mode = next(lines, "").strip().lower() if mode.startswith("s") else mode
    if "configuration" in mode:
        raise values.Unusable("it is an XDATCAR, of whose frames a POSCAR would be the first alone (ASE turns it into extended XYZ)")
    factor = _factor(scale, rows)
    lattice = values.lattice(rows * factor, sum(counts))
    places = np.array([_three(line, "coordinates") for line in islice(lines, sum(counts))])
    cartesian = mode[:1] in ("c", "k")
    names = list(chain.from_iterable(repeat(symbol.split("_")[0].split("/")[0], count) for symbol, count in zip(symbols, counts, strict=True)))
    numbers = np.array([values.atomic_number(name, place) for place, name in enumerate(names, start=1)], dtype=np.uint8)
    where = values.positions(places * factor if cartesian else places, len(numbers), None if cartesian else lattice)
    return Crystal(numbers, lattice, where, None)


def _factor(scale: list[float], rows: np.ndarray) -> float | np.ndarray:
    """What multiplies lattice and Cartesian positions; a negative scale is the volume in Å³, three are one an axis."""
    if len(scale) == 3 and min(scale) > 0:
        return np.array(scale)
    if len(scale) != 1 or not scale[0]:
        raise values.Unusable("its scale (line 2) is neither one number nor three positive ones")
    with np.errstate(all="ignore"):
        volume = abs(float(np.linalg.det(rows)))
    if scale[0] > 0:
        return scale[0]
    return (-scale[0] / volume) ** (1 / 3) if volume else 0.0


def _three(line: str, what: str) -> list[float]:
    found = _floats(" ".join(line.split()[:3]), what)
    if len(found) != 3:
        raise values.Unusable(f"its {what} must have three numbers a line")
    return found


def _floats(text: str, what: str) -> list[float]:
    try:
        return [float(word) for word in text.split("!")[0].split()]
    except ValueError as error:
        raise values.Unusable(f"its {what} is {values.shown(text.strip())!r}, not numbers") from error
