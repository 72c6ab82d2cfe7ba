"""The fast reader gives what the careful one gives, whatever the file holds."""

from __future__ import annotations

import copy
import gzip
import json
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.formats import json_blocks
from xfunc_core.data.formats.json_blocks import read_blocks
from xfunc_core.data.formats.matpes import read_matpes
from xfunc_core.data.formats.matpes_batches import read_matpes_in_batches
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
SHARED = ROOT.parent / "shared" / "data"
FILES = [*sorted(BUNDLED.glob("*.gz")), SHARED / "MatPES-PBE-elements-sample.json.gz", SHARED / "MatPES-R2SCAN-elements-sample.jsonl"]
DOCUMENTS = [json.loads(line) for line in gzip.decompress((BUNDLED / "xfunc-dft-PBE.jsonl.gz").read_bytes()).splitlines()][:6]


def one_by_one(items) -> list[Frame | Rejected]:
    return [single for item in items for single in (item.frames() if isinstance(item, FrameBatch) else [item])]


def outcome(reader, path: Path) -> tuple[list, str]:
    """Everything a reader yields, in comparable form, and the error it ends with."""
    found, error = [], ""
    try:
        for item in reader(path):
            found += [plain(single) for single in one_by_one([item])]
    except DataError as problem:
        error = str(problem)
    return found, error


def plain(item: Frame | Rejected | Note) -> tuple:
    if isinstance(item, Note):
        return (item.sentence,)
    if isinstance(item, Rejected):
        return (item.position, item.frame_id, item.reason)
    arrays = [None if a is None else (a.shape, a.tobytes()) for a in (item.numbers, item.lattice, item.positions, item.forces, item.stress, item.magmoms)]
    provenance = json.loads(json.dumps(dict(item.provenance)))
    return (item.frame_id, item.material_id, item.functional, *arrays, repr(item.energy), item.masked, item.isolated_atom_energy, item.hubbard_u, provenance)


def write(path: Path, documents: list, container: str) -> Path:
    text = "\n".join(map(json.dumps, documents)) if container == "lines" else json.dumps(documents, indent=1 if container == "indented" else None)
    path.write_text(text)
    return path


def cut(path: Path) -> list:
    return [json.loads(text) for block in read_blocks(path) for text in block.documents()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_files_give_the_same_frames_to_the_bit(path: Path) -> None:
    if not path.exists():
        pytest.skip("shared/data is not beside this clone")
    assert outcome(read_matpes_in_batches, path) == outcome(read_matpes, path)


def test_regular_frames_do_go_in_batches() -> None:
    items = list(read_matpes_in_batches(BUNDLED / "xfunc-dft-PBE.jsonl.gz"))
    assert [type(item) for item in items] == [FrameBatch]


@pytest.mark.parametrize("container", ["lines", "list", "indented"])
def test_regular_frames_of_every_container_do_go_in_batches(tmp_path: Path, container: str) -> None:
    items = list(read_matpes_in_batches(write(tmp_path / "f.json", DOCUMENTS, container)))
    assert [type(item) for item in items] == [FrameBatch]


@pytest.mark.parametrize("container", ["lines", "list"])
def test_many_blocks_on_several_threads_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str) -> None:
    many = [document | {"matpes_id": f"{document['matpes_id']}-{i}"} for i in range(80) for document in DOCUMENTS]
    for odd in (100, 101, 250):
        many[odd] = many[odd] | {"stress": None}
    many[300] = many[300] | {"structure": {}}
    path = write(tmp_path / "f.json", many, container)
    monkeypatch.setattr(json_blocks, "CHUNK", 1 << 14)
    items = list(read_matpes_in_batches(path))
    assert outcome(read_matpes_in_batches, path) == outcome(read_matpes, path)
    assert sum(isinstance(item, FrameBatch) for item in items) > 10
    assert sum(len(item) for item in items if isinstance(item, FrameBatch)) > 400


@pytest.mark.parametrize("ending", ["close", "error"])
def test_no_thread_stays_when_the_reading_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = write(tmp_path / "f.json", DOCUMENTS * 50, "lines")
    monkeypatch.setattr(json_blocks, "CHUNK", 1 << 14)
    items = read_matpes_in_batches(path)
    next(items)
    with suppress(KeyboardInterrupt):
        items.close() if ending == "close" else items.throw(KeyboardInterrupt())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("matpes")]


@pytest.mark.parametrize("container", ["lines", "list", "indented"])
@pytest.mark.parametrize("chunk", [64, 1000, 5000])
def test_small_windows_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str, chunk: int) -> None:
    path = write(tmp_path / "f.json", DOCUMENTS, container)
    monkeypatch.setattr(json_blocks, "CHUNK", chunk)
    assert cut(path) == DOCUMENTS
    assert outcome(read_matpes_in_batches, path) == outcome(read_matpes, path)


def test_braces_quotes_and_backslashes_in_texts_do_not_cut_documents(tmp_path: Path) -> None:
    awkward = copy.deepcopy(DOCUMENTS)
    for document, text in zip(awkward, ['}{"', "\\", '\\"}', "a\\\\", '"', "{[]}"], strict=True):
        document["provenance"]["note"] = text
    for container in ("lines", "list"):
        path = write(tmp_path / container, awkward, container)
        assert cut(path) == awkward
        assert outcome(read_matpes_in_batches, path) == outcome(read_matpes, path)


PATHS = [("energy",), ("forces",), ("forces", 0), ("forces", 0, 1), ("stress",), ("stress", 2), ("functional",), ("matpes_id",), ("provenance",), ("provenance", "material_id"), ("structure",)]
PATHS += [("structure", "sites"), ("structure", "sites", 0), ("structure", "sites", 0, "abc"), ("structure", "sites", 0, "abc", 1), ("structure", "sites", 0, "species"), ("structure", "sites", 0, "properties")]
PATHS += [("structure", "sites", 0, "species", 0, "element"), ("structure", "sites", 0, "species", 0, "occu"), ("structure", "lattice", "matrix"), ("structure", "lattice", "matrix", 0, 0), ("energy_atomic",)]
ODD = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.just(10**400), st.floats(allow_nan=True), st.sampled_from(["", "1.0", "O", "Og", "R2SCAN", "SCAN", "a\nb", " x"]), st.just([]), st.just({}), st.just([1, 2, 3]), st.just({"magmom": 1.5}), st.just({"magmom": None}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), where=st.sampled_from(PATHS), value=ODD, gone=st.booleans(), container=st.sampled_from(["lines", "list"]))
def test_odd_documents_are_judged_as_by_the_careful_reader(tmp_path: Path, which: int, where: tuple, value: object, gone: bool, container: str) -> None:
    documents = copy.deepcopy(DOCUMENTS[:4])
    place = documents[which]
    for step in where[:-1]:
        place = place[step]
    if gone and isinstance(place, dict):
        place.pop(where[-1], None)
    else:
        place[where[-1]] = value
    path = write(tmp_path / "odd.json", documents, container)
    assert outcome(read_matpes_in_batches, path) == outcome(read_matpes, path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), kind=st.sampled_from(["cut", "flip", "insert"]), byte=st.integers(0, 255), container=st.sampled_from(["lines", "list"]))
def test_damaged_files_end_in_the_same_words(tmp_path: Path, at: int, kind: str, byte: int, container: str) -> None:
    path = write(tmp_path / "damaged.json", DOCUMENTS[:3], container)
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes({"cut": content[:at], "flip": content[:at] + bytes([byte]) + content[at + 1 :], "insert": content[:at] + bytes([byte]) + content[at:]}[kind])
    (fast, fast_error), (careful, error) = outcome(read_matpes_in_batches, path), outcome(read_matpes, path)
    assert fast_error == error  # how far each came before it does not matter: nothing is imported then
    if not error:
        assert fast == careful


def spoilt(old: str, new: str, containers: str = "lines list") -> object:
    return pytest.param(old, new, containers, id=f"{new[:30]!r}")


@pytest.mark.parametrize(
    ("old", "new", "containers"),
    [
        spoilt('"forces": [[', '"forces": [[-0, 1, 1], ['),
        spoilt('"energy": -', '"energy": -0, "was": -'),
        spoilt('"energy": ', '"energy": 1e400, "was": '),
        spoilt('"energy": ', '"energy": NaN, "was": '),
        spoilt('"energy": ', '"energy": 9007199254740993, "was": '),
        spoilt('"energy": ', '"energy": 1.00000000000000011102230246251565404, "was": '),
        spoilt('"energy": ', '"energy": 2.2250738585072011e-308, "was": '),
        spoilt('"energy": ', '"was": -Infinity, "energy": '),
        spoilt('"energy": ', '"energy": 1, "energy": '),
        spoilt('"energy": ', '"ener\\u0067y": 1, "was": '),
        spoilt('"energy": ', '"was": "\\ud800", "energy": '),
        spoilt('"energy": ', '"was": "\ud800", "energy": '),
        spoilt('"provenance": {', '"provenance": {"large": 36893488147419103232, "list": [36893488147419103233], '),
        spoilt('"provenance": {', '"provenance": {"large": 36893488147419103232, "deep": ' + 5000 * "[" + 5000 * "]" + ", "),
        spoilt('"provenance": {', '"provenance": {"inner": {"material_id": "x"}, '),
        spoilt('"provenance": {', '"provenance": {"code": "{", '),
        spoilt('"provenance": {', '"provenance": null, "was": {'),
        spoilt('"provenance": {', '"provenance": [], "was": {'),
        spoilt('"provenance": {', '"proven\\u0061nce": {"material_id": "x"}, "inner": {"provenance": {}}, "was": {'),
        spoilt('"provenance": {', '"note": "provenance", "provenance": {'),
        spoilt('"provenance": {', '"note": {"provenance": {}}, "provenance": {'),
        spoilt('"provenance": {', '"note": {"provenance": {}}, "was": {'),
        spoilt('"magmom": ', '"magmom": NaN, "was": '),
        spoilt('"occu": 1', '"occu": 0.5'),
        spoilt('"occu": 1', '"occu": null'),
        spoilt('"occu": 1', '"was": 1'),
        spoilt('"pbc": [true', '"pbc": [false'),
        spoilt('"pbc": [true, true, true]', '"pbc": [true, true]'),
        spoilt('"pbc": [true, true, true]', '"pbc": null'),
        spoilt('"element": "', '"element": "X'),
        spoilt('{"matpes_id"', ' {"matpes_id"'),
        spoilt('\n{"matpes_id"', '{"matpes_id"', "lines"),
        spoilt('\n{"matpes_id"', '\n\n \n{"matpes_id"', "lines"),
        spoilt('\n{"matpes_id"', '\n\ufeff{"matpes_id"', "lines"),
        spoilt('\n{"matpes_id"', '\n[{"matpes_id"', "lines"),
        spoilt('\n{"matpes_id"', ',\n{"matpes_id"', "lines"),
        spoilt(', {"matpes_id"', ',{"matpes_id"', "list"),
        spoilt(', {"matpes_id"', ' {"matpes_id"', "list"),
        spoilt(', {"matpes_id"', ', , {"matpes_id"', "list"),
        spoilt(', {"matpes_id"', ', 1, {"matpes_id"', "list"),
        spoilt(', {"matpes_id"', ', {"was": [{}, {"matpes_id": 1}], "matpes_id"', "list"),
        spoilt(', {"matpes_id"', '] {"matpes_id"', "list"),
    ],
)
@pytest.mark.parametrize("at", [0, 2, -1], ids=["first", "middle", "all"])
def test_what_a_fast_parser_may_see_otherwise_is_seen_as_by_the_careful_reader(tmp_path: Path, old: str, new: str, containers: str, at: int) -> None:
    for container in containers.split():
        with_moments = copy.deepcopy(DOCUMENTS)
        for document in with_moments:
            for site in document["structure"]["sites"]:
                site["properties"]["magmom"] = 0.5
        parts = write(tmp_path / "f.json", with_moments, container).read_text().split(old)
        assert len(parts) > 4, f"{old} is not in the documents"
        joints = [new if at in (i, -1) else old for i in range(len(parts) - 1)]
        text = parts[0] + "".join(joint + part for joint, part in zip(joints, parts[1:], strict=True))
        (tmp_path / "f.json").write_bytes(text.encode(errors="surrogatepass"))
        (fast, fast_error), (careful, error) = outcome(read_matpes_in_batches, tmp_path / "f.json"), outcome(read_matpes, tmp_path / "f.json")
        assert fast_error == error
        if not error:
            assert fast == careful


def test_what_is_not_needed_may_be_nested_to_any_depth(tmp_path: Path) -> None:
    deep = '{"deep": ' + 100_000 * "[" + 100_000 * "]" + ", "
    path = tmp_path / "f.json"
    path.write_text("".join(json.dumps(document).replace("{", deep, 1) + "\n" for document in DOCUMENTS))
    assert len(one_by_one(read_matpes_in_batches(path))) == len(DOCUMENTS)


def test_documents_too_long_to_look_through_are_left_to_the_careful_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt_one = [document | {"stress": None} if i == 3 else document for i, document in enumerate(DOCUMENTS)]
    monkeypatch.setattr(json_blocks, "MOST_SCANNED", 1000)
    for container in ("lines", "list"):
        path = write(tmp_path / "f.json", spoilt_one, container)
        assert outcome(read_matpes_in_batches, path) == outcome(read_matpes, path)


def test_the_functional_that_the_user_names_must_be_the_files(tmp_path: Path) -> None:
    from xfunc_core.quantities import Functional

    path = write(tmp_path / "f.json", DOCUMENTS, "lines")
    assert [f.functional for f in one_by_one(read_matpes_in_batches(path, Functional.PBE))] == [Functional.PBE] * len(DOCUMENTS)
    with pytest.raises(DataError, match="computed with PBE, not r²SCAN"):
        list(read_matpes_in_batches(path, Functional.R2SCAN))


def test_batches_flatten_and_come_apart_again() -> None:
    frames = one_by_one(read_matpes_in_batches(BUNDLED / "MatPES-PBE-Element-Refs.json.gz"))
    again = list(FrameBatch.of(frames).frames())
    assert [f.frame_id for f in again] == [f.frame_id for f in frames]
    for a, b in zip(frames, again, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        assert (a.magmoms is None) == (b.magmoms is None)


@pytest.mark.parametrize("size", [1, 7, 89, 1000])
def test_parts_of_a_batch_are_its_frames(size: int) -> None:
    batch = FrameBatch.of(one_by_one(read_matpes_in_batches(BUNDLED / "MatPES-PBE-Element-Refs.json.gz")))
    parts = list(batch.parts(size))
    assert {len(part) for part in parts[:-1]} <= {size}
    assert sum(map(len, parts)) == len(batch)
    assert [plain(frame) for frame in one_by_one(parts)] == [plain(frame) for frame in batch.frames()]
