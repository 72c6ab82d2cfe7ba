"""Atoms that overlap, which CHGNet cannot take: at distance 0 its bases are not defined, and nothing real comes near."""

from __future__ import annotations

from itertools import product

import numpy as np

from xfunc_core.data.dataset import Dataset

MIN_DISTANCE = 0.3
"""Å; closer atoms overlap. Under half of the shortest bond there is (H₂, 0.74 Å)."""
_CELLS = np.array([v for v in product((-1, 0, 1), repeat=3) if v > (0, 0, 0)])
"""Lattice vectors one of which is the shortest of any cell that is not extremely skewed; opposite ones are as long."""
_AT_A_TIME = 200_000
"""Atoms looked at together."""


def have_overlap(dataset: Dataset, closest: float = MIN_DISTANCE) -> np.ndarray:
    """Whether two atoms of each frame, or an atom and an image of its own, are closer than ``closest`` in Å; bool, shape (F,).

    Of a cell thinner than twice that, which holds no crystal, some images may be missed.
    """
    n_atoms = dataset.columns["n_atoms"].to_numpy().astype(np.int64)
    found = np.zeros(len(dataset), dtype=bool)
    for rows in np.split(np.arange(len(dataset)), np.flatnonzero(np.diff(np.cumsum(n_atoms) // _AT_A_TIME)) + 1):
        if len(rows):
            lattice = np.asarray(dataset.frame_array("lattice")[rows], dtype=float)
            positions = np.asarray(dataset.atom_array("positions")[dataset.atoms_of_all(rows)], dtype=float)
            found[rows] = _own_image(lattice, closest) | _two_atoms(lattice, positions, n_atoms[rows], closest)
    return found


def _own_image(lattice: np.ndarray, closest: float) -> np.ndarray:
    return np.linalg.norm(_CELLS @ lattice, axis=2).min(axis=1) < closest


def _two_atoms(lattice: np.ndarray, positions: np.ndarray, n_atoms: np.ndarray, closest: float) -> np.ndarray:
    """Every atom with every other of its cell: in round ``step`` each with the one so many places further on.

    The nearest image is that in the place nearest by fractional coordinates, where both are close and the cell is no thinner
    than twice their distance; along each axis they are apart by no more than it over the cell's thickness.
    """
    inverse = np.linalg.inv(lattice)
    owner = np.repeat(np.arange(len(n_atoms)), n_atoms)
    fractional = np.einsum("ni,nij->nj", positions, inverse[owner])
    near = closest * np.linalg.norm(inverse, axis=1)  # along each axis, in fractions of the cell
    first, size = np.repeat(np.cumsum(n_atoms) - n_atoms, n_atoms), n_atoms[owner]
    place = np.arange(len(owner)) - first
    found = np.zeros(len(n_atoms), dtype=bool)
    atoms = np.flatnonzero(size > 1)
    for step in range(1, int(n_atoms.max()) // 2 + 1):
        atoms = atoms[size[atoms] >= 2 * step]
        others = first[atoms] + (place[atoms] + step) % size[atoms]
        apart = fractional[atoms] - fractional[others]
        apart -= np.round(apart)
        some = np.flatnonzero((np.abs(apart) <= near[owner[atoms]]).all(axis=1))
        distance = np.linalg.norm(np.einsum("ni,nij->nj", apart[some], lattice[owner[atoms[some]]]), axis=1)
        found[owner[atoms[some[distance < closest]]]] = True
    return found
