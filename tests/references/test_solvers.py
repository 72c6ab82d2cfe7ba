"""The one reduction and what is solved from it: numpy's minimum-norm least squares, scikit-learn, scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import least_squares
from sklearn.linear_model import Ridge

from xfunc_core.elements import N_REFERENCED, SYMBOLS, Z_OF
from xfunc_core.references.frames import composition_matrix
from xfunc_core.references.solvers import huber_fit, n_containing, triangle


def compositions(n: int, elements: int, seed: int) -> np.ndarray:
    """Random cells of one to four elements out of the first ones, shape (n, 94)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, N_REFERENCED))
    for row in x:
        chosen = rng.choice(elements, min(int(rng.integers(1, 5)), elements), replace=False)
        row[chosen] = rng.integers(1, 5, len(chosen))
    return x / x.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_solution_is_numpys_of_minimum_norm(n: int, elements: int, seed: int, is_sparse: bool) -> None:
    x = compositions(n, elements, seed)
    y = np.random.default_rng(seed).normal(-20, 10, n)
    w, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    reduced = triangle(sparse.csr_matrix(x) if is_sparse else x, y)
    assert reduced.rank == rank
    found = reduced.solve()
    np.testing.assert_allclose(found, w, atol=1e-8)
    np.testing.assert_allclose(x @ found, x @ w, atol=1e-8)
    assert reduced.residual_squares(found) == pytest.approx(np.square(y - x @ w).sum(), abs=1e-8)
    assert np.count_nonzero(found[n_containing(x) == 0]) == 0


def test_rank_deficient_sets_predict_new_frames_as_numpy_does(fractions) -> None:
    salts = [{"Na": 1, "Cl": 1}, {"Na": 2, "Cl": 2}, {"Ti": 1, "O": 2}, {"Fe": 1}, {"Fe": 2, "O": 3}, {"Na": 1, "Cl": 1, "Fe": 3}]
    x = fractions(*salts * 500)  # several blocks
    y = np.random.default_rng(0).normal(-30, 5, len(x))
    new = fractions({"Na": 1, "O": 2}, {"Cl": 1, "Fe": 1}, {"Ti": 3})
    w, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    reduced = triangle(sparse.csr_matrix(x), y)
    assert (reduced.rank, rank) == (4, 4)
    np.testing.assert_allclose(new @ reduced.solve(), new @ w, atol=1e-9)
    assert {SYMBOLS[i] for i in np.flatnonzero(reduced.open)} == {"Na", "Cl"}


def test_weights_multiply_rows_and_targets() -> None:
    x, rng = compositions(300, 30, 1), np.random.default_rng(2)
    y, n = rng.normal(-9, 2, 300), rng.integers(1, 60, 300)
    np.testing.assert_allclose(triangle(x, y, weight=n).solve(), np.linalg.lstsq(x * n[:, None], y * n, rcond=None)[0], atol=1e-9)


@pytest.mark.parametrize("alpha", [1e-6, 0.1, 30.0])
def test_ridge_is_that_of_scikit_learn(alpha: float) -> None:
    x = compositions(200, 40, 3)
    y = np.random.default_rng(4).normal(-20, 9, 200)
    reference = Ridge(alpha=alpha, fit_intercept=False, solver="svd").fit(x, y)
    np.testing.assert_allclose(triangle(x, y).solve(ridge=alpha), reference.coef_, atol=1e-8)


@pytest.mark.parametrize("wrong", [0.02, 0.3])
def test_robust_fit_is_that_of_scipy(wrong: float) -> None:
    x, rng = compositions(400, 12, 5), np.random.default_rng(6)
    y = x @ rng.uniform(-40, 0, N_REFERENCED) + rng.normal(0, 0.1, 400)
    y[rng.random(400) < wrong] += 7.0
    reduced = triangle(x, y)
    found, delta = huber_fit(x, y, reduced, delta=0.15)
    assert delta == 0.15
    reference = least_squares(lambda w: x[:, :12] @ w - y, np.zeros(12), loss="huber", f_scale=0.15, xtol=1e-15, ftol=1e-15, gtol=1e-12)
    np.testing.assert_allclose(found[:12], reference.x, atol=1e-5)  # how far scipy itself goes
    gradient = x.T @ np.clip(y - x @ found, -0.15, 0.15)
    assert np.abs(gradient).max() < 1e-8  # the condition of the minimum
    _, chosen = huber_fit(x, y, reduced)
    assert (
        1.345 * 0.1 * 0.9 < chosen < 1.345 * 0.1 * (1.2 if wrong < 0.1 else 2.5)
    )  # near the scatter without the wrong frames, which are 7 eV off


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 118), min_size=1, max_size=12), min_size=1, max_size=8))
def test_sparse_compositions_count_atoms(cells: list[list[int]]) -> None:
    x = composition_matrix(np.concatenate([np.array(cell, dtype="u1") for cell in cells]), np.array([len(cell) for cell in cells]))
    expected = np.zeros((len(cells), N_REFERENCED))
    for row, cell in zip(expected, cells, strict=True):
        for z in cell:
            if z <= N_REFERENCED:
                row[z - 1] += 1 / len(cell)
    np.testing.assert_allclose(x.toarray(), expected, rtol=1e-15)
    np.testing.assert_array_equal(n_containing(x), (expected > 0).sum(axis=0))


def test_real_compositions_are_those_of_the_dataset(xfunc_dft) -> None:
    x = composition_matrix(np.asarray(xfunc_dft.atom_array("numbers")), xfunc_dft.table["n_atoms"].to_numpy())
    np.testing.assert_allclose(x.toarray(), xfunc_dft.composition, rtol=1e-15)
    assert x[:, Z_OF["O"] - 1].nnz == xfunc_dft.info.elements["O"]
