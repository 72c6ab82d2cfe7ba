"""The cache against graphs built afresh: to the bit, whatever happened to the file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.model import graph_cache
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graph_cache import cached_graphs
from xfunc_core.model.graphs import BuiltGraphs, Cutoffs, Geometry, build_graphs, geometries

OVERLAPPING = (np.array([11, 17]), np.eye(3) * 4.0, np.zeros((2, 3)))
ALONE = (np.array([2]), np.eye(3) * 30.0, np.zeros((1, 3)))


@pytest.fixture(scope="module")
def structures(few: Dataset, elements: Dataset) -> list[Geometry]:
    """Real crystals of 1 to 84 atoms, one with atoms that overlap and one with an atom alone among them."""
    largest = int(elements.table["n_atoms"].argmax())
    rows = [(few, 0), (few, 5), (elements, 3), (elements, largest)]
    found = [next(geometries(d, [row])) for d, row in rows]
    return [found[0], OVERLAPPING, *found[1:], ALONE]


def ids(structures: list[Geometry]) -> list[str]:
    return [f"frame {i}" for i in range(len(structures))]


def assert_equal(ours: BuiltGraphs, theirs: BuiltGraphs) -> None:
    assert ours.rejected == theirs.rejected and ours.kept.tolist() == theirs.kept.tolist()
    for a, b in zip(ours.graphs, theirs.graphs, strict=True):
        for field in dataclasses.fields(a):
            left, right = np.asarray(getattr(a, field.name)), np.asarray(getattr(b, field.name))
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


def never(*arguments: object) -> None:
    raise AssertionError("the graphs were built again")


def test_the_second_time_nothing_is_built(structures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = build_graphs(structures, ids(structures))
    assert len(expected.graphs) == 4 and len(expected.rejected) == 2
    assert_equal(cached_graphs(tmp_path, structures, ids(structures)), expected)
    monkeypatch.setattr(graph_cache, "build_graphs", never)
    again = cached_graphs(tmp_path, structures, ids(structures))
    assert_equal(again, expected)
    assert [path.suffix for path in tmp_path.iterdir()] == [".graphs"]
    batch = collate(again.graphs)  # mapped arrays make a batch like any others
    assert batch.bond_vector.equal(collate(expected.graphs).bond_vector)


@settings(max_examples=30, deadline=None)
@given(order=st.lists(st.integers(0, 5), max_size=8))
def test_any_choice_of_structures_survives_the_file(structures, order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, chosen = tmp_path_factory.mktemp("graphs"), [structures[i] for i in order]
    for _ in range(2):
        assert_equal(cached_graphs(folder, chosen, ids(chosen)), build_graphs(chosen, ids(chosen)))


def test_other_structures_have_another_file(structures, tmp_path: Path) -> None:
    numbers, lattice, positions = structures[0]
    variants = [
        ([(numbers, lattice, positions)], Cutoffs()),
        ([(numbers, lattice, positions)], Cutoffs(5.0, 3.0)),
        ([(numbers[::-1], lattice, positions)], Cutoffs()),
        ([(numbers, lattice, positions + 1e-9)], Cutoffs()),
        ([(numbers, lattice * (1 + 1e-15), positions)], Cutoffs()),
        ([(numbers, lattice, positions)] * 2, Cutoffs()),
    ]
    for chosen, cutoffs in variants:
        assert_equal(cached_graphs(tmp_path, chosen, ids(chosen), cutoffs), build_graphs(chosen, ids(chosen), cutoffs))
    assert len(list(tmp_path.iterdir())) == len(variants)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_built_again(structures, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, chosen = tmp_path_factory.mktemp("graphs"), structures[:3]
    expected = cached_graphs(folder, chosen, ids(chosen))
    [path] = folder.iterdir()
    whole = path.read_bytes()
    where = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from(
            [whole[:where], whole[:where] + bytes([whole[where] ^ 1 << where % 8]) + whole[where + 1 :], whole + b"\0", bytes(where), b""]
        )
    )
    path.write_bytes(damaged)
    assert_equal(cached_graphs(folder, chosen, ids(chosen)), expected)
    assert path.read_bytes() == whole


def test_a_folder_that_takes_no_file_costs_the_cache_only(structures, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert_equal(cached_graphs(in_the_way / "graphs", structures, ids(structures)), build_graphs(structures, ids(structures)))


def test_a_write_that_fails_leaves_nothing(structures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert_equal(cached_graphs(tmp_path, structures, ids(structures)), build_graphs(structures, ids(structures)))
    assert list(tmp_path.iterdir()) == []


def test_the_arrays_of_a_file_are_aligned(structures, tmp_path: Path) -> None:
    for _ in range(2):
        graphs = cached_graphs(tmp_path, structures, ids(structures)).graphs
    for graph in graphs:
        assert all(
            getattr(graph, name).flags.aligned for name in ("numbers", "bond_i", "bond_j", "bond_vector", "angle_first", "angle_second")
        )
