"""Same structures are found whatever the order, image and orientation; brute force and pymatgen say which they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from xfunc_core.data import same_structure
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.duplicates import find_duplicates
from xfunc_core.data.frame import Frame
from xfunc_core.data.importing import import_file
from xfunc_core.data.same_structure import MAX_REORDERED, TOLERANCE, Structures, group_same, same
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.quantities import Functional

Write = Callable[..., Dataset]
CELL = np.array([[4.0, 0, 0], [0.5, 4.5, 0], [0, 0.25, 5]])
SITES = np.array([[0.1, 0.2, 0.3], [0.6, 0.1, 0.75], [0.3, 0.55, 0.9], [0.85, 0.7, 0.5]])
NUMBERS = (3, 3, 8, 16)


def frame(name: str, sites: np.ndarray = SITES, cell: np.ndarray = CELL, numbers: tuple[int, ...] = NUMBERS, **labels: object) -> Frame:
    return Frame(name, name, Functional.PBE, np.array(numbers, dtype=np.uint8), cell, sites @ cell, **labels)


@pytest.fixture
def write(root: Path) -> Write:
    def to_dataset(frames: list[Frame], name: str = "set") -> Dataset:
        with DatasetWriter(root, name) as writer:
            for item in frames:
                writer.add(item)
            return Dataset(writer.finish(report={"dropped": [], "masked": []}, replace=True, title="", functional="pbe", source="", source_sha256=""))

    return to_dataset


def groups(*datasets: Dataset) -> list[list[int]]:
    """Rows of the frames of each group, by their first."""
    found = group_same(Structures(*datasets))
    return sorted(np.flatnonzero(found == g).tolist() for g in set(found.tolist()))


# --- made -------------------------------------------------------------------------------------

ORDER = [2, 0, 3, 1]
TURN = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
SAME = {
    "identical": frame("b"),
    "reordered": frame("b", SITES[ORDER], numbers=tuple(NUMBERS[i] for i in ORDER)),
    "other images": frame("b", SITES + [[1, 0, 0], [0, -2, 0], [3, 0, 1], [0, 0, 0]]),
    "turned": frame("b", cell=CELL @ TURN),
    "rounded": frame("b", np.round(SITES + 1e-9, 8)),
    "moved by less than the tolerance": frame("b", SITES + [[0, 0, 0.9 * TOLERANCE / 5.01], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    "all of it": frame("b", SITES[ORDER] + [[1, 0, 0], [0, -2, 0], [0, 0, 0], [0, 0, 0]], CELL @ TURN, tuple(NUMBERS[i] for i in ORDER)),
}
OTHER = {
    "moved": frame("b", SITES + [[0, 0, 1.1 * TOLERANCE / 5], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    "strained": frame("b", cell=CELL + np.diag([0, 0, 1.2 * TOLERANCE])),
    "sheared": frame("b", cell=CELL + [[0, 0, 0], [0.01, 0, 0], [0, 0, 0]]),
    "two elements exchanged": frame("b", numbers=(3, 8, 3, 16)),
    "another element": frame("b", numbers=(3, 3, 8, 34)),
    "an atom more": frame("b", np.vstack([SITES, [0.5, 0.5, 0.2]]), numbers=(*NUMBERS, 8)),
    "two atoms on one": frame("b", SITES[[0, 0, 2, 3]]),
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME)
def test_same_structure_is_recognised(write: Write, other: Frame) -> None:
    assert groups(write([frame("a"), frame("c", SITES + 0.05), other])) == [[0, 2], [1]]


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_another_structure_is_not(write: Write, other: Frame) -> None:
    assert groups(write([frame("a"), other])) == [[0], [1]]


def test_copies_are_found_across_datasets_and_pieces(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_structure, "_ATOMS_AT_A_TIME", 5)
    first, second = write([frame("a"), frame("b", SITES + 0.01)], "one"), write([frame("c", SITES + 0.01), frame("d", SITES[::-1], numbers=NUMBERS[::-1]), frame("e")], "two")
    assert groups(first, second) == [[0, 3, 4], [1, 2]]


def test_sameness_is_not_passed_on_beyond_the_tolerance(write: Write) -> None:
    step = np.zeros((4, 3))
    step[1, 0] = 0.8 * TOLERANCE / 4
    dataset = write([frame(str(i), SITES + i * step) for i in range(6)])
    assert same(Structures(dataset), np.array([0, 0, 0, 4]), np.array([1, 2, 5, 5])).tolist() == [True, False, False, True]
    assert all(np.diff(group).tolist() == [1] * (len(group) - 1) and len(group) > 1 for group in groups(dataset))


def test_large_cells_are_compared_in_their_order_only(write: Write) -> None:
    n = MAX_REORDERED + 1
    sites = np.random.default_rng(0).random((n, 3))
    large = [frame(name, s, 20 * CELL, (3,) * n) for name, s in (("a", sites), ("b", sites + 1), ("c", sites[::-1]))]
    assert groups(write(large)) == [[0, 1], [2]]


def test_frames_of_one_atom_and_of_none_at_all(write: Write) -> None:
    one = np.zeros((1, 3))
    assert groups(write([frame("a", one, numbers=(3,)), frame("b", one + 2, numbers=(3,)), frame("c", one, numbers=(11,))])) == [[0, 1], [2]]


# --- against brute force ----------------------------------------------------------------------


def is_same_by_force(a: Frame, b: Frame) -> bool:
    """Try every order of the atoms."""
    if sorted(a.numbers) != sorted(b.numbers):
        return False
    for pick in (lambda cell: [np.linalg.norm(v) for v in cell], lambda cell: [np.linalg.norm(cell[i] - cell[i - 1]) for i in range(3)]):
        if np.abs(np.subtract(pick(a.lattice), pick(b.lattice))).max() > TOLERANCE:
            return False
    at_a, at_b = (np.linalg.solve(f.lattice.T, f.positions.T).T for f in (a, b))
    for order in permutations(range(a.n_atoms)):
        shift = at_a - at_b[list(order)]
        if (a.numbers == b.numbers[list(order)]).all() and np.linalg.norm((shift - np.round(shift)) @ a.lattice, axis=1).max() <= TOLERANCE:
            return True
    return False


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_groups_are_those_of_brute_force(write: Write, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    base = [rng.random((3, 3)) for _ in range(2)]
    frames = []
    for i in range(data.draw(st.integers(2, 8))):
        order = rng.permutation(3)
        jitter = rng.choice([0.0, 1e-7, 5e-5, 2e-2]) / 4 * rng.standard_normal((3, 3))
        sites = base[rng.integers(2)] + jitter + rng.integers(-1, 2, (3, 3))
        numbers = np.array([3, 3, 8])
        frames.append(frame(str(i), sites[order], CELL @ Rotation.random(rng=rng).as_matrix(), tuple(numbers[order].tolist())))
    together = [{i} for i in range(len(frames))]
    for i, a in enumerate(frames):
        for j, b in enumerate(frames[:i]):
            if is_same_by_force(a, b):
                merged = together[i] | together[j]
                for k in merged:
                    together[k] = merged
    assert groups(write(frames)) == sorted(map(list, {tuple(sorted(group)) for group in together}))


# --- labels -----------------------------------------------------------------------------------


def test_copies_and_contradictions_are_told_apart(write: Write) -> None:
    other, third = SITES + 0.02, SITES + 0.04
    labels = [
        frame("a", energy=-4.0, forces=np.full((4, 3), 0.1), stress=np.full(6, 1.0)),
        frame("b", energy=-4.002, forces=np.full((4, 3), 0.11), stress=np.full(6, 1.2)),
        frame("c", other, energy=-4.0),
        frame("d", other, energy=-4.4),
        frame("e", third, energy=-4.0, forces=np.full((4, 3), 0.1)),
        frame("f", third, forces=np.full((4, 3), 0.2)),
        frame("g", SITES + 0.06, energy=-9.0),
    ]
    found = find_duplicates(write(labels))
    assert found.copies.tolist() == [0, 1]
    assert found.conflicting.tolist() == [2, 3, 4, 5]
    assert (found.n_copied, found.n_conflicting) == (1, 2)
    assert found.largest_difference == pytest.approx(0.1)


def test_label_that_one_copy_lacks_is_no_contradiction(write: Write) -> None:
    found = find_duplicates(write([frame("a", energy=-4.0), frame("b"), frame("c", forces=np.zeros((4, 3)))]))
    assert found.copies.tolist() == [0, 1, 2]
    assert found.largest_difference == 0


def test_sample_of_mptrj_holds_the_same_structures_as_pymatgen_finds(shared: Path, root: Path) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    dataset, _ = import_file(shared / "MPtrj_sample.json", root, name="mptrj", format="mptrj")
    strict = StructureMatcher(ltol=1e-4, stol=1e-4, angle_tol=1e-2, scale=False)
    structures = [dataset.structure(row) for row in range(len(dataset))]
    close = {(i, j) for i, a in enumerate(structures) for j, b in enumerate(structures) if i < j and a.composition == b.composition and strict.fit(a, b)}
    grouped = {(i, j) for group in groups(dataset) for i in group for j in group if i < j}
    assert grouped and grouped <= close
