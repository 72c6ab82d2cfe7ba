"""A subset is a dataset whose frames are the parent's, to the bit, and that says whose they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data import rows as rows_module
from xfunc_core.data.dataset import ATOM_ARRAYS, FRAME_ARRAYS, Dataset
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import list_datasets, open_dataset
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.splits import split_by_material
from xfunc_core.data.subsets import save_subset, split_rows
from xfunc_core.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def elements(bundled_root: Path) -> Dataset:
    return open_dataset(bundled_root, "matpes-elements-r2scan")


@pytest.fixture(scope="module")
def solids(bundled_root: Path) -> Dataset:
    return open_dataset(bundled_root, "xfunc-dft-pbe")


def assert_frames_are(subset: Dataset, parent: Dataset, rows: list[int]) -> None:
    assert len(subset) == len(rows)
    for row, own in enumerate(rows):
        mine, theirs = subset.atoms_of(row), parent.atoms_of(own)
        for name in ATOM_ARRAYS:
            assert subset.atom_array(name)[mine].tobytes() == parent.atom_array(name)[theirs].tobytes()
        for name in set(FRAME_ARRAYS) - {"above_fit"}:
            assert subset.frame_array(name)[row].tobytes() == parent.frame_array(name)[own].tobytes()
    mine, theirs = (str(d.columns.drop_columns("first_atom").take(which).to_pylist()) for d, which in ((subset, list(range(len(rows)))), (parent, rows)))
    assert mine == theirs


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.integers(0, 80), min_size=1, max_size=30), piece=st.integers(1, 9), limit=st.sampled_from(["FRAMES_AT_ONCE", "ATOMS_AT_ONCE"]))
def test_frames_are_the_parents_to_the_bit_in_its_order(elements: Dataset, tmp_path_factory: pytest.TempPathFactory, chosen: list[int], piece: int, limit: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, limit, piece)
        subset = save_subset(elements, np.array(chosen), tmp_path_factory.mktemp("s"), "s")
    assert_frames_are(subset, elements, sorted(set(chosen)))


def test_all_frames_have_the_content_of_the_parent(solids: Dataset, root: Path) -> None:
    subset = save_subset(solids, np.arange(len(solids)), root, "all")
    assert subset.info.content_sha256 == solids.info.content_sha256
    np.testing.assert_allclose(subset.frame_array("above_fit"), solids.frame_array("above_fit"), atol=1e-9)
    for name in ("n_frames", "n_atoms", "n_materials", "elements", "labelled", "functional", "energy_scale", "licence", "citation"):
        assert getattr(subset.info, name) == getattr(solids.info, name)


def test_a_subset_says_whose_frames_it_has(solids: Dataset, root: Path) -> None:
    query = FrameQuery(solids)
    wanted = Filter(any_of=("O",))
    subset = save_subset(solids, query.rows(wanted), root, "oxides", "Oxides", "frames with O")
    info = json.loads((root / "oxides" / "dataset.json").read_text())
    assert (info["title"], info["source"], info["source_sha256"]) == ("Oxides", "xfunc-dft-pbe: frames with O", solids.info.content_sha256)
    assert subset.report()["subset"] == {"parent": "xfunc-dft-pbe", "parent_content_sha256": solids.info.content_sha256, "filter": "frames with O", "n_of": len(solids)}
    assert subset.report()["notes"] == ["This is a subset of xfunc-dft · PBE (xfunc-dft-pbe): frames with O."]
    assert len(subset) == query.count(wanted) == info["n_frames"] == subset.info.elements["O"]
    assert [d.info.name for d in list_datasets(root)] == ["oxides"]
    narrower = save_subset(subset, np.array([0]), root, "one")
    assert (narrower.info.source, narrower.info.source_sha256) == ("oxides", subset.info.content_sha256)


def test_isolated_atoms_come_along_with_their_elements(elements: Dataset, root: Path) -> None:
    rows = [row for row in range(len(elements)) if elements.columns["formula"][row].as_py() in ("Fe", "O")]
    parent = elements.info.isolated_atoms
    assert save_subset(elements, np.array(rows), root, "two").info.isolated_atoms == {"O": parent["O"], "Fe": parent["Fe"]}


def test_what_was_masked_in_its_frames_is_told(document: Callable[..., dict[str, Any]], write: Callable[..., Path], root: Path) -> None:
    documents = [document(f"m-{i}", {"forces": None} if i % 2 else {"energy": None}) for i in range(4)]
    parent, _ = import_file(write(documents), root, name="parent")
    subset = save_subset(parent, np.array([1, 2]), root, "subset")
    assert subset.report()["masked"] == [{"frame_id": "m-1", "reason": "no forces"}, {"frame_id": "m-2", "reason": "no energy"}]
    assert (subset.report()["documents"], subset.report()["dropped"]) == (2, [])


def test_progress_counts_frames_and_may_end_the_copy(solids: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "FRAMES_AT_ONCE", 10)
    told: list[int] = []
    save_subset(solids, np.arange(25), root, "s", progress=told.append)
    assert told == [10, 20, 25]

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_subset(solids, np.arange(25), root, "t", progress=stop)
    assert os.listdir(root) == ["s"]


# --- what is refused --------------------------------------------------------------------------


def test_taken_names_are_refused_and_what_has_them_stays(solids: Dataset, root: Path) -> None:
    first = save_subset(solids, np.array([0]), root, "s")
    with pytest.raises(DataError, match="already a dataset named 's': choose another name"):
        save_subset(solids, np.array([1]), root, "s")
    assert open_dataset(root, "s").info == first.info


@pytest.mark.parametrize("name", ["", "../s", "S", ".s", "a b", "s/t"])
def test_what_is_no_name_is_refused(solids: Dataset, root: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no dataset name"):
        save_subset(solids, np.array([0]), root, name)
    assert not root.exists()


def test_no_frames_are_refused(solids: Dataset, root: Path) -> None:
    with pytest.raises(DataError, match="A subset of xfunc-dft · PBE without frames cannot be saved: widen the filter"):
        save_subset(solids, np.array([], dtype=int), root, "s")
    assert not root.exists()


def test_full_disk_leaves_nothing(elements: Dataset, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_disk / "filler").write_bytes(bytes(230_000))
    with pytest.raises(DataError, match="The subset s was not saved"):
        save_subset(elements, np.arange(len(elements)), small_disk, "s")
    assert os.listdir(small_disk) == ["filler"]


# --- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["xfunc-dft-r2scan", "matpes-elements-pbe"])
def test_parts_are_those_of_the_split_by_material(bundled_root: Path, name: str) -> None:
    dataset = open_dataset(bundled_root, name)
    materials = dataset.columns["material_id"].to_pylist()
    keep_covered = name.startswith("xfunc")
    if not keep_covered:  # one material an element: none can leave training
        with pytest.raises(ConfigError, match="part is empty"):
            split_rows(dataset, 0.1, 0.1, 0)
        return
    for seed in range(5):
        expected = split_by_material(materials, dataset.composition, validation=0.15, test=0.2, seed=seed)
        found = split_rows(dataset, 0.15, 0.2, seed)
        for part in ("train", "validation", "test"):
            assert getattr(found, part).tolist() == getattr(expected, part).tolist()


def test_parts_become_three_subsets_that_share_no_material(solids: Dataset, root: Path) -> None:
    parts = split_rows(solids, 0.2, 0.2, 1)
    subsets = [save_subset(solids, getattr(parts, part), root, f"mine-{part}", description=f"{part} part") for part in ("train", "validation", "test")]
    materials = [set(s.columns["material_id"].to_pylist()) for s in subsets]
    assert sum(map(len, subsets)) == len(solids)
    assert sum(map(len, materials)) == len(set.union(*materials)) == solids.info.n_materials
