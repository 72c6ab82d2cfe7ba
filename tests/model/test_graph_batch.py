"""A batch against its structures one by one, put together in plain loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.graph_batch import GraphBatch, collate
from xfunc_core.model.graphs import StructureGraph, build_graph, build_graphs, geometries


@pytest.fixture(scope="module")
def graphs(few: Dataset, elements: Dataset) -> list[StructureGraph]:
    """Real crystals with and without short bonds, a cell of one atom, a molecule, and a slab of 40 atoms."""
    rows = [(few, row) for row in range(len(few))] + [(elements, row) for row in range(0, len(elements), 4)]
    structures = [next(geometries(d, [row])) for d, row in rows]
    structures.append((np.array([1, 1]), np.eye(3) * 12, np.array([[0, 0, 0], [0.74, 0, 0]])))
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(5), np.arange(2)), axis=-1).reshape(-1, 3) * 2.5
    structures.append((np.full(40, 26), np.diag([12.5, 10, 25]), grid[:, [1, 0, 2]] + 0.01 * np.sin(np.arange(120)).reshape(40, 3)))
    built = build_graphs(structures, [str(i) for i in range(len(structures))])
    assert any(g.n_angles == 0 for g in built.graphs) and any(g.n_short == g.n_bonds for g in built.graphs)
    return built.graphs


def looped(graphs: Sequence[StructureGraph]) -> dict[str, list]:
    """Bonds and angles of a batch as its definition says, by loops."""
    first_atom = np.cumsum([0] + [g.n_atoms for g in graphs])
    bonds = [(g, s, b) for g, s in zip(graphs, range(len(graphs)), strict=True) for b in range(g.n_short)]
    k = len(bonds)
    bonds += [(g, s, b) for g, s in zip(graphs, range(len(graphs)), strict=True) for b in range(g.n_short, g.n_bonds)]
    number = {(s, b): n for n, (_, s, b) in enumerate(bonds)}

    def directed(s: int, g: StructureGraph, d: int) -> int:
        return number[s, d] if d < g.n_short else k + number[s, d - g.n_short]

    angles = [
        (directed(s, g, int(a)), directed(s, g, int(b)))
        for s, g in enumerate(graphs)
        for a, b in zip(g.angle_first, g.angle_second, strict=True)
    ]
    return {
        "i": [first_atom[s] + g.bond_i[b] for g, s, b in bonds],
        "j": [first_atom[s] + g.bond_j[b] for g, s, b in bonds],
        "structure": [s for _, s, _ in bonds],
        "vector": [g.bond_vector[b].tolist() for g, _, b in bonds],
        "angles": sorted(angles),
    }


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_batch_holds_its_structures_in_order(graphs: list[StructureGraph], data: st.DataObject) -> None:
    chosen = [g for g in data.draw(st.lists(st.sampled_from(graphs), min_size=1, max_size=4)) if g.n_atoms < 10] or graphs[:1]
    batch, expected = collate(chosen, torch.float64), looped(chosen)
    assert batch.n_structures == len(chosen) and batch.n_short == sum(g.n_short for g in chosen)
    assert batch.bond_vector.tolist() == expected["vector"]
    assert batch.bond_i.tolist() == expected["i"] and batch.bond_j.tolist() == expected["j"]
    assert batch.structure_of_bond.tolist() == expected["structure"]
    assert batch.angle_first.tolist() == [first for first, _ in expected["angles"]]
    assert sorted(zip(batch.angle_first.tolist(), batch.angle_second.tolist(), strict=True)) == expected["angles"]


def test_atoms_and_cells_of_a_batch(graphs: list[StructureGraph]) -> None:
    batch = collate(graphs)
    assert batch.numbers.tolist() == [int(z) for g in graphs for z in g.numbers]
    assert batch.structure_of_atom.tolist() == [s for s, g in enumerate(graphs) for _ in g.numbers]
    assert batch.n_atoms.tolist() == [g.n_atoms for g in graphs]
    assert batch.volume.tolist() == [g.volume for g in graphs]
    assert batch.composition.dtype == batch.volume.dtype == torch.float64
    for row, graph in zip(batch.composition, graphs, strict=True):
        assert {z + 1: x for z, x in enumerate(row.tolist()) if x} == {int(z): np.mean(graph.numbers == z) for z in graph.numbers}


def test_the_angles_of_a_batch_span_what_they_do_in_its_structures(graphs: list[StructureGraph]) -> None:
    """Cosines from the batch's vectors are those of each graph's: a mix-up of directions or of structures would show."""

    def cosines(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        both = np.concatenate([vectors, -vectors])
        both /= np.linalg.norm(both, axis=1, keepdims=True)
        return (both[first] * both[second]).sum(axis=1)

    batch = collate(graphs, torch.float64)
    ours = cosines(batch.bond_vector[: batch.n_short].numpy(), batch.angle_first.numpy(), batch.angle_second.numpy())
    theirs = [cosines(g.bond_vector[: g.n_short], g.angle_first, g.angle_second) for g in graphs]
    np.testing.assert_allclose(np.sort(ours), np.sort(np.concatenate(theirs)), atol=1e-14)
    centre = torch.cat([batch.bond_i[: batch.n_short], batch.bond_j[: batch.n_short]])
    assert torch.equal(centre[batch.angle_first], centre[batch.angle_second])


def test_bond_vectors_are_rounded_once(graphs: list[StructureGraph]) -> None:
    assert torch.equal(collate(graphs).bond_vector, collate(graphs, torch.float64).bond_vector.float())


def test_a_batch_moves_as_a_whole(graphs: list[StructureGraph]) -> None:
    moved = collate(graphs).to("meta")
    tensors = [part for part in vars(moved).values() if isinstance(part, torch.Tensor)]
    assert len(tensors) == 11
    assert all(t.device.type == "meta" for t in tensors)
    assert isinstance(moved, GraphBatch) and moved.n_short == collate(graphs).n_short


def test_a_batch_of_one_cell_without_angles() -> None:
    batch = collate([build_graph(np.array([55]), np.eye(3) * 5.5, np.zeros((1, 3)))])
    assert (batch.n_short, len(batch.angle_first), len(batch.bond_vector)) == (0, 0, 3)
