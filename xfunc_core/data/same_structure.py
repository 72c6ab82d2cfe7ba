"""Which frames are the same structure: the same atoms in the same cell, whatever their order and whichever image is written.

Two frames are the same structure when they hold the same elements, when the lengths of their lattice vectors and the distances
between the vectors' ends agree within a tolerance, and when every atom of one lies within it of an atom of the same element of
the other, fractional coordinates taken modulo one. So the order of the atoms, lattice translations and the orientation of the
cell in space do not matter; another choice of cell or origin does.

Comparing all with all would take forever. Each frame gets some numbers that do not depend on the order of its atoms and that a
displacement by the tolerance changes by at most one: same structures lie within one of each other in each of them, so a tree
finds all candidates, and these are compared atom by atom.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from xfunc_core.data.dataset import Dataset

TOLERANCE = 1e-3
"""Å; less than any step of a relaxation worth keeping, more than files round."""
MAX_REORDERED = 500
"""Atoms above which a frame is recognised only if its atoms come in the same order: reordering takes the square of the atoms."""
NEIGHBOURS = 8
"""Candidates that a frame is compared with, besides those that share its coarse cell."""
_ATOMS_AT_A_TIME = 200_000
_CELL = 16.0
"""Width of the coarse cells, in tolerances: copies fall into the same one unless they differ and lie at its edge."""
_WAVES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=float)
"""Directions in which atoms are projected, in units of the reciprocal lattice."""
_PHASES = np.array([0.1234567, 0.2718281, 0.3141592, 0.1618033, 0.0577215, 0.3692015])
"""Where the projections start: at no special position of a crystal."""
_RANDOM = np.random.default_rng(20250722)
_ELEMENT = _RANDOM.integers(1, 2**63, 256, dtype=np.uint64)
_MIXER = _RANDOM.integers(1, 2**63, 6 + 2 * len(_WAVES), dtype=np.uint64) | np.uint64(1)


class Structures:
    """The structures of one or more datasets under one numbering, those of the first dataset first."""

    def __init__(self, *datasets: Dataset) -> None:
        self._datasets = datasets
        self._starts = np.cumsum([0, *(len(d) for d in datasets)])
        self.n_atoms = np.concatenate([d.columns["n_atoms"].to_numpy() for d in datasets]).astype(np.int64)
        """Atoms of each frame, shape (F,)."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.n_atoms)

    def lattice(self, rows: np.ndarray) -> np.ndarray:
        """Row vectors in Å, shape (n, 3, 3)."""
        found = np.empty((len(rows), 3, 3))
        for dataset, start, here in self._parts(rows):
            found[here] = dataset.frame_array("lattice")[rows[here] - start]
        return found

    def atoms(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atomic numbers, shape (A,), and fractional coordinates, shape (A, 3), frame after frame."""
        owner = np.repeat(np.arange(len(rows)), self.n_atoms[rows])
        numbers, positions = np.empty(len(owner), dtype=np.uint8), np.empty((len(owner), 3))
        for dataset, start, here in self._parts(rows):
            atoms, wanted = here[owner], dataset.atoms_of_all(rows[here] - start)
            numbers[atoms], positions[atoms] = dataset.atom_array("numbers")[wanted], dataset.atom_array("positions")[wanted]
        return numbers, np.einsum("ni,nij->nj", positions, np.linalg.inv(self.lattice(rows))[owner])

    def pieces(self, rows: np.ndarray) -> Iterator[slice]:
        """Slices of ``rows`` that hold a bounded number of atoms each, or one frame."""
        ends = np.cumsum(self.n_atoms[rows])
        cuts = np.flatnonzero(np.diff(ends // _ATOMS_AT_A_TIME)) + 1
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            yield slice(int(start), int(stop))

    def _parts(self, rows: np.ndarray) -> Iterator[tuple[Dataset, int, np.ndarray]]:
        for dataset, start, end in zip(self._datasets, self._starts, self._starts[1:], strict=False):
            yield dataset, int(start), (rows >= start) & (rows < end)


def group_same(structures: Structures) -> np.ndarray:
    """The group of each frame, shape (F,): frames that are the same structure share one.

    Every frame of a group is the same as another of it, not as each: a series in steps below the tolerance falls into one or a
    few groups. Memory grows by some 200 bytes a frame. A frame whose cell is thinner than 1 Å may be missed.
    """
    content, measures = _fingerprints(structures)
    first = _first_of_coarse_cell(content, measures)
    others = np.flatnonzero(first != np.arange(len(first)))
    copies = others[same(structures, others, first[others])]
    left = np.delete(np.arange(len(structures)), copies)
    a, b = _candidates(content[left], measures[left])
    a, b = left[a], left[b]
    linked = same(structures, a, b)
    links = np.concatenate([copies, a[linked]]), np.concatenate([first[copies], b[linked]])
    graph = coo_array((np.ones(len(links[0]), dtype=bool), links), shape=(len(structures),) * 2)
    return connected_components(graph, directed=False)[1]


def same(structures: Structures, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether frames ``a`` are the same structures as frames ``b``, one by one, shape (n,)."""
    found = structures.n_atoms[a] == structures.n_atoms[b]
    candidates = np.flatnonzero(found)
    for piece in structures.pieces(a[candidates]):
        rows = candidates[piece]
        found[rows] = _same_piece(structures, a[rows], b[rows])
    return found


def _same_piece(structures: Structures, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As `same`, for few enough frames of equal numbers of atoms."""
    if not len(a):
        return np.zeros(0, dtype=bool)
    lattice = structures.lattice(a)
    found = (np.abs(_lengths(lattice) - _lengths(structures.lattice(b))) <= TOLERANCE).all(axis=1)
    (numbers_a, at_a), (numbers_b, at_b) = structures.atoms(a), structures.atoms(b)
    n_atoms = structures.n_atoms[a]
    first = np.cumsum(n_atoms) - n_atoms
    owner = np.repeat(np.arange(len(a)), n_atoms)
    in_order = np.logical_and.reduceat((numbers_a == numbers_b) & _near(at_a - at_b, lattice[owner]), first)
    reordered = found & ~in_order
    found &= in_order
    for n in np.unique(n_atoms[reordered & (n_atoms <= MAX_REORDERED)]):
        rows = np.flatnonzero(reordered & (n_atoms == n))
        at_once = max(1, _ATOMS_AT_A_TIME // int(n) ** 2)
        for some in np.split(rows, range(at_once, len(rows), at_once)):
            atoms = first[some, None] + np.arange(n)
            found[some] = _same_in_any_order((numbers_a[atoms], numbers_b[atoms]), (at_a[atoms], at_b[atoms]), lattice[some])
    return found


def _same_in_any_order(numbers: tuple[np.ndarray, np.ndarray], at: tuple[np.ndarray, np.ndarray], lattice: np.ndarray) -> np.ndarray:
    """Whether n frames of N atoms match, shape (n,): each atom lies on one of the other side; numbers (n, N), places (n, N, 3)."""
    near = _near(at[0][:, :, None] - at[1][:, None], lattice[:, None, None]) & (numbers[0][:, :, None] == numbers[1][:, None])
    return near.any(axis=2).all(axis=1) & near.any(axis=1).all(axis=1)


def _near(shift: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Whether fractional differences (…, 3) are within the tolerance of a lattice vector, lattices (…, 3, 3)."""
    distance = np.einsum("...i,...ij->...j", shift - np.round(shift), lattice)
    return (distance**2).sum(axis=-1) <= TOLERANCE**2


def _lengths(lattice: np.ndarray) -> np.ndarray:
    """What fixes a lattice but for its orientation: the lengths of its vectors and the distances of their ends, Å, (n, 6)."""
    return np.linalg.norm(np.concatenate([lattice, lattice - np.roll(lattice, 1, axis=1)], axis=1), axis=2)


def _fingerprints(structures: Structures) -> tuple[np.ndarray, np.ndarray]:
    """A number for the content of each frame, shape (F,), and measures in units of the tolerance, shape (F, 18)."""
    content = np.empty(len(structures), dtype=np.uint64)
    measures = np.empty((len(structures), len(_MIXER)))
    everything = np.arange(len(structures))
    for piece in structures.pieces(everything):
        rows = everything[piece]
        numbers, at = structures.atoms(rows)
        first = np.cumsum(structures.n_atoms[rows]) - structures.n_atoms[rows]
        content[piece] = np.add.reduceat(_ELEMENT[numbers], first)
        wave = at @ _WAVES.T + _PHASES
        # Distance from the nearest crest: changes at most as fast as the wave is steep, and its extremes over the atoms do too.
        wave = np.abs(wave - np.round(wave)) / np.linalg.norm(_WAVES, axis=1)
        extremes = [extreme.reduceat(wave, first) for extreme in (np.minimum, np.maximum)]
        measures[piece] = np.concatenate([_lengths(structures.lattice(rows)), *extremes], axis=1) / TOLERANCE
    return content, measures


def _first_of_coarse_cell(content: np.ndarray, measures: np.ndarray) -> np.ndarray:
    """The first frame of the same content and about the same measures, shape (F,); a frame may be its own."""
    key = content.copy()
    for column, mixer in zip(measures.T, _MIXER, strict=True):
        key += np.floor(column / _CELL + 0.3819660).astype(np.int64).astype(np.uint64) * mixer  # unsigned numbers wrap around
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return first[cell]


def _candidates(content: np.ndarray, measures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of frames of the same content whose measures differ by one at most; each frame with its nearest `NEIGHBOURS`."""
    _, kind = np.unique(content, return_inverse=True)
    points = np.column_stack([4.0 * kind, measures])
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)  # many points may coincide
    _, near = tree.query(points, k=range(1, NEIGHBOURS + 2), p=np.inf, distance_upper_bound=1.0 + 1e-6)
    a, b = np.repeat(np.arange(len(points)), near.shape[1]), near.ravel()
    found = (b < len(points)) & (a != b)  # none is told as an index beyond the last
    a, b = np.minimum(a, b)[found], np.maximum(a, b)[found]
    return np.divmod(np.unique(a * len(points) + b), len(points))
