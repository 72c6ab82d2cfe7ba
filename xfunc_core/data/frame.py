"""One structure with the labels of one functional, in the units xfunc keeps everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xfunc_core.quantities import Functional


@dataclass(frozen=True)
class Frame:
    """One structure and its labels; a label that is absent is None (energy: NaN).

    Attributes:
        frame_id: unique within a dataset, and the key by which two functionals pair.
        material_id: groups the frames of one material; splits never cut through it.
        functional: which functional the labels come from.
        numbers: atomic numbers, shape (N,).
        lattice: row vectors in Å, shape (3, 3).
        positions: Cartesian positions in Å, shape (N, 3).
        energy: total energy in eV.
        forces: eV/Å, shape (N, 3).
        stress: GPa, tension positive, Voigt order xx yy zz yz xz xy, shape (6,).
        magmoms: μB, shape (N,).
        provenance: whatever the source says about its origin.
        masked: labels that were there but unusable, each as a sentence fragment.
        isolated_atom_energy: eV, when the source names it for an elemental frame.
        correction: eV, the part of ``energy`` that is an empirical correction such as MP2020's; NaN where the source does not say.
        hubbard_u: whether a Hubbard U was used; None where the source does not say.
    """

    frame_id: str
    material_id: str
    functional: Functional
    numbers: np.ndarray
    lattice: np.ndarray
    positions: np.ndarray
    energy: float = float("nan")
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    magmoms: np.ndarray | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    masked: tuple[str, ...] = ()
    isolated_atom_energy: float | None = None
    correction: float = float("nan")
    hubbard_u: bool | None = None

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.numbers)


@dataclass(frozen=True)
class Rejected:
    """A document that is no usable frame: which one, and why."""

    position: int
    frame_id: str
    reason: str


@dataclass(frozen=True)
class Note:
    """What a reader tells about the whole file: a unit it assumed, a key it used, a guess."""

    sentence: str


def cartesian(fractional: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Cartesian positions in Å, shape (N, 3), of fractional ones in one lattice (3, 3) or one for each atom (N, 3, 3).

    Written out, so that a frame has the same bits whether it was read alone or among others.
    """
    a, b, c = (lattice[..., i, :] for i in range(3))
    return fractional[:, :1] * a + fractional[:, 1:2] * b + fractional[:, 2:] * c


def voigt_to_matrix(stress: np.ndarray) -> np.ndarray:
    """Stress in Voigt order xx yy zz yz xz xy, shape (…, 6), as symmetric matrices (…, 3, 3)."""
    return np.asarray(stress)[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]


def matrix_to_voigt(stress: np.ndarray) -> np.ndarray:
    """Symmetric stress (…, 3, 3) in Voigt order xx yy zz yz xz xy, shape (…, 6)."""
    matrix = np.asarray(stress)
    return matrix[..., [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
