"""Frames as extended XYZ, in ASE's units and signs: eV, eV/Å, stress in eV/Å³ and positive under tension, μB.

Numbers are written so that they read back to the last bit; labels that a frame does not have are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.formats.extxyz import EV_PER_A3_TO_GPA
from xfunc_core.data.frame import voigt_to_matrix
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

_SYMBOLS = [b"X", *(symbol.encode() for symbol in SYMBOLS)]
_FUNCTIONALS = {Functional.PBE: "PBE", Functional.R2SCAN: "r2SCAN"}
_COLUMNS = {"forces": ":forces:R:3", "magmoms": ":magmoms:R:1"}


def extxyz_text(batch: FrameBatch, said: Sequence[bytes] | None = None) -> bytes:
    """The frames of a batch as text.

    Args:
        batch: the frames.
        said: members to write in the comment line of each, instead of the functional; `quoted` makes texts fit.

    Raises:
        DataError: an id cannot be written in this format.
    """
    columns = {"positions": _rows(batch.positions), "forces": _rows(batch.forces), "magmoms": _rows(batch.magmoms)}
    symbols = [_SYMBOLS[z] for z in batch.numbers.tolist()]
    lattice = _rows(batch.lattice.reshape(-1, 9))
    stress = _rows(voigt_to_matrix(batch.stress / EV_PER_A3_TO_GPA).reshape(-1, 9))
    energy = _rows(batch.energy)
    said = _functionals(batch) if said is None else said
    parts = []
    for i, (first, n) in enumerate(zip(batch.first_atom.tolist(), batch.n_atoms.tolist(), strict=True)):
        atoms = slice(first, first + n)
        there = [name for name in _COLUMNS if b"null" not in b" ".join(columns[name][atoms])]
        comment = [b'Lattice="' + lattice[i] + b'"', b"Properties=species:S:1:pos:R:3" + "".join(_COLUMNS[name] for name in there).encode()]
        comment += [b"energy=" + energy[i]] if energy[i] != b"null" else []
        comment += [b'stress="' + stress[i] + b'"'] if b"null" not in stress[i] else []
        comment += [_named(batch, i), said[i], b'pbc="T T T"']
        lines = map(b" ".join, zip(symbols[atoms], columns["positions"][atoms], *(columns[name][atoms] for name in there), strict=True))
        parts += [str(n).encode(), b" ".join(comment), *lines]
    return b"\n".join(parts) + b"\n"


def _rows(array: np.ndarray) -> list[bytes]:
    """The rows of an array, each as numbers with blanks between them; ``null`` is what is not finite."""
    text = orjson.dumps(np.ascontiguousarray(array, dtype=float), option=orjson.OPT_SERIALIZE_NUMPY)
    if array.ndim == 1:
        return text[1:-1].split(b",")
    return text[2:-2].replace(b"],[", b"\n").replace(b",", b" ").split(b"\n")


def _named(batch: FrameBatch, i: int) -> bytes:
    return f"frame_id={quoted(batch.frame_ids[i])} material_id={quoted(batch.material_ids[i])}".encode()


def _functionals(batch: FrameBatch) -> list[bytes]:
    name = _FUNCTIONALS[batch.functional]
    return [f"functional={name}{'+U' if with_u else ''}".encode() for with_u in batch.hubbard_u]


def quoted(text: str) -> str:
    """A text as the value of a member; readers differ in what they make of escapes, so there are none.

    Raises:
        DataError: it cannot be written so.
    """
    if "\\" in text or ('"' in text and "'" in text) or not text.isprintable():
        raise DataError(f"The id {text[:60]!r} cannot be written to extended XYZ (a backslash, both kinds of quotes or what cannot be printed): choose another format.")
    return f"'{text}'" if '"' in text else f'"{text}"'
