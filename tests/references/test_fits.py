"""Every scheme against what others publish, toy cases solved by hand, and closed forms; and the synthetic test of few frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from xfunc_core.elements import N_REFERENCED, SYMBOLS, Z_OF
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional
from xfunc_core.references.element_references import ElementReferences
from xfunc_core.references.priors import RidgeToPrior, Trainable, most_probable_strength
from xfunc_core.references.published import SILENT_HOLES, atomref, matpes_atoms, matpes_solids
from xfunc_core.references.schemes import SCHEMES, ReferenceFrames, Scheme, Status
from xfunc_core.references.solvers import triangle

ATOMS = {functional: matpes_atoms(functional) for functional in Functional}
GGA = atomref("mptrj", as_stored=True)
KNOWN = np.flatnonzero(np.isfinite(atomref("r2scan")))
TRUTH = np.nan_to_num(atomref("r2scan"))


def drawn(n: int, seed: int) -> np.ndarray:
    """Compositions of one to four of the 88 elements of MP-r²SCAN, one to four atoms of each, shape (n, 94)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, N_REFERENCED))
    for row in x:
        chosen = rng.choice(KNOWN, rng.integers(1, 5), replace=False)
        row[chosen] = rng.integers(1, 5, len(chosen))
    return x / x.sum(axis=1, keepdims=True)


def noisy(n: int, seed: int) -> ReferenceFrames:
    """Energies of chgnet's MP-r²SCAN table plus 0.3 eV/atom of noise."""
    x = drawn(n, seed)
    return ReferenceFrames(x, x @ TRUTH + np.random.default_rng(seed + 1000).normal(0, 0.3, n), w_gga=GGA, isolated_atoms=ATOMS)


def fit(scheme: Scheme, frames: ReferenceFrames) -> ElementReferences:
    return SCHEMES[scheme].fit(frames)


# --- what others fit --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [Scheme.LSTSQ, Scheme.LSTSQ_TOTAL, Scheme.ROBUST])
def test_table_of_chgnet_comes_back_from_data_made_with_it(scheme: Scheme) -> None:
    x = drawn(3000, 0)
    found = fit(scheme, ReferenceFrames(sparse.csr_matrix(x), x @ TRUTH, np.full(3000, 7)))
    assert found.rank == 88 and found.undetermined == 0
    np.testing.assert_allclose(found.energies[KNOWN], atomref("r2scan")[KNOWN], atol=1e-6)
    assert found.having(Status.UNKNOWN) == SILENT_HOLES["r2scan"]


@pytest.fixture
def toy(fractions) -> ReferenceFrames:
    """H₂, HLi and Li₂ with total energies −2, −6 and −4 eV: 5h + l = −10 and h + 5l = −14, so h = −1.5 and l = −2.5."""
    return ReferenceFrames(fractions({"H": 2}, {"H": 1, "Li": 1}, {"Li": 2}), np.array([-1.0, -3.0, -2.0]), np.full(3, 2))


@pytest.mark.parametrize("scheme", [Scheme.LSTSQ, Scheme.LSTSQ_TOTAL])
def test_average_of_mace_by_hand(toy, scheme: Scheme) -> None:
    assert fit(scheme, toy).energies[[0, 2]] == pytest.approx([-1.5, -2.5], abs=1e-12)


def test_estimate_of_mace_and_change_of_bias_of_deepmd_by_hand(toy) -> None:
    """Both add to the old references the least-squares solution of label − model on the numbers of atoms."""
    model = np.array([-7.0, -8.0, -9.5])
    w_gga = np.linspace(-3.0, -5.0, N_REFERENCED)
    frames = replace(toy, energy_per_atom=model + toy.energy_per_atom, model_energy=model, w_gga=w_gga)
    shift = fit(Scheme.RESIDUAL, frames).energies - w_gga
    assert shift[[0, 2]] == pytest.approx([-1.5, -2.5], abs=1e-12)
    assert shift[1] == pytest.approx(-2.0)  # helium, never seen: the mean shift


def test_estimate_of_mace_and_change_of_bias_of_deepmd_on_cells_of_different_size(fractions) -> None:
    """H₂ 3 eV and HLi₂ 4.5 eV below the model: h = −1.5 and l = −1.5. A third frame with scatter tells the weights apart."""
    model, w_gga = np.array([-7.0, -8.0]), np.full(N_REFERENCED, -4.0)
    cells = ({"H": 2}, {"H": 1, "Li": 2})
    frames = ReferenceFrames(fractions(*cells), model + np.array([-3 / 2, -4.5 / 3]), np.array([2, 3]), model, w_gga)
    assert fit(Scheme.RESIDUAL, frames).energies[[0, 2]] == pytest.approx([-5.5, -5.5], abs=1e-12)
    more = ReferenceFrames(fractions(*cells, {"H": 2, "Li": 4}), np.array([-1.5, -1.5, -2.5]), np.array([2, 3, 6]), np.zeros(3), w_gga)
    # per atom: l from the mean of −1.5 and −2.5 per atom of HLi₂; on total energies the cell of six atoms counts four times
    assert fit(Scheme.RESIDUAL, more).energies[[0, 2]] == pytest.approx([-5.5, -4 + (3 * -2.0 + 1.5) / 2])
    theirs = fit(Scheme.LSTSQ_TOTAL, more).energies[[0, 2]]
    assert theirs == pytest.approx([-1.5, (3 * -2.3 + 1.5) / 2])


def test_total_energies_weigh_a_cell_by_its_size(fractions) -> None:
    """Iron at −1 eV/atom in one atom and at −2 in three: Σ(E − n·w)² has its minimum at (1·1·1 + 3·3·2)/10."""
    frames = ReferenceFrames(fractions({"Fe": 1}, {"Fe": 1}), np.array([-1.0, -2.0]), np.array([1, 3]))
    assert fit(Scheme.LSTSQ_TOTAL, frames).energies[25] == pytest.approx(-1.9)
    assert fit(Scheme.LSTSQ, frames).energies[25] == pytest.approx(-1.5)


def test_ridge_takes_the_alpha_of_sevennet() -> None:
    frames = noisy(400, 3)
    reference = Ridge(alpha=0.1, fit_intercept=False).fit(frames.composition, frames.energy_per_atom)
    np.testing.assert_allclose(fit(Scheme.RIDGE, frames).energies, reference.coef_, atol=1e-8)


# --- looked up --------------------------------------------------------------------------------


def test_delta_gauge_is_the_shift_of_the_atoms_and_needs_no_frame() -> None:
    frames = ReferenceFrames(np.zeros((0, N_REFERENCED)), np.zeros(0), w_gga=GGA, isolated_atoms=ATOMS)
    found = fit(Scheme.DELTA_GAUGE, frames)
    assert found.energies[25] - GGA[25] == pytest.approx(-6.4454, abs=1e-4)  # iron: by hand from the MatPES atoms
    assert np.abs(found.energies - TRUTH)[KNOWN].mean() == pytest.approx(0.5016, abs=1e-3)  # eV/atom, of shifts down to −73
    assert found.having(Status.UNKNOWN) == ("Po", "At", "Rn", "Fr", "Ra")
    pbe = fit(Scheme.DELTA_GAUGE, replace(frames, functional=Functional.PBE))
    np.testing.assert_allclose(pbe.energies[KNOWN], GGA[KNOWN], atol=1e-14)


def test_atoms_that_came_with_the_data_come_first() -> None:
    own = np.full(N_REFERENCED, np.nan)
    own[7] = -1.9
    frames = ReferenceFrames(
        np.zeros((0, N_REFERENCED)), np.zeros(0), isolated_atoms=ATOMS, elemental_solids=matpes_solids(Functional.R2SCAN)
    )
    assert fit(Scheme.ISOLATED_ATOMS, frames).energies[7] == ATOMS[Functional.R2SCAN][7]
    found = fit(Scheme.ISOLATED_ATOMS, replace(frames, own_atoms=own))
    assert found.energies[7] == -1.9 and found.having(Status.PRIOR) == ("O",)
    assert fit(Scheme.ELEMENTAL_SOLIDS, frames).energies[7] == matpes_solids(Functional.R2SCAN)[7]
    assert not fit(Scheme.NONE, frames).energies.any()


@pytest.mark.parametrize(
    ("scheme", "missing"),
    [
        (Scheme.KEEP, "needs the pretrained model's references"),
        (Scheme.RESIDUAL, "the pretrained model's energies of these frames"),
        (Scheme.ISOLATED_ATOMS, "needs isolated-atom energies in the target functional"),
        (Scheme.ELEMENTAL_SOLIDS, "needs energies of the elemental solids"),
        (Scheme.DELTA_GAUGE, "isolated-atom energies in both functionals from one source"),
        (Scheme.RIDGE_TO_PRIOR, "needs a prior"),
        (Scheme.LSTSQ_TOTAL, "needs the number of atoms"),
    ],
)
def test_what_is_missing_is_said(fractions, scheme: Scheme, missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        fit(scheme, ReferenceFrames(fractions({"Na": 1}), np.array([-1.0])))


@pytest.mark.parametrize(
    "wrong", [{"composition": np.zeros((2, 3))}, {"energy_per_atom": np.zeros(3)}, {"model_energy": np.zeros(1)}, {"w_gga": np.zeros(89)}]
)
def test_arrays_that_do_not_belong_together_are_refused(fractions, wrong: dict) -> None:
    given = {"composition": fractions({"Na": 1}, {"K": 1}), "energy_per_atom": np.zeros(2)} | wrong
    with pytest.raises(ConfigError, match="shape"):
        ReferenceFrames(**given)


# --- how sure ---------------------------------------------------------------------------------


def test_standard_errors_are_those_of_ordinary_least_squares() -> None:
    frames = noisy(600, 5)
    x = frames.composition[:, KNOWN]
    w, squares, _, _ = np.linalg.lstsq(x, frames.energy_per_atom, rcond=None)
    expected = np.sqrt(squares[0] / (600 - 88) * np.diag(np.linalg.inv(x.T @ x)))
    found = fit(Scheme.LSTSQ, frames)
    np.testing.assert_allclose(found.uncertainty[KNOWN], expected, rtol=1e-8)
    assert np.isnan(found.uncertainty[Z_OF["Yb"] - 1])
    robust = fit(Scheme.ROBUST, replace(frames, w_gga=None))
    np.testing.assert_allclose(robust.uncertainty[KNOWN], expected, rtol=0.3)  # 95 % efficient on normal noise


def test_uncertainties_say_how_far_the_truth_is() -> None:
    for scheme, spread in ((Scheme.LSTSQ, 0.1), (Scheme.RIDGE_TO_PRIOR, 0.35)):
        found = [fit(scheme, noisy(800, seed)) for seed in range(6)]
        z = np.concatenate([(f.energies - TRUTH)[KNOWN] / f.uncertainty[KNOWN] for f in found])
        assert abs(z.std() - 1) < spread, scheme


def test_undetermined_elements_have_no_uncertainty_of_their_own(fractions) -> None:
    x = fractions(*[{"Na": 1, "Cl": 1}, {"Fe": 1}, {"Fe": 1, "O": 1}, {"O": 1}] * 3)
    found = fit(Scheme.LSTSQ, ReferenceFrames(x, np.random.default_rng(0).normal(-5, 1, 12)))
    assert {SYMBOLS[i] for i in np.flatnonzero(np.isfinite(found.uncertainty))} == {"Fe", "O"}


# --- drawn to a prior -------------------------------------------------------------------------


def test_strength_is_the_one_under_which_the_labels_are_most_probable() -> None:
    rng = np.random.default_rng(2)
    x = drawn(60, 4)
    y = x @ rng.normal(0, 0.8, N_REFERENCED) + rng.normal(0, 0.3, 60)
    found = most_probable_strength(triangle(x, y))

    def log_probability(strength: float) -> float:
        covariance = np.eye(60) + x @ x.T / strength
        scale = y @ np.linalg.solve(covariance, y) / 60
        return multivariate_normal(np.zeros(60), scale * covariance).logpdf(y)

    best = log_probability(found)
    assert all(log_probability(found * factor) < best for factor in (0.5, 0.9, 1.1, 2.0))


def test_ridge_to_prior_is_a_ridge_of_the_difference() -> None:
    frames = noisy(50, 6)
    prior = np.where(np.isfinite(frames.delta_gauge), frames.delta_gauge, 0.0)
    reference = Ridge(alpha=0.4, fit_intercept=False).fit(frames.composition, frames.energy_per_atom - frames.composition @ prior)
    found = RidgeToPrior(strength=0.4).fit(frames)
    np.testing.assert_allclose(found.energies[KNOWN], (prior + reference.coef_)[KNOWN], atol=1e-9)
    assert RidgeToPrior(strength=1e12).fit(frames).energies[KNOWN] == pytest.approx(prior[KNOWN], abs=1e-9)


def test_wrong_prior_is_given_up() -> None:
    frames = replace(noisy(3000, 7), prior=np.full(N_REFERENCED, 500.0))
    assert np.abs(fit(Scheme.RIDGE_TO_PRIOR, frames).energies - fit(Scheme.LSTSQ, frames).energies)[KNOWN].max() < 0.01


def test_network_is_taken_off_before_the_references_are_drawn_to_the_prior() -> None:
    frames = noisy(50, 8)
    network = np.random.default_rng(9).normal(0, 2, 50)
    with_network = replace(frames, energy_per_atom=frames.energy_per_atom + network, model_energy=frames.composition @ GGA + network)
    np.testing.assert_allclose(fit(Scheme.RIDGE_TO_PRIOR, with_network).energies, fit(Scheme.RIDGE_TO_PRIOR, frames).energies, atol=1e-9)


@pytest.mark.parametrize("n", [30, 100])
def test_with_few_frames_the_prior_brings_the_references_five_times_closer(n: int) -> None:
    """The synthetic test: mean error of w over the 88 elements, ten draws; a draw of 100 frames leaves a few elements unseen."""
    errors = {
        scheme: np.mean([np.abs(fit(scheme, noisy(n, seed)).energies - TRUTH)[KNOWN].mean() for seed in range(10)])
        for scheme in (Scheme.LSTSQ, Scheme.RIDGE_TO_PRIOR, Scheme.DELTA_GAUGE)
    }
    assert errors[Scheme.RIDGE_TO_PRIOR] < errors[Scheme.LSTSQ] / 5
    assert errors[Scheme.RIDGE_TO_PRIOR] < errors[Scheme.DELTA_GAUGE]  # and the frames are not ignored


# --- the rest ---------------------------------------------------------------------------------


def test_wrong_frames_hardly_move_the_robust_fit() -> None:
    frames = noisy(2000, 10)
    spoilt = frames.energy_per_atom.copy()
    spoilt[::20] += 30.0
    moved = {
        s: np.abs(fit(s, replace(frames, energy_per_atom=spoilt)).energies - TRUTH)[KNOWN].mean() for s in (Scheme.LSTSQ, Scheme.ROBUST)
    }
    assert moved[Scheme.ROBUST] < 0.1 < 0.5 < moved[Scheme.LSTSQ]


def test_trainable_starts_where_another_scheme_ends() -> None:
    frames = replace(noisy(200, 11), model_energy=drawn(200, 11) @ GGA)
    for start in (Scheme.KEEP, Scheme.LSTSQ, Scheme.RIDGE_TO_PRIOR):
        found = Trainable(SCHEMES[start]).fit(frames)
        np.testing.assert_array_equal(found.energies, fit(start, frames).energies)
        assert found.scheme is Scheme.TRAINABLE and found.source.endswith(f"trained from “{start.label}”")
        assert found.status == fit(start, frames).status


def test_unknown_elements_are_filled_by_a_prior_and_say_so() -> None:
    frames = replace(noisy(30, 12), model_energy=drawn(30, 12) @ GGA)
    plain, smooth = fit(Scheme.LSTSQ, frames), fit(Scheme.SMOOTH, frames)
    found = plain.filled(smooth)
    seen = frames.n_frames > 0
    np.testing.assert_array_equal(found.energies, np.where(seen, plain.energies, smooth.energies))
    assert Status.UNKNOWN not in found.status and found.source.endswith("unseen elements: The model's residual, smooth in Z")
    np.testing.assert_array_equal(smooth.filled(plain).energies, smooth.energies)
    assert smooth.filled(plain).source == smooth.source


def test_leak_is_marked_on_what_was_fitted_only() -> None:
    frames = replace(noisy(30, 13), leaky=True)
    assert fit(Scheme.LSTSQ, frames).leaky
    assert not fit(Scheme.DELTA_GAUGE, frames).leaky
