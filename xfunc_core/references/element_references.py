"""The result of every scheme: reference energies of all elements, how sure each is and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.references.scheme import Scheme

_SYMBOLS = SYMBOLS[:N_REFERENCED]


class Status(Enum):
    """Where an element's reference energy comes from; the value is what files hold."""

    FITTED = "fitted"
    """The frames of the fit hold the element."""
    PRIOR = "prior"
    """No frame does; the number is what the scheme expects without one, or was looked up."""
    UNKNOWN = "unknown"
    """Neither data nor prior: the number stands in, and says nothing."""


@dataclass(frozen=True)
class ElementReferences:
    """Reference energies of all elements, and how far each can be trusted.

    Attributes:
        scheme: how they were chosen.
        energies: eV/atom, shape (94,), hydrogen first; finite also where unknown.
        n_frames: training frames that contain each element, shape (94,); 0 where there was no data.
        rank: rank of the composition matrix of the fit; 0 if nothing was fitted.
        source: what they were fitted on or taken from, for a reader.
        uncertainty: eV/atom, shape (94,), NaN where unknown. Least squares, also robust: the standard error from the scatter of
            the residuals. With a prior: the standard deviation of the posterior. Ridge to zero: the standard error without
            the bias. A number that was looked up, or that the frames do not determine on its own, has none.
        status: where each number comes from, 94 of them.
        external: whether numbers from another source than the training frames and the pretrained model enter.
        leaky: whether frames outside the training part entered the fit; None where that cannot be told.
    """

    scheme: Scheme
    energies: np.ndarray
    n_frames: np.ndarray
    rank: int
    source: str
    uncertainty: np.ndarray = field(default_factory=lambda: np.full(N_REFERENCED, np.nan))
    status: tuple[Status, ...] = ()
    external: bool = False
    leaky: bool | None = False

    def __post_init__(self) -> None:
        """Without a status, elements with frames are fitted; the others have 0 eV, which is unknown, or what the scheme expects."""
        if not self.status:
            without = Status.UNKNOWN if self.scheme in (Scheme.LSTSQ, Scheme.LSTSQ_TOTAL, Scheme.RIDGE, Scheme.ROBUST) else Status.PRIOR
            fitted = np.asarray(self.n_frames) > 0 if self.scheme.is_fitted else np.zeros(N_REFERENCED, dtype=bool)
            object.__setattr__(self, "status", tuple(Status.FITTED if f else without for f in fitted))

    @property
    def fitted(self) -> tuple[str, ...]:
        """Symbols of the elements that occur in the frames of the fit."""
        return tuple(_SYMBOLS[i] for i in np.flatnonzero(self.n_frames))

    @property
    def undetermined(self) -> int:
        """How many combinations of the fitted elements' energies the frames leave open (0 = full rank)."""
        return len(self.fitted) - self.rank if self.rank else 0

    def having(self, status: Status) -> tuple[str, ...]:
        """Symbols of the elements of one status."""
        return tuple(symbol for symbol, s in zip(_SYMBOLS, self.status, strict=True) if s is status)

    def energy(self, composition: np.ndarray) -> np.ndarray:
        """Reference energy x·w in eV/atom of compositions of shape (F, 94)."""
        return composition @ self.energies

    def filled(self, prior: ElementReferences) -> ElementReferences:
        """The same, where elements that are unknown here have the energies of ``prior`` and count as such."""
        unknown = np.array([s is Status.UNKNOWN for s in self.status]) & np.array([s is not Status.UNKNOWN for s in prior.status])
        return replace(
            self,
            energies=np.where(unknown, prior.energies, self.energies),
            uncertainty=np.where(unknown, prior.uncertainty, self.uncertainty),
            status=tuple(Status.PRIOR if u else s for u, s in zip(unknown, self.status, strict=True)),
            source=f"{self.source}; unseen elements: {prior.scheme.label}" if unknown.any() else self.source,
            external=self.external or prior.external and bool(unknown.any()),
        )

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``references.json``."""
        return {
            "scheme": self.scheme.value,
            "source": self.source,
            "rank": self.rank,
            "external": self.external,
            "leaky": self.leaky,
            "energies": {symbol: float(e) for symbol, e in zip(_SYMBOLS, self.energies, strict=True)},
            "n_frames": {symbol: int(n) for symbol, n in zip(_SYMBOLS, self.n_frames, strict=True) if n},
            "uncertainty": {symbol: float(u) for symbol, u in zip(_SYMBOLS, self.uncertainty, strict=True) if np.isfinite(u)},
            "status": {symbol: s.value for symbol, s in zip(_SYMBOLS, self.status, strict=True)},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ElementReferences:
        """The inverse of `to_json`; files of older runs hold neither uncertainty, status nor marks."""
        uncertainty = data.get("uncertainty", {})
        return cls(
            scheme=Scheme(data["scheme"]),
            energies=np.array([data["energies"][s] for s in _SYMBOLS], dtype=float),
            n_frames=np.array([data["n_frames"].get(s, 0) for s in _SYMBOLS], dtype=int),
            rank=int(data["rank"]),
            source=str(data["source"]),
            uncertainty=np.array([uncertainty.get(s, np.nan) for s in _SYMBOLS], dtype=float),
            status=tuple(Status(data["status"][s]) for s in _SYMBOLS) if "status" in data else (),
            external=bool(data.get("external", False)),
            leaky=None if data.get("leaky", False) is None else bool(data.get("leaky", False)),
        )
