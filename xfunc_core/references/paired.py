"""References for both functionals of a paired dataset, so that their energies can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from xfunc_core.data.pairs import Pairs
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.references.schemes import fit_lstsq, open_elements


class PairedScheme(Enum):
    """How each functional's energies are brought to a common zero."""

    LSTSQ = "lstsq"
    ISOLATED_ATOMS = "isolated-atoms"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {"lstsq": "Least squares", "isolated-atoms": "Isolated atoms"}[self.value]


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


def available_schemes(pairs: Pairs) -> list[PairedScheme]:
    """The schemes these pairs have data for."""
    has_atoms = pairs.pbe.info.isolated_atoms and pairs.r2scan.info.isolated_atoms
    return [PairedScheme.LSTSQ, *([PairedScheme.ISOLATED_ATOMS] if has_atoms else [])]


def paired_references(pairs: Pairs, scheme: PairedScheme) -> PairedReferences:
    """Look up the references of both functionals, or fit them on the paired frames that have both energies.

    Raises:
        ConfigError: least squares is asked for and no frame has both energies.
    """
    if scheme is PairedScheme.ISOLATED_ATOMS:
        return PairedReferences(scheme, _atoms(pairs.pbe.info.isolated_atoms), _atoms(pairs.r2scan.info.isolated_atoms), 0)
    both = np.isfinite(pairs.energy_pbe) & np.isfinite(pairs.energy_r2scan)
    fits = [fit_lstsq(pairs.composition[both], energy[both]) for energy in (pairs.energy_pbe, pairs.energy_r2scan)]
    known = [np.where(fit.n_frames > 0, fit.energies, np.nan) for fit in fits]
    loose = tuple(SYMBOLS[i] for i in np.flatnonzero(open_elements(pairs.composition[both])))
    return PairedReferences(scheme, known[0], known[1], fits[0].undetermined, loose, bool(fits[0].rank >= both.sum()))


def _atoms(energies: dict[str, float]) -> np.ndarray:
    return np.array([energies.get(symbol, np.nan) for symbol in SYMBOLS[:N_REFERENCED]])
