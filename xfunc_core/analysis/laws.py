"""The scaling laws of a sweep: one power law a method, what they say together, and what they do not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xfunc_core.analysis.floor import FloorLaw, fit_floor
from xfunc_core.analysis.scaling import Crossing, LeftOut, PowerLawBand, bootstrap_power_law, caveats, crossover_interval, leave_largest_out
from xfunc_core.errors import DataError
from xfunc_core.quantities import MISSING, Method, Quantity, count_text, number_text


@dataclass(frozen=True)
class MethodLaw:
    """What one method's runs say.

    Attributes:
        band: the fitted law with its interval, or None.
        reason: why there is no law, '' if there is one.
        floor: the law with a floor, or in a sentence why none is given.
        left_out: prediction of the largest size from the smaller ones, or None with fewer than three sizes.
        n_runs: runs with a test error.
    """

    band: PowerLawBand | None
    reason: str
    floor: FloorLaw | str
    left_out: LeftOut | None
    n_runs: int

    @property
    def exponent_text(self) -> str:
        """The exponent with its interval, such as ``−0.62 (−0.71 to −0.50)``."""
        if self.band is None:
            return MISSING
        low, high = (_signed(x) for x in (self.band.slope_low, self.band.slope_high))
        return f"{_signed(self.band.fit.slope)} ({low} to {high})" if self.band.n_boot else _signed(self.band.fit.slope)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for scripts; errors in the quantity's unit."""
        fit = self.band.fit if self.band else None
        return {
            "exponent": fit.slope if fit else None,
            "exponent_interval": [self.band.slope_low, self.band.slope_high] if self.band else None,
            "intercept_log10": fit.intercept_log10 if fit else None,
            "r2": fit.r2 if fit else None,
            "n_runs": self.n_runs,
            "reason": self.reason,
            "floor": {"value": self.floor.floor, "interval": [self.floor.floor_low, self.floor.floor_high]}
            if isinstance(self.floor, FloorLaw)
            else None,
            "left_out": self.left_out.__dict__ if self.left_out else None,
        }


@dataclass(frozen=True)
class ScalingLaws:
    """The laws of all methods of a sweep for one quantity.

    Attributes:
        table: tidy runs behind them with columns method, size, seed, error, and start (the error before training; NaN
            where unknown), in the quantity's unit.
        by_method: law by method name.
        crossing: where scratch (M1) would meet transfer (M4), or None.
        caveats: what a reader must know, one sentence each.
    """

    table: pd.DataFrame
    by_method: dict[str, MethodLaw]
    crossing: Crossing | None
    caveats: list[str]

    def sentences(self, quantity: Quantity) -> list[str]:
        """What the laws predict: the largest size from the smaller ones, the floor, and where scratch would meet transfer."""
        said = [f"{name}: {law.reason}" for name, law in self.by_method.items() if law.reason]
        said += [_left_out_sentence(name, law.left_out, quantity) for name, law in self.by_method.items() if law.left_out]
        said += [_floor_sentence(name, law.floor, quantity) for name, law in self.by_method.items() if law.band]
        return said + ([_crossing_sentence(self.crossing)] if self.crossing else [])

    @property
    def bands(self) -> dict[str, PowerLawBand | None]:
        """Band by method, for the figure."""
        return {name: law.band for name, law in self.by_method.items()}


def scaling_laws(runs: pd.DataFrame, quantity: Quantity) -> ScalingLaws:
    """Fit one power law a method to the test MAE of finished runs.

    Args:
        runs: columns method, size (training frames used), seed and ``quantity.key``; rows without an error are left out.
            With a column nominal_size, runs of one nominal size share the mean of their sizes: subsets of whole
            materials differ a little in length. With a column ``{quantity.key}_start`` the error before training is kept.
    """
    table = runs.assign(size=_common_sizes(runs, quantity), error=runs[quantity.key], start=runs.get(f"{quantity.key}_start", math.nan))
    table = table[["method", "size", "seed", "error", "start"]].dropna(subset=["size", "error"])
    table = table[table["error"] > 0].astype({"size": float, "error": float, "start": float}).reset_index(drop=True)
    laws = {name: _law(group) for name, group in table.groupby("method")}
    said = {f"{name}: {text}" for name, group in table.groupby("method") for text in caveats(group)}
    common = [text for text in _texts(said) if all(f"{name}: {text}" in said for name in laws)]
    own = sorted(s for s in said if s.split(": ", 1)[1] not in common)
    m1, m4 = (laws[name].band if name in laws else None for name in ("M1", "M4"))
    crossing = crossover_interval(m1, m4) if m1 and m4 and m1.may_extrapolate and m4.may_extrapolate else None
    return ScalingLaws(table, laws, crossing, common + own)


def law_table(laws: ScalingLaws, quantity: Quantity) -> pd.DataFrame:
    """One row a method for a reader: exponent with its interval, error at the largest size, runs."""
    largest = {name: runs[runs["size"] == runs["size"].max()] for name, runs in laws.table.groupby("method")}
    rows = [
        {
            "Method": Method(name).label,
            "Exponent (95 % interval)": law.exponent_text,
            "Largest N": count_text(int(largest[name]["size"].iat[0])),
            f"Test MAE there ({quantity.error_unit})": quantity.error(float(largest[name]["error"].mean())),
            "Runs": count_text(law.n_runs),
        }
        for name, law in laws.by_method.items()
    ]
    return pd.DataFrame(rows)


def _left_out_sentence(name: str, left_out: LeftOut, quantity: Quantity) -> str:
    predicted, measured = quantity.error_with_unit(left_out.predicted), quantity.error_with_unit(left_out.measured)
    return f"{name}: the smaller sizes predict {predicted} at N = {count_text(int(left_out.size))}; measured {measured}."


def _floor_sentence(name: str, floor: FloorLaw | str, quantity: Quantity) -> str:
    if isinstance(floor, str):
        return f"{name}: {floor}"
    low, high = (quantity.error_with_unit(x) for x in (floor.floor_low, floor.floor_high))
    return f"{name}: with endless data about {quantity.error_with_unit(floor.floor)} would remain ({low} to {high}); an extrapolation."


def _crossing_sentence(crossing: Crossing) -> str:
    if crossing.size is None or crossing.size < 1:
        return "The laws of M1 and M4 do not meet at any number of frames above 1."
    where = f"Extrapolated, the laws of M1 and M4 meet at about N = {_rounded(crossing.size)}"
    if not math.isfinite(crossing.low):
        return f"{where}; these runs give no interval for it."
    share = f"{100 * crossing.share:.0f} %"
    return f"{where}, with {_rounded(crossing.low)} to {_rounded(crossing.high)} over the {share} of resamples in which they meet at all."


def _rounded(n: float) -> str:
    """A number of frames to two digits: 716,432 → 720,000."""
    return f"{float(f'{n:.2g}'):,.0f}" if n < 1e9 else f"{n:.0e}"


def _common_sizes(runs: pd.DataFrame, quantity: Quantity) -> pd.Series:
    if "nominal_size" not in runs:
        return runs["size"]
    known = runs[runs[quantity.key].notna()]
    return runs["nominal_size"].map(known.groupby("nominal_size")["size"].mean().round())


def _law(runs: pd.DataFrame) -> MethodLaw:
    try:
        band, reason, floor = bootstrap_power_law(runs), "", fit_floor(runs)
    except DataError as error:
        band, reason, floor = None, str(error), ""
    try:
        left_out = leave_largest_out(runs)
    except DataError:
        left_out = None
    return MethodLaw(band, reason, floor, left_out, len(runs))


def _texts(said: set[str]) -> list[str]:
    return list(dict.fromkeys(s.split(": ", 1)[1] for s in sorted(said)))


def _signed(x: float) -> str:
    return MISSING if not math.isfinite(x) else number_text(x, 2)
