"""What each element's reference energy moves by between the functionals, how sure that is, and what chgnet's shipped tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xfunc_core.analysis.agreement import MIN_MATERIALS
from xfunc_core.analysis.cluster_errors import MIN_DEGREES, ClusterErrors, cluster_errors
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.explore.compared import Source, energy_scales
from xfunc_core.quantities import ENERGY, MISSING, count_text, interval_text
from xfunc_core.references.merged_rows import merged_rows
from xfunc_core.references.paired import VASP, PairedReferences, PairedScheme
from xfunc_core.references.published import atomref

WHY = "Why no interval"
"""Name of a column."""
ROUNDING = 1e-9
"""eV/atom; a shift that is no less sure than this is one of made-up pairs, and nothing tells how sure it is."""


def element_shifts(source: Source, references: PairedReferences) -> pd.DataFrame:
    """Shift r²SCAN − PBE of every element in the pairs that have both energies, eV/atom, indexed by symbol in order of Z.

    Columns ``z``, ``n_frames``, ``n_materials``, ``shift`` (NaN where the references have none, or only in combination), ``low`` and
    ``high`` of its 95 % interval, ``why`` there is no shift or no interval ('' where there are both) and ``published``, the difference of
    chgnet's two AtomRefs (NaN where one has no value).

    The interval is that of a least-squares fit with errors alike within a material (`cluster_errors`); `_why` lists where there is none.

    Args:
        source: the pairs.
        references: of these pairs.
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
            "why": "",
            "published": (atomref("r2scan") - atomref("mptrj"))[present],
        },
        index=pd.Index([SYMBOLS[i] for i in present], name="element"),
    )
    fitted = references.scheme is PairedScheme.LSTSQ and not references.is_exact and len(both)
    errors = _errors(source, both, present) if fitted else ClusterErrors(*np.full((2, len(present)), np.nan))
    half = errors.half()
    table["why"] = _why(table, references, errors.degrees, half)
    half[(table["why"] != "").to_numpy()] = np.nan
    table["low"], table["high"] = table["shift"] - half, table["shift"] + half
    return table


def _why(table: pd.DataFrame, references: PairedReferences, degrees: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Why each element has no shift or no interval, in a few words, the first reason that holds; '' where it has both."""
    fitted, materials = references.scheme is PairedScheme.LSTSQ, table["n_materials"].to_numpy()
    given = np.full(len(table), not fitted)
    reasons = (
        (table["shift"].isna().to_numpy(), "known in sum with other elements only" if fitted else "the references have none"),
        (given, "looked up, not fitted"),
        (~given & references.is_exact, "as many reference energies as pairs"),
        (materials < MIN_MATERIALS, f"fewer than {MIN_MATERIALS} materials"),
        (np.isnan(degrees), "one material alone tells it from other elements"),
        (degrees < MIN_DEGREES, "too few materials tell it from other elements"),
        (~(half > ROUNDING), "nothing varies between the pairs"),
    )
    return np.select([holds for holds, _ in reasons], [words for _, words in reasons], "")


def _errors(source: Source, both: np.ndarray, present: np.ndarray) -> ClusterErrors:
    """Errors of the shifts of the elements present: least squares is linear, so they are those of a fit to the difference."""
    key = source.materials[both].astype(np.int64) * (2 * len(source) + 1) + source.compositions[both]
    merged = merged_rows(key, (source.energy_r2scan - source.energy_pbe)[both])
    rows = both[merged.row]
    weighted = source.composition[rows][:, present] * merged.weight[:, None]
    return cluster_errors(weighted, merged.means[0] * merged.weight, source.materials[rows])


def scale_sentence(source: Source) -> str:
    """Why the shifts of these pairs and chgnet's need not agree; '' where both are of VASP."""
    scales = energy_scales(source)
    if all(scale.startswith(VASP) for scale in scales):
        return ""
    return (
        "A shift belongs to the code and its potentials as much as to the functionals: it is large where both change what the core electrons "
        f"count. The energy scale of these data is {' and '.join(scales)}; chgnet's AtomRefs are of {VASP} with the potentials of the Materials Project."
    )


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
            WHY: list(shifts["why"]),
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
