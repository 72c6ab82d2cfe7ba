"""Elemental reference energies: what each element contributes to the energy of any structure of it.

A potential predicts E/N = x·w + G(s): x are the atomic fractions of the 94 elements CHGNet knows,
w their reference energies in eV/atom, G the network. Moving to another functional (or another
code) moves w by up to 70 eV per atom, so w decides whether a transfer works (Huang et al. 2025).

Everything is float64 and solved by SVD (numpy's lstsq), never by normal equations. References are
fitted on training frames only; whoever calls a fit passes just those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.references.smooth import fit_smooth_shift

_OPEN = 1e-8
"""Weight in the null space above which an element is open; rounding stays far below."""


class Scheme(Enum):
    """A way to choose the reference energies; the value is what files hold."""

    KEEP = "keep"
    MEAN_SHIFT = "mean-shift"
    LSTSQ = "lstsq"
    RESIDUAL = "residual"
    SMOOTH = "residual-smooth"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {
            "keep": "Keep the GGA references",
            "mean-shift": "GGA references, one shift",
            "lstsq": "Least squares on the energies (paper)",
            "residual": "Least squares on the model's residual",
            "residual-smooth": "The model's residual, smooth in Z",
        }[self.value]

    @property
    def sentence(self) -> str:
        """What it does and when to choose it."""
        return {
            "keep": "w = w_GGA, unchanged (the paper's M3).",
            "mean-shift": "w = w_GGA plus one number for all elements: robust, but blind to chemistry.",
            "lstsq": "w = argmin Σ(E/N − x·w)², the paper's choice: needs far more frames than elements, an element without data gets 0.",
            "residual": "w = w_GGA + argmin Σ((E − E_model)/N − x·c)²: knows what the network already explains, so a few frames per element are enough; an element without data gets the mean shift.",
            "residual-smooth": "As the residual, with a prior that the shift follows the atomic number smoothly: best with few frames, and an element without data gets what its neighbours in Z suggest.",
        }[self.value]

    @property
    def needs_model(self) -> bool:
        """Whether the pretrained model's predictions enter the fit."""
        return self in (Scheme.MEAN_SHIFT, Scheme.RESIDUAL, Scheme.SMOOTH)


@dataclass(frozen=True)
class ElementReferences:
    """Reference energies of all elements, and how far each can be trusted.

    Attributes:
        scheme: how they were chosen.
        energies: eV/atom, shape (94,), hydrogen first.
        n_frames: training frames that contain each element, shape (94,); 0 where there was no data.
        rank: rank of the composition matrix of the fit; 0 if nothing was fitted.
        source: what they were fitted on or taken from, for a reader.
    """

    scheme: Scheme
    energies: np.ndarray
    n_frames: np.ndarray
    rank: int
    source: str

    @property
    def fitted(self) -> tuple[str, ...]:
        """Symbols of the elements that occur in the frames of the fit."""
        return tuple(SYMBOLS[i] for i in np.flatnonzero(self.n_frames))

    @property
    def undetermined(self) -> int:
        """How many combinations of the fitted elements' energies the frames leave open (0 = full rank)."""
        return len(self.fitted) - self.rank if self.rank else 0

    def energy(self, composition: np.ndarray) -> np.ndarray:
        """Reference energy x·w in eV/atom of compositions of shape (F, 94)."""
        return composition @ self.energies

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``references.json``."""
        return {
            "scheme": self.scheme.value,
            "source": self.source,
            "rank": self.rank,
            "energies": {SYMBOLS[i]: float(e) for i, e in enumerate(self.energies)},
            "n_frames": {SYMBOLS[i]: int(n) for i, n in enumerate(self.n_frames) if n},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ElementReferences:
        """The inverse of `to_json`."""
        symbols = SYMBOLS[:N_REFERENCED]
        return cls(
            scheme=Scheme(data["scheme"]),
            energies=np.array([data["energies"][s] for s in symbols], dtype=float),
            n_frames=np.array([data["n_frames"].get(s, 0) for s in symbols], dtype=int),
            rank=int(data["rank"]),
            source=str(data["source"]),
        )


def keep(w_gga: np.ndarray, composition: np.ndarray, source: str = "GGA/GGA+U CHGNet") -> ElementReferences:
    """The pretrained model's own references (paper M3)."""
    return ElementReferences(Scheme.KEEP, np.array(w_gga, dtype=float), _counts(composition), 0, source)


def fit_lstsq(composition: np.ndarray, energy_per_atom: np.ndarray, source: str = "training frames") -> ElementReferences:
    """Least squares of E/N on atomic fractions, minimum norm where rank-deficient (paper M4, E_elem = (AᵀA)⁻¹AᵀE).

    Args:
        composition: atomic fractions of the training frames, shape (F, 94).
        energy_per_atom: eV/atom, shape (F,); frames without energy (NaN) are left out.

    Raises:
        ConfigError: no frame has an energy.
    """
    x, y = _labelled(composition, energy_per_atom)
    w, rank = _least_squares(x, y)
    return ElementReferences(Scheme.LSTSQ, w, _counts(x), rank, source)


def fit_mean_shift(composition: np.ndarray, energy_per_atom: np.ndarray, model_energy: np.ndarray, w_gga: np.ndarray, source: str = "training frames") -> ElementReferences:
    """The GGA references plus the mean of label − model, the same for every element."""
    x, residual = _labelled(composition, energy_per_atom - model_energy)
    return ElementReferences(Scheme.MEAN_SHIFT, w_gga + residual.mean(), _counts(x), 0, source)


def fit_residual(composition: np.ndarray, energy_per_atom: np.ndarray, model_energy: np.ndarray, w_gga: np.ndarray, source: str = "training frames") -> ElementReferences:
    """The GGA references plus a least-squares fit of what the pretrained model leaves (MACE "estimated", DeePMD "change").

    Where the frames leave combinations open, the solution closest to the mean shift is taken: with
    few frames that is a far better guess than the solution closest to no shift at all.

    Args:
        composition: atomic fractions of the training frames, shape (F, 94).
        energy_per_atom: labels in eV/atom, shape (F,).
        model_energy: the pretrained model's energies, its references included, eV/atom, shape (F,).
        w_gga: the pretrained model's references, eV/atom, shape (94,).
    """
    x, residual = _labelled(composition, energy_per_atom - model_energy)
    mean = residual.mean()
    c, rank = _least_squares(x, residual - mean)
    return ElementReferences(Scheme.RESIDUAL, w_gga + mean + c, _counts(x), rank, source)


def fit_smooth(composition: np.ndarray, energy_per_atom: np.ndarray, model_energy: np.ndarray, w_gga: np.ndarray, source: str = "training frames") -> ElementReferences:
    """As `fit_residual`, with the prior of `xfunc_core.references.smooth` on the shift; same arguments."""
    x, residual = _labelled(composition, energy_per_atom - model_energy)
    return ElementReferences(Scheme.SMOOTH, w_gga + fit_smooth_shift(x, residual), _counts(x), int(np.linalg.matrix_rank(x)), source)


def fit(scheme: Scheme, composition: np.ndarray, energy_per_atom: np.ndarray, model_energy: np.ndarray, w_gga: np.ndarray, source: str = "training frames") -> ElementReferences:
    """Fit any scheme; shapes and units as in `fit_residual`."""
    if scheme is Scheme.KEEP:
        return keep(w_gga, composition)
    if scheme is Scheme.LSTSQ:
        return fit_lstsq(composition, energy_per_atom, source)
    fitters = {Scheme.MEAN_SHIFT: fit_mean_shift, Scheme.RESIDUAL: fit_residual, Scheme.SMOOTH: fit_smooth}
    return fitters[scheme](composition, energy_per_atom, model_energy, w_gga, source)


def _labelled(composition: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = np.isfinite(energy)
    if not there.any():
        raise ConfigError("No training frame has an energy, so no reference energies can be fitted: choose a dataset with energies.")
    return composition[there].astype(float), energy[there].astype(float)


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, int]:
    """Minimum-norm solution, shape (94,), and rank; exactly 0, not rounding noise, for elements that do not occur."""
    present = np.flatnonzero(x.any(axis=0))
    solution = np.zeros(x.shape[1])
    solution[present], _, rank, _ = np.linalg.lstsq(x[:, present], y, rcond=None)
    return solution, int(rank)


def open_elements(composition: np.ndarray) -> np.ndarray:
    """Which elements occur but have no reference energy of their own that least squares could tell, shape (94,), bool.

    They occur in fixed ratios to others only, such as Na and Cl in NaCl: the null space of the composition matrix reaches them.

    Args:
        composition: atomic fractions, shape (F, 94).
    """
    present = np.flatnonzero((composition > 0).any(axis=0))
    found = np.zeros(composition.shape[1], dtype=bool)
    if len(present):
        triangle = np.linalg.qr(composition[:, present], mode="r")
        _, singular, right = np.linalg.svd(triangle)
        rank = int((singular > singular.max() * max(composition.shape) * np.finfo(float).eps).sum())
        found[present] = (np.abs(right[rank:]) > _OPEN).any(axis=0)
    return found


def _counts(composition: np.ndarray) -> np.ndarray:
    return (composition > 0).sum(axis=0)
