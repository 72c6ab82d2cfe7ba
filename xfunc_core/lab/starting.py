"""A scheme as a run starts with it: the lab's numbers for elements that no training frame has are those a run would have."""

from __future__ import annotations

from dataclasses import dataclass

from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.fits import ReferenceScheme
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.missing import MissingReference
from xfunc_core.references.schemes import SCHEMES, Scheme
from xfunc_core.training.settings import FinetuneSettings


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


def fills_gaps(settings: FinetuneSettings) -> bool:
    """Whether a run of these settings lets the smooth prior stand in; if it is refused or drops such frames, 0 eV says so plainly."""
    return MissingReference(settings.missing_references) is MissingReference.PRIOR
