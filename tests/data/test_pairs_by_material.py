"""The lowest frame of every material on each side."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.frame import Frame
from xfunc_core.data.library import open_dataset
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairing_by_material import HIGHER, NO_ENERGY, NO_MATERIAL, OTHER_FORMULA, PARTNER_WITHOUT_ENERGY, pair_by_material
from xfunc_core.data.pairs import PairingMethod, Pairs
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

Raw = Callable[[Path], list[dict[str, Any]]]
Row = tuple[str, str, str, float]
NUMBERS = {"LiO": (3, 8), "Li2O2": (3, 3, 8, 8), "Li": (3,), "O": (8,)}


def write(root: Path, functional: str, rows: list[Row], volume: float = 10.0) -> Dataset:
    """Frames given as (id, material, formula, energy in eV/atom)."""
    with DatasetWriter(root, functional) as writer:
        for frame_id, material, formula, energy in rows:
            numbers = np.array(NUMBERS[formula], dtype=np.uint8)
            n = len(numbers)
            writer.add(Frame(frame_id, material, Functional(functional), numbers, np.diag([volume, n, 1.0]), np.arange(3.0 * n).reshape(n, 3) / 7, energy * n, forces=np.zeros((n, 3)), stress=np.zeros(6)))
        return Dataset(writer.finish(report={"dropped": [], "masked": []}, replace=True, title="", functional=functional, source="", source_sha256=""))


@pytest.fixture
def paired(root: Path) -> Callable[[list[Row], list[Row]], Pairs]:
    return lambda pbe, r2scan: pair_by_material(write(root, "pbe", pbe, 10.0), write(root, "r2scan", r2scan, 9.0))


def ids(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.pbe.table["frame_id"].iloc[pairs.rows_pbe], pairs.r2scan.table["frame_id"].iloc[pairs.rows_r2scan], strict=True))


def test_lowest_of_each_side_pair_whatever_their_size(paired: Callable[..., Pairs]) -> None:
    pairs = paired(
        [("a1", "A", "LiO", -1.0), ("b1", "B", "Li", -3.0), ("a2", "A", "Li2O2", -2.0), ("a3", "A", "LiO", -1.5)],
        [("x", "A", "LiO", -7.0), ("y", "A", "LiO", -6.0), ("z", "B", "Li", -5.0)],
    )
    assert ids(pairs) == [("b1", "z"), ("a2", "x")]
    assert pairs.details.to_dict("list") == {"candidates_pbe": [1, 3], "candidates_r2scan": [1, 2]}
    assert list(pairs.unpaired.itertuples(index=False, name=None)) == [("a1", "PBE", HIGHER), ("a3", "PBE", HIGHER), ("y", "r²SCAN", HIGHER)]
    assert pairs.energy_pbe.tolist() == [-3.0, -2.0]
    assert pairs.energy_r2scan.tolist() == [-5.0, -7.0]
    np.testing.assert_allclose(pairs.volume_pbe, [10, 10])
    np.testing.assert_allclose(pairs.volume_r2scan, [9, 9])
    assert pairs.composition[:, [2, 7]].tolist() == [[1, 0], [0.5, 0.5]]


def test_every_frame_left_alone_has_its_reason(paired: Callable[..., Pairs]) -> None:
    nan = math.nan
    pairs = paired(
        [("a", "A", "Li", nan), ("b", "B", "Li", -1.0), ("c", "C", "Li", -1.0), ("d", "D", "Li", -1.0), ("e", "E", "Li", -1.0), ("f", "E", "Li", nan)],
        [("a", "A", "Li", -1.0), ("c", "C", "O", -1.0), ("d", "D", "Li", nan), ("e", "E", "Li", -1.0), ("g", "G", "Li", -1.0)],
    )
    assert ids(pairs) == [("e", "e")]
    assert list(pairs.unpaired.itertuples(index=False, name=None)) == [
        ("a", "PBE", NO_ENERGY),
        ("b", "PBE", NO_MATERIAL),
        ("c", "PBE", OTHER_FORMULA),
        ("d", "PBE", PARTNER_WITHOUT_ENERGY),
        ("f", "PBE", NO_ENERGY),
        ("a", "r²SCAN", PARTNER_WITHOUT_ENERGY),
        ("c", "r²SCAN", OTHER_FORMULA),
        ("d", "r²SCAN", NO_ENERGY),
        ("g", "r²SCAN", NO_MATERIAL),
    ]


def test_of_equal_energies_the_first_is_taken(paired: Callable[..., Pairs]) -> None:
    assert ids(paired([("a", "A", "Li", -1.0), ("b", "A", "Li", -1.0)], [("c", "A", "Li", -2.0), ("d", "A", "Li", -2.0)])) == [("a", "c")]


def test_forces_and_stresses_are_not_compared_and_energies_are(paired: Callable[..., Pairs]) -> None:
    pairs = paired([("a", "A", "Li", -1.0), ("b", "B", "O", -2.0)], [("c", "A", "Li", -3.0), ("d", "B", "O", -1.0)])
    assert not pairs.components_comparable
    assert all(len(side) == 0 for name in ("forces", "stress", "magmoms") for side in pairs.components(name))
    assert (pairs.energy_pbe.tolist(), pairs.energy_r2scan.tolist()) == ([-1.0, -2.0], [-3.0, -1.0])
    assert "forces and stresses do not" in pairs.sentences()[0]


def test_sentences_count_each_reason(paired: Callable[..., Pairs]) -> None:
    pairs = paired([("a", "A", "Li", -1.0), ("b", "B", "Li", -1.0), ("c", "C", "Li", -1.0)], [("a", "A", "Li", -1.0), ("d", "A", "Li", 0.0)])
    assert pairs.sentences()[1:] == [f"PBE frames without a partner: 2, {NO_MATERIAL}.", f"r²SCAN frames without a partner: 1, {HIGHER}."]


def test_elements_of_matpes_share_the_materials_that_their_files_name(bundled_root: Path, bundled_folder: Path, raw: Raw) -> None:
    sides = [{d["matpes_id"] for d in raw(bundled_folder / f"MatPES-{name}-Element-Refs.json.gz")} for name in ("PBE", "r2SCAN")]
    pairs = pair(open_dataset(bundled_root, "matpes-elements-pbe"), open_dataset(bundled_root, "matpes-elements-r2scan"), PairingMethod.BY_MATERIAL)
    assert set(pairs.frames["material_id"]) == sides[0] & sides[1]
    assert pairs.reasons().to_dict("records") == [{"functional": label, "reason": NO_MATERIAL, "n_frames": 26} for label in ("PBE", "r²SCAN")]


ROWS = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from(["Li", "O", "LiO", "Li2O2"]), st.sampled_from([-3.0, -2.0, -1.0, math.nan])), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, ROWS)
def test_pairs_are_those_of_a_plain_loop(paired: Callable[..., Pairs], pbe: list[tuple[str, str, float]], r2scan: list[tuple[str, str, float]]) -> None:
    pairs = paired(*([(f"f{i}", *row) for i, row in enumerate(rows)] for rows in (pbe, r2scan)))
    best = []
    for rows in (pbe, r2scan):
        lowest: dict[tuple[str, str], tuple[float, int]] = {}
        for i, (material, formula, energy) in enumerate(rows):
            key = (material, "LiO" if formula == "Li2O2" else formula)
            if not math.isnan(energy) and (key not in lowest or energy < lowest[key][0]):
                lowest[key] = (energy, i)
        best.append(lowest)
    assert list(zip(pairs.rows_pbe, pairs.rows_r2scan, strict=True)) == sorted((best[0][key][1], best[1][key][1]) for key in best[0] if key in best[1])
    assert len(pairs.unpaired) == len(pbe) + len(r2scan) - 2 * len(pairs)
    assert pairs.unpaired["reason"].ne("").all()


@pytest.mark.parametrize("how", PairingMethod)
def test_two_datasets_of_one_functional_are_refused(bundled_root: Path, how: PairingMethod) -> None:
    dataset = open_dataset(bundled_root, "xfunc-dft-pbe")
    with pytest.raises(DataError, match="are not a PBE and an r²SCAN dataset: choose one of each"):
        pair(dataset, dataset, how)


@pytest.mark.parametrize("how", PairingMethod)
def test_every_way_of_pairing_is_explained(how: PairingMethod) -> None:
    assert how.label and how.sentence.endswith(".")
