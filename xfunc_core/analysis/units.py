"""Rows that count alike, summed once: those of one material that stand in the same groups with the same weight.

The frames of a material mostly have one composition, so that they count for the same elements; a group then sums a few hundred thousand
units instead of millions of rows. Sums are kept about the mean of each unit and moved to the mean of a group, which loses no digit
(Chan, Golub and LeVeque, Am. Stat. 37, 242 (1983)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.analysis.metrics import is_constant
from xfunc_core.analysis.moments import ClusterSums


@dataclass(frozen=True)
class Units:
    """Sums over the rows of each of U units.

    Attributes:
        n: rows, shape (U,).
        x, d: means of x and of d = y − x, shape (U,).
        absolute: means of |d|, shape (U,).
        within: means of x², y², xy, xd and d² about the means of the unit, shape (5, U); None where every unit is one row.
        low, high: smallest and largest x and y, shape (2, U).
    """

    n: np.ndarray
    x: np.ndarray
    d: np.ndarray
    absolute: np.ndarray
    within: np.ndarray | None
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, starts: np.ndarray | None = None) -> Units:
        """Sum rows.

        Args:
            x, y: shape (n,), units one after the other.
            starts: shape (U,), the first row of each unit; every row is one if None.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            d, sides = y - x, np.stack([x, y])
            if starts is None or starts.size == x.size:
                return cls(np.ones(x.size), x, d, np.abs(d), None, sides, sides)
            n = np.diff(starts, append=x.size)
            mean_x, mean_d, absolute = (np.add.reduceat(column, starts) / n for column in (x, d, np.abs(d)))
            x_c, d_c = x - np.repeat(mean_x, n), d - np.repeat(mean_d, n)
            y_c = x_c + d_c
            pairs = ((x_c, x_c), (y_c, y_c), (x_c, y_c), (x_c, d_c), (d_c, d_c))
            within = np.stack([np.add.reduceat(a * b, starts) for a, b in pairs]) / n
            low, high = (np.stack([extreme.reduceat(side, starts) for side in sides]) for extreme in (np.minimum, np.maximum))
            return cls(n.astype(float), mean_x, mean_d, absolute, within, low, high)

    def cluster_sums(self, chosen: np.ndarray, weight: np.ndarray | None, starts: np.ndarray) -> ClusterSums:
        """Sums of each cluster of some units.

        Args:
            chosen: shape (k,), k ≥ 1, units of clusters one after the other.
            weight: shape (k,), what each row of a unit counts; 1 if None.
            starts: shape (G,), where in ``chosen`` each cluster begins.
        """
        n = self.n[chosen] if weight is None else self.n[chosen] * weight
        x, d = self.x[chosen], self.d[chosen]
        mean_d = float(np.average(d, weights=n))
        x, d = x - np.average(x, weights=n), d - mean_d
        y = x + d
        sums = [np.add.reduceat(column, starts) for column in (n, n * x, n * d)]
        for k, (a, b) in enumerate(((x, x), (y, y), (x, y), (x, d), (d, d))):  # one column at a time: there may be 10⁷
            square = a * b if self.within is None else a * b + self.within[k, chosen]
            sums.append(np.add.reduceat(n * square, starts))
        sums.append(np.add.reduceat(n * self.absolute[chosen], starts))
        constant = (is_constant(np.array([low[chosen].min(), high[chosen].max()])) for low, high in zip(self.low, self.high, strict=True))
        return ClusterSums(np.stack(sums), mean_d, *constant)
