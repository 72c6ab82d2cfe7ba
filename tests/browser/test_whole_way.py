"""The whole way in a real browser: look at data, launch a small run, watch it finish, see its parity plot."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from xfunc_core.data.library import open_dataset
from xfunc_core.quantities import ENERGY
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.results import RunResults
from xfunc_core.runs.state import RunState
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
RUN_WITHIN = 180_000  # milliseconds, on two busy cores


def frames_with(symbol: str) -> int:
    """Frames of the bundled r²SCAN file that contain an element, counted on the raw file."""
    with gzip.open(ROOT / "xfunc_core/data/bundled/xfunc-dft-r2SCAN.jsonl.gz", "rt") as stream:
        return sum(symbol in json.loads(line)["elements"] for line in stream)


def click_element(page, column: int, row: int) -> None:
    """Click a cell of the periodic table by its place."""
    table = page.locator(".js-plotly-plot").first
    table.locator(".shapelayer path").first.wait_for(state="attached")
    drag = table.locator(".nsewdrag").first.bounding_box()
    rows = 10 - 0.6  # the f-block stands closer by 0.6 of a row
    page.mouse.click(drag["x"] + (column - 0.5) / 18 * drag["width"], drag["y"] + (row - 0.5) / rows * drag["height"])


def shown_errors(page) -> str:
    """The large number of the first metric on the page."""
    return page.get_by_test_id("stMetricValue").first.inner_text()


def test_from_data_to_parity_plot(browser_page, serve, tmp_path: Path) -> None:
    page = browser_page
    url = serve("app.py")
    page.goto(url)
    page.get_by_role("heading", name="xfunc").wait_for()

    page.get_by_role("link", name="Open Explore").click()
    page.get_by_role("heading", name="Explore", exact=True).wait_for()
    click_element(page, column=16, row=2)  # oxygen
    page.get_by_text(re.compile(rf"\b{frames_with('O')} selected")).wait_for()
    assert "explore_elements=O" in page.url
    point = page.locator(".js-plotly-plot").nth(1).locator(".scatterlayer path.point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    viewer = page.frame_locator("iframe").first
    viewer.locator("canvas").first.wait_for(timeout=90_000)

    page.get_by_role("link", name="Fine-tune", exact=True).click()
    page.get_by_role("heading", name="What will happen").wait_for()
    epochs = page.get_by_role("spinbutton", name="Epochs")
    epochs.fill("2")
    epochs.press("Enter")
    settings = FinetuneSettings(dataset="xfunc-dft-r2scan", epochs=2)
    plan = make_plan(settings, open_dataset(tmp_path / "home" / "datasets", settings.dataset))
    page.get_by_text(f"{plan.total_steps} optimiser steps; references").wait_for()
    page.get_by_role("button", name="Launch").dblclick()

    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    page.get_by_role("button", name="See results").wait_for(timeout=RUN_WITHIN)
    (run,) = list_runs(tmp_path / "home" / "runs")  # the double click has started one run, not two
    assert run.state() is RunState.FINISHED
    assert run.config()["epochs"] == 2

    page.get_by_role("button", name="See results").click()
    page.get_by_role("heading", name="Results", exact=True).wait_for()
    results = RunResults(RunFolder(run.path))
    page.get_by_text(f"before: {ENERGY.error(results.error('start', ENERGY)['mae'])}").wait_for()
    page.get_by_text(f"{ENERGY.error(results.error('zero_shot', ENERGY)['mae'])} with the GGA references").wait_for()
    assert shown_errors(page) == ENERGY.error(results.error("trained", ENERGY)["mae"])
    legend = page.locator(".js-plotly-plot").first.locator(".legendtext")
    legend.filter(has_text="Fine-tuned").wait_for()
    assert f"MAE {ENERGY.error_with_unit(results.error('trained', ENERGY)['mae'])}" in " ".join(legend.all_text_contents())
    assert page.get_by_test_id("stException").count() == 0
    assert results.error("trained", ENERGY)["mae"] < results.error("zero_shot", ENERGY)["mae"] / 5


def test_a_page_opened_by_its_address_on_a_fresh_server_is_the_whole_app(browser_page, serve) -> None:
    browser_page.goto(f"{serve('app.py')}/explore?explore_elements=O")
    browser_page.get_by_role("heading", name="Explore", exact=True).wait_for()
    browser_page.get_by_role("link", name="Fine-tune", exact=True).wait_for()  # the menu of app.py, not of the folder
    browser_page.get_by_text(re.compile(rf"\b{frames_with('O')} selected")).wait_for()
