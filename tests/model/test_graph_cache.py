"""The cache against graphs built afresh: to the bit, whatever happened to the file."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
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


def kept_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_used_longest_ago_go_first(structures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, lattice, positions = structures[0]
    singles = [[(numbers, lattice, positions + shift)] for shift in (0.0, 0.1, 0.2, 0.3)]
    names = []
    for age, chosen in zip((400, 300, 200), singles, strict=False):
        before = kept_files(tmp_path)
        cached_graphs(tmp_path, chosen, ["x"])
        [name] = kept_files(tmp_path) - before
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
        names.append(name)
    cached_graphs(tmp_path, singles[0], ["x"])  # used again: the second is the oldest now
    size = max((tmp_path / name).stat().st_size for name in names)
    monkeypatch.setenv("XFUNC_GRAPH_CACHE_GB", str(3 * size / 1e9))
    mapped = cached_graphs(tmp_path, singles[2], ["x"])
    os.utime(tmp_path / names[2], (1e9 - 200, 1e9 - 200))
    cached_graphs(tmp_path, singles[3], ["x"])
    assert names[1] not in kept_files(tmp_path) and {names[0], names[2]} < kept_files(tmp_path) and len(kept_files(tmp_path)) == 3
    monkeypatch.setenv("XFUNC_GRAPH_CACHE_GB", str(size / 1e9))
    cached_graphs(tmp_path, singles[1], ["x"])
    assert kept_files(tmp_path) == {names[1]}
    assert_equal(mapped, build_graphs(singles[2], ["x"]))  # its file is gone, what was mapped of it is not


def test_a_file_beyond_the_limit_is_not_written_and_takes_no_others_place(structures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_graphs(tmp_path, structures[:1], ["x"])
    [name] = kept_files(tmp_path)
    monkeypatch.setenv("XFUNC_GRAPH_CACHE_GB", str((tmp_path / name).stat().st_size / 1e9))
    assert_equal(cached_graphs(tmp_path, structures, ids(structures)), build_graphs(structures, ids(structures)))
    assert kept_files(tmp_path) == {name}


def test_what_killed_processes_left_goes_and_what_others_are_writing_stays(structures, tmp_path: Path) -> None:
    for name, age in ((".graphs-dead", 2 * 86400), (".graphs-alive", 0), ("notes.txt", 2 * 86400)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    cached_graphs(tmp_path, structures[:1], ["x"])
    assert {".graphs-alive", "notes.txt"} < kept_files(tmp_path) and ".graphs-dead" not in kept_files(tmp_path)


CROWD = """
import sys
from pathlib import Path
import numpy as np
from xfunc_core.model.graph_cache import cached_graphs
from xfunc_core.model.graphs import build_graphs
numbers, lattice, positions = np.array([11, 17]), np.eye(3) * 4.0, np.array([[0.0, 0, 0], [2, 2, 2]])
singles = [[(numbers, lattice, positions + shift)] for shift in np.arange(6) / 10][:: int(sys.argv[2])]
for _ in range(20):
    for chosen in singles:
        [ours], [theirs] = (built.graphs for built in (cached_graphs(Path(sys.argv[1]), chosen, ["x"]), build_graphs(chosen, ["x"])))
        assert all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in ("bond_i", "bond_j", "bond_vector", "angle_first", "angle_second"))
"""


def test_processes_that_crowd_each_other_out_get_the_right_graphs(tmp_path: Path) -> None:
    limit = 2500  # two files
    environment = {**os.environ, "XFUNC_GRAPH_CACHE_GB": str(limit / 1e9)}
    processes = [subprocess.Popen([sys.executable, "-c", CROWD, str(tmp_path), order], env=environment, stderr=subprocess.PIPE, text=True) for order in ("1", "-1")]
    for process in processes:
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert 0 < sum(sizes) <= limit and 6 * max(sizes) > limit


def test_the_arrays_of_a_file_are_aligned(structures, tmp_path: Path) -> None:
    for _ in range(2):
        graphs = cached_graphs(tmp_path, structures, ids(structures)).graphs
    for graph in graphs:
        assert all(
            getattr(graph, name).flags.aligned for name in ("numbers", "bond_i", "bond_j", "bond_vector", "angle_first", "angle_second")
        )
