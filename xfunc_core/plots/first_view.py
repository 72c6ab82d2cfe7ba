"""Where a scatter of two functionals looks at first: at every value, or at the bulk where a few far ones would squeeze it into a corner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.plots.density import Span, padded

FAR_APART = 2.5
"""Where one range for both axes would be this many times as long as the shorter of their own, each axis keeps its own."""
TRIMMED = 1000
"""One of this many values at either end may be far; of fewer values up to `FEW`, but no more than one of `FEW_OF`."""
FEW, FEW_OF = 3, 30
SQUEEZED = 4.0
"""Where all values take this many times the room of the bulk, the bulk is shown."""


@dataclass(frozen=True)
class FirstView:
    """Ranges of the axes, in the unit of the values.

    Attributes:
        x, y: of PBE and of r²SCAN; the same unless that would hide everything.
        difference: of r²SCAN − PBE.
        all_x, all_y: of every value, in the same way.
    """

    x: Span
    y: Span
    difference: Span
    all_x: Span
    all_y: Span

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> FirstView:
        """The view of values of shape (n,), at least one, all finite."""
        every_x, every_y = (_ends(v) for v in (x, y))
        view_x, view_y, difference = (bulk(v) or _ends(v) for v in (x, y, y - x))
        return cls(*_one_range(view_x, view_y), padded(np.array(difference)), *_one_range(every_x, every_y))

    def outside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which values lie outside one of the ranges, shape (n,), bool."""
        return ~(_within(x, self.x) & _within(y, self.y) & _within(y - x, self.difference))


def bulk(values: np.ndarray) -> Span | None:
    """Ends around all but a few values, half as much room again on either side; None unless the few would squeeze the others.

    Args:
        values: shape (n,), finite.
    """
    n = values.size
    few = max(n // TRIMMED, min(FEW, n // FEW_OF))
    if not few:
        return None
    low, high = np.partition(values, (few, n - 1 - few))[[few, n - 1 - few]]
    room, (lowest, highest) = (high - low) / 2, _ends(values)
    if high == low or highest - lowest < SQUEEZED * (high - low + 2 * room):
        return None
    return max(low - room, lowest), min(high + room, highest)


def _ends(values: np.ndarray) -> Span:
    return float(values.min()), float(values.max())


def _within(values: np.ndarray, span: Span) -> np.ndarray:
    return (values >= span[0]) & (values <= span[1])


def _one_range(x: Span, y: Span) -> tuple[Span, Span]:
    """One range for both axes, or each its own where the functionals lie far apart; with some room."""
    both, shorter = (min(x[0], y[0]), max(x[1], y[1])), min(x[1] - x[0], y[1] - y[0])
    if shorter > 0 and both[1] - both[0] > FAR_APART * shorter:
        return padded(np.array(x)), padded(np.array(y))
    return (padded(np.array(both)),) * 2
