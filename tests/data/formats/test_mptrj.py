"""MPtrj and MP-r2SCAN to frames: the real cut against its raw JSON and chgnet's own reading, and documents to spoil."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from xfunc_core.data.formats import json_stream
from xfunc_core.data.formats.mptrj import read_mptrj
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import import_file
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Change = Callable[..., Frame | Rejected]
NAN = float("nan")
WRONG = [None, True, 0, -1, 10**400, 1e308, NAN, "", "1.5", "../x", "a\0b", "\ud800", [], [[]], [1, 2, 3], [[1, 2], [3]], [None] * 6, {}, [{}]]


def items(path: Path, functional: Functional | None = None) -> list[Frame | Rejected]:
    return [item for item in read_mptrj(path, functional) if not isinstance(item, Note)]


def notes(path: Path, functional: Functional | None = None) -> set[str]:
    return {item.sentence for item in read_mptrj(path, functional) if isinstance(item, Note)}


@pytest.fixture(scope="module")
def sample(shared: Path) -> Path:
    return shared / "MPtrj_sample.json"


@pytest.fixture(scope="module")
def materials(sample: Path) -> dict[str, dict[str, Any]]:
    return json.loads(sample.read_bytes())


# --- the real cut -----------------------------------------------------------------------------


def test_every_frame_is_kept_under_its_own_id_and_material(sample: Path, materials: dict[str, dict[str, Any]]) -> None:
    frames = items(sample)
    expected = [(key, material) for material, entries in materials.items() for key in entries]
    assert [(frame.frame_id, frame.material_id) for frame in frames] == expected
    assert len(frames) == 37
    assert {frame.functional for frame in frames} == {Functional.PBE}
    assert frames[0].provenance == {"task_id": "mp-1012897", "calculation": 0, "ionic_step": 0}  # of another task than its material
    assert frames[0].material_id == "mp-1005792"


def test_labels_are_those_of_the_file(sample: Path, materials: dict[str, dict[str, Any]]) -> None:
    documents = [document for entries in materials.values() for document in entries.values()]
    for frame, document in zip(items(sample), documents, strict=True):
        assert frame.energy / frame.n_atoms == pytest.approx(document["energy_per_atom"], rel=1e-14)
        assert frame.energy == pytest.approx(document["corrected_total_energy"], abs=1e-9)
        assert frame.energy - frame.correction == pytest.approx(document["uncorrected_total_energy"], abs=1e-9)
        assert frame.correction == pytest.approx(document["corrected_total_energy"] - document["uncorrected_total_energy"], abs=1e-9)
        np.testing.assert_array_equal(frame.forces, document["force"])
        kbar = np.array(document["stress"])
        np.testing.assert_allclose(frame.stress, [-0.1 * kbar[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], rtol=1e-14)
        assert (frame.magmoms is None) == (document["magmom"] is None)
        assert frame.magmoms is None or frame.magmoms.tolist() == document["magmom"]
        assert frame.masked == (() if document["magmom"] else ("no magmoms",))


def test_structures_equal_those_of_pymatgen_although_pbc_is_not_said(sample: Path, materials: dict[str, dict[str, Any]]) -> None:
    documents = [document for entries in materials.values() for document in entries.values()]
    assert not any("pbc" in document["structure"]["lattice"] for document in documents)
    for frame, document in zip(items(sample), documents, strict=True):
        expected = Structure.from_dict(document["structure"])
        assert frame.numbers.tolist() == list(expected.atomic_numbers)
        np.testing.assert_array_equal(frame.lattice, expected.lattice.matrix)
        np.testing.assert_allclose(frame.positions, expected.cart_coords, atol=1e-12)


def test_stress_is_the_slope_of_the_energy(sample: Path) -> None:
    """Among frames of one material that differ in their volume, dE = V · tr(σ)/3 · dlnV tells the sign and the unit of stress."""
    frames = [frame for frame in items(sample) if frame.material_id == "mp-1006278"]
    pressure = {frame.frame_id: -frame.stress[:3].mean() for frame in frames}
    volume = {frame.frame_id: np.linalg.det(frame.lattice) for frame in frames}
    smallest, largest = min(volume, key=volume.get), max(volume, key=volume.get)
    assert volume[largest] / volume[smallest] > 1.01
    assert pressure[smallest] > pressure[largest]  # squeezed further, it pushes more
    bulk_modulus = -(pressure[largest] - pressure[smallest]) / np.log(volume[largest] / volume[smallest])
    assert 10 < bulk_modulus < 500


def test_import_counts_what_is_missing_and_tells_what_was_assumed(sample: Path, root: Path) -> None:
    dataset, report = import_file(sample, root, name="d", format="mptrj")
    assert len(dataset) == report.n_documents == 37
    assert dataset.info.n_materials == 4
    assert report.dropped == []
    missing = sum(entry["reason"] == "no magmoms" for entry in report.masked)
    assert dataset.info.labelled == {"energy": 37, "forces": 37, "stress": 37, "magmoms": 37 - missing}
    assert [sentence.split()[0] for sentence in report.notes] == ["Energies", "Stress", "The"]


# --- one document -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame_document(materials: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A frame of four atoms that has every label."""
    return materials["mp-1006278"]["mp-1006287-0-0"]


@pytest.fixture
def change(frame_document: dict[str, Any], write: Callable[..., Path]) -> Change:
    """What the frame becomes after changes of its members; None removes one."""

    def read(functional: Functional | None = None, /, **changes: object) -> Frame | Rejected:
        document = {key: value for key, value in (frame_document | changes).items() if value is not None}
        [item] = items(write(json.dumps({"mp-1": {"mp-1-0-0": document}})), functional)
        return item

    return read


def test_mp_r2scan_documents_are_read_once_the_functional_is_said(change: Change) -> None:
    """No real sample was obtained: the same nesting without corrected energies, as its data descriptor says."""
    with pytest.raises(DataError, match="file.jsonl: frame 'mp-1-0-0' of 'mp-1' does not name its functional; say which one"):
        change(corrected_total_energy=None)
    frame = change(Functional.R2SCAN, corrected_total_energy=None, energy_per_atom=-10.0, uncorrected_total_energy=-40.0)
    assert (frame.functional, frame.energy, frame.correction) == (Functional.R2SCAN, -40.0, 0.0)


def test_functional_of_the_document_counts(change: Change) -> None:
    assert change(functional="r2SCAN").functional is Functional.R2SCAN
    with pytest.raises(DataError, match="was computed with 'PBEsol'"):
        change(functional="PBEsol")
    with pytest.raises(DataError, match="computed with PBE, not r²SCAN"):
        change(Functional.R2SCAN, functional="PBE")


def test_energy_falls_back_and_says_so(change: Change, frame_document: dict[str, Any], write: Callable[..., Path]) -> None:
    corrected, uncorrected = frame_document["corrected_total_energy"], frame_document["uncorrected_total_energy"]
    assert change(energy_per_atom=None).energy == corrected
    alone = change(Functional.PBE, energy_per_atom=None, corrected_total_energy=None)
    assert (alone.energy, alone.correction) == (uncorrected, 0.0)
    none = change(Functional.PBE, energy_per_atom=None, corrected_total_energy=None, uncorrected_total_energy=None)
    assert np.isnan([none.energy, none.correction]).all()
    assert none.masked == ("no energy",)
    document = frame_document | {"energy_per_atom": None}
    assert any("from corrected_total_energy" in note for note in notes(write(json.dumps({"a": {"b": document}}))))


def test_total_energy_in_the_place_of_energy_per_atom_is_masked(change: Change, frame_document: dict[str, Any]) -> None:
    frame = change(energy_per_atom=frame_document["corrected_total_energy"])
    assert np.isnan([frame.energy, frame.correction]).all()
    assert frame.masked == ("energy_per_atom times the number of atoms is not corrected_total_energy",)


def test_correction_is_unknown_where_the_source_does_not_say(change: Change) -> None:
    assert np.isnan(change(uncorrected_total_energy=None).correction)
    assert change(uncorrected_total_energy="x").correction is not None


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("structure", [], "structure has no sites"),
        ("energy_per_atom", "-6", "energy is '-6', not a number"),
        ("force", [[0, 0, 0]], "forces is not 4 × 3 numbers"),
        ("stress", [1, 2, 3, 4, 5, 6], "six numbers whose order MPtrj does not define"),
        ("stress", [1, 2, 3], "stress is not 3 × 3 numbers"),
        ("magmom", 3.0, "magmoms is not 4 numbers"),
        ("mp_id", {"a": 1}, "mp_id is no text"),
    ],
)
def test_unusable_frame_is_rejected_with_its_reason(change: Change, member: str, value: object, words: str) -> None:
    item = change(**{member: value})
    assert isinstance(item, Rejected)
    assert words in item.reason


@pytest.mark.parametrize(
    ("content", "frame_id", "reason"),
    [('{"a": 3}', "a", "it is no JSON object"), ('{"a": {"b": []}}', "b", "it is no JSON object"), ('{"a": {"b": {}}}', "b", "it has no structure"), ('{"a": {"b\\u202e": {"structure": 1}}}', "'b\\u202e'", "its frame id has unprintable characters or more than 200")],
)
def test_stray_members_are_rejected_on_their_own(write: Callable[..., Path], content: str, frame_id: str, reason: str) -> None:
    assert items(write(content)) == [Rejected(1, frame_id, reason)]


def test_same_key_twice_is_told(frame_document: dict[str, Any], write: Callable[..., Path], root: Path) -> None:
    text = json.dumps(frame_document)
    _, report = import_file(write(f'{{"a": {{"x": {text}, "x": {text}}}, "a": {{"x": {text}}}}}'), root, name="d", format="mptrj")
    assert [entry["reason"] for entry in report.dropped] == ["its id occurred before in this file"] * 2


# --- size and damage --------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_frames_of_a_material(frame_document: dict[str, Any], write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1 << 16)
    text = json.dumps(frame_document)
    path = write('{"a": {' + ", ".join(f'"{i}": {text}' for i in range(1500)) + "}}")
    tracemalloc.start()
    count = sum(isinstance(item, Frame) for item in read_mptrj(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1500
    assert peak < 2_000_000 < path.stat().st_size


def members(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*way, key)
        yield from members(inner, (*way, key))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wrong_types_anywhere_are_a_frame_a_rejection_or_said(frame_document: dict[str, Any], write: Callable[..., Path], data: st.DataObject) -> None:
    document = json.loads(json.dumps(frame_document | {"functional": "PBE"}))
    *way, last = data.draw(st.sampled_from(list(members(document))))
    target = document
    for key in way:
        target = target[key]
    target[last] = data.draw(st.sampled_from(WRONG))
    try:
        [item] = items(write(json.dumps({"a": {"b": document}})))
    except DataError as error:
        assert last == "functional"
        assert str(error).isprintable()
        return
    if isinstance(item, Rejected):
        assert item.reason.isprintable()
    else:
        assert all(label is None or np.isfinite(label).all() for label in (item.positions, item.forces, item.stress, item.magmoms))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_flipped_files_are_read_or_said(sample: Path, write: Callable[..., Path], data: st.DataObject) -> None:
    content = bytearray(sample.read_bytes()[: data.draw(st.integers(1, 30_000))])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        items(write(bytes(content)))
    except DataError as error:
        assert str(error).startswith("file.jsonl")
        assert str(error).isprintable()
