"""The prior that is smooth in Z: against the textbook posterior, closed forms and real frames."""

from __future__ import annotations

import numpy as np
import pytest

from xfunc_core.data.splits import nested_subsets, split_by_material
from xfunc_core.references.schemes import SCHEMES, ReferenceFrames, Scheme
from xfunc_core.references.smooth import NOISE_EV, prior_covariance, smooth_posterior
from xfunc_core.references.solvers import triangle

Z = np.arange(1.0, 95.0)


@pytest.fixture(scope="module")
def dft_energies(xfunc_dft, fresh):
    """The bundled dataset, what the pretrained model says about it (eV/atom), and its references."""
    from xfunc_core.model.predict import predict
    from xfunc_core.model.samples import build_samples

    samples, left_out = build_samples(xfunc_dft, range(len(xfunc_dft)))
    assert not left_out
    model = fresh()
    return xfunc_dft, predict(model, samples).energy, model.references.numpy().copy()


def fit_smooth_shift(x: np.ndarray, residual: np.ndarray) -> np.ndarray:
    return smooth_posterior(triangle(x, residual))[0]


def compositions(n: int, elements: list[int], seed: int = 0) -> np.ndarray:
    """Binary compositions of the given atomic numbers, shape (n, 94)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 94))
    for row in x:
        row[rng.choice(elements, 2, replace=False) - 1] = 0.5
    return x


def test_the_fit_is_the_posterior_mean_of_a_gaussian_process() -> None:
    x = compositions(12, [1, 3, 8, 11, 17, 26])
    residual = np.random.default_rng(1).normal(-5.0, 3.0, len(x))
    k = prior_covariance()
    posterior = k @ x.T @ np.linalg.solve(x @ k @ x.T + NOISE_EV**2 * np.eye(len(x)), residual)
    shift, sigma = smooth_posterior(triangle(x, residual))
    np.testing.assert_allclose(shift, posterior, atol=1e-6)
    covariance = k - k @ x.T @ np.linalg.solve(x @ k @ x.T + NOISE_EV**2 * np.eye(len(x)), x @ k)
    np.testing.assert_allclose(sigma, np.sqrt(np.diag(covariance)), atol=1e-6)


def test_a_straight_line_in_z_is_carried_to_elements_never_seen() -> None:
    shift = -0.3 - 0.69 * Z  # the slope that the paper's references have
    x = compositions(40, [3, 8, 11, 17, 26, 38, 53])
    found = fit_smooth_shift(x, x @ shift)
    np.testing.assert_allclose(found[:60], shift[:60], atol=0.3)


def test_many_frames_overrule_the_prior() -> None:
    elements = [3, 8, 11, 17, 26]
    shift = np.zeros(94)
    shift[np.array(elements) - 1] = [5.0, -7.0, 3.0, 9.0, -2.0]  # as rough as can be
    x = compositions(3000, elements)
    found = fit_smooth_shift(x, x @ shift)
    np.testing.assert_allclose(found[np.array(elements) - 1], [5.0, -7.0, 3.0, 9.0, -2.0], atol=0.01)


def test_the_scheme_adds_the_shift_to_the_gga_references() -> None:
    x = compositions(20, [3, 8, 11, 17])
    energy, model, w_gga = np.linspace(-9, -5, 20), np.linspace(-3, -1, 20), np.linspace(-1, -7, 94)
    found = SCHEMES[Scheme.SMOOTH].fit(ReferenceFrames(x, energy, model_energy=model, w_gga=w_gga))
    np.testing.assert_allclose(found.energies, w_gga + fit_smooth_shift(x, energy - model))
    assert found.scheme is Scheme.SMOOTH
    assert (found.rank, found.fitted) == (4, ("Li", "O", "Na", "Cl"))


@pytest.mark.parametrize("size", [8, 16, 32])
def test_with_few_real_frames_it_beats_plain_least_squares_of_the_residual(dft_energies, size: int) -> None:
    dataset, model_energy, w_gga = dft_energies
    materials, x, energy = dataset.table["material_id"].to_numpy(), dataset.composition, dataset.energy_per_atom
    errors = {Scheme.RESIDUAL: [], Scheme.SMOOTH: []}
    for seed in range(5):
        split = split_by_material(materials, x, validation=0.15, test=0.15, seed=seed)
        [train] = nested_subsets(split.train, materials, x, [size], seed)
        for scheme, found in errors.items():
            w = SCHEMES[scheme].fit(ReferenceFrames(x[train], energy[train], model_energy=model_energy[train], w_gga=w_gga)).energies
            predicted = model_energy + x @ (w - w_gga)
            found.append(np.abs(energy - predicted)[split.test].mean())
    assert np.mean(errors[Scheme.SMOOTH]) < 0.5 * np.mean(errors[Scheme.RESIDUAL])
