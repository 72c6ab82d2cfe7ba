"""Tables for a reader: numbers as in the raw files, formatted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.data.library import list_datasets, open_dataset
from xfunc_core.data.tables import dataset_table, frame_table, label_table

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


def test_labels_of_one_frame_in_two_functionals(document: Make, write: Write, root: Path) -> None:
    pbe, _ = import_file(write([document("a", {"forces": [[0.1, 0.2, 0.3], [0, 0, -0.1]]}), document("b", {"energy": -1.0})]), root, name="pbe")
    bare = {"functional": "r2SCAN", "energy": None, "forces": None, "stress": None, "structure.sites.0.properties": {}, "structure.sites.1.properties": {}}
    r2scan, _ = import_file(write([document("a", bare)]), root, name="r2scan")
    table = label_table([(pbe, 0), (r2scan, 0)]).set_index("Label")
    assert list(table.columns) == ["Unit", "PBE", "r²SCAN", "r²SCAN − PBE"]
    assert table["PBE"].to_dict() == {
        "Energy": "−3.250",
        "Largest force": "0.374",
        "Stress xx": "−1.00",
        "Stress yy": "−2.00",
        "Stress zz": "−3.00",
        "Stress yz": "−0.40",
        "Stress xz": "−0.50",
        "Stress xy": "−0.60",
        "Total moment": "−0.25",
    }
    assert set(table["r²SCAN"]) == set(table["r²SCAN − PBE"]) == {"–"}
    assert table["Unit"].tolist() == ["eV/atom", "eV/Å", *["GPa"] * 6, "μB"]
    assert label_table([(pbe, 1)])["PBE"][0] == "−0.500"
    full, _ = import_file(write([document("a", {"functional": "r2SCAN", "energy": -10.0, "stress": [0.0, 20.0, 40.0, 0.0, 0.0, 0.0]})]), root, name="full")
    table = label_table([(full, 0), (pbe, 0)]).set_index("Label")  # PBE comes first, whatever the order
    assert table.columns[1:].tolist() == ["PBE", "r²SCAN", "r²SCAN − PBE"]
    assert table.loc[["Energy", "Stress xx", "Stress yy"], "r²SCAN − PBE"].tolist() == ["−1.750", "1.00", "0.00"]  # kbar to GPa, the sign turned


def test_datasets_for_a_reader(bundled_root: Path, document: Make, write: Write, root: Path) -> None:
    table = dataset_table(list_datasets(bundled_root)).set_index("Name")
    row = table.loc["matpes-elements-r2scan"]
    assert (row["Title"], row["Functional"], row["Frames"], row["Elements"], row["Labels"]) == ("MatPES elements · r²SCAN", "r²SCAN", "89", 89, "energy, forces, stress, magmoms")
    assert table.loc["xfunc-dft-pbe", "Labels"] == "energy, forces, stress"
    own, _ = import_file(write([document()]), root, name="own")
    assert dataset_table([own])["Energy scale"].tolist() == ["–"]
    assert list(dataset_table([]).columns) == [*table.reset_index().columns.drop("Name"), "Name"]


def test_frames_with_an_element_keep_their_rows(bundled_root: Path, bundled_folder: Path, raw: Callable[[Path], list[dict[str, Any]]]) -> None:
    documents = raw(bundled_folder / "xfunc-dft-PBE.jsonl.gz")
    dataset = open_dataset(bundled_root, "xfunc-dft-pbe")
    everything = frame_table(dataset)
    assert everything.index.tolist() == list(range(len(documents)))
    assert everything["Id"].tolist() == [d["matpes_id"] for d in documents]
    assert everything["Atoms"].tolist() == [d["nsites"] for d in documents]
    np.testing.assert_allclose(everything["Energy (eV/atom)"], [d["energy"] / d["nsites"] for d in documents], atol=5.01e-4)
    for symbols in (["O"], ["O", "Al"], ["He"]):
        table = frame_table(dataset, symbols)
        assert table.index.tolist() == [row for row, d in enumerate(documents) if set(symbols) & set(d["elements"])]
        assert table["Material"].tolist() == [documents[row]["provenance"]["material_id"] for row in table.index]


def test_unknown_element_is_a_mistake_of_the_caller(bundled_root: Path) -> None:
    with pytest.raises(KeyError):
        frame_table(open_dataset(bundled_root, "xfunc-dft-pbe"), ["Xx"])
