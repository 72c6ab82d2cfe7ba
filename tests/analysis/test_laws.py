"""The laws of a sweep against made-up runs whose law is known, and numpy's own line."""

import numpy as np
import pandas as pd
import pytest

from xfunc_core.analysis.laws import law_table, scaling_laws
from xfunc_core.quantities import ENERGY, FORCE

SIZES = (100, 200, 400, 1000)


def sweep(amplitudes={"M1": (30.0, -0.6), "M4": (1.0, -0.3)}, sizes=SIZES, seeds=3, noise=0.02):  # noqa: B006
    rng = np.random.default_rng(1)
    rows = [
        {"method": m, "seed": seed, "size": n, "energy": a * n**slope * np.exp(rng.normal(0, noise)), "force": 0.1}
        for m, (a, slope) in amplitudes.items()
        for n in sizes
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_the_exponent_of_each_method_is_numpys_line_through_the_logarithms():
    runs = sweep()
    laws = scaling_laws(runs, ENERGY)
    for method, group in runs.groupby("method"):
        slope, intercept = np.polyfit(np.log10(group["size"]), np.log10(group["energy"]), 1)
        fit = laws.by_method[method].band.fit
        assert (fit.slope, fit.intercept_log10) == pytest.approx((slope, intercept))
        assert laws.by_method[method].n_runs == len(SIZES) * 3
        assert laws.by_method[method].to_json()["exponent"] == pytest.approx(slope)


def test_the_crossing_is_where_the_two_lines_meet():
    laws = scaling_laws(sweep(noise=0.0), ENERGY)
    assert laws.crossing.size == pytest.approx(30 ** (1 / 0.3))  # 30 N^-0.6 = N^-0.3
    assert any("meet at about N = 84,000" in s for s in laws.sentences(ENERGY))


def test_unfinished_runs_are_left_out():
    runs = sweep()
    runs.loc[runs["size"] == 1000, "energy"] = np.nan
    laws = scaling_laws(runs, ENERGY)
    assert laws.by_method["M4"].n_runs == 9
    assert laws.table["size"].max() == 400


def test_the_sentences_predict_the_largest_size_and_say_what_cannot_be_told():
    said = " ".join(scaling_laws(sweep(noise=0.0), ENERGY).sentences(ENERGY))
    at_1000 = ENERGY.error_with_unit(1000**-0.3)
    assert f"M4: the smaller sizes predict {at_1000} at N = 1,000; measured {at_1000}." in said
    assert "M4: 4 sizes are too few to tell a floor from a slope" in said


def test_a_floor_is_told_in_the_unit_of_errors():
    runs = sweep(sizes=tuple(100 * 3**k for k in range(8)), amplitudes={"M4": (10.0, -0.7)}, noise=0.005)
    runs["energy"] += 0.02
    laws = scaling_laws(runs, ENERGY)
    assert laws.by_method["M4"].to_json()["floor"]["value"] == pytest.approx(0.02, rel=0.1)
    assert any(s.startswith("M4: with endless data about") and "meV/atom" in s for s in laws.sentences(ENERGY))


def test_one_size_gives_no_law_but_a_reason():
    laws = scaling_laws(sweep(sizes=(100,)), ENERGY)
    assert laws.by_method["M4"].band is None
    assert laws.crossing is None
    assert any(s.startswith("M4: A power law needs runs at two training sizes") for s in laws.sentences(ENERGY))
    assert law_table(laws, ENERGY)["Exponent (95 % interval)"].tolist() == ["–", "–"]


def test_subsets_of_one_nominal_size_are_one_size():
    runs = sweep(seeds=2).assign(nominal_size=lambda t: t["size"])
    runs["size"] += np.tile([-3, 5], len(runs) // 2)  # whole materials: 97 and 105 frames instead of 100
    laws = scaling_laws(runs, ENERGY)
    assert sorted(laws.table["size"].unique()) == [101, 201, 401, 1001]
    assert laws.by_method["M4"].band.fit.n_sizes == 4
    assert not any("at every step" in s for s in laws.caveats)


def test_the_error_before_training_comes_along():
    runs = sweep().assign(energy_start=0.5)
    assert scaling_laws(runs, ENERGY).table["start"].tolist() == [0.5] * len(runs)
    assert scaling_laws(sweep(), ENERGY).table["start"].isna().all()


def test_laws_of_two_sizes_or_of_rising_errors_are_not_crossed():
    assert scaling_laws(sweep(sizes=(100, 200)), ENERGY).crossing is None
    assert scaling_laws(sweep(amplitudes={"M1": (30.0, -0.6), "M4": (0.1, 0.2)}), ENERGY).crossing is None


def test_nothing_finished_gives_nothing():
    runs = sweep()
    runs["energy"] = np.nan
    laws = scaling_laws(runs, ENERGY)
    assert (laws.by_method, laws.sentences(ENERGY)) == ({}, [])
    assert law_table(laws, ENERGY).empty


def test_the_table_names_method_largest_size_and_error_there():
    runs = sweep()
    row = law_table(scaling_laws(runs, ENERGY), ENERGY).set_index("Method").loc["M4 · transfer, refitted AtomRef"]
    m4 = runs[runs["method"] == "M4"]
    at_largest = m4[m4["size"] == 1000]["energy"].mean()
    slope, _ = np.polyfit(np.log10(m4["size"]), np.log10(m4["energy"]), 1)
    assert row["Largest N"] == "1,000"
    assert row["Test MAE there (meV/atom)"] == f"{1000 * at_largest:,.1f}"
    assert row["Exponent (95 % interval)"].startswith(f"−{-slope:.2f} (−")


def test_equal_errors_at_every_size_have_exponent_zero():
    assert scaling_laws(sweep(), FORCE).by_method["M4"].band.fit.slope == pytest.approx(0.0, abs=1e-12)
