"""Pair the frames of a PBE dataset with those of an r²SCAN dataset: same id, then the same geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

POSITION_TOLERANCE = 1e-2
"""Å; files round coordinates, so the same frame may differ by this much and no more."""


@dataclass(frozen=True)
class Pairs:
    """Frames that two datasets share.

    Attributes:
        pbe: the dataset labelled with PBE.
        r2scan: the dataset labelled with r²SCAN.
        rows_pbe: rows of the shared frames in ``pbe``, shape (P,).
        rows_r2scan: rows of the same frames in ``r2scan``, shape (P,).
        unpaired: frames left alone, with columns frame_id, functional, reason.
    """

    pbe: Dataset
    r2scan: Dataset
    rows_pbe: np.ndarray
    rows_r2scan: np.ndarray
    unpaired: pd.DataFrame

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.rows_pbe)

    @property
    def energy_pbe(self) -> np.ndarray:
        """PBE energies of the pairs, eV/atom, shape (P,)."""
        return self.pbe.energy_per_atom[self.rows_pbe]

    @property
    def energy_r2scan(self) -> np.ndarray:
        """r²SCAN energies of the pairs, eV/atom, shape (P,)."""
        return self.r2scan.energy_per_atom[self.rows_r2scan]

    @property
    def composition(self) -> np.ndarray:
        """Atomic fractions of the pairs, shape (P, 94)."""
        return self.r2scan.composition[self.rows_r2scan]

    @property
    def frames(self) -> pd.DataFrame:
        """The frame table of the pairs in r²SCAN: frame_id, material_id, formula, n_atoms and so on, P rows."""
        return self.r2scan.table.iloc[self.rows_r2scan].reset_index(drop=True)

    def components(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Force components (eV/Å), stress components (GPa) or magmoms (μB) of the pairs, flat, PBE then r²SCAN."""
        return _components(self.pbe, self.rows_pbe, name), _components(self.r2scan, self.rows_r2scan, name)


def pair_by_id(pbe: Dataset, r2scan: Dataset) -> Pairs:
    """Pair frames by frame id and verify that the geometry is the same.

    Raises:
        DataError: the two datasets are not one of PBE and one of r²SCAN.
    """
    if pbe.functional is not Functional.PBE or r2scan.functional is not Functional.R2SCAN:
        raise DataError(f"{pbe.info.name!r} and {r2scan.info.name!r} are not a PBE and an r²SCAN dataset: choose one of each.")
    row_of = {frame_id: row for row, frame_id in enumerate(r2scan.table["frame_id"])}
    rows, unpaired = [], []
    for row, frame_id in enumerate(pbe.table["frame_id"]):
        other = row_of.get(frame_id)
        reason = "no frame of this id in the other dataset" if other is None else _difference(pbe, row, r2scan, other)
        if reason:
            unpaired.append((frame_id, Functional.PBE.label, reason))
        else:
            rows.append((row, other))
    paired = {r2scan.table["frame_id"].iat[other] for _, other in rows}
    known = dict.fromkeys((f for f, _, _ in unpaired), True)
    for frame_id in r2scan.table["frame_id"]:
        if frame_id not in paired:
            reason = "another geometry" if frame_id in known else "no frame of this id in the other dataset"
            unpaired.append((frame_id, Functional.R2SCAN.label, reason))
    both = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return Pairs(pbe, r2scan, both[:, 0], both[:, 1], pd.DataFrame(unpaired, columns=["frame_id", "functional", "reason"]))


def _difference(a: Dataset, row_a: int, b: Dataset, row_b: int) -> str:
    """Why two frames of one id are not the same structure; '' when they are."""
    atoms_a, atoms_b = a.atoms_of(row_a), b.atoms_of(row_b)
    if not np.array_equal(a.atom_array("numbers")[atoms_a], b.atom_array("numbers")[atoms_b]):
        return "another geometry"
    lattice = np.asarray(a.frame_array("lattice")[row_a])
    if np.abs(lattice - b.frame_array("lattice")[row_b]).max() > POSITION_TOLERANCE:
        return "another geometry"
    shift = (a.atom_array("positions")[atoms_a] - b.atom_array("positions")[atoms_b]) @ np.linalg.inv(lattice)
    shift -= np.round(shift)
    return "another geometry" if np.abs(shift @ lattice).max() > POSITION_TOLERANCE else ""


def _components(dataset: Dataset, rows: np.ndarray, name: str) -> np.ndarray:
    if name == "stress":
        return np.asarray(dataset.frame_array(name)[rows]).ravel()
    array = dataset.atom_array(name)
    return np.concatenate([np.ravel(array[dataset.atoms_of(int(row))]) for row in rows]) if len(rows) else np.empty(0)
