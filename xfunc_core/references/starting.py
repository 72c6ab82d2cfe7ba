"""A scheme as a run starts with it, and as the lab judges it: what it knows nothing of may be filled."""

from __future__ import annotations

from dataclasses import dataclass

from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.fits import ReferenceScheme
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.schemes import SCHEMES, Scheme


@dataclass(frozen=True)
class Start:
    """A scheme that may be filled.

    Attributes:
        scheme: which one.
        fills: whether the smooth prior stands in where it knows nothing.
    """

    scheme: ReferenceScheme
    fills: bool

    def fit(self, frames: ReferenceFrames) -> ElementReferences:
        """As the scheme's."""
        found = self.scheme.fit(frames)
        return found.filled(SCHEMES[Scheme.SMOOTH].fit(frames)) if self.fills and Status.UNKNOWN in found.status else found
