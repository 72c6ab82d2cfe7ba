"""The crystal graph against upstream's converter: the same bonds and angles, as sets, whatever the cell; and what has no graph."""

from __future__ import annotations

import numpy as np
import pytest
from chgnet.graph import CrystalGraphConverter
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymatgen.core import Lattice, Structure

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.library import list_datasets
from xfunc_core.model.graphs import Cutoffs, GraphError, StructureGraph, build_graph, build_graphs, geometries

CONVERTER = CrystalGraphConverter(atom_graph_cutoff=6, bond_graph_cutoff=3, on_isolated_atoms="error")


def geometry(structure: Structure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(structure.atomic_numbers), structure.lattice.matrix, structure.cart_coords


def sorted_rows(table: np.ndarray) -> np.ndarray:
    return table[np.lexsort(table.T)]


def upstream_sets(structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Directed bonds as rows (centre, neighbour, image), and angles as rows (first bond, second bond); both sorted."""
    graph = CONVERTER(structure)
    bonds = np.column_stack([graph.atom_graph.numpy(), graph.neighbor_image.detach().numpy().astype(int)])
    angles = graph.bond_graph.numpy().reshape(-1, 5)
    return sorted_rows(bonds), sorted_rows(np.column_stack([bonds[angles[:, 2]], bonds[angles[:, 4]]]))


def our_sets(graph: StructureGraph, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """The same of our graph; images follow from the bond vectors."""
    centre, neighbour = np.concatenate([graph.bond_i, graph.bond_j]), np.concatenate([graph.bond_j, graph.bond_i])
    vectors = np.concatenate([graph.bond_vector, -graph.bond_vector])
    between = structure.cart_coords[neighbour] - structure.cart_coords[centre]
    image = structure.lattice.get_fractional_coords(vectors - between)
    np.testing.assert_allclose(image, np.rint(image), atol=1e-7)
    bonds = np.column_stack([centre, neighbour, np.rint(image).astype(int)])
    first, second = (np.where(d < graph.n_short, d, d - graph.n_short + graph.n_bonds) for d in (graph.angle_first, graph.angle_second))
    return sorted_rows(bonds), sorted_rows(np.column_stack([bonds[first], bonds[second]]))


def assert_same(structure: Structure) -> StructureGraph:
    graph = build_graph(*geometry(structure))
    for ours, theirs in zip(our_sets(graph, structure), upstream_sets(structure), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    lengths = np.linalg.norm(graph.bond_vector, axis=1)
    assert (lengths[: graph.n_short] <= 3).all() and (lengths[graph.n_short :] > 3).all()
    assert (np.diff(graph.angle_first) >= 0).all()
    assert graph.volume == pytest.approx(structure.volume)
    return graph


def test_every_bundled_structure_has_upstreams_bonds_and_angles(bundled_home) -> None:
    structures = [dataset.structure(row) for dataset in list_datasets(bundled_home / "datasets") for row in range(len(dataset))]
    graphs = [assert_same(structure) for structure in structures]
    assert len(graphs) >= 364
    assert any(graph.n_angles == 0 for graph in graphs) and any((graph.bond_i == graph.bond_j).all() for graph in graphs)


AWKWARD = {
    "an atom that bonds its own images only": Structure(Lattice.cubic(2.3), ["Fe"], [[0, 0, 0]]),
    "many own images": Structure(Lattice.cubic(1.3), ["H"], [[0.2, 0.3, 0.4]]),
    "a chain of own images, with vacuum around": Structure(Lattice.orthorhombic(2.2, 15, 15), ["C"], [[0, 0, 0]]),
    "a skewed cell": Structure(Lattice([[3.1, 0, 0], [17, 3.2, 0], [-9, 14, 3.2]]), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "a left-handed cell": Structure(Lattice([[0, 3.1, 0], [2.9, 0.2, 0], [0, 0, 4]]), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "a slab": Structure(Lattice.tetragonal(3.6, 30), ["Cu"] * 4, [[0, 0, 0.5], [0.5, 0.5, 0.56], [0, 0, 0.62], [0.5, 0.5, 0.68]]),
    "a molecule in vacuum": Structure(Lattice.cubic(20), ["O", "H", "H"], [[0, 0, 0], [0.048, 0, 0], [-0.012, 0.0465, 0]]),
    "atoms outside the cell": Structure(Lattice.cubic(4), ["Cs", "Cl"], [[-3.1, 7.2, 0], [12.4, -0.3, 5.5]]),
    "exactly 3 Å": Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]]),
    "exactly 3 Å and shorter": Structure(Lattice.tetragonal(3, 2), ["Po"], [[0, 0, 0]]),
    "exactly 6 Å": Structure(Lattice.cubic(6), ["Cs"], [[0, 0, 0]]),
    "within the tolerance of 6 Å": Structure(Lattice.cubic(6 + 8e-10), ["Cs"], [[0, 0, 0]]),
    "200 atoms": Structure(Lattice.cubic(4.2), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) * (5, 5, 4),
}


@pytest.mark.parametrize("what", AWKWARD)
def test_awkward_cells_have_upstreams_bonds_and_angles(what: str) -> None:
    assert_same(AWKWARD[what])


def without_borderline(angles: np.ndarray, structure: Structure) -> np.ndarray:
    """Angles none of whose bonds is 3 Å long to rounding: those weigh nothing, and whether they count hangs on the last bit."""
    keep = np.ones(len(angles), dtype=bool)
    for bond in (angles[:, :5], angles[:, 5:]):
        between = structure.cart_coords[bond[:, 1]] - structure.cart_coords[bond[:, 0]]
        keep &= abs(np.linalg.norm(between + bond[:, 2:] @ structure.lattice.matrix, axis=1) - 3) > 1e-9
    return angles[keep]


@settings(max_examples=60, deadline=None)
@given(
    heights=arrays(np.float64, 3, elements=st.floats(1.5, 9)),
    skew=arrays(np.float64, (3, 3), elements=st.floats(-9, 9)),
    fractions=st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, 3), elements=st.floats(-2, 2))),
)
def test_any_cell_that_has_a_graph_has_upstreams(heights: np.ndarray, skew: np.ndarray, fractions: np.ndarray) -> None:
    lattice = np.diag(heights) + np.tril(skew, -1)
    structure = Structure(Lattice(lattice), ["Si"] * len(fractions), fractions @ lattice, coords_are_cartesian=True)
    try:
        graph = build_graph(*geometry(structure))
    except GraphError:
        return
    (bonds, angles), (their_bonds, their_angles) = our_sets(graph, structure), upstream_sets(structure)
    np.testing.assert_array_equal(bonds, their_bonds)
    np.testing.assert_array_equal(without_borderline(angles, structure), without_borderline(their_angles, structure))


def test_the_cutoffs_of_another_network() -> None:
    structure = AWKWARD["a slab"]
    graph = build_graph(*geometry(structure), Cutoffs(5.0, 2.6))
    theirs = CrystalGraphConverter(atom_graph_cutoff=5, bond_graph_cutoff=2.6)(structure)
    assert (2 * graph.n_bonds, graph.n_angles) == (len(theirs.atom_graph), len(theirs.bond_graph))


def test_angles_by_hand() -> None:
    """Two own images at 2.2 Å: each direction is the other's only partner."""
    graph = build_graph(*geometry(AWKWARD["a chain of own images, with vacuum around"]))
    assert (graph.n_bonds, graph.n_short) == (2, 1)  # 2.2 and 4.4 Å
    assert graph.angle_first.tolist() == [0, 1] and graph.angle_second.tolist() == [1, 0]


# --- what has no graph ---------------------------------------------------------------------------

TWO = (np.array([11, 17]), np.eye(3) * 4.0, np.array([[0.0, 0, 0], [2, 2, 2]]))


def changed(**parts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers, lattice, positions = TWO
    return parts.get("numbers", numbers), parts.get("lattice", lattice), parts.get("positions", positions)


BAD = {
    "it holds no atom": changed(numbers=np.array([], dtype=int), positions=np.empty((0, 3))),
    "it holds the atomic number 95, and CHGNet knows 1 to 94 (plutonium)": changed(numbers=np.array([11, 95])),
    "it holds the atomic number 0, and CHGNet knows 1 to 94 (plutonium)": changed(numbers=np.array([0, 11])),
    "it holds the atomic number nan, and CHGNet knows 1 to 94 (plutonium)": changed(numbers=np.array([11, np.nan])),
    "it holds the atomic number 17.5, and CHGNet knows 1 to 94 (plutonium)": changed(numbers=np.array([11, 17.5])),
    "its lattice holds a number that is not finite": changed(lattice=np.diag([4, np.inf, 4])),
    "the position of atom 2 is not finite": changed(positions=np.array([[0, 0, 0], [np.nan, 0, 0]])),
    "the position of atom 2 is more than 1,000,000 Å from the origin": changed(positions=np.array([[0, 0, 0], [1e300, 0, 0]])),
    "its cell is 1e+09 Å long, and xfunc takes up to 10,000 Å": changed(lattice=np.diag([1e9, 4, 4])),
    "its cell is 0.0016 Å thin: choose less skewed lattice vectors": changed(lattice=np.array([[4.0, 0, 0], [1e4, 4, 0], [0, 0, 4]])),
    **{
        f"its cell is {size} Å, too wide for one so thin: leave less empty space around the atoms": (
            np.array([1, 1]),
            np.diag(edges),
            np.array([[0, 0, 0], [0.74, 0, 0]]),
        )
        for size, edges in {
            "1,950 × 1,950 × 5": [1950.0, 1950, 5],
            "2,100 × 2,000 × 6": [6.0, 2000, 2100],
            "9,000 × 700 × 5": [700.0, 9000, 5],
            "2,000 × 2,000 × 1": [2000.0, 2000, 0.6],
            "10,000 × 10,000 × 12": [1e4, 1e4, 12],
        }.items()
    },
    "its cell has a volume of 0 Å³ for 2 atoms": changed(lattice=np.diag([4, 0, 4])),
    "atoms 1 and 2 are 0.1 Å apart": changed(positions=np.array([[0, 0, 0], [0, 0, 3.9]])),
    "atoms 1 and 2 are 0 Å apart": changed(positions=np.zeros((2, 3))),
    "atom 1 and its image are 0.2 Å apart": (np.array([1]), np.diag([0.2, 5, 5]), np.zeros((1, 3))),
    "atom 2 has no neighbour within 6 Å": (np.array([8, 2, 8]), np.eye(3) * 30, np.array([[0, 0, 0], [15, 15, 15], [1.2, 0, 0]])),
    "atom 1 has no neighbour within 6 Å, as have 1 more": changed(lattice=np.eye(3) * 40, positions=np.array([[0, 0, 0], [20, 20, 20]])),
    "its arrays do not fit: 2 atoms, positions (1, 3), lattice (3, 3)": changed(positions=np.zeros((1, 3))),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_has_no_graph_is_told_why(reason: str) -> None:
    with pytest.raises(GraphError) as error:
        build_graph(*BAD[reason])
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("edges", "lengths"),
    [
        ((1850, 1850, 5), [0.74, 5, 5, np.hypot(0.74, 5), np.hypot(0.74, 5)]),
        ((5, 1850, 1850), [0.74, 5 - 0.74, 5, 5, 5 + 0.74]),
        ((1950, 1950, 40), [0.74]),
        ((3000, 3000, 3000), [0.74]),
    ],
)
def test_a_molecule_in_a_wide_cell_has_its_bonds(edges: tuple[float, float, float], lengths: list[float]) -> None:
    graph = build_graph(np.array([1, 1]), np.diag(edges).astype(float), np.array([[0, 0, 0], [0.74, 0, 0]]))
    np.testing.assert_allclose(np.sort(np.linalg.norm(graph.bond_vector, axis=1)), lengths)


@pytest.mark.parametrize(
    "structure", [Structure(Lattice.cubic(6 + 9e-10), ["Cs"], [[0, 0, 0]]), Structure(Lattice.cubic(25), ["He"], [[0, 0, 0]])]
)
def test_an_atom_alone_is_refused_where_upstream_refuses_it(structure: Structure) -> None:
    with pytest.raises(ValueError, match="isolated"):
        CONVERTER(structure)
    with pytest.raises(GraphError, match="no neighbour"):
        build_graph(*geometry(structure))


def test_a_bad_structure_is_named_and_the_others_survive(few: Dataset) -> None:
    structures, reasons = [*geometries(few, range(len(few)))], list(BAD)
    mixed = [structures[0], BAD[reasons[0]], structures[1], *(BAD[reason] for reason in reasons[1:]), structures[2]]
    built = build_graphs(mixed, [f"frame {i}" for i in range(len(mixed))])
    assert built.kept.tolist() == [0, 2, len(mixed) - 1]
    for graph, structure in zip(built.graphs, structures, strict=False):
        np.testing.assert_array_equal(graph.bond_vector, build_graph(*structure).bond_vector)
    assert [(r.position, r.frame_id, r.reason) for r in built.rejected] == [
        (i, f"frame {i}", reason) for i, reason in zip([1, *range(3, len(mixed) - 1)], reasons, strict=True)
    ]
