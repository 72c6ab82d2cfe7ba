"""The rows of every quantity, of pairs whose numbers are known; what cannot be compared is counted, and nothing is a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from xfunc_core.analysis.groups import Attribution
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairs import PairingMethod, pair_by_id
from xfunc_core.errors import ConfigError
from xfunc_core.explore.compared import ANGLE_FLOOR, COMPARED, unavailable
from xfunc_core.explore.exploration import explore
from xfunc_core.explore.lacking import available, lacking, lacking_sentence
from xfunc_core.explore.tables import chemistry_table, element_table, number_table, overall_table
from xfunc_core.quantities import VOIGT
from xfunc_core.references.paired import PairedScheme

E = "energy"


def test_total_energies_are_per_atom_and_missing_ones_are_counted(make) -> None:
    pairs = make((["Na"], {E: -1.0}, {E: -3.0}), (["Na", "Cl"], {E: -7.0}, {E: -10.0}), (["K"], {E: -2.0}, {}), (["K", "K"], {}, {E: -2.0}))
    rows = explore(pairs, "total").rows
    np.testing.assert_allclose([rows.x, rows.y], [[-1.0, -3.5], [-3.0, -5.0]])
    assert rows.pair.tolist() == [0, 1]
    assert rows.left_out == {"pairs without both energies": 2}
    assert "Left out: 2 pairs without both energies." in explore(pairs, "total").caveats


def test_references_are_subtracted_and_frames_without_them_counted_by_element(make) -> None:
    frames = [
        (["Na"], {E: -1.0}, {E: -3.0}),
        (["Na", "Po"], {E: -7.0}, {E: -10.0}),
        (["Yb"], {E: -2.0}, {E: -4.0}),
        (["Yb", "Po"], {E: -2.0}, {E: -4.0}),
        (["Yb", "Na"], {E: -2.0}, {}),
    ]
    pairs = make(*frames)
    found = explore(pairs, "referenced", PairedScheme.ATOMREF)
    from xfunc_core.references.published import atomref

    np.testing.assert_allclose([found.rows.x, found.rows.y], [[-1.0 - atomref("mptrj")[10]], [-3.0 - atomref("r2scan")[10]]])
    assert found.rows.left_out == {"pairs without both energies": 1, "pairs with an element without a reference (Yb 2, Po 2)": 3}
    assert any("the energy scale of the data is not said, so they may not fit" in s for s in found.caveats)


def test_formation_energies_are_over_the_lowest_solid_of_each_functional(make) -> None:
    pairs = make(
        (["Na"], {E: -1.0}, {E: -3.0}),
        (["Na", "Na"], {E: -2.4}, {E: -5.8}),  # the lower one in PBE, the higher one in r²SCAN
        (["Cl", "Cl"], {E: -4.0}, {E: -8.0}),
        (["Na", "Cl"], {E: -7.0}, {E: -10.0}),
        (["Na", "O"], {E: -7.0}, {E: -10.0}),
    )
    found = explore(pairs, "formation")
    np.testing.assert_allclose(found.rows.x, [-1.0 + 1.2, 0.0, -3.5 + (1.2 + 2.0) / 2])
    np.testing.assert_allclose(found.rows.y, [0.0, -2.9 + 3.0, -5.0 + (3.0 + 4.0) / 2])
    assert found.rows.pair.tolist() == [0, 1, 3]
    assert found.rows.left_out == {
        "pairs with an element whose solid is not in the data (O 1)": 1,
        "pairs that are the elemental solids counted from, 0 by definition": 1,
    }
    assert any("2 elements have one" in s for s in found.caveats)
    assert "Left out: 1 pair that is an elemental solid counted from, 0 by definition." in found.caveats


def test_formation_energies_of_a_table_are_its_own(make_table) -> None:
    table = make_table("m1,NaCl,-1,-2,-0.5,-0.75\nm2,KCl,-1,-2,,-1\n", ",hf_pbe,hf_r2scan")
    found = explore(table, "formation")
    assert (found.rows.x.tolist(), found.rows.y.tolist()) == ([-0.5], [-0.75])
    assert found.rows.left_out == {"pairs without both formation energies": 1}


def test_deviations_within_a_material_need_no_reference(make) -> None:
    provenance = [{"provenance": {"material_id": m}} for m in ("a", "a", "a", "b", "b", "c")]
    symbols = [["Na"], ["Na", "Na"], ["Na", "Cl"], ["K"], ["K"], ["Li"]]
    pbe, r2scan = [-1.0, -3.0, -9.0, -4.0, -5.0, -1.0], [-11.0, -21.0, -9.0, -4.0, -4.5, -1.0]
    pairs = make(*((s, {E: a, **p}, {E: b, **p}) for s, a, b, p in zip(symbols, pbe, r2scan, provenance, strict=True)))
    rows = explore(pairs, "within_material").rows
    np.testing.assert_allclose(rows.x, [0.25, -0.25, 0.5, -0.5])
    np.testing.assert_allclose(rows.y, [-0.25, 0.25, 0.25, -0.25])
    assert rows.pair.tolist() == [0, 1, 3, 4]  # of material a the other composition is alone
    assert rows.left_out == {"pairs alone in their material and composition": 2}
    kept = explore(pairs, "within_material", keep=np.array([1, 0, 0, 1, 1, 0], dtype=bool)).rows
    assert kept.pair.tolist() == [3, 4]  # means are those of the pairs that are kept


def test_what_an_exact_fit_leaves_is_zero_and_no_data(bundled_home) -> None:
    """63 elements, 63 pairs: rounding leaves 1e-15 eV/atom, of which nothing may be ranked or correlated."""
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan"))
    found = explore(pairs, "referenced")
    assert len(found.rows) == 63 and not found.rows.x.any() and not found.rows.y.any()
    assert (found.overall.mae.value, found.overall.rmse.value, found.overall.shift.value) == (0, 0, 0)
    assert not any(getattr(found.overall, name).known for name in ("pearson", "spearman", "kendall", "slope"))


def test_only_rounding_counts_as_zero(make) -> None:
    frames = [(["Na"], -1.3), (["Na", "Na", "Na", "Cl"], -7.1), (["Cl", "Cl"], -4.7), (["K"], -1.1 / 3)]
    pairs = make(*((symbols, {E: energy}, {E: 3 * energy + 1e-9}) for symbols, energy in frames))
    rows = explore(pairs, "referenced").rows
    fractions = np.array([[1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]])
    for found, energy in ((rows.x, pairs.energy_pbe), (rows.y, pairs.energy_r2scan)):
        left = energy - fractions @ np.linalg.lstsq(fractions, energy)[0]
        np.testing.assert_allclose(found, left, atol=1e-13)
        assert np.abs(left[:3]).min() > 1e-3 and found[3] == 0  # potassium is alone
    close = make(*((["Na"], {E: e}, {E: e}) for e in (-20.0, -20.0 + 1e-9, -20.0 + 1e-7)))
    np.testing.assert_allclose(explore(close, "referenced").rows.x, np.array([-101e-9, -98e-9, 199e-9]) / 3, rtol=1e-4)
    same = make(*((["Na"], {E: 0.1, "provenance": {"material_id": "a"}}, {E: 0.7, "provenance": {"material_id": "a"}}) for _ in range(3)))
    within = explore(same, "within_material").rows
    assert len(within) == 3 and not within.x.any() and not within.y.any()


FORCES = {"forces": [[0.0, 3.0, 4.0], [0.0, -3.0, -4.0]]}
TURNED = {"forces": [[0.0, -8.0, 6.0], [0.0, 0.0, 0.01]]}


def test_forces_are_compared_by_component_magnitude_and_angle(make) -> None:
    pairs = make((["Na", "Cl"], {E: -1.0, **FORCES}, {E: -1.0, **TURNED}), (["Na", "Cl"], {E: -1.0}, {E: -1.0, "forces": None}))
    force = explore(pairs, "force").rows
    np.testing.assert_allclose(force.x, [0, 3, 4, 0, -3, -4])
    np.testing.assert_allclose(force.y, [0, -8, 6, 0, 0, 0.01])
    assert force.element.tolist() == [11] * 3 + [17] * 3 and force.pair.tolist() == [0] * 6
    assert force.left_out == {"pairs without forces on both sides": 1}
    norm = explore(pairs, "force_norm").rows
    np.testing.assert_allclose([norm.x, norm.y], [[5, 5], [10, 0.01]])
    angle = explore(pairs, "force_angle").rows
    np.testing.assert_allclose(angle.y, [90.0])
    assert np.isnan(angle.x).all() and angle.one_sided and angle.element.tolist() == [11]
    assert angle.left_out[f"atoms with a force of at most {ANGLE_FLOOR:g} eV/Å in one of the functionals"] == 1


@pytest.mark.parametrize("turn", [0.0, 1e-6, 30.0, 179.9999, 180.0])
def test_angles_are_exact_near_none_and_opposite(turn: float, make) -> None:
    from xfunc_core.explore.atom_rows import force_angle

    radians = np.radians(turn)
    pairs = make((["Na"], {E: 0.0, "forces": [[2.0, 0.0, 0.0]]}, {E: 0.0, "forces": [[3 * np.cos(radians), 3 * np.sin(radians), 0.0]]}))
    np.testing.assert_allclose(force_angle(pairs, np.arange(1)).y, [turn], atol=1e-8)


def test_stress_is_tension_positive_and_pressure_compression_positive(make) -> None:
    kbar = [10.0, 20.0, 30.0, 4.0, 5.0, 6.0]
    pairs = make((["Na"], {E: 0.0, "stress": kbar}, {E: 0.0, "stress": [2 * s for s in kbar]}), (["K"], {E: 0.0, "stress": None}, {E: 0.0}))
    stress = explore(pairs, "stress").rows
    assert len(VOIGT) == 6 and stress.pair.tolist() == [0] * 6 and stress.element is None
    np.testing.assert_allclose(sorted(stress.x), [-3.0, -2.0, -1.0, -0.6, -0.5, -0.4])
    pressure = explore(pairs, "pressure").rows
    np.testing.assert_allclose([pressure.x, pressure.y], [[2.0], [4.0]])
    assert stress.left_out == pressure.left_out == {"pairs without both stresses": 1}


def test_moments_are_absolute(make) -> None:
    pairs = make((["Fe", "Fe"], {E: 0.0, "magmoms": [2.0, -2.5]}, {E: 0.0, "magmoms": [-2.25, 3.0]}))
    rows = explore(pairs, "magmom").rows
    np.testing.assert_allclose([rows.x, rows.y], [[2.0, 2.5], [2.25, 3.0]])


def test_volumes_are_those_of_relaxed_pairs(make, make_table) -> None:
    pairs = make((["Na", "Na"], {E: -1.0, "length": 4.0}, {E: -1.0, "length": 3.0}), how=PairingMethod.BY_MATERIAL)
    rows = explore(pairs, "volume").rows
    np.testing.assert_allclose([rows.x, rows.y], [[32.0], [13.5]])
    assert unavailable(pairs, "force") == "compared atom by atom only: pair by the same id for that"
    table = make_table("m1,NaCl,-1,-2,20,19\nm2,KCl,-1,-2,,18\n", ",volume_pbe_per_atom,volume_r2scan_per_atom")
    found = explore(table, "volume").rows
    assert (found.x.tolist(), found.y.tolist(), found.left_out) == ([20.0], [19.0], {"pairs without both volumes": 1})


def test_many_atoms_are_a_random_part_that_is_said(make, monkeypatch: pytest.MonkeyPatch) -> None:
    from xfunc_core.explore import atom_rows

    pairs = make(*((["Na", "Cl"], {E: 0.0, "forces": [[i, 0, 0], [-i, 0, 0]]}, {E: 0.0}) for i in range(10)))
    monkeypatch.setattr(atom_rows, "MOST_ATOMS", 9)
    found = explore(pairs, "force_norm")
    assert len(found.rows) == 8 and len(set(found.rows.pair)) == 4 and (np.diff(found.rows.pair) >= 0).all()
    np.testing.assert_allclose(found.rows.x, found.rows.pair)
    assert "A random 4 of 10 pairs stand for all: together they have more than 9 atoms." in found.caveats


def test_many_stress_components_are_a_random_part_that_is_said(make, monkeypatch: pytest.MonkeyPatch) -> None:
    from xfunc_core.explore import frame_rows

    pairs = make(*((["Na"], {E: 0.0, "stress": [10.0 * i] * 6}, {E: 0.0}) for i in range(10)))
    monkeypatch.setattr(frame_rows, "MOST_COMPONENTS", 25)
    found = explore(pairs, "stress")
    assert len(found.rows) == 24 and len(set(found.rows.pair)) == 4
    np.testing.assert_allclose(np.abs(found.rows.x), found.rows.pair)  # kbar to GPa
    assert "A random 4 of 10 pairs stand for all: together they have more than 25 components." in found.caveats


# --- what there is ----------------------------------------------------------------------------


def test_available_quantities_are_those_with_labels(bundled_home, real_pairs) -> None:
    root = bundled_home / "datasets"
    elements = pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan"))
    assert available(lacking(elements)) == [key for key in COMPARED if key not in ("volume", "formation", "within_material", "force_angle")]
    ours = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    assert "magmom" not in available(lacking(ours)) and "force_angle" in available(lacking(ours)) and "formation" in available(lacking(ours))
    assert available(lacking(real_pairs)) == ["total", "referenced", "formation"]


def test_what_is_lacking_says_why(make, make_table) -> None:
    twice = make((["Na"], {E: -1.0}, {E: -3.0}), (["Na", "Cl"], {E: -4.0}, {E: -5.0}))
    assert lacking(twice) == {
        "formation": "no compound whose elemental solids are in the data",
        "within_material": "one pair per material and composition",
        "force_angle": "no atom with forces above 0.05 eV/Å in both functionals",
        "magmom": "no labels",
        "volume": "frames paired by id have one geometry: pair by material or by structure, or import a table with volumes",
    }
    table = lacking(make_table("m1,NaCl,-1,-2\nm1,NaCl,-1.5,-2\n"))
    assert set(table) == set(COMPARED) - {"total", "referenced", "within_material"}
    assert (
        lacking_sentence({"magmom": "no labels", "force": "no labels", "volume": "why"})
        == "Not in these pairs: magnetic moment, force components (no labels); volume (why)."
    )
    assert lacking_sentence({}) == ""


def test_labels_of_both_functionals_that_no_pair_shares_are_lacking(make, make_table) -> None:
    none = {"forces": None, "stress": None}
    split = make((["Na"], {E: -1.0}, {E: -3.0} | none), (["Na"], {E: -1.0} | none, {E: -3.0}))
    assert split.pbe.info.labelled["forces"] and split.r2scan.info.labelled["stress"]
    reasons = lacking(split)
    assert {key: reasons[key] for key in ("force", "force_norm", "stress", "pressure")} == {
        **dict.fromkeys(("force", "force_norm"), "no pair has forces on both sides"),
        **dict.fromkeys(("stress", "pressure"), "no pair has stresses on both sides"),
    }
    assert set(available(lacking(split))) == {key for key in COMPARED if len(explore(split, key).rows)} - {"volume"}
    volumes = ",volume_per_atom_pbe,volume_per_atom_r2scan"
    assert lacking(make_table("m1,NaCl,-1,-2,20,\nm2,NaCl,-1,-2,,20\n", volumes))["volume"] == "no pair has both volumes"
    assert "volume" in available(lacking(make_table("m1,NaCl,-1,-2,20,21\n", volumes)))


def test_what_is_not_lacking_has_rows_and_what_is_has_none(bundled_home, real_pairs) -> None:
    root = bundled_home / "datasets"
    sources = [pair_by_id(*(open_dataset(root, f"{name}-{f}") for f in ("pbe", "r2scan"))) for name in ("matpes-elements", "xfunc-dft")]
    for source in (*sources, real_pairs):
        empty = {key for key in COMPARED if not len(explore(source, key).rows)}
        assert empty - {"volume"} == set(lacking(source)) - {"volume"}  # the volumes of one geometry are rows, too, but the same


def test_magnetic_moments_and_angles_of_real_pairs_equal_numpy(bundled_home) -> None:
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "matpes-elements-pbe"), open_dataset(root, "matpes-elements-r2scan"))
    a, b = (
        np.abs(np.concatenate(parts))
        for parts in zip(
            *(
                (pairs.pbe.atom_array("magmoms")[pairs.pbe.atoms_of(i)], pairs.r2scan.atom_array("magmoms")[pairs.r2scan.atoms_of(j)])
                for i, j in zip(pairs.rows_pbe, pairs.rows_r2scan, strict=True)
            ),
            strict=True,
        )
    )
    found = explore(pairs, "magmom").overall
    assert found.n == len(a)
    assert found.pearson.value == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.mae.value == pytest.approx(np.abs(b - a).mean())
    pairs = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    angle = explore(pairs, "force_angle")
    assert angle.overall.shift.value == pytest.approx(angle.rows.y.mean())
    assert angle.overall.rmse.value == pytest.approx(np.sqrt(np.square(angle.rows.y).mean()))
    assert np.isnan([angle.overall.pearson.value, angle.overall.slope.value]).all()


def test_medians_are_those_of_each_group_by_its_weights(bundled_home) -> None:
    root = bundled_home / "datasets"
    pairs = pair_by_id(open_dataset(root, "xfunc-dft-pbe"), open_dataset(root, "xfunc-dft-r2scan"))
    angle = explore(pairs, "force_angle")
    assert angle.medians["O"] == pytest.approx(np.median(angle.rows.y[angle.rows.element == 8]))
    oxides = angle.chemistry_groups.rows_of("oxides")
    assert len(oxides) > 5 and angle.medians["oxides"] == pytest.approx(np.median(angle.rows.y[oxides]))
    assert chemistry_table(angle).set_index("Chemistry").loc["oxides", "Median (°)"] == f"{np.median(angle.rows.y[oxides]):.1f}"
    weighted = explore(pairs, "force_angle", attribution=Attribution.WEIGHTED)
    share, median = pairs.composition[weighted.rows.pair, 7], weighted.medians["O"]
    assert share[weighted.rows.y < median].sum() < share.sum() / 2 <= share[weighted.rows.y <= median].sum()


@pytest.mark.parametrize(
    ("key", "attribution", "phrase"),
    [
        ("charm", None, "'charm' cannot be compared: use one of total"),
        ("total", Attribution.OWN, "Total energy cannot be attributed to 'own': use contains or weighted"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(key: str, attribution: Attribution | None, phrase: str, make) -> None:
    with pytest.raises(ConfigError, match=phrase):
        explore(make((["Na"], {E: -1.0}, {E: -3.0})), key, attribution=attribution)


def test_attributions_weigh_rows(make) -> None:
    chance = np.random.default_rng(0)
    pairs = make(
        *(
            (
                ["Na", "Na", "Cl"] if i % 2 else ["Na", "Cl"],
                {E: e, "provenance": {"material_id": f"m{i}"}},
                {E: e + d, "provenance": {"material_id": f"m{i}"}},
            )
            for i, (e, d) in enumerate(chance.normal(size=(12, 2)))
        )
    )
    rows = explore(pairs, "total").rows
    weight = np.array([2 / 3 if i % 2 else 1 / 2 for i in range(12)])
    weighted = explore(pairs, "total", attribution=Attribution.WEIGHTED).by_element["Na"]
    assert weighted.shift.value == pytest.approx(np.average(rows.y - rows.x, weights=weight))
    assert explore(pairs, "total").by_element["Na"].shift.value == pytest.approx((rows.y - rows.x).mean())


# --- nothing, one, two, constant, all missing -------------------------------------------------


def every_text(found) -> str:
    tables = [element_table(found), chemistry_table(found), overall_table([found])]
    return " ".join([*found.caveats, *(str(cell) for table in tables for cell in table.to_numpy().ravel())])


DEGENERATE = {
    "one pair": [(["Na"], {E: -1.0}, {E: -3.0})],
    "one element": [(["Na"], {E: -1.0 - i}, {E: -3.0 + i}) for i in range(6)],
    "two pairs": [(["Na"], {E: -1.0}, {E: -3.0}), (["Cl"], {E: -2.0}, {E: -3.0})],
    "constant": [(["Na", "Cl"], {E: -2.0}, {E: -3.0})] * 7,
    "no energies": [(["Na"], {}, {}), (["Cl"], {}, {})],
}
ABSURD = [(["Na"], {E: -1e308}, {E: 1e308}), *[(["Na"], {E: -1.0 * i}, {E: 2.0}) for i in range(6)]]


@pytest.mark.parametrize("frames", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("key", COMPARED)
@pytest.mark.filterwarnings("error")
def test_degenerate_pairs_give_words_and_no_nan(frames: list, key: str, make) -> None:
    pairs = make(*frames)
    if key == "referenced" and not np.isfinite(pairs.energy_pbe).any():
        with pytest.raises(ConfigError, match="no reference energies can be fitted"):
            explore(pairs, key)
        return
    found = explore(pairs, key)
    text = every_text(found).lower()
    assert "nan" not in text.replace("nacl", "") and "inf" not in text
    assert len(found.rows) or any("can be compared in this" in s or "have one geometry" in s for s in found.caveats)
    number_table(found.by_element, COMPARED[key], "element")


@pytest.mark.parametrize("key", ["total", "referenced", "formation", "within_material"])
@pytest.mark.filterwarnings("error")
def test_absurd_energies_give_no_infinity(key: str, make) -> None:
    text = every_text(explore(make(*ABSURD), key)).lower()
    assert "nan" not in text.replace("nacl", "") and "inf" not in text


@pytest.mark.parametrize("key", COMPARED)
def test_no_pairs_at_all_are_a_sentence(key: str, make) -> None:
    pairs = make((["Na"], {E: -1.0}, {E: -3.0}))
    nothing = pair_by_id(pairs.pbe, pairs.r2scan)
    object.__setattr__(nothing, "rows_pbe", nothing.rows_pbe[:0])
    object.__setattr__(nothing, "rows_r2scan", nothing.rows_r2scan[:0])
    if key == "referenced":
        with pytest.raises(ConfigError, match="no reference energies can be fitted"):
            explore(nothing, key)
        return
    found = explore(nothing, key)
    assert len(found.rows) == 0 and found.overall.too_few and not found.by_element
    assert found.caveats and "nan" not in every_text(found).lower()


def test_a_filter_that_leaves_nothing_is_said(make) -> None:
    found = explore(make((["Na"], {E: -1.0}, {E: -3.0})), "total", keep=np.zeros(1, dtype=bool))
    assert found.caveats == ["No pair passes the filter: widen it."]
