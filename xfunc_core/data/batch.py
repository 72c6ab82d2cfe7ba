"""Many frames of one functional as flat arrays: how frames travel from a fast reader to the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from xfunc_core.data.frame import Frame
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

_OF_A_FRAME = ("frame_ids", "material_ids", "n_atoms", "lattice", "energy", "correction", "stress", "hubbard_u", "provenance")
_OF_AN_ATOM = ("numbers", "positions", "forces", "magmoms")


@dataclass(frozen=True)
class FrameBatch:
    """F frames with A atoms in all, frame after frame; absent labels are NaN.

    Attributes:
        functional: of every label.
        frame_ids: F ids.
        material_ids: F ids.
        n_atoms: atoms of each frame, shape (F,).
        numbers: atomic numbers, shape (A,).
        lattice: row vectors in Å, shape (F, 3, 3).
        positions: Cartesian, Å, shape (A, 3).
        energy: total eV, shape (F,).
        correction: the part of the energy that is an empirical correction, eV, shape (F,).
        forces: eV/Å, shape (A, 3).
        stress: GPa, tension positive, Voigt, shape (F, 6).
        magmoms: μB, shape (A,).
        hubbard_u: whether a Hubbard U was used; None where the source does not say.
        provenance: F JSON objects as text.
        isolated_atoms: energies of isolated atoms that the frames name, eV, by symbol.
    """

    functional: Functional
    frame_ids: Sequence[str]
    material_ids: Sequence[str]
    n_atoms: np.ndarray
    numbers: np.ndarray
    lattice: np.ndarray
    positions: np.ndarray
    energy: np.ndarray
    correction: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    magmoms: np.ndarray
    hubbard_u: Sequence[bool | None]
    provenance: Sequence[str]
    isolated_atoms: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frame_ids)

    @property
    def first_atom(self) -> np.ndarray:
        """Where each frame's atoms begin, shape (F,)."""
        return np.cumsum(self.n_atoms) - self.n_atoms

    def frames(self) -> Iterator[Frame]:
        """The frames one by one."""
        for i, (first, n) in enumerate(zip(self.first_atom, self.n_atoms, strict=True)):
            atoms = slice(int(first), int(first + n))
            yield Frame(
                frame_id=self.frame_ids[i],
                material_id=self.material_ids[i],
                functional=self.functional,
                numbers=self.numbers[atoms],
                lattice=self.lattice[i],
                positions=self.positions[atoms],
                energy=float(self.energy[i]),
                correction=float(self.correction[i]),
                forces=_unless_absent(self.forces[atoms]),
                stress=_unless_absent(self.stress[i]),
                magmoms=_unless_absent(self.magmoms[atoms]),
                hubbard_u=self.hubbard_u[i],
                provenance=json.loads(self.provenance[i]),
            )

    def parts(self, n_frames: int) -> Iterator[FrameBatch]:
        """The batch in parts of so many frames; they share its arrays."""
        bounds = [*self.first_atom[::n_frames].tolist(), len(self.numbers)]
        for start, first, end in zip(range(0, len(self), n_frames), bounds[:-1], bounds[1:], strict=True):
            frames, atoms = slice(start, start + n_frames), slice(first, end)
            yield replace(
                self,
                **{name: getattr(self, name)[frames] for name in _OF_A_FRAME},
                **{name: getattr(self, name)[atoms] for name in _OF_AN_ATOM},
            )

    def take(self, frames: np.ndarray) -> FrameBatch:
        """Those of the frames alone, in this order."""
        n_atoms, first = self.n_atoms[frames], self.first_atom[frames]
        atoms = np.repeat(first - (np.cumsum(n_atoms) - n_atoms), n_atoms) + np.arange(n_atoms.sum())
        columns = {name: getattr(self, name) for name in _OF_A_FRAME}
        return replace(
            self,
            **{name: column[frames] if isinstance(column, np.ndarray) else [column[i] for i in frames] for name, column in columns.items()},
            **{name: getattr(self, name)[atoms] for name in _OF_AN_ATOM},
        )

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> FrameBatch:
        """Flatten frames of one functional, at least one."""
        return cls(
            functional=frames[0].functional,
            frame_ids=[f.frame_id for f in frames],
            material_ids=[f.material_id for f in frames],
            n_atoms=np.array([f.n_atoms for f in frames], dtype=np.int64),
            numbers=np.concatenate([f.numbers for f in frames]),
            lattice=np.array([f.lattice for f in frames], dtype=float),
            positions=np.concatenate([f.positions for f in frames]),
            energy=np.array([f.energy for f in frames], dtype=float),
            correction=np.array([f.correction for f in frames], dtype=float),
            forces=np.concatenate([_or_absent(f.forces, (f.n_atoms, 3)) for f in frames]),
            stress=np.array([_or_absent(f.stress, (6,)) for f in frames], dtype=float),
            magmoms=np.concatenate([_or_absent(f.magmoms, (f.n_atoms,)) for f in frames]),
            hubbard_u=[f.hubbard_u for f in frames],
            provenance=[provenance_text(f.provenance) for f in frames],
            isolated_atoms={SYMBOLS[int(f.numbers[0]) - 1]: f.isolated_atom_energy for f in frames if f.isolated_atom_energy is not None},
        )


def provenance_text(provenance: Mapping[str, Any] | None) -> str:
    """What the source says about a frame's origin, as JSON text.

    Raises:
        DataError: it is nested too deeply to be written.
    """
    content = dict(provenance or {})
    try:
        return orjson.dumps(content).decode()
    except TypeError:  # numbers beyond 64 bits, keys that are no text, objects
        pass
    try:
        return json.dumps(content, default=str)
    except RecursionError as error:
        raise DataError("The provenance of a frame is nested too deeply to be kept: leave it out.") from error


def _or_absent(label: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.nan) if label is None else label


def _unless_absent(label: np.ndarray) -> np.ndarray | None:
    return None if np.isnan(label).all() else label
