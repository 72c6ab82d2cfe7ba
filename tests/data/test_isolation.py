"""Atoms without a neighbour, counted by ASE's neighbour list too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from xfunc_core.data import isolation
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.data.isolation import CUTOFF, count_isolated_atoms
from xfunc_core.data.library import open_dataset
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.quantities import Functional


def write(root: Path, cells: list[np.ndarray], positions: list[np.ndarray]) -> Dataset:
    with DatasetWriter(root, "set") as writer:
        for i, (cell, at) in enumerate(zip(cells, positions, strict=True)):
            writer.add(Frame(str(i), str(i), Functional.PBE, np.full(len(at), 18, dtype=np.uint8), np.array(cell, dtype=float), np.array(at, dtype=float)))
        return Dataset(writer.finish(report={"dropped": [], "masked": []}, replace=True, title="", functional="pbe", source="", source_sha256=""))


def by_ase(cell: np.ndarray, positions: np.ndarray, cutoff: float = CUTOFF) -> int:
    atoms = Atoms("Ar" * len(positions), positions=positions, cell=cell, pbc=True)
    return len(atoms) - len(np.unique(neighbor_list("i", atoms, cutoff)))


CUBE = 20 * np.eye(3)


@pytest.mark.parametrize(
    ("cell", "positions", "isolated"),
    [
        (CUBE, [[0, 0, 0]], 1),
        (5.9 * np.eye(3), [[0, 0, 0]], 0),
        (CUBE, [[1, 1, 1], [1, 1, 6.9]], 0),
        (CUBE, [[1, 1, 1], [1, 1, 7.1]], 2),
        (CUBE, [[1, 1, 1], [1, 1, 19]], 0),
        (CUBE, [[1, 1, 1], [1, 1, -41]], 0),
        (CUBE, [[1, 1, 1], [1, 1, 3], [10, 10, 10]], 1),
        (CUBE, [[1, 1, 1], [1, 1, 1]], 0),
        (np.array([[20, 0, 0], [19, 5, 0], [0, 0, 20]]), [[0, 0, 0]], 0),
        (np.array([[30, 0, 0], [61, 5, 0], [0, 0, 20]]), [[0, 0, 0]], 0),
    ],
    ids=["alone", "own image", "near", "far", "through the wall", "another image", "one of three", "one on the other", "skewed", "extremely skewed"],
)
def test_periodic_images_count_as_neighbours(root: Path, cell: np.ndarray, positions: list[list[float]], isolated: int) -> None:
    assert count_isolated_atoms(write(root, [cell], [positions])).tolist() == [isolated]


def test_many_cells_agree_with_ase(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_AT_A_TIME", 50)
    rng = np.random.default_rng(1)
    cells = [np.diag(rng.uniform(4, 25, 3)) + np.tril(rng.uniform(-12, 12, (3, 3)), -1) for _ in range(120)]
    positions = [rng.uniform(-1, 2, (rng.integers(1, 7), 3)) @ cell for cell in cells]
    expected = [by_ase(cell, at) for cell, at in zip(cells, positions, strict=True)]
    assert 20 < np.count_nonzero(expected) < 100
    assert count_isolated_atoms(write(root, cells, positions)).tolist() == expected


def test_a_gas_of_more_atoms_than_are_tried_agrees_with_ase(root: Path) -> None:
    cell = 40 * np.eye(3)
    at = np.random.default_rng(2).uniform(0, 40, (150, 3))
    expected = by_ase(cell, at)
    assert expected > 5
    assert count_isolated_atoms(write(root, [cell], [at])).tolist() == [expected]


@pytest.mark.parametrize("cutoff", [2.6, 3.2, CUTOFF])
def test_real_crystals_agree_with_ase(bundled_root: Path, cutoff: float) -> None:
    dataset = open_dataset(bundled_root, "matpes-elements-pbe")
    lattice, positions = dataset.frame_array("lattice"), dataset.atom_array("positions")
    expected = [by_ase(lattice[row], positions[dataset.atoms_of(row)], cutoff) for row in range(len(dataset))]
    assert count_isolated_atoms(dataset, cutoff).tolist() == expected
    assert any(expected) == (cutoff < CUTOFF)
