"""Reference energies that others published, as facts of a bundled table: no chgnet, no torch and no data home is needed to look them up.

The AtomRefs are those of the checkpoints in the chgnet 0.4.2 wheel (0.3.0, fitted to MPtrj, and r2scan, fitted to MP-r²SCAN; Huang et
al. 2025); the isolated atoms and elemental solids are those of MatPES (Kaplan et al., arXiv 2503.04070, BSD-3, as shipped with matcalc).
All refer to VASP with the potentials of the Materials Project: energies of another code do not fit them.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

import numpy as np

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional

ATOMREFS = ("mptrj", "r2scan")
"""The two tables that chgnet ships: of 0.3.0 (GGA/GGA+U) and of its r2scan model."""
SILENT_HOLES = {"mptrj": ("Po", "At", "Rn", "Fr", "Ra"), "r2scan": ("Yb", "Po", "At", "Rn", "Fr", "Ra")}
"""Elements in no frame the table was fitted to: MPtrj has 89 elements, MP-r²SCAN 88. chgnet adds a number for them all the same, without a
word: about 1e-14 eV in r2scan, and −0.1 to −0.4 eV in mptrj, so that only the list tells it from a fitted one."""


def atomref(name: str, as_stored: bool = False) -> np.ndarray:
    """A table of chgnet in eV/atom, float64, shape (94,); NaN for the elements of `SILENT_HOLES`.

    Args:
        name: one of `ATOMREFS`.
        as_stored: give the number that the model adds for those elements instead of NaN.

    Raises:
        ConfigError: there is no such table.
    """
    if name not in ATOMREFS:
        raise ConfigError(f"chgnet ships no reference energies {name!r}: choose one of {', '.join(ATOMREFS)}.")
    table = _column({"mptrj": "chgnet_mptrj", "r2scan": "chgnet_mp_r2scan"}[name]).copy()
    if not as_stored:
        table[holes(name)] = np.nan
    return table


def holes(name: str) -> np.ndarray:
    """Which elements a table of chgnet has no data for, shape (94,), bool."""
    return np.isin(SYMBOLS[:N_REFERENCED], SILENT_HOLES[name])


def silent_holes_in(composition: np.ndarray, name: str = "r2scan") -> tuple[str, ...]:
    """Symbols of the elements in these compositions, shape (F, 94), whose energies the table of that model gets wrong without a word."""
    return tuple(SYMBOLS[i] for i in np.flatnonzero((composition > 0).any(axis=0) & holes(name)))


def matpes_atoms(functional: Functional) -> np.ndarray:
    """Isolated-atom energies of MatPES in eV, float64, shape (94,); NaN for the five elements it lacks (Po to Ra)."""
    return _column(f"matpes_atom_{functional.value}").copy()


def matpes_solids(functional: Functional) -> np.ndarray:
    """Energies per atom of the elemental solids of MatPES in eV/atom, float64, shape (94,); NaN for the five elements it lacks.

    The polymorph is the most stable one in that functional, so 26 elements are another crystal in PBE than in r²SCAN.
    """
    return _column(f"matpes_solid_{functional.value}").copy()


@cache
def _column(name: str) -> np.ndarray:
    with (resources.files("xfunc_core.references") / "element-references.csv").open(encoding="ascii") as file:
        rows = {row["element"]: row[name] for row in csv.DictReader(file)}
    column = np.array([float(rows[symbol] or "nan") for symbol in SYMBOLS[:N_REFERENCED]])
    column.setflags(write=False)
    return column
