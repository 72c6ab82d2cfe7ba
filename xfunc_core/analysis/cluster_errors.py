"""Standard errors of a least-squares fit whose errors are alike within clusters, with the degrees of freedom of their t distribution.

The bias-reduced linearisation CR2 (Bell and McCaffrey, Surv. Methodol. 28, 169 (2002)): residuals of a cluster are multiplied by
(I − H)^(−1/2), so that for independent errors of one size the variance is right on average, and for others it is robust; the degrees of
freedom are Satterthwaite's for that variance. Of few of them the t distribution is too wide (Pustejovsky and Tipton, J. Bus. Econ. Stat.
36, 672 (2018)), and below `MIN_DEGREES` there is no interval: by simulation (`python -m benchmarks.coverage`) the others cover 94 to 97 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_DEGREES = 3
MOST_CLUSTERS = 200
"""Of the clusters that a coefficient rests on most, those whose dependence on each other its degrees of freedom take into account; the
others only add to them."""
_SINGULAR = 1e-10
_LEFT = 1e-9
"""What a cluster leaves of a direction that only it determines."""


@dataclass(frozen=True)
class ClusterErrors:
    """Of K coefficients, shape (K,); NaN where one cluster alone determines a coefficient, or nothing does.

    Attributes:
        error: standard errors, in the unit of the coefficients.
        degrees: degrees of freedom.
    """

    error: np.ndarray
    degrees: np.ndarray

    def half(self, level: float = 0.95) -> np.ndarray:
        """Half the length of intervals, shape (K,); NaN below `MIN_DEGREES`."""
        enough = self.degrees >= MIN_DEGREES
        return np.where(enough, stats.t.ppf((1 + level) / 2, np.where(enough, self.degrees, 1.0)) * self.error, np.nan)


def cluster_errors(rows: np.ndarray, target: np.ndarray, clusters: np.ndarray) -> ClusterErrors:
    """Errors of the least-squares fit of a target.

    Args:
        rows: shape (M, K), weighted like the target.
        target: shape (M,).
        clusters: whole numbers, equal for rows of one cluster, shape (M,).
    """
    order = np.argsort(clusters, kind="stable")
    rows, target, clusters = rows[order], target[order], clusters[order]
    basis, to_coefficients, open_ = _basis(rows)
    lever = basis @ to_coefficients.T
    starts = np.flatnonzero(np.append(True, clusters[1:] != clusters[:-1]))
    adjusted, lost = _adjusted(basis, lever, starts)
    residual = target - basis @ (basis.T @ target)
    variance = (np.add.reduceat(adjusted * residual[:, None], starts) ** 2).sum(axis=0)
    error = np.where(open_ | lost, np.nan, np.sqrt(variance))
    return ClusterErrors(error, np.where(np.isnan(error), np.nan, _degrees(basis, lever, adjusted, starts)))


def _basis(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orthonormal columns that span the rows' columns, shape (M, k), what makes coefficients of them, (K, k), and which stay open, (K,)."""
    q, r = np.linalg.qr(rows)
    left, singular, right = np.linalg.svd(r)
    kept = singular > singular.max(initial=0.0) * _SINGULAR
    n = len(singular)
    null = np.concatenate([right[:n][~kept], right[n:]])
    return q @ left[:, :n][:, kept], right[:n][kept].T / singular[kept], (np.abs(null) > 1e-8).any(axis=0)


def _adjusted(basis: np.ndarray, lever: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levers of every row times (I − H)^(−1/2) of its cluster, shape (M, K), and whose lever one cluster alone holds, shape (K,)."""
    sizes = np.diff(np.append(starts, len(lever)))
    adjusted, lost = np.empty_like(lever), np.zeros(lever.shape[1], dtype=bool)
    for size in np.unique(sizes):
        rows = starts[sizes == size][:, None] + np.arange(size)
        values, vectors = np.linalg.eigh(np.eye(size) - basis[rows] @ basis[rows].transpose(0, 2, 1))
        turned = vectors.transpose(0, 2, 1) @ lever[rows]
        there = (values > _LEFT)[:, :, None]
        adjusted[rows] = vectors @ np.where(there, turned / np.sqrt(np.where(there, values[:, :, None], 1.0)), 0.0)
        lost |= (~there & (np.abs(turned) > 1e-8 * np.abs(lever).max(axis=0))).any(axis=(0, 1))
    return adjusted, lost


def _degrees(basis: np.ndarray, lever: np.ndarray, adjusted: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Satterthwaite's degrees of freedom, shape (K,): the squared trace of a matrix of clusters over the trace of its square."""
    own = np.add.reduceat(lever**2, starts)
    ends = np.append(starts[1:], len(lever))
    found = np.empty(lever.shape[1])
    for k in range(lever.shape[1]):
        most = np.sort(np.argsort(-own[:, k])[:MOST_CLUSTERS])
        rows = np.concatenate([np.arange(starts[g], ends[g]) for g in most])
        firsts = np.cumsum(np.append(0, (ends - starts)[most]))[:-1]
        with_others = np.add.reduceat(basis[rows] * adjusted[rows, k, None], firsts)
        products = with_others @ with_others.T
        np.fill_diagonal(products, 0.0)
        found[k] = own[:, k].sum() ** 2 / ((own[:, k] ** 2).sum() + (products**2).sum())
    return found
