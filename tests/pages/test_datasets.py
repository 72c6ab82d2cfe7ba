"""The Datasets page: what is there against the raw files, subsets, the check, and deletion."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from xfunc_core.data.importing import default_name, import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pair_table_import import import_pair_table
from xfunc_core.data.validation import validate
from xfunc_core.runs.folder import RunFolder


@pytest.fixture
def bring_in(home, screen):
    """Import a file and give the page that shows it; the form itself is tested in test_imports.py."""

    def import_(path: Path, title: str = "") -> Any:
        import_file(path, home / "datasets", name=default_name(path), title=title)
        return screen("datasets")

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


def test_missing_labels_and_documents_left_out_are_counted(home, bring_in, few_documents, tmp_path) -> None:
    first, second, third = few_documents
    file = lines(tmp_path / "gaps.jsonl", [first, second | {"energy": None}, {k: v for k, v in third.items() if k != "structure"}])
    page = bring_in(file)
    page.choose("dataset", "gaps")
    assert "Left out 1 document, masked 1 label" in [expander.label for expander in page.at.expander]
    energies = page.table("Id", "Energy (eV/atom)").set_index("Id")["Energy (eV/atom)"]
    assert set(energies.index) == {first["matpes_id"], second["matpes_id"]}
    assert math.isnan(energies[second["matpes_id"]])
    assert energies[first["matpes_id"]] == pytest.approx(first["energy"] / len(first["structure"]["sites"]), abs=0.51e-3)
    assert page.table("document", "reason")["frame_id"].tolist() == [third["matpes_id"]]


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


def test_filtered_frames_become_a_dataset_of_their_own(home, screen, raw, symbols_of) -> None:
    page = screen("datasets").choose("dataset_elements", ["O"])
    page.widget("subset_name").set_value("oxides")
    page.click("Save")
    assert not page.errors()
    saved = open_dataset(home / "datasets", "oxides")
    assert saved.table["frame_id"].tolist() == [d["matpes_id"] for d in raw["xfunc-dft-r2scan"] if "O" in symbols_of(d)]
    assert saved.info.source == "xfunc-dft-r2scan: any of O"
    assert page.widget("dataset").value == "oxides"
    page.choose("dataset", "xfunc-dft-r2scan").widget("subset_name").set_value("xfunc-dft-pbe")
    [sentence] = page.click("Save").errors()
    assert "already a dataset named" in sentence


def test_a_dataset_is_split_by_material_into_three(home, screen, raw) -> None:
    page = screen("datasets")
    page.widget("split_test").set_value(0.2)
    page.click("Save the parts")
    assert not page.errors()
    ids = {part: set(open_dataset(home / "datasets", f"xfunc-dft-r2scan-{part}").table["frame_id"]) for part in ("train", "validation", "test")}
    assert set.union(*ids.values()) == {d["matpes_id"] for d in raw["xfunc-dft-r2scan"]}
    assert sum(map(len, ids.values())) == len(raw["xfunc-dft-r2scan"])
    materials = [{d["provenance"]["material_id"] for d in raw["xfunc-dft-r2scan"] if d["matpes_id"] in ids[part]} for part in ids]
    assert len(materials[2]) == round(0.2 * len(set.union(*materials)))
    assert sum(map(len, materials)) == len(set.union(*materials))
    page.widget("split_file").set_value("/nowhere/split.json")
    [sentence] = page.click("Save the parts").errors()
    assert "/nowhere/split.json" in sentence


def test_the_check_is_that_of_the_core(home, screen) -> None:
    page = screen("datasets").choose("check_xfunc-dft-r2scan", True)
    report = validate(open_dataset(home / "datasets", "xfunc-dft-r2scan"))
    table = page.table("Finding", "What was found")
    assert table["What was found"].tolist() == report.table()["What was found"].tolist()
    assert len(table) > 3


def test_what_can_be_exported_is_counted(home, screen, raw, symbols_of) -> None:
    page = screen("datasets").choose("dataset_elements", ["O"])
    n = sum("O" in symbols_of(d) for d in raw["xfunc-dft-r2scan"])
    assert f"{n} of {len(raw['xfunc-dft-r2scan'])} frames. Tick a row" in page.words()
    assert page.widget("export_format").options


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


def test_tables_of_relaxed_pairs_are_listed_and_deleted(home, screen, tmp_path) -> None:
    (tmp_path / "pairs.csv").write_text("formula,e_pbe_per_atom,e_r2scan_per_atom,volume_pbe,volume_r2scan\nNaCl,-3.0,-9.0,44,43\nMgO,-5.0,-11.0,19,18\nQq,-1,-1,1,1\n")
    assert "Tables of relaxed pairs" not in [heading.value for heading in screen("datasets").at.subheader]
    import_pair_table(tmp_path / "pairs.csv", home / "pair-tables", name="pairs", title="My *pairs*")
    (home / "pair-tables" / "torn").mkdir()
    page = screen("datasets")
    [row] = page.table("Title", "Pairs").to_dict("records")
    assert row == {"Title": "My *pairs*", "Pairs": "2", "Materials": "2", "Elements": 4, "Labels": "energy, volume", "Left out": "1", "From": "pairs.csv"}
    assert any("torn" in warning.value for warning in page.at.warning)
    page.click("Delete this table for good")
    assert not (home / "pair-tables" / "pairs").exists()
