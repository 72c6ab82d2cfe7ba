"""Rows of the quantities of a frame: energies in their gauges, pressure, stress, volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from xfunc_core.data.pair_table import PairTable
from xfunc_core.elements import SYMBOLS
from xfunc_core.explore.compared import ComparedRows, Source
from xfunc_core.explore.selection import random_part
from xfunc_core.quantities import counted
from xfunc_core.references.paired import PairedReferences

NO_ENERGIES = "pairs without both energies"
NO_STRESS = "pairs without both stresses"
NO_VOLUMES = "pairs without both volumes"
NO_FORMATION = "pairs without both formation energies"
ALONE = "pairs alone in their material and composition"
SOLIDS = "pairs that are the elemental solids counted from, 0 by definition"

ROUNDING = 1e-11
"""Share of what is subtracted from each other up to which the difference of two energies counts as exactly zero: 1e-10 eV/atom of totals
of 10 eV/atom. Where references fit exactly, as those of an element that one pair alone has, rounding leaves 1e-16 to 1e-14 of them;
calculations are converged to 1e-7 at best."""

MOST_COMPONENTS = 750_000
"""Stress components beyond which a random part of the pairs is taken, as many as there may be force components."""

Values = tuple[np.ndarray, np.ndarray]
"""PBE and r²SCAN."""


def total(source: Source, keep: np.ndarray) -> ComparedRows:
    """Total energies per atom, eV/atom, of the pairs ``keep``, shape (K,), ascending."""
    return _finite("total", keep, _energies(source, keep), NO_ENERGIES)


def referenced(source: Source, keep: np.ndarray, references: PairedReferences) -> ComparedRows:
    """Energies minus references, E − x·w, eV/atom."""
    energies = _energies(source, keep)
    known = np.isfinite(energies).all(axis=0)
    lacking = ~np.isfinite(references.pbe + references.r2scan)
    return _minus(
        source, "referenced", keep, energies, known, (references.pbe, references.r2scan), lacking, "an element without a reference"
    )


def formation(source: Source, keep: np.ndarray) -> ComparedRows:
    """Formation energies, eV/atom: the table's own where it has any, else over the lowest elemental solid of the data in each functional."""
    if isinstance(source, PairTable) and source.info.labelled["formation_energy_pbe"] and source.info.labelled["formation_energy_r2scan"]:
        own = source.label("formation_energy_pbe")[keep], source.label("formation_energy_r2scan")[keep]
        return _noted(_finite("formation", keep, own, NO_FORMATION), "The formation energies are those that the table names.")
    solids, is_solid = elemental_solids(source)
    energies = _energies(source, keep)
    finite = np.isfinite(energies).all(axis=0)
    zero = is_solid[keep] & finite
    found = _minus(
        source,
        "formation",
        keep,
        energies,
        finite & ~zero,
        (solids[0], solids[1]),
        ~np.isfinite(solids).all(axis=0),
        "an element whose solid is not in the data",
    )
    left_out = found.left_out | ({SOLIDS: int(zero.sum())} if zero.any() else {})
    left_out[NO_ENERGIES] = left_out.get(NO_ENERGIES, 0) - int(zero.sum())
    n_solids = int(np.isfinite(solids).all(axis=0).sum())
    note = f"Counted from the elemental solids of lowest energy in the data in each functional; {counted(n_solids, 'element has', 'elements have')} one."
    return _noted(_with(found, {reason: n for reason, n in left_out.items() if n}), note)


def elemental_solids(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Lowest energy per atom of each element among pairs of it alone, eV/atom, shape (2, 94), NaN where there is none; and which pairs
    hold both of these energies, shape (P,)."""
    energies, fractions = np.stack([source.energy_pbe, source.energy_r2scan]), source.fractions
    whole = np.flatnonzero(fractions.data > 1 - 1e-9)
    pair = np.searchsorted(fractions.indptr, whole, side="right") - 1
    known = np.isfinite(energies[:, pair]).all(axis=0)
    unary, element = pair[known], fractions.indices[whole[known]]
    lowest = np.full((2, fractions.shape[1]), np.inf)
    for side in (0, 1):
        np.minimum.at(lowest[side], element, energies[side, unary])
    lowest[~np.isfinite(lowest)] = np.nan
    is_solid = np.zeros(len(source), dtype=bool)
    is_solid[unary] = (energies[:, unary] == lowest[:, element]).all(axis=0)
    return lowest, is_solid


def within_material(source: Source, keep: np.ndarray) -> ComparedRows:
    """Deviations from the mean of the kept frames of one material and composition, eV/atom."""
    rows = total(source, keep)
    formula = pd.factorize(source.frames["formula"])[0]
    key = source.materials[rows.pair].astype(np.int64) * (formula.max(initial=0) + 1) + formula[rows.pair]
    code, n = np.unique(key, return_inverse=True, return_counts=True)[1:]
    alone = n[code] < 2
    x, y = (_difference(values, (np.bincount(code, values) / n)[code], np.abs(values)) for values in (rows.x, rows.y))
    left_out = rows.left_out | ({ALONE: int(alone.sum())} if alone.any() else {})
    return ComparedRows("within_material", x[~alone], y[~alone], rows.pair[~alone], None, left_out)


def volume(source: Source, keep: np.ndarray) -> ComparedRows:
    """Volumes, Å³/atom."""
    return _finite("volume", keep, (source.volume_pbe[keep], source.volume_r2scan[keep]), NO_VOLUMES)


def stress(source: Source, keep: np.ndarray) -> ComparedRows:
    """Stress components, GPa, tension positive, six rows a pair."""
    keep, notes = random_part(keep, np.full(len(keep), 6), MOST_COMPONENTS, "components")
    x, y = _stresses(source, keep)
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    left_out = {NO_STRESS: int((~known).sum())} if not known.all() else {}
    return ComparedRows("stress", x[known].ravel(), y[known].ravel(), np.repeat(keep[known], 6), None, left_out, notes)


def pressure(source: Source, keep: np.ndarray) -> ComparedRows:
    """Pressures, GPa, compression positive."""
    x, y = (-values[:, :3].sum(axis=1) / 3 for values in _stresses(source, keep))
    return _finite("pressure", keep, (x, y), NO_STRESS)


def _stresses(source: Source, keep: np.ndarray) -> Values:
    if isinstance(source, PairTable) or not source.components_comparable:
        return np.empty((len(keep), 6)) * np.nan, np.empty((len(keep), 6)) * np.nan
    sides = ((source.pbe, source.rows_pbe), (source.r2scan, source.rows_r2scan))
    x, y = (np.asarray(dataset.frame_array("stress")[rows[keep]], dtype=float) for dataset, rows in sides)
    return x, y


def _energies(source: Source, keep: np.ndarray) -> Values:
    return source.energy_pbe[keep], source.energy_r2scan[keep]


def _finite(key: str, keep: np.ndarray, values: Values, reason: str) -> ComparedRows:
    x, y = values
    known = np.isfinite(x) & np.isfinite(y)
    return ComparedRows(key, x[known], y[known], keep[known], None, {reason: int((~known).sum())} if not known.all() else {})


def _minus(
    source: Source,
    key: str,
    keep: np.ndarray,
    energies: Values,
    finite: np.ndarray,
    references: Sequence[np.ndarray],
    lacking: np.ndarray,
    words: str,
) -> ComparedRows:
    """Energies minus x·w of frames all of whose elements have a w; the others are counted by element."""
    known_references = np.stack([np.where(lacking, 0.0, w) for w in references], axis=1)
    subtracted = (source.fractions @ np.hstack([known_references, np.abs(known_references)]))[keep]
    bad = (source.fractions @ lacking.astype(float))[keep] > 0
    known = finite & ~bad
    left_out = {NO_ENERGIES: int((~finite).sum())} if not finite.all() else {}
    if (finite & bad).any():
        counts = _pairs_of_elements(source, keep[finite & bad])
        by_element = ", ".join(f"{SYMBOLS[z]} {counts[z]:,}" for z in np.argsort(-counts, kind="stable") if lacking[z] and counts[z])
        left_out[f"pairs with {words} ({by_element})"] = int((finite & bad).sum())
    x, y = (_difference(energy[known], subtracted[known, i], subtracted[known, i + 2]) for i, energy in enumerate(energies))
    return ComparedRows(key, x, y, keep[known], None, left_out)


def _pairs_of_elements(source: Source, pairs: np.ndarray) -> np.ndarray:
    """How many of the given pairs contain each element, shape (94,)."""
    chosen = np.zeros(len(source), dtype=bool)
    chosen[pairs] = True
    fractions = source.fractions
    return np.bincount(fractions.indices[np.repeat(chosen, np.diff(fractions.indptr))], minlength=fractions.shape[1])


def _difference(energies: np.ndarray, others: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Energies minus others, eV/atom, where it is no more than `ROUNDING` of the given sizes exactly zero."""
    difference = energies - others
    difference[np.abs(difference) <= ROUNDING * sizes] = 0.0
    return difference


def _noted(rows: ComparedRows, note: str) -> ComparedRows:
    return ComparedRows(rows.key, rows.x, rows.y, rows.pair, rows.element, rows.left_out, (*rows.notes, note))


def _with(rows: ComparedRows, left_out: dict[str, int]) -> ComparedRows:
    return ComparedRows(rows.key, rows.x, rows.y, rows.pair, rows.element, left_out, rows.notes)
