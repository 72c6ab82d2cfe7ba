"""Crystal graphs of many structures as one: flat tensors, and for every sum who owns the rows that go into it.

Atoms stand structure after structure. Bonds do so twice: first those within 3 Å of all structures, then the others, so that
what only short bonds need works on a prefix. Of U bonds, K of them short, the directed bond d < U is bond d as it stands and
U + d its reverse; among the short ones d < K and K + d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xfunc_core.elements import N_REFERENCED
from xfunc_core.model.graphs import StructureGraph


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
        bond_i: atom where each bond starts, shape (U,).
        bond_j: atom where each bond ends, shape (U,).
        angle_first: first directed short bond of each angle, of 2 K; ascending, shape (G,).
        angle_second: second directed short bond of each angle, shape (G,).
    """

    numbers: Tensor
    structure_of_atom: Tensor
    n_atoms: Tensor
    composition: Tensor
    volume: Tensor
    bond_vector: Tensor
    structure_of_bond: Tensor
    n_short: int
    bond_i: Tensor
    bond_j: Tensor
    angle_first: Tensor
    angle_second: Tensor

    @property
    def n_structures(self) -> int:
        """S."""
        return len(self.n_atoms)

    def to(self, device: torch.device | str) -> GraphBatch:
        """The same batch on another device."""
        moved = {name: sent(part, device) if isinstance(part, Tensor) else part for name, part in vars(self).items()}
        return GraphBatch(**moved)


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of this machine's memory on a device; on its way to a GPU while the host goes on, which an ordinary copy would not let it do."""
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def collate(graphs: Sequence[StructureGraph], dtype: torch.dtype = torch.float32) -> GraphBatch:
    """One batch, on the CPU, of at least one graph; ``dtype`` is that of the bond vectors."""
    n_atoms, n_short = _counts(g.n_atoms for g in graphs), _counts(g.n_short for g in graphs)
    structures = np.arange(len(graphs))
    structure_of_atom = np.repeat(structures, n_atoms)
    structure_of_bond = np.concatenate(
        [np.repeat(structures, n_short), np.repeat(structures, _counts(g.n_bonds for g in graphs) - n_short)]
    )
    first_atom = _starts(n_atoms)[structure_of_bond]
    numbers = np.concatenate([g.numbers for g in graphs], dtype=np.int64)
    bond_i, bond_j = (_short_first(graphs, name) + first_atom for name in ("bond_i", "bond_j"))
    angle_first, angle_second = _angles(graphs, n_short)
    return GraphBatch(
        numbers=torch.from_numpy(numbers),
        structure_of_atom=torch.from_numpy(structure_of_atom),
        n_atoms=torch.from_numpy(n_atoms),
        composition=torch.from_numpy(_composition(numbers, structure_of_atom, n_atoms)),
        volume=torch.tensor([g.volume for g in graphs], dtype=torch.float64),
        bond_vector=torch.from_numpy(_short_first(graphs, "bond_vector")).to(dtype),
        structure_of_bond=torch.from_numpy(structure_of_bond),
        n_short=int(n_short.sum()),
        bond_i=torch.from_numpy(bond_i),
        bond_j=torch.from_numpy(bond_j),
        angle_first=torch.from_numpy(angle_first),
        angle_second=torch.from_numpy(angle_second),
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


def _composition(numbers: np.ndarray, structure: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Atomic fractions of hydrogen to plutonium, shape (S, 94)."""
    counts = np.bincount(structure * N_REFERENCED + numbers - 1, minlength=len(n_atoms) * N_REFERENCED)
    return counts.reshape(len(n_atoms), N_REFERENCED) / n_atoms[:, None]
