"""ASE databases to frames: written by ASE, in both of its file formats, and read without it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.formats.ase_db import read_ase_db
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional


def items(path: Path, functional: Functional | None = None) -> list[Frame | Rejected]:
    return [item for item in read_ase_db(path, functional) if not isinstance(item, Note)]


def labelled(i: int) -> Atoms:
    rng = np.random.default_rng(i)
    atoms = bulk("Cu", a=3.6) * (1, 1, i + 1)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.calc = EMT()
    labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress(), "magmoms": rng.normal(size=len(atoms))}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


@pytest.fixture(params=["db", "json"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three labelled rows, one without labels and one that is no crystal."""
    path = tmp_path / f"rows.{request.param}"
    with connect(path) as db:
        for i in range(3):
            db.write(labelled(i), functional="r2SCAN", matpes_id=f"frame-{i}", material_id=f"mp-{i // 2}")
        db.write(bulk("Al", a=4.05), xc="r2SCAN+U")
        db.write(Atoms("CO", [[0, 0, 0], [1.1, 0, 0]], cell=[9, 9, 9]), functional="r2SCAN")
    return path


def test_rows_equal_those_that_ase_reads(database: Path) -> None:
    frames = items(database)
    for frame, row in zip(frames[:3], connect(database).select(), strict=False):
        atoms = row.toatoms()
        assert (frame.frame_id, frame.material_id, frame.functional) == (row.matpes_id, row.material_id, Functional.R2SCAN)
        assert frame.numbers.tolist() == atoms.numbers.tolist()
        np.testing.assert_array_equal(frame.lattice, atoms.cell.array)
        np.testing.assert_array_equal(frame.positions, atoms.positions)
        assert frame.energy == atoms.get_potential_energy()
        np.testing.assert_array_equal(frame.forces, atoms.get_forces())
        np.testing.assert_allclose(frame.stress, atoms.get_stress() / units.GPa, rtol=1e-12)
        np.testing.assert_array_equal(frame.magmoms, atoms.get_magnetic_moments())
        assert frame.masked == ()
    assert (frames[3].frame_id, frames[3].hubbard_u, frames[3].masked) == ("rows-4", True, ("no energy", "no forces", "no stress"))
    assert frames[4] == Rejected(5, "rows-5", "its cell does not repeat in all three directions (pbc)")


def test_reading_changes_nothing(database: Path) -> None:
    database.chmod(0o444)
    before = (database.read_bytes(), database.stat().st_mtime_ns, sorted(os.listdir(database.parent)))
    items(database)
    assert (database.read_bytes(), database.stat().st_mtime_ns, sorted(os.listdir(database.parent))) == before


def test_name_of_a_file_is_no_part_of_a_uri(database: Path) -> None:
    strange = database.rename(database.parent / "a?mode=rwc&x=%2e#b é.db")
    assert len(items(strange)) == 5


def test_functional_of_the_calculator_counts_last(tmp_path: Path) -> None:
    atoms = labelled(0)
    atoms.calc.name, atoms.calc.parameters = "vasp", {"xc": "PBE"}
    with connect(tmp_path / "a.db") as db:
        db.write(atoms)
    assert items(tmp_path / "a.db")[0].functional is Functional.PBE
    with connect(tmp_path / "a.db") as db:
        db.write(atoms, functional="PBEsol")
    with pytest.raises(DataError, match="a.db: row 2 was computed with 'PBEsol'"):
        items(tmp_path / "a.db")


def test_row_without_a_functional_is_asked_for(tmp_path: Path) -> None:
    with connect(tmp_path / "a.db") as db:
        db.write(labelled(0))
    with pytest.raises(DataError, match="a.db: row 1 does not name its functional"):
        items(tmp_path / "a.db")
    assert items(tmp_path / "a.db", Functional.PBE)[0].functional is Functional.PBE


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("numbers", b"", "it has no atoms"),
        ("numbers", b"123", "its numbers are no array"),
        ("numbers", np.array([95], np.int32).tobytes(), "what CHGNet does not know"),
        ("positions", b"12345678", "coordinates is not 1 × 3 numbers"),
        ("positions", np.full(3, np.inf).tobytes(), "coordinates are not finite"),
        ("positions", "text", "its positions are no array"),
        ("cell", np.zeros(9).tobytes(), "volume of 0 Å³"),
        ("cell", None, "lattice matrix is not 3 × 3 numbers"),
        ("pbc", 6, "does not repeat in all three directions"),
        ("energy", "low", "its energy is 'low', not a number"),
        ("energy", b"12345678", "not a number"),
        ("stress", np.zeros(9).tobytes(), "stress is not 6 numbers"),
        ("key_value_pairs", "{", "key-value pairs are no JSON"),
        ("key_value_pairs", "[" * 100_000, "key-value pairs are no JSON"),
        ("key_value_pairs", '{"matpes_id": ["a"]}', "matpes_id is no text"),
    ],
)
def test_spoiled_row_is_rejected_with_its_reason(tmp_path: Path, column: str, value: object, words: str) -> None:
    path = tmp_path / "a.db"
    with connect(path) as db:
        for _ in range(2):
            db.write(labelled(0), functional="PBE")
    with sqlite3.connect(path) as raw:
        raw.execute(f"UPDATE systems SET {column} = ? WHERE id = 1", (value,))
    first, second = items(path, Functional.PBE)
    assert isinstance(first, Rejected)
    assert words in first.reason
    assert isinstance(second, Frame)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ("CREATE TABLE other (id)", "no ASE database .it has no table 'systems'"),
        ("CREATE VIEW systems AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT * FROM n", "has no table 'systems'"),
        ("CREATE TABLE systems (id INTEGER PRIMARY KEY)", "no ASE database .it has no table 'information'"),
        ("CREATE TABLE systems (id INTEGER PRIMARY KEY); CREATE VIEW information AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id AS name, id AS value FROM n", "has no table 'information'"),
        ("CREATE TABLE systems (id INTEGER PRIMARY KEY); CREATE TABLE information (name, value)", "another version"),
        ("CREATE TABLE systems (id INTEGER PRIMARY KEY, numbers, positions, cell, pbc); CREATE TABLE information (name, value); INSERT INTO information VALUES ('version', '4')", "another version"),
        ("CREATE TABLE systems (id INTEGER PRIMARY KEY, numbers AS (zeroblob(500000000)), positions, cell, pbc); CREATE TABLE information (name, value); INSERT INTO information VALUES ('version', '9'); INSERT INTO systems (pbc) VALUES (7)", "another version"),
        ("CREATE TABLE systems (id INTEGER PRIMARY KEY, numbers, positions, cell, pbc); CREATE TABLE information (name, value); INSERT INTO information VALUES ('version', '9'); INSERT INTO systems (numbers) VALUES (zeroblob(70000000))", "too big"),
    ],
)
def test_other_sqlite_files_are_refused(tmp_path: Path, statements: str, words: str) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(statements)
    with pytest.raises(DataError, match=f"^a.db is .*{words}"):
        items(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_flipped_files_are_read_or_said(database: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(database.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "spoiled"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        for item in items(path, Functional.R2SCAN):
            assert item.frame_id.isprintable()
            assert isinstance(item, Frame) or item.reason.isprintable()
    except DataError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"1": 3}', "it is no JSON object"), ('{"1": {"numbers": {"__ndarray__": 3}}}', "one of its arrays does not hold numbers"), ('{"1": {"numbers": [[1], [1, 2]]}}', "no array"), ('{"1": {"numbers": [1.5]}}', "it has no atoms"), ('{"1": {"numbers": [1e999]}}', "it has no atoms"), ('{"1": {"numbers": [' + "9" * 30 + "]}}", "does not hold numbers")],
)
def test_spoiled_json_row_is_rejected(write: Callable[..., Path], content: str, words: str) -> None:
    [item] = items(write(content))
    assert isinstance(item, Rejected)
    assert words in item.reason


def test_database_becomes_a_dataset(database: Path, root: Path) -> None:
    dataset, report = import_file(database, root, name="d", format="ase-db")
    assert dataset.info.labelled == {"energy": 3, "forces": 3, "stress": 3, "magmoms": 3}
    assert (report.n_documents, report.n_kept, dataset.info.n_materials) == (5, 4, 3)
    assert [note.split(" ")[0] for note in report.notes] == ["Energies", "Some", "Whether"]
