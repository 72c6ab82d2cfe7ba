"""Crystal graphs of many structures as one: flat tensors, and for every sum the rows that go into it.

Atoms stand structure after structure. Bonds do so twice: first those within 3 Å of all structures, then the others, so that
what only short bonds need works on a prefix. Of U bonds, K of them short, the directed bond d < U is bond d as it stands and
U + d its reverse; among the short ones d < K and K + d.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from xfunc_core.elements import N_REFERENCED
from xfunc_core.model.graphs import StructureGraph


class Segments(NamedTuple):
    """M members that belong to n owners, in compressed rows: the members of owner k are ``order[pointers[k]:pointers[k + 1]]``.

    Attributes:
        pointers: shape (n + 1,), int64.
        order: the members sorted by owner, and within one by their number, shape (M,), int64.
        index: the owner of each member, shape (M,), int64.
    """

    pointers: Tensor
    order: Tensor
    index: Tensor


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """The graphs of S structures with A atoms, U bonds, of which K are short, and G angles; all int64 but where said.

    Attributes:
        numbers: atomic numbers, shape (A,).
        structure_of_atom: shape (A,), ascending.
        n_atoms: of each structure, shape (S,).
        composition: atomic fractions, shape (S, 94), float64.
        volume: Å³, shape (S,), float64.
        bond_vector: from the start to the end of each bond in Å, shape (U, 3), float32 unless asked otherwise.
        structure_of_bond: shape (U,).
        n_short: K.
        bonds_by_centre: the 2 U directed bonds by the atom where they start; their index is ``bond_i`` and ``bond_j`` in turn.
        short_by_centre: the same of the 2 K directed short bonds.
        angles_by_first: the angles by their first directed short bond, of 2 K; they are sorted by it.
        angles_by_second: the angles by their second.
    """

    numbers: Tensor
    structure_of_atom: Tensor
    n_atoms: Tensor
    composition: Tensor
    volume: Tensor
    bond_vector: Tensor
    structure_of_bond: Tensor
    n_short: int
    bonds_by_centre: Segments
    short_by_centre: Segments
    angles_by_first: Segments
    angles_by_second: Segments

    @property
    def n_structures(self) -> int:
        """S."""
        return len(self.n_atoms)

    @property
    def bond_i(self) -> Tensor:
        """Atom where each bond starts, shape (U,)."""
        return self.bonds_by_centre.index[: len(self.bond_vector)]

    @property
    def bond_j(self) -> Tensor:
        """Atom where each bond ends, shape (U,)."""
        return self.bonds_by_centre.index[len(self.bond_vector) :]

    @property
    def angle_first(self) -> Tensor:
        """First directed short bond of each angle, ascending, shape (G,)."""
        return self.angles_by_first.index

    @property
    def angle_second(self) -> Tensor:
        """Second directed short bond of each angle, shape (G,)."""
        return self.angles_by_second.index

    def to(self, device: torch.device | str, non_blocking: bool = False) -> GraphBatch:
        """The same batch on another device."""

        def moved(part: Any) -> Any:
            if isinstance(part, Segments):
                return Segments(*map(moved, part))
            return part.to(device, non_blocking=non_blocking) if isinstance(part, Tensor) else part

        return GraphBatch(**{field.name: moved(getattr(self, field.name)) for field in dataclasses.fields(self)})


def collate(graphs: Sequence[StructureGraph], dtype: torch.dtype = torch.float32) -> GraphBatch:
    """One batch, on the CPU, of at least one graph; ``dtype`` is that of the bond vectors."""
    n_atoms, n_short = _counts(g.n_atoms for g in graphs), _counts(g.n_short for g in graphs)
    structures, k = np.arange(len(graphs)), int(n_short.sum())
    structure_of_atom = np.repeat(structures, n_atoms)
    structure_of_bond = np.concatenate(
        [np.repeat(structures, n_short), np.repeat(structures, _counts(g.n_bonds for g in graphs) - n_short)]
    )
    first_atom = _starts(n_atoms)[structure_of_bond]
    numbers = np.concatenate([g.numbers for g in graphs], dtype=np.int64)
    bond_i, bond_j = (_short_first(graphs, name) + first_atom for name in ("bond_i", "bond_j"))
    angle_first, angle_second = _angles(graphs, n_short)
    total = int(n_atoms.sum())
    return GraphBatch(
        numbers=torch.from_numpy(numbers),
        structure_of_atom=torch.from_numpy(structure_of_atom),
        n_atoms=torch.from_numpy(n_atoms),
        composition=torch.from_numpy(_composition(numbers, structure_of_atom, n_atoms)),
        volume=torch.tensor([g.volume for g in graphs], dtype=torch.float64),
        bond_vector=torch.from_numpy(_short_first(graphs, "bond_vector")).to(dtype),
        structure_of_bond=torch.from_numpy(structure_of_bond),
        n_short=k,
        bonds_by_centre=_segments(np.concatenate([bond_i, bond_j]), total),
        short_by_centre=_segments(np.concatenate([bond_i[:k], bond_j[:k]]), total),
        angles_by_first=_segments(angle_first, 2 * k),
        angles_by_second=_segments(angle_second, 2 * k),
    )


def _counts(numbers: Any) -> np.ndarray:
    return np.fromiter(numbers, dtype=np.int64)


def _starts(counts: np.ndarray) -> np.ndarray:
    """Where each of several consecutive ranges begins."""
    return np.cumsum(counts) - counts


def _short_first(graphs: Sequence[StructureGraph], name: str) -> np.ndarray:
    """An array over bonds of all graphs, the short bonds of all before the others."""
    arrays = [getattr(g, name) for g in graphs]
    return np.concatenate(
        [a[: g.n_short] for a, g in zip(arrays, graphs, strict=True)] + [a[g.n_short :] for a, g in zip(arrays, graphs, strict=True)]
    )


def _angles(graphs: Sequence[StructureGraph], n_short: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directed short bonds of all angles, counted over the batch; sorted by the first, as they are in each graph.

    A graph counts its short bonds forward, then reversed; the batch all forward ones before all reversed. So the angles are
    cut where their first bond turns to reversed.
    """
    cuts = [int(np.searchsorted(g.angle_first, g.n_short)) for g in graphs]
    pieces = [(s, slice(0, cut)) for s, cut in enumerate(cuts)] + [(s, slice(cut, None)) for s, cut in enumerate(cuts)]
    first, second = (np.concatenate([getattr(graphs[s], name)[piece] for s, piece in pieces]) for name in ("angle_first", "angle_second"))
    forward = np.array(cuts)
    structures = np.arange(len(graphs))
    structure = np.concatenate([np.repeat(structures, forward), np.repeat(structures, _counts(g.n_angles for g in graphs) - forward)])
    shift, turn = _starts(n_short)[structure], n_short[structure]
    reverse_shift = shift + n_short.sum() - turn
    return tuple(d + np.where(d < turn, shift, reverse_shift) for d in (first, second))


def _segments(index: np.ndarray, n_owners: int) -> Segments:
    """Members by owner; a sparse matrix in compressed rows is a counting sort, in linear time."""
    members = np.arange(len(index), dtype=np.int32)
    rows = csr_array((np.ones(len(index), dtype=np.int8), (index.astype(np.int32), members)), shape=(n_owners, len(index)))
    pointers, order = (torch.from_numpy(array.astype(np.int64)) for array in (rows.indptr, rows.indices))
    return Segments(pointers, order, torch.from_numpy(index))


def _composition(numbers: np.ndarray, structure: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Atomic fractions of hydrogen to plutonium, shape (S, 94)."""
    counts = np.bincount(structure * N_REFERENCED + numbers - 1, minlength=len(n_atoms) * N_REFERENCED)
    return counts.reshape(len(n_atoms), N_REFERENCED) / n_atoms[:, None]
