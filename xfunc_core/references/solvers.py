"""Least squares over compositions: one orthogonal reduction to a triangle, from which every linear scheme follows.

The rows (atomic fractions, target) are folded block by block into one triangle R by Householder QR, so that ‖Xw − y‖ and ‖Rw − d‖
differ by a constant whatever w is: a scheme then costs an SVD of at most 94 × 94. Nothing squares the condition of X. Blocks are
dense and short, for which threads of the BLAS are slower than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from xfunc_core.blas import one_blas_thread

Composition = np.ndarray | sparse.csr_matrix
"""Atomic fractions, shape (F, 94), dense or sparse by rows."""

_ROWS = 1024
_OPEN = 1e-8
"""Weight in the null space above which an element is open; rounding stays far below."""
_TOLERANCE = 1e-10
"""eV/atom: the robust fit has converged when no reference moves further."""
_MOST_ROUNDS = 2000
_SCALE_TOLERANCE = 1e-3
"""Relative: the scale is held from there on, so that what is minimised stays the same."""
_MEDIAN_OF_NORMAL = 0.6745
"""Median of |z| for a standard normal z."""
SMALLEST_SCALE = 1e-3
"""eV/atom; a fit that goes through most frames exactly has no scatter to take a scale from."""
HUBER = 1.345
"""Residuals beyond this many standard deviations count linearly: 95 % efficiency on normal noise (Huber 1981)."""


@dataclass(frozen=True)
class Triangle:
    """The frames of a fit, reduced.

    Attributes:
        width: columns of the composition matrix.
        present: columns that are not all zero, shape (K,).
        r: upper triangle over those, shape (K, K).
        d: the target in the same basis, eV/atom, shape (K,).
        outside: squared norm of the part of the target no references can explain, (eV/atom)².
        n_rows: frames.
    """

    width: int
    present: np.ndarray
    r: np.ndarray
    d: np.ndarray
    outside: float
    n_rows: int

    @cached_property
    def svd(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Singular values of the composition matrix, shape (K,), its right vectors as rows, (K, K), and the target along the left ones, (K,)."""
        with one_blas_thread():
            left, singular, right = np.linalg.svd(self.r)
        return singular, right, left.T @ self.d

    @cached_property
    def rank(self) -> int:
        """Independent combinations of references that the frames determine, by numpy's rule for least squares."""
        singular = self.svd[0]
        return int((singular > singular.max(initial=0.0) * max(self.n_rows, self.width) * np.finfo(float).eps).sum())

    @cached_property
    def open(self) -> np.ndarray:
        """Which elements occur but are reached by the null space, shape (width,), bool: determined in combination only."""
        found = np.zeros(self.width, dtype=bool)
        found[self.present] = (np.abs(self.svd[1][self.rank :]) > _OPEN).any(axis=0)
        return found

    def solve(self, ridge: float = 0.0) -> np.ndarray:
        """argmin ‖Xw − y‖² + ridge·‖w‖², shape (width,); without a ridge the solution of smallest norm. Columns that are all zero get 0."""
        singular, right, along = self.svd
        kept = slice(None) if ridge else slice(self.rank)
        return self._spread(right[kept].T @ (along[kept] * singular[kept] / (singular[kept] ** 2 + ridge)))

    def residual_squares(self, w: np.ndarray) -> float:
        """Σ(y − x·w)² over the frames, (eV/atom)²."""
        return self.outside + float(np.square(self.d - self.r @ w[self.present]).sum())

    def deviations(self, variance: np.ndarray | float) -> np.ndarray:
        """Standard deviation of each reference, shape (width,), if those along the right vectors are independent.

        Args:
            variance: along each right vector, shape (K,).
        """
        _, right, _ = self.svd
        return self._spread(np.sqrt(np.square(right.T) @ np.broadcast_to(variance, len(right))), absent=np.nan)

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """(XᵀX)⁺ times a vector of shape (width,)."""
        singular, right, _ = self.svd
        kept = right[: self.rank]
        return self._spread(kept.T @ (kept @ gradient[self.present] / singular[: self.rank] ** 2))

    def _spread(self, values: np.ndarray, absent: float = 0.0) -> np.ndarray:
        spread = np.full(self.width, absent)
        spread[self.present] = values
        return spread


def triangle(x: Composition, y: np.ndarray, weight: np.ndarray | None = None) -> Triangle:
    """Reduce frames to a triangle.

    Args:
        x: atomic fractions, shape (F, 94).
        y: target in eV/atom, shape (F,), finite.
        weight: factor on each row and its target, shape (F,); None for one.
    """
    width, present = x.shape[1], np.flatnonzero(n_containing(x))
    k = len(present)
    x = x if k == x.shape[1] else x[:, present]
    folded = np.zeros((0, k + 1))
    with one_blas_thread():
        for start in range(0, len(y), _ROWS):
            rows = slice(start, start + _ROWS)
            new = np.column_stack([dense(x[rows]), y[rows]])
            if weight is not None:
                new *= weight[rows, None]
            folded = np.linalg.qr(np.concatenate([folded, new]), mode="r")
    whole = np.zeros((k + 1, k + 1))
    whole[: len(folded)] = folded
    return Triangle(width, present, whole[:k, :k], whole[:k, k], float(whole[k, k] ** 2), len(y))


def n_containing(x: Composition) -> np.ndarray:
    """Frames that contain each element, shape (94,)."""
    if sparse.issparse(x):
        return np.bincount(x.indices[x.data > 0], minlength=x.shape[1])
    return (x > 0).sum(axis=0)


def dense(x: Composition) -> np.ndarray:
    """The same as an array."""
    return x.toarray() if sparse.issparse(x) else x


def huber_fit(x: Composition, y: np.ndarray, reduced: Triangle, delta: float | None = None) -> tuple[np.ndarray, float]:
    """argmin Σρ(y − x·w), ρ quadratic up to δ and linear beyond, and δ in eV/atom.

    Huber's method of modified residuals (Huber 1981, 7.8): residuals cut at δ are fitted by least squares again and again, each time
    in the basis of the one triangle. Where w vanishes from one to the next the gradient of Σρ does, whatever the triangle's rounding.

    Args:
        x: atomic fractions, shape (F, 94).
        y: target in eV/atom, shape (F,), finite.
        reduced: their `triangle`.
        delta: None takes `HUBER` standard deviations, by the median absolute deviation of the residuals.
    """
    w, cut, is_settled = reduced.solve(), delta or np.inf, delta is not None
    for _ in range(_MOST_ROUNDS):
        residual = y - x @ w
        if not is_settled:
            spread = np.median(np.abs(residual - np.median(residual)))  # wrong frames shift the first fits of all others by one number
            scale = HUBER * max(float(spread) / _MEDIAN_OF_NORMAL, SMALLEST_SCALE)
            cut, is_settled = scale, abs(scale - cut) <= _SCALE_TOLERANCE * scale
        step = reduced.step(x.T @ np.clip(residual, -cut, cut))
        w = w + step
        if is_settled and np.abs(step).max(initial=0.0) < _TOLERANCE:
            break
    return w, float(cut)
