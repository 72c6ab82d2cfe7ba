"""Importances against scikit-learn's own on the same rows, and on the public pairs of the Materials Project."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import root_mean_squared_error
from sklearn.tree import DecisionTreeRegressor

from xfunc_core.analysis import importances
from xfunc_core.analysis.importances import element_importances
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError

from .conftest import DATA


def mixtures(n=400, seed=0):
    """Compositions of H, O and Fe whose difference follows the fraction of Fe alone."""
    fractions = np.zeros((n, 94))
    fractions[:, [0, 7, 25]] = np.random.default_rng(seed).dirichlet([1, 1, 1], n)
    return fractions, np.where(fractions[:, 25] > 0.4, 0.3, -0.1)


def test_the_element_that_decides_has_all_the_importance():
    found = element_importances(*mixtures())
    assert list(found.table.index) == ["H", "O", "Fe"] and list(found.table["z"]) == [1, 8, 26]
    assert found.table.loc["Fe", "impurity"] == pytest.approx(1.0)
    assert found.table.loc[["H", "O"], "permutation"].tolist() == [0.0, 0.0]
    assert found.table.loc["Fe", "permutation"] > 5 * found.table.loc["Fe", "permutation_std"] > 0
    assert (found.n, found.n_used, found.n_held_out) == (400, 400, 80)
    assert found.rmse_held_out < 0.2 * found.std_held_out


def test_impurities_are_those_of_scikit_learn_over_the_atoms():
    fractions, difference = mixtures()
    difference += fractions[:, 7] ** 2
    n_atoms = np.random.default_rng(1).integers(1, 9, 400)
    table = element_importances(fractions, difference, n_atoms=n_atoms, seed=3).table
    tree = DecisionTreeRegressor(random_state=3).fit(fractions[:, [0, 7, 25]], difference)
    assert table["impurity"].to_numpy() == pytest.approx(tree.feature_importances_)
    assert table["atoms"].to_numpy() == pytest.approx((fractions * n_atoms[:, None]).sum(axis=0)[[0, 7, 25]])
    assert table["per_atom"].to_numpy() == pytest.approx(tree.feature_importances_ / table["atoms"].to_numpy())
    alone = element_importances(fractions, difference).table
    assert alone["atoms"].sum() == pytest.approx(400)


def test_one_seed_gives_one_answer():
    fractions, difference = mixtures()
    difference += fractions[:, 7] ** 2
    first, again, other = (element_importances(fractions, difference, seed=seed).table for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["permutation"], other["permutation"])


def test_materials_are_held_out_whole():
    """Every material is 20 equal rows: a tree that saw some of them would know the rest to the digit."""
    fractions, _ = mixtures(100)
    noise = np.random.default_rng(5).normal(size=100)
    materials = np.repeat(np.arange(100), 20)
    found = element_importances(fractions[materials], noise[materials], materials)
    assert found.n_held_out == 400 and found.rmse_held_out > 0.5 * found.std_held_out
    assert element_importances(fractions[materials], noise[materials]).rmse_held_out < 0.1


def test_of_very_many_rows_some_are_drawn(monkeypatch):
    monkeypatch.setattr(importances, "MAX_ROWS", 150)
    fractions, difference = mixtures()
    difference[:10] = np.nan
    found = element_importances(fractions, difference)
    assert (found.n, found.n_used, found.n_held_out) == (390, 150, 30)


def test_too_few_materials_are_refused_in_a_sentence():
    fractions, difference = mixtures()
    with pytest.raises(DataError, match="of 50 materials, and there are 7"):
        element_importances(fractions, difference, np.arange(400) % 7)
    with pytest.raises(DataError, match="there are 0"):
        element_importances(fractions, np.full(400, np.nan))
    with pytest.raises(DataError, match="one for each"):
        element_importances(fractions, difference, np.arange(3))


def test_the_metals_of_the_paper_stand_out_in_public_pairs(materials_project):
    pairs = pd.read_csv(DATA / "mp_gga_r2scan_pairs.csv")
    composition = materials_project[2]
    difference = (pairs["hf_gga"] - pairs["hf_r2scan"]).to_numpy()
    found = element_importances(composition, difference)
    often = found.table[found.table["n"] >= 10]
    first = often.sort_values("per_atom", ascending=False).index[:6]
    assert set(first) >= {"V", "Cr", "Mn", "Mo", "W"}
    assert found.rmse_held_out < 0.75 * found.std_held_out
    tree = DecisionTreeRegressor(random_state=0).fit(composition[:, [SYMBOLS.index(s) for s in found.table.index]], difference)
    assert found.table["impurity"].to_numpy() == pytest.approx(tree.feature_importances_)
    assert root_mean_squared_error(difference, tree.predict(composition[:, found.table["z"] - 1])) < 0.02
