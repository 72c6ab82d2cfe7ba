"""MatPES documents to frames: real files against their raw JSON, pymatgen and physics."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Structure

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.formats.matpes import read_matpes
from xfunc_core.data.frame import Frame, Note, Rejected, voigt_to_matrix
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import BUNDLED, open_dataset
from xfunc_core.quantities import VOIGT, Functional

Raw = Callable[[Path], list[dict[str, Any]]]
PRIMITIVE = [np.eye(3), np.ones((3, 3)) - np.eye(3), np.ones((3, 3)) - 2 * np.eye(3)]  # simple, face-centred, body-centred cubic


def frames_of(path: Path) -> list[Frame]:
    read = list(read_matpes(path))
    assert all(isinstance(item, Frame) for item in read)
    return read


@pytest.fixture(params=BUNDLED, ids=lambda bundled: bundled.name)
def bundled(request: pytest.FixtureRequest, bundled_root: Path, bundled_folder: Path, raw: Raw) -> tuple[Dataset, list[dict[str, Any]]]:
    """A bundled dataset and the raw documents that it was made from."""
    return open_dataset(bundled_root, request.param.name), raw(bundled_folder / request.param.file)


# --- values -----------------------------------------------------------------------------------


def test_every_bundled_document_is_kept_with_its_ids(bundled: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, documents = bundled
    assert len(dataset) == len(documents) > 0
    assert dataset.report() == {"documents": len(documents), "dropped": [], "masked": [], "notes": []}
    assert dataset.table["frame_id"].tolist() == [d["matpes_id"] for d in documents]
    assert dataset.table["material_id"].tolist() == [d["provenance"].get("material_id") or d["provenance"]["original_mp_id"] for d in documents]
    assert [json.loads(p) for p in dataset.table["provenance"]] == [d["provenance"] for d in documents]
    assert {d["functional"].lower() for d in documents} == {dataset.functional.value}


def test_bundled_labels_are_those_of_the_file(bundled: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, documents = bundled
    assert dataset.table["energy"].tolist() == [d["energy"] for d in documents]
    np.testing.assert_array_equal(dataset.energy_per_atom, [d["energy"] / len(d["structure"]["sites"]) for d in documents])
    np.testing.assert_array_equal(dataset.atom_array("forces"), np.concatenate([d["forces"] for d in documents]))
    np.testing.assert_allclose(dataset.frame_array("stress"), [[-kbar / 10 for kbar in d["stress"]] for d in documents], rtol=1e-15)
    moments = [site["properties"].get("magmom", np.nan) for d in documents for site in d["structure"]["sites"]]
    np.testing.assert_array_equal(dataset.atom_array("magmoms"), moments)


def test_bundled_structures_equal_those_of_pymatgen(bundled: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, documents = bundled
    for row, document in enumerate(documents):
        expected, found = Structure.from_dict(document["structure"]), dataset.structure(row)
        assert found.atomic_numbers == expected.atomic_numbers
        np.testing.assert_array_equal(found.lattice.matrix, expected.lattice.matrix)
        np.testing.assert_allclose(found.cart_coords, expected.cart_coords, atol=1e-12)
        assert found.site_properties.get("magmom") == expected.site_properties.get("magmom")


def test_energies_of_the_elements_are_total(bundled_root: Path, bundled_folder: Path, raw: Raw) -> None:
    documents = raw(bundled_folder / "MatPES-PBE-Element-Refs.json.gz")
    dataset = open_dataset(bundled_root, "matpes-elements-pbe")
    np.testing.assert_allclose(dataset.energy_per_atom, [d["energy_per_atom"] for d in documents], rtol=1e-9)
    assert dataset.info.isolated_atoms == {d["elements"][0]: d["energy_atomic"] for d in documents}
    cohesive = [e - dataset.info.isolated_atoms[d["elements"][0]] for e, d in zip(dataset.energy_per_atom, documents, strict=True)]
    np.testing.assert_allclose(cohesive, [d["cohesive_energy_per_atom"] for d in documents], atol=1e-6)


def cubic_strain(lattice: np.ndarray) -> np.ndarray | None:
    """Strain away from the cubic cell of the same volume in Voigt order, None if the cell is far from cubic."""
    for shape in PRIMITIVE:
        ideal = shape * abs(np.linalg.det(lattice) / np.linalg.det(shape)) ** (1 / 3)
        strain = np.linalg.solve(ideal, lattice) - np.eye(3)
        if np.abs(strain).max() < 0.08:
            return np.array([(strain[i, j] + strain[j, i]) / 2 for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])
    return None


@pytest.mark.parametrize("name", ["xfunc-dft-pbe", "xfunc-dft-r2scan"])
def test_stress_pulls_where_a_cubic_crystal_was_stretched(bundled_root: Path, name: str) -> None:
    """Hooke's law tells sign, unit and order: twice a shear modulus is positive and some 100 GPa, component by component."""
    dataset = open_dataset(bundled_root, name)
    strains = [cubic_strain(lattice) for lattice in dataset.frame_array("lattice")]
    cubic = [row for row, strain in enumerate(strains) if strain is not None]
    strain, stress = np.array([strains[row] for row in cubic]), np.array(dataset.frame_array("stress")[cubic])
    strain[:, :3] -= strain[:, :3].mean(axis=1, keepdims=True)
    stress[:, :3] -= stress[:, :3].mean(axis=1, keepdims=True)
    moduli = (strain * stress).sum(axis=0) / (strain**2).sum(axis=0)
    assert ((moduli > 20) & (moduli < 600)).all(), dict(zip(VOIGT, moduli, strict=True))
    r = np.corrcoef(strain.T, stress.T)[:6, 6:]
    for first in (0, 3):  # tension, then shear
        axes = [first, first + 1, first + 2]
        assert max(itertools.permutations(axes), key=lambda order: r[axes, list(order)].sum()) == tuple(axes)


# --- containers -------------------------------------------------------------------------------


def same_frames(a: list[Frame], b: list[Frame]) -> bool:
    labels = ("numbers", "lattice", "positions", "forces", "stress", "magmoms")
    return all((x.frame_id, x.energy) == (y.frame_id, y.energy) and all(np.array_equal(getattr(x, n), getattr(y, n)) for n in labels) for x, y in zip(a, b, strict=True))


def test_both_containers_of_matpes_and_the_element_references_hold_the_same_frames(shared: Path) -> None:
    pbe = frames_of(shared / "MatPES-PBE-elements-sample.json.gz")
    r2scan = frames_of(shared / "MatPES-R2SCAN-elements-sample.jsonl")
    assert len(pbe) == len(r2scan) == 89
    assert same_frames(pbe, frames_of(shared / "MatPES-PBE-Element-Refs.json.gz"))
    assert same_frames(r2scan, frames_of(shared / "MatPES-r2SCAN-Element-Refs.json.gz"))
    assert not same_frames(pbe, r2scan)
    assert {frame.functional for frame in pbe} == {Functional.PBE}
    assert {frame.functional for frame in r2scan} == {Functional.R2SCAN}


def test_container_is_told_by_content_not_by_name(shared: Path, tmp_path: Path) -> None:
    gzip_list = (shared / "MatPES-PBE-elements-sample.json.gz").read_bytes()
    (tmp_path / "MatPES-PBE-2025.1.json").write_bytes(gzip_list)
    (tmp_path / "lines.json.gz").write_bytes((shared / "MatPES-R2SCAN-elements-sample.jsonl").read_bytes())
    assert same_frames(frames_of(tmp_path / "MatPES-PBE-2025.1.json"), frames_of(shared / "MatPES-PBE-elements-sample.json.gz"))
    assert same_frames(frames_of(tmp_path / "lines.json.gz"), frames_of(shared / "MatPES-R2SCAN-elements-sample.jsonl"))


# --- one document -----------------------------------------------------------------------------


@pytest.fixture
def read_one(document: Callable[..., dict[str, Any]], write: Callable[..., Path]) -> Callable[..., Frame | Rejected]:
    """What one document becomes after changes at dotted paths."""

    def read(changes: dict[str, object] | None = None, functional: Functional | None = None) -> Frame | Rejected:
        [item] = read_matpes(write([document(changes=changes)]), functional)
        return item

    return read


def test_frame_holds_what_the_document_says(read_one: Callable[..., Frame]) -> None:
    frame = read_one()
    assert (frame.frame_id, frame.material_id, frame.functional, frame.energy, frame.masked) == ("matpes-1", "mp-22862", Functional.PBE, -6.5, ())
    assert frame.numbers.tolist() == [11, 17]
    np.testing.assert_allclose(frame.positions, [[0, 0, 0], [2.8 + 0.025 - 0.025, 1.425 - 0.0375, -0.725]], atol=1e-12)
    assert frame.stress.tolist() == [-1.0, -2.0, -3.0, -0.4, -0.5, -0.6000000000000001]
    assert frame.magmoms.tolist() == [0.25, -0.5]
    assert frame.isolated_atom_energy is None


def test_stress_as_a_matrix_is_the_same_stress(read_one: Callable[..., Frame]) -> None:
    frame = read_one({"stress": [[10.0, 6.0, 5.0], [6.0, 20.0, 4.0], [5.0, 4.0, 30.0]]})
    np.testing.assert_array_equal(frame.stress, read_one().stress)
    np.testing.assert_allclose(voigt_to_matrix(frame.stress), -0.1 * np.array([[10, 6, 5], [6, 20, 4], [5, 4, 30]]))


def test_cartesian_sites_do_without_fractional_coordinates(read_one: Callable[..., Frame], absent: object) -> None:
    frame = read_one({"structure.sites.0.abc": absent, "structure.sites.1.abc": absent, "structure.sites.0.xyz": [0, 0, 0], "structure.sites.1.xyz": [1, 2, 3]})
    assert frame.positions.tolist() == [[0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize(
    ("provenance", "material"),
    [(None, "matpes-1"), ([], "matpes-1"), ({}, "matpes-1"), ({"original_mp_id": None}, "matpes-1"), ({"original_mp_id": "mp-1", "material_id": "NaCl"}, "NaCl"), ({"original_mp_id": " mp-1 "}, "mp-1"), ({"material_id": 7}, "7")],
)
def test_material_is_found_or_the_frame_stands_alone(read_one: Callable[..., Frame], provenance: object, material: str) -> None:
    assert read_one({"provenance": provenance}).material_id == material


@pytest.mark.parametrize(("name", "functional"), [("PBE", Functional.PBE), ("pbe", Functional.PBE), ("r2SCAN", Functional.R2SCAN), ("R2SCAN", Functional.R2SCAN), ("r²SCAN ", Functional.R2SCAN)])
def test_functional_is_known_in_every_spelling(read_one: Callable[..., Frame], name: str, functional: Functional) -> None:
    assert read_one({"functional": name}).functional is functional


def test_functional_may_be_said_where_the_file_does_not(read_one: Callable[..., Frame], absent: object) -> None:
    for missing in (absent, None):
        assert read_one({"functional": missing}, Functional.R2SCAN).functional is Functional.R2SCAN


def test_isolated_atom_belongs_to_elemental_frames_only(read_one: Callable[..., Frame]) -> None:
    elemental = {"structure.sites.1.species": [{"element": "Na", "occu": 1}]}
    assert read_one(elemental | {"energy_atomic": -0.25}).isolated_atom_energy == -0.25
    for value in (None, True, "1", float("nan"), 10**400):
        assert read_one(elemental | {"energy_atomic": value}).isolated_atom_energy is None
    assert read_one({"energy_atomic": -0.25}).isolated_atom_energy is None


# --- isolated atoms ---------------------------------------------------------------------------


def test_isolated_atoms_become_isolated_atom_energies(shared: Path, write: Callable[..., Path], root: Path, raw: Raw) -> None:
    """Documents as in MatPES-PBE-atoms.json: the energies are those of the element references, which carry both."""
    references = raw(shared / "MatPES-PBE-Element-Refs.json.gz")
    box = {"lattice": {"matrix": (20 * np.eye(3)).tolist()}, "sites": [{"species": [{"element": "H", "occu": 1}], "abc": [0.5, 0.5, 0.5]}]}
    atoms = [{"elements": d["elements"], "energy": d["energy_atomic"], "functional": "PBE"} for d in references]
    atoms[0] |= {"matpes_id": "in-a-box", "structure": json.loads(json.dumps(box).replace('"H"', f'"{atoms[0]["elements"][0]}"'))}
    dataset, report = import_file(write(json.dumps(atoms), "atoms.json"), root, name="atoms", format="matpes")
    assert len(dataset) == 89
    assert dataset.info.isolated_atoms == {d["elements"][0]: d["energy_atomic"] for d in references}
    assert dataset.table["frame_id"].tolist()[:2] == ["in-a-box", f"atom-{references[1]['elements'][0]}"]
    assert report.notes == ["Isolated atoms without a structure were put into an empty cube of 15 Å."]


def test_atom_of_a_dense_crystal_is_not_isolated(read_one: Callable[..., Frame], absent: object) -> None:
    one = {"structure.sites.1": absent, "forces": [[0, 0, 0]]}
    for edge, isolated in ((5.6, None), (7.9, None), (8.1, -6.5)):
        for matrix in (edge * np.eye(3), edge * np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])):
            assert read_one(one | {"structure.lattice.matrix": matrix.tolist()}).isolated_atom_energy == isolated


@pytest.mark.parametrize(("symbol", "words"), [("Xx", "no element"), (3, "no element"), ("Am", "CHGNet knows only"), (["H"], "no element")])
def test_isolated_atom_of_no_element_is_rejected(write: Callable[..., Path], symbol: object, words: str) -> None:
    [item] = [item for item in read_matpes(write(json.dumps([{"elements": [symbol], "energy": -1.0, "functional": "PBE"}]))) if not isinstance(item, Note)]
    assert isinstance(item, Rejected)
    assert words in item.reason
