"""Thermo documents of the Materials Project to frames: relaxed structures with total energies.

A document holds, for one material and one thermo type, entries by run type: a structure, the uncorrected total
energy, and the energy adjustments made to it. PBE keeps the empirical corrections of MP2020, as MPtrj does, and
tells them in ``correction``; what the mixing of functionals added is dropped for both, since it moves a PBE energy
onto the r²SCAN hull (by -5.7 eV in one case).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xfunc_core.data.formats import values
from xfunc_core.data.formats.functional_names import Said
from xfunc_core.data.formats.json_stream import read_documents
from xfunc_core.data.formats.structure_dict import read_structure
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.quantities import Functional

THERMO_TYPES = {Functional.PBE: "GGA_GGA+U", Functional.R2SCAN: "R2SCAN"}
"""The thermo type that holds a functional's energies and no others."""

_RUN_TYPES = {"GGA": (Functional.PBE, False), "GGA+U": (Functional.PBE, True), "PBE": (Functional.PBE, False), "PBE+U": (Functional.PBE, True), "R2SCAN": (Functional.R2SCAN, False)}
_TOLERANCE = 1e-3
"""Atoms by which the composition of an entry may miss its structure."""


def read_thermo(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame or a Rejected for every thermo document, and notes on what was dropped.

    Args:
        path: documents as a JSON list or JSON lines, gzip or not.
        functional: which energies to take; if None, the thermo type of each document decides.

    Raises:
        DataError: the file cannot be read.
    """
    yield Note("Frames are relaxed structures with total energies; the Materials Project's thermo documents carry no forces and no stress.")
    for position, (_, document) in enumerate(read_documents(path), start=1):
        name = values.shown(document.get("material_id")) if isinstance(document, dict) else ""
        try:
            frame, notes = _frame(document, functional)
        except values.Unusable as problem:
            yield Rejected(position, name, str(problem))
            continue
        yield from notes
        yield frame


def _frame(document: Any, said: Said) -> tuple[Frame, list[Note]]:
    if not isinstance(document, dict) or not isinstance(document.get("entries"), dict):
        raise values.Unusable("it is no thermo document with entries")
    material = values.identifier(document.get("material_id"), "material_id")
    if not material:
        raise values.Unusable("it has no material_id")
    functional = said if isinstance(said, Functional) else _functional_of(document)
    run_type, entry = _entry(document, functional)
    crystal = read_structure(entry.get("structure"), masked := [])
    n_atoms = len(crystal.numbers)
    energy = values.energy(entry.get("energy"), masked)
    _check_size(entry, n_atoms)
    correction, notes = _correction(entry, functional)
    frame = Frame(
        frame_id=material,
        material_id=material,
        functional=functional,
        numbers=crystal.numbers,
        lattice=crystal.lattice,
        positions=crystal.positions,
        energy=energy + correction,
        magmoms=crystal.magmoms,
        provenance={"thermo_type": values.shown(document.get("thermo_type")), "run_type": run_type, "entry_id": values.shown(entry.get("entry_id"))},
        masked=tuple(masked),
        correction=correction,
        hubbard_u=_RUN_TYPES[run_type.upper()][1],
    )
    return frame, notes


def _functional_of(document: dict[str, Any]) -> Functional:
    for functional, thermo_type in THERMO_TYPES.items():
        if str(document.get("thermo_type")).upper() == thermo_type:
            return functional
    raise values.Unusable(f"its thermo type is {values.shown(document.get('thermo_type'))!r}, which mixes or leaves open the functional; say which one to take")


def _entry(document: dict[str, Any], functional: Functional) -> tuple[str, dict[str, Any]]:
    """Run type and entry in that functional; of several the one whose energy the document itself states."""
    entries = {_run_type(key, entry): entry for key, entry in document["entries"].items() if isinstance(entry, dict)}
    wanted = {run_type: entry for run_type, entry in entries.items() if _RUN_TYPES.get(run_type.upper(), (None,))[0] is functional}
    if not wanted:
        raise values.Unusable(f"it was computed with {' and '.join(sorted(map(values.shown, entries))) or 'nothing'}, not with {functional.label}")
    stated = document.get("uncorrected_energy_per_atom")
    return min(wanted.items(), key=lambda item: _distance(item[1], stated))


def _run_type(key: str, entry: dict[str, Any]) -> str:
    parameters = entry.get("parameters")
    said = parameters.get("run_type") if isinstance(parameters, dict) else None
    return said if isinstance(said, str) else str(key)


def _distance(entry: dict[str, Any], stated: Any) -> float:
    """eV/atom between an entry's energy and the one that the document states; 0 if that cannot be told."""
    n_atoms = _count(entry)
    comparable = values.is_number(entry.get("energy")) and values.is_number(stated) and n_atoms
    return abs(entry["energy"] / n_atoms - stated) if comparable else 0.0


def _count(entry: dict[str, Any]) -> float:
    """Atoms that an entry's energy is for."""
    composition = entry.get("composition")
    counts = list(composition.values()) if isinstance(composition, dict) else []
    return sum(counts) if all(values.is_number(count) for count in counts) else 0.0


def _check_size(entry: dict[str, Any], n_atoms: int) -> None:
    if abs(_count(entry) - n_atoms) > _TOLERANCE:
        raise values.Unusable(f"its energy is for {_count(entry):g} atoms and its structure has {n_atoms}")


def _correction(entry: dict[str, Any], functional: Functional) -> tuple[float, list[Note]]:
    """eV to add to the uncorrected energy, and what to say of the rest."""
    adjustments = entry.get("energy_adjustments")
    try:
        adjustments = json.loads(adjustments) if isinstance(adjustments, str) else adjustments
        mixing = [a for a in adjustments or [] if _is_mixing(a)]
        kept = sum(_amount(a) for a in adjustments or [] if not _is_mixing(a))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise values.Unusable("its energy adjustments cannot be read") from error
    if adjustments is None and entry.get("correction"):
        raise values.Unusable("it has a correction but does not say of what kind, so it cannot be told from the mixing of functionals")
    notes = [Note("Adjustments that mix functionals were dropped: energies are those of one functional.")] if mixing else []
    if functional is Functional.R2SCAN:
        return 0.0, notes
    return kept, [*notes, Note("PBE energies include the empirical corrections of MP2020, as in MPtrj; the column correction tells how much.")]


def _is_mixing(adjustment: dict[str, Any]) -> bool:
    made_by = adjustment.get("cls")
    return "mixing" in f"{adjustment.get('name', '')} {made_by.get('@class', '') if isinstance(made_by, dict) else made_by}".lower()


def _amount(adjustment: dict[str, Any]) -> float:
    """eV of one energy adjustment, whichever of pymatgen's kinds it is."""
    if "value" in adjustment:
        return float(adjustment["value"])
    if "adj_per_atom" in adjustment:
        return float(adjustment["adj_per_atom"]) * float(adjustment["n_atoms"])
    return float(adjustment["adj_per_deg"]) * float(adjustment["temp"]) * float(adjustment["n_atoms"])
