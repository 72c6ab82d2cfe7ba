"""Whether the sign of the stress can be right: compressed matter pushes back.

Every stable material has a positive bulk modulus, so among frames of one material the pressure falls as the volume grows. One
material may hide that (its frames differ in more than volume); most of many cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.data.checks.finding import Finding, FindingKind, Severity, about
from xfunc_core.data.dataset import Dataset
from xfunc_core.quantities import count_text, counted

VOLUME_RANGE = 0.03
"""Smallest relative difference of volumes in a material that is looked at; thermal pressure hides less."""
FEWEST_MATERIALS = 10
"""Materials that are needed: if signs were a matter of chance, nine of ten would agree in 1 of 100 sets."""
AGREEING = 0.9
"""Share of the materials that must rise or fall together."""


@dataclass(frozen=True)
class PressureTrend:
    """Materials by what their pressure does as their volume grows.

    Attributes:
        falling: materials whose pressure falls, as it must.
        rising: materials whose pressure rises.
        rows_rising: rows of the frames of these, ascending.
    """

    falling: int
    rising: int
    rows_rising: np.ndarray


def pressure_trend(dataset: Dataset) -> PressureTrend:
    """Slope of pressure over volume within each material whose volumes differ by `VOLUME_RANGE` or more."""
    columns = dataset.columns.select(["material_id", "formula", "n_atoms", "volume", "pressure"]).to_pandas()
    columns = columns[np.isfinite(columns["pressure"]) & (columns["volume"] > 0)]
    group = columns.groupby(["material_id", "formula", "n_atoms"], sort=False).ngroup().to_numpy()
    volume = np.log(columns["volume"].to_numpy())
    tables = pd.DataFrame({"volume": volume, "pressure": columns["pressure"].to_numpy()}).groupby(group)
    mean, spread = tables.mean(), tables["volume"].max() - tables["volume"].min()
    product = (volume - mean["volume"].to_numpy()[group]) * (columns["pressure"].to_numpy() - mean["pressure"].to_numpy()[group])
    slope = np.bincount(group, weights=product, minlength=len(mean))
    wide = spread.to_numpy() >= VOLUME_RANGE
    rising = wide & (slope > 0)
    return PressureTrend(int((wide & (slope < 0)).sum()), int(rising.sum()), columns.index.to_numpy()[rising[group]])


def check_stress_sign(dataset: Dataset) -> Iterator[Finding]:
    """Say whether the sign is right or wrong where enough materials tell."""
    trend = pressure_trend(dataset)
    n = trend.falling + trend.rising
    if n < FEWEST_MATERIALS:
        return
    criterion = f"of {counted(n, 'material')} whose volumes differ by {100 * VOLUME_RANGE:g} % or more"
    if trend.rising >= AGREEING * n:
        sentence = f"The stress seems to have the wrong sign: in {count_text(trend.rising)} {criterion} the pressure rises with the volume, while compressed matter pushes back."
        yield about(dataset, trend.rows_rising, FindingKind.STRESS_SIGN, Severity.WARNING, sentence)
    elif trend.falling >= AGREEING * n:
        yield Finding(FindingKind.STRESS_SIGN, Severity.INFO, f"The sign of the stress is right: in {count_text(trend.falling)} {criterion} the pressure falls as the volume grows.")
