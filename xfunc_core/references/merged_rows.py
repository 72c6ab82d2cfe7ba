"""Frames of one composition as one row: least squares sees only their mean and how many they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MergedRows:
    """Rows of a least-squares fit.

    Attributes:
        row: which of the frames stands for the others of its key, shape (M,).
        weight: square root of how many they are, shape (M,): the factor on the row and its target.
        means: of each target over the frames of a key, shape (M,).
    """

    row: np.ndarray
    weight: np.ndarray
    means: tuple[np.ndarray, ...]


def merged_rows(key: np.ndarray, *targets: np.ndarray) -> MergedRows:
    """Merge frames of one key; those must have one composition.

    Args:
        key: whole numbers, shape (F,).
        targets: finite, shape (F,) each.
    """
    row, code, n = np.unique(key, return_index=True, return_inverse=True, return_counts=True)[1:]
    return MergedRows(row, np.sqrt(n), tuple(np.bincount(code, target, minlength=len(n)) / n for target in targets))
