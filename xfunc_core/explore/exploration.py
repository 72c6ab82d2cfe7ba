"""Everything about one quantity of one source of pairs: its rows, how well the functionals agree, overall, per element and per chemistry.

Statistics are worked out when they are asked for, so that a page pays only for what it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xfunc_core.analysis.agreement import Agreement, GroupedRows
from xfunc_core.analysis.groups import Attribution, Groups, chemistry_groups, element_groups
from xfunc_core.analysis.rows_by_material import RowsByMaterial
from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import ConfigError
from xfunc_core.explore import atom_rows, frame_rows
from xfunc_core.explore.caveats import caveats
from xfunc_core.explore.compared import COMPARED, ComparedRows, Source
from xfunc_core.references.paired import PairedReferences, PairedScheme, paired_references

_ROWS: dict[str, Callable[[Source, np.ndarray], ComparedRows]] = {
    "total": frame_rows.total,
    "formation": frame_rows.formation,
    "within_material": frame_rows.within_material,
    "force": atom_rows.force,
    "force_norm": atom_rows.force_norm,
    "force_angle": atom_rows.force_angle,
    "stress": frame_rows.stress,
    "pressure": frame_rows.pressure,
    "magmom": atom_rows.magmom,
    "volume": frame_rows.volume,
}


@dataclass(frozen=True)
class Exploration:
    """One quantity of one source.

    Attributes:
        source: the pairs.
        rows: what is compared.
        references: what was subtracted from energies; None for quantities that need none.
        attribution: how rows are shared among elements.
        n_kept: pairs that the filter left.
    """

    source: Source
    rows: ComparedRows
    references: PairedReferences | None
    attribution: Attribution
    n_kept: int

    @cached_property
    def overall(self) -> Agreement:
        """Agreement over all rows; of a one-sided quantity ``shift`` is the mean and ``rmse`` the root mean square, the rest unknown."""
        return self._all.agreements()["all"]

    @cached_property
    def quick(self) -> Agreement:
        """The same without coefficients of ranks, in a fraction of the time: what a figure needs."""
        return self._all.agreements(ranks=False)["all"]

    @cached_property
    def quick_by_element(self) -> dict[str, Agreement]:
        """Agreement by symbol without coefficients of ranks and without intervals: what colours a periodic table at once."""
        return self._of_elements.agreements(ranks=False, intervals=False)

    @cached_property
    def by_element(self) -> dict[str, Agreement]:
        """Agreement by symbol, in order of Z, for every element that has rows."""
        return self._of_elements.agreements()

    @cached_property
    def by_element_without_ranks(self) -> dict[str, Agreement]:
        """The same without coefficients of ranks, which take three times as long as everything else."""
        return self._of_elements.agreements(ranks=False)

    @cached_property
    def by_chemistry(self) -> dict[str, Agreement]:
        """Agreement by chemistry, in the order of `xfunc_core.analysis.groups.CHEMISTRIES`; some may have no rows."""
        units = self._by_material
        return GroupedRows(units, chemistry_groups(self.source.fractions, self.rows.pair[units.rows])).agreements()

    @cached_property
    def materials(self) -> np.ndarray:
        """Material of each row, shape (R,): what intervals are clustered by."""
        return self.source.materials[self.rows.pair]

    @cached_property
    def element_groups(self) -> Groups:
        """The rows of each element."""
        return element_groups(self.source.fractions, self.rows.pair, self.attribution, self.rows.element)

    @cached_property
    def chemistry_groups(self) -> Groups:
        """The rows of each chemistry."""
        return chemistry_groups(self.source.fractions, self.rows.pair)

    @property
    def medians(self) -> dict[str, float]:
        """Median of the difference (of a one-sided quantity: of itself) by element and by chemistry, weighted where rows are; NaN where
        nothing can be said."""
        found, difference = {}, self.rows.difference
        for groups, agreed in ((self.element_groups, self.by_element), (self.chemistry_groups, self.by_chemistry)):
            for k, (name, one) in enumerate(agreed.items()):
                place = slice(groups.indptr[k], groups.indptr[k + 1])
                weights = None if groups.weights is None else groups.weights[place]
                found[name] = float("nan") if one.too_few else _median(difference[groups.rows[place]], weights)
        return found

    @property
    def caveats(self) -> list[str]:
        """What a reader must know before quoting a number, a sentence each."""
        return caveats(self.source, self.rows, self.references, self.n_kept)

    @cached_property
    def _by_material(self) -> RowsByMaterial:
        """The rows by material; those of one composition, and of one element where rows count for their own, count alike."""
        alike = self.source.compositions[self.rows.pair]
        if self.attribution is Attribution.OWN:
            alike = alike * (N_REFERENCED + 1) + self.rows.element
        x = np.zeros(len(self.rows)) if self.rows.one_sided else self.rows.x
        return RowsByMaterial.of(x, self.rows.y, self.materials, alike=alike)

    @cached_property
    def _all(self) -> GroupedRows:
        return GroupedRows(self._by_material, self._by_material.all)

    @cached_property
    def _of_elements(self) -> GroupedRows:
        units = self._by_material
        element = None if self.rows.element is None else self.rows.element[units.rows]
        return GroupedRows(units, element_groups(self.source.fractions, self.rows.pair[units.rows], self.attribution, element))


def _median(values: np.ndarray, weights: np.ndarray | None) -> float:
    """The value that half of the weight lies at or below."""
    if weights is None:
        return float(np.median(values))
    return float(np.quantile(values, 0.5, weights=weights, method="inverted_cdf"))


def explore(
    source: Source,
    key: str,
    scheme: PairedScheme | PairedReferences = PairedScheme.LSTSQ,
    attribution: Attribution | None = None,
    keep: np.ndarray | None = None,
) -> Exploration:
    """Explore one quantity.

    Args:
        source: pairs of two datasets, or a table of relaxed pairs.
        key: of `COMPARED`.
        scheme: what is subtracted for ``referenced``; references that were worked out before may be given instead. Fitted ones are fitted
            on all pairs, whatever the filter, so that filters compare like with like.
        attribution: how rows are shared among elements; the usual way of the quantity if None.
        keep: shape (P,), bool, the pairs that count; all if None.

    Raises:
        ConfigError: there is no such quantity or attribution for it, or no references can be had.
    """
    if key not in COMPARED:
        raise ConfigError(f"{key!r} cannot be compared: use one of {', '.join(COMPARED)}.")
    allowed = COMPARED[key].attributions
    attribution = attribution or allowed[0]
    if attribution not in allowed:
        raise ConfigError(
            f"{COMPARED[key].label} cannot be attributed to {attribution.value!r}: use {' or '.join(a.value for a in allowed)}."
        )
    references = None
    if key == "referenced":
        references = scheme if isinstance(scheme, PairedReferences) else paired_references(source, scheme)
    kept = np.arange(len(source)) if keep is None else np.flatnonzero(keep)
    return Exploration(source, rows(source, key, references, kept), references, attribution, len(kept))


def rows(source: Source, key: str, references: PairedReferences | None = None, kept: np.ndarray | None = None) -> ComparedRows:
    """The rows of a quantity over the pairs ``kept``, shape (K,), ascending; all pairs if None.

    Raises:
        ConfigError: ``referenced`` is asked for without references.
    """
    kept = np.arange(len(source)) if kept is None else kept
    if key != "referenced":
        return _ROWS[key](source, kept)
    if references is None:
        raise ConfigError("Referenced energies need references: choose a scheme.")
    return frame_rows.referenced(source, kept, references)
