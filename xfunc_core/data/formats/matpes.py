"""MatPES documents (2025.1 gzip JSON list, 2025.2 JSON lines, element references, isolated atoms) to frames.

Format: MatPES (Kaplan et al., arXiv 2503.04070). Energies are total eV, forces eV/Å, stress six
numbers in kbar with VASP's sign; the magnetic moments sit in the sites' properties. The files of
isolated atoms (``MatPES-*-atoms.json``) hold one element a document.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.functional_names import Said, settle_functional
from xfunc_core.data.formats.json_stream import read_documents
from xfunc_core.data.formats.structure_dict import Crystal, read_structure
from xfunc_core.data.frame import Frame, Note, Rejected, matrix_to_voigt
from xfunc_core.errors import DataError
from xfunc_core.quantities import KBAR_TO_GPA

ISOLATED = 8.0
"""Å; an atom whose own images are farther away than this is alone (the widest elemental crystal has 5.3 Å)."""
BOX = 15.0
"""Å; edge of the empty box drawn around an isolated atom that comes without a structure."""


def read_matpes(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame or a Rejected for every document of a MatPES file, in file order, and notes on what was assumed.

    Args:
        path: gzip or plain; a JSON list, JSON lines, or an object of documents.
        functional: what the labels are, for files whose documents do not say.

    Raises:
        DataError: the file is unreadable, is no MatPES file, or holds a functional that xfunc refuses
            or that contradicts ``functional``.
    """
    for position, (key, document) in enumerate(read_documents(path), start=1):
        yield from read_document(document, functional, path, position, key)


def read_document(document: Any, functional: Said, path: Path, position: int, key: str | None = None) -> Iterator[Frame | Rejected | Note]:
    """What one parsed document gives: its frame, or why it is none; arguments and errors as in `read_matpes`."""
    if position == 1:
        _check_is_matpes(document, path)
    if _is_bare_atom(document):
        document = _boxed(document)
        yield Note(f"Isolated atoms without a structure were put into an empty cube of {BOX:g} Å.")
    try:
        yield _frame(document, functional, path, position)
    except values.Unusable as problem:
        frame_id = document.get("matpes_id") if isinstance(document, dict) else None
        yield Rejected(position, values.shown(frame_id or key or ""), str(problem))


def _check_is_matpes(document: Any, path: Path) -> None:
    """Judge a file by its first document; a stray document further on is rejected on its own."""
    if isinstance(document, dict) and ("structure" in document or _is_bare_atom(document)):
        return
    if isinstance(document, dict) and any(isinstance(v, dict) and "structure" in v for v in document.values()):
        raise DataError(f"{path.name} is nested like MPtrj, not like MatPES: name its format, mptrj.")
    raise DataError(f"{path.name} is JSON, but no MatPES file (its first document has no 'structure'): choose a MatPES JSON or JSON-lines file.")


def _frame(document: Any, said: Said, path: Path, position: int) -> Frame:
    if not isinstance(document, dict):
        raise values.Unusable("it is no JSON object")
    if "structure" not in document:
        raise values.Unusable("it has no structure")
    functional = settle_functional(document.get("functional"), said, f"{path.name}: document {position}")
    frame_id = values.identifier(document.get("matpes_id"), "matpes_id")
    if not frame_id:
        raise values.Unusable("it has no matpes_id")
    masked: list[str] = []
    crystal = read_structure(document["structure"], masked)
    provenance = document.get("provenance") if isinstance(document.get("provenance"), dict) else {}
    return Frame(
        frame_id=frame_id,
        material_id=_material(provenance) or frame_id,
        functional=functional,
        numbers=crystal.numbers,
        lattice=crystal.lattice,
        positions=crystal.positions,
        energy=values.energy(document.get("energy"), masked),
        forces=values.label(document.get("forces"), (len(crystal.numbers), 3), "forces", masked),
        stress=_stress(document.get("stress"), masked),
        magmoms=crystal.magmoms,
        provenance=provenance,
        masked=tuple(masked),
        isolated_atom_energy=_isolated_atom(document, crystal),
    )


def _material(provenance: Mapping[str, Any]) -> str:
    return values.identifier(provenance.get("material_id"), "material_id") or values.identifier(provenance.get("original_mp_id"), "original_mp_id")


def _stress(value: Any, masked: list[str]) -> np.ndarray | None:
    if isinstance(value, list) and len(value) == 3:
        value = matrix_to_voigt(values.array(value, (3, 3), "stress")).tolist()
    stress = values.label(value, (6,), "stress", masked)
    return None if stress is None else KBAR_TO_GPA * stress


def _isolated_atom(document: Mapping[str, Any], crystal: Crystal) -> float | None:
    """What the document says about the atom of its one element; the energy itself, if the atom is alone in its cell."""
    value = document.get("energy_atomic")
    if len(crystal.numbers) == 1 and value is None and _nearest_image(crystal.lattice) > ISOLATED:
        value = document.get("energy")
    elemental = len(set(crystal.numbers.tolist())) == 1
    return values.as_float(value) if elemental and values.is_number(value) and math.isfinite(values.as_float(value)) else None


def _nearest_image(lattice: np.ndarray) -> float:
    """Distance in Å between an atom and its nearest periodic image, for cells that are not extremely skewed."""
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    return float(np.linalg.norm(shifts[shifts.any(axis=1)] @ lattice, axis=1).min())


def _is_bare_atom(document: Any) -> bool:
    """Whether a document is an isolated atom without a structure: one element and an energy."""
    if not isinstance(document, dict) or "structure" in document or "energy" not in document:
        return False
    elements = document.get("elements")
    return isinstance(elements, list) and len(elements) == 1


def _boxed(document: dict[str, Any]) -> dict[str, Any]:
    """The document of a bare atom with a structure; without an id, the element names it."""
    symbol = document["elements"][0]
    structure = {"lattice": {"matrix": (BOX * np.eye(3)).tolist()}, "sites": [{"species": [{"element": symbol}], "abc": [0.0, 0.0, 0.0]}]}
    return {"matpes_id": f"atom-{values.shown(symbol)}"} | document | {"structure": structure}
