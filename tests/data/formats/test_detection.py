"""The format of a file is told by its content: every real file, under every name."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import ase.test
import pytest
from ase.build import bulk
from ase.db import connect
from ase.io import write as ase_write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from xfunc_core.data.formats.detection import detect
from xfunc_core.data.importing import READERS, import_file
from xfunc_core.errors import DataError

REAL = Path(ase.test.__file__).parent / "testdata"
SHARED = {
    "MatPES-PBE-Element-Refs.json.gz": "matpes",
    "MatPES-PBE-elements-sample.json.gz": "matpes",
    "MatPES-R2SCAN-elements-sample.jsonl": "matpes",
    "MatPES-r2SCAN-Element-Refs.json.gz": "matpes",
    "dft/xfunc-dft-PBE.jsonl.gz": "matpes",
    "MPtrj_sample.json": "mptrj",
}
INSTALLED = {
    "vasp/vasprun_dfpt.xml": "vasp",
    "vasp/vasprun_pstress.xml": "vasp",
    "vasp/OUTCAR_example_1": "vasp",
    "vasp/POSCAR_example_1": "structures",
    "minerals/cod_9007661.cif": "structures",
    "opls_structure_ext.xyz": "extxyz",
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("new", ["a.cif", "OUTCAR", "a.json", "a.xyz.gz"])
def test_real_data_files_are_told_under_any_name(shared: Path, tmp_path: Path, name: str, new: str) -> None:
    (tmp_path / new).write_bytes((shared / name).read_bytes())
    assert detect(tmp_path / new) == SHARED[name]


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("zipped", [False, True])
def test_real_calculations_and_structures_are_told_under_any_name(tmp_path: Path, name: str, zipped: bool) -> None:
    content = (REAL / name).read_bytes()
    (tmp_path / "some.file").write_bytes(gzip.compress(content) if zipped else content)
    assert detect(tmp_path / "some.file") == INSTALLED[name]


def test_written_files_are_told(tmp_path: Path) -> None:
    atoms = bulk("Cu")
    for form, name in (("extxyz", "extxyz"), ("vasp", "structures"), ("cif", "structures")):
        ase_write(tmp_path / "x", atoms, format=form)
        assert detect(tmp_path / "x") == name
    for kind in ("db", "json"):
        connect(tmp_path / f"a.{kind}").write(atoms)
        assert detect((tmp_path / f"a.{kind}").rename(tmp_path / "b.txt")) == "ase-db"
    structure = Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]])
    for fmt in ("json", "cif", "poscar"):
        (tmp_path / "x").write_text(structure.to(fmt=fmt))
        assert detect(tmp_path / "x") == "structures"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('{"a": {}, "b": {"c": {"structure": 1}}}', "mptrj"),
        ('{"a": {"x": 1, "structure": 1}}', "matpes"),
        ('{"structure": {"lattice": 1}}', "matpes"),
        ('{"x": {"y": 1}, "structure": 1}\n{"structure": 1}', "matpes"),
        ('[{"elements": ["H"], "energy": -1.1}]', "matpes"),
        ("  2 \r\nfree words\r\nH 0 0 0\r\nH 0 0 1\r\n", "extxyz"),
        ("2\nLattice\n 1 0 0 0\n", "extxyz"),
        ("# made by hand\n_cell_length_a 3\n", "structures"),
        ("2\n1.0\n1 0 0\n0 1 0\n0 0 1\nH\n", "structures"),
    ],
)
def test_small_files_are_told(write: Callable[..., Path], content: str, name: str) -> None:
    assert detect(write(content)) == name


@pytest.mark.parametrize("content", ["no JSON", "3", "[]", "[1, 2]", "{}", '{"a": 1}', '{"a": {"b": 1}}', '{"train": 3}', "a,b\n1,2\n", "<html></html>", bytes(200), bytes(range(256)), b"PK\x03\x04" + bytes(50), b"\x80\x04\x95pickle", "1\n", "2\n\n\n"])
def test_other_files_get_one_sentence_that_lists_what_is_read(write: Callable[..., Path], root: Path, content: str | bytes) -> None:
    with pytest.raises(DataError, match="^file.jsonl is nothing that xfunc recognises; it reads MatPES, MPtrj and .*: choose another file, or name its format"):
        import_file(write(content), root, name="d")
    assert not root.exists()


def test_shared_files_of_other_kinds_are_said(shared: Path) -> None:
    for name in ("diatomics-dft.json.gz", "mp_gga_r2scan_pairs.csv", "element_references.csv"):
        with pytest.raises(DataError, match=f"{name} is nothing that xfunc recognises"):
            detect(shared / name)


@pytest.mark.parametrize("split", [{"train": [0, 2], "valid": [1], "test": []}, {"train": list(range(1000))}])
def test_official_split_is_no_data(write: Callable[..., Path], split: dict[str, list[int]]) -> None:
    for content in (json.dumps(split).encode(), gzip.compress(json.dumps(split).encode())):
        with pytest.raises(DataError, match="is a split of MatPES, lists of row numbers and no data: import the data file it belongs to"):
            detect(write(content, "MatPES-PBE-split.json.gz"))


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"\n\n  ", "is empty"), (b"\x1f\x8b\x08", "damaged or cut gzip file"), (b"[" * 100_000, "nested too deeply"), (b'{"a": ', "not valid JSON"), (b"[{]", "not valid JSON")])
def test_damaged_files_are_said(write: Callable[..., Path], content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"^file.jsonl.*{words}"):
        detect(write(content))


def test_folders_are_told_by_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder without anything that xfunc reads in folders"):
        detect(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "POSCAR").write_text("x")
    assert detect(tmp_path) == "structures"
    (tmp_path / "a" / "OUTCAR.gz").write_text("x")
    assert detect(tmp_path) == "vasp"  # its POSCAR belongs to the calculation


def test_every_format_that_is_told_has_a_reader(tmp_path: Path) -> None:
    asked_for = {"materials-project"}  # answers of the Materials Project, which no user has as a file
    assert {*SHARED.values(), *INSTALLED.values(), "ase-db"} == set(READERS) - asked_for
    sqlite3.connect(tmp_path / "a.db").execute("CREATE TABLE t (x)")
    assert detect(tmp_path / "a.db") == "ase-db"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(st.sampled_from('0123.e- \n{}[]",:aH<'), max_size=60).map(str.encode))
def test_anything_is_told_or_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    try:
        assert detect(tmp_path / "a") in READERS
    except DataError as error:
        assert str(error).isprintable()
