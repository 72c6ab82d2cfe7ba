"""Least-squares references of resampled materials: how far each would move had other materials been calculated.

Materials are drawn with replacement, all frames of one together. Each fit is a QR of weighted rows and a triangular solve, or an SVD
where the resample leaves something open; never normal equations. Many rows are first folded, material by material, into random blocks
that are drawn instead, each reduced to its triangle.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.linalg.lapack import dtrcon

from xfunc_core.blas import one_blas_thread
from xfunc_core.references.solvers import triangle

MOST_ROWS = 4096
"""Rows above which blocks of materials are drawn instead of single ones."""
BLOCKS = 64
_SINGULAR = 1e-10
"""Reciprocal condition below which a resample is looked at for open combinations; real ones lie above 1e-4."""
_OPEN = 1e-8


def resampled_references(
    composition: np.ndarray, target: np.ndarray, materials: np.ndarray, n: int = 200, seed: int = 0, weight: np.ndarray | None = None
) -> np.ndarray:
    """References fitted to n resamples, eV/atom, shape (n, 94); NaN where a resample does not determine one.

    Args:
        composition: atomic fractions, shape (F, 94).
        target: eV/atom, shape (F,), finite.
        materials: whole numbers, equal for frames of one material, shape (F,).
        n: resamples.
        seed: of the draws.
        weight: factor on each row and its target, shape (F,); None for one.
    """
    found = np.full((n, composition.shape[1]), np.nan)
    if not len(target):
        return found
    chance = np.random.default_rng(seed)
    present = np.flatnonzero(composition.any(axis=0))
    weight = np.ones(len(target)) if weight is None else weight
    rows, cluster = _rows(composition[:, present], target, weight, np.unique(materials, return_inverse=True)[1], chance)
    n_clusters = int(cluster.max()) + 1
    with one_blas_thread():
        for place, drawn in enumerate(chance.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n)):
            counts = drawn[cluster]
            there = counts > 0
            found[place, present] = _solved(rows[there] * np.sqrt(counts[there])[:, None])
    return found


def _rows(
    composition: np.ndarray, target: np.ndarray, weight: np.ndarray, material: np.ndarray, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of fractions and target, shape (M, K + 1), and what is drawn as one, shape (M,)."""
    if len(target) <= MOST_ROWS:
        return np.column_stack([composition, target]) * weight[:, None], material
    block = chance.permutation(np.arange(material.max() + 1) % BLOCKS)[material]
    parts = []
    for number in range(BLOCKS):
        here = block == number
        folded = triangle(composition[here], target[here], weight[here])
        whole = np.zeros((len(folded.r), composition.shape[1] + 1))
        whole[:, folded.present] = folded.r
        whole[:, -1] = folded.d
        parts.append(whole)
    return np.concatenate(parts), np.repeat(np.arange(BLOCKS), [len(part) for part in parts])


def _solved(rows: np.ndarray) -> np.ndarray:
    """Least squares of the last column on the others, shape (K,); NaN for what the rows leave open."""
    solution = np.full(rows.shape[1] - 1, np.nan)
    present = np.flatnonzero(rows[:, :-1].any(axis=0))
    k = len(present)
    r = qr(rows[:, [*present, -1]], mode="r", check_finite=False, overwrite_a=True)[0][: k + 1]
    if len(r) >= k and dtrcon(r[:k, :k])[0] > _SINGULAR:
        solution[present] = solve_triangular(r[:k, :k], r[:k, k], check_finite=False)
        return solution
    left, singular, right = np.linalg.svd(r[:k, :k])
    kept = singular > singular.max(initial=0.0) * _SINGULAR
    values = right[: len(singular)][kept].T @ ((left.T @ r[:k, k])[: len(singular)][kept] / singular[kept])
    null = np.concatenate([right[: len(singular)][~kept], right[len(singular) :]])
    values[(np.abs(null) > _OPEN).any(axis=0)] = np.nan
    solution[present] = values
    return solution
