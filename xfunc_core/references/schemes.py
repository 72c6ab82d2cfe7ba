"""Elemental reference energies: what each element contributes to the energy of any structure of it.

A potential predicts E/N = x·w + G(s): x are the atomic fractions of the 94 elements CHGNet knows,
w their reference energies in eV/atom, G the network. Moving to another functional (or another
code) moves w by up to 73 eV per atom, so w decides whether a transfer works (Huang et al. 2025).

Every scheme is an object with ``name``, ``label``, ``sentence``, ``needs`` and ``fit(frames)``; here they are by their key.
Everything is float64 and goes through one orthogonal reduction (`solvers`), never through normal equations. References are
fitted on training frames only; whoever calls a fit passes just those.
"""

from __future__ import annotations

from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.fits import LeastSquares, LeastSquaresTotal, MeanShift, ReferenceScheme, Residual, Ridge, Robust
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.looked_up import DeltaGauge, ElementalSolids, IsolatedAtoms, Keep, NoReferences
from xfunc_core.references.priors import RidgeToPrior, Smooth, Trainable
from xfunc_core.references.scheme import Need, Scheme

__all__ = ["SCHEMES", "ElementReferences", "Need", "ReferenceFrames", "ReferenceScheme", "Scheme", "Status"]

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
