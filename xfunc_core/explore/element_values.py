"""What a page shows of an exploration element by element, at once: colours of a periodic table, chosen rows, rows as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from xfunc_core.analysis.agreement import Agreement
from xfunc_core.analysis.groups import Attribution
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.explore.compared import Source
from xfunc_core.explore.exploration import Exploration
from xfunc_core.explore.selection import containing, pair_names
from xfunc_core.explore.statistics import RANKS, Statistic
from xfunc_core.quantities import Functional, Quantity, count_text, counted, plural, short_text

ERRORS = ("mae", "rmse", "spread")
"""Statistics that are written in the unit of errors."""
COUNTS = ("n", "n_materials")


def elements_of(source: Source) -> list[str]:
    """Symbols of the elements in the pairs, by atomic number."""
    return [SYMBOLS[column] for column in np.unique(source.fractions.indices)]


def element_values(found: Exploration, shown: Statistic) -> dict[str, float]:
    """A statistic by symbol in order of Z; elements of which too little is known are left out."""
    estimates = {symbol: shown.of(one) for symbol, one in _agreed(found, shown).items()}
    return {symbol: estimate.value for symbol, estimate in estimates.items() if estimate.known}


def untold_elements(found: Exploration, shown: Statistic) -> dict[str, str]:
    """Why nothing is said of an element that has rows, by symbol in order of Z."""
    untold = {symbol: one for symbol, one in _agreed(found, shown).items() if not shown.of(one).known}
    return {symbol: shown.of(one).why or shown.words(one, found.rows.compared.quantity) for symbol, one in untold.items()}


def _agreed(found: Exploration, shown: Statistic) -> dict[str, Agreement]:
    """Agreement by symbol, as quickly as it can be had with this statistic."""
    return found.by_element if shown.key in RANKS else found.quick_by_element


def element_counts(found: Exploration) -> dict[str, int]:
    """Rows that count for each element, by symbol."""
    return {symbol: one.n for symbol, one in found.quick_by_element.items()}


def rows_of(found: Exploration, symbols: Sequence[str]) -> np.ndarray | None:
    """Which rows count for any of the elements, shape (R,), bool; None where no element is given."""
    if not symbols:
        return None
    if found.attribution is Attribution.OWN:
        return np.isin(found.rows.element, [Z_OF[symbol] for symbol in symbols])
    return containing(found.source, symbols)[found.rows.pair]


def standing_out(found: Exploration, symbols: Sequence[str]) -> str:
    """How many rows count for any of the elements, such as ``Na, O stand out: 20 of 93 pairs.``; '' where no element is given."""
    chosen = rows_of(found, symbols)
    if chosen is None:
        return ""
    share = f"{count_text(int(chosen.sum()))} of {counted(len(chosen), found.rows.compared.per.value)}"
    return f"{', '.join(symbols)} {plural(len(symbols), 'stands', 'stand')} out: {share}."


def row_table(found: Exploration) -> pd.DataFrame:
    """Every row for a file: the pair it belongs to, both values and their difference, with the unit in the names of columns."""
    rows, unit = found.rows, found.rows.compared.quantity.unit
    pairs, place = np.unique(rows.pair, return_inverse=True)
    table = {"pair": np.array(pair_names(found.source, pairs), dtype=object)[place]}
    if rows.element is not None:
        table["Z"] = rows.element
    if rows.one_sided:
        return pd.DataFrame(table | {f"{rows.compared.label} ({unit})": rows.y})
    return pd.DataFrame(
        table
        | {
            f"{Functional.PBE.label} ({unit})": rows.x,
            f"{Functional.R2SCAN.label} ({unit})": rows.y,
            f"difference ({unit})": rows.difference,
        }
    )


def cell_text(shown: Statistic, quantity: Quantity, value: float) -> str:
    """A statistic in the cell of a periodic table, where there is little room: three digits or so."""
    return short_text(value * quantity.error_scale if shown.key in ERRORS else value, whole=shown.key in COUNTS)
