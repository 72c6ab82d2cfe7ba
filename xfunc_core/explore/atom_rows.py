"""Rows of the quantities of atoms: force components, magnitudes and angles, magnetic moments. Read from the mapped arrays, pair by pair."""

from __future__ import annotations

import numpy as np

from xfunc_core.data.pairs import Pairs
from xfunc_core.explore.compared import ANGLE_FLOOR, ComparedRows, Source
from xfunc_core.explore.selection import random_part

MOST_ATOMS = 200_000
"""Atoms beyond which a random part of the pairs is taken: the intervals are then far narrower than anybody reads, and memory stays small."""
NO_FORCES = "pairs without forces on both sides"
NO_MOMENTS = "pairs without moments on both sides"
SMALL = f"atoms with a force of at most {ANGLE_FLOOR:g} eV/Å in one of the functionals"

_Atoms = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, int], tuple[str, ...]]


def force(source: Source, keep: np.ndarray) -> ComparedRows:
    """Force components, eV/Å, three rows an atom, of the pairs ``keep``, shape (K,), ascending."""
    x, y, pair, element, left_out, notes = _both(source, keep, "forces", NO_FORCES)
    return ComparedRows("force", x.ravel(), y.ravel(), np.repeat(pair, 3), np.repeat(element, 3), left_out, notes)


def force_norm(source: Source, keep: np.ndarray) -> ComparedRows:
    """Magnitudes of forces, eV/Å."""
    x, y, pair, element, left_out, notes = _both(source, keep, "forces", NO_FORCES)
    return ComparedRows("force_norm", np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1), pair, element, left_out, notes)


def force_angle(source: Source, keep: np.ndarray) -> ComparedRows:
    """Angles between the two forces on an atom, degrees, 0 to 180; one-sided."""
    x, y, pair, element, left_out, notes = _both(source, keep, "forces", NO_FORCES)
    large = (np.linalg.norm(x, axis=1) > ANGLE_FLOOR) & (np.linalg.norm(y, axis=1) > ANGLE_FLOOR)
    x, y = x[large], y[large]
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(x, y), axis=1), (x * y).sum(axis=1)))  # exact near 0 and 180, unlike arccos
    left_out = left_out | ({SMALL: int((~large).sum())} if not large.all() else {})
    return ComparedRows("force_angle", np.full(len(angle), np.nan), angle, pair[large], element[large], left_out, notes)


def magmom(source: Source, keep: np.ndarray) -> ComparedRows:
    """Absolute magnetic moments, μB."""
    x, y, pair, element, left_out, notes = _both(source, keep, "magmoms", NO_MOMENTS)
    return ComparedRows("magmom", np.abs(x), np.abs(y), pair, element, left_out, notes)


def _both(source: Source, keep: np.ndarray, name: str, reason: str) -> _Atoms:
    """Labels of atoms in both functionals, shape (A, …), the pair and Z of each, what was left out and what a reader must know."""
    if not isinstance(source, Pairs) or not source.components_comparable:
        empty = np.empty((0, 3) if name == "forces" else 0)
        return empty, empty, np.empty(0, dtype=int), np.empty(0, dtype=int), {}, ()
    n_atoms = source.r2scan.columns["n_atoms"].to_numpy()[source.rows_r2scan].astype(np.int64)
    keep, notes = random_part(keep, n_atoms[keep], MOST_ATOMS, "atoms")
    counts = n_atoms[keep]
    place = np.repeat(np.arange(len(keep)), counts)
    atoms = [dataset.atoms_of_all(rows[keep]) for dataset, rows in ((source.pbe, source.rows_pbe), (source.r2scan, source.rows_r2scan))]
    x, y = (
        np.asarray(dataset.atom_array(name)[rows], dtype=float) for dataset, rows in zip((source.pbe, source.r2scan), atoms, strict=True)
    )
    finite = np.isfinite(x) & np.isfinite(y)
    known = finite.all(axis=1) if finite.ndim == 2 else finite
    missing = len(np.unique(place[~known]))
    element = np.asarray(source.r2scan.atom_array("numbers")[atoms[1]][known], dtype=np.int64)
    return x[known], y[known], keep[place[known]], element, {reason: missing} if missing else {}, notes
