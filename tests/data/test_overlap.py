"""Overlapping atoms, found by ASE's neighbour list too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from xfunc_core.data import overlap
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.data.overlap import MIN_DISTANCE, have_overlap
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.quantities import Functional


def write(root: Path, cells: list[np.ndarray], positions: list[np.ndarray]) -> Dataset:
    with DatasetWriter(root, "set") as writer:
        for i, (cell, at) in enumerate(zip(cells, positions, strict=True)):
            writer.add(Frame(str(i), str(i), Functional.PBE, np.full(len(at), 18, dtype=np.uint8), np.array(cell, dtype=float), np.array(at, dtype=float)))
        return Dataset(writer.finish(report={"dropped": [], "masked": []}, replace=True, title="", functional="pbe", source="", source_sha256=""))


def by_ase(cell: np.ndarray, positions: np.ndarray) -> bool:
    return len(neighbor_list("i", Atoms("Ar" * len(positions), positions=positions, cell=cell, pbc=True), MIN_DISTANCE)) > 0


CUBE = 20 * np.eye(3)


@pytest.mark.parametrize(
    ("cell", "positions", "overlaps"),
    [
        (CUBE, [[0, 0, 0]], False),
        (CUBE, [[1, 1, 1], [1, 1, 1.29]], True),
        (CUBE, [[1, 1, 1], [1, 1, 1.31]], False),
        (CUBE, [[1, 1, 1], [1.2, 1.2, 1.2]], False),
        (CUBE, [[1, 1, 1], [1, 1, 1]], True),
        (CUBE, [[1, 1, 0.1], [1, 1, 19.9]], True),
        (CUBE, [[1, 1, 1], [1, 1, -38.9]], True),
        (CUBE, [[1, 1, 1], [5, 5, 5], [9, 9, 9], [5, 5.1, 5]], True),
        (np.array([[20, 0, 0], [20, 0.2, 0], [0, 0, 20]]), [[0, 0, 0]], True),
        (np.array([[20, 0, 0], [19, 5, 0], [0, 0, 20]]), [[0, 0, 0], [1.1, -5, 0]], True),
    ],
    ids=["alone", "near", "not near enough", "near along each axis only", "one on the other", "through the wall", "another image", "second and fourth", "own image", "skewed"],
)
def test_periodic_images_count(root: Path, cell: np.ndarray, positions: list[list[float]], overlaps: bool) -> None:
    assert have_overlap(write(root, [cell], [positions])).tolist() == [overlaps] == [by_ase(np.asarray(cell, dtype=float), np.asarray(positions, dtype=float))]


def test_many_cells_agree_with_ase(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_AT_A_TIME", 50)
    rng = np.random.default_rng(1)
    cells = [np.diag(rng.uniform(1.5, 3, 3)) + np.tril(rng.uniform(-1, 1, (3, 3)), -1) for _ in range(300)]
    positions = [rng.uniform(-1, 2, (rng.integers(1, 12), 3)) @ cell for cell in cells]
    expected = [by_ase(*both) for both in zip(cells, positions, strict=True)]
    assert 30 < sum(expected) < 270
    assert have_overlap(write(root, cells, positions)).tolist() == expected
