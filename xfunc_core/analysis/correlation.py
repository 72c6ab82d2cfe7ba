"""How PBE and r²SCAN data of the same frames correlate: energies, raw and referenced, and components.

Huang et al. 2025 (npj Comput. Mater. 11, 313) report Pearson 0.0917 for raw energies and 0.9250 after
each functional's own elemental references are subtracted; the per-element table is not in the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from xfunc_core.analysis.metrics import as_composition, finite_pairs, is_constant, pearson
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError, DataError


@dataclass(frozen=True)
class EnergySpread:
    """How two sets of energies per atom agree up to a shift.

    Attributes:
        n: frames counted.
        pearson: correlation coefficient; NaN where either side is constant or n < 2.
        mean_shift: mean of r²SCAN − PBE, eV/atom.
        mae: mean absolute deviation of r²SCAN − PBE from ``mean_shift``, eV/atom.
        rmse: root mean square deviation of r²SCAN − PBE from ``mean_shift``, eV/atom.
    """

    n: int
    pearson: float
    mean_shift: float
    mae: float
    rmse: float


@dataclass(frozen=True)
class EnergyCorrelation:
    """r²SCAN against PBE energies of the same frames, eV/atom. Arrays keep the order of the input.

    Attributes:
        n_frames: frames with both energies.
        n_materials: materials among them.
        n_left_out: frames without one of the energies.
        n_unreferenced: frames with both energies but an element without a reference.
        raw: spread of the energies as they are.
        referenced: spread after subtracting the references, or None without references.
        pbe, r2scan: shape (F,), energies as given; NaN where a frame is left out.
        pbe_referenced, r2scan_referenced: shape (F,), E − x·w, or None; NaN also where unreferenced.
        min_materials: fewest materials for a per-element correlation.
        by_element: indexed by symbol; columns ``z``, ``n_frames``, ``n_materials``, ``shift``
            (w_r2scan − w_pbe, NaN where unknown), ``mean_shift`` (of frames containing the element),
            ``pearson_raw``, ``pearson_referenced`` (NaN: too few materials to say). eV/atom.
    """

    n_frames: int
    n_materials: int
    n_left_out: int
    n_unreferenced: int
    raw: EnergySpread
    referenced: EnergySpread | None
    pbe: np.ndarray
    r2scan: np.ndarray
    pbe_referenced: np.ndarray | None
    r2scan_referenced: np.ndarray | None
    min_materials: int
    by_element: pd.DataFrame

    @property
    def pearson_raw(self) -> float:
        """Pearson coefficient of the energies as they are."""
        return self.raw.pearson

    @property
    def pearson_referenced(self) -> float:
        """Pearson coefficient of the referenced energies; NaN without references."""
        return self.referenced.pearson if self.referenced else math.nan


@dataclass(frozen=True)
class ComponentCorrelation:
    """r²SCAN against PBE components (forces, stresses, magnetic moments), in their own unit.

    Attributes:
        n: pairs that are finite on both sides.
        pearson: correlation coefficient; NaN where either side is constant or n < 2.
        mae, rmse: of b − a.
        slope: of b against a by least squares; NaN where a is constant.
    """

    n: int
    pearson: float
    mae: float
    rmse: float
    slope: float


def correlate_energies(
    energy_pbe: ArrayLike,
    energy_r2scan: ArrayLike,
    composition: ArrayLike,
    material_ids: ArrayLike,
    references_pbe: ArrayLike | None = None,
    references_r2scan: ArrayLike | None = None,
    min_materials: int = 5,
) -> EnergyCorrelation:
    """Correlate the energies of the same frames in two functionals (Huang et al. 2025, Correlation).

    Frames with a NaN energy are left out and counted.

    Args:
        energy_pbe, energy_r2scan: shape (F,), eV/atom.
        composition: shape (F, 94), atomic fractions, column Z − 1.
        material_ids: shape (F,), what groups the frames of one material.
        references_pbe, references_r2scan: shape (94,), eV/atom, NaN where an element has none.
        min_materials: fewest materials with an element for its coefficients to be given.

    Raises:
        ConfigError: references are given for one functional only.
        DataError: the shapes do not fit.
    """
    pbe, r2scan, kept = _energies(energy_pbe, energy_r2scan)
    fractions = as_composition(composition, len(pbe))
    materials = _codes(material_ids, len(pbe))
    references = _references(references_pbe, references_r2scan)
    pbe_ref = r2scan_ref = None
    if references is not None:
        pbe_ref, r2scan_ref = (subtract_references(e, fractions, w) for e, w in zip((pbe, r2scan), references, strict=True))
    referenced = None if pbe_ref is None else energy_spread(pbe_ref, r2scan_ref)
    return EnergyCorrelation(
        n_frames=int(kept.sum()),
        n_materials=len(np.unique(materials[kept])),
        n_left_out=int((~kept).sum()),
        n_unreferenced=int(kept.sum()) - referenced.n if referenced else 0,
        raw=energy_spread(pbe, r2scan),
        referenced=referenced,
        pbe=pbe,
        r2scan=r2scan,
        pbe_referenced=pbe_ref,
        r2scan_referenced=r2scan_ref,
        min_materials=min_materials,
        by_element=_by_element((pbe, r2scan), (pbe_ref, r2scan_ref), fractions, materials, references, min_materials),
    )


def correlate_components(a: ArrayLike, b: ArrayLike) -> ComponentCorrelation:
    """Correlate components of any shape; pairs with a NaN on either side are left out.

    Raises:
        DataError: the shapes differ.
    """
    a, b = finite_pairs(a, b)
    if a.size == 0:
        return ComponentCorrelation(0, math.nan, math.nan, math.nan, math.nan)
    difference = b - a
    return ComponentCorrelation(
        n=int(a.size),
        pearson=pearson(a, b),
        mae=float(np.abs(difference).mean()),
        rmse=float(np.sqrt(np.square(difference).mean())),
        slope=math.nan if is_constant(a) else float(np.cov(a, b, bias=True)[0, 1] / a.var()),
    )


def energy_spread(pbe: ArrayLike, r2scan: ArrayLike) -> EnergySpread:
    """Spread of r²SCAN − PBE around its mean, both shape (F,) in eV/atom; NaN pairs are left out."""
    pbe, r2scan = finite_pairs(pbe, r2scan)
    if pbe.size == 0:
        return EnergySpread(0, math.nan, math.nan, math.nan, math.nan)
    difference = r2scan - pbe
    shift = float(difference.mean())
    around = difference - shift
    return EnergySpread(
        n=int(pbe.size),
        pearson=pearson(pbe, r2scan),
        mean_shift=shift,
        mae=float(np.abs(around).mean()),
        rmse=float(np.sqrt(np.square(around).mean())),
    )


def subtract_references(energy: np.ndarray, composition: np.ndarray, references: np.ndarray) -> np.ndarray:
    """E − x·w in eV/atom, shape (F,); NaN for a frame with an element whose reference is NaN.

    Args:
        energy: shape (F,), eV/atom.
        composition: shape (F, 94), atomic fractions.
        references: shape (94,), eV/atom.
    """
    unknown = ~np.isfinite(references)
    referenced = energy - composition @ np.where(unknown, 0.0, references)
    referenced[(composition[:, unknown] > 0).any(axis=1)] = math.nan
    return referenced


def _energies(energy_pbe: ArrayLike, energy_r2scan: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pbe, r2scan = np.array(energy_pbe, dtype=float), np.array(energy_r2scan, dtype=float)
    if pbe.ndim != 1 or pbe.shape != r2scan.shape:
        raise DataError(f"PBE and r²SCAN energies of shape {pbe.shape} and {r2scan.shape} are not of the same frames.")
    kept = np.isfinite(pbe) & np.isfinite(r2scan)
    pbe[~kept] = r2scan[~kept] = math.nan
    return pbe, r2scan, kept


def _codes(material_ids: ArrayLike, n_frames: int) -> np.ndarray:
    codes, _ = pd.factorize(np.asarray(material_ids, dtype=object), use_na_sentinel=False)
    if len(codes) != n_frames:
        raise DataError(f"There are {len(codes)} material ids for {n_frames} frames; one for each frame is needed.")
    return codes


def _references(pbe: ArrayLike | None, r2scan: ArrayLike | None) -> tuple[np.ndarray, np.ndarray] | None:
    if pbe is None and r2scan is None:
        return None
    if pbe is None or r2scan is None:
        raise ConfigError("References are given for one functional only; give them for both, or for neither.")
    pair = np.asarray(pbe, dtype=float), np.asarray(r2scan, dtype=float)
    for references in pair:
        if references.shape != (N_REFERENCED,):
            raise DataError(f"References have the shape {references.shape}; one for each of {N_REFERENCED} elements is needed.")
    return pair


def _by_element(
    raw: tuple[np.ndarray, np.ndarray],
    referenced: tuple[np.ndarray | None, np.ndarray | None],
    fractions: np.ndarray,
    materials: np.ndarray,
    references: tuple[np.ndarray, np.ndarray] | None,
    min_materials: int,
) -> pd.DataFrame:
    kept = np.isfinite(raw[0])
    shift = np.full(N_REFERENCED, math.nan) if references is None else references[1] - references[0]
    rows = []
    for column in np.flatnonzero((fractions[kept] > 0).any(axis=0)):
        has = kept & (fractions[:, column] > 0)
        pbe, r2scan = raw[0][has], raw[1][has]
        row = {"element": SYMBOLS[column], "z": column + 1, "n_frames": int(has.sum())}
        row |= {"n_materials": len(np.unique(materials[has])), "shift": shift[column]}
        row |= {"mean_shift": float((r2scan - pbe).mean())}
        row |= {"pearson_raw": _enough(pbe, r2scan, materials[has], min_materials), "pearson_referenced": math.nan}
        if referenced[0] is not None:
            row["pearson_referenced"] = _enough(referenced[0][has], referenced[1][has], materials[has], min_materials)
        rows.append(row)
    columns = ["element", "z", "n_frames", "n_materials", "shift", "mean_shift", "pearson_raw", "pearson_referenced"]
    return pd.DataFrame(rows, columns=columns).set_index("element")


def _enough(a: np.ndarray, b: np.ndarray, materials: np.ndarray, min_materials: int) -> float:
    finite = np.isfinite(a) & np.isfinite(b)
    return pearson(a, b) if len(np.unique(materials[finite])) >= min_materials else math.nan
