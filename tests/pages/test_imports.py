"""The import panel on real homes: uploads and paths through real background workers, cancel, restart, dismiss, and what goes wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from xfunc_core.data.pair_table_import import open_pair_table
from xfunc_core.imports import ImportRequest, uploads_of
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.queue import LOCK_NAME
from xfunc_core.runs.state import RunState

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT / "xfunc_core" / "data" / "bundled" / "xfunc-dft-r2SCAN.jsonl.gz"
N_REAL = len(gzip.decompress(REAL.read_bytes()).splitlines())
TYPED = "Path on this machine"
SCRIPT = "from pages._ui.imports import import_panel\nimport_panel()"


class Panel:
    """The panel alone on a page."""

    def __init__(self) -> None:
        self.at = AppTest.from_string(SCRIPT, default_timeout=60)
        self.run()

    def run(self) -> Panel:
        """Draw it with what was chosen."""
        self.at.run()
        assert not self.at.exception, [element.message for element in self.at.exception]
        return self

    def choose(self, key: str, value: object) -> Panel:
        """Set the widget of that key and draw."""
        kinds = ("selectbox", "button_group", "text_input", "toggle", "file_uploader")
        [widget] = [widget for kind in kinds for widget in self.at.get(kind) if widget.key == key]
        widget.set_value(value)
        return self.run()

    def click(self, label: str) -> Panel:
        """Press the one button of that label and draw."""
        [button] = [button for button in self.at.button if button.label == label]
        assert not button.disabled
        button.click()
        return self.run()

    def buttons(self) -> dict[str, bool]:
        """Whether each button can be pressed."""
        return {button.label: not button.disabled for button in self.at.button}

    def errors(self) -> list[str]:
        """The sentences shown as errors, without the escapes of markdown."""
        return [error.value.replace("\\", "") for error in self.at.error]

    def words(self) -> str:
        """All running text."""
        return "\n".join(element.value for kind in ("markdown", "caption") for element in self.at.get(kind)).replace("\\", "")

    def successes(self) -> list[str]:
        """The sentences of finished imports."""
        return [element.value for element in self.at.success]


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """XFUNC_HOME of this test, with nothing in it; no process outlives the test."""
    home = tmp_path / "home"
    monkeypatch.setenv("XFUNC_HOME", str(home))
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    yield home
    for job in list_runs(home / "imports"):
        job.request_cancel()


@pytest.fixture
def held(empty_home: Path) -> Iterator[Callable[[], None]]:
    """While the queue is held no dispatcher starts, so imports wait; calling it lets go."""
    (empty_home / "imports").mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(exclusive(empty_home / "imports" / LOCK_NAME))
        yield stack.close


def imports(home: Path) -> list[RunFolder]:
    return list_runs(home / "imports")


def typed(file: Path, **entries: object) -> Panel:
    """The panel after an import by path was asked for."""
    panel = Panel().choose("import_from", TYPED).choose("import_path", str(file))
    for key, value in entries.items():
        panel.choose(f"import_{key}", value)
    return panel.click("Import")


# --- the whole way ----------------------------------------------------------------------------


def test_import_by_path_goes_on_without_the_page(empty_home: Path, until) -> None:
    panel = typed(REAL, title="My *own* data")
    assert not panel.errors()
    [job] = imports(empty_home)
    assert (job.config()["name"], job.config()["title"]) == ("xfunc-dft-r2scan", "My *own* data")
    until(lambda: job.state().is_over)
    panel = Panel()
    assert panel.successes() == [f"{N_REAL} of {N_REAL} documents were kept."]
    assert "**My *own* data** · Finished · from xfunc-dft-r2SCAN.jsonl.gz" in panel.words()
    assert panel.buttons() == {"Import": False, "Dismiss": True}
    panel.click("Dismiss")
    assert imports(empty_home) == []
    assert not panel.successes()
    assert (empty_home / "datasets" / "xfunc-dft-r2scan").is_dir()


def test_upload_is_kept_imported_and_removed(empty_home: Path, until) -> None:
    panel = Panel().choose("upload", ("My Frames.jsonl.gz", REAL.read_bytes(), "application/gzip"))
    panel.click("Import")
    assert not panel.errors()
    [job] = imports(empty_home)
    assert Path(job.config()["path"]) == uploads_of(empty_home / "imports", job.id) / "My Frames.jsonl.gz"
    until(lambda: job.state().is_over)
    assert job.state() is RunState.FINISHED, job.log_tail()
    until(lambda: not uploads_of(empty_home / "imports", job.id).exists())
    assert (empty_home / "datasets" / "my-frames").is_dir()
    assert panel.buttons()["Import"] is False  # the page has let go of the file


def test_a_table_of_relaxed_pairs_with_columns_of_its_own(empty_home: Path, tmp_path: Path, until) -> None:
    (tmp_path / "pairs.csv").write_text("formula,mine,e_r2scan_per_atom\nNaCl,-3.0,-9.0\nMgO,-5.0,-11.0\nnothing,-5.0,-11.0\n")
    panel = Panel().choose("import_from", TYPED).choose("import_path", str(tmp_path / "pairs.csv"))
    assert not panel.at.text_area
    panel.choose("import_format", "Table of relaxed pairs")
    panel.at.text_area[0].set_value("energy_per_atom_pbe=mine")
    panel.run().click("Import")
    [job] = imports(empty_home)
    until(lambda: job.state().is_over)
    assert job.state() is RunState.FINISHED, job.log_tail()
    assert Panel().successes()
    table = open_pair_table(empty_home / "pair-tables", "pairs")
    assert list(table.energy_pbe) == [-3.0, -5.0] and list(table.energy_r2scan) == [-9.0, -11.0]
    assert [row["frame_id"] for row in table.report()["dropped"]] == ["nothing"] or len(table.report()["dropped"]) == 1


# --- while it waits and runs ------------------------------------------------------------------


def test_waiting_import_is_cancelled_and_restarted(empty_home: Path, held, until) -> None:
    panel = typed(REAL)
    [job] = imports(empty_home)
    assert "Queued" in panel.words()
    assert "Dismiss" not in panel.buttons()
    panel.click("Cancel")
    assert job.state() is RunState.CANCELLED
    assert "nothing of it was kept" in panel.words()
    assert set(panel.buttons()) == {"Import", "Restart", "Dismiss"}
    held()
    panel.click("Restart")
    until(lambda: job.state().is_over)
    assert Panel().successes()


def test_running_import_names_its_pace_and_the_time_left(empty_home: Path, held) -> None:
    job = RunFolder.create(empty_home / "imports", ImportRequest("mine", path=str(REAL)).to_dict())
    with job.claim():
        job.append_progress({"stage": "reading", "documents": 120_000, "bytes": 25, "total": 100, "seconds": 10.0})
        panel = Panel()
        [bar] = panel.at.get("progress")
        assert bar.proto.value == 25
        assert bar.proto.text.replace("\\", "") == "Reading · 120,000 frames · 12,000 frames/s · about 30 s left"
        assert panel.buttons() == {"Import": False, "Cancel": True}
        panel.click("Cancel")
        assert job.cancel_requested()
        assert panel.buttons()["Cancel"] is False


# --- what goes wrong --------------------------------------------------------------------------


def test_bad_file_is_one_sentence(empty_home: Path, tmp_path: Path, until) -> None:
    (tmp_path / "bad.json").write_text("words")
    typed(tmp_path / "bad.json")
    [job] = imports(empty_home)
    until(lambda: job.state().is_over)
    panel = Panel()
    [error] = panel.errors()
    assert error.startswith("bad.json is nothing that xfunc recognises")
    assert set(panel.buttons()) == {"Import", "Restart", "Dismiss"}


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [({"path": "/nowhere/a.json"}, "cannot be read"), ({"path": "~nobody-here/a.json"}, "leads nowhere"), ({"name_xfunc-dft-r2SCAN.jsonl.gz": "Not A Name"}, "no dataset name")],
)
def test_what_cannot_be_imported_is_said_at_once(empty_home: Path, entries: dict[str, str], sentence: str) -> None:
    panel = typed(REAL, **entries)
    [error] = panel.errors()
    assert sentence in error
    assert imports(empty_home) == []


def test_download_without_network_is_one_sentence(empty_home: Path, until) -> None:
    panel = Panel().choose("import_from", "MatPES from Hugging Face").choose("import_download", "MatPES isolated atoms · r²SCAN")
    panel.click("Import")
    [job] = imports(empty_home)
    assert job.config()["name"] == "matpes-r2scan-atoms"
    until(lambda: job.state().is_over)
    [error] = Panel().errors()
    assert "could not be downloaded from Hugging Face" in error
    assert not uploads_of(empty_home / "imports", job.id).exists()


def test_materials_project_wants_a_key(empty_home: Path, held, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = Panel().choose("import_from", "Materials Project").choose("import_systems", "Li-O")
    assert "MP_API_KEY" in panel.at.info[0].value
    assert panel.buttons()["Import"] is False
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    panel.choose("import_within", True).click("Import")
    [job] = imports(empty_home)
    assert job.config()["systems"] == ["Li", "O", "Li-O"]
    assert all(b"kkkk" not in path.read_bytes() for path in empty_home.rglob("*") if path.is_file())


def test_damaged_import_is_one_sentence_and_can_be_dismissed(empty_home: Path, held) -> None:
    job = RunFolder.create(empty_home / "imports", {})
    job.config_file.write_text("{")
    panel = Panel()
    assert "cannot be read" in panel.errors()[0]
    panel.click("Dismiss")
    assert imports(empty_home) == []
