"""References of resamples: each fit against numpy's least squares on repeated rows, coverage by simulation, blocks against materials, merged rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfunc_core.references import resampled
from xfunc_core.references.merged_rows import merged_rows
from xfunc_core.references.resampled import resampled_references
from xfunc_core.references.solvers import triangle

PRESENT = np.array([0, 7, 10, 16, 25])


def compositions(chance: np.random.Generator, n: int) -> np.ndarray:
    table = np.zeros((n, 94))
    table[:, PRESENT] = chance.dirichlet(np.full(len(PRESENT), 0.5), size=n).round(2)
    table[table.sum(axis=1) == 0, 0] = 1.0
    return table / table.sum(axis=1, keepdims=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 3))
def test_every_resample_is_numpys_fit_to_repeated_rows(seed: int, n_materials: int, frames: int) -> None:
    chance = np.random.default_rng(seed)
    materials = np.repeat(np.arange(n_materials), frames)
    x, y = compositions(chance, len(materials)), chance.normal(size=len(materials))
    found = resampled_references(x, y, materials, n=5, seed=seed)
    draws = np.random.default_rng(seed).multinomial(n_materials, np.full(n_materials, 1 / n_materials), size=5)
    for values, drawn in zip(found, draws, strict=True):
        rows = np.repeat(np.arange(len(materials)), drawn[materials])
        part = x[rows]
        present = np.flatnonzero(part.any(axis=0))
        expected, _, rank, singular = np.linalg.lstsq(part[:, present], y[rows], rcond=1e-10)
        assert np.isnan(np.delete(values, present)).all()
        known = np.isfinite(values[present])
        assert known.all() == (rank == len(present))
        if not len(singular) or singular.min() > 1e-6 * singular.max() or rank < len(present):
            np.testing.assert_allclose(values[present][known], expected[known], atol=1e-6)


def test_intervals_cover_the_truth_for_clustered_noise() -> None:
    chance, truth = np.random.default_rng(1), np.array([-1.0, -3.0, 2.0, 0.5, -6.0])
    materials = np.repeat(np.arange(120), 4)
    inside = []
    for trial in range(150):
        x = compositions(chance, 120)[materials]
        y = x[:, PRESENT] @ truth + chance.normal(size=120)[materials] + 0.1 * chance.normal(size=480)
        low, high = np.percentile(resampled_references(x, y, materials, n=200, seed=trial)[:, PRESENT], [2.5, 97.5], axis=0)
        inside.append((low < truth) & (truth < high))
    assert 0.91 < np.mean(inside) < 0.97  # percentile intervals of 120 clusters fall a little short of 0.95


def test_blocks_stand_for_materials(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(2)
    materials = np.repeat(np.arange(2_000), 2)
    x = compositions(chance, len(materials))
    y = x[:, PRESENT] @ np.arange(5.0) + chance.normal(size=2_000)[materials]
    one_by_one = resampled_references(x, y, materials, n=400)[:, PRESENT]
    monkeypatch.setattr(resampled, "MOST_ROWS", 100)
    in_blocks = resampled_references(x, y, materials, n=400)[:, PRESENT]
    np.testing.assert_allclose(in_blocks.std(axis=0), one_by_one.std(axis=0), rtol=0.25)
    np.testing.assert_allclose(in_blocks.mean(axis=0), one_by_one.mean(axis=0), atol=0.02)


def test_elements_that_always_come_together_are_left_open() -> None:
    x = np.zeros((8, 94))
    x[:, 10] = x[:, 16] = 0.5
    assert np.isnan(resampled_references(x, np.arange(8.0), np.arange(8), n=3)).all()
    assert resampled_references(x[:0], np.empty(0), np.empty(0, dtype=int), n=3).shape == (3, 94)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_frames_of_one_composition_merged_give_the_same_fit(seed: int, n: int) -> None:
    chance = np.random.default_rng(seed)
    key = chance.integers(0, 12, size=n)
    x, y, z = compositions(chance, 12)[key], chance.normal(size=n), chance.normal(size=n)
    merged = merged_rows(key, y, z)
    for target, mean in zip((y, z), merged.means, strict=True):
        fit = triangle(x[merged.row], mean, merged.weight)
        np.testing.assert_allclose(fit.solve(), np.linalg.lstsq(x, target, rcond=1e-12)[0], atol=1e-7)


def test_weighted_rows_are_repeated_rows() -> None:
    chance = np.random.default_rng(3)
    materials = np.repeat(np.arange(40), 5)
    x, y = compositions(chance, 40)[materials], chance.normal(size=200)
    merged = merged_rows(materials, y)
    whole = resampled_references(x, y, materials, n=10)
    np.testing.assert_allclose(resampled_references(x[merged.row], merged.means[0], np.arange(40), n=10, weight=merged.weight), whole, atol=1e-9)
