"""Pair the relaxed frames of a material: on each side the one of lowest energy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.pairs import PairingMethod, Pairs, check_functionals, count_keys, shared_keys, unpaired_frames

NO_MATERIAL = "no frame of its material in the other dataset"
OTHER_FORMULA = "its material has another formula in the other dataset"
PARTNER_WITHOUT_ENERGY = "no frame of its material in the other dataset has an energy"
NO_ENERGY = "it has no energy"
HIGHER = "another frame of its material is lower in energy"


def pair_by_material(pbe: Dataset, r2scan: Dataset) -> Pairs:
    """Pair one frame a material and formula: on each side that of lowest energy per atom, of equal ones the first.

    ``details`` tells from how many frames with an energy each was chosen. Nothing says whether a frame was relaxed; the
    lowest of a relaxation is its end, the lowest of a molecular dynamics run is not relaxed.

    Raises:
        DataError: the two datasets are not one of PBE and one of r²SCAN.
    """
    check_functionals(pbe, r2scan)
    materials = shared_keys(pbe, r2scan, "material_id")
    keys = _materials_of_one_formula(materials, shared_keys(pbe, r2scan, "formula"))
    energies = pbe.energy_per_atom, r2scan.energy_per_atom
    known = [np.isfinite(energy) for energy in energies]
    n_materials, n_frames = count_keys(*materials), count_keys(*keys)
    n_known = [np.bincount(key[has], minlength=len(n_frames[0])) for key, has in zip(keys, known, strict=True)]
    both = (n_known[0] > 0) & (n_known[1] > 0)
    rows = [_lowest(key, energy, len(both))[both] for key, energy in zip(keys, energies, strict=True)]
    order = np.argsort(rows[0])
    reasons = []
    for here, there in ((0, 1), (1, 0)):
        reason = np.full(len(keys[here]), HIGHER, dtype=object)
        reason[n_known[there][keys[here]] == 0] = PARTNER_WITHOUT_ENERGY
        reason[n_frames[there][keys[here]] == 0] = OTHER_FORMULA
        reason[n_materials[there][materials[here]] == 0] = NO_MATERIAL
        reason[~known[here]] = NO_ENERGY
        reasons.append(reason)
    paired = rows[0][order], rows[1][order]
    details = pd.DataFrame({"candidates_pbe": n_known[0][both][order], "candidates_r2scan": n_known[1][both][order]})
    return Pairs(pbe, r2scan, *paired, unpaired_frames((pbe, r2scan), paired, reasons), PairingMethod.BY_MATERIAL, details)


def _materials_of_one_formula(materials: tuple[np.ndarray, np.ndarray], formulas: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A key for each material and formula: energies per atom of one key are those of one substance."""
    n_formulas = 1 + max(key.max(initial=-1) for key in formulas)
    together = np.concatenate([m.astype(np.int64) * n_formulas + f for m, f in zip(materials, formulas, strict=True)])
    keys = np.unique(together, return_inverse=True)[1]
    return keys[: len(materials[0])], keys[len(materials[0]) :]


def _lowest(key: np.ndarray, energy: np.ndarray, n_keys: int) -> np.ndarray:
    """The row of lowest energy of each key, shape (n_keys,); where none has an energy the number means nothing."""
    order = np.lexsort((energy, key))  # stable, and NaN comes last
    present, first = np.unique(key[order], return_index=True)
    lowest = np.zeros(n_keys, dtype=np.int64)
    lowest[present] = order[first]
    return lowest
