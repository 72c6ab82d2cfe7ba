"""Reference schemes against closed forms, scikit-learn and chgnet's own fit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.splits import split_by_material
from xfunc_core.elements import N_REFERENCED, Z_OF
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional
from xfunc_core.references.published import matpes_atoms, matpes_solids
from xfunc_core.references.schemes import SCHEMES, ElementReferences, ReferenceFrames, Scheme, Status
from xfunc_core.references.solvers import triangle

PRESENT = np.array([Z_OF[s] - 1 for s in ("H", "Li", "O", "Fe", "W", "Pu")])


@pytest.fixture(scope="module")
def synthetic() -> tuple[np.ndarray, np.ndarray]:
    """Compositions of 40 frames of six elements, and reference energies down to −80 eV/atom."""
    rng = np.random.default_rng(1)
    x = np.zeros((40, N_REFERENCED))
    x[:, PRESENT] = rng.dirichlet(np.ones(len(PRESENT)), 40)
    w = np.zeros(N_REFERENCED)
    w[PRESENT] = rng.uniform(-80, 0, len(PRESENT))
    return x, w


def fit(scheme: Scheme, x: np.ndarray, energy: np.ndarray, model: np.ndarray, w_gga: np.ndarray, source: str = "s") -> ElementReferences:
    """Any scheme, with everything it may need; cells of two atoms."""
    atoms = {f: matpes_atoms(f) for f in Functional}
    frames = ReferenceFrames(
        x, energy, np.full(len(x), 2), model, w_gga, atoms, elemental_solids=matpes_solids(Functional.R2SCAN), source=source
    )
    return SCHEMES[scheme].fit(frames)


def fit_mean_shift(*given: np.ndarray) -> ElementReferences:
    return fit(Scheme.MEAN_SHIFT, *given)


def fit_residual(*given: np.ndarray) -> ElementReferences:
    return fit(Scheme.RESIDUAL, *given)


@pytest.fixture(scope="module")
def w_gga() -> np.ndarray:
    return np.random.default_rng(2).uniform(-10, 0, N_REFERENCED)


def fit_lstsq(x: np.ndarray, energy_per_atom: np.ndarray) -> ElementReferences:
    return SCHEMES[Scheme.LSTSQ].fit(ReferenceFrames(x, energy_per_atom))


# --- least squares ----------------------------------------------------------------------------


def test_lstsq_recovers_the_references_that_made_the_energies(synthetic) -> None:
    x, w = synthetic
    found = fit_lstsq(x, x @ w)
    np.testing.assert_allclose(found.energies, w, atol=1e-10)  # 80 eV × float64 rounding × condition of a few tens
    assert found.rank == len(PRESENT)
    assert found.undetermined == 0
    assert found.fitted == ("H", "Li", "O", "Fe", "W", "Pu")
    np.testing.assert_allclose(found.energy(x), x @ w, atol=1e-10)


def test_lstsq_agrees_with_scikit_learn_on_noisy_energies(synthetic) -> None:
    x, w = synthetic
    energy = x @ w + np.random.default_rng(3).normal(0, 0.3, len(x))
    reference = LinearRegression(fit_intercept=False).fit(x[:, PRESENT], energy)
    np.testing.assert_allclose(fit_lstsq(x, energy).energies[PRESENT], reference.coef_, atol=1e-9)


@pytest.fixture(scope="module")
def chgnets_fit() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What chgnet 0.4.2 fits to atoms of each element, shape (F, 94), and energies per atom."""
    import torch
    from chgnet.model.composition_model import AtomRef

    def fitted(counts: np.ndarray, energy: np.ndarray) -> np.ndarray:
        atoms = [SimpleNamespace(atomic_number=torch.tensor(np.repeat(np.arange(1, 95), row.astype(int)))) for row in counts]
        model = AtomRef(is_intensive=True)
        model.fit(atoms, energy.tolist())
        return model.fc.weight.detach().numpy().ravel().astype(float)

    return fitted


def test_lstsq_is_what_chgnet_fits_to_well_spread_compositions(chgnets_fit) -> None:
    rng = np.random.default_rng(7)
    counts = np.zeros((60, N_REFERENCED))
    counts[:, PRESENT] = rng.integers(0, 6, (60, len(PRESENT)))
    counts[:, 0] += 1
    x = counts / counts.sum(axis=1, keepdims=True)
    energy = x @ rng.uniform(-10, 0, N_REFERENCED) + rng.normal(0, 0.1, 60)
    # chgnet solves the normal equations in float32: 10 eV × 6e-8 × a condition of x of about 6, squared, is 2e-5.
    np.testing.assert_allclose(fit_lstsq(x, energy).energies, chgnets_fit(counts, energy), atol=1e-4)


def test_lstsq_fits_real_frames_that_chgnets_normal_equations_cannot(few: Dataset, chgnets_fit) -> None:
    x, energy = few.composition, few.energy_per_atom
    theirs = chgnets_fit(np.round(x * few.table["n_atoms"].to_numpy()[:, None]), energy)
    found = fit_lstsq(x, energy)
    assert found.undetermined > 0  # the reason: chgnet inverts the rounding noise of what is undetermined
    reference = LinearRegression(fit_intercept=False).fit(x, energy).predict(x)
    np.testing.assert_allclose(found.energy(x), reference, atol=1e-9)
    assert np.abs(energy - found.energy(x)).mean() < np.abs(energy - x @ theirs).mean()


def test_fixed_ratio_determines_only_the_sum(fractions) -> None:
    x = fractions(*[{"Na": 1, "Cl": 1}] * 3)
    found = fit_lstsq(x, np.array([-3.0, -3.2, -3.4]))
    na, cl = found.energies[[Z_OF["Na"] - 1, Z_OF["Cl"] - 1]]
    assert (na + cl) / 2 == pytest.approx(-3.2)
    assert na == pytest.approx(cl)  # minimum norm: what cannot be told apart is shared evenly
    assert (found.rank, found.undetermined, found.fitted) == (1, 1, ("Na", "Cl"))
    assert np.count_nonzero(found.energies) == 2


@pytest.mark.parametrize(
    "fitter",
    [
        fit_lstsq,
        lambda x, e: fit_mean_shift(x, e, np.zeros(len(e)), np.zeros(94)),
        lambda x, e: fit_residual(x, e, np.zeros(len(e)), np.zeros(94)),
    ],
)
def test_frames_without_energy_are_left_out(fractions, fitter) -> None:
    x = fractions({"Na": 1}, {"Cl": 1}, {"K": 1})
    found = fitter(x, np.array([-1.0, -1.0, math.nan]))
    assert found.fitted == ("Na", "Cl")
    np.testing.assert_allclose(found.energies[[Z_OF["Na"] - 1, Z_OF["Cl"] - 1]], -1.0)


@pytest.mark.parametrize("scheme", [scheme for scheme in Scheme if scheme.is_fitted])
def test_without_any_energy_nothing_can_be_fitted(fractions, scheme: Scheme) -> None:
    x = fractions({"Na": 1}, {"Cl": 1})
    with pytest.raises(ConfigError, match="choose a dataset with energies"):
        fit(scheme, x, np.full(2, math.nan), np.zeros(2), np.zeros(N_REFERENCED))


# --- the model's own references ---------------------------------------------------------------


def test_keep_changes_nothing_and_needs_no_energy(synthetic, w_gga) -> None:
    x, _ = synthetic
    found = fit(Scheme.KEEP, x, np.full(len(x), math.nan), np.zeros(len(x)), w_gga)
    np.testing.assert_array_equal(found.energies, w_gga)
    assert (found.rank, found.undetermined) == (0, 0)
    found.energies[0] = 99.0
    assert w_gga[0] != 99.0  # a copy


def test_mean_shift_moves_all_elements_by_the_mean_error(synthetic, w_gga) -> None:
    x, _ = synthetic
    model = x @ w_gga
    error = np.random.default_rng(4).normal(-5, 1, len(x))
    found = fit_mean_shift(x, model + error, model, w_gga)
    np.testing.assert_allclose(found.energies - w_gga, error.mean(), atol=1e-12)
    assert found.undetermined == 0


def test_residual_of_a_perfect_network_is_the_shift_of_its_references(synthetic, w_gga) -> None:
    x, w = synthetic
    network = np.random.default_rng(5).normal(0, 1, len(x))
    found = fit_residual(x, x @ w + network, x @ w_gga + network, w_gga)
    np.testing.assert_allclose(found.energies[PRESENT], w[PRESENT], atol=1e-10)


def test_residual_with_a_network_of_zero_is_least_squares(synthetic, w_gga) -> None:
    x, w = synthetic
    energy = x @ w + np.random.default_rng(6).normal(0, 0.3, len(x))
    found = fit_residual(x, energy, x @ w_gga, w_gga)
    np.testing.assert_allclose(found.energies[PRESENT], fit_lstsq(x, energy).energies[PRESENT], atol=1e-9)


def test_residual_gives_an_element_without_data_the_mean_shift(synthetic, w_gga) -> None:
    x, w = synthetic
    energy, model = x @ w, x @ w_gga
    found = fit_residual(x, energy, model, w_gga)
    absent = np.setdiff1d(np.arange(N_REFERENCED), PRESENT)
    np.testing.assert_allclose((found.energies - w_gga)[absent], (energy - model).mean(), atol=1e-10)


def test_residual_stays_nearest_to_the_mean_shift_where_frames_leave_it_open(fractions) -> None:
    x = fractions(*[{"Na": 1, "Cl": 1}] * 2)
    found = fit_residual(x, np.array([-4.0, -6.0]), np.array([-1.0, -3.0]), np.zeros(N_REFERENCED))
    np.testing.assert_allclose(found.energies, -3.0)  # both elements, and every other one, by the mean
    assert found.undetermined == 1


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_scheme_says_who_it_is_and_survives_json(synthetic, w_gga, scheme: Scheme) -> None:
    x, w = synthetic
    found = fit(scheme, x, x @ w + np.random.default_rng(8).normal(0, 0.1, len(x)), x @ w_gga, w_gga, "40 frames")
    assert found.scheme is scheme is SCHEMES[scheme].key
    assert SCHEMES[scheme].name == scheme.value and SCHEMES[scheme].label and SCHEMES[scheme].sentence.endswith(".")
    assert np.isfinite(found.energies).all()
    assert ("40 frames" in found.source) == scheme.is_fitted
    assert found.external == (scheme in (Scheme.ISOLATED_ATOMS, Scheme.ELEMENTAL_SOLIDS, Scheme.DELTA_GAUGE, Scheme.RIDGE_TO_PRIOR))
    again = ElementReferences.from_json(json.loads(json.dumps(found.to_json())))
    for name in ("energies", "n_frames", "uncertainty"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))  # to the last bit
    for name in ("scheme", "rank", "source", "undetermined", "status", "external", "leaky"):
        assert getattr(again, name) == getattr(found, name)


def test_references_of_an_older_run_are_read(synthetic) -> None:
    x, w = synthetic
    new = fit_lstsq(x, x @ w).to_json()
    old = {name: new[name] for name in ("scheme", "source", "rank", "energies", "n_frames")}
    found = ElementReferences.from_json(old)
    assert found.having(Status.FITTED) == ("H", "Li", "O", "Fe", "W", "Pu")
    assert len(found.having(Status.UNKNOWN)) == 88  # 0 eV, of which nothing was known
    assert np.isnan(found.uncertainty).all() and not found.external and not found.leaky
    smooth = ElementReferences.from_json(old | {"scheme": "residual-smooth"})
    assert len(smooth.having(Status.PRIOR)) == 88


# --- what they are for ------------------------------------------------------------------------


@pytest.mark.usefixtures("one_thread")
def test_fitted_references_bring_another_codes_energies_within_reach(xfunc_dft: Dataset, fresh: Callable) -> None:
    from xfunc_core.model.predict import predict
    from xfunc_core.model.samples import build_samples

    split = split_by_material(xfunc_dft.table["material_id"], xfunc_dft.composition, validation=0.15, test=0.15, seed=0)
    model = fresh()
    w = model.references.numpy()
    energy = {
        part: predict(model, build_samples(xfunc_dft, rows)[0]).energy for part, rows in (("train", split.train), ("test", split.test))
    }
    error = {}
    for scheme in (Scheme.KEEP, Scheme.MEAN_SHIFT, Scheme.RESIDUAL):
        found = fit(scheme, xfunc_dft.composition[split.train], xfunc_dft.energy_per_atom[split.train], energy["train"], w)
        predicted = energy["test"] + xfunc_dft.composition[split.test] @ (found.energies - w)
        error[scheme] = np.abs(predicted - xfunc_dft.energy_per_atom[split.test]).mean()
    assert error[Scheme.KEEP] > 1.0  # eV/atom: GPAW counts from other atoms than VASP
    assert error[Scheme.RESIDUAL] < 0.2 * error[Scheme.KEEP]
    assert error[Scheme.RESIDUAL] < error[Scheme.MEAN_SHIFT] < error[Scheme.KEEP]


def test_open_elements_are_those_the_null_space_reaches(fractions) -> None:
    salt = {"Na": 1, "Cl": 1}
    assert open_symbols(fractions(salt, {"Li": 1, "F": 1}, {"Li": 2, "F": 1})) == {"Na", "Cl"}
    assert open_symbols(fractions(salt, {"Na": 1})) == set()
    assert open_symbols(fractions({"Hf": 1, "Os": 1}, {"Hf": 2, "Os": 2}, {"O": 1})) == {"Hf", "Os"}


def open_symbols(x: np.ndarray) -> set[str]:
    from xfunc_core.elements import SYMBOLS

    return {SYMBOLS[i] for i in np.flatnonzero(triangle(x, np.zeros(len(x))).open)}


def test_every_scheme_of_the_docs_is_there_and_every_scheme_is_in_the_docs() -> None:
    """The table of docs/references.md, in its order; the thirteen schemes of the issue, the smooth one, and tables that are brought along."""
    text = (Path(__file__).parents[2] / "docs" / "references.md").read_text(encoding="utf-8")
    table = text.split("| `--references` / `--scheme` |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `([a-z-]+)`", table, re.M)
    assert named == [scheme.value for scheme in Scheme]
    assert set(Scheme) - set(SCHEMES) == {Scheme.TABLE}
    assert len(SCHEMES) == 13 + 1
