"""The statistics of an `Agreement` as they read on screen: label, unit, digits, interval, and whether their colours have a middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from xfunc_core.analysis.agreement import Agreement, Estimate
from xfunc_core.explore.compared import Compared
from xfunc_core.quantities import MISSING, TOO_FEW, Quantity, correlation_text, count_text, interval_text, slope_text


@dataclass(frozen=True)
class Statistic:
    """One statistic.

    Attributes:
        key: an attribute of `Agreement`.
        label: on screen.
        sentence: what it is, for a reader.
        unit_of: its unit for a quantity; '' where it has none.
        text: its number for a quantity, without the unit.
        middle: the value that the middle of a diverging colour scale stands for; None for a scale that only rises.
        reach: how far from the middle the ends of that scale lie, the same for all data; None where the furthest value says so.
    """

    key: str
    label: str
    sentence: str
    unit_of: Callable[[Quantity], str]
    text: Callable[[Quantity, float], str]
    middle: float | None = None
    reach: float | None = None

    def of(self, agreement: Agreement) -> Estimate:
        """Its value and interval; a count has no interval."""
        found = getattr(agreement, self.key)
        return found if isinstance(found, Estimate) else Estimate(float(found))

    def title(self, quantity: Quantity) -> str:
        """Label with unit, such as ``MAE (meV/atom)``."""
        unit = self.unit_of(quantity)
        return f"{self.label} ({unit})" if unit else self.label

    def words(self, agreement: Agreement, quantity: Quantity) -> str:
        """Number and interval, such as ``0.9884 (0.9861 to 0.9903)``; where there is none, why."""
        estimate = self.of(agreement)
        if not estimate.known:
            return TOO_FEW if agreement.too_few else MISSING
        return interval_text(partial(self.text, quantity), estimate.value, estimate.low, estimate.high)


def _coefficient(_: Quantity, value: float) -> str:
    return correlation_text(value)


def _count(_: Quantity, value: float) -> str:
    return count_text(int(value))


def _no_unit(_: Quantity) -> str:
    return ""


def _unit(quantity: Quantity) -> str:
    return quantity.unit


def _error_unit(quantity: Quantity) -> str:
    return quantity.error_unit


STATISTICS: dict[str, Statistic] = {
    s.key: s
    for s in (
        Statistic("pearson", "Pearson r", "Linear correlation coefficient.", _no_unit, _coefficient, 0.0, 1.0),
        Statistic("spearman", "Spearman ρ", "Correlation of ranks.", _no_unit, _coefficient, 0.0, 1.0),
        Statistic(
            "kendall",
            "Kendall τ",
            "Share of pairs of rows in the same order less that in the other, τ_b.",
            _no_unit,
            _coefficient,
            0.0,
            1.0,
        ),
        Statistic(
            "slope",
            "Slope",
            "Of r²SCAN against PBE by total least squares.",
            _no_unit,
            lambda _, value: slope_text(value),
            1.0,
            0.5,
        ),
        Statistic("shift", "Mean r²SCAN − PBE", "Mean of the difference.", _unit, Quantity.value, 0.0),
        Statistic("mae", "MAE", "Mean of |r²SCAN − PBE|, the mean shift included.", _error_unit, Quantity.error),
        Statistic("rmse", "RMSE", "Root mean square of r²SCAN − PBE, the mean shift included.", _error_unit, Quantity.error),
        Statistic(
            "spread", "Spread about a line", "Root mean square of what the least-squares line of r²SCAN on PBE leaves.", _error_unit, Quantity.error
        ),
        Statistic("n", "Rows", "What counts: pairs, atoms or components.", _no_unit, _count),
        Statistic("n_materials", "Materials", "What intervals are clustered by.", _no_unit, _count),
    )
}
"""Every statistic that a table, a scatter or the periodic table can show, by key."""
ONE_SIDED: dict[str, Statistic] = {
    "shift": Statistic("shift", "Mean", "Mean.", _unit, Quantity.value),
    "rmse": Statistic("rmse", "Root mean square", "Root mean square.", _error_unit, Quantity.error),
    "n": STATISTICS["n"],
    "n_materials": STATISTICS["n_materials"],
}
"""Those of a quantity that has one number for both functionals."""


RANKS = ("spearman", "kendall")
"""Those that need a sort of every group, and so take longest."""


def statistics_of(compared: Compared) -> dict[str, Statistic]:
    """The statistics that a quantity has."""
    return ONE_SIDED if compared.one_sided else STATISTICS
