"""A statistic with its 95 % interval, or the sentence that says why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xfunc_core.quantities import slope_text

OVERFLOW = "Not to be said: the squares of such values overflow."
ONE_SIDE_CONSTANT = "Not defined: one side is the same in all rows."
NO_DIRECTION = "Not defined: the rows scatter as far to all sides, or straight up."
NOTHING_VARIES = "No interval: nothing varies between the materials, or in too many resamples of them."
TOO_WIDE = "No interval: so few rows are out of order or off the line that it would say nothing."
ANY_SLOPE = "No interval: the rows have no clear direction, and no slope can be ruled out."


@dataclass(frozen=True)
class Estimate:
    """A statistic and its 95 % interval.

    Attributes:
        value: NaN where too little is known to say.
        low, high: ends of the interval; both NaN where too little is known to give one.
        why: a sentence on why there is no value or no interval; '' where there are both, and where they were not asked for.
        ruled_out: of a slope whose axis may be upright, the ends of the only slopes that the 95 % rule out (both NaN if none); None
            for anything else.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    why: str = ""
    ruled_out: tuple[float, float] | None = None

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def estimate(value: float, ends: np.ndarray, undefined: str, without: str) -> Estimate:
    """A statistic of known value, or not, with the ends that `intervals` give, shape (2,).

    Args:
        undefined: why it would have no value other than overflow; '' if it must have one.
        without: why there would be no interval.
    """
    if not math.isfinite(value):
        return Estimate(why=undefined or OVERFLOW)
    low, high = (float(end) for end in ends)
    if math.isfinite(low) and math.isfinite(high) and low <= high:
        return Estimate(float(value), low, high)
    if low > high:
        only = f"only slopes from {slope_text(high)} to {slope_text(low)} are ruled out"
        return Estimate(float(value), why=f"No interval: the line may stand upright, and {only}.", ruled_out=(high, low))
    if math.isinf(low):
        return Estimate(float(value), why=ANY_SLOPE, ruled_out=(math.nan, math.nan))
    return Estimate(float(value), why=without)
