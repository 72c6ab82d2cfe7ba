"""References for both functionals of paired frames, so that their energies can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pairs import Pairs
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional
from xfunc_core.references.merged_rows import merged_rows
from xfunc_core.references.published import atomref, matpes_atoms
from xfunc_core.references.solvers import triangle

VASP = "VASP"
"""How the energy scale of data begins that published references fit."""


class PairedScheme(Enum):
    """How each functional's energies are brought to a common zero."""

    LSTSQ = "lstsq"
    ISOLATED_ATOMS = "isolated-atoms"
    ATOMREF = "atomref"
    MATPES_ATOMS = "matpes-atoms"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {
            "lstsq": "Least squares",
            "isolated-atoms": "Isolated atoms of the data",
            "atomref": "AtomRefs of CHGNet",
            "matpes-atoms": "Isolated atoms of MatPES",
        }[self.value]

    @property
    def sentence(self) -> str:
        """What is subtracted, for a reader."""
        return {
            "lstsq": "Energies minus one number per element and functional, fitted by least squares on all pairs.",
            "isolated-atoms": "Energies minus those of isolated atoms in the same functional, as the data name them.",
            "atomref": "Energies minus the AtomRefs that CHGNet ships: those of MPtrj for PBE, those of MP-r²SCAN for r²SCAN.",
            "matpes-atoms": "Energies minus those of isolated atoms that MatPES published for each functional.",
        }[self.value]

    @property
    def is_published(self) -> bool:
        """Whether the numbers come from elsewhere and fit energies of VASP only."""
        return self in (PairedScheme.ATOMREF, PairedScheme.MATPES_ATOMS)


@dataclass(frozen=True)
class PairedReferences:
    """Reference energies of the two functionals, eV/atom, shape (94,), NaN where an element has none."""

    scheme: PairedScheme
    pbe: np.ndarray
    r2scan: np.ndarray
    undetermined: int
    """Combinations of elements' energies the frames leave open (least squares only)."""
    open_elements: tuple[str, ...] = ()
    """Symbols of the elements in those combinations: their shifts are known in sum, not one by one."""
    is_exact: bool = False
    """Whether there are as many fitted numbers as frames, so that the fit says nothing about how well it fits."""
    n_frames: int = 0
    """Frames that the references were fitted on; 0 if none."""

    @property
    def shift(self) -> np.ndarray:
        """w_r2scan − w_pbe in eV/atom, shape (94,); NaN where unknown or known in sum only."""
        shift = self.r2scan - self.pbe
        shift[[SYMBOLS.index(symbol) for symbol in self.open_elements]] = np.nan
        return shift


def available_schemes(pairs: Pairs | PairTable) -> list[PairedScheme]:
    """The schemes these pairs have data for; published ones always, whatever the energy scale."""
    own = (
        [PairedScheme.ISOLATED_ATOMS]
        if isinstance(pairs, Pairs) and pairs.pbe.info.isolated_atoms and pairs.r2scan.info.isolated_atoms
        else []
    )
    return [PairedScheme.LSTSQ, *own, PairedScheme.ATOMREF, PairedScheme.MATPES_ATOMS]


def paired_references(pairs: Pairs | PairTable, scheme: PairedScheme) -> PairedReferences:
    """Look up the references of both functionals, or fit them on all paired frames that have both energies.

    Raises:
        ConfigError: least squares is asked for and no frame has both energies, or isolated atoms and the data have none.
    """
    if scheme is PairedScheme.ATOMREF:
        return PairedReferences(scheme, atomref("mptrj"), atomref("r2scan"), 0)
    if scheme is PairedScheme.MATPES_ATOMS:
        return PairedReferences(scheme, matpes_atoms(Functional.PBE), matpes_atoms(Functional.R2SCAN), 0)
    if scheme is PairedScheme.ISOLATED_ATOMS:
        if scheme not in available_schemes(pairs):
            raise ConfigError(
                f"These data hold no energies of isolated atoms: use {PairedScheme.LSTSQ.value} or {PairedScheme.MATPES_ATOMS.value} references."
            )
        return PairedReferences(scheme, _atoms(pairs.pbe.info.isolated_atoms), _atoms(pairs.r2scan.info.isolated_atoms), 0)
    return _fitted(pairs)


def _fitted(pairs: Pairs | PairTable) -> PairedReferences:
    both = np.flatnonzero(np.isfinite(pairs.energy_pbe) & np.isfinite(pairs.energy_r2scan))
    if not len(both):
        raise ConfigError(
            "No pair has both energies, so no reference energies can be fitted: choose data with energies, or published references."
        )
    merged = merged_rows(pairs.compositions[both], pairs.energy_pbe[both], pairs.energy_r2scan[both])
    composition = pairs.composition[both[merged.row]]
    fits = [triangle(composition, mean, merged.weight) for mean in merged.means]
    known = np.isin(np.arange(composition.shape[1]), fits[0].present)
    pbe, r2scan = (np.where(known, fit.solve(), np.nan) for fit in fits)
    loose = tuple(SYMBOLS[i] for i in np.flatnonzero(fits[0].open))
    n_open, is_exact = int(known.sum()) - fits[0].rank, fits[0].rank >= len(both)
    return PairedReferences(PairedScheme.LSTSQ, pbe, r2scan, n_open, loose, is_exact, len(both))


def _atoms(energies: dict[str, float]) -> np.ndarray:
    return np.array([energies.get(symbol, np.nan) for symbol in SYMBOLS[:N_REFERENCED]])
