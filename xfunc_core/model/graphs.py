"""Crystal graphs as CHGNet sees them, built on whole arrays: bonds within 6 Å, angles between bonds within 3 Å.

The same bonds and angles as upstream's converter (chgnet 0.4.2; Deng et al. 2023), each bond once instead of twice. Three of
its rules show only at the edges, and are kept:

- a bond is one if d² < 36 + 1e-8 Å², pymatgen's tolerance;
- an angle's first bond may be exactly 3 Å long, its second may not. Such angles weigh nothing, for the envelope
  is 0 at 3 Å; so it is no matter that pymatgen's distances differ from ours in the last bit;
- a bond to an atom's own image starts at that atom in both directions, and both are its neighbours: the angle of 180°
  between them counts.

One is not: in a left-handed lattice upstream's volume is negative and its stress has the wrong sign; a volume here is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from vesin import NeighborList

from xfunc_core.data.formats.values import MIN_VOLUME_PER_ATOM
from xfunc_core.data.frame import Rejected
from xfunc_core.data.overlap import MIN_DISTANCE
from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError

if TYPE_CHECKING:
    from xfunc_core.data.dataset import Dataset

MIN_HEIGHT, MAX_LENGTH, MAX_POSITION = 0.1, 1e4, 1e6
"""Å; thickness of a cell, length of its edges, distance from the origin. Beyond them the search takes minutes, ends the process
(vesin 0.6.2 divides by 0 in a cell 1e6 Å long) or loses digits."""
_MAX_BOXES, _MIN_BOXES = 1e5, 3
"""vesin sorts atoms into boxes as wide as the cut-off. Of more than these it scales the numbers along all three axes and rounds
each down, one from the other: a number below 3 may become 0, and dividing by it ends the process."""
_SQUARED_TOLERANCE = 1e-8
"""Å²; what pymatgen adds to the squared cut-off for upstream."""


Geometry = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Atomic numbers, lattice and Cartesian positions, as in `build_graph`."""


class Cutoffs(NamedTuple):
    """How far in Å a bond reaches (upstream's atom graph), and a bond that forms angles (its bond graph)."""

    atom_graph: float = 6.0
    bond_graph: float = 3.0


CHGNET_CUTOFFS = Cutoffs()
"""Those of CHGNet 0.3.0 and of its r²SCAN version; 0.2.0 has 5 Å and 3 Å."""


class GraphError(DataError):
    """A structure has no crystal graph; the message is a reason for a list, without the frame."""


@dataclass(frozen=True, eq=False)
class StructureGraph:
    """The crystal graph of one structure of N atoms, U bonds and G angles.

    A bond is listed once. Of the ``n_short`` bonds that form angles, bond d as it stands is the directed bond d, from
    ``bond_i`` to ``bond_j``; its reverse is n_short + d, from ``bond_j`` to ``bond_i`` along ``-bond_vector``.

    Attributes:
        numbers: atomic numbers, shape (N,), uint8.
        volume: of the cell in Å³, positive whatever the handedness of the lattice.
        bond_i: atom where each bond starts, shape (U,), int32; the ``n_short`` bonds within 3 Å come first.
        bond_j: atom of which an image is the end, shape (U,), int32.
        bond_vector: from start to end in Å, shape (U, 3), float64.
        n_short: number of bonds not longer than 3 Å.
        angle_first: directed bond in [0, 2 n_short), ascending, shape (G,), int32.
        angle_second: another directed bond that starts at the same atom, shape (G,), int32.
    """

    numbers: np.ndarray
    volume: float
    bond_i: np.ndarray
    bond_j: np.ndarray
    bond_vector: np.ndarray
    n_short: int
    angle_first: np.ndarray
    angle_second: np.ndarray

    @property
    def n_atoms(self) -> int:
        """N."""
        return len(self.numbers)

    @property
    def n_bonds(self) -> int:
        """U; upstream counts twice as many edges."""
        return len(self.bond_i)

    @property
    def n_angles(self) -> int:
        """G."""
        return len(self.angle_first)


@dataclass(frozen=True)
class BuiltGraphs:
    """The graphs of many structures.

    Attributes:
        graphs: of those that have one, in order.
        kept: which ones these are, shape (len(graphs),), int64.
        rejected: all others; ``position`` counts the structures given.
    """

    graphs: list[StructureGraph]
    kept: np.ndarray
    rejected: list[Rejected]


def geometries(dataset: Dataset, rows: Sequence[int] | np.ndarray) -> Iterator[Geometry]:
    """The structures of some rows of a dataset, as `build_graph` takes them."""
    arrays = dataset.atom_array("numbers"), dataset.frame_array("lattice"), dataset.atom_array("positions")
    numbers, lattice, positions = map(np.asarray, arrays)
    for row in map(int, rows):
        atoms = dataset.atoms_of(row)
        yield numbers[atoms], lattice[row], positions[atoms]


def build_graphs(structures: Iterable[Geometry], frame_ids: Sequence[str], cutoffs: Cutoffs = CHGNET_CUTOFFS) -> BuiltGraphs:
    """The graphs of many structures; one that has none does not stop the others."""
    graphs, kept, rejected = [], [], []
    for position, (frame_id, structure) in enumerate(zip(frame_ids, structures, strict=True)):
        try:
            graphs.append(build_graph(*structure, cutoffs))
            kept.append(position)
        except GraphError as error:
            rejected.append(Rejected(position, str(frame_id), str(error)))
    return BuiltGraphs(graphs, np.array(kept, dtype=np.int64), rejected)


def build_graph(numbers: np.ndarray, lattice: np.ndarray, positions: np.ndarray, cutoffs: Cutoffs = CHGNET_CUTOFFS) -> StructureGraph:
    """The crystal graph of a structure, periodic in all directions.

    Args:
        numbers: atomic numbers, shape (N,).
        lattice: row vectors in Å, shape (3, 3).
        positions: Cartesian, in Å, inside the cell or not, shape (N, 3).
        cutoffs: those of the network the graph is for.

    Raises:
        GraphError: it holds no atom, an element that CHGNet does not know or a number that is not finite; its cell is flat;
            atoms overlap; or an atom has no neighbour.
    """
    numbers = np.asarray(numbers)
    lattice, positions = (np.ascontiguousarray(array, dtype=np.float64) for array in (lattice, positions))
    volume = _checked_volume(numbers, lattice, positions, cutoffs.atom_graph)
    pairs, vectors = _half_list(lattice, positions, cutoffs.atom_graph)
    distances = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    _check_neighbours(pairs, distances, len(numbers), cutoffs.atom_graph)
    is_short = distances <= cutoffs.bond_graph
    order = np.concatenate([np.flatnonzero(is_short), np.flatnonzero(~is_short)])
    bond_i, bond_j = pairs[order].T.astype(np.int32, order="C")
    n_short = int(is_short.sum())
    at_cutoff = distances[order[:n_short]] == cutoffs.bond_graph
    first, second = _angles(np.concatenate([bond_i[:n_short], bond_j[:n_short]]), np.concatenate([at_cutoff, at_cutoff]))
    return StructureGraph(numbers.astype(np.uint8), volume, bond_i, bond_j, vectors[order], n_short, first, second)


def _checked_volume(numbers: np.ndarray, lattice: np.ndarray, positions: np.ndarray, cutoff: float) -> float:
    """Volume of the cell in Å³, of a structure that may be searched for neighbours: they will be finite, and not too many."""
    if len(numbers) == 0:
        raise GraphError("it holds no atom")
    if not (lattice.shape == (3, 3) and positions.shape == (len(numbers), 3)):
        raise GraphError(f"its arrays do not fit: {len(numbers)} atoms, positions {positions.shape}, lattice {lattice.shape}")
    known = (numbers >= 1) & (numbers <= N_REFERENCED) & (numbers % 1 == 0)
    if not known.all():
        wrong = numbers[~known][0]
        raise GraphError(f"it holds the atomic number {wrong}, and CHGNet knows 1 to {N_REFERENCED} (plutonium)")
    if not np.isfinite(lattice).all():
        raise GraphError("its lattice holds a number that is not finite")
    _check_positions(positions)
    return _volume(lattice, len(numbers), cutoff)


def _check_positions(positions: np.ndarray) -> None:
    within = np.abs(positions) <= MAX_POSITION
    if not within.all():
        atom = int(np.flatnonzero(~within.all(axis=1))[0])
        wrong = f"more than {MAX_POSITION:,.0f} Å from the origin" if np.isfinite(positions[atom]).all() else "not finite"
        raise GraphError(f"the position of atom {atom + 1} is {wrong}")


def _volume(lattice: np.ndarray, n_atoms: int, cutoff: float) -> float:
    """Of the cell in Å³; refuses a cell that holds no crystal of so many atoms, or that cannot be searched."""
    longest = float(np.abs(lattice).max())
    if longest > MAX_LENGTH:
        raise GraphError(f"its cell is {longest:.3g} Å long, and xfunc takes up to {MAX_LENGTH:,.0f} Å")
    with np.errstate(divide="ignore", invalid="ignore"):  # of a flat cell
        volume = abs(float(np.linalg.det(lattice)))
    if not volume > MIN_VOLUME_PER_ATOM * n_atoms:
        raise GraphError(f"its cell has a volume of {volume:.3g} Å³ for {n_atoms} atoms")
    heights = np.sort((np.linalg.inv(lattice) ** 2).sum(axis=0) ** -0.5)
    if heights[0] < MIN_HEIGHT:
        raise GraphError(f"its cell is {heights[0]:.2g} Å thin: choose less skewed lattice vectors")
    boxes = np.maximum(np.floor(heights / cutoff), 1)
    if boxes.prod() > _MAX_BOXES and boxes[0] * (_MAX_BOXES / boxes.prod()) ** (1 / 3) < _MIN_BOXES:
        size = " × ".join(f"{height:,.0f}" for height in heights[::-1])
        raise GraphError(f"its cell is {size} Å, too wide for one so thin: leave less empty space around the atoms")
    return volume


def _half_list(lattice: np.ndarray, positions: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Each bond once: its atoms, shape (U, 2), and its vector in Å, shape (U, 3)."""
    search = NeighborList(cutoff=(cutoff**2 + _SQUARED_TOLERANCE) ** 0.5, full_list=False, n_threads=1)
    pairs, vectors = search.compute(positions, lattice, True, "PD")
    return pairs, vectors


def _check_neighbours(pairs: np.ndarray, distances: np.ndarray, n_atoms: int, cutoff: float) -> None:
    """Refuse overlapping and isolated atoms."""
    alone = np.flatnonzero(np.bincount(pairs.ravel().astype(np.int64), minlength=n_atoms) == 0)
    if len(alone):
        others = f", as have {len(alone) - 1} more" if len(alone) > 1 else ""
        raise GraphError(f"atom {alone[0] + 1} has no neighbour within {cutoff:g} Å{others}")
    closest = int(distances.argmin())
    if distances[closest] < MIN_DISTANCE:
        i, j = sorted(int(atom) + 1 for atom in pairs[closest])
        which = f"atoms {i} and {j} are" if i != j else f"atom {i} and its image are"
        raise GraphError(f"{which} {distances[closest]:.2g} Å apart")


def _angles(start: np.ndarray, at_cutoff: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of directed bonds that start at the same atom, sorted by the first.

    Args:
        start: atom where each directed bond starts, shape (2 n_short,).
        at_cutoff: those exactly 3 Å long, which are no second bonds, shape (2 n_short,).
    """
    by_start = np.argsort(start, kind="stable").astype(np.int32)
    degree = np.bincount(start)
    count = degree[start]
    shift = (np.cumsum(degree) - degree)[start] - (np.cumsum(count) - count)
    first = np.repeat(np.arange(len(start), dtype=np.int32), count)
    second = by_start[np.arange(len(first)) + np.repeat(shift, count)]
    are_two = first != second
    if at_cutoff.any():
        are_two &= ~at_cutoff[second]
    return first[are_two], second[are_two]
