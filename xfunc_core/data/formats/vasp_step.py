"""The header and one ionic step of a VASP calculation as text, and the frame it becomes; vasprun.xml and OUTCAR share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xfunc_core.data.formats import values
from xfunc_core.data.formats.vasp_setup import Setup
from xfunc_core.data.frame import Frame
from xfunc_core.quantities import KBAR_TO_GPA

MAX_ROWS = 1_000_000
"""Rows a table of a step may have: atoms, that is."""
KBAR_A3_TO_EV = 6.241509074e-4
"""eV in one kbar·Å³ (CODATA 2018)."""

Rows = list[str]


class EndOfCalculation(Exception):
    """A calculation cannot be read on; the message is the reason, as a sentence fragment."""


@dataclass
class Header:
    """What a file says before its first ionic step.

    Attributes:
        tags: of INCAR and of what VASP made of it; INCAR's own words count.
        symbols: one an atom.
        species: one a species, in the order of the tags.
        potentials: titles of the pseudopotentials.
    """

    tags: dict[str, str] = field(default_factory=dict)
    symbols: list[str] = field(default_factory=list)
    species: list[str] = field(default_factory=list)
    potentials: list[str] = field(default_factory=list)


@dataclass
class Step:
    """What a file says about one ionic step; texts are parsed only when it becomes a frame.

    Attributes:
        lattice: row vectors in Å, a text a row.
        positions: of the atoms, a text a row; fractional or Cartesian in Å.
        fractional: which of the two.
        forces: eV/Å, a text a row.
        stress: kbar with VASP's sign, six texts in the order xx yy zz yz xz xy, or none.
        magmoms: μB, a text an atom, or none.
        energy: eV, extrapolated to zero smearing, without pressure times volume; NaN if the file has none.
        unconverged: why its electrons count as not converged, '' if they did.
    """

    lattice: Rows = field(default_factory=list)
    positions: Rows = field(default_factory=list)
    fractional: bool = True
    forces: Rows = field(default_factory=list)
    stress: Rows = field(default_factory=list)
    magmoms: Rows = field(default_factory=list)
    energy: float | None = None
    unconverged: str = ""


def frame_of(step: Step, symbols: Sequence[str], setup: Setup, frame_id: str, material_id: str, provenance: dict[str, object]) -> Frame:
    """The frame of a step whose atoms are ``symbols``.

    Raises:
        Unusable: the step did not converge, or its tables are not those of a crystal of these atoms.
    """
    if step.unconverged:
        raise values.Unusable(step.unconverged)
    n_atoms = len(symbols)
    masked: list[str] = []
    lattice = values.lattice(_floats(step.lattice, "lattice"), n_atoms)
    stress = values.label(_floats(step.stress, "stress") if step.stress else None, (6,), "stress", masked)
    magmoms = _floats(step.magmoms, "magmoms") if step.magmoms else None
    return Frame(
        frame_id=frame_id,
        material_id=material_id,
        functional=setup.functional,
        numbers=np.array([values.atomic_number(symbol, place) for place, symbol in enumerate(symbols, start=1)], dtype=np.uint8),
        lattice=lattice,
        positions=values.positions(_floats(step.positions, "coordinates"), n_atoms, lattice if step.fractional else None),
        energy=values.energy(step.energy, masked),
        forces=values.label(_floats(step.forces, "forces") if step.forces else None, (n_atoms, 3), "forces", masked),
        stress=None if stress is None else KBAR_TO_GPA * stress,
        magmoms=values.moments(None if magmoms is None else magmoms.ravel(), n_atoms, masked),
        provenance=provenance,
        masked=tuple(masked),
        correction=0.0,
        hubbard_u=setup.hubbard_u,
    )


def element_of(title: str) -> str:
    """The element of a pseudopotential: ``PAW_PBE Zr_sv 04Jan2005`` → ``Zr``; its last word but a date, if VASP left out the first."""
    words = title.split()
    return (words[1] if len(words) > 1 else words[0] if words else "").split("_")[0].split(".")[0]


def keep(rows: Rows, text: str, what: str) -> None:
    """Append a row to a table.

    Raises:
        EndOfCalculation: no calculation has as many.
    """
    if len(rows) >= MAX_ROWS:
        raise EndOfCalculation(f"its {what} have more than {MAX_ROWS:,} rows")
    rows.append(text)


def parse_float(text: str) -> float | None:
    """A number, None if VASP wrote something else, such as stars."""
    try:
        return float(text)
    except ValueError:
        return None


def _floats(rows: Rows, what: str) -> np.ndarray:
    """Numbers of rows of equal length; a row of one number counts as the number."""
    try:
        found = np.array([[float(entry) for entry in row.split()] for row in rows])
    except ValueError as error:
        raise values.Unusable(f"its {what} are not numbers in rows of equal length (VASP writes stars for what does not fit)") from error
    return found.ravel() if found.ndim == 2 and found.shape[1] == 1 else found
