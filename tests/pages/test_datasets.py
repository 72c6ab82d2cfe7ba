"""The Datasets page: what is there against the raw files, imports good and bad, and deletion."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.runs.folder import RunFolder

TYPED = "Path on this machine"


def documents_in(file: Path) -> list[dict[str, Any]]:
    """The documents of a sample, by plain json."""
    text = (gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).decode()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def bring_in(screen):
    """Import a file by its path, with the given entries of the form; gives the page after it."""

    def import_(path: Path | str, name: str | None = None, page: Any = None, **entries: str) -> Any:
        page = (page or screen("datasets")).choose("import_from", TYPED).choose("import_path", str(path))
        for key, value in entries.items():
            page.widget(f"import_{key}").set_value(value)
        if name is not None:
            page.widget(f"import_name_{Path(path).name}").set_value(name)
        return page.click("Import")

    return import_


@pytest.fixture
def few_documents(raw) -> list[dict[str, Any]]:
    """Three real frames."""
    return raw["xfunc-dft-r2scan"][:3]


def lines(file: Path, documents: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return file


def names(home: Path) -> set[str]:
    """Everything in the datasets folder, hidden leftovers included."""
    return {path.name for path in (home / "datasets").iterdir()}


# --- what is there ----------------------------------------------------------------------------


def test_table_counts_the_raw_files(home, screen, raw, symbols_of) -> None:
    table = screen("datasets").table("Name", "Frames").set_index("Name")
    assert set(table.index) == set(raw)
    for name, documents in raw.items():
        row = table.loc[name]
        assert row["Frames"] == f"{len(documents):,}"
        assert row["Elements"] == len({symbol for document in documents for symbol in symbols_of(document)})
        assert row["Functional"] == ("PBE" if name.endswith("pbe") else "r²SCAN")
        assert ("magmoms" in row["Labels"]) == name.startswith("matpes")
    materials = {document["provenance"]["material_id"] for document in raw["xfunc-dft-pbe"]}
    assert table.loc["xfunc-dft-pbe", "Materials"] == f"{len(materials):,}"


@pytest.mark.parametrize("name", ["xfunc-dft-pbe", "matpes-elements-r2scan"])
def test_periodic_table_counts_the_raw_frames(home, screen, raw, symbols_of, cells, as_number, name) -> None:
    page = screen("datasets").choose("dataset", name)
    there = [set(symbols_of(document)) for document in raw[name]]
    shown = {symbol: as_number(text) for symbol, text in cells(page.figure("dataset_elements_table_0")).items()}
    assert shown == {symbol: sum(symbol in symbols for symbols in there) for symbol in set().union(*there)}


@pytest.mark.parametrize("chosen", [[], ["O"], ["Na", "Cl"]])
def test_frames_are_those_with_the_chosen_elements(home, screen, raw, symbols_of, chosen) -> None:
    page = screen("datasets").choose("dataset_elements", chosen)
    documents = {d["matpes_id"]: d for d in raw["xfunc-dft-r2scan"] if not chosen or set(chosen) & set(symbols_of(d))}
    table = page.table("Id", "Energy (eV/atom)")
    assert list(table["Id"]) == list(documents)
    assert f"{len(documents):,} of {len(raw['xfunc-dft-r2scan']):,} frames. Tick a row" in page.words()
    for _, row in table.iterrows():
        document = documents[row["Id"]]
        n = len(symbols_of(document))
        assert row["Atoms in the cell"] == n
        assert row["Energy (eV/atom)"] == pytest.approx(document["energy"] / n)
        assert row["Largest force (eV/Å)"] == pytest.approx(max(math.hypot(*force) for force in document["forces"]))
        assert row["Pressure (GPa)"] == pytest.approx(0.1 * sum(document["stress"][:3]) / 3)  # kbar, VASP's sign: compression positive


def test_bundled_data_cannot_be_deleted_here(home, screen, raw) -> None:
    page = screen("datasets")
    for name in raw:
        assert "Delete for good" not in page.choose("dataset", name).buttons()


def test_a_damaged_dataset_is_one_warning_and_the_rest_stays(home, screen, raw) -> None:
    screen("datasets")
    (home / "datasets" / "mine").mkdir()
    (home / "datasets" / "mine" / "dataset.json").write_text("nonsense")
    page = screen("datasets")
    [warning] = [element.value for element in page.at.warning]
    assert "'mine'" in warning
    assert not page.errors()
    assert set(page.table("Name", "Frames")["Name"]) == set(raw)


# --- imports ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["MatPES-PBE-elements-sample.json.gz", "MatPES-R2SCAN-elements-sample.jsonl"])
def test_import_of_a_real_matpes_sample_by_path(home, bring_in, sample, symbols_of, cells, as_number, file) -> None:
    path, before = sample(file), names(home)
    documents = documents_in(path)
    page = bring_in(path, "mine", title="My own data")
    assert not page.errors()
    [report] = [element.value for element in page.at.success]
    assert report == f"{len(documents)} of {len(documents)} documents were kept."
    assert names(home) == before | {"mine"}
    row = page.table("Name", "Frames").set_index("Name").loc["mine"]
    assert (row["Title"], row["Frames"]) == ("My own data", str(len(documents)))
    assert row["Functional"] == ("PBE" if "PBE" in file else "r²SCAN")
    page.choose("dataset", "mine")
    shown = {symbol: as_number(text) for symbol, text in cells(page.figure("dataset_elements_table_0")).items()}
    assert shown == {s: sum(s in symbols_of(d) for d in documents) for d in documents for s in symbols_of(d)}
    assert list(page.table("Id", "Atoms in the cell")["Id"]) == [document["matpes_id"] for document in documents]


def test_upload(home, screen, few_documents) -> None:
    page = screen("datasets")
    content = gzip.compress(json.dumps(few_documents).encode())
    page.choose("upload", ("My Frames.json.gz", content, "application/gzip"))
    assert page.widget("import_name_My Frames.json.gz").value == "my-frames"
    page.click("Import")
    assert [element.value for element in page.at.success] == ["3 of 3 documents were kept."]
    assert list(page.choose("dataset", "my-frames").table("Id", "Atoms in the cell")["Id"]) == [d["matpes_id"] for d in few_documents]


def test_nothing_to_import_cannot_be_imported(home, screen) -> None:
    page = screen("datasets")
    assert [button.disabled for button in page.at.button if button.label == "Import"] == [True]
    page.choose("import_from", TYPED)
    assert [button.disabled for button in page.at.button if button.label == "Import"] == [True]


def test_missing_labels_and_documents_left_out_are_counted(home, bring_in, few_documents, tmp_path) -> None:
    first, second, third = few_documents
    file = lines(tmp_path / "gaps.jsonl", [first, second | {"energy": None}, {k: v for k, v in third.items() if k != "structure"}])
    page = bring_in(file)
    kept, left_out, masked = [element.value for element in page.at.success]
    assert kept == "2 of 3 documents were kept."
    assert left_out == f"1 left out: it has no structure (for example {third['matpes_id']})."
    assert masked == f"1 kept with a missing label: no energy (for example {second['matpes_id']})."
    page.choose("dataset", "gaps")
    assert "Left out 1 documents, masked 1 labels" in [expander.label for expander in page.at.expander]
    energies = page.table("Id", "Energy (eV/atom)").set_index("Id")["Energy (eV/atom)"]
    assert set(energies.index) == {first["matpes_id"], second["matpes_id"]}
    assert math.isnan(energies[second["matpes_id"]])
    assert energies[first["matpes_id"]] == pytest.approx(first["energy"] / len(first["structure"]["sites"]), abs=0.51e-3)
    assert page.table("document", "reason")["frame_id"].tolist() == [third["matpes_id"]]


def test_the_report_is_shown_once(home, bring_in, few_documents, tmp_path) -> None:
    page = bring_in(lines(tmp_path / "mine.jsonl", few_documents))
    assert page.at.success
    assert not page.run().at.success


def test_functional_that_the_file_does_not_say_is_asked_for(home, bring_in, few_documents, tmp_path) -> None:
    file = lines(tmp_path / "silent.jsonl", [{k: v for k, v in document.items() if k != "functional"} for document in few_documents])
    page, before = bring_in(file), names(home)
    [sentence] = page.errors()
    assert "does not name its functional" in sentence
    assert names(home) == before
    page = bring_in(file, page=page, functional="PBE")
    assert not page.errors()
    assert page.table("Name", "Functional").set_index("Name").loc["silent", "Functional"] == "PBE"


def bad_inputs(folder: Path, good: list[dict[str, Any]]) -> dict[str, tuple[Path, str, str]]:
    """Path, name and a part of the sentence, by what is wrong."""
    whole = gzip.compress("".join(json.dumps(document) + "\n" for document in good).encode())
    files = {"cut.jsonl.gz": whole[: len(whole) // 2], "other.json": b'[{"a": 1}]', "text.json": b"Dear editor,", "empty.json": b"", "good.jsonl.gz": whole}
    paths = {name: folder / name for name in files}
    for name, content in files.items():
        paths[name].write_bytes(content)
    refused = lines(folder / "pbesol.jsonl", [good[0] | {"functional": "PBEsol"}])
    return {
        "missing": (folder / "nowhere.json", "mine", "No such file"),
        "folder": (folder, "mine", "folder"),
        "truncated": (paths["cut.jsonl.gz"], "mine", "cut.jsonl.gz"),
        "no MatPES": (paths["other.json"], "mine", "nothing that xfunc recognises"),
        "no JSON": (paths["text.json"], "mine", "text.json"),
        "empty": (paths["empty.json"], "mine", "empty.json"),
        "other functional": (refused, "mine", "PBEsol"),
        "bad name": (paths["good.jsonl.gz"], "../Mine", "is no dataset name"),
        "no name": (paths["good.jsonl.gz"], "", "is no dataset name"),
        "name taken": (paths["good.jsonl.gz"], "xfunc-dft-pbe", "already a dataset named 'xfunc-dft-pbe'"),
    }


@pytest.mark.parametrize("wrong", ["missing", "folder", "truncated", "no MatPES", "no JSON", "empty", "other functional", "bad name", "no name", "name taken"])
def test_bad_input_is_one_sentence_and_leaves_nothing(home, bring_in, few_documents, tmp_path, wrong) -> None:
    path, name, part = bad_inputs(tmp_path, few_documents)[wrong]
    before = names(home)
    page = bring_in(path, name)
    [sentence] = page.errors()
    assert part in sentence
    assert sentence.endswith(".") and "\n" not in sentence
    assert not page.at.success
    assert names(home) == before
    assert page.title() == "Datasets"


def test_folder_of_an_unknown_user_is_one_sentence(home, bring_in) -> None:
    page = bring_in("~no-such-user-here/frames.json", "mine")
    assert len(page.errors()) == 1


def test_mptrj_is_told_by_its_content(home, bring_in, sample) -> None:
    file = sample("MPtrj_sample.json")
    page = bring_in(file)
    n = sum(len(frames) for frames in json.loads(file.read_text()).values())
    assert f"{n} of {n} documents were kept." in [element.value for element in page.at.success]


@pytest.mark.parametrize(("mode", "kept"), [("all_of", lambda symbols: symbols >= {"Na", "Cl"}), ("only", lambda symbols: symbols <= {"Na", "Cl"}), ("without", lambda symbols: not symbols & {"Na", "Cl"})])
def test_elements_can_be_meant_in_other_ways(home, screen, raw, symbols_of, mode, kept) -> None:
    page = screen("datasets").choose("dataset_elements", ["Na", "Cl"]).choose("frames_mode", mode)
    expected = [d["matpes_id"] for d in raw["xfunc-dft-r2scan"] if kept(set(symbols_of(d)))]
    assert list(page.table("Id", "Energy (eV/atom)")["Id"]) == expected[:100]


def test_two_datasets_side_by_side(home, screen, raw) -> None:
    page = screen("datasets").choose("dataset", "xfunc-dft-r2scan").choose("compare", "matpes-elements-pbe")
    table = page.table("xfunc-dft · r²SCAN", "MatPES elements · PBE")
    assert table.loc["Frames"].tolist() == [f"{len(raw['xfunc-dft-r2scan']):,}", f"{len(raw['matpes-elements-pbe']):,}"]
    bars = [t for t in page.figure("distributions")["data"] if t["name"] == "MatPES elements · PBE"]
    assert len(bars) >= 5


def test_frames_are_sorted(home, screen, raw) -> None:
    page = screen("datasets").choose("frames_order", "largest_force").choose("frames_descending", True)
    forces = page.table("Id", "Energy (eV/atom)")["Largest force (eV/Å)"].tolist()
    assert forces[0] == pytest.approx(max(math.hypot(*f) for d in raw["xfunc-dft-r2scan"] for f in d["forces"]))
    assert forces == sorted(forces, reverse=True)


# --- deletion ---------------------------------------------------------------------------------


def test_own_data_can_be_deleted(home, bring_in, few_documents, tmp_path) -> None:
    before = names(home)
    page = bring_in(lines(tmp_path / "mine.jsonl", few_documents)).choose("dataset", "mine")
    assert names(home) == before | {"mine"}
    page.click("Delete for good")
    assert names(home) == before
    assert "mine" not in set(page.table("Name", "Frames")["Name"])
    assert page.widget("dataset").value in before
    assert not page.errors()


def test_data_that_a_run_needs_cannot_be_deleted(home, screen, few_documents, tmp_path, held_queue, small) -> None:
    import_file(lines(tmp_path / "mine.jsonl", few_documents), home / "datasets", name="mine")
    page = screen("datasets", dataset="mine")
    with held_queue(home):
        run = RunFolder.create(home / "runs", small.to_dict() | {"dataset": "mine"}, run_id="waits")
        page.click("Delete for good")
        assert page.errors() == ["Run waits needs 'mine': cancel the run, then delete the dataset."]
        assert "mine" in names(home)
        run.request_cancel()
        page.click("Delete for good")
    assert not page.errors()
    assert "mine" not in names(home)


def test_two_datasets_with_one_title_can_both_be_chosen(home, bring_in, few_documents, tmp_path) -> None:
    page = bring_in(lines(tmp_path / "mine.jsonl", few_documents), title="xfunc-dft · r²SCAN")
    page.choose("dataset", "mine")
    assert list(page.table("Id", "Atoms in the cell")["Id"]) == [document["matpes_id"] for document in few_documents]
