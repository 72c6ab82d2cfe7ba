"""Frames of two datasets that are the same structure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data import pairs as pairs_module
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairs import ALONE, GEOMETRY, POSITION_TOLERANCE, REPEATED, PairingMethod, pair_by_id
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Raw = Callable[[Path], list[dict[str, Any]]]
CELL = np.array([[4.0, 0, 0], [0.5, 4, 0], [0, 0.25, 4]])


def frame(frame_id: str, *, numbers: tuple[int, ...] = (3, 8), shift: np.ndarray | float = 0.0, cell: np.ndarray = CELL, energy: float = -1.0) -> Frame:
    n = len(numbers)
    positions = np.linspace(0, 1, n)[:, None] * [1.0, 1.5, 2.0] + shift
    return Frame(frame_id, f"material of {frame_id}", Functional.PBE, np.array(numbers, dtype=np.uint8), cell, positions, energy * n, forces=np.full((n, 3), energy), stress=np.full(6, energy))


@pytest.fixture
def paired(root: Path) -> Callable[[list[Frame], list[Frame]], pairs_module.Pairs]:
    """Pair frames written as a PBE and as an r²SCAN dataset."""

    def pair(pbe: list[Frame], r2scan: list[Frame]) -> pairs_module.Pairs:
        return pair_by_id(write(root, "pbe", pbe), write(root, "r2scan", r2scan))

    return pair


def write(root: Path, functional: str, items: list[Frame]) -> Dataset:
    with DatasetWriter(root, functional) as writer:
        for item in items:
            writer.add(item)
        return Dataset(writer.finish(report={}, replace=True, title="", functional=functional, source="", source_sha256=""))


def reasons(pairs: pairs_module.Pairs) -> list[tuple[str, str, str]]:
    return list(pairs.unpaired.itertuples(index=False, name=None))


# --- real -------------------------------------------------------------------------------------


def test_elements_of_matpes_share_63_structures_and_differ_in_26(bundled_root: Path, bundled_folder: Path, raw: Raw) -> None:
    pbe, r2scan = (raw(bundled_folder / f"MatPES-{name}-Element-Refs.json.gz") for name in ("PBE", "r2SCAN"))
    lattice_of = {d["matpes_id"]: np.array(d["structure"]["lattice"]["matrix"]) for d in r2scan}
    shared = [d["matpes_id"] for d in pbe if d["matpes_id"] in lattice_of and np.allclose(d["structure"]["lattice"]["matrix"], lattice_of[d["matpes_id"]], atol=1e-6)]
    pairs = pair_by_id(open_dataset(bundled_root, "matpes-elements-pbe"), open_dataset(bundled_root, "matpes-elements-r2scan"))
    assert len(pairs) == len(shared) == 63
    assert pairs.frames["frame_id"].tolist() == shared
    assert pairs.frames["n_atoms"].sum() == 324
    assert pairs.unpaired["functional"].value_counts().to_dict() == {"PBE": 26, "r²SCAN": 26}
    alone = {(d["matpes_id"], label) for documents, label in ((pbe, "PBE"), (r2scan, "r²SCAN")) for d in documents if d["matpes_id"] not in shared}
    assert set(zip(pairs.unpaired["frame_id"], pairs.unpaired["functional"], strict=True)) == alone


def test_own_calculations_pair_completely_and_keep_their_labels(bundled_root: Path, bundled_folder: Path, raw: Raw) -> None:
    pbe, r2scan = (raw(bundled_folder / f"xfunc-dft-{name}.jsonl.gz") for name in ("PBE", "r2SCAN"))
    of_id = {d["matpes_id"]: d for d in r2scan}
    pairs = pair_by_id(open_dataset(bundled_root, "xfunc-dft-pbe"), open_dataset(bundled_root, "xfunc-dft-r2scan"))
    assert len(pairs) == len(pbe) == len(r2scan)
    assert reasons(pairs) == []
    np.testing.assert_allclose(pairs.energy_pbe, [d["energy"] / d["nsites"] for d in pbe], rtol=1e-15)
    np.testing.assert_allclose(pairs.energy_r2scan, [of_id[d["matpes_id"]]["energy"] / d["nsites"] for d in pbe], rtol=1e-15)
    for name, scale in (("forces", 1.0), ("stress", -0.1)):
        expected = [np.concatenate([np.ravel(d[name]) for d in documents]) * scale for documents in (pbe, [of_id[d["matpes_id"]] for d in pbe])]
        np.testing.assert_allclose(pairs.components(name), expected, rtol=1e-15)
    assert np.isnan(pairs.components("magmoms")).all()
    for fractions, document in zip(pairs.composition, pbe, strict=True):
        assert np.count_nonzero(fractions) == len(document["elements"])


def test_real_files_pair_whatever_their_container(shared: Path, root: Path) -> None:
    pbe, _ = import_file(shared / "MatPES-PBE-elements-sample.json.gz", root, name="pbe")
    r2scan, _ = import_file(shared / "MatPES-R2SCAN-elements-sample.jsonl", root, name="r2scan")
    assert len(pair_by_id(pbe, r2scan)) == 63


# --- made -------------------------------------------------------------------------------------


def test_order_of_files_does_not_matter(paired: Callable[..., pairs_module.Pairs]) -> None:
    pairs = paired([frame("a", energy=1), frame("b", numbers=(3, 8, 8), energy=2), frame("c", energy=3)], [frame("c", energy=30), frame("a", energy=10), frame("b", numbers=(3, 8, 8), energy=20)])
    assert pairs.frames["frame_id"].tolist() == ["a", "b", "c"]
    assert pairs.energy_pbe.tolist() == [1, 2, 3]
    assert pairs.energy_r2scan.tolist() == [10, 20, 30]
    assert [c.tolist() for c in pairs.components("forces")] == [[1.0] * 6 + [2.0] * 9 + [3.0] * 6, [10.0] * 6 + [20.0] * 9 + [30.0] * 6]
    assert [c.tolist() for c in pairs.components("stress")] == [[1.0] * 6 + [2.0] * 6 + [3.0] * 6, [10.0] * 6 + [20.0] * 6 + [30.0] * 6]


@pytest.mark.parametrize("shift", [POSITION_TOLERANCE * 0.9, CELL[0] - 2 * CELL[1] + 3 * CELL[2], -CELL[2] + POSITION_TOLERANCE * 0.5], ids=["rounded", "lattice vector", "both"])
def test_same_structure_pairs(paired: Callable[..., pairs_module.Pairs], shift: np.ndarray | float) -> None:
    assert len(paired([frame("a")], [frame("a", shift=shift)])) == 1


@pytest.mark.parametrize(
    "other",
    [
        frame("a", shift=POSITION_TOLERANCE * 1.1),
        frame("a", shift=np.array([[0, 0, 0], [0, 0, 0.02]])),
        frame("a", cell=CELL + np.diag([0, 0, POSITION_TOLERANCE * 1.1])),
        frame("a", numbers=(3, 9)),
        frame("a", numbers=(8, 3)),
        frame("a", numbers=(3, 8, 8)),
    ],
    ids=["moved", "one atom moved", "strained", "other element", "other order", "more atoms"],
)
def test_another_structure_of_the_same_id_does_not(paired: Callable[..., pairs_module.Pairs], other: Frame) -> None:
    pairs = paired([frame("z"), frame("a"), frame("b")], [other, frame("b"), frame("z")])
    assert pairs.frames["frame_id"].tolist() == ["z", "b"]
    assert reasons(pairs) == [("a", "PBE", GEOMETRY), ("a", "r²SCAN", GEOMETRY)]


def test_frames_without_a_partner_are_named(paired: Callable[..., pairs_module.Pairs]) -> None:
    pairs = paired([frame("a"), frame("b")], [frame("c"), frame("a")])
    assert reasons(pairs) == [("b", "PBE", ALONE), ("c", "r²SCAN", ALONE)]


def test_id_of_more_than_one_frame_pairs_with_nothing(paired: Callable[..., pairs_module.Pairs]) -> None:
    pairs = paired([frame("a"), frame("b"), frame("a")], [frame("a"), frame("b"), frame("c"), frame("c")])
    assert pairs.frames["frame_id"].tolist() == ["b"]
    assert reasons(pairs) == [("a", "PBE", REPEATED)] * 2 + [("a", "r²SCAN", REPEATED)] + [("c", "r²SCAN", REPEATED)] * 2


def test_no_pairs_at_all_are_empty_arrays(paired: Callable[..., pairs_module.Pairs]) -> None:
    pairs = paired([frame("a")], [frame("b")])
    assert len(pairs) == 0
    assert pairs.energy_pbe.shape == pairs.energy_r2scan.shape == (0,)
    assert pairs.composition.shape == (0, 94)
    assert all(component.shape == (0,) for name in ("forces", "stress", "magmoms") for component in pairs.components(name))
    assert len(pairs.frames) == 0


def test_pairs_say_how_they_were_found_and_count_the_rest(paired: Callable[..., pairs_module.Pairs]) -> None:
    pairs = paired([frame("a"), frame("b"), frame("c"), frame("d")], [frame("a"), frame("b", shift=0.5), frame("e")])
    assert pairs.method is PairingMethod.BY_ID
    assert pairs.components_comparable
    assert pairs.reasons().to_dict("list") == {"functional": ["PBE", "PBE", "r²SCAN", "r²SCAN"], "reason": [ALONE, GEOMETRY, GEOMETRY, ALONE], "n_frames": [2, 1, 1, 1]}
    assert pairs.sentences() == [
        f"Pairs: 1. {PairingMethod.BY_ID.sentence}",
        f"PBE frames without a partner: 2, {ALONE}.",
        f"PBE frames without a partner: 1, {GEOMETRY}.",
        f"r²SCAN frames without a partner: 1, {GEOMETRY}.",
        f"r²SCAN frames without a partner: 1, {ALONE}.",
    ]
    volume = np.linalg.det(CELL) / 2
    np.testing.assert_allclose([pairs.volume_pbe, pairs.volume_r2scan], [[volume], [volume]])


IDS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([0.0, 0.5])), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS, IDS)
def test_pairs_are_those_of_a_plain_loop(paired: Callable[..., pairs_module.Pairs], pbe: list[tuple[str, float]], r2scan: list[tuple[str, float]]) -> None:
    sides = pbe, r2scan
    pairs = paired(*([frame(frame_id, shift=shift) for frame_id, shift in side] for side in sides))
    many = {i for side in sides for i, _ in side if [j for j, _ in side].count(i) > 1}
    rows = [(i, j) for i, a in enumerate(pbe) for j, b in enumerate(r2scan) if a == b and a[0] not in many]
    assert list(zip(pairs.rows_pbe, pairs.rows_r2scan, strict=True)) == rows
    expected = []
    for side, other, label, own in ((pbe, r2scan, "PBE", 0), (r2scan, pbe, "r²SCAN", 1)):
        names = [i for i, _ in other]
        alone = [i for row, (i, _) in enumerate(side) if row not in [pair[own] for pair in rows]]
        expected += [(i, label, REPEATED if i in many else GEOMETRY if i in names else ALONE) for i in alone]
    assert reasons(pairs) == expected


def test_many_pairs_are_compared_block_by_block(paired: Callable[..., pairs_module.Pairs], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "_BLOCK", 3)
    sizes = np.random.default_rng(0).integers(1, 5, 20)
    pbe = [frame(str(i), numbers=(3,) * n) for i, n in enumerate(sizes)]
    r2scan = [frame(str(i), numbers=(3,) * n, shift=0.5 if i % 4 == 0 else 0.0) for i, n in enumerate(sizes)]
    assert paired(pbe, r2scan[::-1]).frames["frame_id"].tolist() == [str(i) for i in range(20) if i % 4]


@pytest.mark.parametrize(("first", "second"), [("r2scan", "pbe"), ("pbe", "pbe"), ("r2scan", "r2scan")])
def test_two_datasets_that_are_not_one_of_each_are_refused(bundled_root: Path, first: str, second: str) -> None:
    a, b = (open_dataset(bundled_root, f"xfunc-dft-{name}") for name in (first, second))
    with pytest.raises(DataError, match=f"'xfunc-dft-{first}' and 'xfunc-dft-{second}' are not a PBE and an r²SCAN dataset: choose one of each"):
        pair_by_id(a, b)
