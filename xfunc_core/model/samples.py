"""Frames of a dataset as samples for CHGNet: graph, composition and labels. No frame is ever replaced by another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from chgnet.graph import CrystalGraphConverter
from chgnet.graph.crystalgraph import CrystalGraph

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import voigt_to_matrix
from xfunc_core.elements import N_REFERENCED

ATOM_GRAPH_CUTOFF = 6.0
BOND_GRAPH_CUTOFF = 3.0


@dataclass(frozen=True)
class Sample:
    """One frame, ready for the network; absent labels are NaN.

    Attributes:
        row: row in the dataset.
        graph: upstream crystal graph.
        composition: atomic fractions, float64, shape (94,).
        energy: eV/atom, float64.
        forces: eV/Å, shape (N, 3).
        stress: GPa, shape (3, 3).
        magmoms: |μB|, shape (N,).
    """

    row: int
    graph: CrystalGraph
    composition: torch.Tensor
    energy: float
    forces: torch.Tensor
    stress: torch.Tensor
    magmoms: torch.Tensor

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return len(self.forces)


def build_samples(dataset: Dataset, rows: Sequence[int] | np.ndarray) -> tuple[list[Sample], list[dict[str, str]]]:
    """Build the samples of some rows.

    Returns:
        The samples, and the frames CHGNet cannot take as ``{"frame_id", "reason"}``.
    """
    converter = CrystalGraphConverter(atom_graph_cutoff=ATOM_GRAPH_CUTOFF, bond_graph_cutoff=BOND_GRAPH_CUTOFF, on_isolated_atoms="error", verbose=False)
    samples, rejected = [], []
    for row in map(int, rows):
        try:
            samples.append(_sample(dataset, row, converter))
        except ValueError as error:
            rejected.append({"frame_id": str(dataset.table["frame_id"].iat[row]), "reason": _reason(error)})
    return samples, rejected


def batches(samples: Sequence[Sample], batch_size: int) -> Iterator[Sequence[Sample]]:
    """Consecutive batches of at most ``batch_size`` samples."""
    for start in range(0, len(samples), batch_size):
        yield samples[start : start + batch_size]


def _sample(dataset: Dataset, row: int, converter: CrystalGraphConverter) -> Sample:
    atoms = dataset.atoms_of(row)
    numbers = dataset.atom_array("numbers")[atoms]
    if numbers.max() > N_REFERENCED:
        raise ValueError("an element beyond plutonium, which CHGNet does not know")
    return Sample(
        row=row,
        graph=converter(dataset.structure(row)),
        composition=torch.tensor(dataset.composition[row], dtype=torch.float64),
        energy=float(dataset.energy_per_atom[row]),
        forces=_float32(dataset.atom_array("forces")[atoms]),
        stress=_float32(voigt_to_matrix(dataset.frame_array("stress")[row])),
        magmoms=_float32(np.abs(dataset.atom_array("magmoms")[atoms])),
    )


def _float32(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.array(array), dtype=torch.float32)


def _reason(error: ValueError) -> str:
    text = str(error)
    return f"an atom has no neighbour within {ATOM_GRAPH_CUTOFF:g} Å" if "isolated" in text else text
