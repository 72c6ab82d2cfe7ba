"""What a reader must know before quoting a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xfunc_core.analysis.agreement import RANKED_ROWS_OF_ONE
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairing_by_structure import pair_by_structure
from xfunc_core.data.pairs import Pairs, pair_by_id
from xfunc_core.elements import Z_OF
from xfunc_core.explore.caveats import caveats, singular
from xfunc_core.explore.compared import ComparedRows
from xfunc_core.explore.exploration import explore
from xfunc_core.references.paired import PairedScheme, paired_references

E = "energy"


@pytest.fixture(scope="module")
def elements(bundled_home: Path) -> Pairs:
    root = bundled_home / "datasets"
    return pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan"))


def test_a_fit_on_the_same_frames_is_said_to_be_in_sample_with_its_numbers(make) -> None:
    pairs = make(
        (["Na"], {E: -1.0}, {E: -3.0}), (["Cl"], {E: -4.0}, {E: -5.0}), (["Na", "Cl"], {E: -7.0}, {E: -10.0}), (["K"], {E: -2.0}, {})
    )
    said = explore(pairs, "referenced").caveats
    assert "The references are 2 numbers per functional fitted on these same 3 pairs, so the referenced correlation is in-sample." in said
    assert not any("fixed ratios" in s or "exact" in s for s in said)
    assert not any("in-sample" in s for s in explore(pairs, "total").caveats)
    said = explore(pairs, "referenced", keep=np.array([True, False, True, False])).caveats
    assert (
        "The references are 2 numbers per functional fitted on all 3 pairs with both energies, whatever the filter, so the referenced correlation is in-sample."
        in said
    )


def test_one_pair_of_one_element_is_said_in_the_singular(make) -> None:
    said = " ".join(explore(make((["Na"], {E: -1.0}, {E: -2.0})), "referenced").caveats)
    assert "The references are 1 number per functional fitted on this same 1 pair, so" in said
    pairs = make((["Na"], {E: -1.0}, {E: -2.0}), (["Na", "Cl"], {E: -1.0}, {E: -2.0}))
    assert any("1 element has one." in s for s in explore(pairs, "formation").caveats)


def test_fixed_ratios_are_said_and_their_sum_is_enough_for_a_frame_of_both(make) -> None:
    pairs = make(*((["Na", "Cl"], {E: -5.0 - i}, {E: -6.0 - i}) for i in range(3)))
    found = explore(pairs, "referenced")
    assert any(s.startswith("Na, Cl occur in fixed ratios only") for s in found.caveats)
    assert found.overall.n == 3 and not found.rows.left_out


def test_an_exact_fit_is_said_before_all_else(elements: Pairs) -> None:
    assert "the fit is exact" in explore(elements, "referenced").caveats[0]


def test_isolated_atoms_of_the_data_are_subtracted_and_not_in_sample(elements: Pairs) -> None:
    found = explore(elements, "referenced", PairedScheme.ISOLATED_ATOMS)
    assert not any("in-sample" in s or "may not fit" in s for s in found.caveats)
    references = paired_references(elements, PairedScheme.ISOLATED_ATOMS)
    assert references.r2scan[Z_OF["Fe"] - 1] == elements.r2scan.info.isolated_atoms["Fe"]
    last = found.rows.pair[-1]
    z = elements.composition[last].argmax()
    assert found.rows.y[-1] == pytest.approx(elements.energy_r2scan[last] - references.r2scan[z])


def test_energies_of_two_scales_are_warned_of(bundled_home: Path) -> None:
    root = bundled_home / "datasets"
    mixed = pair_by_structure(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    for key in ("total", "referenced"):
        assert any("do not name one energy scale (PBE: VASP, MatPES settings; r²SCAN: GPAW" in s for s in explore(mixed, key).caveats)
    same = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    assert not any("energy scale" in s for s in explore(same, "referenced").caveats)
    assert not any("energy scale" in s for s in explore(mixed, "volume").caveats)
    assert any("the energy scale of the data is GPAW" in s for s in explore(same, "referenced", PairedScheme.ATOMREF).caveats)


@pytest.mark.parametrize(
    ("reason", "one"),
    [
        ("pairs without both energies", "pair without both energies"),
        ("pairs alone in their material and composition", "pair alone in its material and composition"),
        (
            "atoms with a force of at most 0.05 eV/Å in one of the functionals",
            "atom with a force of at most 0.05 eV/Å in one of the functionals",
        ),
    ],
)
def test_one_is_not_many(reason: str, one: str) -> None:
    assert singular(reason) == one


def test_ranks_of_a_part_of_the_rows_are_said(elements: Pairs) -> None:
    many = RANKED_ROWS_OF_ONE + 1
    rows = ComparedRows("total", np.zeros(many), np.zeros(many), np.arange(many))
    assert "Spearman ρ and Kendall τ are of whole materials taken at random, some 300,000 of 300,001 rows; the tables' files say how many per element." in caveats(elements, rows, None, many)
    assert not any("Kendall" in s for s in explore(elements, "total").caveats)
