"""Tables for readers and files: units and digits of the vocabulary, intervals in brackets, plain numbers beside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from xfunc_core.analysis import agreement as agreed
from xfunc_core.analysis.agreement import MIN_EFFECTIVE, Agreement, Estimate
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairs import pair_by_id
from xfunc_core.data.query import Filter
from xfunc_core.errors import ConfigError
from xfunc_core.explore.compared import COMPARED
from xfunc_core.explore.exploration import explore
from xfunc_core.explore.selection import containing, kept, pair_names, queries_of
from xfunc_core.explore.statistics import STATISTICS
from xfunc_core.explore.tables import (
    PARTS,
    chemistry_table,
    element_table,
    furthest_table,
    number_table,
    overall_reasons,
    overall_table,
    overall_words,
    reason_table,
)
from xfunc_core.quantities import ENERGY, FORCE, STRESS, correlation_text

E = "energy"


@pytest.mark.parametrize(
    ("key", "estimate", "quantity", "text"),
    [
        ("pearson", Estimate(0.98765, 0.9, 0.99), ENERGY, "0.9877 (0.9000 to 0.9900)"),
        ("pearson", Estimate(-0.25), ENERGY, "−0.2500"),
        ("shift", Estimate(-0.0001, -1.5, 0.00004), ENERGY, "0.000 (−1.500 to 0.000)"),
        ("mae", Estimate(0.0189, 0.0157, 1.2), FORCE, "18.9 (15.7 to 1,200.0)"),
        ("rmse", Estimate(1.8351), STRESS, "1.835"),
        ("slope", Estimate(-2.0, -3.0, -1.0), ENERGY, "−2.000 (−3.000 to −1.000)"),
        ("spread", Estimate(), ENERGY, "–"),
    ],
)
def test_numbers_read_as_everywhere(key: str, estimate: Estimate, quantity, text: str) -> None:
    known = {"shift": Estimate(1.0)} | {key: estimate}
    assert STATISTICS[key].words(Agreement(10, 10, 10, **known), quantity) == text


def test_too_few_is_said_and_counts_have_no_interval() -> None:
    few = Agreement(2, 2)
    assert STATISTICS["pearson"].words(few, ENERGY) == STATISTICS["mae"].words(few, ENERGY) == "too few to say"
    assert STATISTICS["n"].words(Agreement(1234, 2), ENERGY) == "1,234"
    assert STATISTICS["shift"].title(ENERGY) == "Mean r²SCAN − PBE (eV/atom)" and STATISTICS["mae"].title(FORCE) == "MAE (meV/Å)"


def test_coefficients_have_the_same_colours_whatever_the_data() -> None:
    ends = {key: (s.middle - s.reach, s.middle + s.reach) for key, s in STATISTICS.items() if s.reach is not None}
    assert ends == dict.fromkeys(("pearson", "spearman", "kendall"), (-1.0, 1.0)) | {"slope": (0.5, 1.5)}


def test_tables_of_the_bundled_pairs(bundled_home) -> None:
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    found = explore(pairs, "force")
    x, y = found.rows.x, found.rows.y
    row = element_table(found, ["O"]).iloc[0]
    of_o = found.rows.element == 8
    assert (row["Element"], row["Components"]) == ("O", str(of_o.sum()))
    assert row["MAE (meV/Å)"].startswith(f"{1000 * np.abs(y - x)[of_o].mean():.1f} (")
    plain = number_table(found.by_element, COMPARED["force"], "element").loc["O"]
    assert plain["n"] == plain["n_ranked"] == of_o.sum() and plain["mae"] == pytest.approx(np.abs(y - x)[of_o].mean())
    assert plain["mae_low"] < plain["mae"] < plain["mae_high"]
    assert list(chemistry_table(found)["Chemistry"])[:2] == ["oxides", "fluorides"]
    angle = explore(pairs, "force_angle")
    table = overall_table([found, angle])
    assert table["N"].tolist() == [f"{len(x)} components", f"{len(angle.rows)} atoms"]
    assert table.loc[1, "Pearson r"] == "–" and table.loc[1, "Mean r²SCAN − PBE"].endswith(" °")
    median = element_table(angle, ["O"])["Median (°)"].iloc[0]
    assert median == f"{np.median(angle.rows.y[angle.rows.element == 8]):.1f}"
    assert math.isnan(angle.by_element["O"].pearson.value)


@pytest.mark.parametrize("key", ["total", "referenced", "force", "force_norm", "force_angle", "stress", "pressure"])
def test_every_interval_of_the_bundled_pairs_holds_its_value(key: str, bundled_home) -> None:
    """A single far crystal once moved the slope of the pressures of 3d metals out of its own interval."""
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    n = 0
    for attribution in COMPARED[key].attributions:
        found = explore(pairs, key, attribution=attribution)
        for one in (found.overall, *found.by_element.values(), *found.by_chemistry.values()):
            for estimate in (getattr(one, name) for name in agreed.STATISTICS):
                if estimate.has_interval:
                    n += 1
                    assert estimate.low <= estimate.value <= estimate.high
    assert n > 50


# --- which pairs ------------------------------------------------------------------------------


def test_a_text_may_be_in_the_ids_of_either_frame_and_numbers_must_be_of_both(make) -> None:
    pairs = make(
        (
            ["Na"],
            {E: -1.0, "forces": [[1.0, 0, 0]], "provenance": {"material_id": "left"}},
            {E: -3.0, "provenance": {"material_id": "other"}},
        ),
        (["Na"], {E: -1.0}, {E: -3.0, "forces": [[3.0, 0, 0]]}),
        (["Na", "Cl"], {E: -1.0}, {E: -3.0, "forces": None}),
    )
    asked = queries_of(pairs)
    assert kept(pairs, Filter(), asked) is None
    assert kept(pairs, Filter(text="left"), asked).tolist() == kept(pairs, Filter(text="other"), asked).tolist() == [True, False, False]
    assert kept(pairs, Filter(ranges=(("largest_force", None, 2.0),)), asked).tolist() == [True, False, False]
    assert kept(pairs, Filter(labels=("forces",)), asked).tolist() == [True, True, False]
    assert kept(pairs, Filter(chemical_system="Na-Cl"), asked).tolist() == [False, False, True]
    assert containing(pairs, []) is None and containing(pairs, ["Cl", "K"]).tolist() == [False, False, True]
    assert pair_names(pairs, np.array([2])) == ["ClNa · f2"]


def test_a_table_is_filtered_by_what_it_holds(make_table) -> None:
    table = make_table("m1,NaCl,-1,-2,20\nm2,KCl,-1,-3,30\nm3,Na2O,-1,-4,\n", ",volume_r2scan_per_atom")
    asked = queries_of(table)
    for wanted, rows in (
        (Filter(any_of=("Na",)), [0, 2]),
        (Filter(all_of=("Na", "Cl")), [0]),
        (Filter(only=("K", "Cl")), [1]),
        (Filter(without=("Cl",)), [2]),
        (Filter(chemical_system="O-Na"), [2]),
        (Filter(text="M2"), [1]),
        (Filter(ranges=(("energy_per_atom", -3.5, None),)), [0, 1]),
        (Filter(ranges=(("volume_per_atom", None, 25.0),)), [0]),
        (Filter(labels=("energy",)), [0, 1, 2]),
    ):
        assert np.flatnonzero(kept(table, wanted, asked)).tolist() == rows, wanted
    for wanted in (Filter(labels=("forces",)), Filter(hubbard_u=True), Filter(ranges=(("pressure", 0.0, None),))):
        with pytest.raises(ConfigError, match="A table of relaxed pairs knows nothing of"):
            kept(table, wanted, asked)


def test_the_furthest_rows_are_those_of_a_sort(bundled_home) -> None:
    root = bundled_home / "datasets"
    found = explore(pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan")), "force")
    table = furthest_table(found, 40)
    difference = found.rows.y - found.rows.x
    places = np.argsort(-np.abs(difference - np.median(difference)), kind="stable")[:40]
    np.testing.assert_array_equal(table.index, found.rows.pair[places])
    assert table["r²SCAN − PBE (eV/Å)"].tolist() == [f"{d:.3f}".replace("-", "−") for d in difference[places]]
    assert [f"{row.Formula} · {row.Id}" for row in table.itertuples()] == pair_names(found.source, found.rows.pair[places])
    angles = furthest_table(explore(found.source, "force_angle"), 3)
    assert list(angles.columns) == ["Formula", "Id", "Atom", "Angle between forces (°)"]
    assert furthest_table(explore(found.source, "force", keep=np.zeros(len(found.source), dtype=bool))).empty


def test_the_parts_of_a_table_are_the_whole(bundled_home) -> None:
    root = bundled_home / "datasets"
    found = explore(pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan")), "total")
    for make in (lambda keys: element_table(found, (), keys), lambda keys: chemistry_table(found, keys)):
        whole, parts = make(()), [make(keys) for keys in PARTS.values()]
        assert {c for part in parts for c in part.columns} == set(whole.columns)
        assert max(len(part.columns) for part in parts) == 6  # what 1400 pixels hold
        for part in parts:
            assert part.equals(whole[list(part.columns)])


def test_all_but_ranks_can_be_shown_before_them(bundled_home) -> None:
    root = bundled_home / "datasets"
    found = explore(pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan")), "referenced")
    first, then = overall_words(found, ranks=False), overall_words(found, ranks=True)
    assert [title for title in then if first[title] != then[title]] == ["Spearman ρ", "Kendall τ"]
    assert first["Kendall τ"] == "…"


@pytest.mark.parametrize(
    ("r", "text"),
    [(0.99996158, "0.99996"), (-0.99999999, "−0.99999999"), (1 - 1e-12, "1.0000"), (-1.0, "−1.0000"), (0.99994, "0.9999"), (0.5, "0.5000")],
)
def test_only_a_perfect_correlation_reads_as_one(r: float, text: str) -> None:
    assert correlation_text(r) == text


def test_ranks_of_moments_of_few_materials_are_those_of_scipy_and_have_no_interval(bundled_home: Path) -> None:
    """Most of the 324 moments are 0 in both functionals, so that ρ is nearer to 1 than τ, which counts the few pairs out of order."""
    root = bundled_home / "datasets"
    found = explore(pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan")), "magmom")
    x, y, one = found.rows.x, found.rows.y, found.overall
    assert one.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert one.kendall.value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert one.n_effective < MIN_EFFECTIVE["spearman"] and not one.spearman.has_interval and not one.kendall.has_interval
    words = {key: STATISTICS[key].words(one, found.rows.compared.quantity) for key in ("spearman", "kendall")}
    assert words == {"spearman": "0.99996", "kendall": "0.9976"}


def test_what_has_no_interval_says_why(bundled_home) -> None:
    few, flat = "No interval: 7 materials.", "Not defined: constant."
    agreed = {
        "O": Agreement(9, 7, 7.0, pearson=Estimate(0.5, why=few), slope=Estimate(1.0, why=few), mae=Estimate(0.1, 0.0, 0.2)),
        "Fe": Agreement(9, 9, 9.0, pearson=Estimate(why=flat), slope=Estimate(1.0, 0.9, 1.1)),
    }
    table = reason_table(agreed, COMPARED["total"], "Element")
    assert table.to_numpy().tolist() == [["O", "Pearson r, Slope", few], ["Fe", "Pearson r", flat]]
    assert list(table.columns) == ["Element", "Without", "Why"]
    assert reason_table(agreed, COMPARED["total"], "Element", ["slope"]).to_numpy().tolist() == [["O", "Slope", few]]
    root = bundled_home / "datasets"
    found = explore(pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan")), "total")
    object.__setattr__(found, "quick", agreed["O"])
    assert overall_reasons(found, ranks=False) == [f"Pearson r, Slope: {few}"]
