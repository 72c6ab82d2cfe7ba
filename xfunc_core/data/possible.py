"""What no calculation of matter gives: labels beyond these limits are slips of a file, and their frames are left out.

The limits are generous, so that nothing that was computed is lost. Energy: all electrons of plutonium, the heaviest element,
are bound by 0.8 MeV. Force: two bare plutonium nuclei half an ångström apart, closer than the shortest bond there is (0.74 Å, of
H₂), repel each other with 14.4 eV Å · 94² / (0.5 Å)² = 5·10⁵ eV/Å. Stress: the centre of the sun is at 2.5·10⁷ GPa. Moment: an
atom has at most 94 electrons, of 1 μB each.
"""

from __future__ import annotations

import numpy as np

from xfunc_core.data.batch import FrameBatch
from xfunc_core.quantities import ENERGY, FORCE, MAGMOM, STRESS, Quantity

LIMITS: dict[Quantity, float] = {ENERGY: 1e6, FORCE: 1e6, STRESS: 1e8, MAGMOM: 100.0}
"""In the unit of each quantity, either sign; the energy per atom."""


def impossible(batch: FrameBatch) -> list[str]:
    """For each frame why its labels cannot be, '' where they can; absent labels can."""
    energy = np.abs(batch.energy) / batch.n_atoms
    sizes = {
        ENERGY: energy,
        FORCE: _largest(np.abs(batch.forces).max(axis=1), batch),
        STRESS: np.abs(batch.stress).max(axis=1),
        MAGMOM: _largest(np.abs(batch.magmoms), batch),
    }
    reasons = [""] * len(batch)
    for quantity, size in reversed(sizes.items()):
        for row in np.flatnonzero(size > LIMITS[quantity]):
            reasons[row] = f"its {quantity.label.lower()} is beyond ±{LIMITS[quantity]:,.0f} {quantity.unit}, which nothing reaches"
    return reasons


def _largest(sizes: np.ndarray, batch: FrameBatch) -> np.ndarray:
    """The largest of each frame's atoms, shape (F,)."""
    return np.maximum.reduceat(sizes, batch.first_atom)
