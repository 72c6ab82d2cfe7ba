"""Explore in a real browser: what a click on an element or on a point does, what a reload keeps, what a download holds."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from xfunc_core.data.pair_table_import import import_pair_table

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BUNDLED = Path(__file__).resolve().parents[2] / "xfunc_core" / "data" / "bundled"
ROWS = 9.4
"""Of the periodic table; the f-block stands closer by 0.6 of one."""
OXYGEN, FLUORINE, HYDROGEN = (16, 2), (17, 2), (1, 1)
SHOWN_RANGE = "plot => plot._fullLayout.yaxis.range.map(end => +end)"


@pytest.fixture(scope="module")
def frames() -> dict[str, dict[str, dict]]:
    """The bundled frames as their files have them, by functional and id."""
    found = {}
    for functional in ("PBE", "r2SCAN"):
        with gzip.open(BUNDLED / f"xfunc-dft-{functional}.jsonl.gz", "rt") as stream:
            found[functional] = {document["matpes_id"]: document for document in map(json.loads, stream)}
    return found


def n_with(frames: dict[str, dict[str, dict]], *symbols: str) -> int:
    return sum(bool({*symbols} & {*document["elements"]}) for document in frames["PBE"].values())


def opened(page, url: str, **query: str):
    page.goto(f"{url}/explore?{urlencode(query)}")
    page.get_by_role("heading", name="Explore", exact=True).wait_for()
    page.locator(".js-plotly-plot").nth(1).wait_for()
    return page


def click_element(page, place: tuple[int, int]) -> None:
    """Click a cell of the periodic table by its column and row."""
    drag = page.locator(".js-plotly-plot").first.locator(".nsewdrag").first
    drag.scroll_into_view_if_needed()
    box = drag.bounding_box()
    page.mouse.click(box["x"] + (place[0] - 0.5) / 18 * box["width"], box["y"] + (place[1] - 0.5) / ROWS * box["height"])


def click_point(page, point) -> None:
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def settled(page) -> None:
    """Wait until the server has heard of what was done, and everything down to the last figure has stayed in its place for two seconds."""
    page.locator(".js-plotly-plot").nth(2).locator(".nsewdrag").first.wait_for(state="attached")
    still, before = 0, None
    while still < 4:
        page.wait_for_timeout(500)
        page.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
        now = page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.offsetTop + ' ' + plot.offsetHeight + ' ' + plot.getBoundingClientRect().width)")
        still, before = (still + 1 if now == before else 0), now


def test_elements_are_chosen_by_clicks_filter_the_pairs_and_come_back_after_a_reload(browser_page, serve, frames) -> None:
    page, n = opened(browser_page, serve("app.py")), len(frames["PBE"])
    settled(page)
    click_element(page, OXYGEN)
    page.get_by_text(f"O stands out: {n_with(frames, 'O')} of {n} pairs.").wait_for()
    settled(page)  # the table is drawn anew
    click_element(page, FLUORINE)
    page.get_by_text(f"O, F stand out: {n_with(frames, 'O', 'F')} of {n} pairs.").wait_for()
    page.get_by_text("any of", exact=True).first.click()
    kept = f"{n_with(frames, 'O', 'F')} of {n} pairs: any of O, F."
    page.get_by_text(kept).wait_for()
    page.get_by_text(re.compile(rf"^N = {n_with(frames, 'O', 'F')} ")).first.wait_for()
    page.reload()
    page.get_by_text(kept).wait_for()
    settled(page)
    click_element(page, OXYGEN)  # let go
    page.get_by_text(f"{n_with(frames, 'F')} of {n} pairs: any of F.").wait_for()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_text(re.compile(rf"^N = {n} ")).first.wait_for()


def test_an_element_of_too_few_materials_can_be_clicked_too(browser_page, serve, frames) -> None:
    page = opened(browser_page, serve("app.py"))
    assert n_with(frames, "H") < 5
    settled(page)
    click_element(page, HYDROGEN)
    page.get_by_text(f"H stands out: {n_with(frames, 'H')} of {len(frames['PBE'])} pairs.").wait_for()


def test_a_click_on_a_point_shows_structure_and_both_labels(browser_page, serve, frames) -> None:
    page = opened(browser_page, serve("app.py"))
    settled(page)
    click_point(page, page.locator(".js-plotly-plot").nth(1).locator(".scatterlayer path.point").nth(30))
    shown = page.get_by_text(re.compile(r"^xfunc-.+ · \d+ atoms?"))
    shown.wait_for()
    frame_id = shown.inner_text().split(" · ")[0]
    cells = page.locator("[data-testid=stDataFrame]").filter(has_text="Largest force").locator("table td")
    cells.first.wait_for(state="attached")
    documents = [frames[functional][frame_id] for functional in ("PBE", "r2SCAN")]
    pbe, r2scan = (document["energy"] / len(document["structure"]["sites"]) for document in documents)
    written = [f"{energy:.3f}".replace("-", "−") for energy in (pbe, r2scan, r2scan - pbe)]
    assert cells.all_text_contents()[:5] == ["Energy", "eV/atom", *written]
    page.frame_locator("iframe").first.locator("canvas").first.wait_for(timeout=90_000)


def test_a_download_holds_what_is_shown(browser_page, serve, frames, tmp_path: Path) -> None:
    page = opened(browser_page, serve("app.py"), explore_elements="O", elements_mode="any of", quantity="Total energy")
    n = n_with(frames, "O")
    page.get_by_text(re.compile(rf"^N = {n} ")).first.wait_for()
    page.get_by_role("button", name="Download").nth(1).click()
    held = {}
    for kind in ("CSV", "PNG", "SVG", "PDF"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).last.click()
        download.value.save_as(tmp_path / kind)
        held[kind] = (tmp_path / kind).read_bytes()
        assert download.value.suggested_filename == f"explore-total.{kind.lower()}"
    rows = list(csv.DictReader(held["CSV"].decode().splitlines()))
    with_oxygen = {i: d for i, d in frames["r2SCAN"].items() if "O" in d["elements"]}
    assert {row["pair"].split(" · ")[1]: float(row["r²SCAN (eV/atom)"]) for row in rows} == pytest.approx(
        {i: d["energy"] / len(d["structure"]["sites"]) for i, d in with_oxygen.items()}
    )
    assert held["PNG"].startswith(b"\x89PNG") and held["PDF"].startswith(b"%PDF")
    assert f"N = {n} " in held["SVG"].decode() and "Filter: any of O" in held["SVG"].decode()


def test_a_far_value_is_outside_the_first_view_and_found_by_a_double_click(browser_page, serve, tmp_path: Path) -> None:
    made = tmp_path / "far.csv"
    with made.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "formula", "e_pbe_per_atom", "e_r2scan_per_atom"])
        writer.writerows([f"near-{i}", "NaCl", -3 - 0.01 * i, -9 - 0.011 * i] for i in range(60))
        writer.writerow(["far-0", "NaCl", -3.2, 500.0])
    import_pair_table(made, tmp_path / "home" / "pair-tables", name="far", title="Far")
    page = opened(browser_page, serve("app.py"), pairs="Far (relaxed pairs)", quantity="Total energy")
    page.get_by_text(re.compile("1 point outside the view")).first.wait_for()
    plot = page.locator(".js-plotly-plot").nth(1)
    assert plot.evaluate(SHOWN_RANGE)[1] < -8
    plot.locator(".nsewdrag").first.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] / 5)
    settled(page)
    assert plot.evaluate(SHOWN_RANGE)[1] > 500
    click_point(page, plot.locator(".scatterlayer .trace").nth(2).locator("path.point").last)
    page.get_by_text(re.compile("^far-0 · ")).wait_for()
