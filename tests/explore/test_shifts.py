"""Shifts of elements against closed forms and chgnet's tables; intervals cover what they should; the paper's figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xfunc_core.data.library import open_dataset
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pairs import pair_by_id
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.explore.paper_figures import paper_figures
from xfunc_core.explore.shifts import element_shifts, scale_sentence, shift_table
from xfunc_core.references.paired import PairedScheme, paired_references

E = "energy"


def test_the_shift_of_the_real_pairs_is_a_least_squares_fit_with_chgnets_beside_it(real_pairs: PairTable) -> None:
    found = element_shifts(real_pairs, paired_references(real_pairs, PairedScheme.LSTSQ))
    present = np.flatnonzero(real_pairs.composition.any(axis=0))
    w = np.linalg.lstsq(real_pairs.composition[:, present], real_pairs.energy_r2scan - real_pairs.energy_pbe, rcond=None)[0]
    assert len(found) == 81
    np.testing.assert_allclose(found["shift"], w, atol=1e-8)
    np.testing.assert_array_equal(found["n_materials"], (real_pairs.composition[:, present] > 0).sum(axis=0))
    known = found["low"].notna()
    assert ((found["low"] < found["shift"]) & (found["shift"] < found["high"]))[known].all()
    assert not known[["Xe", "Tc", "Pu"]].any() and known[["O", "Fe", "U"]].all()  # 1, 2 and 2 materials
    published = {"H": -0.026, "Li": -0.490, "O": -0.738, "Fe": -6.02, "W": -39.4, "U": -69.89, "Pu": -73.29}  # the paper's reference notes
    for symbol, value in published.items():
        assert found.loc[symbol, "published"] == pytest.approx(value, abs=0.05 if abs(value) > 10 else 0.006)


def test_looked_up_references_have_no_interval(real_pairs: PairTable) -> None:
    found = element_shifts(real_pairs, paired_references(real_pairs, PairedScheme.ATOMREF))
    np.testing.assert_array_equal(found["shift"], found["published"])
    assert found["low"].isna().all()
    assert set(found["why"]) == {"looked up, not fitted"}


def test_what_is_known_in_sum_only_is_left_blank_and_reads_as_missing(make) -> None:
    pairs = make(*((["Na", "Cl"], {E: -1.0 * i}, {E: -2.0 * i}) for i in range(6)), *((["K"], {E: -1.0}, {E: -1.5}) for _ in range(6)))
    found = element_shifts(pairs, paired_references(pairs, PairedScheme.LSTSQ))
    assert found.index.tolist() == ["Na", "Cl", "K"]
    assert found["shift"].isna().tolist() == [True, True, False]
    assert found.loc["K", "shift"] == pytest.approx(-0.5)
    assert found["low"].isna().all()  # six equal materials do not tell how sure it is
    texts = shift_table(found)["Shift r²SCAN − PBE (eV/atom)"].tolist()
    assert texts == ["–", "–", "−0.500"]
    assert shift_table(found)["Why no interval"].tolist() == ["known in sum with other elements only"] * 2 + ["nothing varies between the pairs"]


def test_every_shift_of_the_real_pairs_has_an_interval_or_a_reason(real_pairs: PairTable) -> None:
    found = element_shifts(real_pairs, paired_references(real_pairs, PairedScheme.LSTSQ))
    assert ((found["why"] == "") == found[["shift", "low", "high"]].notna().all(axis=1)).all()
    assert ((found["why"] == "fewer than 5 materials") == (found["n_materials"] < 5)).all()


def test_an_element_that_few_materials_tell_from_another_says_so(make_table) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 12)
    lines = [f"m{i},KCl,-1,{-2 + x:.6f}" for i, x in enumerate(noise[:9])]
    for more, why in ((1, "one material alone tells it from other elements"), (2, "too few materials tell it from other elements")):
        others = [f"o{i},K2Cl,-1,{-2 + x:.6f}" for i, x in enumerate(noise[9 : 9 + more])]
        pairs = make_table("\n".join(lines + others))
        found = element_shifts(pairs, paired_references(pairs, PairedScheme.LSTSQ))
        assert found["why"].tolist() == [why, why] and found["low"].isna().all()


def test_intervals_cover_the_true_shifts_of_rare_and_of_frequent_elements(make_table) -> None:
    chance = np.random.default_rng(0)
    symbols = np.array(["O", "Na", "Cl", "K", "Fe", "Cu", "Zn", "Ag"])
    truth = dict(zip(symbols, chance.normal(-1, 2, 8), strict=True))
    share = 1 / np.arange(1, 9)
    inside: dict[bool, list[bool]] = {True: [], False: []}
    for _ in range(100):
        lines = []
        for i in range(45):
            of_one = chance.choice(symbols, chance.integers(1, 4), replace=False, p=share / share.sum()).tolist()
            shift = sum(truth[s] for s in of_one) / len(of_one) + float(chance.normal(0, 0.1))
            lines.append(f"m{i},{''.join(of_one)},-3.0,{-3.0 + shift:.6f}")
        pairs = make_table("\n".join(lines))
        found = element_shifts(pairs, paired_references(pairs, PairedScheme.LSTSQ))
        for symbol, row in found[found["low"].notna()].iterrows():
            assert row["n_materials"] >= 5 and row["low"] < row["shift"] < row["high"]
            inside[row["n_materials"] < 12].append(row["low"] <= truth[str(symbol)] <= row["high"])
    for covered in inside.values():
        error = 2 * np.sqrt(0.05 * 0.95 / len(covered))
        assert len(covered) > 150 and 0.93 - error < np.mean(covered) < 0.97 + error


def test_no_common_energies_give_no_shifts(make) -> None:
    pairs = make((["Na"], {E: -1.0}, {}))
    assert element_shifts(pairs, paired_references(pairs, PairedScheme.ATOMREF)).empty


# --- the paper's figures ----------------------------------------------------------------------


def test_both_figures_of_the_real_pairs(real_pairs: PairTable) -> None:
    found = paper_figures(real_pairs, paired_references(real_pairs, PairedScheme.ATOMREF))
    assert (round(found.before.pearson.value, 3), round(found.after.pearson.value, 3)) == (0.070, 0.953)
    edges, counts = found.histogram(40)
    difference = real_pairs.energy_r2scan - real_pairs.energy_pbe
    assert counts.sum() == 1392 and (edges[0], edges[-1]) == (difference.min(), difference.max())
    table = found.importances.table
    assert found.importances.n == 1392 and table["impurity"].sum() == pytest.approx(1.0)
    n = real_pairs.frames["n_atoms"].to_numpy()
    assert table.loc["O", "atoms"] == pytest.approx((real_pairs.composition[:, Z_OF["O"] - 1] * n).sum())


def test_too_few_materials_for_a_tree_are_a_sentence_and_no_pairs_an_empty_histogram(make) -> None:
    pairs = make((["Na"], {E: -1.0}, {}), (["Na"], {E: -1.0}, {E: -2.0}))
    found = paper_figures(pairs, paired_references(pairs, PairedScheme.ATOMREF))
    assert found.histogram()[1].sum() == 1
    with pytest.raises(DataError, match="materials"):
        _ = found.importances
    nothing = paper_figures(pairs, paired_references(pairs, PairedScheme.ATOMREF), keep=np.zeros(2, dtype=bool))
    assert len(nothing.histogram()[0]) == 0


def test_shifts_beside_chgnets_are_told_from_another_energy_scale(bundled_home, make_table) -> None:
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    assert f"of these data is {pairs.pbe.info.energy_scale};" in scale_sentence(pairs)
    table = make_table("a,NaCl,-3,-9\n")
    assert "of these data is not said;" in scale_sentence(table)
    table.info = replace(table.info, energy_scale="a code of ours")
    assert "of these data is a code of ours;" in scale_sentence(table)
    table.info = replace(table.info, energy_scale="VASP, PAW of the Materials Project")
    assert scale_sentence(table) == ""
