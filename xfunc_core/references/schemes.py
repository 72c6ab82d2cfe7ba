"""Elemental reference energies: what each element contributes to the energy of any structure of it.

A potential predicts E/N = x·w + G(s): x are the atomic fractions of the 94 elements CHGNet knows,
w their reference energies in eV/atom, G the network. Moving to another functional (or another
code) moves w by up to 73 eV per atom, so w decides whether a transfer works (Huang et al. 2025).

Every scheme is an object with ``name``, ``label``, ``sentence``, ``needs`` and ``fit(frames)``; here they are by their key.
Everything is float64 and goes through one orthogonal reduction (`solvers`), never through normal equations. References are
fitted on training frames only; whoever calls a fit passes just those.
"""

from __future__ import annotations

import numpy as np

from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.fits import LeastSquares, LeastSquaresTotal, MeanShift, ReferenceScheme, Residual, Ridge, Robust
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.looked_up import DeltaGauge, ElementalSolids, IsolatedAtoms, Keep, NoReferences
from xfunc_core.references.priors import RidgeToPrior, Smooth, Trainable
from xfunc_core.references.scheme import Need, Scheme
from xfunc_core.references.solvers import Composition, triangle

__all__ = ["SCHEMES", "ElementReferences", "Need", "ReferenceFrames", "ReferenceScheme", "Scheme", "Status", "fit_lstsq", "open_elements"]

_ALL = (
    Keep,
    NoReferences,
    MeanShift,
    LeastSquaresTotal,
    LeastSquares,
    Ridge,
    Residual,
    Smooth,
    IsolatedAtoms,
    ElementalSolids,
    DeltaGauge,
    RidgeToPrior,
    Robust,
    Trainable,
)
SCHEMES: dict[Scheme, ReferenceScheme] = {scheme.key: scheme() for scheme in _ALL}
"""Every scheme with its default parameters, by key."""


def fit_lstsq(composition: Composition, energy_per_atom: np.ndarray, source: str = "training frames") -> ElementReferences:
    """The scheme `Scheme.LSTSQ` on arrays.

    Args:
        composition: atomic fractions, shape (F, 94).
        energy_per_atom: eV/atom, shape (F,); frames without energy (NaN) are left out.
        source: what the frames are.

    Raises:
        ConfigError: no frame has an energy.
    """
    return SCHEMES[Scheme.LSTSQ].fit(ReferenceFrames(composition, energy_per_atom, source=source))


def open_elements(composition: Composition) -> np.ndarray:
    """Which elements occur but have no reference energy of their own that least squares could tell, shape (94,), bool.

    They occur in fixed ratios to others only, such as Na and Cl in NaCl: the null space of the composition matrix reaches them.

    Args:
        composition: atomic fractions, shape (F, 94).
    """
    return triangle(composition, np.zeros(composition.shape[0])).open
