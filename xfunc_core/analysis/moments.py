"""Statistics of y against x that follow from sums over rows.

The sums are of nine columns a row: 1, x, d, x², y², xy, xd, d², |d| with d = y − x; all but |d| after the mean of x and of d is taken
off, so that differences of meV survive beside energies of tens of eV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.analysis.metrics import is_constant

N_SUMS = 9
MOMENT_STATISTICS = ("pearson", "slope", "shift", "mae", "rmse", "spread")


@dataclass(frozen=True)
class RowSums:
    """What each row adds to the sums.

    Attributes:
        columns: shape (9, n), weighted.
        mean_d: what was taken off d.
        constant_x, constant_y: whether a side differs by no more than rounding.
    """

    columns: np.ndarray
    mean_d: float
    constant_x: bool
    constant_y: bool


@dataclass(frozen=True)
class Moments:
    """Means and central moments, each of the shape of the sums without their last axis.

    Attributes:
        x, d: means, from the means of the rows.
        xx, yy, xy, xd: central second moments.
        residual: mean square of what a least squares line on x leaves of y.
        shift, mse, mae: means of d, d² and |d|.
    """

    x: np.ndarray
    d: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    xd: np.ndarray
    residual: np.ndarray
    shift: np.ndarray
    mse: np.ndarray
    mae: np.ndarray


def row_sums(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> RowSums:
    """What each row adds to the sums; x, y and weight of shape (n,), n ≥ 1."""
    d = y - x
    mean_d = float(np.average(d, weights=weight))
    x_c, d_c = x - np.average(x, weights=weight), d - mean_d
    y_c, wx, wd = x_c + d_c, weight * x_c, weight * d_c
    columns = np.stack([weight, wx, wd, wx * x_c, weight * y_c**2, wx * y_c, wx * d_c, wd * d_c, weight * np.abs(d)])
    return RowSums(columns, mean_d, is_constant(x), is_constant(y))


def moments(sums: np.ndarray, mean_d: float) -> Moments:
    """Moments from sums, shape (..., 9)."""
    weight = sums[..., 0]
    x, d, xx, yy, xy, xd, dd, mae = (sums[..., k] / weight for k in range(1, N_SUMS))
    y = x + d
    xx, xd = xx - x * x, xd - x * d
    return Moments(
        x=x,
        d=d,
        xx=xx,
        yy=yy - y * y,
        xy=xy - x * y,
        xd=xd,
        residual=np.maximum(dd - d * d - xd**2 / xx, 0.0),  # of d, the same as of y, with less to cancel
        shift=d + mean_d,
        mse=dd + 2 * mean_d * d + mean_d**2,
        mae=mae,
    )


def pearson(m: Moments) -> np.ndarray:
    """Correlation coefficient."""
    return np.clip(m.xy / np.sqrt(m.xx * m.yy), -1.0, 1.0)


def direction(m: Moments) -> np.ndarray:
    """Angle between the first principal axis and that of x, −π/2 to π/2."""
    return 0.5 * np.arctan2(2 * m.xy, m.xx - m.yy)


def moment_values(rows: RowSums) -> dict[str, float]:
    """The statistics of `MOMENT_STATISTICS` by name; NaN where a constant side, or no direction, leaves one undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        m = moments(rows.columns.sum(axis=1), rows.mean_d)
        spread = np.sqrt(m.residual) if not rows.constant_y else 0.0
        values = {
            "pearson": pearson(m),
            "slope": np.tan(direction(m)),
            "shift": m.shift,
            "mae": m.mae,
            "rmse": np.sqrt(m.mse),
            "spread": spread,
        }
    undefined = []
    if rows.constant_x or rows.constant_y:
        undefined += ["pearson", "slope"]
    if rows.constant_x:
        undefined += ["spread"]
    if abs(m.xy) <= 1e-12 * max(m.xx, m.yy) and m.yy >= m.xx * (1 - 1e-12):
        undefined += ["slope"]  # no direction, or straight up
    return {name: float("nan") if name in undefined else float(value) for name, value in values.items()}
