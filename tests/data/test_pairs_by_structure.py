"""Frames that are the same crystal under other ids, by pymatgen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from xfunc_core.data import pairing_by_structure
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairing_by_structure import NO_CANDIDATE, NO_FORMULA, NO_MATCH, NOT_COMPARED, TAKEN, pair_by_structure
from xfunc_core.data.pairs import PairingMethod, Pairs
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.quantities import Functional

Paired = Callable[..., Pairs]


def rocksalt(a: float = 5.6, species: tuple[str, str] = ("Na", "Cl")) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), species, [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(a: float = 3.5) -> Structure:
    return Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def wurtzite() -> Structure:
    return Structure(Lattice.hexagonal(4.2, 6.8), ["Na", "Na", "Cl", "Cl"], [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.375], [2 / 3, 1 / 3, 0.875]])


def rattled(structure: Structure, distance: float, seed: int = 0) -> Structure:
    return structure.copy().perturb(distance, seed=seed) if distance else structure


def write(root: Path, functional: str, structures: dict[str, Structure]) -> Dataset:
    with DatasetWriter(root, functional) as writer:
        for name, s in structures.items():
            writer.add(Frame(name, name, Functional(functional), np.array(s.atomic_numbers, dtype=np.uint8), s.lattice.matrix, s.cart_coords, -1.0 * len(s)))
        return Dataset(writer.finish(report={"dropped": [], "masked": []}, replace=True, title="", functional=functional, source="", source_sha256=""))


@pytest.fixture
def paired(root: Path) -> Paired:
    return lambda pbe, r2scan, **options: pair_by_structure(write(root, "pbe", pbe), write(root, "r2scan", r2scan), **options)


def ids(pairs: Pairs) -> set[tuple[str, str]]:
    return set(zip(pairs.pbe.table["frame_id"].iloc[pairs.rows_pbe], pairs.r2scan.table["frame_id"].iloc[pairs.rows_r2scan], strict=True))


def reasons(pairs: Pairs) -> list[tuple[str, str, str]]:
    return list(pairs.unpaired.itertuples(index=False, name=None))


def test_elements_of_matpes_pair_as_the_matcher_alone_says(bundled_root: Path) -> None:
    pbe, r2scan = (open_dataset(bundled_root, f"matpes-elements-{name}") for name in ("pbe", "r2scan"))
    told: list[float] = []
    pairs = pair(pbe, r2scan, PairingMethod.BY_STRUCTURE, progress=lambda share, text: told.append(share))
    row_of = {formula: row for row, formula in enumerate(r2scan.table["formula"])}
    matcher = StructureMatcher()
    expected = [(row, row_of[formula]) for row, formula in enumerate(pbe.table["formula"]) if matcher.fit(pbe.structure(row), r2scan.structure(row_of[formula]))]
    assert list(zip(pairs.rows_pbe, pairs.rows_r2scan, strict=True)) == expected
    assert len(pairs) >= 63
    assert len(pairs.unpaired) == 2 * (89 - len(pairs))
    assert told == sorted(told) and told[0] == 0


def test_own_calculations_pair_with_their_own_frames(bundled_root: Path) -> None:
    pairs = pair(*(open_dataset(bundled_root, f"xfunc-dft-{name}") for name in ("pbe", "r2scan")), PairingMethod.BY_STRUCTURE)
    assert reasons(pairs) == []
    assert (pairs.details["distance"] == 0).all()
    assert pairs.pbe.table["frame_id"].iloc[pairs.rows_pbe].tolist() == pairs.frames["frame_id"].tolist()


def test_cells_of_other_sizes_and_volumes_are_the_same_crystal(paired: Paired) -> None:
    pairs = paired({"cubic": rocksalt(), "super": rocksalt(4.6, ("Li", "F")) * (2, 1, 1)}, {"fluoride": rocksalt(4.5, ("Li", "F")), "primitive": rocksalt(5.5).get_primitive_structure()})
    assert ids(pairs) == {("cubic", "primitive"), ("super", "fluoride")}
    assert not pairs.components_comparable
    np.testing.assert_allclose(pairs.volume_pbe, [5.6**3 / 8, 4.6**3 / 8])
    np.testing.assert_allclose(pairs.volume_r2scan, [5.5**3 / 8, 4.5**3 / 8])
    np.testing.assert_allclose(pairs.details["distance"], 0, atol=1e-6)


def test_of_several_the_most_similar_pair(paired: Paired) -> None:
    base = rocksalt()
    pairs = paired({"straight": rocksalt(5.61), "rattled": rattled(rocksalt(5.61), 0.2)}, {"a": rattled(base, 0.2), "b": base})
    assert ids(pairs) == {("straight", "b"), ("rattled", "a")}


def test_every_frame_left_alone_has_its_reason(paired: Paired) -> None:
    pairs = paired(
        {"salt": rocksalt(), "more salt": rocksalt(5.7), "oxide": rocksalt(4.2, ("Mg", "O")), "iodide": rocksalt(6.0, ("Li", "I")), "caesium": caesium_chloride(3.55)},
        {"salt": rocksalt(5.5), "wurtzite": wurtzite(), "squeezed": rocksalt(4.5, ("Li", "I")), "fluoride": rocksalt(4.0, ("Li", "F"))},
    )
    assert ids(pairs) == {("salt", "salt")}
    assert reasons(pairs) == [
        ("more salt", "PBE", TAKEN),
        ("oxide", "PBE", NO_FORMULA),
        ("iodide", "PBE", NO_CANDIDATE),
        ("caesium", "PBE", NO_MATCH),
        ("wurtzite", "r²SCAN", NO_CANDIDATE),
        ("squeezed", "r²SCAN", NO_CANDIDATE),
        ("fluoride", "r²SCAN", NO_FORMULA),
    ]


def test_surplus_of_identical_cells_is_taken(paired: Paired) -> None:
    base = rocksalt()
    shuffled = Structure.from_sites(base[::-1])
    pairs = paired({"a": base, "b": base, "c": base}, {"x": shuffled, "y": base.copy().translate_sites([0, 3], [1, 0, -2], to_unit_cell=False)})
    assert ids(pairs) == {("a", "x"), ("b", "y")}
    assert reasons(pairs) == [("c", "PBE", TAKEN)]


def test_limit_of_comparisons_is_kept_and_counted(paired: Paired) -> None:
    pbe = {f"p{i}": rocksalt(5.6 + i / 100, ("Na", "Cl")) for i in range(3)} | {"o": rocksalt(4.2, ("Mg", "O"))}
    r2scan = {f"r{i}": rocksalt(5.601 + i / 100) for i in range(3)} | {"o": rocksalt(4.0, ("Mg", "O"))}
    pairs = paired(pbe, r2scan, most_comparisons=3)
    assert ids(pairs) == {("p0", "r0"), ("p1", "r1"), ("p2", "r2")}
    assert reasons(pairs) == [("o", "PBE", NOT_COMPARED), ("o", "r²SCAN", NOT_COMPARED)]
    assert {reason for _, _, reason in reasons(paired(pbe, r2scan, most_comparisons=0))} == {NOT_COMPARED}


def test_work_on_many_frames_of_one_formula_is_bounded(paired: Paired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_by_structure, "NEAREST", 1)
    told: list[str] = []
    small, large = ([caesium_chloride(a + i / 1000) for i in range(6)] for a in (3.5, 3.52))
    pairs = paired({f"p{i}": s for i, s in enumerate(small)}, {f"r{i}": s for i, s in enumerate(large)}, progress=lambda share, text: told.append(text))
    assert told[0].endswith(" of 6")
    assert ids(pairs) == {("p5", "r0")}
    assert [reason for _, _, reason in reasons(pairs)] == [TAKEN] * 5 + [NO_CANDIDATE] * 5


def test_nothing_in_common_gives_no_pairs(paired: Paired) -> None:
    pairs = paired({"a": rocksalt()}, {"b": rocksalt(4.2, ("Mg", "O"))})
    assert len(pairs) == len(pairs.details) == 0
    assert pairs.energy_pbe.shape == (0,)
    assert reasons(pairs) == [("a", "PBE", NO_FORMULA), ("b", "r²SCAN", NO_FORMULA)]
