"""What each element's reference energy moves by between the functionals, how sure that is, and what chgnet's shipped tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xfunc_core.analysis.agreement import MIN_MATERIALS
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.explore.compared import Source
from xfunc_core.quantities import ENERGY, MISSING, count_text, interval_text
from xfunc_core.references.merged_rows import merged_rows
from xfunc_core.references.paired import PairedReferences, PairedScheme, compositions_of
from xfunc_core.references.published import atomref
from xfunc_core.references.resampled import resampled_references

RESAMPLES = 200
ENOUGH = 0.8
"""Share of the resamples that must determine a shift for an interval to be given."""
ROUNDING = 1e-9
"""eV/atom; resamples that differ by no more tell nothing of how sure a shift is."""


def element_shifts(source: Source, references: PairedReferences, seed: int = 0) -> pd.DataFrame:
    """Shift r²SCAN − PBE of every element in the pairs that have both energies, eV/atom, indexed by symbol in order of Z.

    Columns ``z``, ``n_frames``, ``n_materials``, ``shift`` (NaN where the references have none, or only in combination), ``low`` and
    ``high`` of its 95 % interval and ``published``, the difference of chgnet's two AtomRefs (NaN where one has no value).

    The interval reaches as far to either side as 95 % of the refits to resampled materials lie away (the symmetric bootstrap: Hall,
    J. R. Stat. Soc. B 50, 35 (1988)); by simulation it covers 93 to 97 % from `MIN_MATERIALS` materials on, where plain percentiles cover
    88 to 93 %. It is NaN for looked-up references, fewer materials, and where too many resamples leave the element open or none differs.

    Args:
        source: the pairs.
        references: of these pairs.
        seed: of the resamples.
    """
    both = np.flatnonzero(np.isfinite(source.energy_pbe) & np.isfinite(source.energy_r2scan))
    composition = source.composition if len(both) == len(source) else source.composition[both]
    materials = source.materials[both]
    present = np.flatnonzero(composition.any(axis=0))
    n_materials = _materials_by_element(composition, materials)
    table = pd.DataFrame(
        {
            "z": present + 1,
            "n_frames": (composition[:, present] > 0).sum(axis=0),
            "n_materials": n_materials[present],
            "shift": references.shift[present],
            "low": np.nan,
            "high": np.nan,
            "published": (atomref("r2scan") - atomref("mptrj"))[present],
        },
        index=pd.Index([SYMBOLS[i] for i in present], name="element"),
    )
    if references.scheme is PairedScheme.LSTSQ and not references.is_exact and len(both):
        half = _halves(_resampled(source, both, seed)[:, present] - references.shift[present])
        half[(table["n_materials"] < MIN_MATERIALS).to_numpy()] = np.nan
        table["low"], table["high"] = table["shift"] - half, table["shift"] + half
    return table


def _halves(moved: np.ndarray) -> np.ndarray:
    """Half the length of the interval of each of K shifts that resamples move, shape (N, K); NaN where there is none."""
    half, enough = np.full(moved.shape[1], np.nan), np.isfinite(moved).mean(axis=0) >= ENOUGH
    half[enough] = np.nanpercentile(np.abs(moved[:, enough]), 95, axis=0)
    return np.where(half > ROUNDING, half, np.nan)


def _resampled(source: Source, both: np.ndarray, seed: int) -> np.ndarray:
    """Shifts of resamples of the materials, shape (RESAMPLES, 94): least squares is linear, so they are fits to the difference."""
    key = source.materials[both].astype(np.int64) * (2 * len(source) + 1) + compositions_of(source)[both]
    merged = merged_rows(key, (source.energy_r2scan - source.energy_pbe)[both])
    rows = both[merged.row]
    return resampled_references(source.composition[rows], merged.means[0], source.materials[rows], RESAMPLES, seed, merged.weight)


def shift_table(shifts: pd.DataFrame) -> pd.DataFrame:
    """The shifts for a reader, formatted."""
    return pd.DataFrame(
        {
            "Element": shifts.index,
            "Pairs": [count_text(n) for n in shifts["n_frames"]],
            "Materials": [count_text(n) for n in shifts["n_materials"]],
            f"Shift r²SCAN − PBE ({ENERGY.unit})": [
                _with_interval(*row) for row in shifts[["shift", "low", "high"]].itertuples(index=False)
            ],
            f"chgnet's AtomRefs ({ENERGY.unit})": [ENERGY.value(x) for x in shifts["published"]],
        }
    )


def _with_interval(shift: float, low: float, high: float) -> str:
    if not np.isfinite(shift):
        return MISSING
    return interval_text(ENERGY.value, shift, low, high)


def _materials_by_element(composition: np.ndarray, materials: np.ndarray) -> np.ndarray:
    """Materials that contain each element, shape (94,)."""
    frames, elements = np.nonzero(composition)
    pairs = np.unique(materials[frames].astype(np.int64) * N_REFERENCED + elements)
    return np.bincount(pairs % N_REFERENCED, minlength=N_REFERENCED)
