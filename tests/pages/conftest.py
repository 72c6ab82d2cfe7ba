"""The real app over real homes: bundled data, a finished run and a finished sweep, all made by the real worker."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from xfunc_core.data.library import install_bundled, open_dataset
from xfunc_core.launch import preview_sweep
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.queue import LOCK_NAME
from xfunc_core.runs.sweeps import SweepRecord, record_sweep
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import EQUAL_EPOCHS, SweepSettings

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
SMALL = FinetuneSettings(dataset="xfunc-dft-r2scan", train_size=10, epochs=2, validation_fraction=0.08, test_fraction=0.1)
"""A run of seconds."""
RUN, SWEEP = "real-m4", "real-sweep"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""On a busy machine two threads of one worker would wait for each other."""
ENDS_WITHIN = 90  # seconds for a cancelled run and its dispatcher on a busy machine


class Screen:
    """One browser session: what it shows and what a user does. Whatever is run must not raise."""

    _components: Any = None
    """Streamlit's register of components, which it finds by reading every installed package: once is enough."""

    def __init__(self, page: str, **query: str | list[str]) -> None:
        self.at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        self.at._bidi_component_manager = Screen._components
        for key, value in query.items():
            self.at.query_params[key] = value
        self.go(page)

    def go(self, page: str) -> Screen:
        """Switch to a page as the menu does."""
        self.at.switch_page(f"pages/{page}.py")
        return self.run()

    def run(self, states: WidgetStates | None = None) -> Screen:
        """Run the page with what was chosen since the last run, or with these states of its widgets."""
        self.at._run(states) if states else self.at.run()
        Screen._components = self.at._bidi_component_manager
        self.at._page_hash = ""  # stay where the run ended, which st.switch_page may have changed
        assert not self.at.exception, [element.message for element in self.at.exception]
        return self

    def choose(self, key: str, value: Any) -> Screen:
        """Set the widget of that key and run."""
        self.widget(key).set_value(value)
        return self.run()

    def click(self, label: str) -> Screen:
        """Press the one button of that label and run."""
        [button] = [button for button in self.at.button if button.label == label]
        assert not button.disabled
        button.click()
        return self.run()

    def click_point(self, key: str, frame: int | str) -> Screen:
        """Click a point of the figure under that key that carries this frame, or this element, and run."""
        [chart] = [chart for chart in self.at.get("plotly_chart") if chart.key == key]
        states = self.at._tree.get_widget_states()
        states.widgets.add(id=chart.proto.id, string_value=json.dumps({"selection": {"points": [{"customdata": frame}], "point_indices": [], "box": [], "lasso": []}}))
        return self.run(states)

    def tick(self, key: str, row: int) -> Screen:
        """Tick a row of the table under that key, and run."""
        [table] = [frame for frame in self.at.dataframe if frame.key == key]
        states = self.at._tree.get_widget_states()
        states.widgets.add(id=table.proto.id, string_value=json.dumps({"selection": {"rows": [row], "columns": [], "cells": []}}))
        return self.run(states)

    def widget(self, key: str) -> Any:
        """The widget of that key, of any kind."""
        kinds = ("selectbox", "multiselect", "button_group", "radio", "number_input", "text_input", "toggle", "file_uploader")
        [found] = [widget for kind in kinds for widget in self.at.get(kind) if widget.key == key]
        return found

    def buttons(self) -> list[str]:
        """Labels of the buttons there are."""
        return [button.label for button in self.at.button]

    def figure(self, key: str) -> dict[str, Any]:
        """The plotly figure drawn under a key."""
        [chart] = [chart for chart in self.at.get("plotly_chart") if chart.key == key]
        return json.loads(chart.proto.spec)

    def metric(self, label: str) -> str:
        """The large text of a metric."""
        [found] = [metric.value for metric in self.at.metric if metric.label == label]
        return found

    def number(self, label: str) -> float:
        """The same as a number."""
        return number(self.metric(label))

    def table(self, *columns: str) -> pd.DataFrame:
        """The one table that has these columns."""
        [found] = [frame.value for frame in self.at.dataframe if set(columns) <= set(frame.value.columns)]
        return found

    def words(self) -> str:
        """All running text, a paragraph a line."""
        return "\n".join(element.value for kind in ("markdown", "caption") for element in self.at.get(kind))

    def errors(self) -> list[str]:
        """The sentences shown as errors."""
        return [error.value for error in self.at.error]

    def title(self) -> str:
        """The page's title."""
        [title] = self.at.title
        return title.value

    def links(self) -> dict[str, str]:
        """Label of every link on the page, and the page it leads to."""
        return {link.proto.label: link.proto.page for link in self.at.get("page_link")}

    def resolved(self) -> dict[str, Any]:
        """The JSON on the page."""
        [shown] = self.at.json
        return json.loads(shown.value)


@pytest.fixture(autouse=True)
def _streamlit_as_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of an earlier test, and a server that has run app.py before.

    AppTest makes a server anew for each run, and on a fresh one a page opened by its own address starts over through app.py,
    by which a click is lost; a real server does that once.
    """
    st.cache_resource.clear()
    st.cache_data.clear()
    made = PagesManager.__init__

    def served(self: PagesManager, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", served)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the bundled data. Not to be changed."""
    home = tmp_path_factory.mktemp("installed")
    install_bundled(home / "datasets")
    return home


@pytest.fixture(scope="session")
def worked(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished run, and a finished sweep of two sizes with M1 and M4. Not to be changed."""
    home = tmp_path_factory.mktemp("worked") / "home"
    shutil.copytree(installed, home)
    dataset = open_dataset(home / "datasets", SMALL.dataset)
    base = FinetuneSettings(**{**SMALL.to_dict(), "train_size": None, "epochs": 1})
    planned = preview_sweep(SweepSettings(base, ("M1", "M4"), (8, 18), n_seeds=1, budget=EQUAL_EPOCHS), dataset, SWEEP)
    record_sweep(home / "sweeps", SweepRecord(SWEEP, planned.title, planned.budget, tuple(planned.runs)))
    runs = [RunFolder.create(home / "runs", settings.to_dict(), run_id=run_id) for run_id, settings in {**planned.runs, RUN: SMALL}.items()]
    assert work_on(*runs) == 0, [run.log_tail() for run in runs]
    return home


@pytest.fixture(scope="session")
def _homes() -> Iterator[list[Path]]:
    """The homes that the tests have used; no process of theirs outlives the session."""
    homes: list[Path] = []
    yield homes
    for run in (run for home in homes for run in list_runs(home / "runs")):
        run.request_cancel()
    for thread in threading.enumerate():
        if thread.name == "reap dispatcher":
            thread.join(ENDS_WITHIN)
            assert not thread.is_alive(), "a dispatcher goes on"
    processes = [process for home in homes for run in list_runs(home / "runs") for process in run.processes()]
    assert {process.pid for process in processes} <= {os.getpid()}  # a test may have been the worker itself


@pytest.fixture
def home(installed: Path, tmp_path: Path, _homes: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """XFUNC_HOME of this test: the bundled data, no run."""
    return _use(installed, tmp_path, _homes, monkeypatch)


@pytest.fixture
def trained(worked: Path, tmp_path: Path, _homes: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """XFUNC_HOME of this test: the bundled data, a finished run and a finished sweep."""
    return _use(worked, tmp_path, _homes, monkeypatch)


def _use(source: Path, tmp_path: Path, homes: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    mine = tmp_path / "home"
    shutil.copytree(source, mine, ignore=shutil.ignore_patterns("*.pt"))
    monkeypatch.setenv("XFUNC_HOME", str(mine))
    monkeypatch.setenv("XFUNC_CPU_SLOTS", str(os.cpu_count()))  # one thread for each worker that a dispatcher starts
    homes.append(mine)
    return mine


@pytest.fixture
def screen() -> type[Screen]:
    """Opens a page: ``screen("explore", explore_elements="O")``."""
    return Screen


@pytest.fixture
def run_id() -> str:
    """The id of the finished run that is no part of the sweep."""
    return RUN


@pytest.fixture
def sweep_id() -> str:
    """The id of the finished sweep."""
    return SWEEP


@pytest.fixture
def small() -> FinetuneSettings:
    """Settings of a run of seconds."""
    return SMALL


@pytest.fixture
def held_queue() -> Callable[[Path], AbstractContextManager[bool]]:
    """The lock of a home's queue: while a test holds it, no dispatcher starts and runs wait."""

    def hold(home: Path) -> AbstractContextManager[bool]:
        (home / "runs").mkdir(exist_ok=True)
        return exclusive(home / "runs" / LOCK_NAME)

    return hold


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until something holds, and fail if it does not."""

    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + ENDS_WITHIN
        while not holds():
            assert time.monotonic() < deadline, "it did not come to hold"
            time.sleep(0.1)

    return wait


@pytest.fixture
def work() -> Callable[[RunFolder], int]:
    """Have a run worked on by the real worker; gives its exit code."""
    return work_on


def work_on(*runs: RunFolder) -> int:
    """One process for all: importing torch and chgnet takes longer than such a run. The log of all is the last run's."""
    command = "import sys; from xfunc_core.worker import main; sys.exit(max([main(path) for path in sys.argv[1:]]))"
    with runs[-1].log_file.open("ab") as log:
        return subprocess.run([sys.executable, "-c", command, *(str(run.path) for run in runs)], cwd=ROOT, env=os.environ | ONE_THREAD, stdout=log, stderr=subprocess.STDOUT).returncode


# --- the bundled files, read without xfunc ----------------------------------------------------


@pytest.fixture(scope="session")
def raw() -> dict[str, list[dict[str, Any]]]:
    """The documents of every bundled dataset, by the dataset's name."""
    files = {
        "xfunc-dft-pbe": "xfunc-dft-PBE.jsonl.gz",
        "xfunc-dft-r2scan": "xfunc-dft-r2SCAN.jsonl.gz",
        "matpes-elements-pbe": "MatPES-PBE-Element-Refs.json.gz",
        "matpes-elements-r2scan": "MatPES-r2SCAN-Element-Refs.json.gz",
    }
    return {name: _documents(gzip.decompress((BUNDLED / file).read_bytes()).decode(), file) for name, file in files.items()}


def _documents(text: str, file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()] if ".jsonl" in file else list(json.loads(text).values())


@pytest.fixture(scope="session")
def symbols_of() -> Callable[[dict[str, Any]], list[str]]:
    """The element of every site of a document."""
    return lambda document: [site["species"][0]["element"] for site in document["structure"]["sites"]]


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Path]:
    """A real MatPES sample from the shared folder."""

    def path(name: str) -> Path:
        file = ROOT.parent / "shared" / "data" / name
        if not file.exists():
            pytest.skip(f"{file} is not on this machine")
        return file

    return path


# --- reading what is shown --------------------------------------------------------------------


@pytest.fixture(scope="session")
def as_number() -> Callable[[str], float]:
    """A number as it is written on screen: ``−1,234.5``."""
    return number


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


@pytest.fixture(scope="session")
def array() -> Callable[[Any], np.ndarray]:
    """Values of a plotly trace, which come as a list or as base64."""

    def decode(values: Any) -> np.ndarray:
        if isinstance(values, dict):
            return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
        return np.array(values)

    return decode


@pytest.fixture(scope="session")
def cells() -> Callable[[dict[str, Any]], dict[str, str]]:
    """What a periodic table says on hover of every element that has a value, by symbol."""

    def read(figure: dict[str, Any]) -> dict[str, str]:
        [trace] = [trace for trace in figure["data"] if trace.get("name") == "elements"]
        said = {symbol: text.split("<br>")[1] for symbol, text in zip(trace["customdata"], trace["text"], strict=True)}
        return {symbol: text for symbol, text in said.items() if text[0] in "0123456789−"}

    return read


@pytest.fixture(scope="session")
def seconds_in() -> Callable[[str], int]:
    """Seconds in a duration as it is written on screen: ``2 h 05 min``."""
    return lambda text: sum(int(n) * {"s": 1, "min": 60, "h": 3600}[unit] for n, unit in re.findall(r"(\d+) (s|min|h)\b", text))
