"""Statistics of y against x that follow from sums over rows, and how they change with what a row or a material counts.

The sums are of nine columns a row: 1, x, d, x², y², xy, xd, d², |d| with d = y − x; all but |d| after the mean of x and of d is taken
off, so that differences of meV survive beside energies of tens of eV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_SUMS = 9
_UNIT = np.eye(N_SUMS)
_ONE, _X, _D, _XX, _YY, _XY, _XD, _DD, _ABS = _UNIT
_Y = _X + _D


@dataclass(frozen=True)
class ClusterSums:
    """Sums over the rows of each of G clusters.

    Attributes:
        columns: shape (9, G), weighted.
        mean_d: what was taken off d.
        constant_x, constant_y: whether a side differs by no more than rounding.
    """

    columns: np.ndarray
    mean_d: float
    constant_x: bool
    constant_y: bool


@dataclass(frozen=True)
class Moments:
    """Means and central second moments, each of the shape of the sums without their last axis.

    Attributes:
        x, d: means, counted from the means of the rows.
        xx, yy, xy, xd, dd: central second moments.
        shift, mae: means of d and |d|.
    """

    x: np.ndarray
    d: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    xd: np.ndarray
    dd: np.ndarray
    shift: np.ndarray
    mae: np.ndarray

    @property
    def pearson(self) -> np.ndarray:
        """Correlation coefficient."""
        return np.clip(self.xy / np.sqrt(self.xx * self.yy), -1.0, 1.0)

    @property
    def direction(self) -> np.ndarray:
        """Angle of the first principal axis to that of x, −π/2 to π/2."""
        return 0.5 * np.arctan2(2 * self.xy, self.xx - self.yy)

    @property
    def mse(self) -> np.ndarray:
        """Mean of d²."""
        return self.dd + self.shift**2

    @property
    def residual(self) -> np.ndarray:
        """Mean square of what a least squares line on x leaves of d: the same as of y, with less to cancel."""
        return np.maximum(self.dd - self.xd**2 / self.xx, 0.0)


def moments(sums: np.ndarray, mean_d: float) -> Moments:
    """Moments from sums, shape (..., 9)."""
    x, d, xx, yy, xy, xd, dd, mae = (sums[..., k] / sums[..., 0] for k in range(1, N_SUMS))
    y = x + d
    return Moments(x, d, xx - x * x, yy - y * y, xy - x * y, xd - x * d, dd - d * d, d + mean_d, mae)


def moment_values(clusters: ClusterSums) -> dict[str, float]:
    """The statistics that follow from moments, by name; NaN where a constant side, or no direction, leaves one
    undefined; NaN or infinite where values overflow."""
    with np.errstate(all="ignore"):
        m = moments(clusters.columns.sum(axis=1), clusters.mean_d)
        spread = 0.0 if clusters.constant_y else np.sqrt(m.residual)
        values = {
            "pearson": m.pearson,
            "slope": np.tan(m.direction),
            "shift": m.shift,
            "mae": m.mae,
            "rmse": np.sqrt(m.mse),
            "spread": spread,
        }
        upright_or_round = abs(m.xy) <= 1e-12 * max(m.xx, m.yy) and m.yy >= m.xx * (1 - 1e-12)
    constant = clusters.constant_x or clusters.constant_y
    undefined = {"pearson": constant, "slope": constant or upright_or_round, "spread": clusters.constant_x}
    return {name: float("nan") if undefined.get(name) else float(value) for name, value in values.items()}


def scaled(m: Moments) -> np.ndarray:
    """The statistics on scales where their distribution is nearly even, shape (..., 6).

    Fisher's z of Pearson's coefficient, the angle of the slope, the shift as it is, logarithms of MAE, RMSE and spread.
    """
    scales = [np.arctanh(m.pearson), m.direction, m.shift, np.log(m.mae), np.log(m.mse) / 2, np.log(m.residual) / 2]
    return np.stack(scales, axis=-1)


def unscaled(values: np.ndarray) -> np.ndarray:
    """Back from `scaled`, shape (..., 6)."""
    z, angle, shift, *logs = np.moveaxis(values, -1, 0)
    return np.stack([np.tanh(z), np.tan(angle), shift, *np.exp(logs)], axis=-1)


def scaled_derivatives(m: Moments) -> np.ndarray:
    """Derivatives of `scaled` with respect to the nine sums, times the total weight: shape (..., 6, 9)."""
    y = m.x + m.d
    xx, yy = _central(m.x, m.x, _X, _X, _XX, m.xx), _central(y, y, _Y, _Y, _YY, m.yy)
    xy, xd = _central(m.x, y, _X, _Y, _XY, m.xy), _central(m.x, m.d, _X, _D, _XD, m.xd)
    dd, shift, mae = _central(m.d, m.d, _D, _D, _DD, m.dd), _D - _by(m.d, _ONE), _ABS - _by(m.mae, _ONE)
    r, difference, line = m.pearson, m.xx - m.yy, m.xd / m.xx
    pearson = _by(1 / np.sqrt(m.xx * m.yy), xy) - _by(r / 2 / m.xx, xx) - _by(r / 2 / m.yy, yy)
    direction = _by(difference, xy) - _by(m.xy, xx - yy)
    residual = dd - _by(2 * line, xd) + _by(line**2, xx)
    return np.stack(
        [
            _by(m.yy / m.residual, pearson),  # 1 − r² is the part that the line leaves
            _by(1 / (difference**2 + 4 * m.xy**2), direction),
            shift,
            _by(1 / m.mae, mae),
            _by(0.5 / m.mse, dd + _by(2 * m.shift, shift)),
            _by(0.5 / m.residual, residual),
        ],
        axis=-2,
    )


def about_line(sums: np.ndarray, whole: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the spread about the least squares line of other rows, shape (...,), and its derivatives as in `scaled_derivatives`.

    Args:
        sums: shape (..., 9).
        whole: moments of the other rows, all those that the columns are counted from.
    """
    line = whole.xd / whole.xx
    square = _DD - 2 * line * _XD + line**2 * _XX
    mean = sums @ square / sums[..., 0]
    return np.log(mean) / 2, _by(0.5 / mean, square - _by(mean, _ONE))


def _central(a: np.ndarray, b: np.ndarray, of_a: np.ndarray, of_b: np.ndarray, of_ab: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Derivatives of the central moment of two variables with the means a and b, times the total weight: shape (..., 9)."""
    return of_ab - _by(b, of_a) - _by(a, of_b) + _by(a * b - moment, _ONE)


def _by(factor: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(factor)[..., None] * columns
