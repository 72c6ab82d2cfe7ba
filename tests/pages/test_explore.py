"""The Explore page against correlations computed here from the raw bundled files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

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
        points = [trace for trace in figure["data"] if trace.get("mode") == "markers"]
        return [{name.split(" · ")[1]: xy for name, xy in zip(t["text"], zip(array(t["x"]), array(t["y"]), strict=True), strict=True)} for t in points]

    return read


def test_headline_numbers_equal_those_of_the_raw_files(home, screen, shared) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore")
    assert page.number("r, raw") == pytest.approx(np.corrcoef(frames.pbe, frames.r2scan)[0, 1], abs=ROUNDED)
    assert page.number("r, referenced") == pytest.approx(np.corrcoef(frames.pbe_referenced, frames.r2scan_referenced)[0, 1], abs=ROUNDED)
    assert page.number("Mean shift (eV/atom)") == pytest.approx((frames.r2scan - frames.pbe).mean(), abs=0.51e-3)
    assert page.number("Frames in both") == len(frames.ids)
    assert f"on these same {len(frames.ids):,} frames, so the referenced correlation is in-sample" in page.words()


@pytest.mark.parametrize("mode", ["referenced", "raw"])
def test_scatter_has_one_point_for_each_pair(home, screen, shared, drawn, mode) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore").choose("mode", mode)
    figure = page.figure("energies")
    [points] = drawn(figure)
    assert set(points) == set(frames.ids)
    np.testing.assert_allclose([points[frame_id] for frame_id in frames.ids], np.transpose(frames.of(mode)), atol=1e-6)
    assert ("referenced" in figure["layout"]["xaxis"]["title"]["text"]) == (mode == "referenced")


def test_referenced_is_what_is_shown_first(home, screen) -> None:
    page = screen("explore")
    assert page.figure("energies")["data"] == page.choose("mode", "referenced").figure("energies")["data"]
    assert page.figure("energies")["data"] != page.choose("mode", "raw").figure("energies")["data"]


@pytest.mark.parametrize("chosen", [["O"], ["Na", "Cl"]])
def test_choosing_elements_picks_out_their_frames(home, screen, shared, drawn, chosen) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore")
    whole = page.table("Element", "r raw")
    page.choose("explore_elements", chosen)
    others, picked = drawn(page.figure("energies"))
    assert set(picked) == frames.containing(*chosen)
    assert set(others) == set(frames.ids) - set(picked)
    assert f"{len(picked):,} selected" in str(page.figure("energies")["layout"])
    table = page.table("Element", "r raw")
    assert set(table["Element"]) == set(chosen)
    assert len(table) < len(whole)
    for element, count in zip(table["Element"], table["Frames"], strict=True):
        assert int(count.replace(",", "")) == len(frames.containing(element))
    outlined = [shape for shape in page.figure("explore_elements_table_0")["layout"]["shapes"] if shape["layer"] == "above"]
    assert len(outlined) == len(chosen)


def test_clear_takes_the_choice_back(home, screen, drawn) -> None:
    page = screen("explore", explore_elements="O")
    assert len(drawn(page.figure("energies"))) == 2
    page.click("Clear")
    assert page.widget("explore_elements").value == []
    assert len(drawn(page.figure("energies"))) == 1
    assert "explore_elements" not in page.at.query_params


def test_choice_comes_from_the_address(home, screen, shared, drawn) -> None:
    page = screen("explore", explore_elements=["O", "Na"])
    assert page.widget("explore_elements").value == ["O", "Na"]
    assert set(drawn(page.figure("energies"))[1]) == shared(XFUNC_DFT).containing("O", "Na")


def test_nonsense_in_the_address_is_ignored(home, screen, shared) -> None:
    page = screen("explore", explore_elements="Qq", r2scan="nothing", pbe="nothing", mode="sideways", colour="taste")
    assert page.widget("explore_elements").value == []
    assert page.number("Frames in both") == len(shared(XFUNC_DFT).ids)


def test_choice_survives_a_visit_to_another_page(home, screen, shared, drawn) -> None:
    page = screen("explore").choose("explore_elements", ["S"])
    page.go("start")
    page.go("explore")
    assert page.widget("explore_elements").value == ["S"]
    assert set(drawn(page.figure("energies"))[1]) == shared(XFUNC_DFT).containing("S")


def test_shifts_are_those_of_least_squares(home, screen, shared, cells, as_number) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore")
    shown = {symbol: as_number(text.split()[0]) for symbol, text in cells(page.figure("explore_elements_table_0")).items()}
    # An element that least squares cannot tell from its partners, as Hf and Os of HfOs alone, is left blank.
    known = {s: x for s, x in frames.shift.items() if frames.is_told(s)}
    assert set(shown) == set(known) < set(frames.shift)
    assert shown == pytest.approx(known, abs=0.051)
    table = page.table("Element", "Shift (eV/atom)")
    assert {e: as_number(x) for e, x in zip(table["Element"], table["Shift (eV/atom)"], strict=True) if x != "–"} == pytest.approx(known, abs=0.51e-3)


@pytest.mark.parametrize("mode", ["raw", "referenced"])
def test_table_coloured_by_correlation(home, screen, shared, cells, as_number, mode) -> None:
    frames = shared(XFUNC_DFT)
    expected = {}
    for symbol in frames.shift:
        has = np.array([symbol in there for there in frames.symbols])
        if len({m for m, there in zip(frames.materials, has, strict=True) if there}) >= 5:
            expected[symbol] = np.corrcoef(*(energy[has] for energy in frames.of(mode)))[0, 1]
    page = screen("explore").choose("colour", f"pearson_{mode}")
    shown = {symbol: as_number(text) for symbol, text in cells(page.figure("explore_elements_table_0")).items()}
    assert 0 < len(shown) < len(frames.shift)  # grey where there are too few materials
    assert shown == pytest.approx(expected, abs=ROUNDED)


def test_table_coloured_by_frames(home, screen, shared, cells, as_number) -> None:
    frames = shared(XFUNC_DFT)
    page = screen("explore").choose("colour", "n_frames")
    assert {s: as_number(text) for s, text in cells(page.figure("explore_elements_table_0")).items()} == {s: len(frames.containing(s)) for s in frames.shift}


def test_components_below(home, screen, raw, as_number) -> None:
    forces, stresses = (
        [np.concatenate([np.ravel(document[key]) for document in sorted(raw[name], key=lambda d: d["matpes_id"])]) for name in XFUNC_DFT] for key in ("forces", "stress")
    )
    table = screen("explore").table("Quantity", "MAE").set_index("Quantity")
    assert list(table.index) == ["Force", "Stress"]  # these calculations have no magnetic moments
    for quantity, (pbe, r2scan), scale, unit in (("Force", forces, 1000, "meV/Å"), ("Stress", stresses, 0.1, "GPa")):
        row, error = table.loc[quantity], (r2scan - pbe) * scale
        assert as_number(row["N"]) == len(error)
        assert as_number(row["r"]) == pytest.approx(np.corrcoef(pbe, r2scan)[0, 1], abs=ROUNDED)
        assert row["MAE"].endswith(unit)
        assert as_number(row["MAE"].split()[0]) == pytest.approx(np.abs(error).mean(), abs=0.06)
        assert as_number(row["RMSE"].split()[0]) == pytest.approx(np.sqrt((error**2).mean()), abs=0.06)


def choose_matpes(page: Any) -> Any:
    page.widget("pbe").set_value(MATPES[0])
    return page.choose("r2scan", MATPES[1])


def test_matpes_elements_pair_by_id_and_geometry(home, screen, shared, raw, as_number) -> None:
    frames = shared(MATPES)
    page = choose_matpes(screen("explore"))
    assert page.number("Frames in both") == len(frames.ids) == 63
    assert page.number("r, raw") == pytest.approx(np.corrcoef(frames.pbe, frames.r2scan)[0, 1], abs=ROUNDED)
    assert page.number("Mean shift (eV/atom)") == pytest.approx((frames.r2scan - frames.pbe).mean(), abs=0.51e-3)
    alone = page.table("frame_id", "reason")
    ids = {label: {d["matpes_id"] for d in raw[name]} - set(frames.ids) for label, name in zip(("PBE", "r²SCAN"), MATPES, strict=True)}
    assert {label: set(rows["frame_id"]) for label, rows in alone.groupby("functional")} == ids
    assert set(alone["reason"]) == {"no frame of this id in the other dataset"}


def test_matpes_elements_against_isolated_atoms(home, screen, raw) -> None:
    """One crystal an element: least squares leaves nothing, the energies of atoms leave the cohesive energies."""
    page = choose_matpes(screen("explore"))
    assert page.metric("r, referenced") == "–"
    [references] = [box for box in page.at.selectbox if box.label == "References"]
    references.select_index(references.options.index("Isolated atoms"))
    page.run()
    atoms, cohesive = ({d["matpes_id"]: d for d in raw[name]} for name in MATPES), []
    pbe, r2scan = atoms
    shared_ids = [frame_id for frame_id in pbe if frame_id in r2scan]
    for documents in (pbe, r2scan):
        cohesive.append([documents[i]["energy"] / len(documents[i]["structure"]["sites"]) - documents[i]["energy_atomic"] for i in shared_ids])
    assert page.number("r, referenced") == pytest.approx(np.corrcoef(*cohesive)[0, 1], abs=ROUNDED)


def test_pbe_data_follow_the_r2scan_data(home, screen) -> None:
    page = screen("explore").choose("r2scan", MATPES[1])
    assert page.widget("pbe").value == MATPES[0]
    assert page.number("Frames in both") == 63


def test_data_that_share_nothing_are_said_so(home, screen, raw) -> None:
    page = screen("explore")
    page.widget("pbe").set_value(MATPES[0])
    page.choose("r2scan", XFUNC_DFT[1])
    assert not page.errors()
    n = len(raw[MATPES[0]]) + len(raw[XFUNC_DFT[1]])
    assert f"share no frame: {n:,} ids or geometries differ" in page.words()
    assert not page.at.metric


@pytest.mark.parametrize("functional", ["pbe", "r2scan"])
def test_only_one_functional_is_a_designed_empty_state(home, screen, functional) -> None:
    page = screen("start")
    for name in (*XFUNC_DFT, *MATPES):
        if name.endswith(functional):
            shutil.rmtree(home / "datasets" / name)
    page.go("explore")
    assert "needs a PBE and an r²SCAN dataset" in page.words()
    assert page.go(page.links()["Import data"]).title() == "Datasets"
