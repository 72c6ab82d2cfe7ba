"""The network in double precision, and structures that mix what can go wrong in a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from chgnet.graph import CrystalGraphConverter
from chgnet.graph.crystalgraph import CrystalGraph

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.graph_batch import GraphBatch
from xfunc_core.model.samples import Sample, build_samples

MIXED = ("Cu", "Na", "Fe", "Cl")
"""Elements whose crystals in the bundled set have one, several, magnetic and no close atoms."""


@pytest.fixture(scope="session")
def mixed(few: Dataset, elements: Dataset, one_thread: None) -> list[Sample]:
    """Cells of 1 to 8 atoms: compounds off equilibrium, a copper atom that is its own neighbour, magnetic iron."""
    formulas = elements.table["formula"].tolist()
    samples = build_samples(few, [0, len(few) - 1])[0] + build_samples(elements, [formulas.index(symbol) for symbol in MIXED])[0]
    assert {sample.n_atoms for sample in samples} >= {1, 2}
    assert any(sample.graph.n_short == 0 for sample in samples)  # no bond below 3 Å: no angles
    return samples


@pytest.fixture(scope="session")
def upstream_graphs(few: Dataset, elements: Dataset, mixed: list[Sample]) -> list[CrystalGraph]:
    """The structures of `mixed` in upstream's own graphs."""
    converter = CrystalGraphConverter(atom_graph_cutoff=6, bond_graph_cutoff=3, verbose=False)
    return [converter((few if k < 2 else elements).structure(sample.row)) for k, sample in enumerate(mixed)]


def as_double(graph: CrystalGraph) -> CrystalGraph:
    """The same graph with its geometry in float64; its topology is shared."""
    graph = copy.copy(graph)
    for name in ("atom_frac_coord", "lattice", "neighbor_image"):
        setattr(graph, name, getattr(graph, name).detach().double())
    graph.atom_frac_coord.requires_grad_()
    return graph


@pytest.fixture(scope="session")
def doubled() -> Callable[[CrystalGraph], CrystalGraph]:
    """See `as_double`."""
    return as_double


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., GraphBatch]:
    """A batch for the engine made of upstream's graphs by other code than xfunc's own, in float64 unless asked otherwise."""
    return _batch_of


def _batch_of(graphs: Sequence[CrystalGraph], dtype: torch.dtype = torch.float64) -> GraphBatch:
    """Bond by bond and angle by angle, in upstream's order but for short bonds, which come first."""
    atoms, bonds, angles, volumes = [], [], [], []
    for s, graph in enumerate(graphs):
        lattice = graph.lattice.detach().double().numpy()
        position = graph.atom_frac_coord.detach().double().numpy() @ lattice
        image = graph.neighbor_image.detach().double().numpy() @ lattice
        ends, forward = graph.atom_graph.numpy().astype(int), graph.undirected2directed.numpy().astype(int)
        in_angle = {int(row[1]) for row in graph.bond_graph.numpy().reshape(-1, 5)}
        for bond, edge in enumerate(forward):
            i, j = ends[edge]
            vector = position[j] + image[edge] - position[i]
            bonds.append((bond not in in_angle and np.linalg.norm(vector) >= 3, s, bond, i + len(atoms), j + len(atoms), vector))
        for _, first, first_edge, second, second_edge in graph.bond_graph.numpy().reshape(-1, 5):
            angles.append(((s, first, first_edge != forward[first]), (s, second, second_edge != forward[second])))
        atoms += [(s, int(z)) for z in graph.atomic_number]
        volumes.append(abs(np.linalg.det(lattice)))
    bonds.sort(key=lambda bond: bond[:3])
    number = {bond[1:3]: k for k, bond in enumerate(bonds)}
    n_short = sum(not bond[0] for bond in bonds)
    directed = sorted(tuple(number[s, bond] + n_short * bool(reverse) for s, bond, reverse in angle) for angle in angles)
    i, j, first, second = (
        np.array([row[k] for row in rows], dtype=int) for rows, k in ((bonds, 3), (bonds, 4), (directed, 0), (directed, 1))
    )
    structure, numbers = np.array(atoms).T
    counts = np.array([np.bincount(numbers[structure == s] - 1, minlength=94) for s in range(len(graphs))])
    return GraphBatch(
        numbers=torch.tensor(numbers),
        structure_of_atom=torch.tensor(structure),
        n_atoms=torch.tensor(counts.sum(1)),
        composition=torch.tensor(counts / counts.sum(1, keepdims=True)),
        volume=torch.tensor(np.array(volumes)),
        bond_vector=torch.tensor(np.array([bond[5] for bond in bonds]), dtype=dtype),
        structure_of_bond=torch.tensor([bond[1] for bond in bonds]),
        n_short=n_short,
        bond_i=torch.tensor(i),
        bond_j=torch.tensor(j),
        angle_first=torch.tensor(first),
        angle_second=torch.tensor(second),
    )
