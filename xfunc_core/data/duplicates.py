"""Frames of one dataset that are the same structure, and whether their labels agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.same_structure import Structures, group_same

AGREE = {"energy": 1e-3, "force": 0.05, "stress": 0.5}
"""How far labels of one structure may differ and count as the same: eV/atom, eV/Å (largest force), GPa (pressure). What atoms
that are moved by the tolerance of positions change, and different settings of one code do."""


@dataclass(frozen=True)
class Duplicates:
    """Structures that occur more than once.

    Attributes:
        copies: rows of all frames of a structure whose labels agree, ascending.
        conflicting: rows of all frames of a structure with labels that differ, ascending.
        n_copied: structures among ``copies``.
        n_conflicting: structures among ``conflicting``.
        largest_difference: of the energies of one structure, eV/atom; 0 without energies.
    """

    copies: np.ndarray
    conflicting: np.ndarray
    n_copied: int
    n_conflicting: int
    largest_difference: float


def find_duplicates(dataset: Dataset) -> Duplicates:
    """Find the structures that a dataset holds more than once; `xfunc_core.data.same_structure` says which are the same.

    A label that only some frames of a structure have is no difference.
    """
    group = group_same(Structures(dataset))
    size = np.bincount(group, minlength=1)
    energy = _spread(group, dataset.energy_per_atom)
    force, pressure = (_spread(group, dataset.columns[name].to_numpy()) for name in ("largest_force", "pressure"))
    repeated = size > 1
    differs = repeated & ((energy > AGREE["energy"]) | (force > AGREE["force"]) | (pressure > AGREE["stress"]))
    agrees = repeated & ~differs
    return Duplicates(
        copies=np.flatnonzero(agrees[group]),
        conflicting=np.flatnonzero(differs[group]),
        n_copied=int(agrees.sum()),
        n_conflicting=int(differs.sum()),
        largest_difference=float(energy.max(initial=0.0)),
    )


def _spread(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Largest minus smallest finite value of each group; 0 where there are none."""
    n_groups = group.max(initial=-1) + 1
    low, high = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    known = np.isfinite(values)
    np.minimum.at(low, group[known], values[known])
    np.maximum.at(high, group[known], values[known])
    return np.where(high >= low, high - low, 0.0)
