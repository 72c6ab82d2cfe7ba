"""A file becomes a dataset, whole or not at all, with a report that a reader understands."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfunc_core.data import importing
from xfunc_core.data import writer as writer_module
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.formats import json_stream
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import MOST_REASONS, ImportReport, default_name, import_file
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
NAN = float("nan")


def left_in(root: Path) -> list[str]:
    return sorted(os.listdir(root)) if root.exists() else []


# --- what is kept -----------------------------------------------------------------------------


def test_losses_are_kept_masked_and_counted(document: Make, write: Write, root: Path) -> None:
    documents = [
        document("a"),
        document("no-energy", {"energy": None}),
        document("nan-force", {"forces": [[0, 0, NAN], [0, 0, 0]]}),
        document("a", {"energy": -99.0}),
        document("r2scan", {"functional": "r2SCAN"}),
        document("mixed-site", {"structure.sites.0.species": [{"element": "Na", "occu": 0.5}]}),
        document("huge", {"energy": 10**400, "stress": None}),
    ]
    dataset, report = import_file(write(documents), root, name="d", title="A title")
    assert dataset.table["frame_id"].tolist() == ["a", "no-energy", "nan-force", "huge"]
    np.testing.assert_array_equal(dataset.table["energy"], [-6.5, NAN, -6.5, NAN])
    assert dataset.info.labelled == {"energy": 2, "forces": 3, "stress": 3, "magmoms": 4}
    assert (dataset.info.title, dataset.functional, dataset.info.n_materials, dataset.info.elements) == ("A title", Functional.PBE, 1, {"Na": 4, "Cl": 4})
    assert np.isnan(dataset.atom_array("forces")[dataset.atoms_of(2)]).all()
    assert (report.n_documents, report.n_kept) == (7, 4)
    assert report.dropped == [
        {"document": 4, "frame_id": "a", "reason": "its id occurred before in this file"},
        {"document": 5, "frame_id": "r2scan", "reason": "it is labelled with r²SCAN in a file that starts with PBE"},
        {"document": 6, "frame_id": "mixed-site", "reason": "site 1 is only partly occupied (0.5)"},
    ]
    assert report.masked == [
        {"frame_id": "no-energy", "reason": "no energy"},
        {"frame_id": "nan-force", "reason": "forces are not finite"},
        {"frame_id": "huge", "reason": "energy is not finite"},
        {"frame_id": "huge", "reason": "no stress"},
    ]
    assert dataset.report() == {"documents": 7, "dropped": report.dropped, "masked": report.masked, "notes": []}


def test_labels_that_cannot_be_are_left_out_and_counted(document: Make, write: Write, root: Path) -> None:
    documents = [
        document("fine"),
        document("all-electron", {"energy": -1.6e6}),  # two atoms; plutonium's 94 electrons are bound by 0.8 MeV
        document("absurd", {"energy": -8e300}),
        document("torn", {"forces": [[0, 0, 2e6], [0, 0, -2e6]]}),
        document("crushed", {"stress": [1e10, 0, 0, 0, 0, 0]}),  # kbar
        document("spinning", {"structure.sites.0.properties": {"magmom": 500.0}, "structure.sites.1.properties": {"magmom": 0.0}}),
    ]
    dataset, report = import_file(write(documents), root, name="d")
    assert dataset.table["frame_id"].tolist() == ["fine", "all-electron"]
    reasons = {entry["frame_id"]: entry["reason"] for entry in report.dropped}
    assert reasons["absurd"] == "its energy is beyond ±1,000,000 eV/atom, which nothing reaches"
    assert reasons["torn"] == "its force is beyond ±1,000,000 eV/Å, which nothing reaches"
    assert reasons["crushed"] == "its stress is beyond ±100,000,000 GPa, which nothing reaches"
    assert reasons["spinning"] == "its magnetic moment is beyond ±100 μB, which nothing reaches"
    assert len(reasons) + len(dataset) == report.n_documents == len(documents)
    assert "1 left out: its energy is beyond ±1,000,000 eV/atom, which nothing reaches (for example absurd)." in report.sentences()
    assert dataset.report()["dropped"] == report.dropped


def test_absurd_energy_of_an_extxyz_frame_is_left_out(root: Path, tmp_path: Path) -> None:
    frame = '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy={} pbc="T T T"\nNa 0 0 0 0 0 {}\n'
    (tmp_path / "f.extxyz").write_text(frame.format(-1.3, 0) + frame.format(-8e300, 0) + frame.format(-1.3, 1e7))
    dataset, report = import_file(tmp_path / "f.extxyz", root, name="d", functional=Functional.PBE, energies="total")
    assert len(dataset) == 1 and [entry["document"] for entry in report.dropped] == [2, 3]
    assert ["eV/atom" in str(report.dropped[0]["reason"]), "eV/Å" in str(report.dropped[1]["reason"])] == [True, True]


def test_source_is_recorded(document: Make, write: Write, root: Path) -> None:
    path = write([document()])
    dataset, _ = import_file(path, root, name="d", energy_scale="VASP", licence="CC0", citation="us")
    info = dataset.info
    assert (info.name, info.title, info.source, info.energy_scale, info.licence, info.citation) == ("d", "d", "file.jsonl", "VASP", "CC0", "us")
    assert len(info.source_sha256) == 64
    before = info.source_sha256
    path.write_bytes(gzip.compress(path.read_bytes()))
    again, _ = import_file(path, root, name="e")
    assert again.info.source_sha256 != before
    assert again.info.content_sha256 == info.content_sha256


def test_functional_of_silent_files_is_what_the_user_says(document: Make, write: Write, root: Path, absent: object) -> None:
    path = write([document(changes={"functional": absent})])
    with pytest.raises(DataError, match="does not name its functional"):
        import_file(path, root, name="d")
    assert import_file(path, root, name="d", functional=Functional.R2SCAN)[0].functional is Functional.R2SCAN


def test_progress_is_told_about_every_thousand_documents(document: Make, write: Write, root: Path) -> None:
    told: list[int] = []
    line = json.dumps(document())
    import_file(write("\n".join([line] * 2500)), root, name="d", progress=told.append)
    assert len(told) == 2 and 1000 <= told[0] < 2000 <= told[1] <= 2500


def test_interrupted_import_leaves_nothing(document: Make, write: Write, root: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(write("\n".join([json.dumps(document())] * 1000)), root, name="d", progress=interrupt)
    assert left_in(root) == []


def test_everything_a_document_may_nest_is_imported_or_said(document: Make, write: Write, root: Path) -> None:
    text = json.dumps(document(changes={"provenance.note": "NEST"}))
    limit = sys.getrecursionlimit()
    outcomes = set()
    for depth in (10, *range(limit - 140, limit + 10), 100_000):
        try:
            import_file(write(text.replace('"NEST"', "[" * depth + "]" * depth)), root, name=f"d{depth}")
            outcomes.add("imported")
        except DataError as error:
            assert "nested too deeply" in str(error)
            outcomes.add("said")
    assert outcomes == {"imported", "said"}


# --- what is refused --------------------------------------------------------------------------


def test_nothing_half_imported_whatever_the_file(document: Make, write: Write, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.dumps(document())
    zipped = gzip.compress((good + "\n").encode() * 50)
    cases = {
        "file.jsonl is a damaged or cut gzip file": zipped[: len(zipped) // 2],
        "file.jsonl is empty: choose": b"",
        "file.jsonl is not a text file in UTF-8": b"\x00\xff\xfe" * 50,
        "document 2 is not valid JSON": good + "\n" + good[:-20],
        "document 2 is nested too deeply": good + "\n" + "[" * 100_000,
        "document 2 is longer than 2,000 characters": good + "\n" + good[:-1] + ', "x": "' + "y" * 3000 + '"}',
        "document 2 was computed with 'PBEsol'": good + "\n" + good.replace('"PBE"', '"PBEsol"'),
        "file.jsonl is JSON, but no MatPES file": "[1, 2]",
        "file.jsonl holds no frames: choose another file": "[]",
        "holds no usable frame; the first of 2 was left out because its structure has no sites": '[{"structure": {}, "functional": "PBE", "matpes_id": "a"}, {"structure": 3, "functional": "PBE", "matpes_id": "b"}]',
    }
    monkeypatch.setattr(json_stream, "MAX_DOCUMENT", 2000)
    for words, content in cases.items():
        with pytest.raises(DataError, match=words):
            import_file(write(content), root, name="d", format="matpes")
        assert left_in(root) == []


def test_what_is_no_file_is_said(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path / "none.json", "none.json cannot be read .No such file"), (tmp_path, "is a folder without anything that xfunc reads"), (tmp_path / "pipe", "not a file but")):
        with pytest.raises(DataError, match=words):
            import_file(path, root, name="d")
    assert left_in(root) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", ".hidden", "-x", "Caps", "a b", "a\n", "a\0", "é", "x" * 65])
def test_name_that_could_lead_elsewhere_is_refused(document: Make, write: Write, root: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no dataset name: use lower-case letters"):
        import_file(write([document()]), root, name=name)
    assert left_in(root) == []
    assert sorted(os.listdir(root.parent)) == ["file.jsonl"]


def test_unknown_format_is_refused(document: Make, write: Write, root: Path) -> None:
    with pytest.raises(DataError, match="'xyzabc' is no format that xfunc reads: use one of matpes"):
        import_file(write([document()]), root, name="d", format="xyzabc")


def test_taken_name_is_refused_before_the_file_is_read_and_replaced_if_asked(document: Make, write: Write, root: Path) -> None:
    import_file(write([document("old")]), root, name="d")
    with pytest.raises(DataError, match="already a dataset named 'd'"):
        import_file(write("no JSON"), root, name="d")
    with pytest.raises(DataError, match="nothing that xfunc recognises"):
        import_file(write("no JSON"), root, name="d", replace=True)
    assert Dataset(root / "d").table["frame_id"].tolist() == ["old"]
    assert import_file(write([document("new")]), root, name="d", replace=True)[0].table["frame_id"].tolist() == ["new"]
    assert left_in(root) == ["d"]


# --- disks ------------------------------------------------------------------------------------


def test_full_disk_is_said_and_leaves_nothing(document: Make, write: Write, small_disk: Path) -> None:
    many = "\n".join(json.dumps(document(str(i))) for i in range(3000))
    with pytest.raises(DataError, match="The disk that holds .* is full, so file.jsonl was not imported: free some space or set XFUNC_HOME"):
        import_file(write(many), small_disk, name="d")
    assert left_in(small_disk) == []
    assert len(import_file(write([document()]), small_disk, name="d")[0]) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_that_fills_at_the_last_moment_is_said(document: Make, write: Write, root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writer_module, "take_name", full)
    with pytest.raises(DataError, match="is full"):
        import_file(write([document()]), root, name="d")
    assert left_in(root) == []


def test_place_that_cannot_be_written_is_said(document: Make, write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "datasets", Path("/proc/xfunc")):
        with pytest.raises(DataError, match="file.jsonl was not imported .*: check the permissions of that place or set XFUNC_HOME"):
            import_file(write([document()]), root, name="d")


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [("MatPES-PBE-2025.1.json.gz", "matpes-pbe-2025.1"), ("a.JSONL", "a"), ("a.jsonl.gz", "a"), ("a.gz", "a"), ("Mein Satz (2).json", "mein-satz-2"), ("...", "dataset"), ("é", "dataset"), ("x" * 99, "x" * 64), ("_-a", "a")],
)
def test_default_name_is_a_name(document: Make, write: Write, root: Path, file: str, name: str) -> None:
    assert default_name(Path(file)) == name
    assert import_file(write([document()]), root, name=name)[0].info.name == name


def test_report_reads_as_sentences() -> None:
    report = ImportReport(1234, 1230, dropped=[{"document": 3, "frame_id": "", "reason": "it is no JSON object"}])
    report.masked = [{"frame_id": "a", "reason": "no energy"}, {"frame_id": "b", "reason": "no stress"}, {"frame_id": "c", "reason": "no stress"}]
    assert report.sentences() == [
        "1,230 of 1,234 documents were kept.",
        "1 left out: it is no JSON object (for example one without id).",
        "2 kept with a missing label: no stress (for example b).",
        "1 kept with a missing label: no energy (for example a).",
    ]


def test_notes_of_a_reader_are_kept_once_and_told(document: Make, write: Write, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noting(path: Path, functional: Functional | None) -> Iterator[Frame | Rejected | Note]:
        yield Note("Energies were read from 'REF_energy'.")
        yield from importing.READERS["matpes"](path, functional)
        yield Note("Energies were read from 'REF_energy'.")
        yield from (Note(f"Note {i}.") for i in range(1000))

    monkeypatch.setitem(importing.READERS, "noting", noting)
    dataset, report = import_file(write([document("a"), document("b")]), root, name="d", format="noting")
    assert report.n_documents == 2
    assert report.notes[:3] == ["Energies were read from 'REF_energy'.", "Note 0.", "Note 1."]
    assert len(report.notes) == importing.MOST_NOTES
    assert dataset.report()["notes"] == report.notes
    assert report.sentences()[1] == "Energies were read from 'REF_energy'."


def test_report_of_many_reasons_stays_short() -> None:
    report = ImportReport(5000, 0, dropped=[{"document": i, "frame_id": str(i), "reason": f"reason {i}"} for i in range(5000)])
    lines = report.sentences()
    assert len(lines) == MOST_REASONS + 2
    assert lines[-1] == f"{5000 - MOST_REASONS:,} left out for {5000 - MOST_REASONS:,} other reasons."
