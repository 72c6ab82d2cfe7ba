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
ALONE = "no frame of this id in the other dataset"
GEOMETRY = "another geometry"
REPEATED = "more than one frame has this id"
_BLOCK = 10_000
"""Pairs compared at a time, so that memory stays small whatever the size of the datasets."""


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
    (rows_pbe, repeated_pbe), (rows_r2scan, repeated_r2scan) = _rows_by_id(pbe), _rows_by_id(r2scan)
    repeated = repeated_pbe | repeated_r2scan
    shared = [frame_id for frame_id in rows_pbe if frame_id in rows_r2scan and frame_id not in repeated]
    rows = np.array([(rows_pbe[frame_id], rows_r2scan[frame_id]) for frame_id in shared], dtype=np.int64).reshape(-1, 2)
    same = _same_geometry(pbe, rows[:, 0], r2scan, rows[:, 1])
    reasons = dict.fromkeys(repeated, REPEATED) | {frame_id: None if paired else GEOMETRY for frame_id, paired in zip(shared, same, strict=True)}
    unpaired = [(frame_id, dataset.functional.label, reason) for dataset in (pbe, r2scan) for frame_id in dataset.table["frame_id"] if (reason := reasons.get(frame_id, ALONE))]
    return Pairs(pbe, r2scan, *rows[same].T, pd.DataFrame(unpaired, columns=["frame_id", "functional", "reason"]))


def _rows_by_id(dataset: Dataset) -> tuple[dict[str, int], set[str]]:
    """Row of every id, and the ids that stand for more than one frame."""
    ids = dataset.table["frame_id"]
    return {frame_id: row for row, frame_id in enumerate(ids)}, set(ids[ids.duplicated()])


def _same_geometry(a: Dataset, rows_a: np.ndarray, b: Dataset, rows_b: np.ndarray) -> np.ndarray:
    """Which of P pairs of frames are the same structure, shape (P,)."""
    count_a, count_b = (d.table["n_atoms"].to_numpy()[rows] for d, rows in ((a, rows_a), (b, rows_b)))
    lattice_a, lattice_b = (d.frame_array("lattice")[rows] for d, rows in ((a, rows_a), (b, rows_b)))
    same = (count_a == count_b) & (np.abs(lattice_a - lattice_b).max(axis=(1, 2), initial=0) <= POSITION_TOLERANCE)
    candidates = np.flatnonzero(same)
    for start in range(0, len(candidates), _BLOCK):
        block = candidates[start : start + _BLOCK]
        same[block] = _same_atoms(a, rows_a[block], b, rows_b[block])
    return same


def _same_atoms(a: Dataset, rows_a: np.ndarray, b: Dataset, rows_b: np.ndarray) -> np.ndarray:
    """Which pairs hold the same elements at the same places up to lattice vectors; atom counts and lattices are known to agree."""
    atoms_a, atoms_b = a.atoms_of_all(rows_a), b.atoms_of_all(rows_b)
    owner = np.repeat(np.arange(len(rows_a)), a.table["n_atoms"].to_numpy()[rows_a])
    lattice = np.asarray(a.frame_array("lattice")[rows_a])
    shift = np.einsum("ni,nij->nj", a.atom_array("positions")[atoms_a] - b.atom_array("positions")[atoms_b], np.linalg.inv(lattice)[owner])
    distance = np.abs(np.einsum("ni,nij->nj", shift - np.round(shift), lattice[owner])).max(axis=1)
    moved = (distance > POSITION_TOLERANCE) | (a.atom_array("numbers")[atoms_a] != b.atom_array("numbers")[atoms_b])
    same = np.ones(len(rows_a), dtype=bool)
    same[owner[moved]] = False
    return same


def _components(dataset: Dataset, rows: np.ndarray, name: str) -> np.ndarray:
    if name == "stress":
        return np.asarray(dataset.frame_array(name)[rows]).ravel()
    return np.asarray(dataset.atom_array(name)[dataset.atoms_of_all(rows)]).ravel()
