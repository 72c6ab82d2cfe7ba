"""What is exported is what ASE, pymatgen, pandas and xfunc itself read back."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import ase.units
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pymatgen.core import Structure

from xfunc_core.data import rows as rows_module
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.exporting import ExportFormat, export
from xfunc_core.data.frame import Frame
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import BUNDLED, open_dataset
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

NAMES = ["matpes-elements-pbe", "matpes-elements-r2scan", "xfunc-dft-r2scan"]
READER = {ExportFormat.EXTXYZ: "extxyz", ExportFormat.MATPES: "matpes"}
FULL = Frame(
    "a-1",
    "m-1",
    Functional.PBE,
    np.array([26, 8], dtype=np.uint8),
    np.array([[4.1, 0.2, 0.0], [0.1, 4.3, 0.3], [0.0, -0.2, 4.7]]),
    np.array([[0.1, 0.2, 0.3], [2.1, 2.2, -1.7]]),
    -13.7,
    np.array([[0.1, -0.2, 1e-9], [-0.1, 0.2, -1e-9]]),
    np.array([1.1, -2.2, 3.3, 0.4, -0.5, 0.6]),
    np.array([3.9, -0.01]),
)
LABELS = {"energy": float("nan"), "forces": None, "stress": None, "magmoms": None}


@pytest.fixture(params=NAMES)
def dataset(request: pytest.FixtureRequest, bundled_root: Path) -> Dataset:
    return open_dataset(bundled_root, request.param)


@pytest.fixture
def elements(bundled_root: Path) -> Dataset:
    return open_dataset(bundled_root, "matpes-elements-pbe")


def written(root: Path, frames: list[Frame], name: str = "d") -> Dataset:
    with DatasetWriter(root, name) as writer:
        for frame in frames:
            writer.add(frame)
        return Dataset(writer.finish(report={"dropped": [], "masked": []}, title="T", functional=frames[0].functional.value, source="s", source_sha256="", replace=True))


def text(dataset: Dataset, format: ExportFormat, rows: np.ndarray | None = None) -> str:
    file = io.BytesIO()
    export(dataset, rows, file, format)
    return file.getvalue().decode()


def read_back(dataset: Dataset, format: ExportFormat, folder: Path, rows: np.ndarray | None = None) -> Dataset:
    path = folder / f"again{format.suffix}"
    export(dataset, rows, path, format)
    return import_file(path, folder / "again", name="again", format=READER[format], energies="total", replace=True)[0]


def assert_same(found: Dataset, expected: Dataset, *, positions: float, stress: float) -> None:
    """Everything to the bit, but positions and stress, whose tolerances are in Å and relative."""
    for name in ("frame_id", "material_id", "formula", "n_atoms"):
        assert found.columns[name].equals(expected.columns[name])
    for name in ("numbers", "forces", "magmoms"):
        assert found.atom_array(name).tobytes() == expected.atom_array(name).tobytes()
    assert found.frame_array("lattice").tobytes() == expected.frame_array("lattice").tobytes()
    assert found.columns["energy"].to_numpy().tobytes() == expected.columns["energy"].to_numpy().tobytes()
    np.testing.assert_allclose(found.atom_array("positions"), expected.atom_array("positions"), rtol=0, atol=positions)
    np.testing.assert_allclose(found.frame_array("stress"), expected.frame_array("stress"), rtol=stress, atol=1e-290)


# --- extended XYZ -----------------------------------------------------------------------------


def test_ase_reads_the_same_numbers(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, None, tmp_path / "all.extxyz", ExportFormat.EXTXYZ)
    for row, atoms in enumerate(ase.io.iread(tmp_path / "all.extxyz", index=":")):
        own = dataset.atoms_of(row)
        assert atoms.pbc.all()
        np.testing.assert_array_equal(atoms.numbers, dataset.atom_array("numbers")[own])
        np.testing.assert_array_equal(atoms.cell.array, dataset.frame_array("lattice")[row])
        np.testing.assert_array_equal(atoms.positions, dataset.atom_array("positions")[own])
        np.testing.assert_array_equal(atoms.get_forces(), dataset.atom_array("forces")[own])
        assert atoms.get_potential_energy() == dataset.columns["energy"][row].as_py()
        np.testing.assert_allclose(atoms.get_stress() / ase.units.GPa, dataset.frame_array("stress")[row], rtol=1e-12)
        moments = dataset.atom_array("magmoms")[own]
        assert np.array_equal(atoms.get_magnetic_moments(), moments) if np.isfinite(moments).all() else "magmoms" not in atoms.calc.results
        assert (str(atoms.info["frame_id"]), str(atoms.info["material_id"])) == (dataset.columns["frame_id"][row].as_py(), dataset.columns["material_id"][row].as_py())
        assert atoms.info["functional"] == {"pbe": "PBE", "r2scan": "r2SCAN"}[dataset.info.functional]
    assert row == len(dataset) - 1


def test_stress_has_the_sign_that_ase_gives_it(tmp_path: Path, bundled_folder: Path, raw: Callable[[Path], list[dict[str, Any]]], elements: Dataset) -> None:
    """VASP's kbar has compression positive, ASE's eV/Å³ tension."""
    export(elements, None, tmp_path / "all.extxyz", ExportFormat.EXTXYZ)
    kbar = {d["matpes_id"]: d["stress"] for d in raw(bundled_folder / "MatPES-PBE-Element-Refs.json.gz")}
    for atoms in ase.io.read(tmp_path / "all.extxyz", index=":"):
        np.testing.assert_allclose(atoms.get_stress(), -0.1 * np.array(kbar[atoms.info["frame_id"]]) * ase.units.GPa, rtol=1e-12)


def test_extended_xyz_reads_back(dataset: Dataset, tmp_path: Path) -> None:
    assert_same(read_back(dataset, ExportFormat.EXTXYZ, tmp_path), dataset, positions=0, stress=1e-15)


@pytest.mark.parametrize(("hubbard_u", "name"), [(True, "PBE+U"), (False, "PBE"), (None, "PBE")])
def test_hubbard_u_is_part_of_the_functionals_name(root: Path, hubbard_u: bool | None, name: str) -> None:
    assert f" functional={name} " in text(written(root, [replace(FULL, hubbard_u=hubbard_u)]), ExportFormat.EXTXYZ)


@pytest.mark.parametrize("frame_id", ["mp-1 (relaxed)", 'a "b"', "it's", "{x}", "a=b", "Å", "1", "T"])
def test_odd_ids_come_back(root: Path, tmp_path: Path, frame_id: str) -> None:
    dataset = written(root, [replace(FULL, frame_id=frame_id)])
    assert read_back(dataset, ExportFormat.EXTXYZ, tmp_path).columns["frame_id"].to_pylist() == [frame_id]
    (tmp_path / "one.extxyz").write_text(text(dataset, ExportFormat.EXTXYZ))
    assert ase.io.read(tmp_path / "one.extxyz").get_potential_energy() == FULL.energy


@pytest.mark.parametrize("frame_id", ["a\\b", "'\""])
def test_ids_that_readers_understand_differently_are_refused(root: Path, frame_id: str) -> None:
    with pytest.raises(DataError, match="cannot be written to extended XYZ .* choose another format"):
        text(written(root, [replace(FULL, frame_id=frame_id)]), ExportFormat.EXTXYZ)


# --- MatPES -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bundled", BUNDLED, ids=lambda b: b.name)
def test_documents_say_what_the_source_said(bundled: Any, bundled_root: Path, bundled_folder: Path, raw: Callable[[Path], list[dict[str, Any]]]) -> None:
    source = {d["matpes_id"]: d for d in raw(bundled_folder / bundled.file)}
    documents = [json.loads(line) for line in text(open_dataset(bundled_root, bundled.name), ExportFormat.MATPES).splitlines()]
    assert [d["matpes_id"] for d in documents] == list(source)
    for document in documents:
        original = source[document["matpes_id"]]
        for name in ("functional", "energy", "forces", "provenance", "elements", "nelements", "nsites", "chemsys"):
            assert document[name] == original.get(name, document[name])
        assert document["stress"] == pytest.approx(original["stress"], rel=1e-15)
        assert document["structure"]["lattice"]["matrix"] == original["structure"]["lattice"]["matrix"]
        assert [site["properties"] for site in document["structure"]["sites"]] == [site["properties"] for site in original["structure"]["sites"]]
        found, expected = (Structure.from_dict(d["structure"]) for d in (document, original))
        assert found.species == expected.species
        np.testing.assert_allclose(found.frac_coords, expected.frac_coords, rtol=0, atol=1e-14)
        np.testing.assert_allclose([site["xyz"] for site in document["structure"]["sites"]], expected.cart_coords, rtol=0, atol=1e-13)


def test_stress_that_vasp_wrote_comes_out_as_vasp_wrote_it(elements: Dataset, bundled_folder: Path, raw: Callable[[Path], list[dict[str, Any]]]) -> None:
    written = [json.loads(line)["stress"] for line in text(elements, ExportFormat.MATPES).splitlines()]
    assert written == [d["stress"] for d in raw(bundled_folder / "MatPES-PBE-Element-Refs.json.gz")]


def test_matpes_reads_back(dataset: Dataset, tmp_path: Path) -> None:
    again = read_back(dataset, ExportFormat.MATPES, tmp_path)
    assert_same(again, dataset, positions=1e-14, stress=0)
    assert again.columns["provenance"].equals(dataset.columns["provenance"])
    assert again.info.isolated_atoms == dataset.info.isolated_atoms


def test_isolated_atoms_are_told_once(elements: Dataset) -> None:
    everything = np.tile(np.arange(len(elements)), 2)
    told = [(d["elements"], d["energy_atomic"]) for d in map(json.loads, text(elements, ExportFormat.MATPES, everything).splitlines()) if "energy_atomic" in d]
    assert {symbol: energy for (symbol,), energy in told} == elements.info.isolated_atoms
    assert len(told) == len(elements.info.isolated_atoms) > 0


@pytest.mark.parametrize("provenance", [{}, {"original_mp_id": "mp-1"}, {"material_id": "m-1", "original_mp_id": "mp-1"}, {"original_mp_id": None, "step": 3}])
def test_the_material_is_in_the_provenance(root: Path, tmp_path: Path, provenance: dict[str, Any]) -> None:
    dataset = written(root, [replace(FULL, provenance=provenance)])
    (line,) = text(dataset, ExportFormat.MATPES).splitlines()
    assert json.loads(line)["provenance"] == provenance | {"material_id": "m-1"}
    assert read_back(dataset, ExportFormat.MATPES, tmp_path).columns["material_id"].to_pylist() == ["m-1"]


# --- CSV --------------------------------------------------------------------------------------


def test_csv_has_one_row_a_frame_with_units(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, None, tmp_path / "t.csv", ExportFormat.CSV)
    table = pd.read_csv(tmp_path / "t.csv", dtype={"frame_id": str, "material_id": str})
    rows = [dataset.atoms_of(row) for row in range(len(dataset))]
    structures = [dataset.structure(row) for row in range(len(dataset))]
    assert table["frame_id"].tolist() == dataset.columns["frame_id"].to_pylist()
    assert table["material_id"].tolist() == dataset.columns["material_id"].to_pylist()
    assert table["chemical_system"].tolist() == [s.chemical_system for s in structures]
    assert table["n_atoms"].tolist() == [len(s) for s in structures]
    forces = dataset.atom_array("forces")
    expected = {
        "energy (eV)": dataset.table["energy"],
        "energy (eV/atom)": [e / len(s) for e, s in zip(dataset.table["energy"], structures, strict=True)],
        "energy above elemental fit (eV/atom)": dataset.frame_array("above_fit"),
        "volume (Å³)": [s.volume for s in structures],
        "largest force (eV/Å)": [max(np.sqrt((forces[atoms] ** 2).sum(axis=1))) for atoms in rows],
        "pressure, compression positive (GPa)": [-np.trace(np.diag(stress[:3])) / 3 for stress in dataset.frame_array("stress")],
        "largest moment (μB)": [max(abs(dataset.atom_array("magmoms")[atoms])) for atoms in rows],
    }
    for header, values in expected.items():
        np.testing.assert_allclose(table[header], values, rtol=1e-12, err_msg=header)
    assert table["formula"].tolist() == dataset.columns["formula"].to_pylist()


# --- labels that are not there ----------------------------------------------------------------


@pytest.mark.parametrize("format", ExportFormat)
def test_absent_labels_are_absent(root: Path, tmp_path: Path, format: ExportFormat) -> None:
    frames = [FULL, *(replace(FULL, frame_id=name, **{name: gone}) for name, gone in LABELS.items()), replace(FULL, frame_id="bare", **LABELS)]
    dataset = written(root, frames)
    found = text(dataset, format)
    assert not re.search(r"\b(nan|null|none)\b", found.lower())
    if format is not ExportFormat.CSV:
        assert_same(read_back(dataset, format, tmp_path), dataset, positions=1e-14, stress=1e-15)


def test_absent_labels_are_empty_cells(root: Path) -> None:
    table = pd.read_csv(io.StringIO(text(written(root, [replace(FULL, **LABELS)]), ExportFormat.CSV)))
    empty = set(table.columns[table.isna().all()])
    assert empty == {"energy (eV)", "energy (eV/atom)", "energy above elemental fit (eV/atom)", "largest force (eV/Å)", "pressure, compression positive (GPa)", "largest moment (μB)", "correction in energy (eV)", "hubbard_u"}


# --- any frame --------------------------------------------------------------------------------

NUMBER = st.floats(-1e6, 1e6)
ID = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\'\"", codec="utf-8"), min_size=1, max_size=9).filter(lambda t: t.isprintable() and t == t.strip())


@st.composite
def any_frame(draw: st.DrawFn) -> Frame:
    n = draw(st.integers(1, 4))
    array = lambda *shape: hnp.arrays(np.float64, shape, elements=NUMBER)  # noqa: E731
    return replace(
        FULL,
        frame_id=draw(ID),
        material_id=draw(ID),
        numbers=draw(hnp.arrays(np.uint8, n, elements=st.integers(1, 94))),
        lattice=5 * np.eye(3) + draw(hnp.arrays(np.float64, (3, 3), elements=st.floats(-1, 1))),
        positions=draw(hnp.arrays(np.float64, (n, 3), elements=st.floats(-20, 20))),
        energy=draw(NUMBER),
        forces=draw(st.none() | array(n, 3)),
        stress=draw(st.none() | array(6)),
        magmoms=draw(st.none() | hnp.arrays(np.float64, (n,), elements=st.floats(-100, 100))),
    )


@pytest.mark.parametrize("format", READER)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(any_frame(), min_size=1, max_size=4, unique_by=lambda f: f.frame_id), piece=st.integers(1, 3))
def test_any_frames_read_back(tmp_path: Path, format: ExportFormat, frames: list[Frame], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "FRAMES_AT_ONCE", piece)
        dataset = written(tmp_path / "datasets", frames)
        assert_same(read_back(dataset, format, tmp_path), dataset, positions=1e-12, stress=1e-15)


# --- rows, pieces, files ----------------------------------------------------------------------


@pytest.mark.parametrize("format", ExportFormat)
def test_chosen_rows_come_in_their_order(elements: Dataset, format: ExportFormat) -> None:
    rows = np.array([7, 2, 40])
    single = [text(elements, format, rows[i : i + 1]) for i in range(3)]
    header = single[0].splitlines(keepends=True)[0] if format is ExportFormat.CSV else ""
    assert text(elements, format, rows) == header + "".join(part.removeprefix(header) for part in single)


@pytest.mark.parametrize("format", ExportFormat)
@pytest.mark.parametrize("limit", ["FRAMES_AT_ONCE", "ATOMS_AT_ONCE"])
def test_small_pieces_change_nothing_and_progress_counts_frames(elements: Dataset, monkeypatch: pytest.MonkeyPatch, format: ExportFormat, limit: str) -> None:
    whole = text(elements, format)
    monkeypatch.setattr(rows_module, limit, 20)
    file, told = io.BytesIO(), []
    assert export(elements, None, file, format, told.append) == len(elements)
    assert file.getvalue().decode() == whole
    assert len(told) > 3 and told == sorted(set(told)) and told[-1] == len(elements)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, DataError("x")])
def test_file_that_is_not_finished_leaves_what_was_there(elements: Dataset, tmp_path: Path, problem: BaseException | type) -> None:
    def stop(_: int) -> None:
        raise problem

    target = tmp_path / "frames.csv"
    target.write_text("before")
    with pytest.raises((KeyboardInterrupt, DataError)):
        export(elements, None, target, ExportFormat.CSV, stop)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("frames.csv", "before")]
    export(elements, None, target, ExportFormat.CSV)
    assert target.read_text() == text(elements, ExportFormat.CSV)
    assert [path.name for path in tmp_path.iterdir()] == ["frames.csv"]


def test_no_frames_are_refused(elements: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no frame to export from MatPES elements · PBE: widen the filter"):
        export(elements, np.array([], dtype=int), tmp_path / "f.csv", ExportFormat.CSV)
    assert not list(tmp_path.iterdir())


def test_folder_that_is_not_there_is_named(elements: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere/f.csv cannot be written"):
        export(elements, None, tmp_path / "nowhere" / "f.csv", ExportFormat.CSV)


def test_full_disk_leaves_nothing(elements: Dataset, small_disk: Path) -> None:
    with pytest.raises(DataError, match="cannot be written .* the space there"):
        export(elements, np.tile(np.arange(len(elements)), 40), small_disk / "f.jsonl", ExportFormat.MATPES)
    assert not list(small_disk.iterdir())


def test_a_correction_that_a_file_does_not_tell_is_told(tmp_path: Path) -> None:
    from xfunc_core.data.exporting import left_out_by
    from xfunc_core.data.importing import import_file

    sample = Path(__file__).resolve().parents[3] / "shared" / "data" / "MPtrj_sample.json"
    if not sample.exists():
        pytest.skip("shared/data is not beside this clone")
    dataset, _ = import_file(sample, tmp_path, name="mptrj")
    raw = [frame for frames in json.loads(sample.read_text()).values() for frame in frames.values()]
    corrected = sum(abs(f["corrected_total_energy"] - f["uncorrected_total_energy"]) > 1e-9 for f in raw)
    assert left_out_by(dataset, None, ExportFormat.EXTXYZ).startswith(f"{corrected} frames have a corrected energy")
    assert left_out_by(dataset, None, ExportFormat.CSV) == ""
    assert dataset.info.energy_scale == "VASP, Materials Project settings"
