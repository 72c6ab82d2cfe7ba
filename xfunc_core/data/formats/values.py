"""Values out of files that nobody vouches for: made into ids, labels and cells, or refused with a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from xfunc_core.data.frame import cartesian
from xfunc_core.elements import N_REFERENCED, Z_OF
from xfunc_core.quantities import counted

MIN_VOLUME_PER_ATOM = 0.5
"""Å³; below it a lattice is degenerate (the densest element at 400 GPa keeps above 2 Å³ per atom)."""
MAX_ID = 200
"""Characters an id may have."""


class Unusable(Exception):
    """Why one document is no frame."""


def identifier(value: Any, name: str) -> str:
    """An id as text, '' if there is none; ids are shown, compared and written to disk, so they are plain.

    Raises:
        Unusable: it is neither text nor a whole number, has unprintable characters or too many.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unusable(f"its {name} is no text")
    text = str(value).strip()
    if len(text) > MAX_ID or not text.isprintable():
        raise Unusable(f"its {name} has unprintable characters or more than {MAX_ID}")
    return text


def shown(value: Any) -> str:
    """Any value of a document, short and printable."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = str(value)[:60]
    return text if text.isprintable() else ascii(text)


def atomic_number(symbol: Any, place: int) -> int:
    """The atomic number of the symbol at site ``place``, counted from 1.

    Raises:
        Unusable: it is no element, or one beyond plutonium.
    """
    name = shown(symbol)
    if name not in Z_OF:
        raise Unusable(f"site {place} holds {name!r}, which is no element")
    if Z_OF[name] > N_REFERENCED:
        raise Unusable(f"site {place} holds {name}, and CHGNet knows only hydrogen to plutonium")
    return Z_OF[name]


def lattice(value: Any, n_atoms: int) -> np.ndarray:
    """Row vectors in Å, shape (3, 3), that span a cell for ``n_atoms`` atoms.

    Raises:
        Unusable: they are not 3 × 3 numbers, or their volume is that of no crystal.
    """
    matrix = array(value, (3, 3), "lattice matrix")
    with np.errstate(all="ignore"):
        volume = abs(float(np.linalg.det(matrix)))
    if not MIN_VOLUME_PER_ATOM * n_atoms < volume < math.inf:
        raise Unusable(f"its cell has a volume of {volume:.3g} Å³ for {counted(n_atoms, 'atom')}")
    return matrix


def positions(value: Any, n_atoms: int, cell: np.ndarray | None = None) -> np.ndarray:
    """Cartesian positions in Å, shape (N, 3); fractional ones where their ``cell`` is given.

    Raises:
        Unusable: they are not N × 3 finite numbers.
    """
    found = array(value, (n_atoms, 3), "coordinates")
    with np.errstate(all="ignore"):
        found = found if cell is None else cartesian(found, cell)
    if not np.isfinite(found).all():
        raise Unusable("its coordinates are not finite")
    return found


def energy(value: Any, masked: list[str]) -> float:
    """An energy, NaN (and an entry in ``masked``) where it is absent or not finite.

    Raises:
        Unusable: it is no number.
    """
    if value is None:
        masked.append("no energy")
        return math.nan
    if not is_number(value):
        raise Unusable(f"its energy is {shown(value)!r}, not a number")
    if not math.isfinite(as_float(value)):
        masked.append("energy is not finite")
        return math.nan
    return as_float(value)


def label(value: Any, shape: tuple[int, ...], name: str, masked: list[str]) -> np.ndarray | None:
    """A label of the given shape, None (and an entry in ``masked``) where it is absent or not finite.

    Raises:
        Unusable: it is not as many numbers.
    """
    if value is None:
        masked.append(f"no {name}")
        return None
    found = array(value, shape, name)
    if not np.isfinite(found).all():
        masked.append(f"{name} {'is' if name == 'stress' else 'are'} not finite")
        return None
    return found


def moments(values: Sequence[Any] | np.ndarray | None, n_atoms: int, masked: list[str]) -> np.ndarray | None:
    """Magnetic moments in μB, shape (N,); None without an entry in ``masked`` where there are none at all."""
    if values is None or all(value is None for value in values):
        return None  # most files have none: that is no fault of the frame
    if len(values) != n_atoms or not all(is_number(value) and math.isfinite(as_float(value)) for value in values):
        masked.append("magmoms are not a finite number on every site")
        return None
    return np.array([as_float(value) for value in values])


def array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Numbers of the given shape; null becomes NaN. Booleans and texts that look like numbers are none.

    Raises:
        Unusable: they are not as many numbers.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.shape == shape:
        return value.astype(float)
    plain = _plain_array(value, shape)
    if plain is not None:
        return plain
    found = np.asarray(value, dtype=object)
    if found.shape != shape or not all(entry is None or is_number(entry) for entry in found.flat):
        raise Unusable(f"what it gives as {name} is not {' × '.join(map(str, shape))} numbers")
    return np.array([math.nan if entry is None else as_float(entry) for entry in found.flat]).reshape(shape)


def is_number(value: Any) -> bool:
    """Whether a value is an int or a float, numpy's included, and no bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def as_float(number: float) -> float:
    """The number as a float; files have integers beyond its range."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _plain_array(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """The quick way for what nearly all documents hold: lists of ints and floats within range."""
    try:
        entries = value if len(shape) == 1 else chain.from_iterable(value)
        if not set(map(type, entries)) <= {int, float}:
            return None
        found = np.array(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.shape == shape else None
