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

from xfunc_core.data.formats.json_stream import read_documents
from xfunc_core.data.frame import Frame, Rejected, matrix_to_voigt
from xfunc_core.elements import N_REFERENCED, Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import KBAR_TO_GPA, Functional

FUNCTIONALS = {"pbe": Functional.PBE, "r2scan": Functional.R2SCAN}
MIN_VOLUME_PER_ATOM = 0.5
"""Å³; below it a lattice is degenerate (the densest element at 400 GPa keeps above 2 Å³ per atom)."""
MAX_ID = 200
"""Characters an id may have."""


class _Unusable(Exception):
    """Why one document is no frame."""


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
        except _Unusable as problem:
            frame_id = document.get("matpes_id") if isinstance(document, dict) else None
            yield Rejected(position, _shown(frame_id or key or ""), str(problem))


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
        raise DataError(f"{path.name}: document {position} was computed with {_shown(name)!r}; xfunc compares PBE and r2SCAN only, so leave it out.")
    if said not in (None, found):
        raise DataError(f"{path.name}: document {position} says that it was computed with {found.label}, not {said.label}: go by the file, or correct it.")
    return found


def _frame(document: Any, said: Functional | None, path: Path, position: int) -> Frame:
    if not isinstance(document, dict):
        raise _Unusable("it is no JSON object")
    if "structure" not in document:
        raise _Unusable("it has no structure")
    functional = _functional(document, said, path, position)
    frame_id = _identifier(document.get("matpes_id"), "matpes_id")
    if not frame_id:
        raise _Unusable("it has no matpes_id")
    masked: list[str] = []
    numbers, lattice, positions, magmoms = _structure(document["structure"], masked)
    provenance = document.get("provenance") if isinstance(document.get("provenance"), dict) else {}
    return Frame(
        frame_id=frame_id,
        material_id=_material(provenance) or frame_id,
        functional=functional,
        numbers=numbers,
        lattice=lattice,
        positions=positions,
        energy=_energy(document.get("energy"), masked),
        forces=_label(document.get("forces"), (len(numbers), 3), "forces", masked),
        stress=_stress(document.get("stress"), masked),
        magmoms=magmoms,
        provenance=provenance,
        masked=tuple(masked),
        isolated_atom_energy=_isolated_atom(document, numbers),
    )


def _material(provenance: Mapping[str, Any]) -> str:
    return _identifier(provenance.get("material_id"), "material_id") or _identifier(provenance.get("original_mp_id"), "original_mp_id")


def _identifier(value: Any, name: str) -> str:
    """An id as text, '' if there is none; ids are shown, compared and written to disk, so they are plain."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Unusable(f"its {name} is no text")
    text = str(value).strip()
    if len(text) > MAX_ID or not text.isprintable():
        raise _Unusable(f"its {name} has unprintable characters or more than {MAX_ID}")
    return text


def _shown(value: Any) -> str:
    """Any value of a document, short and printable."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = str(value)[:60]
    return text if text.isprintable() else ascii(text)


def _structure(structure: Any, masked: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    if not isinstance(structure, dict) or not isinstance(structure.get("sites"), list) or not structure["sites"]:
        raise _Unusable("its structure has no sites")
    sites = structure["sites"]
    lattice = _lattice(structure.get("lattice"), len(sites))
    numbers = np.array([_atomic_number(site, i) for i, site in enumerate(sites, start=1)], dtype=np.uint8)
    fractional = all("abc" in site for site in sites)
    positions = _array([site.get("abc" if fractional else "xyz") for site in sites], (len(sites), 3), "coordinates")
    with np.errstate(all="ignore"):
        positions = positions @ lattice if fractional else positions
    if not np.isfinite(positions).all():
        raise _Unusable("its coordinates are not finite")
    return numbers, lattice, positions, _magmoms(sites, masked)


def _lattice(entry: Any, n_atoms: int) -> np.ndarray:
    lattice = _array(entry.get("matrix") if isinstance(entry, dict) else None, (3, 3), "lattice matrix")
    with np.errstate(all="ignore"):
        volume = abs(float(np.linalg.det(lattice)))
    if not MIN_VOLUME_PER_ATOM * n_atoms < volume < math.inf:
        raise _Unusable(f"its cell has a volume of {volume:.3g} Å³ for {n_atoms} atoms")
    return lattice


def _atomic_number(site: Any, place: int) -> int:
    species = site.get("species") if isinstance(site, dict) else None
    if not isinstance(species, list) or len(species) != 1 or not isinstance(species[0], dict):
        raise _Unusable(f"site {place} is not occupied by exactly one element (disordered structures have no single energy)")
    symbol, occupation = _shown(species[0].get("element")), species[0].get("occu", 1)
    if symbol not in Z_OF:
        raise _Unusable(f"site {place} holds {symbol!r}, which is no element")
    if Z_OF[symbol] > N_REFERENCED:
        raise _Unusable(f"site {place} holds {symbol}, and CHGNet knows only hydrogen to plutonium")
    if occupation != 1:
        raise _Unusable(f"site {place} is only partly occupied ({_shown(occupation)})")
    return Z_OF[symbol]


def _magmoms(sites: list[Any], masked: list[str]) -> np.ndarray | None:
    properties = [site.get("properties") for site in sites]
    moments = [entry.get("magmom") if isinstance(entry, dict) else None for entry in properties]
    if all(moment is None for moment in moments):
        return None  # most files have none: that is no fault of the frame
    if not all(_is_number(moment) and math.isfinite(_float(moment)) for moment in moments):
        masked.append("magmoms are not a finite number on every site")
        return None
    return np.array([_float(moment) for moment in moments])


def _energy(value: Any, masked: list[str]) -> float:
    if value is None:
        masked.append("no energy")
        return math.nan
    if not _is_number(value):
        raise _Unusable(f"its energy is {_shown(value)!r}, not a number")
    if not math.isfinite(_float(value)):
        masked.append("energy is not finite")
        return math.nan
    return _float(value)


def _label(value: Any, shape: tuple[int, ...], name: str, masked: list[str]) -> np.ndarray | None:
    if value is None:
        masked.append(f"no {name}")
        return None
    array = _array(value, shape, name)
    if not np.isfinite(array).all():
        masked.append(f"{name} {'are' if name == 'forces' else 'is'} not finite")
        return None
    return array


def _stress(value: Any, masked: list[str]) -> np.ndarray | None:
    if isinstance(value, list) and len(value) == 3:
        value = matrix_to_voigt(_array(value, (3, 3), "stress")).tolist()
    stress = _label(value, (6,), "stress", masked)
    return None if stress is None else KBAR_TO_GPA * stress


def _isolated_atom(document: Mapping[str, Any], numbers: np.ndarray) -> float | None:
    value = document.get("energy_atomic")
    elemental = len(set(numbers.tolist())) == 1
    return _float(value) if elemental and _is_number(value) and math.isfinite(_float(value)) else None


def _array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Numbers of the given shape; null becomes NaN. Booleans and texts that look like numbers are none."""
    array = np.asarray(value, dtype=object)
    if array.shape != shape or not all(entry is None or _is_number(entry) for entry in array.flat):
        raise _Unusable(f"what it gives as {name} is not {' × '.join(map(str, shape))} numbers")
    return np.array([math.nan if entry is None else _float(entry) for entry in array.flat]).reshape(shape)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(number: float) -> float:
    """The number as a float; JSON has integers beyond its range."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
