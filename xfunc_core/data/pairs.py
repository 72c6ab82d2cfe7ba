"""Frames of a PBE and an r²SCAN dataset that belong together, and the way that is sure: the same id and the same geometry.

`xfunc_core.data.pairing` is the entrance to every way of pairing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional, count_text

POSITION_TOLERANCE = 1e-2
"""Å; files round coordinates, so the same frame may differ by this much and no more."""
ALONE = "no frame of this id in the other dataset"
GEOMETRY = "another geometry"
REPEATED = "more than one frame has this id"
_BLOCK = 10_000
"""Pairs compared at a time, so that memory stays small whatever the size of the datasets."""


class PairingMethod(Enum):
    """How the two frames of a pair are found."""

    BY_ID = "id"
    BY_MATERIAL = "material"
    BY_STRUCTURE = "structure"

    @property
    def label(self) -> str:
        """The short name on screen."""
        return {"id": "Same id", "material": "Same material", "structure": "Same structure"}[self.value]

    @property
    def sentence(self) -> str:
        """What it does, for a reader."""
        return {
            "id": f"Frames of one id whose elements, lattice and positions agree within {POSITION_TOLERANCE:g} Å; energies, forces and stresses compare one by one.",
            "material": "Of every material the frame of lowest energy per atom on each side, its end where it was relaxed; energies and volumes compare, forces and stresses do not.",
            "structure": "Frames of one reduced formula that pymatgen's StructureMatcher finds to be the same crystal, whatever their ids; energies and volumes compare, forces and stresses do not.",
        }[self.value]


@dataclass(frozen=True)
class Pairs:
    """Frames that two datasets share.

    Attributes:
        pbe: the dataset labelled with PBE.
        r2scan: the dataset labelled with r²SCAN.
        rows_pbe: rows of the paired frames in ``pbe``, shape (P,).
        rows_r2scan: rows of their partners in ``r2scan``, shape (P,).
        unpaired: frames left alone, with columns frame_id, functional, reason.
        method: how they were paired.
        details: what the method knows of each pair, P rows: by material ``candidates_pbe`` and ``candidates_r2scan``,
            the frames each was chosen from; by structure ``distance``, the root mean square distance of atoms as
            a share of the cube root of the volume per atom.
    """

    pbe: Dataset
    r2scan: Dataset
    rows_pbe: np.ndarray
    rows_r2scan: np.ndarray
    unpaired: pd.DataFrame
    method: PairingMethod = PairingMethod.BY_ID
    details: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.rows_pbe)

    @property
    def components_comparable(self) -> bool:
        """Whether both frames of a pair hold the same atoms in the same order at the same places."""
        return self.method is PairingMethod.BY_ID

    has_structures = True
    """Whether a pair can be looked at; see `xfunc_core.data.pair_table.PairTable`."""

    @cached_property
    def energy_pbe(self) -> np.ndarray:
        """PBE energies of the pairs, eV/atom, shape (P,)."""
        return self.pbe.energy_per_atom[self.rows_pbe]

    @cached_property
    def energy_r2scan(self) -> np.ndarray:
        """r²SCAN energies of the pairs, eV/atom, shape (P,)."""
        return self.r2scan.energy_per_atom[self.rows_r2scan]

    @cached_property
    def volume_pbe(self) -> np.ndarray:
        """Volumes of the PBE frames, Å³/atom, shape (P,)."""
        return volume_per_atom(self.pbe)[self.rows_pbe]

    @cached_property
    def volume_r2scan(self) -> np.ndarray:
        """Volumes of the r²SCAN frames, Å³/atom, shape (P,)."""
        return volume_per_atom(self.r2scan)[self.rows_r2scan]

    @cached_property
    def composition(self) -> np.ndarray:
        """Atomic fractions of the pairs, shape (P, 94); the same on both sides, whatever the method."""
        every = np.array_equal(self.rows_r2scan, np.arange(len(self.r2scan)))
        return self.r2scan.composition if every else self.r2scan.composition[self.rows_r2scan]  # a copy may take hundreds of megabytes

    @cached_property
    def fractions(self) -> csr_array:
        """The same as a sparse matrix, columns ascending: a few numbers a pair instead of 94."""
        return csr_array(self.composition)

    @cached_property
    def materials(self) -> np.ndarray:
        """A whole number for each pair, equal for pairs of one material, shape (P,)."""
        return pd.factorize(self.frames["material_id"])[0]

    @cached_property
    def compositions(self) -> np.ndarray:
        """A whole number for each pair, equal only for pairs of one composition, shape (P,)."""
        return composition_codes(self.frames["formula"])

    @cached_property
    def frames(self) -> pd.DataFrame:
        """The frame table of the pairs in r²SCAN: frame_id, material_id, formula, n_atoms and so on, P rows."""
        return self.r2scan.table.iloc[self.rows_r2scan].reset_index(drop=True)

    def components(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Force components (eV/Å), stress components (GPa) or magmoms (μB) of the pairs, flat, PBE then r²SCAN.

        Empty where they do not belong to the same atoms, see `components_comparable`.
        """
        if not self.components_comparable:
            return np.empty(0), np.empty(0)
        return _components(self.pbe, self.rows_pbe, name), _components(self.r2scan, self.rows_r2scan, name)

    def reasons(self) -> pd.DataFrame:
        """How many frames are without a partner for which reason: functional, reason, n_frames, most frequent first."""
        counted = self.unpaired.groupby(["functional", "reason"], sort=False).size().rename("n_frames").reset_index()
        return counted.sort_values("n_frames", ascending=False, kind="stable").reset_index(drop=True)

    def sentences(self) -> list[str]:
        """The pairing for a reader: what was paired, what the pairs are good for, one sentence a reason for the rest."""
        lines = [f"Pairs: {count_text(len(self))}. {self.method.sentence}"]
        return lines + [f"{functional} frames without a partner: {count_text(n)}, {reason}." for functional, reason, n in self.reasons().itertuples(index=False)]


def pair_by_id(pbe: Dataset, r2scan: Dataset) -> Pairs:
    """Pair frames by frame id and verify that the geometry is the same.

    Raises:
        DataError: the two datasets are not one of PBE and one of r²SCAN.
    """
    check_functionals(pbe, r2scan)
    key_pbe, key_r2scan = shared_keys(pbe, r2scan, "frame_id")
    count_pbe, count_r2scan = count_keys(key_pbe, key_r2scan)
    row_r2scan = np.zeros(len(count_r2scan), dtype=np.int64)
    row_r2scan[key_r2scan] = np.arange(len(r2scan))
    reason = np.full(len(count_pbe), ALONE, dtype=object)
    once = (count_pbe == 1) & (count_r2scan == 1)
    reason[once] = GEOMETRY
    reason[(count_pbe > 1) | (count_r2scan > 1)] = REPEATED
    rows_pbe = np.flatnonzero(once[key_pbe])
    rows_r2scan = row_r2scan[key_pbe[rows_pbe]]
    same = _same_geometry(pbe, rows_pbe, r2scan, rows_r2scan)
    rows = rows_pbe[same], rows_r2scan[same]
    return Pairs(pbe, r2scan, *rows, unpaired_frames((pbe, r2scan), rows, (reason[key_pbe], reason[key_r2scan])))


def check_functionals(pbe: Dataset, r2scan: Dataset) -> None:
    """Refuse two datasets that cannot be paired.

    Raises:
        DataError: they are not one of PBE and one of r²SCAN.
    """
    if pbe.functional is not Functional.PBE or r2scan.functional is not Functional.R2SCAN:
        raise DataError(f"{pbe.info.name!r} and {r2scan.info.name!r} are not a PBE and an r²SCAN dataset: choose one of each.")


def shared_keys(pbe: Dataset, r2scan: Dataset, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A number for each text of a column of the frame table, the same in both datasets, shapes (F,) of each."""
    keys, _ = pd.factorize(pd.concat([pbe.table[column], r2scan.table[column]], ignore_index=True))
    return keys[: len(pbe)], keys[len(pbe) :]


def count_keys(*keys: np.ndarray) -> list[np.ndarray]:
    """How often each key occurs on each side, all of one length."""
    n_keys = max(key.max(initial=-1) for key in keys) + 1
    return [np.bincount(key, minlength=n_keys) for key in keys]


def unpaired_frames(datasets: Sequence[Dataset], paired: Sequence[np.ndarray], reasons: Sequence[np.ndarray]) -> pd.DataFrame:
    """The frames that are in no pair, PBE first: frame_id, functional, reason.

    Args:
        datasets: PBE and r²SCAN.
        paired: the paired rows of each.
        reasons: why each frame would be alone, shape (F,) of each.
    """
    parts = []
    for dataset, rows, reason in zip(datasets, paired, reasons, strict=True):
        alone = np.delete(np.arange(len(dataset)), rows)
        parts.append(pd.DataFrame({"frame_id": dataset.table["frame_id"].to_numpy(dtype=object)[alone], "functional": dataset.functional.label, "reason": reason[alone]}, dtype=object))
    return pd.concat(parts, ignore_index=True)


def volume_per_atom(dataset: Dataset) -> np.ndarray:
    """Å³/atom of every frame, shape (F,)."""
    return dataset.columns["volume"].to_numpy() / dataset.columns["n_atoms"].to_numpy()


def composition_codes(formulas: pd.Series) -> np.ndarray:
    """A whole number from 0 for each formula, shape (P,), equal only for one composition; a formula that may be rounded stands alone."""
    codes = pd.factorize(formulas)[0].astype(np.int64)
    rounded = np.flatnonzero(formulas.str.contains("[.+]"))
    codes[rounded] = len(formulas) + np.arange(len(rounded))
    return codes


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
