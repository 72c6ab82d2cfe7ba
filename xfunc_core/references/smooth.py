"""A prior for the shift of the reference energies: it follows the atomic number smoothly.

Between two functionals or two codes the shift c of an element's reference energy is, above all, the
change of its core electrons' energy, so neighbours in Z shift alike (Huang et al. 2025 find a nearly
straight line from H to Pu; docs/references.md shows it on the bundled data). The prior is a Gaussian
process in Z: a straight line of any slope, a smooth departure from it, and a small independent part per
element. Frames then decide what they can, and an element without a frame gets the value its neighbours suggest
instead of one mean for all.
"""

from __future__ import annotations

import numpy as np

from xfunc_core.blas import one_blas_thread
from xfunc_core.elements import N_REFERENCED
from xfunc_core.references.solvers import Triangle

LENGTH = 8.0
"""Elements over which the departure from the line stays alike."""
SMOOTH_EV = 2.0
"""Standard deviation of the smooth departure, eV."""
OWN_EV = 0.5
"""Standard deviation of an element's own part, eV."""
LINE_EV = 100.0
"""Standard deviation of the line at Z = 0 and of its rise from H to Pu, eV: wide enough to say nothing."""
NOISE_EV = 0.1
"""Standard deviation of what the references cannot explain in a frame, eV/atom."""


def smooth_posterior(reduced: Triangle) -> tuple[np.ndarray, np.ndarray]:
    """The most probable shift of each reference energy and its standard deviation, eV/atom, shape (94,) each.

    Minimises Σ(r − x·c)²/σ² + cᵀK⁻¹c over c, with K the prior's covariance: a least-squares problem of
    94 unknowns, solved by SVD on the stacked rows of data and prior. With many frames per element it tends
    to plain least squares.

    Args:
        reduced: of the compositions and label − what the model says, eV/atom.
    """
    data = np.zeros((len(reduced.d), N_REFERENCED))
    data[:, reduced.present] = reduced.r / NOISE_EV
    with one_blas_thread():
        whitened = np.linalg.solve(np.linalg.cholesky(prior_covariance()), np.eye(N_REFERENCED))
        left, singular, right = np.linalg.svd(np.vstack([data, whitened]), full_matrices=False)
    shift = right.T @ (left[: len(reduced.d)].T @ (reduced.d / NOISE_EV) / singular)
    return shift, np.sqrt(np.square(right.T / singular).sum(axis=1))


def prior_covariance() -> np.ndarray:
    """Covariance of the shifts of the 94 elements before any frame is seen, eV², shape (94, 94)."""
    z = np.arange(1.0, N_REFERENCED + 1)
    line = np.stack([np.ones(N_REFERENCED), z / N_REFERENCED], axis=1) * LINE_EV
    smooth = SMOOTH_EV**2 * np.exp(-0.5 * np.square((z[:, None] - z) / LENGTH))
    return line @ line.T + smooth + OWN_EV**2 * np.eye(N_REFERENCED)
