"""Files offered below the figures: made when they are asked for, of what is shown."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from streamlit.runtime.media_file_manager import MediaFileManager

Offered = dict[str, Callable[[], bytes | str]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What makes each file on the page, by file name, as the server calls it on a click."""
    found: Offered = {}
    add = MediaFileManager.add_deferred

    def recording(self: MediaFileManager, make: Callable[[], bytes | str], mimetype: str | None, coordinates: str, file_name: str | None = None, **more: str) -> str:
        found[file_name or ""] = make
        return add(self, make, mimetype, coordinates, file_name, **more)

    monkeypatch.setattr(MediaFileManager, "add_deferred", recording)
    return found


def table(content: bytes | str) -> pd.DataFrame:
    assert isinstance(content, str)
    return pd.read_csv(io.StringIO(content))


def test_the_periodic_table_as_numbers_and_pictures(home, screen, offered, raw, symbols_of) -> None:
    screen("datasets", dataset="xfunc-dft-r2scan")
    frames = [set(symbols_of(document)) for document in raw["xfunc-dft-r2scan"]]
    numbers = table(offered["dataset_elements_table.csv"]()).set_index("element")["Frames that contain the element"]
    assert numbers.to_dict() == {symbol: sum(symbol in frame for frame in frames) for symbol in set().union(*frames)}
    assert offered["dataset_elements_table.png"]().startswith(b"\x89PNG")
    assert offered["dataset_elements_table.pdf"]().startswith(b"%PDF")
    svg = offered["dataset_elements_table.svg"]().decode()
    assert all(f">{symbol}<" in svg for symbol in set().union(*frames))


def test_parity_as_numbers(trained, screen, offered, array) -> None:
    page = screen("results")
    drawn = page.figure("parity_energy_test_start")
    found = table(offered["parity_energy_test_start.csv"]())
    tuned = found[(found["series"] == "Fine-tuned") & found["Predicted (eV/atom)"].notna()]
    [points] = [t for t in drawn["data"] if t["name"] == "Fine-tuned" and t["yaxis"] == "y" and t["mode"] == "markers"]
    np.testing.assert_allclose(tuned["DFT energy (eV/atom)"], array(points["x"]))
    np.testing.assert_allclose(tuned["Predicted (eV/atom)"], array(points["y"]))


def test_files_are_made_on_light_ground(home, screen, offered) -> None:
    screen("datasets")
    svg = offered["distributions.svg"]().decode()
    assert "#1f2933" in svg and "Pressure (GPa)" in svg
