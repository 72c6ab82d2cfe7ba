"""Errors of a prediction, overall and per element, and the plain Pearson coefficient. Arrays in, named numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError, DataError

ELEMENT_WEIGHTINGS = {
    "fraction": "each frame counts with the atomic fraction of the element in it",
    "frame": "each frame containing the element counts once",
}
"""How a frame's error is shared among its elements: key -> the words to show beside the table."""


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of predicted against reference values, in the unit of the values.

    Attributes:
        n: pairs counted.
        mae: mean absolute error.
        rmse: root mean square error.
        bias: mean of predicted − reference.
    """

    n: int
    mae: float
    rmse: float
    bias: float


def error_summary(reference: ArrayLike, predicted: ArrayLike) -> ErrorSummary:
    """Summarise the errors of ``predicted`` against ``reference``, flattened, in their own unit.

    Pairs with a NaN on either side are left out; ``n`` counts what is left, and with nothing left
    every number is NaN.

    Args:
        reference: values of any shape.
        predicted: values of the same shape.

    Raises:
        DataError: the shapes differ.
    """
    a, b = finite_pairs(reference, predicted)
    if a.size == 0:
        return ErrorSummary(0, math.nan, math.nan, math.nan)
    error = b - a
    return ErrorSummary(
        n=int(error.size),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt(np.square(error).mean())),
        bias=float(error.mean()),
    )


def error_by_element(abs_errors: ArrayLike, composition: ArrayLike, weighting: str = "fraction") -> pd.DataFrame:
    """Share the absolute errors of frames among the elements in them.

    Frames whose error is NaN are left out. Elements in no frame are left out of the table.

    Args:
        abs_errors: shape (frames,), absolute error of each frame in any unit.
        composition: shape (frames, 94), atomic fractions, column Z − 1.
        weighting: key of ``ELEMENT_WEIGHTINGS``; its words are kept in ``.attrs["weighting"]``.

    Returns:
        Indexed by symbol in order of Z, with the columns ``z``, ``n_frames`` and ``mae``.

    Raises:
        ConfigError: the weighting is unknown.
        DataError: the shapes do not fit.
    """
    if weighting not in ELEMENT_WEIGHTINGS:
        raise ConfigError(f"The weighting {weighting!r} is unknown; use one of {', '.join(ELEMENT_WEIGHTINGS)}.")
    errors, fractions = np.asarray(abs_errors, dtype=float), as_composition(composition, len(np.asarray(abs_errors)))
    known = np.isfinite(errors)
    errors, fractions = np.abs(errors[known]), fractions[known]
    present = fractions > 0
    weights = fractions if weighting == "fraction" else present.astype(float)
    columns = np.flatnonzero(present.any(axis=0))
    total = weights[:, columns].sum(axis=0)
    table = pd.DataFrame(
        {
            "z": columns + 1,
            "n_frames": present[:, columns].sum(axis=0),
            "mae": errors @ weights[:, columns] / total,
        },
        index=pd.Index([SYMBOLS[i] for i in columns], name="element"),
    )
    table.attrs["weighting"] = ELEMENT_WEIGHTINGS[weighting]
    return table


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson coefficient of the finite pairs; NaN for fewer than three, which any line fits, or where a side is constant."""
    a, b = finite_pairs(a, b)
    if a.size < 3 or is_constant(a) or is_constant(b):
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def is_constant(values: np.ndarray) -> bool:
    """Whether values, shape (n,), n ≥ 1, differ by no more than rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())))


def finite_pairs(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Flatten two arrays of one shape and keep the pairs that are finite on both sides.

    Raises:
        DataError: the shapes differ.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise DataError(f"Two sets of values of different shape, {a.shape} and {b.shape}, cannot be compared.")
    keep = np.isfinite(a) & np.isfinite(b)
    return a[keep], b[keep]


def as_composition(composition: ArrayLike, n_frames: int) -> np.ndarray:
    """Check that a composition array has the shape (n_frames, 94) and return it as float64.

    Raises:
        DataError: the shape is another one.
    """
    fractions = np.asarray(composition, dtype=float)
    if fractions.shape != (n_frames, N_REFERENCED):
        raise DataError(f"Compositions have the shape {fractions.shape}; {(n_frames, N_REFERENCED)} is needed.")
    return fractions
