"""Structures out of datasets and files of any kind, whatever their labels are, in blocks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data import reading
from xfunc_core.data.formats.functional_names import Labels, settle_functional
from xfunc_core.data.formats.vasp_setup import settle_setup
from xfunc_core.data.frame import Frame, Rejected
from xfunc_core.data.library import open_dataset
from xfunc_core.data.reading import Block, blocks, dataset_source, file_source
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled" / "xfunc-dft-r2SCAN.jsonl.gz"


def frame(name: str, n_atoms: int) -> Frame:
    return Frame(name, name, Functional.PBE, np.full(n_atoms, 29, dtype=np.uint8), np.eye(3) * 10, np.zeros((n_atoms, 3)))


def test_a_dataset_and_its_file_give_the_same_structures(bundled_root: Path) -> None:
    documents = [json.loads(line) for line in gzip.decompress(BUNDLED.read_bytes()).splitlines()]
    for source in (dataset_source(open_dataset(bundled_root, "xfunc-dft-r2scan")), file_source(BUNDLED)):
        for _ in range(2):  # each call reads from the beginning
            found = list(source())
            assert [f.frame_id for f in found] == [d["matpes_id"] for d in documents]
            assert [f.lattice.tolist() for f in found] == [d["structure"]["lattice"]["matrix"] for d in documents]


def test_structures_are_read_whatever_functional_their_labels_name(tmp_path: Path) -> None:
    documents = [json.loads(line) for line in gzip.decompress(BUNDLED.read_bytes()).splitlines()[:4]]
    for document, functional in zip(documents, ("PBEsol", "PBE", "r2SCAN", None), strict=True):
        document["functional"] = functional
    (tmp_path / "mixed.jsonl").write_text("\n".join(json.dumps(document) for document in documents))
    found = list(file_source(tmp_path / "mixed.jsonl")())
    assert [f.frame_id for f in found] == [d["matpes_id"] for d in documents]
    with pytest.raises(DataError, match="PBEsol"):
        settle_functional("PBEsol", None, "here")
    assert settle_functional("PBEsol", Labels.UNASKED, "here") is settle_functional(None, Labels.UNASKED, "here") is Functional.PBE
    assert settle_setup({"LHFCALC": "T", "LDAU": "T", "LDAUU": "5"}, [], Labels.UNASKED).hubbard_u is False


@pytest.mark.parametrize(("name", "phrase"), [("nothing.cif", "There is no"), ("notes.txt", "nothing that xfunc recognises"), ("empty", "is empty")])
def test_what_cannot_be_read_is_said_at_once(tmp_path: Path, name: str, phrase: str) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary\n")
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match=phrase):
        file_source(tmp_path / name)


def shape(found: list[Block]) -> list[tuple[list[str], list[int], list[int]]]:
    return [(list(b.frames.frame_ids) if b.frames else [], b.places, [r.position for r in b.rejected]) for b in found]


@pytest.mark.parametrize(
    ("atoms", "frames", "expected"),
    [
        (100, 100, [(["a", "b", "c", "d"], [1, 3, 5, 6], [2, 4])]),
        (5, 100, [(["a", "b"], [1, 3], [2]), (["c"], [5], [4]), (["d"], [6], [])]),
        (100, 2, [(["a"], [1], [2]), (["b"], [3], [4]), (["c", "d"], [5, 6], [])]),
    ],
)
def test_blocks_end_by_atoms_or_frames_and_count_places_over_all(
    monkeypatch: pytest.MonkeyPatch, atoms: int, frames: int, expected: list[tuple[list[str], list[int], list[int]]]
) -> None:
    monkeypatch.setattr(reading, "BLOCK_ATOMS", atoms)
    monkeypatch.setattr(reading, "BLOCK_FRAMES", frames)
    items: list[Frame | Rejected] = [frame("a", 2), Rejected(2, "x", "bad"), frame("b", 3), Rejected(4, "y", "bad"), frame("c", 6), frame("d", 1)]
    assert shape(list(blocks(iter(items)))) == expected
    assert list(blocks(iter([]))) == []


def test_taken_frames_of_a_batch_are_those_frames(bundled_root: Path) -> None:
    from xfunc_core.data.rows import read_batch

    dataset = open_dataset(bundled_root, "matpes-elements-pbe")
    rows = np.array([7, 3, 88])
    taken, wanted = read_batch(dataset, np.arange(len(dataset))).take(rows), read_batch(dataset, rows)
    for name in ("n_atoms", "numbers", "lattice", "positions", "energy", "forces", "stress", "magmoms", "correction"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(wanted, name), strict=True)
    for name in ("frame_ids", "material_ids", "hubbard_u", "provenance"):
        assert list(getattr(taken, name)) == list(getattr(wanted, name))
    assert len(taken.take(np.empty(0, dtype=int)).numbers) == 0
