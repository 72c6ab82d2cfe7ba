"""How far each frame lies above the dataset's own elemental fit: what makes an energy look odd.

The fit is least squares of E/N on atomic fractions over the whole dataset, for looking at data only; references that a
model trains with are fitted on training frames (`xfunc_core.references`). It streams: the rows are folded into one
triangle by QR, so memory does not grow with the number of frames, and no normal equations are formed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_ROWS = 16384


def above_elemental_fit(numbers: np.ndarray, n_atoms: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Energy above the least-squares fit in eV/atom, shape (F,); NaN where a frame has no energy.

    Args:
        numbers: atomic numbers of all frames, one after another, shape (A,).
        n_atoms: atoms of each frame, shape (F,).
        energy: total eV, shape (F,).
    """
    present = np.flatnonzero(np.bincount(numbers, minlength=1))
    triangle = np.empty((0, len(present) + 1))
    for x, y, _ in _blocks(numbers, n_atoms, energy, present):
        known = np.isfinite(y)
        triangle = np.linalg.qr(np.vstack([triangle, np.column_stack([x[known], y[known]])]), mode="r")
    if not len(triangle):
        return np.full(len(n_atoms), np.nan)
    w = np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0]
    above = np.empty(len(n_atoms))
    for x, y, rows in _blocks(numbers, n_atoms, energy, present):
        above[rows] = y - x @ w
    return above


def _blocks(numbers: np.ndarray, n_atoms: np.ndarray, energy: np.ndarray, present: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, slice]]:
    """Atomic fractions of the present elements, energies per atom and rows, block by block."""
    column = np.zeros(256, dtype=np.int64)
    column[present] = np.arange(len(present))
    ends = np.cumsum(n_atoms)
    for start in range(0, len(n_atoms), _ROWS):
        rows = slice(start, min(start + _ROWS, len(n_atoms)))
        n = n_atoms[rows]
        first = int(ends[start] - n_atoms[start])
        here = column[np.asarray(numbers[first : int(ends[rows.stop - 1])])]
        cell = np.repeat(np.arange(len(n)), n) * len(present) + here
        counts = np.bincount(cell, minlength=len(n) * len(present)).reshape(len(n), len(present))
        yield counts / n[:, None], energy[rows] / n, rows
