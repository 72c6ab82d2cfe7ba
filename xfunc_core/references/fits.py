"""Schemes that are fitted to the frames: mean shift and the kinds of least squares without a prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import ConfigError
from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.scheme import Need, Scheme
from xfunc_core.references.solvers import Triangle, huber_fit, triangle


@dataclass(frozen=True)
class ReferenceScheme(ABC):
    """A way to choose reference energies, with its parameters."""

    key: ClassVar[Scheme]

    @property
    def name(self) -> str:
        """What files and options call it."""
        return self.key.value

    @property
    def label(self) -> str:
        """The name on screen."""
        return self.key.label

    @property
    def sentence(self) -> str:
        """What it does and when to choose it."""
        return self.key.sentence

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot do without."""
        return self.key.needs

    def fit(self, frames: ReferenceFrames) -> ElementReferences:
        """Choose the references; frames without an energy are left out of every fit.

        Raises:
            ConfigError: something it needs is missing, or no frame has an energy.
        """
        missing = frames.lacks(self.needs)
        if missing:
            raise ConfigError(
                f"The scheme {self.name} needs {', and '.join(need.value for need in missing)}: provide them or choose another scheme."
            )
        return self._fit(frames.labelled if self.key.is_fitted else frames)

    @abstractmethod
    def _fit(self, frames: ReferenceFrames) -> ElementReferences: ...

    def _result(self, frames: ReferenceFrames, energies: np.ndarray, rank: int = 0, **more: Any) -> ElementReferences:
        given = {"source": frames.source, "leaky": frames.leaky and self.key.is_fitted} | more
        return ElementReferences(self.key, np.array(energies, dtype=float), frames.n_frames, rank, **given)


@dataclass(frozen=True)
class MeanShift(ReferenceScheme):
    """The pretrained model's references plus the mean of label − model, the same for every element."""

    key = Scheme.MEAN_SHIFT

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        error = frames.energy_per_atom - frames.model_energy
        sigma = error.std(ddof=1) / np.sqrt(len(error)) if len(error) > 1 else np.nan
        return self._result(frames, frames.w_gga + error.mean(), uncertainty=np.full(N_REFERENCED, sigma))


@dataclass(frozen=True)
class LeastSquares(ReferenceScheme):
    """Σ(E/N − x·w)² at its minimum, of smallest norm where rank-deficient (paper M4, E_elem = (AᵀA)⁻¹AᵀE)."""

    key = Scheme.LSTSQ

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        return self._from(frames, triangle(frames.composition, frames.energy_per_atom))

    def _from(self, frames: ReferenceFrames, reduced: Triangle) -> ElementReferences:
        w = reduced.solve()
        return self._result(frames, w, reduced.rank, uncertainty=standard_errors(reduced, w))


@dataclass(frozen=True)
class LeastSquaresTotal(LeastSquares):
    """Σ(E − n·w)² at its minimum, n the numbers of atoms: a frame weighs N² times what it does per atom."""

    key = Scheme.LSTSQ_TOTAL

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        if frames.n_atoms is None:
            raise ConfigError("The scheme lstsq-total needs the number of atoms of each frame: provide n_atoms or choose lstsq.")
        return self._from(frames, triangle(frames.composition, frames.energy_per_atom, weight=frames.n_atoms.astype(float)))


@dataclass(frozen=True)
class Ridge(ReferenceScheme):
    """Σ(E/N − x·w)² + α Σw² at its minimum (SevenNet takes α = 0.1)."""

    key = Scheme.RIDGE
    alpha: float = 0.1

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        reduced = triangle(frames.composition, frames.energy_per_atom)
        w = reduced.solve(ridge=self.alpha)
        square = reduced.svd[0] ** 2
        scatter = _scatter(reduced.residual_squares(w), len(frames.energy_per_atom) - float((square / (square + self.alpha)).sum()))
        return self._result(frames, w, reduced.rank, uncertainty=reduced.deviations(scatter * square / (square + self.alpha) ** 2))


@dataclass(frozen=True)
class Residual(ReferenceScheme):
    """w_GGA plus a least-squares fit of what the pretrained model leaves, as MACE's "estimated" and DeePMD's change of bias do.

    Those two fit total energies, so that a cell of N atoms weighs N² times what it does here; frames without scatter give the same.
    Where the frames leave combinations open, the solution closest to the mean shift is taken: with few frames that is a far
    better guess than the solution closest to no shift at all.
    """

    key = Scheme.RESIDUAL

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        residual = frames.energy_per_atom - frames.model_energy
        mean = residual.mean()
        reduced = triangle(frames.composition, residual - mean)
        c = reduced.solve()
        return self._result(frames, frames.w_gga + mean + c, reduced.rank, uncertainty=standard_errors(reduced, c))


@dataclass(frozen=True)
class Robust(ReferenceScheme):
    """Huber's loss instead of the square, on what the network leaves where its energies are known, else on E/N.

    Attributes:
        delta: eV/atom beyond which a residual counts linearly; None takes `solvers.HUBER` standard deviations, by the
            median absolute deviation of the residuals.
    """

    key = Scheme.ROBUST
    delta: float | None = None

    def _fit(self, frames: ReferenceFrames) -> ElementReferences:
        start, status = np.zeros(N_REFERENCED), ()
        target = frames.left_by_network
        if frames.w_gga is not None and frames.model_energy is not None:
            shift = float(np.median(frames.energy_per_atom - frames.model_energy))
            start = frames.w_gga + shift
            target = target - frames.composition @ start
            status = tuple(Status.FITTED if n else Status.PRIOR for n in frames.n_frames)
        reduced = triangle(frames.composition, target)
        c, cut = huber_fit(frames.composition, target, reduced, self.delta)
        sigma = self._errors(reduced, target - frames.composition @ c, cut)
        return self._result(frames, start + c, reduced.rank, uncertainty=sigma, status=status)

    def _errors(self, reduced: Triangle, residual: np.ndarray, cut: float) -> np.ndarray:
        """Standard errors by Huber's formula: σ²(ψ) / mean(ψ′)² in place of the variance (Huber 1981, 7.6)."""
        inside = np.abs(residual) <= cut
        scatter = _scatter(float(np.square(np.clip(residual, -cut, cut)).sum()), reduced.n_rows - reduced.rank)
        return _masked(reduced, scatter / max(float(inside.mean()), 1e-12) ** 2)


def standard_errors(reduced: Triangle, w: np.ndarray) -> np.ndarray:
    """Standard error of each reference, eV/atom, shape (94,): √(σ² (XᵀX)⁻¹), σ² = Σr²/(F − rank).

    NaN for elements that do not occur, that the frames determine in combination only, and where the fit goes through every frame.
    """
    return _masked(reduced, _scatter(reduced.residual_squares(w), reduced.n_rows - reduced.rank))


def _masked(reduced: Triangle, variance: float) -> np.ndarray:
    singular = reduced.svd[0]
    along = np.zeros(len(singular))
    along[: reduced.rank] = variance / singular[: reduced.rank] ** 2
    return np.where(reduced.open, np.nan, reduced.deviations(along))


def _scatter(squares: float, freedom: float) -> float:
    return squares / freedom if freedom > 0 else np.nan
