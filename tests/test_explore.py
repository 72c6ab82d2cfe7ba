"""Everything the Explore page shows, from hand-made pairs with known numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairing_by_structure import pair_by_structure
from xfunc_core.data.pairs import Pairs, pair_by_id
from xfunc_core.explore import ELEMENT_VALUES, component_table, containing, element_table, explore, hover_names
from xfunc_core.references.paired import PairedScheme


def document(frame: str, functional: str, symbols: list[str], energy: float | None, force: float) -> dict:
    """A MatPES document of a cubic cell; the first atom is pushed along x, the last one back."""
    forces = np.zeros((len(symbols), 3))
    forces[0, 0] += force
    forces[-1, 0] -= force
    sites = [{"species": [{"element": s, "occu": 1}], "abc": [i / len(symbols)] * 3} for i, s in enumerate(symbols)]
    structure = {"lattice": {"matrix": (4 * np.eye(3)).tolist()}, "sites": sites}
    return {"matpes_id": frame, "functional": functional, "structure": structure, "energy": energy, "forces": forces.tolist(), "stress": [-10.0 * force] * 6}


FRAMES = [
    (["Na"], -1.0, -3.0),
    (["Cl"], -4.0, -5.0),
    (["Na", "Cl"], -7.0, -10.0),
    (["Na", "Na"], -2.4, -6.2),
    (["Cl", "Cl"], -8.2, -9.6),
    (["K"], -2.0, None),
]


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    """Six frames, one of which has no r²SCAN energy; r²SCAN forces are 1.5 times PBE's."""
    for column, name, factor in ((1, "PBE", 1.0), (2, "r2SCAN", 1.5)):
        content = [document(f"f{i}", name, frame[0], frame[column], factor * i if len(frame[0]) > 1 else 0.0) for i, frame in enumerate(FRAMES)]
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return pair_by_id(*(import_file(tmp_path / f"{name}.json", tmp_path, name=name.lower())[0] for name in ("PBE", "r2SCAN")))


def test_energies_are_correlated_raw_and_referenced(pairs: Pairs) -> None:
    found = explore(pairs, PairedScheme.LSTSQ)
    x = np.array([[1, 0], [0, 1], [0.5, 0.5], [1, 0], [0, 1]])
    raw = np.array([[-1.0, -4.0, -3.5, -1.2, -4.1], [-3.0, -5.0, -5.0, -3.1, -4.8]])
    w = [np.linalg.lstsq(x, energy, rcond=None)[0] for energy in raw]
    left = [energy - x @ v for energy, v in zip(raw, w, strict=True)]
    assert found.energies.n_frames == 5
    assert found.energies.pearson_raw == pytest.approx(np.corrcoef(*raw)[0, 1])
    assert found.energies.pearson_referenced == pytest.approx(np.corrcoef(*left)[0, 1])
    np.testing.assert_allclose(found.energies.by_element["shift"], w[1] - w[0])
    assert list(found.energies.by_element.index) == ["Na", "Cl"]
    assert list(found.energies.by_element["n_frames"]) == [3, 3]


def test_components_are_correlated(pairs: Pairs) -> None:
    found = explore(pairs, PairedScheme.LSTSQ).components
    assert found["force"].pearson == pytest.approx(1.0)
    assert found["force"].slope == pytest.approx(1.5)
    assert found["force"].n == 3 * 9
    assert found["force"].mae == pytest.approx(2 * 0.5 * (2 + 3 + 4) / 27)  # two pushed atoms a frame
    assert found["stress"].mae == pytest.approx(0.5 * (2 + 3 + 4) / 6)  # 10 kbar of pressure are −1 GPa of tension; the rest is 0
    assert found["magmom"].n == 0
    assert list(component_table(explore(pairs, PairedScheme.LSTSQ))["Quantity"]) == ["Force", "Stress"]


def test_tables_are_in_the_units_of_the_vocabulary(pairs: Pairs) -> None:
    found = explore(pairs, PairedScheme.LSTSQ)
    force = component_table(found).iloc[0]
    assert (force["N"], force["r"], force["MAE"]) == ("27", "1.0000", "333.3 meV/Å")
    table = element_table(found.energies)
    shift = found.energies.by_element["shift"]
    assert list(table["Shift (eV/atom)"]) == [f"{s:.3f}".replace("-", "−") for s in shift]
    assert list(table["Frames"]) == ["3", "3"]
    assert list(element_table(found.energies, ["Cl"])["Element"]) == ["Cl"]
    assert element_table(found.energies, ["K"]).empty


def test_caveats_say_what_a_reader_must_know(pairs: Pairs) -> None:
    said = explore(pairs, PairedScheme.LSTSQ).caveats()
    assert any("2 numbers per functional fitted on these same 5 frames" in s for s in said)
    assert any(s.startswith("1 frames lack one of the two energies") for s in said)
    assert not any("fixed ratios" in s for s in said)


def test_fixed_ratios_are_said(tmp_path: Path) -> None:
    for name in ("PBE", "r2SCAN"):
        (tmp_path / f"{name}.json").write_text(json.dumps([document(f"f{i}", name, ["Na", "Cl"], -5.0 - i, 0.0) for i in range(3)]))
    salt = pair_by_id(*(import_file(tmp_path / f"{name}.json", tmp_path, name=name.lower())[0] for name in ("PBE", "r2SCAN")))
    found = explore(salt, PairedScheme.LSTSQ)
    assert any(s.startswith("Na, Cl occur in fixed ratios only") for s in found.caveats())
    assert found.energies.by_element["shift"].isna().all()
    assert found.energies.n_unreferenced == 0  # their sum is known, and that is all a frame of both needs


def test_an_exact_fit_is_said(bundled_home: Path) -> None:
    root = bundled_home / "datasets"
    elements = pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan"))
    assert any("the fit is exact" in s for s in explore(elements, PairedScheme.LSTSQ).caveats())


def test_isolated_atoms_are_not_in_sample(bundled_home: Path) -> None:
    root = bundled_home / "datasets"
    elements = pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan"))
    found = explore(elements, PairedScheme.ISOLATED_ATOMS)
    assert not any("in-sample" in s for s in found.caveats())
    atoms = [elements.pbe.info.isolated_atoms["Fe"], elements.r2scan.info.isolated_atoms["Fe"]]
    assert found.energies.by_element.loc["Fe", "shift"] == pytest.approx(atoms[1] - atoms[0])
    assert found.components["magmom"].n > 0


def test_frames_are_found_by_their_elements(pairs: Pairs) -> None:
    assert containing(pairs, []) is None
    assert containing(pairs, ["Na"]).tolist() == [True, False, True, True, False, False]
    assert containing(pairs, ["K", "Cl"]).tolist() == [False, True, True, False, True, True]
    assert containing(pairs, ["Pu"]).tolist() == [False] * 6


def test_hover_names_formula_and_id(pairs: Pairs) -> None:
    assert hover_names(pairs)[2] == "ClNa · f2"
    assert len(hover_names(pairs)) == len(pairs)


@pytest.mark.parametrize(("column", "number", "text"), [("shift", -1.5, "−1.500"), ("pearson_raw", 0.98765, "0.9877"), ("pearson_referenced", math.nan, "–"), ("n_frames", 1200.0, "1,200")])
def test_every_colouring_of_the_periodic_table_reads_well(pairs: Pairs, column: str, number: float, text: str) -> None:
    text_of: Callable[[float], str] = ELEMENT_VALUES[column].text
    assert text_of(number) == text
    assert set(ELEMENT_VALUES) <= set(explore(pairs, PairedScheme.LSTSQ).energies.by_element.columns)


def test_energies_of_two_scales_are_warned_of(bundled_home: Path) -> None:
    root = bundled_home / "datasets"
    mixed = pair_by_structure(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    found = explore(mixed, PairedScheme.LSTSQ)
    assert any("do not name one energy scale (PBE: VASP, MatPES settings; r²SCAN: GPAW" in s for s in found.caveats())
    if len(mixed) < 3:
        assert np.isnan(found.energies.pearson_raw)  # any line fits two points
    same = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    assert not any("energy scale" in s for s in explore(same, PairedScheme.LSTSQ).caveats())
