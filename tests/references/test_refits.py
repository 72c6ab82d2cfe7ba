"""Refits on resampled materials and errors on materials left out: coverage, values by hand, and the spread against theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from xfunc_core.elements import N_REFERENCED
from xfunc_core.references import refits as module
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.refits import errors_of, held_out_errors, n_materials_with, refits, take
from xfunc_core.references.schemes import SCHEMES, Scheme

LSTSQ, SHIFT = SCHEMES[Scheme.LSTSQ], SCHEMES[Scheme.MEAN_SHIFT]


def made(n: int, noise: float, seed: int = 0, elements: int = 5) -> tuple[ReferenceFrames, np.ndarray]:
    """Frames whose energies are x·w + noise, and w."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, N_REFERENCED))
    x[:, :elements] = rng.dirichlet(np.ones(elements), n)
    w = np.where(np.arange(N_REFERENCED) < elements, rng.uniform(-20, 0, N_REFERENCED), 0.0)
    energy = x @ w + rng.normal(0, noise, n)
    return ReferenceFrames(sparse.csr_matrix(x), energy, n_atoms=np.full(n, 2), model_energy=np.zeros(n), w_gga=np.zeros(N_REFERENCED)), w


# --- refits -----------------------------------------------------------------------------------


def test_spread_over_refits_is_the_standard_error() -> None:
    frames, _ = made(400, 0.3)
    found = refits([LSTSQ], frames, np.arange(400), 300, seed=1)
    assert found.shape == (300, 1, N_REFERENCED)
    x = frames.composition.toarray()[:, :5]
    theory = 0.3 * np.sqrt(np.diag(np.linalg.inv(x.T @ x)))
    np.testing.assert_allclose(found[:, 0, :5].std(axis=0), theory, rtol=0.2)  # 300 draws: 4 %; noise known to 3.5 %
    np.testing.assert_array_equal(found[:, 0, 5:], 0.0)


def test_materials_move_as_one() -> None:
    frames, _ = made(400, 0.3)
    one_each = refits([SHIFT], frames, np.arange(400), 200)[:, 0, 0].std()
    four_alike = take(frames, np.repeat(np.arange(100), 4))
    clustered = refits([SHIFT], four_alike, np.repeat(np.arange(100), 4), 200)[:, 0, 0].std()
    apart = refits([SHIFT], four_alike, np.arange(400), 200)[:, 0, 0].std()
    assert clustered == pytest.approx(2 * one_each, rel=0.3)  # a quarter of the independent frames
    assert apart == pytest.approx(clustered / 2, rel=0.3)


def test_refits_are_those_of_the_drawn_frames_and_repeat_by_seed() -> None:
    frames, _ = made(30, 0.1)
    found = refits([LSTSQ, SHIFT], frames, np.arange(30), 5, seed=3)
    np.testing.assert_array_equal(found, refits([LSTSQ, SHIFT], frames, np.arange(30), 5, seed=3))
    assert not np.array_equal(found, refits([LSTSQ, SHIFT], frames, np.arange(30), 5, seed=4))
    groups = module._groups(np.arange(30))
    drawn = module._draw(groups, module._holds(frames.composition, groups), np.random.default_rng([3, 2]), 30)
    x, y = frames.composition.toarray()[drawn], frames.energy_per_atom[drawn]
    np.testing.assert_allclose(found[2, 0], np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 7), min_size=1, max_size=3)), min_size=1, max_size=15), st.integers(0, 99)
)
def test_every_draw_and_every_fold_keeps_every_element_and_whole_materials(frames: list[tuple[int, set[int]]], seed: int) -> None:
    materials = np.array([material for material, _ in frames])
    x = np.zeros((len(frames), N_REFERENCED))
    for row, (_, elements) in enumerate(frames):
        x[row, list(elements)] = 1 / len(elements)
    groups = module._groups(materials)
    held = {i: {e for row in group for e in frames[row][1]} for i, group in enumerate(groups)}
    drawn = module._draw(groups, module._holds(x, groups), np.random.default_rng(seed), len(frames))
    everything = set().union(*held.values())
    assert {e for row in drawn for e in frames[row][1]} == everything
    counts = np.bincount(drawn, minlength=len(frames))
    assert all(len(set(counts[group])) == 1 for group in groups)
    left_out: list[int] = []
    for fold in module._folds(x, materials, 3, seed):
        kept = np.setdiff1d(np.arange(len(frames)), fold)
        assert {e for row in kept for e in frames[row][1]} == everything
        assert not set(materials[fold]) & set(materials[kept])
        left_out += fold.tolist()
    assert len(left_out) == len(set(left_out))
    np.testing.assert_array_equal(n_materials_with(x, materials)[:8], [sum(e in elements for elements in held.values()) for e in range(8)])


def test_many_frames_are_refitted_in_part_and_their_spread_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = made(800, 0.3)
    whole = refits([LSTSQ], frames, np.arange(800), 200)
    monkeypatch.setattr(module, "MOST_FRAMES", 200)
    part = refits([LSTSQ], frames, np.arange(800), 200)
    np.testing.assert_allclose(part.std(axis=0)[0, :5], whole.std(axis=0)[0, :5], rtol=0.25)
    np.testing.assert_allclose(part.mean(axis=0)[0], LSTSQ.fit(frames).energies, atol=1e-9)


def test_threads_give_what_one_thread_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = made(60, 0.3)
    alone = refits([LSTSQ, SHIFT], frames, np.arange(60), 20)
    monkeypatch.setattr(module, "_WORTH_THREADS", 1)
    told: list[int] = []
    np.testing.assert_array_equal(refits([LSTSQ, SHIFT], frames, np.arange(60), 20, tell=told.append), alone)
    assert told == list(range(1, 21))


# --- held out -----------------------------------------------------------------------------------


def test_held_out_errors_are_those_of_fits_without_the_frames() -> None:
    frames, w = made(50, 0.1)
    found = held_out_errors([LSTSQ, SHIFT], frames, np.arange(50), folds=5)
    assert found.shape == (2, 50)
    assert np.isfinite(found).all()
    x, y = frames.composition.toarray(), frames.energy_per_atom
    for fold in module._folds(frames.composition, np.arange(50), 5, 0):
        kept = np.setdiff1d(np.arange(50), fold)
        expected = np.linalg.lstsq(x[kept], y[kept], rcond=None)[0]
        np.testing.assert_allclose(found[0, fold], x[fold] @ expected - y[fold], atol=1e-9)
        np.testing.assert_allclose(found[1, fold], y[kept].mean() - y[fold], atol=1e-9)


def test_frames_with_the_only_material_of_an_element_are_in_no_fold() -> None:
    frames, _ = made(20, 0.1)
    x = frames.composition.toarray()
    x[7] = np.eye(N_REFERENCED)[50]
    alone = ReferenceFrames(sparse.csr_matrix(x), frames.energy_per_atom, model_energy=frames.model_energy, w_gga=frames.w_gga)
    found = held_out_errors([LSTSQ], alone, np.arange(20))
    assert np.flatnonzero(np.isnan(found[0])).tolist() == [7]


def test_errors_are_model_plus_shift_minus_label() -> None:
    frames, w = made(10, 0.0)
    np.testing.assert_allclose(errors_of(w, frames), 0.0, atol=1e-12)  # the model says 0, so that references explain all
    np.testing.assert_allclose(errors_of(np.stack([w, w + 2.0]), frames), np.array([[0.0] * 10, [2.0] * 10]), atol=1e-12)
