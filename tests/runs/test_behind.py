"""Which frames are behind the references of a run, whatever its folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfunc_core.runs.behind import LEAK, UNTOLD, frames_behind, frames_behind_table, leak_of
from xfunc_core.runs.folder import RunFolder


def made(root: Path, name: str, train: object, table_of: str = "") -> RunFolder:
    """A run that was trained on these frames."""
    run = RunFolder.create(root, {"reference_table_run": table_of}, run_id=name)
    run.write_json(run.split, {"train": train, "test": ["t"]})
    return run


def test_frames_of_all_runs_down_the_line_are_behind(root: Path) -> None:
    made(root, "first", ["a", "b"])
    made(root, "second", ["b", "c"], "first")
    third = made(root, "third", ["d"], "second")
    assert frames_behind(third) == frames_behind_table(root, "third") == {"a", "b", "c", "d"}
    assert frames_behind_table(root, "") == frozenset()


@pytest.mark.parametrize("table_of", ["gone", "circle", "../circle", ".."])
def test_line_that_leads_nowhere_or_back_ends(root: Path, table_of: str) -> None:
    assert frames_behind(made(root, "circle", ["a"], table_of)) == {"a"}


def test_where_files_are_gone_it_cannot_be_told(root: Path) -> None:
    second = made(root, "second", ["b"], "first")
    assert frames_behind_table(root, "second") is None and frames_behind_table(root, "gone") is None
    made(root, "first", ["a"])
    assert frames_behind_table(root, "second") == {"a", "b"}
    second.split.unlink()
    assert frames_behind_table(root, "second") is None


@pytest.mark.parametrize("train", [None, "a", 3, {}])
def test_damaged_split_tells_nothing(root: Path, train: object) -> None:
    assert frames_behind(made(root, "run", train)) == frozenset()


def test_leak_is_what_the_references_say(root: Path) -> None:
    run = made(root, "run", ["a"])
    assert leak_of(run) == ""
    for content, sentence in (({"leaky": True}, LEAK), ({"leaky": False}, ""), ({"leaky": "yes"}, ""), ({"leaky": None}, UNTOLD), ({}, "")):
        run.write_json(run.references, content)
        assert leak_of(run) == sentence
