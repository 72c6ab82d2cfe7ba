"""Agreement as tables: formatted with intervals for readers, plain numbers for files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from xfunc_core.analysis.agreement import Agreement
from xfunc_core.data.tables import DIFFERENCE
from xfunc_core.elements import SYMBOLS
from xfunc_core.explore.compared import N_TITLES, Compared
from xfunc_core.explore.exploration import Exploration
from xfunc_core.explore.statistics import RANKS, statistics_of
from xfunc_core.quantities import MISSING, PENDING, TOO_FEW, Functional, count_text, counted

PARTS = {"Correlation": ("pearson", "spearman", "kendall"), "Shift and line": ("shift", "slope", "spread"), "Errors": ("mae", "rmse")}
"""Statistics that stand side by side on a page; all together, with their intervals, are wider than a screen."""


def element_table(found: Exploration, symbols: Sequence[str] = (), keys: Sequence[str] = ()) -> pd.DataFrame:
    """One row an element, formatted; only the given elements and statistics if any are given."""
    return _formatted(found, "Element", agreed_by_element(found, symbols, keys), keys)


def agreed_by_element(found: Exploration, symbols: Sequence[str] = (), keys: Sequence[str] = ()) -> dict[str, Agreement]:
    """Agreement of the given elements, without coefficients of ranks where other statistics are given."""
    agreed = found.by_element if not keys or set(RANKS) & set(keys) else found.by_element_without_ranks
    return {symbol: one for symbol, one in agreed.items() if not symbols or symbol in symbols}


def chemistry_table(found: Exploration, keys: Sequence[str] = ()) -> pd.DataFrame:
    """One row a chemistry, formatted; those without rows are named with 0; only the given statistics if any are given."""
    return _formatted(found, "Chemistry", found.by_chemistry, keys)


def furthest_table(found: Exploration, n: int = 100) -> pd.DataFrame:
    """The rows whose difference (of a one-sided quantity: whose value) is furthest from the median, the furthest first, formatted; indexed
    by pair, and at most n of them."""
    rows, quantity = found.rows, found.rows.compared.quantity
    away = np.abs(rows.difference - np.median(rows.difference)) if len(rows) else rows.difference
    places = np.argsort(-away, kind="stable")[:n]
    frames = found.source.frames.iloc[rows.pair[places]]
    columns = {"Formula": frames["formula"].to_numpy(), "Id": frames["frame_id"].to_numpy()}
    if rows.element is not None:
        columns["Atom"] = [SYMBOLS[z - 1] for z in rows.element[places]]
    sides = (
        {quantity.axis: rows.y}
        if rows.one_sided
        else {f"{f.label} ({quantity.unit})": v for f, v in zip(Functional, (rows.x, rows.y), strict=True)}
    )
    if not rows.one_sided:
        sides[f"{DIFFERENCE} ({quantity.unit})"] = rows.difference
    columns |= {name: [quantity.value(value) for value in values[places]] for name, values in sides.items()}
    return pd.DataFrame(columns, index=pd.Index(rows.pair[places], name="pair"))


def overall_table(explorations: Iterable[Exploration]) -> pd.DataFrame:
    """One row a quantity, formatted; numbers with their units, since quantities differ."""
    return pd.DataFrame([_overall(found) for found in explorations])


def reason_table(agreements: Mapping[str, Agreement], compared: Compared, title: str, keys: Sequence[str] = ()) -> pd.DataFrame:
    """Which statistics of which group have no value or no interval, and why, one row a reason; only the given statistics if any are."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, one in agreements.items():
        for key, statistic in statistics_of(compared).items():
            if (not keys or key in keys) and (why := statistic.of(one).why):
                found.setdefault((name, why), []).append(statistic.label)
    return pd.DataFrame([(name, ", ".join(labels), why) for (name, why), labels in found.items()], columns=[title, "Without", "Why"])


def overall_reasons(found: Exploration, ranks: bool) -> list[str]:
    """Why statistics of all rows have no value or no interval, such as ``Kendall τ: No interval: …``, one reason a line."""
    agreed = found.overall if ranks else found.quick
    keys = [key for key in statistics_of(found.rows.compared) if ranks or key not in RANKS]
    return [f"{labels}: {why}" for _, labels, why in reason_table({"all": agreed}, found.rows.compared, "", keys).itertuples(index=False)]


def overall_words(found: Exploration, ranks: bool) -> dict[str, str]:
    """Every statistic of all rows by its title with unit; without ``ranks``, which take longest, theirs are still to come."""
    compared = found.rows.compared
    agreed = found.overall if ranks else found.quick
    return {
        s.title(compared.quantity): s.words(agreed, compared.quantity) if ranks or key not in RANKS else PENDING
        for key, s in statistics_of(compared).items()
    }


def number_table(agreements: Mapping[str, Agreement], compared: Compared, name: str) -> pd.DataFrame:
    """Plain numbers for a file, indexed by ``name``: counts (``n_ranked`` are the rows that coefficients of
    ranks are of), and of each statistic value, low and high in the unit of the quantity (errors too)."""
    keys = [key for key in statistics_of(compared) if key not in ("n", "n_materials")]
    rows = {}
    for group, one in agreements.items():
        row: dict[str, float] = {"n": one.n, "n_materials": one.n_materials, "n_ranked": one.n_ranked}
        for key in keys:
            estimate = getattr(one, key)
            row |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        rows[group] = row
    counts = ["n", "n_materials", *(["n_ranked"] if "spearman" in keys else [])]
    columns = [*counts, *(f"{key}{end}" for key in keys for end in ("", "_low", "_high"))]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(name)


def _formatted(found: Exploration, title: str, rows: Mapping[str, Agreement], keys: Sequence[str]) -> pd.DataFrame:
    compared = found.rows.compared
    statistics = {key: s for key, s in statistics_of(compared).items() if key not in ("n", "n_materials") and (not keys or key in keys)}
    columns = {
        title: list(rows),
        N_TITLES[compared.per]: [count_text(one.n) for one in rows.values()],
        "Materials": [count_text(one.n_materials) for one in rows.values()],
    }
    columns |= {s.title(compared.quantity): [s.words(one, compared.quantity) for one in rows.values()] for s in statistics.values()}
    if compared.one_sided:
        medians = found.medians
        columns[f"Median ({compared.quantity.unit})"] = [_median(medians.get(name, math.nan), compared) for name in rows]
    return pd.DataFrame(columns)


def _median(value: float, compared: Compared) -> str:
    return compared.quantity.value(value) if math.isfinite(value) else TOO_FEW


def _overall(found: Exploration) -> dict[str, str]:
    compared, one = found.rows.compared, found.overall
    statistics = statistics_of(compared)
    row = {
        "Quantity": compared.label,
        "N": counted(one.n, compared.per.value),
        "Materials": count_text(one.n_materials),
    }
    for key, label in (
        ("pearson", "Pearson r"),
        ("spearman", "Spearman ρ"),
        ("slope", "Slope"),
        ("shift", "Mean r²SCAN − PBE"),
        ("mae", "MAE"),
        ("rmse", "RMSE"),
    ):
        if key not in statistics:
            row[label] = MISSING
            continue
        words, unit = statistics[key].words(one, compared.quantity), statistics[key].unit_of(compared.quantity)
        row[label] = f"{words} {unit}" if unit and statistics[key].of(one).known else words
    return row
