"""Parts of a dataset: all or none, and the split that MatPES publishes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.importing import import_file
from xfunc_core.data.parts import official_split, save_parts
from xfunc_core.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [json.loads(line) for line in gzip.decompress((ROOT / "xfunc_core/data/bundled/xfunc-dft-PBE.jsonl.gz").read_bytes()).splitlines()][:10]


@pytest.fixture
def gaps(tmp_path: Path) -> Dataset:
    """Ten documents of which the import leaves out the third and the seventh."""
    documents = [dict(d) for d in DOCUMENTS]
    for place in (2, 6):
        del documents[place]["structure"]
    file = tmp_path / "ten.jsonl"
    file.write_text("".join(json.dumps(d) + "\n" for d in documents))
    dataset, report = import_file(file, tmp_path / "datasets", name="ten")
    assert [d["document"] for d in report.dropped] == [3, 7]
    return dataset


def split_file(folder: Path, content: object, packed: bool = False) -> Path:
    path = folder / "split.json.gz"
    text = json.dumps(content).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_count_the_documents_of_the_file_from_zero(gaps: Dataset, tmp_path: Path, packed: bool) -> None:
    parts = official_split(split_file(tmp_path, {"train": [0, 1, 2, 9], "valid": [6], "test": [4, 3]}, packed), gaps)
    ids = {part: gaps.table["frame_id"].iloc[rows].tolist() for part, rows in parts.items()}
    assert ids == {"train": [DOCUMENTS[i]["matpes_id"] for i in (0, 1, 9)], "valid": [], "test": [DOCUMENTS[i]["matpes_id"] for i in (3, 4)]}


def test_parts_become_datasets_and_an_empty_one_none(gaps: Dataset, tmp_path: Path) -> None:
    parts = official_split(split_file(tmp_path, {"train": [0, 1], "valid": [6], "test": [4]}), gaps)
    saved = save_parts(gaps, parts, gaps.path.parent, "as published")
    assert {part: d.table["frame_id"].tolist() for part, d in saved.items()} == {"train": [DOCUMENTS[i]["matpes_id"] for i in (0, 1)], "test": [DOCUMENTS[4]["matpes_id"]]}
    assert saved["train"].info.name == "ten-train"
    assert "train part, as published" in saved["train"].info.source


def test_all_parts_or_none(gaps: Dataset, tmp_path: Path) -> None:
    root = gaps.path.parent
    before = sorted(p.name for p in root.iterdir())
    with pytest.raises(DataError):
        save_parts(gaps, {"train": np.array([0]), "Not a name": np.array([1])}, root, "")
    assert sorted(p.name for p in root.iterdir()) == before
    save_parts(gaps, {"test": np.array([0])}, root, "")
    with pytest.raises(DataError, match="already a dataset named 'ten-test'"):
        save_parts(gaps, {"train": np.array([0]), "test": np.array([1])}, root, "")
    assert not (root / "ten-train").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": [0, 10]}, "names document 10, and ten was made of 10"),
        ({"train": [-1]}, "choose the split of this data file"),
        ({"train": [1, 2], "test": [2]}, "names a document twice"),
        ({"train": [1.5]}, "is no split of MatPES"),
        ({"train": [True]}, "is no split of MatPES"),
        ({"../x": [1]}, "is no split of MatPES"),
        ({"train": 3}, "is no split of MatPES"),
        ({}, "is no split of MatPES"),
        ([1, 2], "is no split of MatPES"),
        ({"train": [10**30]}, "is no split of MatPES"),
    ],
)
def test_what_is_no_split_of_this_file_is_said(gaps: Dataset, tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        official_split(split_file(tmp_path, content), gaps)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_file_is_read_or_said(gaps: Dataset, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(content)
    with pytest.raises(DataError, match="any is no split of MatPES"):
        official_split(path, gaps)
