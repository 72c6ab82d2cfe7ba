"""Ask a dataset of any size: DuckDB over the mapped columns, so that millions of frames answer at once.

A `Filter` says which frames; `FrameQuery` counts them, lists them page by page and gives their distributions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from xfunc_core.data.dataset import Dataset
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.errors import ConfigError

Range = tuple[float | None, float | None]

LABELS = {"energy": "isfinite(energy)", "forces": "isfinite(largest_force)", "stress": "isfinite(pressure)", "magmoms": "isfinite(largest_moment)"}
"""What makes a frame have a label, in SQL."""
NUMBERS = {
    "n_atoms": "n_atoms",
    "energy_per_atom": "energy / n_atoms",
    "above_fit": "above_fit",
    "largest_force": "largest_force",
    "pressure": "pressure",
    "largest_moment": "largest_moment",
    "volume_per_atom": "volume / n_atoms",
}
"""Numbers of a frame that can be filtered, sorted and counted, in SQL: atoms, eV/atom, eV/atom, eV/Å, GPa (compression
positive), μB and Å³/atom."""
TEXTS = ("frame_id", "material_id", "formula", "chemical_system")


@dataclass(frozen=True)
class Filter:
    """Which frames are meant; empty parts ask nothing.

    Attributes:
        any_of: symbols of which a frame holds at least one.
        all_of: symbols that a frame holds all of.
        only: symbols outside of which a frame holds none.
        without: symbols of which a frame holds none.
        chemical_system: such as ``Fe-O``, in any order.
        labels: keys of `LABELS` that a frame must have.
        hubbard_u: whether a Hubbard U was used.
        text: part of an id or of the formula.
        ranges: lowest and highest value (None: open) by key of `NUMBERS`.
    """

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    chemical_system: str = ""
    labels: tuple[str, ...] = ()
    hubbard_u: bool | None = None
    text: str = ""
    ranges: tuple[tuple[str, float | None, float | None], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what names no element, label or number."""
        for symbol in (*self.any_of, *self.all_of, *self.only, *self.without, *filter(None, self.chemical_system.split("-"))):
            if symbol not in Z_OF:
                raise ConfigError(f"{symbol!r} is no element: write symbols such as Fe.")
        for name, known in ((set(self.labels), LABELS), ({key for key, _, _ in self.ranges}, NUMBERS)):
            if name - set(known):
                raise ConfigError(f"{min(name - set(known))!r} cannot be filtered: use one of {', '.join(known)}.")

    def words(self) -> str:
        """The filter for a reader, such as ``any of Fe, O; energy above fit at most 0.5``."""
        parts = [f"{name} {', '.join(symbols)}" for name, symbols in (("any of", self.any_of), ("all of", self.all_of), ("only", self.only), ("none of", self.without)) if symbols]
        parts += [f"chemical system {self.chemical_system}"] if self.chemical_system else []
        parts += [f"with {', '.join(self.labels)}"] if self.labels else []
        parts += [] if self.hubbard_u is None else ["with Hubbard U" if self.hubbard_u else "without Hubbard U"]
        parts += [f"id or formula contains {self.text}"] if self.text else []
        for key, low, high in self.ranges:
            bounds = [f"{words} {end:g}" for words, end in (("at least", low), ("at most", high)) if end is not None and math.isfinite(end)]
            parts += [f"{key.replace('_', ' ')} {' and '.join(bounds)}"] if bounds else []
        return "; ".join(parts) or "all frames"

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL and its parameters."""
        parts = list(self._element_parts())
        if self.chemical_system:
            parts.append(("chemical_system = ?", "-".join(sorted(self.chemical_system.split("-")))))
        parts += [(LABELS[label], None) for label in self.labels]
        if self.hubbard_u is not None:
            parts.append(("hubbard_u" if self.hubbard_u else "NOT hubbard_u", None))
        if self.text:
            parts.append((f"contains(lower(concat_ws(chr(10), {', '.join(TEXTS[:3])})), lower(?))", self.text))
        for key, low, high in self.ranges:
            number = NUMBERS[key]
            parts += [(f"{number} >= ? AND NOT isnan({number})", low)] if low is not None else []
            parts += [(f"{number} <= ? AND NOT isnan({number})", high)] if high is not None else []
        return " AND ".join(f"({sql})" for sql, _ in parts) or "TRUE", [value for _, value in parts if value is not None]

    def _element_parts(self) -> list[tuple[str, Any]]:
        parts = [("list_has_any(elements, ?::UTINYINT[])", _numbers(self.any_of))] if self.any_of else []
        parts += [("list_has_all(elements, ?::UTINYINT[])", _numbers(self.all_of))] if self.all_of else []
        parts += [("list_has_all(?::UTINYINT[], elements)", _numbers(self.only))] if self.only else []
        return parts + ([("NOT list_has_any(elements, ?::UTINYINT[])", _numbers(self.without))] if self.without else [])


EVERYTHING = Filter()


_ASKED = ("row_index", *TEXTS, "elements", "n_atoms", "energy", "volume", "largest_force", "pressure", "largest_moment", "above_fit", "hubbard_u")
"""The columns that questions name."""


class FrameQuery:
    """Questions to one dataset. May be shared between threads."""

    def __init__(self, dataset: Dataset | pa.Table) -> None:
        """Take a dataset, or a table that has the columns of one as far as questions name them (`PairTable.queried`)."""
        if isinstance(dataset, pa.Table):
            columns = dataset
        else:
            columns = dataset.columns.append_column("above_fit", pa.array(np.asarray(dataset.frame_array("above_fit"))))
        self._connection = duckdb.connect(config={"enable_external_access": False, "lock_configuration": True})
        self._connection.register("arrow_frames", columns.append_column("row_index", pa.array(np.arange(len(columns), dtype=np.int64))))
        self._connection.execute(f"CREATE TABLE frames AS SELECT {', '.join(_ASKED)} FROM arrow_frames")
        self._connection.unregister("arrow_frames")

    def rows(self, wanted: Filter = EVERYTHING) -> np.ndarray:
        """Rows of the frames in the dataset, ascending, shape (n,)."""
        return self._ask("SELECT row_index FROM frames WHERE {where} ORDER BY row_index", wanted).fetchnumpy()["row_index"].astype(np.int64)

    def count(self, wanted: Filter = EVERYTHING) -> int:
        """Number of frames."""
        return int(self._ask("SELECT count(*) FROM frames WHERE {where}", wanted).fetchone()[0])

    def n_materials(self, wanted: Filter = EVERYTHING) -> int:
        """Number of distinct materials."""
        return int(self._ask("SELECT count(DISTINCT material_id) FROM frames WHERE {where}", wanted).fetchone()[0])

    def element_counts(self, wanted: Filter = EVERYTHING) -> dict[str, int]:
        """Frames that contain each element, by symbol in order of Z."""
        found = self._ask("SELECT z, count(*) FROM (SELECT unnest(elements) AS z FROM frames WHERE {where}) GROUP BY z ORDER BY z", wanted).fetchall()
        return {SYMBOLS[z - 1]: n for z, n in found}

    def label_counts(self, wanted: Filter = EVERYTHING) -> dict[str, int]:
        """Frames that have each label."""
        counts = ", ".join(f"count(*) FILTER ({sql})" for sql in LABELS.values())
        return dict(zip(LABELS, self._ask(f"SELECT {counts} FROM frames WHERE {{where}}", wanted).fetchone(), strict=True))

    def chemical_systems(self, wanted: Filter = EVERYTHING, limit: int = 50) -> pd.DataFrame:
        """The most frequent chemical systems: chemical_system, n_frames, n_materials."""
        sql = "SELECT chemical_system, count(*) AS n_frames, count(DISTINCT material_id) AS n_materials FROM frames WHERE {where} GROUP BY ALL ORDER BY n_frames DESC, chemical_system LIMIT ?"
        return self._ask(sql, wanted, limit).df()

    def span(self, number: str, wanted: Filter = EVERYTHING) -> tuple[float, float, bool] | None:
        """Ends of the central 99.8 % of a key of `NUMBERS`, and whether all are whole numbers; None without any number."""
        sql = f"SELECT quantile_disc(v, 0.001), quantile_disc(v, 0.999), bool_and(v = floor(v)) FROM (SELECT ({NUMBERS[number]})::DOUBLE AS v FROM frames WHERE {{where}}) WHERE isfinite(v)"
        low, high, whole = self._ask(sql, wanted).fetchone()
        return None if low is None else (low, high, bool(whole))

    def histogram(self, number: str, edges: np.ndarray, wanted: Filter = EVERYTHING) -> np.ndarray:
        """Counts, shape (B,), of a key of `NUMBERS` between evenly spaced edges, shape (B + 1,).

        What lies beyond is counted in the first and the last bin; frames without the number are left out.
        """
        last = len(edges) - 2
        sql = f"SELECT least(greatest(floor((v - ?) / ?), 0), ?)::INTEGER AS bin, count(*) FROM (SELECT ({NUMBERS[number]})::DOUBLE AS v FROM frames WHERE {{where}}) WHERE isfinite(v) GROUP BY bin"
        counts = np.zeros(last + 1, dtype=np.int64)
        for place, n in self._ask(sql, wanted, first=(float(edges[0]), float(edges[1] - edges[0]), last)).fetchall():
            counts[place] = n
        return counts

    def page(self, wanted: Filter = EVERYTHING, order_by: str = "row_index", descending: bool = False, offset: int = 0, limit: int = 100) -> pd.DataFrame:
        """Some frames, indexed by row: frame_id, material_id, formula, chemical_system and every key of `NUMBERS`.

        Raises:
            ConfigError: there is no such column to order by.
        """
        order = {**NUMBERS, **{name: name for name in (*TEXTS, "row_index")}}.get(order_by)
        if order is None:
            raise ConfigError(f"Frames cannot be sorted by {order_by!r}: use one of {', '.join([*TEXTS, *NUMBERS])}.")
        numbers = ", ".join(f"{sql} AS {name}" for name, sql in NUMBERS.items())
        sql = f"SELECT row_index, {', '.join(TEXTS)}, {numbers} FROM frames WHERE {{where}} ORDER BY isnan(({order})::DOUBLE), {order} {'DESC' if descending else 'ASC'}, row_index LIMIT ? OFFSET ?"
        if order in TEXTS:
            sql = sql.replace(f"isnan(({order})::DOUBLE), ", "")
        return self._ask(sql, wanted, limit, offset).df().set_index("row_index")

    def _ask(self, sql: str, wanted: Filter, *last: Any, first: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        where, parameters = wanted.where()
        return self._connection.cursor().execute(sql.format(where=where), [*first, *parameters, *last])


def _numbers(symbols: Sequence[str]) -> list[int]:
    return [Z_OF[symbol] for symbol in symbols]
