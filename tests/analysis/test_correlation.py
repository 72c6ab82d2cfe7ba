"""Correlations against scipy.stats, the published numbers and hand-made cases."""

import math

import numpy as np
import pytest
from scipy import stats

from xfunc_core.analysis.correlation import correlate_components, correlate_energies, subtract_references
from xfunc_core.analysis.metrics import pearson
from xfunc_core.errors import ConfigError, DataError


def oxides(n=12, seed=0):
    """Oxides of four metals with known references and a little noise."""
    rng = np.random.default_rng(seed)
    composition = np.zeros((n, 94))
    metals = np.array([11, 19, 25, 81])[np.arange(n) % 4]
    fraction = rng.uniform(0.2, 0.8, n)
    composition[np.arange(n), metals] = fraction
    composition[:, 7] = 1 - fraction
    references = rng.normal(-5, 1, 94), rng.normal(-30, 10, 94)
    bonding = rng.normal(-2, 0.5, n)
    pbe, r2scan = (composition @ w + bonding + rng.normal(0, 0.02, n) for w in references)
    return pbe, r2scan, composition, np.array([f"m{i}" for i in range(n)]), references


def test_materials_project_energies_correlate_only_after_referencing(materials_project):
    pbe, r2scan, composition, ids, references = materials_project
    got = correlate_energies(pbe, r2scan, composition, ids, *references)
    assert got.n_frames == got.n_materials == 1392 and got.n_left_out == 0
    assert got.pearson_raw == pytest.approx(0.070, abs=5e-4)
    assert got.pearson_referenced == pytest.approx(0.953, abs=5e-4)
    assert got.by_element.loc["Fe", "shift"] == pytest.approx(-6.02, abs=5e-3)


def test_least_squares_references_correlate_better_still(materials_project):
    pbe, r2scan, composition, ids, _ = materials_project
    fitted = [np.linalg.lstsq(composition, e, rcond=None)[0] for e in (pbe, r2scan)]
    assert correlate_energies(pbe, r2scan, composition, ids, *fitted).pearson_referenced == pytest.approx(0.988, abs=5e-4)


def test_numbers_agree_with_scipy():
    pbe, r2scan, composition, ids, references = oxides(40)
    got = correlate_energies(pbe, r2scan, composition, ids, *references)
    assert got.pearson_raw == pytest.approx(stats.pearsonr(pbe, r2scan).statistic)
    assert got.pearson_referenced == pytest.approx(
        stats.pearsonr(pbe - composition @ references[0], r2scan - composition @ references[1]).statistic
    )
    difference = r2scan - pbe
    assert got.raw.mean_shift == pytest.approx(difference.mean())
    assert got.raw.rmse == pytest.approx(difference.std())
    assert got.raw.mae == pytest.approx(np.abs(difference - difference.mean()).mean())
    iron = composition[:, 25] > 0
    assert got.by_element.loc["Fe", "pearson_raw"] == pytest.approx(stats.pearsonr(pbe[iron], r2scan[iron]).statistic)
    assert got.by_element.loc["Fe", "mean_shift"] == pytest.approx(difference[iron].mean())
    assert got.by_element.loc["Fe", "shift"] == pytest.approx(references[1][25] - references[0][25])


def test_frames_without_an_energy_are_left_out_and_counted():
    pbe, r2scan, composition, ids, references = oxides()
    pbe[0], r2scan[3] = math.nan, math.nan
    got = correlate_energies(pbe, r2scan, composition, ids, *references)
    assert (got.n_frames, got.n_left_out, got.raw.n) == (10, 2, 10)
    assert np.flatnonzero(np.isnan(got.pbe)).tolist() == np.flatnonzero(np.isnan(got.r2scan_referenced)).tolist() == [0, 3]


def test_an_element_without_reference_is_unknown_not_zero():
    pbe, r2scan, composition, ids, references = oxides()
    references[1][25] = math.nan
    got = correlate_energies(pbe, r2scan, composition, ids, *references)
    assert math.isnan(got.by_element.loc["Fe", "shift"])
    assert got.n_unreferenced == 3 and got.referenced.n == 9 and got.raw.n == 12
    assert np.isnan(got.r2scan_referenced[composition[:, 25] > 0]).all()


def test_too_few_materials_give_no_coefficient():
    pbe, r2scan, composition, ids, references = oxides(16)
    ids[composition[:, 25] > 0] = "one material"
    got = correlate_energies(pbe, r2scan, composition, ids, *references, min_materials=4).by_element
    assert (got.loc["Fe", "n_frames"], got.loc["Fe", "n_materials"]) == (4, 1)
    assert math.isnan(got.loc["Fe", "pearson_raw"]) and math.isnan(got.loc["Fe", "pearson_referenced"])
    assert math.isfinite(got.loc["Mg", "pearson_raw"])
    assert "H" not in got.index


def test_without_references_there_is_only_the_raw_correlation():
    got = correlate_energies(*oxides()[:4])
    assert got.referenced is None and got.pbe_referenced is None and math.isnan(got.pearson_referenced)
    assert got.by_element["shift"].isna().all()


def test_no_frames_at_all():
    got = correlate_energies([math.nan], [1.0], np.eye(94)[:1], ["a"])
    assert (got.n_frames, got.n_materials, got.n_left_out) == (0, 0, 1)
    assert math.isnan(got.pearson_raw) and got.by_element.empty


def test_bad_input_is_refused_in_a_sentence():
    pbe, r2scan, composition, ids, references = oxides()
    with pytest.raises(ConfigError, match="one functional only"):
        correlate_energies(pbe, r2scan, composition, ids, references[0])
    with pytest.raises(DataError, match="not of the same frames"):
        correlate_energies(pbe[1:], r2scan, composition, ids)
    with pytest.raises(DataError, match="material ids"):
        correlate_energies(pbe, r2scan, composition, ids[1:])
    with pytest.raises(DataError, match="References have the shape"):
        correlate_energies(pbe, r2scan, composition, ids, references[0][:5], references[1][:5])


def test_components_agree_with_scipy():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(50, 3))
    b = 0.9 * a + rng.normal(0, 0.1, a.shape)
    b[0, 0] = math.nan
    got = correlate_components(a, b)
    line = stats.linregress(a.ravel()[1:], b.ravel()[1:])
    assert got.n == 149
    assert (got.pearson, got.slope) == pytest.approx((line.rvalue, line.slope))
    assert got.mae == pytest.approx(np.nanmean(np.abs(b - a)))
    assert got.rmse == pytest.approx(np.sqrt(np.nanmean((b - a) ** 2)))


def test_constant_components_have_no_coefficient():
    got = correlate_components([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert math.isnan(got.pearson) and math.isnan(got.slope) and got.mae == pytest.approx(2.0)
    assert correlate_components([], []).n == 0
    assert math.isnan(pearson([1.0], [2.0]))


def test_references_are_subtracted_per_atom():
    composition = np.zeros((2, 94))
    composition[0, [0, 7]] = 2 / 3, 1 / 3
    composition[1, 85] = 1.0
    references = np.full(94, math.nan)
    references[[0, 7]] = -3.0, -6.0
    got = subtract_references(np.array([-5.0, -1.0]), composition, references)
    assert got[0] == pytest.approx(-1.0) and math.isnan(got[1])
