"""A power law with a floor, L∞ + A·N^−α, fitted by variable projection, or the reason why it cannot be told.

For a given α the model is linear in L∞ and A, so only α and the floor are searched: no starting values.
Residuals are relative, (model − error)/error, which near the curve are log residuals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.analysis.scaling import fit_power_law

MIN_SIZES = 6
EXPONENTS = np.geomspace(0.02, 3.0, 300)
FLOOR_STEPS = 200


@dataclass(frozen=True)
class FloorLaw:
    """error = floor + amplitude · N^−exponent.

    Attributes:
        floor: error with endless data, in the unit of the errors.
        amplitude: in the unit of the errors, at N = 1.
        exponent: α, above 0.
        floor_low, floor_high: profile-likelihood interval of the floor.
        relative_rmse: root mean square of the relative residuals.
        n_sizes: distinct sizes; the means of each are fitted.
    """

    floor: float
    amplitude: float
    exponent: float
    floor_low: float
    floor_high: float
    relative_rmse: float
    n_sizes: int

    def predict(self, sizes: np.ndarray) -> np.ndarray:
        """Error at each size, of the same shape."""
        return self.floor + self.amplitude * np.asarray(sizes, dtype=float) ** -self.exponent


def fit_floor(table: pd.DataFrame, level: float = 0.95) -> FloorLaw | str:
    """Fit a law with a floor to the mean error per size, or say in a sentence why none is given.

    The interval of the floor holds every floor whose best fit is not worse than the best one by more
    than the F quantile for one parameter. Where it reaches 0 the floor is not told from a slope.

    Args:
        table: columns ``size``, ``seed``, ``error``.
        level: coverage of the interval of the floor.

    Raises:
        DataError: as ``fit_power_law``.
    """
    fit_power_law(table["size"], table["error"])
    means = table.groupby("size")["error"].mean()
    if len(means) < MIN_SIZES:
        return f"{len(means)} sizes are too few to tell a floor from a slope; {MIN_SIZES} are needed."
    sizes, errors = means.index.to_numpy(dtype=float), means.to_numpy(dtype=float)
    floors = np.linspace(0.0, errors.min(), FLOOR_STEPS, endpoint=False)
    squares, amplitudes = _profile(sizes, errors, floors)
    row, column = np.unravel_index(np.argmin(squares), squares.shape)
    if not amplitudes[row, column] > 0 or column in (0, len(EXPONENTS) - 1):
        return "The error does not bend like a power law with a floor, so no floor is given."
    inside = floors[squares.min(axis=1) <= squares[row, column] * _widening(len(errors), level)]
    if inside[0] == 0.0:
        return "A law without a floor fits as well, so no floor is given."
    rmse = float(np.sqrt(squares[row, column] / len(errors)))
    return FloorLaw(floors[row], amplitudes[row, column], EXPONENTS[column], inside[0], inside[-1], rmse, len(errors))


def _profile(sizes: np.ndarray, errors: np.ndarray, floors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared relative residuals and best amplitude for each floor (rows) and exponent (columns)."""
    curve = sizes[:, None] ** -EXPONENTS / errors[:, None]
    rest = 1.0 - floors[:, None] / errors
    cross, norm = rest @ curve, np.square(curve).sum(axis=0)
    amplitudes = np.maximum(cross / norm, 0.0)
    squares = np.square(rest).sum(axis=1)[:, None] - 2 * amplitudes * cross + amplitudes**2 * norm
    return np.maximum(squares, 0.0), amplitudes


def _widening(n: int, level: float) -> float:
    from scipy.special import fdtri

    return 1.0 + float(fdtri(1, n - 3, level)) / (n - 3)
