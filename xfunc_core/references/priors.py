"""Schemes that know something before the first frame: the shift is smooth in Z, or close to that of the isolated atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.fits import ReferenceScheme
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.looked_up import between_neighbours
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.smooth import smooth_posterior
from xfunc_core.references.solvers import Triangle, triangle

_LOG_LAMBDA = (-20.0, 20.0)
"""Natural logarithms between which λ is sought: from no prior at all to nothing but the prior."""


@dataclass(frozen=True)
class Smooth(ReferenceScheme):
    """As `Residual`, with the prior of `xfunc_core.references.smooth` on the shift."""

    key = Scheme.SMOOTH

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        reduced = triangle(frames.composition, frames.energy_per_atom - frames.model_energy)
        shift, sigma = smooth_posterior(reduced)
        return self._result(frames, frames.w_gga + shift, reduced.rank, uncertainty=sigma)


@dataclass(frozen=True)
class RidgeToPrior(ReferenceScheme):
    """Σ(r − x·w)² + λ|w − w_prior|² at its minimum, r being what the network leaves where its energies are known, else E/N.

    The prior is that of the frames, or the delta gauge. An element the prior lacks is drawn to the line between its neighbours in Z;
    without a frame it is unknown.

    Attributes:
        strength: λ; None takes the one under which the labels are most probable (type-II maximum likelihood, MacKay 1992).
    """

    key = Scheme.RIDGE_TO_PRIOR
    strength: float | None = None

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        given = frames.prior if frames.prior is not None else frames.delta_gauge
        prior = between_neighbours(given)
        reduced = triangle(frames.composition, frames.left_by_network - frames.composition @ prior)
        strength = most_probable_strength(reduced) if self.strength is None else self.strength
        variance = _noise(reduced, strength)
        sigma = reduced.deviations(variance / (reduced.svd[0] ** 2 + strength))
        status = tuple(
            Status.FITTED if n else Status.PRIOR if there else Status.UNKNOWN
            for n, there in zip(frames.n_frames, np.isfinite(given), strict=True)
        )
        sigma = np.where(frames.n_frames > 0, sigma, np.where(np.isfinite(given), np.sqrt(variance / strength), np.nan))
        source = f"{frames.source}, drawn to {frames.external_source} (λ = {strength:.2g})"
        return self._result(
            frames, prior + reduced.solve(ridge=strength), reduced.rank, uncertainty=sigma, status=status, external=True, source=source
        )


@dataclass(frozen=True)
class Trainable(ReferenceScheme):
    """References that are trained along with the network, from another scheme as their start; the fit is that of the start."""

    key = Scheme.TRAINABLE
    start: ReferenceScheme = Smooth()

    @property
    def needs(self) -> frozenset:
        """What the start needs."""
        return self.start.needs

    def fit(self, frames: ReferenceFrames) -> ElementReferences:
        """As the start's.

        Raises:
            ConfigError: something the start needs is missing.
        """
        found = self.start.fit(frames)
        return replace(found, scheme=Scheme.TRAINABLE, source=f"{found.source}; trained from “{self.start.label}”")

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        raise NotImplementedError


def most_probable_strength(reduced: Triangle) -> float:
    """λ = σ²/τ² that maximises the probability of the labels, if w − w_prior ~ N(0, τ²) and the rest of a label ~ N(0, σ²)."""
    singular = reduced.svd[0]

    def surprise(log_strength: float) -> float:
        strength = np.exp(log_strength)
        return reduced.n_rows * np.log(max(_noise(reduced, strength), 1e-300)) + np.log1p(singular**2 / strength).sum()

    grid = np.linspace(*_LOG_LAMBDA, 81)
    best = int(np.argmin([surprise(point) for point in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(np.exp(minimize_scalar(surprise, bounds=(low, high), method="bounded").x))


def _noise(reduced: Triangle, strength: float) -> float:
    """The most probable σ² for a λ, (eV/atom)²."""
    singular, _, along = reduced.svd
    return (reduced.outside + float((along**2 * strength / (singular**2 + strength)).sum())) / reduced.n_rows
