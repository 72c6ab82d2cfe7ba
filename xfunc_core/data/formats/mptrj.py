"""MPtrj and MP-r2SCAN, ``{mp_id: {frame_id: {structure, energy_per_atom, force, stress, magmom, …}}}``, to frames.

Formats: MPtrj (Deng et al. 2023, 10.6084/m9.figshare.23713842), 1.58 million frames in 11 GB of plain
JSON, so documents are read one by one; MP-r2SCAN (Huang et al. 2025, 10.6084/m9.figshare.28245650) has
the same nesting. CHGNet trains on ``energy_per_atom``, which in MPtrj contains the MP2020 correction;
stress is a 3 × 3 matrix in kbar with VASP's sign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.functional_names import Said, settle_functional
from xfunc_core.data.formats.json_stream import read_nested
from xfunc_core.data.formats.structure_dict import read_structure
from xfunc_core.data.frame import Frame, Note, Rejected, matrix_to_voigt
from xfunc_core.quantities import KBAR_TO_GPA, Functional

ENERGY_TOLERANCE = 5e-3
"""eV/atom by which energy_per_atom may miss corrected_total_energy / N; MPtrj agrees to rounding."""

_TASK = re.compile(r"(.+)-(\d+)-(\d+)")
_CORRECTED = "corrected_total_energy"
_UNCORRECTED = "uncorrected_total_energy"
_NOTES = {
    "energy_per_atom": "Energies are energy_per_atom times the number of atoms, which is what CHGNet trains on.",
    _CORRECTED: "Frames without energy_per_atom take their energy from corrected_total_energy.",
    _UNCORRECTED: "Frames with neither energy_per_atom nor corrected_total_energy take their energy from uncorrected_total_energy.",
}


def read_mptrj(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame or a Rejected for every frame of every material, in file order, and notes on what was assumed.

    Args:
        path: gzip or plain.
        functional: what the labels are. Files with ``corrected_total_energy`` are MPtrj and therefore
            PBE if nothing is said; MP-r2SCAN has to be named, since its documents do not say.

    Raises:
        DataError: the file is unreadable, its functional is unknown or contradicts ``functional``.
    """
    for position, (material, key, document) in enumerate(read_nested(path), start=1):
        try:
            frame = _frame(document, material, key, functional, f"{path.name}: frame {values.shown(key)!r} of {values.shown(material)!r}")
        except values.Unusable as problem:
            yield Rejected(position, values.shown(key or material), str(problem))
            continue
        yield from _notes(document, functional)
        yield frame


def _notes(document: Mapping[str, Any], said: Said) -> Iterator[Note]:
    yield Note(_NOTES[_energy_key(document)])
    yield Note("Stress is read as kbar with VASP's sign and kept as GPa, tension positive; forces as eV/Å.")
    if document.get("functional") is None and said is None:
        yield Note("The documents name no functional; corrected_total_energy marks MPtrj, whose labels are PBE, for some frames with Hubbard U.")


def _frame(document: Any, material: str, key: str, said: Said, where: str) -> Frame:
    if not isinstance(document, dict):
        raise values.Unusable("it is no JSON object")
    if "structure" not in document:
        raise values.Unusable("it has no structure")
    frame_id = values.identifier(key, "frame id")
    if not frame_id:
        raise values.Unusable("it has no frame id")
    masked: list[str] = []
    crystal = read_structure(document["structure"], masked)
    n_atoms = len(crystal.numbers)
    energy = _energy(document, n_atoms, masked)
    return Frame(
        frame_id=frame_id,
        material_id=values.identifier(document.get("mp_id"), "mp_id") or values.identifier(material, "material id") or frame_id,
        functional=_functional(document, said, where),
        numbers=crystal.numbers,
        lattice=crystal.lattice,
        positions=crystal.positions,
        energy=energy,
        forces=values.label(document.get("force"), (n_atoms, 3), "forces", masked),
        stress=_stress(document.get("stress"), masked),
        magmoms=_magmoms(document, n_atoms, masked),
        provenance=_provenance(frame_id),
        masked=tuple(masked),
        correction=energy - _number(document.get(_UNCORRECTED)),
    )


def _functional(document: Mapping[str, Any], said: Said, where: str) -> Functional:
    if document.get("functional") is None and said is None and _CORRECTED in document:
        return Functional.PBE
    return settle_functional(document.get("functional"), said, where)


def _energy_key(document: Mapping[str, Any]) -> str:
    return next((key for key in ("energy_per_atom", _CORRECTED, _UNCORRECTED) if document.get(key) is not None), "energy_per_atom")


def _energy(document: Mapping[str, Any], n_atoms: int, masked: list[str]) -> float:
    key = _energy_key(document)
    energy = values.energy(document.get(key), masked) * (n_atoms if key == "energy_per_atom" else 1)
    if abs(energy - _number(document.get(_CORRECTED))) > ENERGY_TOLERANCE * n_atoms:
        masked.append("energy_per_atom times the number of atoms is not corrected_total_energy")
        return math.nan
    return energy


def _stress(value: Any, masked: list[str]) -> np.ndarray | None:
    if isinstance(value, list) and len(value) == 6:
        raise values.Unusable("its stress is six numbers whose order MPtrj does not define, not 3 × 3")
    stress = values.label(value, (3, 3), "stress", masked)
    return None if stress is None else KBAR_TO_GPA * matrix_to_voigt(stress)


def _magmoms(document: Mapping[str, Any], n_atoms: int, masked: list[str]) -> np.ndarray | None:
    moments = document.get("magmom")
    if moments is None:
        masked.append("no magmoms")
        return None
    if not isinstance(moments, list):
        raise values.Unusable(f"what it gives as magmoms is not {n_atoms} numbers")
    return values.moments(moments, n_atoms, masked)


def _provenance(frame_id: str) -> dict[str, Any]:
    """The task, calculation and ionic step that an MPtrj frame id is made of."""
    parts = _TASK.fullmatch(frame_id)
    return {"task_id": parts[1], "calculation": int(parts[2]), "ionic_step": int(parts[3])} if parts else {}


def _number(value: Any) -> float:
    return values.as_float(value) if values.is_number(value) else math.nan
