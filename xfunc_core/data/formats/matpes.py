"""MatPES documents (2025.1 gzip JSON list, 2025.2 JSON lines, element references) to frames.

Format: MatPES (Kaplan et al., arXiv 2503.04070). Energies are total eV, forces eV/Å, stress six
numbers in kbar with VASP's sign; the magnetic moments sit in the sites' properties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.json_stream import read_documents
from xfunc_core.data.formats.structure_dict import read_structure
from xfunc_core.data.frame import Frame, Rejected, matrix_to_voigt
from xfunc_core.errors import DataError
from xfunc_core.quantities import KBAR_TO_GPA, Functional

FUNCTIONALS = {"pbe": Functional.PBE, "r2scan": Functional.R2SCAN}


def read_matpes(path: Path, functional: Functional | None = None) -> Iterator[Frame | Rejected]:
    """Yield a Frame or a Rejected for every document of a MatPES file, in file order.

    Args:
        path: gzip or plain; a JSON list, JSON lines, or an object of documents.
        functional: what the labels are, for files whose documents do not say.

    Raises:
        DataError: the file is unreadable, is no MatPES file, or holds a functional that xfunc refuses
            or that contradicts ``functional``.
    """
    for position, (key, document) in enumerate(read_documents(path), start=1):
        if position == 1:
            _check_is_matpes(document, path)
        try:
            yield _frame(document, functional, path, position)
        except values.Unusable as problem:
            frame_id = document.get("matpes_id") if isinstance(document, dict) else None
            yield Rejected(position, values.shown(frame_id or key or ""), str(problem))


def _check_is_matpes(document: Any, path: Path) -> None:
    """Judge a file by its first document; a stray document further on is rejected on its own."""
    if isinstance(document, dict) and "structure" in document:
        return
    if isinstance(document, dict) and any(isinstance(v, dict) and "structure" in v for v in document.values()):
        raise DataError(f"{path.name} is nested like MPtrj, which this version does not import: use MatPES JSON or JSON lines.")
    raise DataError(f"{path.name} is JSON, but no MatPES file (its first document has no 'structure'): choose a MatPES JSON or JSON-lines file.")


def _functional(document: Mapping[str, Any], said: Functional | None, path: Path, position: int) -> Functional:
    name = document.get("functional")
    if name is None:
        if said is None:
            raise DataError(f"{path.name}: document {position} does not name its functional; say which one it is (PBE or r2SCAN).")
        return said
    found = FUNCTIONALS.get(name.strip().lower().replace("²", "2")) if isinstance(name, str) else None
    if found is None:
        raise DataError(f"{path.name}: document {position} was computed with {values.shown(name)!r}; xfunc compares PBE and r2SCAN only, so leave it out.")
    if said not in (None, found):
        raise DataError(f"{path.name}: document {position} says that it was computed with {found.label}, not {said.label}: go by the file, or correct it.")
    return found


def _frame(document: Any, said: Functional | None, path: Path, position: int) -> Frame:
    if not isinstance(document, dict):
        raise values.Unusable("it is no JSON object")
    if "structure" not in document:
        raise values.Unusable("it has no structure")
    functional = _functional(document, said, path, position)
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
        isolated_atom_energy=_isolated_atom(document, crystal.numbers),
    )


def _material(provenance: Mapping[str, Any]) -> str:
    return values.identifier(provenance.get("material_id"), "material_id") or values.identifier(provenance.get("original_mp_id"), "original_mp_id")


def _stress(value: Any, masked: list[str]) -> np.ndarray | None:
    if isinstance(value, list) and len(value) == 3:
        value = matrix_to_voigt(values.array(value, (3, 3), "stress")).tolist()
    stress = values.label(value, (6,), "stress", masked)
    return None if stress is None else KBAR_TO_GPA * stress


def _isolated_atom(document: Mapping[str, Any], numbers: np.ndarray) -> float | None:
    value = document.get("energy_atomic")
    elemental = len(set(numbers.tolist())) == 1
    return values.as_float(value) if elemental and values.is_number(value) and math.isfinite(values.as_float(value)) else None
