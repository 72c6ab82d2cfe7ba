"""Energies per atom under the name of totals are noticed, and totals never taken for them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfunc_core.data import per_atom
from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.importing import READERS, import_file
from xfunc_core.data.per_atom import EnergySample, Verdict, judge
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

DFT = ("dft/xfunc-dft-PBE.jsonl.gz", "dft/xfunc-dft-r2SCAN.jsonl.gz")
MATPES = ("MatPES-PBE-Element-Refs.json.gz", "MatPES-r2SCAN-Element-Refs.json.gz", "MatPES-PBE-elements-sample.json.gz", "MatPES-R2SCAN-elements-sample.jsonl")


@pytest.fixture(scope="module", params=["e_gga_per_atom", "e_r2scan_per_atom"])
def materials(request: pytest.FixtureRequest, shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of each element and total energies of 1,388 relaxed materials, no composition twice."""
    with (shared / "mp_gga_r2scan_pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = np.zeros((len(rows), 95))
    for row, entry in zip(counts, rows, strict=True):
        for symbol, count in json.loads(entry["composition"]).items():
            row[Z_OF[symbol]] = count
    counts, first = np.unique(counts, axis=0, return_index=True)
    return counts, np.array([float(rows[i][request.param]) for i in first]) * counts.sum(axis=1)


def divided(energy: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return energy / counts.sum(axis=1)


# --- the criterion ----------------------------------------------------------------------------


def test_real_materials_are_told_both_ways(materials: tuple[np.ndarray, np.ndarray]) -> None:
    counts, energy = materials
    assert judge(counts, energy) is Verdict.TOTAL
    assert judge(counts, divided(energy, counts)) is Verdict.PER_ATOM


def test_subsets_of_any_chemistry_are_never_told_wrong(materials: tuple[np.ndarray, np.ndarray]) -> None:
    counts, energy = materials
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(60):
        elements = rng.choice(np.flatnonzero(counts.any(axis=0)), rng.integers(2, 40), replace=False)
        rows = np.flatnonzero((counts[:, elements] > 0).any(axis=1))
        rows = rng.choice(rows, min(len(rows), rng.integers(5, 200)), replace=False)
        as_it_is, per_n = judge(counts[rows], energy[rows]), judge(counts[rows], divided(energy, counts)[rows])
        assert as_it_is is not Verdict.PER_ATOM
        assert per_n is not Verdict.TOTAL
        told += as_it_is is Verdict.TOTAL
    assert told > 8


def test_wild_frames_decide_nothing(materials: tuple[np.ndarray, np.ndarray]) -> None:
    counts, energy = materials
    wild = np.random.default_rng(0).choice(len(energy), 60, replace=False)
    for given, verdict in ((energy, Verdict.TOTAL), (divided(energy, counts), Verdict.PER_ATOM)):
        spoiled = given.copy()
        spoiled[wild] = 1e7
        assert judge(counts, spoiled) is verdict


@pytest.mark.parametrize("scale", [27.211386, 96.485, 1e-3])
def test_unit_and_energy_scale_drop_out(materials: tuple[np.ndarray, np.ndarray], scale: float) -> None:
    counts, energy = materials
    atoms = np.random.default_rng(1).normal(-5000, 3000, counts.shape[1])  # all-electron atoms
    assert judge(counts, scale * (energy + counts @ atoms)) is Verdict.TOTAL
    assert judge(counts, scale * divided(energy + counts @ atoms, counts)) is Verdict.PER_ATOM


def test_one_element_in_cells_of_many_sizes_is_enough() -> None:
    counts = np.zeros((8, 20))
    counts[:, 14] = [1, 2, 4, 8, 16, 32, 64, 128]
    energy = counts[:, 14] * (-5.4 + 0.1 * np.sin(np.arange(8)))
    assert judge(counts, energy) is Verdict.TOTAL
    assert judge(counts, divided(energy, counts)) is Verdict.PER_ATOM


@pytest.mark.parametrize(
    "counts",
    [np.zeros((0, 20)), np.eye(20), 2 * np.eye(20)[:4], 8 * np.eye(20), np.diag(np.arange(1.0, 21.0))],
    ids=["nothing", "atoms", "few", "equal cells", "each element once"],
)
def test_nothing_is_told_where_nothing_can_be(counts: np.ndarray) -> None:
    energy = -5.0 * counts.sum(axis=1)
    for given in (energy, energy / np.maximum(counts.sum(axis=1), 1)):
        assert judge(counts, given) is Verdict.UNDECIDED


def test_energies_that_fit_exactly_or_are_all_zero_tell_nothing() -> None:
    counts = np.zeros((8, 20))
    counts[:, 14] = [1, 2, 4, 8, 16, 32, 64, 128]
    assert judge(counts, np.zeros(8)) is Verdict.UNDECIDED


# --- real files -------------------------------------------------------------------------------


def sample_of(path: Path, format: str) -> EnergySample:
    sample = EnergySample()
    for item in READERS[format](path, None):
        if hasattr(item, "energy"):
            sample.add(item)
    return sample


@pytest.mark.parametrize("name", [*DFT, *MATPES, "MPtrj_sample.json"])
def test_no_real_file_is_taken_for_energies_per_atom(shared: Path, root: Path, name: str) -> None:
    sample = sample_of(shared / name, "mptrj" if name.startswith("MPtrj") else "matpes")
    assert sample.verdict() is (Verdict.TOTAL if name in DFT else Verdict.UNDECIDED)
    assert len(import_file(shared / name, root, name="d")[0]) > 0


@pytest.mark.parametrize("name", DFT)
def test_real_file_divided_by_n_is_refused_and_mended_if_said(shared: Path, raw: Callable[[Path], list[dict[str, Any]]], write: Callable[..., Path], root: Path, name: str) -> None:
    documents = raw(shared / name)
    totals = [document["energy"] for document in documents]
    for document in documents:
        document["energy"] /= len(document["structure"]["sites"])
    path = write(documents)
    with pytest.raises(DataError, match="^The energies in file.jsonl look like energies per atom: .* import them with --energies per-atom, or, .* with --energies total"):
        import_file(path, root, name="d")
    assert list(root.iterdir()) == []
    mended, report = import_file(path, root, name="d", energies="per-atom")
    np.testing.assert_allclose(mended.table["energy"], totals, rtol=1e-14)
    assert report.notes == ["The energies of the file were multiplied by the number of atoms."]
    assert import_file(path, root, name="e", energies="total")[0].table["energy"].tolist() == [document["energy"] for document in documents]


def test_divided_mptrj_contradicts_itself(shared: Path, write: Callable[..., Path], root: Path) -> None:
    content = json.loads((shared / "MPtrj_sample.json").read_bytes())
    for frames in content.values():
        for document in frames.values():
            document["energy_per_atom"] /= len(document["structure"]["sites"])
    _, report = import_file(write(json.dumps(content)), root, name="d")
    assert sum(entry["reason"] == "energy_per_atom times the number of atoms is not corrected_total_energy" for entry in report.masked) == 37


def test_format_without_a_convention_says_that_it_was_left_open(write: Callable[..., Path], root: Path) -> None:
    path = write('2\nLattice="4 0 0 0 4 0 0 0 4" energy=-7 xc=PBE\nNa 0 0 0\nCl 2 2 2\n', "a.xyz")
    assert any("totals or per atom cannot be told" in note for note in import_file(path, root, name="d")[1].notes)
    said = import_file(path, root, name="e", energies="per-atom")
    assert said[0].table["energy"].tolist() == [-14.0]
    assert not any("cannot be told" in note for note in said[1].notes)


def test_other_words_for_energies_are_refused(write: Callable[..., Path], root: Path) -> None:
    with pytest.raises(DataError, match="Energies are 'total' or 'per-atom', not 'both'"):
        import_file(write("x"), root, name="d", energies="both")


# --- the sample -------------------------------------------------------------------------------


def test_frames_and_batches_give_the_same_sample_of_bounded_size(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [item for item in READERS["mptrj"](shared / "MPtrj_sample.json", Functional.PBE) if hasattr(item, "energy")]
    one, many = EnergySample(), EnergySample()
    for frame in frames:
        one.add(frame)
    many.add(FrameBatch.of(frames))
    assert one.energies == many.energies
    assert len(one.energies) == 4
    monkeypatch.setattr(per_atom, "MOST_COMPOSITIONS", 2)
    few = EnergySample()
    for frame in frames:
        few.add(frame)
    assert len(few.energies) == 2
