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

from xfunc_core.data.frame import Frame, Rejected, matrix_to_voigt
from xfunc_core.data.json_stream import read_documents
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import KBAR_TO_GPA, Functional

FUNCTIONALS = {"pbe": Functional.PBE, "r2scan": Functional.R2SCAN}
MIN_VOLUME_PER_ATOM = 0.5
"""Å³; below it a lattice is degenerate (the densest element at 400 GPa keeps above 2 Å³ per atom)."""


class _Unusable(Exception):
    """Why one document is no frame."""


def read_matpes(path: Path, functional: Functional | None = None) -> Iterator[Frame | Rejected]:
    """Yield a Frame or a Rejected for every document of a MatPES file, in file order.

    Args:
        path: gzip or plain; a JSON list, JSON lines, or an object of documents.
        functional: what the labels are, for files whose documents do not say.

    Raises:
        DataError: the file is unreadable, is no MatPES file, or holds a functional xfunc refuses.
    """
    for position, (key, document) in enumerate(read_documents(path), start=1):
        _check_is_matpes(document, path, position)
        frame_id = str(document.get("matpes_id") or "")
        try:
            yield _frame(document, frame_id, functional or _functional(document, path, position))
        except _Unusable as problem:
            yield Rejected(position, frame_id or (key or ""), str(problem))


def _check_is_matpes(document: Any, path: Path, position: int) -> None:
    if isinstance(document, dict) and "structure" in document:
        return
    if position > 1:
        return  # a stray document in a file that is MatPES otherwise is rejected on its own
    if isinstance(document, dict) and any(isinstance(v, dict) and "structure" in v for v in document.values()):
        raise DataError(f"{path.name} is nested like MPtrj, which this version does not import: use MatPES JSON or JSON lines.")
    raise DataError(f"{path.name} is JSON, but no MatPES file: its first document has no 'structure'. Choose a MatPES JSON or JSON-lines file.")


def _functional(document: Mapping[str, Any], path: Path, position: int) -> Functional:
    name = document.get("functional")
    if name is None:
        raise DataError(f"{path.name}: document {position} does not name its functional; say which one it is (PBE or r2SCAN).")
    found = FUNCTIONALS.get(str(name).lower().replace("²", "2"))
    if found is None:
        raise DataError(f"{path.name}: document {position} was computed with {str(name)[:40]!r}; xfunc compares PBE and r2SCAN only, so leave it out.")
    return found


def _frame(document: Any, frame_id: str, functional: Functional) -> Frame:
    if not isinstance(document, dict):
        raise _Unusable("it is no JSON object")
    if not frame_id:
        raise _Unusable("it has no matpes_id")
    numbers, lattice, positions, magmoms = _structure(document.get("structure"))
    masked: list[str] = []
    n_atoms = len(numbers)
    provenance = document.get("provenance") if isinstance(document.get("provenance"), dict) else {}
    return Frame(
        frame_id=frame_id,
        material_id=str(provenance.get("material_id") or provenance.get("original_mp_id") or frame_id),
        functional=functional,
        numbers=numbers,
        lattice=lattice,
        positions=positions,
        energy=_energy(document.get("energy"), masked),
        forces=_label(document.get("forces"), (n_atoms, 3), "forces", masked),
        stress=_stress(document.get("stress"), masked),
        magmoms=magmoms,
        provenance=provenance,
        masked=tuple(masked),
        isolated_atom_energy=_isolated_atom(document, numbers),
    )


def _structure(structure: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    if not isinstance(structure, dict) or not isinstance(structure.get("sites"), list) or not structure["sites"]:
        raise _Unusable("its structure has no sites")
    lattice_entry = structure.get("lattice")
    lattice = _array(lattice_entry.get("matrix") if isinstance(lattice_entry, dict) else None, (3, 3), "lattice matrix")
    sites = structure["sites"]
    volume = abs(float(np.linalg.det(lattice)))
    if not volume > MIN_VOLUME_PER_ATOM * len(sites):
        raise _Unusable(f"its cell has only {volume:.3g} Å³ for {len(sites)} atoms")
    numbers = np.array([_atomic_number(site, i) for i, site in enumerate(sites)], dtype=np.uint8)
    if all("abc" in site for site in sites):
        positions = _array([site["abc"] for site in sites], (len(sites), 3), "coordinates") @ lattice
    else:
        positions = _array([site.get("xyz") for site in sites], (len(sites), 3), "coordinates")
    return numbers, lattice, positions, _magmoms(sites)


def _atomic_number(site: Any, index: int) -> int:
    species = site.get("species") if isinstance(site, dict) else None
    if not isinstance(species, list) or len(species) != 1 or not isinstance(species[0], dict):
        raise _Unusable(f"site {index + 1} is not occupied by exactly one element (disordered structures have no single energy)")
    symbol, occupation = str(species[0].get("element")), species[0].get("occu", 1)
    if symbol not in Z_OF:
        raise _Unusable(f"site {index + 1} holds {symbol[:20]!r}, which is no element")
    if occupation != 1:
        raise _Unusable(f"site {index + 1} is only partly occupied ({occupation!r})")
    return Z_OF[symbol]


def _magmoms(sites: list[Any]) -> np.ndarray | None:
    moments = [(site.get("properties") or {}).get("magmom") for site in sites]
    if any(not isinstance(m, int | float) or not math.isfinite(m) for m in moments):
        return None
    return np.array(moments, dtype=float)


def _energy(value: Any, masked: list[str]) -> float:
    if value is None:
        masked.append("no energy")
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unusable(f"its energy is {str(value)[:40]!r}, not a number")
    if not math.isfinite(value):
        masked.append("energy is not finite")
        return float("nan")
    return float(value)


def _label(value: Any, shape: tuple[int, ...], name: str, masked: list[str]) -> np.ndarray | None:
    if value is None:
        masked.append(f"no {name}")
        return None
    array = _array(value, shape, name, finite=False)
    if not np.isfinite(array).all():
        masked.append(f"{name} are not finite" if name == "forces" else f"{name} is not finite")
        return None
    return array


def _stress(value: Any, masked: list[str]) -> np.ndarray | None:
    if isinstance(value, list) and len(value) == 3:
        value = matrix_to_voigt(_array(value, (3, 3), "stress", finite=False))
    stress = _label(value, (6,), "stress", masked)
    return None if stress is None else KBAR_TO_GPA * stress


def _isolated_atom(document: Mapping[str, Any], numbers: np.ndarray) -> float | None:
    value = document.get("energy_atomic")
    if isinstance(value, int | float) and math.isfinite(value) and len(set(numbers.tolist())) == 1:
        return float(value)
    return None


def _array(value: Any, shape: tuple[int, ...], name: str, finite: bool = True) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Unusable(f"its {name} are not numbers") from error
    if array.shape != shape:
        raise _Unusable(f"its {name} have shape {array.shape}, expected {shape}")
    if finite and not np.isfinite(array).all():
        raise _Unusable(f"its {name} are not finite")
    return array
