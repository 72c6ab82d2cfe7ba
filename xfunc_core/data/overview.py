"""What is in a dataset at a glance, and two datasets side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.data.query import EVERYTHING, Filter, FrameQuery
from xfunc_core.quantities import ENERGY, FORCE, MAGMOM, STRESS, Quantity, count_text

BINS = 48
COLUMNS = {
    "n_atoms": Quantity("n_atoms", "Atoms in the cell", "", "", 1.0, 0, 0),
    "energy_per_atom": ENERGY,
    "above_fit": Quantity("above_fit", "Above fit", ENERGY.unit, ENERGY.error_unit, ENERGY.error_scale, 1, 3),
    "largest_force": Quantity("largest_force", "Largest force", FORCE.unit, FORCE.error_unit, FORCE.error_scale, 1, 3),
    "pressure": Quantity("pressure", "Pressure", STRESS.unit, STRESS.error_unit, 1.0, 2, 2),
    "largest_moment": Quantity("largest_moment", "Largest moment", MAGMOM.unit, MAGMOM.error_unit, 1.0, 2, 2),
    "volume_per_atom": Quantity("volume_per_atom", "Volume", "Å³/atom", "Å³/atom", 1.0, 2, 2),
}
"""How the numbers of a frame read on screen, by key of `xfunc_core.data.query.NUMBERS`."""
DRAWN = ("n_atoms", "above_fit", "largest_force", "pressure", "largest_moment", "volume_per_atom")
"""The numbers whose distribution is shown."""


@dataclass(frozen=True)
class Distribution:
    """How often the values of one number occur in one or more datasets.

    Attributes:
        number: a key of `COLUMNS`.
        edges: shape (B + 1,), shared by all.
        counts: one array a dataset, shape (B,).
    """

    number: str
    edges: np.ndarray
    counts: tuple[np.ndarray, ...]

    @property
    def title(self) -> str:
        """Axis title."""
        return axis(COLUMNS[self.number])


def axis(column: Quantity) -> str:
    """Label with unit, such as ``Pressure (GPa)``; a count has no unit."""
    return column.axis if column.unit else column.label


def distributions_of(queries: Sequence[FrameQuery], wanted: Filter = EVERYTHING) -> list[Distribution]:
    """The distributions of `DRAWN` over the wanted frames of each dataset, on common edges; numbers nobody has are left out."""
    found = []
    for number in DRAWN:
        spans = [span for query in queries if (span := query.span(number, wanted))]
        if spans:
            edges = _edges(min(s[0] for s in spans), max(s[1] for s in spans), all(s[2] for s in spans))
            found.append(Distribution(number, edges, tuple(query.histogram(number, edges, wanted) for query in queries)))
    return found


def comparison(queries: Sequence[FrameQuery], names: Sequence[str], wanted: Filter = EVERYTHING) -> pd.DataFrame:
    """One column a dataset for a reader: frames, materials, elements, and frames with each label."""
    columns = {}
    for query, name in zip(queries, names, strict=True):
        labels = query.label_counts(wanted)
        counts = [query.count(wanted), query.n_materials(wanted), len(query.element_counts(wanted)), *labels.values()]
        columns[name] = [count_text(n) for n in counts]
    return pd.DataFrame(columns, index=pd.Index(["Frames", "Materials", "Elements", *(f"With {label}" for label in ("energy", "forces", "stress", "magmoms"))], name=""))


def page_table(query: FrameQuery, wanted: Filter, order_by: str, descending: bool, offset: int, limit: int) -> pd.DataFrame:
    """Some frames for a reader, indexed by row in the dataset: ids, formula and numbers with their units as column names."""
    page = query.page(wanted, order_by, descending, offset, limit)
    texts = {"formula": "Formula", "frame_id": "Id", "material_id": "Material"}
    return page[[*texts, *COLUMNS]].rename(columns=texts | {name: axis(column) for name, column in COLUMNS.items()})


def _edges(low: float, high: float, whole: bool) -> np.ndarray:
    if whole:
        step = max(1, int(np.ceil((high - low + 1) / BINS)))
        return np.arange(low, high + step + 1, step) - 0.5
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)
