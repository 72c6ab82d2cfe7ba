"""Frames as MatPES 2025.2 JSON lines: total eV, eV/Å, stress in kbar with VASP's sign, moments in the sites' properties.

Read back, everything has the same bits but the positions, which MatPES holds as fractions of the cell: they differ by
rounding. Labels that a frame does not have are left out, and so is what MatPES has no name for (corrections and +U).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.frame import cartesian
from xfunc_core.data.writer import formula
from xfunc_core.elements import SYMBOLS
from xfunc_core.quantities import KBAR_TO_GPA, Functional

_FUNCTIONALS = {Functional.PBE: "PBE", Functional.R2SCAN: "r2SCAN"}
_DECIMALS = 8
"""What VASP writes of a stress in kbar."""


def matpes_text(batch: FrameBatch, isolated_atoms: dict[str, float]) -> bytes:
    """The frames of a batch, one document a line.

    Args:
        batch: the frames.
        isolated_atoms: energies in eV by symbol; the first frame of only that element tells it, and it is taken out.
    """
    columns = _columns(batch)
    lines = []
    for i, (first, n) in enumerate(zip(batch.first_atom.tolist(), batch.n_atoms.tolist(), strict=True)):
        document = _document(batch, columns, i, slice(first, first + n))
        if document["nelements"] == 1 and document["elements"][0] in isolated_atoms:
            document["energy_atomic"] = isolated_atoms.pop(document["elements"][0])
        lines.append(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def _columns(batch: FrameBatch) -> dict[str, list[Any]]:
    """The arrays of a batch as lists; None is what a frame does not have."""
    cells = np.repeat(batch.lattice, batch.n_atoms, axis=0)
    return {
        "symbols": [SYMBOLS[z - 1] for z in batch.numbers.tolist()],
        "abc": _fractional(batch.positions, cells).tolist(),
        "xyz": batch.positions.tolist(),
        "forces": batch.forces.tolist(),
        "magmoms": batch.magmoms.tolist(),
        "matrix": batch.lattice.tolist(),
        "volume": np.abs(np.linalg.det(batch.lattice)).tolist(),
        "stress": _kbar(batch.stress).tolist(),
        "energy": batch.energy.tolist(),
        "has_forces": np.logical_and.reduceat(np.isfinite(batch.forces).all(axis=1), batch.first_atom).tolist(),
        "has_magmoms": np.logical_and.reduceat(np.isfinite(batch.magmoms), batch.first_atom).tolist(),
        "has_stress": np.isfinite(batch.stress).all(axis=1).tolist(),
        "has_energy": np.isfinite(batch.energy).tolist(),
    }


def _document(batch: FrameBatch, columns: Mapping[str, list[Any]], i: int, atoms: slice) -> dict[str, Any]:
    symbols = columns["symbols"][atoms]
    elements = sorted(set(symbols))
    labels = {"energy": columns["energy"][i], "forces": columns["forces"][atoms], "stress": columns["stress"][i]}
    return {
        "matpes_id": batch.frame_ids[i],
        "functional": _FUNCTIONALS[batch.functional],
        "formula_pretty": formula(batch.numbers[atoms]),
        "chemsys": "-".join(elements),
        "elements": elements,
        "nelements": len(elements),
        "nsites": len(symbols),
        "volume": columns["volume"][i],
        "structure": {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "lattice": {"matrix": columns["matrix"][i], "pbc": [True, True, True], "volume": columns["volume"][i]},
            "sites": _sites(symbols, columns, atoms, columns["has_magmoms"][i]),
        },
        **{name: label for name, label in labels.items() if columns[f"has_{name}"][i]},
        "provenance": orjson.Fragment(_provenance(batch, i)),
    }


def _sites(symbols: list[str], columns: Mapping[str, list[Any]], atoms: slice, has_magmoms: bool) -> list[dict[str, Any]]:
    parts = zip(symbols, columns["abc"][atoms], columns["xyz"][atoms], columns["magmoms"][atoms], strict=True)
    return [
        {"species": [{"element": symbol, "occu": 1}], "abc": abc, "xyz": xyz, "properties": {"magmom": moment} if has_magmoms else {}, "label": symbol}
        for symbol, abc, xyz, moment in parts
    ]


def _fractional(positions: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Fractions of the cell, shape (A, 3), that give the positions in Å again; what rounding leaves is corrected twice."""
    inverse = np.linalg.inv(cells)
    fractional = np.zeros_like(positions)
    for _ in range(3):
        fractional += np.einsum("ai,aij->aj", positions - cartesian(fractional, cells), inverse)
    return fractional


def _kbar(stress: np.ndarray) -> np.ndarray:
    """Stress in kbar with VASP's sign, shape (F, 6): as VASP wrote it where that gives the same GPa, else what comes nearest."""
    nearest = stress / KBAR_TO_GPA
    rounded = np.round(nearest, _DECIMALS)
    return np.where(KBAR_TO_GPA * rounded == stress, rounded, nearest)


def _provenance(batch: FrameBatch, i: int) -> bytes:
    """The provenance, which in MatPES also says what the material is."""
    text, material = batch.provenance[i], batch.material_ids[i]
    known = json.loads(text)
    told = known.get("material_id") or known.get("original_mp_id") or batch.frame_ids[i]
    return (text if told == material else json.dumps(known | {"material_id": material})).encode()
