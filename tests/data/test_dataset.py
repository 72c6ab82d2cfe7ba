"""A dataset opened for reading, whole and damaged."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pymatgen.core import Composition, Structure

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.description import DatasetInfo
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import damaged, list_datasets, open_dataset
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError

FILES = ["frames.arrow", "numbers.u1", "positions.f8", "forces.f8", "magmoms.f8", "lattice.f8", "stress.f8"]


@pytest.fixture
def folder(document: Callable[..., dict[str, Any]], write: Callable[..., Path], root: Path) -> Path:
    """A dataset of three frames, beside a good one."""
    path = write([document(name) for name in "abc"])
    import_file(path, root, name="good")
    return import_file(path, root, name="spoilt")[0].path


def edit(folder: Path, change: dict[str, object]) -> None:
    info = json.loads((folder / "dataset.json").read_text()) | change
    (folder / "dataset.json").write_text(json.dumps({key: value for key, value in info.items() if value is not ...}))


def rewrite_frames(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    with pa.ipc.open_stream((folder / "frames.arrow").read_bytes()) as reader:
        table = change(reader.read_all())
    with pa.OSFile(str(folder / "frames.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


def only_the_good_one_is_listed(folder: Path, words: str) -> None:
    """Opening says what is wrong; listing goes on without it."""
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(folder.parent, "spoilt")
    assert "delete the folder" in str(caught.value)
    assert damaged(folder.parent) == [str(caught.value)]
    assert [d.info.name for d in list_datasets(folder.parent)] == ["good"]


# --- whole ------------------------------------------------------------------------------------


def test_compositions_are_those_of_pymatgen(bundled_root: Path) -> None:
    dataset = open_dataset(bundled_root, "xfunc-dft-r2scan")
    assert dataset.composition.shape == (len(dataset), 94)
    for row, fractions in enumerate(dataset.composition):
        expected = dataset.structure(row).composition
        assert {SYMBOLS[i]: fractions[i] for i in np.flatnonzero(fractions)} == pytest.approx({e.symbol: expected.get_atomic_fraction(e) for e in expected})
        assert Composition(dataset.table["formula"][row]).reduced_formula == expected.reduced_formula


def test_structure_has_moments_only_where_labelled(document: Callable[..., dict[str, Any]], write: Callable[..., Path], root: Path) -> None:
    bare = {"structure.sites.0.properties": {}, "structure.sites.1.properties": {}}
    dataset, _ = import_file(write([document("a"), document("b", bare)]), root, name="d")
    assert dataset.structure(0).site_properties == {"magmom": [0.25, -0.5]}
    assert dataset.structure(1).site_properties == {}
    assert dataset.structure(1) == Structure.from_dict(document("b", bare)["structure"])


def test_a_frame_is_found_by_its_id(folder: Path) -> None:
    assert [Dataset(folder).row_of(frame_id) for frame_id in ("a", "b", "c", "d", "")] == [0, 1, 2, None, None]


def test_columns_cannot_be_written_to(folder: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Dataset(folder).atom_array("positions")[0] = 0.0


def test_renamed_folder_gives_the_dataset_its_new_name(folder: Path) -> None:
    folder.rename(folder.with_name("other"))
    assert [d.info.name for d in list_datasets(folder.parent)] == ["good", "other"]
    assert len(open_dataset(folder.parent, "other")) == 3


def test_missing_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"There is no dataset 'none' in {tmp_path}: import it first"):
        Dataset(tmp_path / "none")


# --- damaged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("keep", [0.0, 0.5, -1])
def test_cut_file_is_said(folder: Path, file: str, keep: float) -> None:
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(len(content) * keep) if keep >= 0 else -1])
    only_the_good_one_is_listed(folder, f"Dataset 'spoilt' is damaged \\({file}: ")


@pytest.mark.parametrize("file", FILES)
def test_removed_or_longer_file_is_said(folder: Path, file: str) -> None:
    with (folder / file).open("ab") as stream:
        stream.write(b"12345678")
    only_the_good_one_is_listed(folder, f"Dataset 'spoilt' is damaged \\({file}: ")
    (folder / file).unlink()
    only_the_good_one_is_listed(folder, f"Dataset 'spoilt' is damaged \\({file}: .*No such file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"functional": "scan"}, "names no functional that xfunc knows but 'scan'"),
        ({"functional": 3}, "'functional' is missing, unknown or no str"),
        ({"title": None}, "'title' is missing, unknown or no str"),
        ({"title": ...}, "'title' is missing, unknown or no str"),
        ({"n_frames": "3"}, "'n_frames' is missing, unknown or no int"),
        ({"n_frames": True}, "'n_frames' is missing, unknown or no int"),
        ({"n_frames": -3}, "'n_frames' is missing, unknown or no int"),
        ({"n_frames": 3.0}, "'n_frames' is missing, unknown or no int"),
        ({"n_frames": 10**30}, "lattice.f8: it has 216 bytes instead of"),
        ({"n_frames": 2}, "lattice.f8: it has 216 bytes instead of 144"),
        ({"n_atoms": 0}, "numbers.u1: it has 6 bytes instead of 0"),
        ({"elements": ["Na"]}, "'elements' is missing, unknown"),
        ({"elements": {"Na": "3"}}, "'elements' is missing, unknown"),
        ({"elements": {"Xx": 3}}, "names what is no element"),
        ({"isolated_atoms": {"Na": float("nan")}}, "'isolated_atoms' is missing, unknown"),
        ({"isolated_atoms": {"Xx": 1.0}}, "names what is no element"),
        ({"extra": 1}, "'extra' is missing, unknown"),
        ({"schema_version": 99, "extra": 1}, "written by another version of xfunc"),
    ],
)
def test_edited_description_is_said(folder: Path, change: dict[str, object], words: str) -> None:
    edit(folder, change)
    only_the_good_one_is_listed(folder, words)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b'{"name": 1'])
def test_description_that_is_no_description_is_said(folder: Path, content: bytes) -> None:
    (folder / "dataset.json").write_bytes(content)
    only_the_good_one_is_listed(folder, "its dataset.json is damaged")


def test_every_field_of_the_description_is_checked(folder: Path) -> None:
    whole = (folder / "dataset.json").read_text()
    for name in (f.name for f in fields(DatasetInfo)):
        edit(folder, {name: [object.__name__]})
        with pytest.raises(DataError, match="is damaged|another version"):
            DatasetInfo.read(folder)
        (folder / "dataset.json").write_text(whole)
    assert asdict(DatasetInfo.read(folder)) == json.loads(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.slice(1),
        lambda t: t.drop_columns(["provenance"]),
        lambda t: t.set_column(3, "n_atoms", pa.array([2, 2, 1], pa.int32())),
        lambda t: t.set_column(4, "first_atom", pa.array([0, 4, 2], pa.int64())),
        lambda t: t.set_column(5, "energy", pa.array(["a", "b", "c"])),
    ],
    ids=["short", "column gone", "atoms missing", "atoms out of order", "text for energy"],
)
def test_frames_that_do_not_fit_the_description_are_said(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    rewrite_frames(folder, change)
    with pytest.raises(DataError, match=r"Dataset 'spoilt' is damaged \(frames.arrow: it does not fit dataset.json\)"):
        _ = Dataset(folder).table


def test_any_flipped_byte_of_the_frame_table_is_read_or_said(folder: Path) -> None:
    whole = (folder / "frames.arrow").read_bytes()
    said = 0
    for at in range(0, len(whole) - 8, 7):
        (folder / "frames.arrow").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            assert len(Dataset(folder).table) == 3
        except DataError as error:
            assert "frames.arrow" in str(error)
            said += 1
    assert said


def test_offset_that_leads_out_of_the_file_is_said_instead_of_ending_the_process(folder: Path) -> None:
    whole = (folder / "frames.arrow").read_bytes()
    offsets = struct.pack("<4i", 0, 1, 2, 3)  # of the ids a, b, c
    assert whole.count(offsets) >= 1
    (folder / "frames.arrow").write_bytes(whole.replace(offsets, struct.pack("<4i", 0, 2**31 - 1, 2, 3), 1))
    with pytest.raises(DataError, match="frames.arrow: .*[Oo]ffset"):
        _ = Dataset(folder).table


def test_column_that_is_cut_after_opening_is_said(folder: Path) -> None:
    dataset = Dataset(folder)
    (folder / "forces.f8").write_bytes(b"")
    with pytest.raises(DataError, match="forces.f8"):
        dataset.atom_array("forces")
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="frames.arrow"):
        _ = dataset.table


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"dropped": 3, "masked": []}', b"[" * 100_000])
def test_report_that_is_missing_or_edited_is_said(folder: Path, content: bytes | None) -> None:
    (folder / "report.json").unlink()
    if content is not None:
        (folder / "report.json").write_bytes(content)
    with pytest.raises(DataError, match=r"Dataset 'spoilt' is damaged \(report.json: .*delete the folder"):
        Dataset(folder).report()
