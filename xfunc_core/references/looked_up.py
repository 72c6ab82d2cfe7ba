"""Schemes without a fit: the pretrained model's references, none, and energies of atoms or solids from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.elements import N_REFERENCED
from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.fits import ReferenceScheme
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.scheme import Scheme


@dataclass(frozen=True)
class Keep(ReferenceScheme):
    """The pretrained model's own references (paper M3)."""

    key = Scheme.KEEP

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        return self._result(frames, frames.w_gga, source="GGA/GGA+U CHGNet")


@dataclass(frozen=True)
class NoReferences(ReferenceScheme):
    """0 eV for every element."""

    key = Scheme.NONE

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        return self._result(frames, np.zeros(N_REFERENCED), source="0 eV for every element")


@dataclass(frozen=True)
class LookedUp(ReferenceScheme):
    """Energies from a table; elements it lacks are unknown."""

    def _table(self, frames: ReferenceFrames, energies: np.ndarray, source: str, stand_in: np.ndarray | float = 0.0) -> ElementReferences:
        there = np.isfinite(energies)
        status = tuple(Status.PRIOR if t else Status.UNKNOWN for t in there)
        return self._result(frames, np.where(there, energies, stand_in), source=source, status=status, external=True)


@dataclass(frozen=True)
class IsolatedAtoms(LookedUp):
    """Energies of isolated atoms: those that came with the frames, else those from elsewhere."""

    key = Scheme.ISOLATED_ATOMS

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        if frames.own_atoms is not None:
            return self._table(frames, frames.own_atoms, f"isolated atoms that came with the data, {frames.functional.label}")
        return self._table(
            frames, frames.isolated_atoms[frames.functional], f"isolated atoms of {frames.external_source}, {frames.functional.label}"
        )


@dataclass(frozen=True)
class ElementalSolids(LookedUp):
    """Energies per atom of the elemental solids: the network is left with formation energies."""

    key = Scheme.ELEMENTAL_SOLIDS

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        return self._table(frames, frames.elemental_solids, f"elemental solids of {frames.external_source}, {frames.functional.label}")


@dataclass(frozen=True)
class DeltaGauge(LookedUp):
    """w_GGA + E_atom(target) − E_atom(PBE) (Huang et al. 2025, with free atoms as E_ref)."""

    key = Scheme.DELTA_GAUGE

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        source = f"GGA/GGA+U CHGNet and isolated atoms of {frames.external_source}, {frames.functional.label} − PBE"
        energies = frames.delta_gauge
        return self._table(frames, energies, source, stand_in=between_neighbours(energies))


@dataclass(frozen=True)
class BroughtTable(LookedUp):
    """Energies of a table that somebody brought along; it has no default, so it is not among `SCHEMES`.

    Attributes:
        energies: eV/atom, shape (94,); NaN where the table has nothing, and there the line between its neighbours in Z stands in.
        table: its name, for a reader.
    """

    key = Scheme.TABLE
    energies: np.ndarray
    table: str

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        return self._table(frames, self.energies, self.table, stand_in=between_neighbours(self.energies))


def between_neighbours(energies: np.ndarray) -> np.ndarray:
    """The same with every NaN replaced by the straight line in Z between the nearest known elements; 0 if none is known."""
    z = np.arange(len(energies))
    known = np.isfinite(energies)
    return np.interp(z, z[known], energies[known]) if known.any() else np.zeros(len(energies))
