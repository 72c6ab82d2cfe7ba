"""References that are brought along: other programs' tables, a run's own file, leaks and nonsense."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.lab.results import Comparison
from xfunc_core.lab.tables import read_references, references_in
from xfunc_core.references.element_references import Status


def test_table_of_mace_is_external_and_unknown_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "e0s.txt").write_text("{1: -3.5, 8: -9.5}")
    found = read_references(tmp_path / "e0s.txt").references
    assert found.external and not found.leaky
    assert found.having(Status.PRIOR) == ("H", "O")
    assert found.energies[[0, 7]].tolist() == [-3.5, -9.5]
    assert found.energies[3] == pytest.approx(-3.5 - 6 * 3 / 7)  # on the line between its neighbours
    assert found.source == "e0s.txt (mace)"


def test_references_of_a_run_come_back_and_tell_a_leak(comparison: Comparison, tmp_path: Path) -> None:
    own = comparison.result("residual").references
    (tmp_path / "references.json").write_text(json.dumps(own.to_json()))
    alone = read_references(tmp_path / "references.json")
    np.testing.assert_array_equal(alone.references.energies, own.energies)
    assert alone.references.status == own.status
    assert not alone.judged({"a"}).leaky
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a", "b"], "validation": ["c"], "test": ["d"]}))
    beside = read_references(tmp_path / "references.json")
    assert beside.judged({"a", "x"}).leaky
    assert not beside.judged({"c", "d"}).leaky


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ('{"scheme": "lstsq", "energies": {}, "n_frames": {}}', "no references.json of a run"),
        ('{"scheme": "best", "energies": {"H": 1}, "n_frames": {}}', "no references.json of a run"),
        ('{"scheme": 3, "energies": 4, "n_frames": 5}', "no references.json of a run"),
        ("words and more words", "e0s"),
        ("", "e0s"),
    ],
)
def test_nonsense_is_one_sentence(tmp_path: Path, content: str, phrase: str) -> None:
    (tmp_path / "e0s").write_text(content)
    with pytest.raises(DataError, match=phrase):
        read_references(tmp_path / "e0s")


@pytest.mark.parametrize(
    "change",
    [
        {"rank": float("inf")},
        {"n_frames": {"H": float("inf")}},
        {"n_frames": {"H": 10**30}},
        {"n_frames": {"H": -1}},
        {"energies": dict.fromkeys(SYMBOLS, [1.0, 2.0])},
        {"energies": dict.fromkeys(SYMBOLS, 1e300)},
        {"energies": dict.fromkeys(SYMBOLS, 10**400)},
        {"energies": dict.fromkeys(SYMBOLS, float("nan"))},
        {"uncertainty": []},
        {"status": {"H": "sure"}},
    ],
)
def test_references_of_a_run_that_were_edited_are_one_sentence(comparison: Comparison, change: dict[str, object]) -> None:
    own = comparison.result("residual").references.to_json()
    assert references_in(json.dumps(own), "references.json").rank == own["rank"]
    with pytest.raises(DataError, match=r"^references\.json (is no references|holds energies)"):
        references_in(json.dumps(own | change), "references.json")


def test_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_references(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        read_references(tmp_path)
