"""The Explore page against scipy on the raw bundled files, and on tables of relaxed pairs that leave little or nothing to say."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from xfunc_core.analysis.groups import Attribution
from xfunc_core.data.importing import import_file
from xfunc_core.data.pair_table_import import import_pair_table
from xfunc_core.references.paired import PairedScheme
from xfunc_core.references.schemes import Scheme

XFUNC_DFT = ("xfunc-dft-pbe", "xfunc-dft-r2scan")
MATPES = ("matpes-elements-pbe", "matpes-elements-r2scan")
ROUNDED = 0.51e-4  # of a correlation with four decimals


@dataclass(frozen=True)
class Shared:
    """Frames in both functionals: ids, energies per atom and what is left of them after least-squares references."""

    ids: list[str]
    materials: list[str]
    symbols: list[set[str]]
    pbe: np.ndarray
    r2scan: np.ndarray
    pbe_referenced: np.ndarray
    r2scan_referenced: np.ndarray
    shift: dict[str, float]
    told: set[str]

    def is_told(self, symbol: str) -> bool:
        """Whether the frames determine the reference of an element by itself: its unit vector lies in their row space."""
        return symbol in self.told

    def of(self, mode: str) -> tuple[np.ndarray, np.ndarray]:
        return (self.pbe, self.r2scan) if mode == "raw" else (self.pbe_referenced, self.r2scan_referenced)

    def containing(self, *symbols: str) -> set[str]:
        return {frame_id for frame_id, there in zip(self.ids, self.symbols, strict=True) if there & set(symbols)}


@pytest.fixture(scope="session")
def shared(raw, symbols_of):
    """Pair raw documents by id, and refer their energies to the elements by numpy's least squares."""

    def pair(names: tuple[str, str]) -> Shared:
        by_id = [{document["matpes_id"]: document for document in raw[name]} for name in names]
        ids = [frame_id for frame_id in by_id[0] if frame_id in by_id[1]]
        sites = [symbols_of(by_id[1][frame_id]) for frame_id in ids]
        elements = sorted({symbol for symbols in sites for symbol in symbols})
        fractions = np.array([[symbols.count(element) / len(symbols) for element in elements] for symbols in sites])
        energies = [np.array([documents[frame_id]["energy"] / len(s) for frame_id, s in zip(ids, sites, strict=True)]) for documents in by_id]
        references = [np.linalg.lstsq(fractions, energy, rcond=None)[0] for energy in energies]
        referenced = [energy - fractions @ w for energy, w in zip(energies, references, strict=True)]
        materials = [str(by_id[1][frame_id]["provenance"].get("material_id") or frame_id) for frame_id in ids]
        shift = dict(zip(elements, references[1] - references[0], strict=True))
        told = {e for i, e in enumerate(elements) if np.linalg.matrix_rank(np.vstack([fractions, np.eye(len(elements))[i]])) == np.linalg.matrix_rank(fractions)}
        return Shared(ids, materials, [set(s) for s in sites], *energies, *referenced, shift, told)

    return pair


@pytest.fixture(scope="session")
def drawn(array):
    """What the energy figure draws: per trace of points, id of a frame -> its x and y."""

    def read(figure: dict[str, Any]) -> list[dict[str, tuple[float, float]]]:
        points = [trace for trace in figure["data"] if trace.get("mode") == "markers" and trace.get("yaxis", "y") == "y"]
        return [{name.split(" · ")[1]: xy for name, xy in zip(t["text"], zip(array(t["x"]), array(t["y"]), strict=True), strict=True)} for t in points]

    return read


@pytest.fixture(scope="session")
def shown(as_number) -> Callable[[Any], dict[str, float]]:
    """The statistics beside the figure, by their title, without their intervals."""

    def read(page: Any) -> dict[str, float]:
        [table] = page.at.table
        found = table.value.iloc[:, 0] if table.value.shape[1] == 1 else table.value.set_index(table.value.columns[0]).iloc[:, 0]
        return {name: as_number(text.split(" (")[0]) for name, text in found.items() if text[0] in "0123456789−"}

    return read


def scatter(page: Any) -> dict[str, Any]:
    """The agreement figure, whatever data it is of."""
    [key] = [chart.key for chart in page.at.get("plotly_chart") if chart.key.startswith("agreement_")]
    return page.figure(key)


def note(figure: dict[str, Any]) -> str:
    [text] = [a["text"] for a in figure["layout"]["annotations"] if a.get("name") == "note"]
    return text.replace("<br>", " ")


def expected(x: np.ndarray, y: np.ndarray, unit: str, error_unit: str, scale: float) -> dict[str, float]:
    """What scipy and numpy say of the same rows, under the titles of the page."""
    axis = np.linalg.svd(np.stack([x - x.mean(), y - y.mean()], axis=1), full_matrices=False)[2][0]
    line = np.polyfit(x, y, 1)
    found = {"Pearson r": stats.pearsonr(x, y)[0], "Spearman ρ": stats.spearmanr(x, y)[0], "Kendall τ": stats.kendalltau(x, y)[0], "Slope": axis[1] / axis[0]}
    found |= {f"Mean r²SCAN − PBE ({unit})": (y - x).mean(), f"MAE ({error_unit})": scale * np.abs(y - x).mean(), f"RMSE ({error_unit})": scale * np.sqrt(np.square(y - x).mean())}
    return found | {f"Spread about a line ({error_unit})": scale * np.sqrt(np.square(y - np.polyval(line, x)).mean()), "Rows": len(x)}


def assert_shown(found: dict[str, float], wanted: dict[str, float], ranks: float = 0.51e-4) -> None:
    """``ranks`` is the tolerance of rank coefficients: frames that least squares fits exactly are left with noise, which has no order."""
    digits = {"Pearson r": 4, "Spearman ρ": 4, "Kendall τ": 4, "Slope": 3, "Mean": 3, "MAE": 1, "RMSE": 1, "Spread": 1, "Rows": 0}
    for title, value in wanted.items():
        decimals = next((n for start, n in digits.items() if title.startswith(start)), None)
        decimals = {"GPa": {"Mean": 2}.get(title.split()[0], 3)}.get(title.rpartition("(")[2].rstrip(")"), decimals)
        assert found[title] == pytest.approx(value, abs=ranks if title[:5] in ("Spear", "Kenda") else 0.51 * 10.0**-decimals), title


@pytest.mark.parametrize(("quantity", "mode"), [("referenced", "referenced"), ("total", "raw")])
def test_statistics_equal_those_of_scipy_on_the_raw_files(home, screen, shared, shown, quantity, mode) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore").choose("quantity", quantity)
    assert_shown(shown(page), expected(*frames.of(mode), "eV/atom", "meV/atom", 1000), ranks=0.005 if mode == "referenced" else 0.51e-4)
    assert f"N = {len(frames.ids)} " in note(scatter(page))
    assert (f"on these same {len(frames.ids):,} pairs, so the referenced correlation is in-sample" in page.words()) == (mode == "referenced")


@pytest.mark.parametrize(("quantity", "mode"), [("referenced", "referenced"), ("total", "raw")])
def test_scatter_has_one_point_for_each_pair(home, screen, shared, drawn, quantity, mode) -> None:
    frames = shared(XFUNC_DFT)
    figure = scatter(screen("explore").choose("quantity", quantity))
    [points] = drawn(figure)
    assert set(points) == set(frames.ids)
    np.testing.assert_allclose([points[frame_id] for frame_id in frames.ids], np.transpose(frames.of(mode)), atol=1e-6)
    assert ("referenced" in figure["layout"]["xaxis"]["title"]["text"]) == (mode == "referenced")


@pytest.mark.parametrize(("quantity", "key", "unit", "error_unit", "scale", "from_raw"), [("force", "forces", "eV/Å", "meV/Å", 1000, 1.0), ("stress", "stress", "GPa", "GPa", 1, -0.1)])
def test_components_equal_those_of_scipy_on_the_raw_files(home, screen, raw, shown, quantity, key, unit, error_unit, scale, from_raw) -> None:
    by_id = [{d["matpes_id"]: d for d in raw[name]} for name in XFUNC_DFT]
    ids = [i for i in by_id[0] if i in by_id[1]]
    x, y = (from_raw * np.concatenate([np.ravel(documents[i][key]) for i in ids]) for documents in by_id)
    page = screen("explore").choose("quantity", quantity)
    assert_shown(shown(page), expected(x, y, unit, error_unit, scale))


def test_the_angle_between_forces_is_a_histogram_with_its_mean(home, screen, raw, shown, array) -> None:
    by_id = [{d["matpes_id"]: np.array(d["forces"]) for d in raw[name]} for name in XFUNC_DFT]
    x, y = (np.concatenate([forces[i] for i in by_id[0] if i in by_id[1]]) for forces in by_id)
    long = (np.linalg.norm(x, axis=1) > 0.05) & (np.linalg.norm(y, axis=1) > 0.05)
    cosine = (x * y).sum(axis=1)[long] / np.linalg.norm(x[long], axis=1) / np.linalg.norm(y[long], axis=1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    page = screen("explore").choose("quantity", "force_angle")
    assert shown(page)["Mean (°)"] == pytest.approx(angle.mean(), abs=0.051)
    figure = scatter(page)
    assert [t["name"] for t in figure["data"] if t["type"] == "scatter"] == [f"mean {angle.mean():.1f} °", f"median {np.median(angle):.1f} °"]
    [bars] = [t for t in figure["data"] if t["type"] == "bar"]
    assert np.nansum(array(bars["y"]).astype(float)) == long.sum()
    assert "Pearson" not in str(page.at.table[0].value)


@pytest.mark.parametrize("chosen", [["O"], ["Na", "Cl"]])
def test_chosen_elements_stand_out_and_the_numbers_stay(home, screen, shared, drawn, shown, chosen) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore", explore_tab="Per element")
    whole, statistics = page.table("Element", "Pearson r"), shown(page)
    page.choose("explore_elements", chosen)
    others, picked = drawn(scatter(page))
    assert set(picked) == frames.containing(*chosen)
    assert set(others) == set(frames.ids) - set(picked)
    assert f"{len(picked):,} selected" in note(scatter(page))
    assert shown(page) == statistics
    table = page.table("Element", "Pearson r")
    assert set(table["Element"]) == set(chosen) and len(table) < len(whole)
    for element, count in zip(table["Element"], table["Pairs"], strict=True):
        assert int(count.replace(",", "")) == len(frames.containing(element))
    outlined = [shape for shape in page.figure("explore_elements_table_0")["layout"]["shapes"] if shape["layer"] == "above"]
    assert len(outlined) == len(chosen)


@pytest.mark.parametrize(("mode", "keeps"), [("any_of", lambda held: bool(held & {"O", "Na"})), ("without", lambda held: not held & {"O", "Na"}), ("only", lambda held: held <= {"O", "Na"})])
def test_chosen_elements_filter_the_pairs_and_every_number(home, screen, shared, drawn, shown, mode, keeps) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore").choose("explore_elements", ["O", "Na"]).choose("elements_mode", mode)
    kept = np.array([keeps(held) for held in frames.symbols])
    x, y = (energy[kept] for energy in frames.of("referenced"))
    assert f"{kept.sum()} of {len(kept)} pairs: " in page.words()
    if kept.any():
        [points] = drawn(scatter(page))
        assert set(points) == {i for i, keep in zip(frames.ids, kept, strict=True) if keep}
        if len(x) >= 5:
            assert_shown(shown(page), expected(x, y, "eV/atom", "meV/atom", 1000), ranks=0.02)
        assert "Filter: " in note(scatter(page))


def test_the_filters_of_the_datasets_page_apply_to_pairs(home, screen, shared, raw) -> None:
    frames = shared(XFUNC_DFT)
    n_atoms = {d["matpes_id"]: len(d["structure"]["sites"]) for d in raw[XFUNC_DFT[1]]}
    page = screen("explore", pairs_n_atoms_low="4", pairs_n_atoms_high="8")
    n = sum(4 <= n_atoms[i] <= 8 for i in frames.ids)
    assert 0 < n < len(frames.ids)
    assert f"{n} of {len(frames.ids)} pairs: n atoms at least 4 and at most 8." in page.words()
    page.choose("pairs_text", "no formula has this")
    assert "No pair passes the filter: widen it." in page.words()
    assert not page.at.table and not page.errors()


def test_a_filter_is_written_on_the_figure_letter_by_letter(home, screen, shared) -> None:
    page = screen("explore", pairs_text="<a href='http://x'>")
    assert "No pair passes the filter" in page.words()
    page.choose("pairs_text", "").choose("pairs_system", "Al-Pt")
    assert "Filter: chemical system Al-Pt" in note(scatter(page))
    hostile = import_pair_table_of(home, [("NaCl", -3.0, -9.0), ("MgO", -5.0, -11.0)], "<b>id")
    page = screen("explore", pairs=f"{hostile} (relaxed pairs)", pairs_text="<b>")
    assert "&lt;b>" in note(scatter(page)) and "<b>id" not in json.dumps(scatter(page))


def test_a_choice_here_is_none_on_another_page(home, screen) -> None:
    page = screen("explore").choose("subtracted", PairedScheme.ATOMREF)
    assert page.go("finetune").title() == "Fine-tune"
    assert isinstance(page.widget("references").value, Scheme)


def test_data_without_energies_still_compare_forces(home, screen, raw, tmp_path) -> None:
    """Energies are taken off the real documents: what needs them says so, and the rest is there."""
    for functional, name in (("PBE", XFUNC_DFT[0]), ("r2SCAN", XFUNC_DFT[1])):
        documents = [{k: v for k, v in d.items() if k != "energy"} for d in raw[name][:20]]
        path = tmp_path / f"bare-{functional}.jsonl"
        path.write_text("\n".join(map(json.dumps, documents)))
        import_file(path, home / "datasets", name=f"bare-{functional.lower()}")
    for tab in ("Shift against Z", "The paper's figures", "Per element"):
        page = screen("explore", r2scan="bare-r2scan", pbe="bare-pbe", explore_tab=tab)
        assert "Total energy" not in page.widget("quantity").options
        assert page.at.table and "nan" not in everything(page).lower()


def test_what_the_pairs_do_not_hold_is_not_offered_and_said(home, screen) -> None:
    page = screen("explore")
    said = next(line for line in page.words().split("\n") if line.startswith("Not in these pairs: "))
    assert "magnetic moment (no labels)" in said and "energy within a material (one pair per material and composition)" in said
    assert not {"Magnetic moment", "Energy within a material"} & set(page.widget("quantity").options)
    choose_matpes(page)
    assert "Magnetic moment" in page.widget("quantity").options and "magnetic moment" not in page.words().split("Not in these pairs: ")[1].split("\n")[0]


def test_clear_takes_the_choice_back(home, screen, drawn) -> None:
    page = screen("explore", explore_elements="O")
    assert len(drawn(scatter(page))) == 2
    page.click("Clear")
    assert page.widget("explore_elements").value == []
    assert len(drawn(scatter(page))) == 1
    assert "explore_elements" not in page.at.query_params


def test_choice_comes_from_the_address(home, screen, shared, drawn) -> None:
    page = screen("explore", explore_elements=["O", "Na"], quantity="Total energy")
    assert page.widget("explore_elements").value == ["O", "Na"]
    picked = drawn(scatter(page))[1]
    assert set(picked) == shared(XFUNC_DFT).containing("O", "Na")
    assert "total energy" in scatter(page)["layout"]["xaxis"]["title"]["text"]
    filtered = screen("explore", explore_elements=["O", "Na"], elements_mode="all of")
    assert filtered.widget("elements_mode").value == "all_of"
    assert "pairs: all of Na, O" in filtered.words() or "pairs: all of O, Na" in filtered.words()


def test_nonsense_in_the_address_is_ignored(home, screen, shared, shown) -> None:
    page = screen("explore", explore_elements="Qq", r2scan="nothing", pbe="nothing", quantity="sideways", colour="taste", explore_tab="9", pairs_n_atoms_low="many", elements_mode="x")
    assert page.widget("explore_elements").value == []
    assert shown(page)["Rows"] == len(shared(XFUNC_DFT).ids)


def test_choice_survives_a_visit_to_another_page(home, screen, shared, drawn) -> None:
    page = screen("explore").choose("explore_elements", ["S"])
    page.go("start")
    page.go("explore")
    assert page.widget("explore_elements").value == ["S"]
    assert set(drawn(scatter(page))[1]) == shared(XFUNC_DFT).containing("S")


def test_shifts_are_those_of_least_squares(home, screen, shared, array, as_number, cells) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore", explore_tab="Shift against Z")
    ours = page.figure("shift")["data"][-1]
    found = {custom[0]: y for custom, y in zip(ours["customdata"], array(ours["y"]), strict=True)}
    # An element that least squares cannot tell from its partners, as Hf and Os of HfOs alone, is left blank.
    known = {s: x for s, x in frames.shift.items() if frames.is_told(s)}
    assert set(known) < set(frames.shift)
    assert found == pytest.approx(known, abs=1e-6)
    table = page.table("Element", "Shift r²SCAN − PBE (eV/atom)")
    written = {e: as_number(x.split(" (")[0]) for e, x in zip(table["Element"], table["Shift r²SCAN − PBE (eV/atom)"], strict=True) if x != "–"}
    assert written == pytest.approx(known, abs=0.51e-3)
    coloured = {e: as_number(x.removesuffix(" eV/atom")) for e, x in cells(page.figure("explore_shifts_table_0")).items()}
    assert coloured == pytest.approx(known, abs=0.51e-3)


def test_a_click_on_a_shift_chooses_the_element_as_one_above_does(home, screen, shared, array) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore", explore_tab="Shift against Z").click_point("explore_shifts_table_0", "S")
    assert page.widget("explore_elements").value == ["S"]
    assert f"S stands out: {len(frames.containing('S'))} of" in page.words()
    _, rest, chosen = page.figure("shift")["data"]
    assert [*chosen["text"]] == ["S"] and len(array(rest["x"])) == sum(map(frames.is_told, frames.shift)) - 1


@pytest.mark.parametrize(("quantity", "mode"), [("total", "raw"), ("referenced", "referenced")])
def test_table_coloured_by_correlation(home, screen, shared, cells, as_number, quantity, mode) -> None:
    frames = shared(XFUNC_DFT)
    correlations = {}
    for symbol in frames.shift:
        has = np.array([symbol in there for there in frames.symbols])
        if len({m for m, there in zip(frames.materials, has, strict=True) if there}) >= 5:
            correlations[symbol] = np.corrcoef(*(energy[has] for energy in frames.of(mode)))[0, 1]
    page = screen("explore").choose("quantity", quantity)
    found = {symbol: as_number(text) for symbol, text in cells(page.figure("explore_elements_table_0")).items()}
    assert 0 < len(found) < len(frames.shift)  # grey where there are too few materials
    assert found == pytest.approx(correlations, abs=ROUNDED)


def test_coefficients_are_coloured_between_minus_one_and_one(home, screen) -> None:
    page = screen("explore")
    for key in ("pearson", "spearman", "kendall"):
        figure = page.choose("colour", key).figure("explore_elements_table_0")
        [bar] = [t["marker"]["colorbar"] for t in figure["data"] if t["name"] == "colours"]
        assert bar["ticktext"] == ["−1.00", "0.00", "1.00"]


def test_elements_of_too_few_materials_are_outlined_and_named(home, screen, raw, symbols_of) -> None:
    """One crystal an element: every moment is drawn in the scatter, and no element has the five materials that a number needs."""
    page = choose_matpes(screen("explore")).choose("quantity", "magmom")
    figure = page.figure("explore_elements_table_0")
    by_id = [{d["matpes_id"]: d for d in raw[name]} for name in MATPES]
    both = [i for i in by_id[0] if i in by_id[1] and "magmom" in json.dumps(by_id[0][i]) and "magmom" in json.dumps(by_id[1][i])]
    [trace] = [t for t in figure["data"] if t["name"] == "elements"]
    assert set(trace["customdata"]) == {symbol for i in both for symbol in symbols_of(by_id[1][i])}
    assert all(text.split("<br>")[1].lower().startswith("too few to say") for text in trace["text"])
    assert "too few to say" in [a["text"] for a in figure["layout"]["annotations"]]


def test_table_coloured_by_other_statistics(home, screen, shared, cells, as_number) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore").choose("quantity", "total").choose("colour", "n")
    assert {s: as_number(text) for s, text in cells(page.figure("explore_elements_table_0")).items()} == {s: len(frames.containing(s)) for s in frames.shift}
    page.choose("colour", "shift")
    oxides = np.array(["O" in there for there in frames.symbols])
    found = cells(page.figure("explore_elements_table_0"))["O"]
    assert as_number(found.split()[0]) == pytest.approx((frames.r2scan - frames.pbe)[oxides].mean(), abs=0.51e-3)
    page.choose("colour", "kendall")
    assert as_number(cells(page.figure("explore_elements_table_0"))["O"]) == pytest.approx(stats.kendalltau(frames.pbe[oxides], frames.r2scan[oxides])[0], abs=ROUNDED)


def test_weighting_by_composition_changes_the_element_not_the_whole(home, screen, shared, shown, raw, symbols_of, as_number) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore", explore_tab="Per element").choose("quantity", "total")
    statistics = shown(page)
    page.choose("attribution_frames", Attribution.WEIGHTED)
    assert shown(page) == statistics
    table = page.choose("statistics", "Shift and line").table("Element", "Mean r²SCAN − PBE (eV/atom)").set_index("Element")
    assert "with the atomic fraction of that element" in note(scatter(page))
    sites = {d["matpes_id"]: symbols_of(d) for d in raw[XFUNC_DFT[1]]}
    share = np.array([sites[i].count("O") / len(sites[i]) for i in frames.ids])
    mean = np.average(frames.r2scan - frames.pbe, weights=share)
    assert as_number(table.loc["O", "Mean r²SCAN − PBE (eV/atom)"].split(" (")[0]) == pytest.approx(mean, abs=0.51e-3)


def test_chemistries_are_counted_on_the_raw_files(home, screen, shared) -> None:
    frames = shared(XFUNC_DFT)
    table = screen("explore", explore_tab="Per chemistry").table("Chemistry", "Pearson r").set_index("Chemistry")
    block = {"Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn"}
    assert int(table.loc["3d", "Pairs"]) == sum(bool(held & block) for held in frames.symbols)
    assert table.loc["4f", "Pairs"] == "0" and table.loc["4f", "Pearson r"] == "too few to say"


def test_the_papers_figures_of_any_data(home, screen, shared, drawn) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore", explore_tab="The paper's figures")
    for key, mode in (("paper_total", "raw"), ("paper_referenced", "referenced")):
        [points] = drawn(page.figure(key))
        np.testing.assert_allclose([points[i] for i in frames.ids], np.transpose(frames.of(mode)), atol=1e-6)
        assert f"r = {np.corrcoef(*frames.of(mode))[0, 1]:.4f}" in note(page.figure(key))
    assert "Importances need the energy differences of 50 materials" in " ".join(info.value for info in page.at.info)


def test_a_click_shows_the_frame_in_both_functionals(home, screen, shared, raw, as_number) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore")
    [points] = [t for t in scatter(page)["data"] if t.get("mode") == "markers" and t.get("yaxis", "y") == "y"]
    place = 17
    frame_id = points["text"][place].split(" · ")[1]
    [key] = [chart.key for chart in page.at.get("plotly_chart") if chart.key.startswith("agreement_")]
    page.click_point(key, place)
    labels = page.table("Label", "PBE", "r²SCAN").set_index("Label")
    i = frames.ids.index(frame_id)
    assert as_number(labels.loc["Energy", "PBE"]) == pytest.approx(frames.pbe[i], abs=0.51e-3)
    assert as_number(labels.loc["Energy", "r²SCAN"]) == pytest.approx(frames.r2scan[i], abs=0.51e-3)


def test_the_largest_differences_are_listed_with_their_structures(home, screen, shared, as_number) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore", explore_tab="Largest differences").choose("quantity", "total")
    table = page.table("Formula", "Id", "r²SCAN − PBE (eV/atom)")
    difference = frames.r2scan - frames.pbe
    order = np.argsort(-np.abs(difference - np.median(difference)))
    assert table["Id"].tolist() == [frames.ids[i] for i in order]
    assert [as_number(text) for text in table["r²SCAN − PBE (eV/atom)"]] == pytest.approx(difference[order], abs=0.51e-3)
    page.tick("furthest_total", 2)
    labels = page.table("Label", "PBE", "r²SCAN").set_index("Label")
    assert as_number(labels.loc["Energy", "r²SCAN − PBE"]) == pytest.approx(difference[order[2]], abs=0.51e-3)
    assert frames.ids[order[2]] in page.words()


def choose_matpes(page: Any) -> Any:
    page.widget("pbe").set_value(MATPES[0])
    return page.choose("r2scan", MATPES[1])


def test_matpes_elements_pair_by_id_and_geometry(home, screen, shared, raw, shown) -> None:
    frames = shared(MATPES)
    page = choose_matpes(screen("explore", explore_tab="Left out", quantity="Total energy"))
    assert_shown(shown(page), expected(frames.pbe, frames.r2scan, "eV/atom", "meV/atom", 1000))
    assert shown(page)["Rows"] == len(frames.ids) == 63
    alone = page.table("frame_id", "reason")
    ids = {label: {d["matpes_id"] for d in raw[name]} - set(frames.ids) for label, name in zip(("PBE", "r²SCAN"), MATPES, strict=True)}
    assert {label: set(rows["frame_id"]) for label, rows in alone.groupby("functional")} == ids
    assert set(alone["reason"]) == {"no frame of this id in the other dataset"}


def test_matpes_elements_against_isolated_atoms(home, screen, raw, shown) -> None:
    """One crystal an element: least squares leaves nothing, the energies of atoms leave the cohesive energies."""
    page = choose_matpes(screen("explore"))
    assert "the fit is exact and its referenced correlation says nothing" in page.words()
    [references] = [box for box in page.at.selectbox if box.label == "References"]
    references.select_index(references.options.index("Isolated atoms of the data"))
    page.run()
    atoms, cohesive = ({d["matpes_id"]: d for d in raw[name]} for name in MATPES), []
    pbe, r2scan = atoms
    shared_ids = [frame_id for frame_id in pbe if frame_id in r2scan]
    for documents in (pbe, r2scan):
        cohesive.append([documents[i]["energy"] / len(documents[i]["structure"]["sites"]) - documents[i]["energy_atomic"] for i in shared_ids])
    assert shown(page)["Pearson r"] == pytest.approx(np.corrcoef(*cohesive)[0, 1], abs=ROUNDED)


def test_pbe_data_follow_the_r2scan_data(home, screen, shown) -> None:
    page = screen("explore").choose("r2scan", MATPES[1])
    assert page.widget("pbe").value == MATPES[0]
    assert shown(page)["Rows"] == 63


def test_data_that_share_nothing_are_said_so(home, screen, raw) -> None:
    page = screen("explore")
    page.widget("pbe").set_value(MATPES[0])
    page.choose("r2scan", XFUNC_DFT[1])
    assert not page.errors()
    n = len(raw[MATPES[0]]) + len(raw[XFUNC_DFT[1]])
    assert f"share no frame: {n:,} ids or geometries differ" in page.words()
    assert not page.at.table


@pytest.mark.parametrize("functional", ["pbe", "r2scan"])
def test_only_one_functional_is_a_designed_empty_state(home, screen, functional) -> None:
    page = screen("start")
    for name in (*XFUNC_DFT, *MATPES):
        if name.endswith(functional):
            shutil.rmtree(home / "datasets" / name)
    page.go("explore")
    assert "needs a PBE and an r²SCAN dataset" in page.words()
    assert page.go(page.links()["Import data"]).title() == "Datasets"


# --- tables of relaxed pairs ------------------------------------------------------------------


@pytest.fixture
def with_table(home: Path, tmp_path: Path, screen) -> Callable[..., Any]:
    """Import rows of formula and both energies per atom, and open the page on them."""

    def opened(rows: Sequence[tuple[str, object, object]], **query: str) -> Any:
        with (tmp_path / "made.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["material_id", "formula", "e_pbe_per_atom", "e_r2scan_per_atom"])
            writer.writerows([(f"made-{i}", *row) for i, row in enumerate(rows)])
        import_pair_table(tmp_path / "made.csv", home / "pair-tables", name="made", title="Made")
        return screen("explore", pairs="Made (relaxed pairs)", **query)

    return opened


def import_pair_table_of(home: Path, rows: Sequence[tuple[str, object, object]], first_id: str) -> str:
    """A table whose first row has this id; its title."""
    path = home / "hostile.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "formula", "e_pbe_per_atom", "e_r2scan_per_atom"])
        writer.writerows([(first_id if not i else f"made-{i}", *row) for i, row in enumerate(rows)])
    import_pair_table(path, home / "pair-tables", name="hostile", title="Hostile")
    return "Hostile"


def everything(page: Any) -> str:
    """All text on the page: words, tables and what is written in figures."""
    tables = [element.value.to_csv() for kind in ("dataframe", "table") for element in page.at.get(kind)]
    figures = [json.loads(chart.proto.spec) for chart in page.at.get("plotly_chart")]
    written = [json.dumps([figure["layout"], [(t.get("name"), t.get("text")) for t in figure["data"]]]) for figure in figures]
    return "\n".join([page.words(), *tables, *written, *page.errors()])


LITTLE = {
    "one row": [("NaCl", -3.0, -9.0)],
    "two rows": [("NaCl", -3.0, -9.0), ("MgO", -5.0, -11.0)],
    "one element": [("Fe", -8.0 - 0.1 * i, -14.0 - 0.2 * i) for i in range(8)],
    "constant on one side": [(formula, -3.0, -9.0 - i) for i, formula in enumerate(("NaCl", "MgO", "LiF", "KBr", "CaO", "SrO", "BaO"))],
    "constant on both sides": [(formula, -3.0, -9.0) for formula in ("NaCl", "MgO", "LiF", "KBr", "CaO", "SrO", "BaO")],
    "no r²SCAN energy but one": [(formula, -3.0, "" if i else -9.0) for i, formula in enumerate(("NaCl", "MgO", "LiF", "KBr", "CaO"))],
}


@pytest.mark.parametrize("tab", ["Per element", "Per chemistry", "Shift against Z", "The paper's figures", "Left out"])
@pytest.mark.parametrize("rows", LITTLE.values(), ids=LITTLE)
def test_little_to_say_is_said_in_words(with_table, rows, tab) -> None:
    page = with_table(rows, explore_tab=tab)
    for quantity in page.widget("quantity").options:
        page.widget("quantity").select(quantity)
        page.run()
        assert not page.errors()
        assert "nan" not in everything(page).lower().replace("nano", "")
        assert scatter(page) if page.at.table else "pairs" in page.words()


def test_two_rows_are_too_few_to_say(with_table) -> None:
    page = with_table(LITTLE["two rows"], quantity="Total energy")
    [table] = page.at.table
    assert list(table.value.iloc[:, -1])[:8] == ["too few to say"] * 8
    assert list(table.value.iloc[:, -1])[8:] == ["2", "2"]


def test_a_constant_side_has_a_shift_but_no_correlation(with_table, shown) -> None:
    page = with_table(LITTLE["constant on one side"], quantity="Total energy")
    found = shown(page)
    assert found["Mean r²SCAN − PBE (eV/atom)"] == -9.0 and found["MAE (meV/atom)"] == 9000.0
    assert "Pearson r" not in found


def test_the_bar_of_the_shared_table(home, screen, sample, shown, cells) -> None:
    import_pair_table(sample("mp_gga_r2scan_pairs.csv"), home / "pair-tables", name="mp", title="MP")
    page = screen("explore", pairs="MP (relaxed pairs)", quantity="Total energy")
    assert round(shown(page)["Pearson r"], 3) == 0.070
    raw = cells(page.figure("explore_elements_table_0"))
    assert {s: round(float(raw[s].replace("−", "-")), 2) for s in ("O", "Fe", "Na", "Cu")} == {"O": 0.24, "Fe": 0.20, "Na": -0.22, "Cu": -0.25}
    page.choose("quantity", "referenced")
    assert round(shown(page)["Pearson r"], 3) == 0.988
    [references] = [box for box in page.at.selectbox if box.label == "References"]
    references.select_index(references.options.index("AtomRefs of CHGNet"))
    page.run()
    assert round(shown(page)["Pearson r"], 3) == 0.953


def test_a_click_on_a_table_shows_its_row(home, screen, sample, as_number) -> None:
    path = sample("mp_gga_r2scan_pairs.csv")
    import_pair_table(path, home / "pair-tables", name="mp", title="MP")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    page = screen("explore", pairs="MP (relaxed pairs)")
    [key] = [chart.key for chart in page.at.get("plotly_chart") if chart.key.startswith("agreement_")]
    page.click_point(key, 12)
    assert f"{rows[12]['material_id']} · " in page.words() and "line 14 of" in page.words()
    labels = page.table("Label", "PBE", "r²SCAN").set_index("Label")
    assert as_number(labels.loc["Energy", "PBE"]) == pytest.approx(float(rows[12]["e_gga_per_atom"]), abs=0.51e-3)
    assert as_number(labels.loc["Formation energy", "r²SCAN"]) == pytest.approx(float(rows[12]["hf_r2scan"]), abs=0.51e-3)
    assert "Volume" not in labels.index
