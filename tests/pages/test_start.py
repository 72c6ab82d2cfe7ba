"""The Start page: what is on this machine, and the way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfunc_core.data.library import delete_dataset
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState


def test_counts_of_a_new_home_are_those_of_the_bundled_files(home, screen, raw) -> None:
    page = screen("start")
    assert page.title() == "xfunc"
    assert page.number("Datasets") == len(raw)
    assert page.number("Frames") == sum(len(documents) for documents in raw.values())
    assert page.number("Runs") == 0
    assert page.number("Waiting or running") == 0


def test_bundled_data_come_by_themselves(tmp_path, monkeypatch, screen, raw) -> None:
    monkeypatch.setenv("XFUNC_HOME", str(tmp_path / "not" / "yet"))
    assert screen("start").number("Frames") == sum(len(documents) for documents in raw.values())
    assert {path.name for path in (tmp_path / "not" / "yet" / "datasets").iterdir()} == set(raw)


def test_counts_follow_what_lies_on_disk(trained, screen, raw) -> None:
    page = screen("start")
    assert page.number("Runs") == sum(path.is_dir() for path in (trained / "runs").iterdir()) > 1
    assert page.number("Waiting or running") == 0
    delete_dataset(trained / "datasets", "matpes-elements-pbe")
    page.run()
    assert page.number("Datasets") == len(raw) - 1
    assert page.number("Frames") == sum(len(documents) for name, documents in raw.items() if name != "matpes-elements-pbe")


def test_a_waiting_run_is_counted(home, screen, small, held_queue) -> None:
    with held_queue(home):
        run = RunFolder.create(home / "runs", small.to_dict())
        page = screen("start")
        assert (page.number("Runs"), page.number("Waiting or running")) == (1, 1)
        run.request_cancel()
        page.run()
        assert run.state() is RunState.CANCELLED
        assert (page.number("Runs"), page.number("Waiting or running")) == (1, 0)


def test_every_page_can_be_reached(home, screen) -> None:
    pages = {file.stem for file in (Path(__file__).resolve().parents[2] / "pages").glob("*.py")}
    assert set(screen("start").links().values()) == pages - {"start"}


@pytest.mark.parametrize("title", ["Datasets", "Explore", "Reference lab", "Fine-tune", "Results", "Scaling", "Runs"])
def test_links_lead_where_they_say(home, screen, title) -> None:
    page = screen("start")
    assert page.go(page.links()[f"Open {title}"]).title() == title


def test_a_home_that_cannot_be_used_is_said(tmp_path, monkeypatch, screen) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XFUNC_HOME", str(tmp_path / "file"))
    page = screen("start")
    assert page.errors()
    assert all("XFUNC_HOME" in sentence for sentence in page.errors())
