"""Frames of a dataset as samples for CHGNet: crystal graph and labels. No frame is ever replaced by another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import voigt_to_matrix
from xfunc_core.elements import N_REFERENCED
from xfunc_core.model.graph_cache import cached_graphs
from xfunc_core.model.graphs import CHGNET_CUTOFFS, BuiltGraphs, StructureGraph, build_graphs, geometries

ATOM_GRAPH_CUTOFF, BOND_GRAPH_CUTOFF = CHGNET_CUTOFFS


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame, ready for the network; absent labels are NaN.

    Attributes:
        row: row in the dataset.
        graph: crystal graph.
        energy: eV/atom, float64.
        forces: eV/Å, shape (N, 3), float32.
        stress: GPa, shape (3, 3), float32.
        magmoms: |μB|, shape (N,), float32.
    """

    row: int
    graph: StructureGraph
    energy: float
    forces: torch.Tensor
    stress: torch.Tensor
    magmoms: torch.Tensor

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return self.graph.n_atoms

    @property
    def composition(self) -> np.ndarray:
        """Atomic fractions, float64, shape (94,)."""
        return np.bincount(self.graph.numbers, minlength=N_REFERENCED + 1)[1:] / self.n_atoms


def build_samples(
    dataset: Dataset, rows: Sequence[int] | np.ndarray, cache: Path | None = None
) -> tuple[list[Sample], list[dict[str, str]]]:
    """Build the samples of some rows.

    Args:
        dataset: the frames.
        rows: which of them.
        cache: a folder to keep the graphs in; from there they are mapped, and take no memory while they are not in use.

    Returns:
        The samples, and the frames CHGNet cannot take as ``{"frame_id", "reason"}``.
    """
    rows = np.asarray(rows, dtype=np.int64)
    ids = dataset.table["frame_id"].to_numpy()[rows]
    built = build_graphs(geometries(dataset, rows), ids) if cache is None else cached_graphs(cache, list(geometries(dataset, rows)), ids)
    return _labelled(dataset, rows, built), [{"frame_id": r.frame_id, "reason": r.reason} for r in built.rejected]


def _labelled(dataset: Dataset, rows: np.ndarray, built: BuiltGraphs) -> list[Sample]:
    energy, stress = dataset.energy_per_atom, dataset.frame_array("stress")
    forces, magmoms = dataset.atom_array("forces"), dataset.atom_array("magmoms")
    samples = []
    for row, graph in zip(rows[built.kept].tolist(), built.graphs, strict=True):
        atoms = dataset.atoms_of(row)
        tensors = map(_float32, (forces[atoms], voigt_to_matrix(stress[row]), np.abs(magmoms[atoms])))
        samples.append(Sample(row, graph, float(energy[row]), *tensors))
    return samples


def _float32(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.array(array), dtype=torch.float32)
