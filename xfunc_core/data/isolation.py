"""Atoms without a neighbour, which CHGNet cannot take: its graph has no edge there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from xfunc_core.data.dataset import Dataset

CUTOFF = 6.0
"""Å; as far as CHGNet's atom graph reaches."""
_SHORT_COMBINATIONS = np.array([v for v in product((-1, 0, 1), repeat=3) if v > (0, 0, 0)])
"""Lattice vectors one of which is the shortest of any cell that is not extremely skewed; opposite ones are as long."""
_TRIES = 64
"""Other atoms of the cell that are tried before the neighbours of an atom are searched for; in a crystal a few will do."""
_PERIODIC = np.ones(3, dtype=np.int64)
_AT_A_TIME = 200_000
"""Atoms, and lattices, looked at together."""


def count_isolated_atoms(dataset: Dataset, cutoff: float = CUTOFF) -> np.ndarray:
    """Atoms of each frame with no other atom, and no periodic image of any, within ``cutoff`` in Å; shape (F,)."""
    isolated = np.zeros(len(dataset), dtype=np.int64)
    lattice = dataset.frame_array("lattice")
    rows = _without_close_image(lattice, cutoff)
    n_atoms = dataset.columns["n_atoms"].to_numpy().astype(np.int64)[rows]
    pieces = np.flatnonzero(np.diff(np.cumsum(n_atoms) // _AT_A_TIME)) + 1
    for some, n in zip(np.split(rows, pieces), np.split(n_atoms, pieces), strict=True):
        positions = np.asarray(dataset.atom_array("positions")[dataset.atoms_of_all(some)], dtype=float)
        cells = np.asarray(lattice[some], dtype=float)
        ends = np.cumsum(n)
        for i, atoms in _undecided(cells, positions, n, cutoff):
            isolated[some[i]] = len(atoms) - _with_neighbour(cells[i], positions[ends[i] - n[i] : ends[i]], atoms, cutoff)
    return isolated


def _without_close_image(lattice: np.ndarray, cutoff: float) -> np.ndarray:
    """Rows of the frames whose atoms are not known to have an image of themselves within the cutoff."""
    closest = np.empty(len(lattice))
    for start in range(0, len(lattice), _AT_A_TIME):
        vectors = _SHORT_COMBINATIONS @ np.asarray(lattice[start : start + _AT_A_TIME])
        closest[start : start + _AT_A_TIME] = np.linalg.norm(vectors, axis=2).min(axis=1)
    return np.flatnonzero(closest > cutoff)


def _undecided(lattice: np.ndarray, position: np.ndarray, n_atoms: np.ndarray, cutoff: float) -> Iterator[tuple[int, np.ndarray]]:
    """Frames and those of their atoms for which the first few other atoms of the cell are no neighbours.

    The distance to the image in the same place of the nearest cells may be longer than the shortest, never shorter:
    an atom is decided only if it has a neighbour.
    """
    owner, first = np.repeat(np.arange(len(n_atoms)), n_atoms), np.repeat(np.cumsum(n_atoms) - n_atoms, n_atoms)
    place, size = np.arange(len(owner)) - first, n_atoms[owner]
    inverse = np.linalg.inv(lattice)
    alone = np.ones(len(owner), dtype=bool)
    for step in range(1, min(_TRIES + 1, int(n_atoms.max(initial=0)))):
        atoms = np.flatnonzero(alone & (size > step))
        others = first[atoms] + (place[atoms] + step) % size[atoms]
        shift = np.einsum("ni,nij->nj", position[atoms] - position[others], inverse[owner[atoms]])
        near = np.linalg.norm(np.einsum("ni,nij->nj", shift - np.round(shift), lattice[owner[atoms]]), axis=1) <= cutoff
        alone[atoms[near]] = alone[others[near]] = False
    left = np.flatnonzero(alone)
    frames, starts = np.unique(owner[left], return_index=True)
    yield from zip(frames.tolist(), np.split(place[left], starts[1:]), strict=False)  # no frames leave one empty piece


def _with_neighbour(lattice: np.ndarray, positions: np.ndarray, atoms: np.ndarray, cutoff: float) -> int:
    """How many of some atoms of a frame have a neighbour, by the search that CHGNet's graph is built with."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    centre, other, _, distance = find_points_in_spheres(positions, positions[atoms], r=cutoff, pbc=_PERIODIC, lattice=lattice, tol=1e-8)
    return len(np.unique(centre[(atoms[centre] != other) | (distance > 1e-8)]))
