"""The one vocabulary: functionals, methods and quantities with their labels, units, colours and number formats.

Every page, figure, table, CLI answer and report takes its words from here, so the same number
reads the same everywhere. Conventions: energy eV/atom (errors meV/atom), force eV/Å (errors
meV/Å), stress GPa with positive = tension in Voigt order xx yy zz yz xz xy, magmom μB.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
KBAR_TO_GPA = -0.1
"""VASP and MatPES write stress in kbar with compression positive; xfunc keeps GPa, tension positive."""

MISSING = "–"
"""What is shown where there is no number."""

PENDING = "…"
"""What is still being worked out."""
TOO_FEW = "too few to say"
"""What is shown where there are data, but fewer than a number needs."""


class Functional(Enum):
    """A density functional; the value is what files hold."""

    PBE = "pbe"
    R2SCAN = "r2scan"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {"pbe": "PBE", "r2scan": "r²SCAN"}[self.value]

    @property
    def colour(self) -> str:
        """The colour on every figure (Okabe–Ito, safe for colour-blind readers)."""
        return {"pbe": "#0072B2", "r2scan": "#D55E00"}[self.value]


class Method(Enum):
    """The four ways to a model of the target functional (Huang et al. 2025, Table 1)."""

    M1 = "M1"
    M2 = "M2"
    M3 = "M3"
    M4 = "M4"

    @property
    def label(self) -> str:
        """The short name on screen."""
        return {
            "M1": "M1 · from scratch",
            "M2": "M2 · transfer, trainable AtomRef",
            "M3": "M3 · transfer, frozen GGA AtomRef",
            "M4": "M4 · transfer, refitted AtomRef",
        }[self.value]

    @property
    def sentence(self) -> str:
        """What it does, for a reader who has not seen the paper."""
        return {
            "M1": "Random weights; references fitted on the training frames and frozen.",
            "M2": "Pretrained GGA/GGA+U weights; references start at the GGA values and train along.",
            "M3": "Pretrained GGA/GGA+U weights; references stay at the GGA values.",
            "M4": "Pretrained GGA/GGA+U weights; references refitted on the training frames and frozen.",
        }[self.value]

    @property
    def colour(self) -> str:
        """The colour on every figure."""
        return {"M1": "#CC79A7", "M2": "#E69F00", "M3": "#56B4E9", "M4": "#009E73"}[self.value]

    @property
    def pretrained(self) -> bool:
        """Whether the network starts from the GGA/GGA+U weights."""
        return self is not Method.M1

    @property
    def fits_references(self) -> bool:
        """Whether references are fitted on the training frames."""
        return self in (Method.M1, Method.M4)


@dataclass(frozen=True)
class Quantity:
    """A physical quantity a model predicts.

    Attributes:
        key: name in files and data frames.
        label: name on screen.
        unit: unit of values.
        error_unit: unit of errors.
        error_scale: factor from ``unit`` to ``error_unit``.
        error_decimals: digits after the point for errors.
        decimals: digits after the point for values.
    """

    key: str
    label: str
    unit: str
    error_unit: str
    error_scale: float
    error_decimals: int
    decimals: int

    @property
    def axis(self) -> str:
        """Axis title for values, such as ``Energy (eV/atom)``."""
        return f"{self.label} ({self.unit})"

    def value(self, number: float | None) -> str:
        """Format a value given in ``unit``, without the unit."""
        return MISSING if _absent(number) else number_text(number, self.decimals)

    def error(self, number: float | None) -> str:
        """Format an error given in ``unit``, as a number in ``error_unit`` without the unit."""
        return MISSING if _absent(number) else f"{number * self.error_scale:z,.{self.error_decimals}f}".replace("-", "−")

    def error_with_unit(self, number: float | None) -> str:
        """Format an error given in ``unit`` with ``error_unit``, such as ``17 meV/atom``."""
        return MISSING if _absent(number) else f"{self.error(number)} {self.error_unit}"


ENERGY = Quantity("energy", "Energy", "eV/atom", "meV/atom", 1000.0, 1, 3)
FORCE = Quantity("force", "Force", "eV/Å", "meV/Å", 1000.0, 1, 3)
STRESS = Quantity("stress", "Stress", "GPa", "GPa", 1.0, 3, 2)
MAGMOM = Quantity("magmom", "Magnetic moment", "μB", "μB", 1.0, 3, 2)
QUANTITIES = (ENERGY, FORCE, STRESS, MAGMOM)


def number_text(number: float, decimals: int) -> str:
    """Format a finite number with a true minus sign; what rounds to zero has none."""
    return f"{number:z.{decimals}f}".replace("-", "−")


def short_text(number: float, whole: bool = False) -> str:
    """A number where there is little room, such as the cell of a periodic table: three digits or so; a count is ``whole``."""
    size = abs(number)
    return number_text(number, 0 if whole or size >= 99.5 else 1 if size >= 9.95 else 2 if size >= 0.095 or size == 0 else 3)


def correlation_text(r: float | None) -> str:
    """Format a correlation coefficient with four decimals, or the missing sign; up to eight where fewer would make it a perfect ±1."""
    if _absent(r):
        return MISSING
    decimals = next((n for n in range(4, 9) if round(abs(r), n) < 1), 4)
    return number_text(r, decimals)


def slope_text(slope: float | None) -> str:
    """Format the slope of a line with three decimals, or the missing sign."""
    return MISSING if _absent(slope) else number_text(slope, 3)


def interval_text(text: Callable[[float], str], value: float, low: float, high: float) -> str:
    """A number with its interval where it has one, such as ``0.988 (0.986 to 0.990)``, each as ``text`` writes it."""
    return text(value) if _absent(low) or _absent(high) else f"{text(value)} ({text(low)} to {text(high)})"


def count_text(n: int) -> str:
    """Format a count with thousands separators, such as ``1,392``."""
    return f"{n:,}"


def plural(n: int, one: str, many: str = "") -> str:
    """The form of a word that goes with a count: ``frame`` or ``frames``, ``is`` or ``are``; the plural ends in s unless it is given."""
    return one if n == 1 else many or f"{one}s"


def counted(n: int, one: str, many: str = "") -> str:
    """A count with what is counted: ``1 frame``, ``1,392 frames``; for the words see `plural`."""
    return f"{count_text(n)} {plural(n, one, many)}"


def duration_text(seconds: float | None) -> str:
    """Format a duration as people say it: ``40 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if _absent(seconds):
        return MISSING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _absent(number: float | None) -> bool:
    return number is None or not math.isfinite(number)
