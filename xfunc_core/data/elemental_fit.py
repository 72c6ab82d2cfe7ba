"""How far each frame lies above the dataset's own elemental fit: what makes an energy look odd.

The fit is least squares of E/N on atomic fractions over the whole dataset, for looking at data only; references that a
model trains with are fitted on training frames (`xfunc_core.references`). Frames of one composition have one row of fractions,
so their mean energy, weighted by how many they are, says all that the fit needs to know of them. The rows are folded into one
triangle by QR: memory does not grow with the number of frames, and no normal equations are formed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_ROWS = 16384


def above_elemental_fit(numbers: np.ndarray, n_atoms: np.ndarray, energy: np.ndarray, composition: np.ndarray | None = None) -> np.ndarray:
    """Energy above the least-squares fit in eV/atom, shape (F,); NaN where a frame has no energy.

    Args:
        numbers: atomic numbers of all frames, one after another, shape (A,).
        n_atoms: atoms of each frame, at least one, shape (F,).
        energy: total eV, shape (F,).
        composition: whole numbers, equal for frames of equal atomic fractions, shape (F,); None: no two frames are known to be alike.
    """
    per_atom = energy / n_atoms
    known = np.flatnonzero(np.isfinite(per_atom))
    if not len(known):
        return np.full(len(n_atoms), np.nan)
    present = np.flatnonzero(np.bincount(numbers))
    alike = known if composition is None else composition[known]
    _, frame, group, size = np.unique(alike, return_index=True, return_inverse=True, return_counts=True)
    mean = np.bincount(group, per_atom[known]) / size
    triangle = np.empty((0, len(present) + 1))
    for fractions, rows in _fractions(numbers, n_atoms, known[frame], present):
        weighted = np.sqrt(size[rows])[:, None] * np.column_stack([fractions, mean[rows]])
        triangle = np.linalg.qr(np.vstack([triangle, weighted]), mode="r")
    of_element = np.zeros(256)
    of_element[present] = np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0]
    with np.errstate(all="ignore"):  # absurd energies are kept as they are and give absurd columns
        return per_atom - np.add.reduceat(of_element[numbers], np.cumsum(n_atoms) - n_atoms) / n_atoms


def _fractions(numbers: np.ndarray, n_atoms: np.ndarray, frames: np.ndarray, present: np.ndarray) -> Iterator[tuple[np.ndarray, slice]]:
    """Atomic fractions of the present elements in the given frames, block by block, and which of the frames they are."""
    column = np.zeros(256, dtype=np.int64)
    column[present] = np.arange(len(present))
    first = np.cumsum(n_atoms) - n_atoms
    for start in range(0, len(frames), _ROWS):
        rows = slice(start, min(start + _ROWS, len(frames)))
        n = n_atoms[frames[rows]]
        atoms = np.repeat(first[frames[rows]] - (np.cumsum(n) - n), n) + np.arange(n.sum())
        cell = np.repeat(np.arange(len(n)), n) * len(present) + column[numbers[atoms]]
        yield np.bincount(cell, minlength=len(n) * len(present)).reshape(len(n), len(present)) / n[:, None], rows
