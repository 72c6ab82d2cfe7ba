"""What is written reads back bit for bit, and nobody ever sees half a dataset."""

from __future__ import annotations

import errno
import math
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pymatgen.core import Composition, Element

from xfunc_core.data import folders
from xfunc_core.data import writer as writer_module
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.folders import LEFTOVER_AGE
from xfunc_core.data.frame import Frame
from xfunc_core.data.writer import DatasetWriter, formula
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

DESCRIBED = {"title": "T", "functional": "r2scan", "source": "s", "source_sha256": "0"}
NUMBERS = st.floats(allow_nan=False, width=64)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
JSON = st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=3)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Any frame, labels missing or not, any bits in its numbers."""
    n = draw(st.integers(1, 4))
    array = lambda *shape: hnp.arrays(np.float64, shape, elements=NUMBERS)  # noqa: E731
    return Frame(
        frame_id=draw(TEXT),
        material_id=draw(TEXT),
        functional=Functional.R2SCAN,
        numbers=draw(hnp.arrays(np.uint8, n, elements=st.integers(1, 94))),
        lattice=draw(array(3, 3)),
        positions=draw(array(n, 3)),
        energy=draw(st.just(float("nan")) | st.floats(allow_nan=False, allow_infinity=False)),
        forces=draw(st.none() | array(n, 3)),
        stress=draw(st.none() | array(6)),
        magmoms=draw(st.none() | array(n)),
        provenance=draw(JSON),
        isolated_atom_energy=draw(st.none() | st.floats(-1e3, 0)),
    )


def write(root: Path, items: list[Frame], name: str = "d", *, replace: bool = False) -> Dataset:
    with DatasetWriter(root, name) as writer:
        for item in items:
            writer.add(item)
        return Dataset(writer.finish(report={"dropped": [], "masked": []}, replace=replace, **DESCRIBED))


def simple(frame_id: str = "a", energy: float = -1.0) -> Frame:
    return Frame(frame_id, "m", Functional.R2SCAN, np.array([3, 8], dtype=np.uint8), np.eye(3) * 3, np.zeros((2, 3)), energy)


def bits(array: np.ndarray) -> bytes:
    return np.asarray(array).tobytes()


def or_nan(label: np.ndarray | None, *shape: int) -> bytes:
    return bits(np.full(shape, np.nan) if label is None else label)


# --- round trip -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(frames(), min_size=1, max_size=5), st.integers(1, 3))
def test_frames_read_back_bit_for_bit(root: Path, items: list[Frame], batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "_ROWS_PER_BATCH", batch)
        dataset = write(root, items, replace=True)
    for row, item in enumerate(items):
        atoms, n = dataset.atoms_of(row), item.n_atoms
        assert (dataset.table["frame_id"][row], dataset.table["material_id"][row]) == (item.frame_id, item.material_id)
        assert bits(dataset.table["energy"].to_numpy()[row]) == bits(np.float64(item.energy))
        assert bits(dataset.atom_array("numbers")[atoms]) == bits(item.numbers)
        assert bits(dataset.atom_array("positions")[atoms]) == bits(item.positions)
        assert bits(dataset.frame_array("lattice")[row]) == bits(item.lattice)
        assert bits(dataset.atom_array("forces")[atoms]) == or_nan(item.forces, n, 3)
        assert bits(dataset.atom_array("magmoms")[atoms]) == or_nan(item.magmoms, n)
        assert bits(dataset.frame_array("stress")[row]) == or_nan(item.stress, 6)
    assert dataset.frame_of_atom.tolist() == [row for row, item in enumerate(items) for _ in range(item.n_atoms)]
    backwards = np.arange(len(items))[::-1]
    assert bits(dataset.atom_array("positions")[dataset.atoms_of_all(backwards)]) == b"".join(bits(item.positions) for item in items[::-1])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(frames(), min_size=1, max_size=5))
def test_description_counts_what_is_there(root: Path, items: list[Frame]) -> None:
    info = write(root, items, replace=True).info
    symbols = [{Element.from_Z(int(z)).symbol for z in item.numbers} for item in items]
    assert (info.n_frames, info.n_atoms, info.n_materials) == (len(items), sum(map(len, (item.numbers for item in items))), len({item.material_id for item in items}))
    assert info.elements == {s: sum(s in found for found in symbols) for s in set().union(*symbols)}
    assert list(info.elements) == sorted(info.elements, key=lambda s: Element(s).Z)
    assert info.labelled == {"energy": sum(not np.isnan(item.energy) for item in items)} | {name: sum(getattr(item, name) is not None for item in items) for name in ("forces", "stress", "magmoms")}


def test_content_hash_depends_on_every_column_and_on_nothing_else(root: Path) -> None:
    base = write(root, [simple()], "a").info.content_sha256
    assert write(root, [simple()], "b").info.content_sha256 == base
    others = [simple("b"), simple(energy=-2.0), simple(energy=float("nan"))]
    others += [Frame(**(simple().__dict__ | change)) for change in ({"forces": np.zeros((2, 3))}, {"stress": np.zeros(6)}, {"magmoms": np.zeros(2)}, {"lattice": np.eye(3)}, {"material_id": "n"}, {"provenance": {"a": 1}})]
    hashes = {write(root, [other], f"other-{i}").info.content_sha256 for i, other in enumerate(others)}
    assert len(hashes | {base}) == len(others) + 1


# --- whole or not at all ----------------------------------------------------------------------


def test_nothing_is_seen_before_it_is_finished_and_nothing_stays_of_what_is_not(root: Path) -> None:
    with pytest.raises(KeyError), DatasetWriter(root, "d") as writer:
        writer.add(simple())
        assert [path.name.startswith(".importing-d-") for path in root.iterdir()] == [True]
        raise KeyError
    assert list(root.iterdir()) == []


def test_taken_name_is_refused_and_the_first_dataset_stays(root: Path) -> None:
    write(root, [simple("first")])
    with pytest.raises(DataError, match="There is already a dataset named 'd': choose another name, or delete it first"):
        write(root, [simple("second")])
    assert os.listdir(root) == ["d"]
    assert Dataset(root / "d").table["frame_id"].tolist() == ["first"]


def test_name_taken_by_a_file_is_refused_or_replaced(root: Path) -> None:
    root.mkdir()
    (root / "d").write_text("")
    with pytest.raises(DataError, match="already a dataset named 'd'"):
        write(root, [simple()])
    assert len(write(root, [simple()], replace=True)) == 1
    assert os.listdir(root) == ["d"]


def test_replaced_dataset_stays_readable_for_who_has_it_open(root: Path) -> None:
    old = write(root, [simple("old")])
    positions, table = old.atom_array("positions"), old.table
    new = write(root, [simple("new")], replace=True)
    assert new.table["frame_id"].tolist() == ["new"]
    assert table["frame_id"].tolist() == ["old"]
    assert positions.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert os.listdir(root) == ["d"]


def test_two_who_replace_at_once_leave_one_whole_dataset(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, [simple("old")])
    real = folders._discard

    def while_another_is_quicker(folder: Path) -> None:
        monkeypatch.setattr(folders, "_discard", real)
        write(root, [simple("theirs")], replace=True)
        shutil.rmtree(folder)
        real(folder)

    monkeypatch.setattr(folders, "_discard", while_another_is_quicker)
    assert write(root, [simple("ours")], replace=True).table["frame_id"].tolist() == ["ours"]
    assert os.listdir(root) == ["d"]


@pytest.mark.parametrize("refuses", range(8))
def test_file_that_cannot_be_opened_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, refuses: int) -> None:
    real, opened = Path.open, iter(range(100))

    def short_of_handles(self: Path, *args: object, **kwargs: object) -> object:
        if next(opened) == refuses:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", short_of_handles)
    with pytest.raises(OSError, match="Too many"):
        write(root, [simple()])  # six arrays when it starts, report.json and dataset.json when it ends
    assert list(root.iterdir()) == []


def test_leftovers_of_killed_writers_go_when_nobody_touched_them_for_a_day(root: Path) -> None:
    for name in (".importing-d-dead", ".discarded-d-dead", ".importing-d-alive", ".mine"):
        (root / name / "d").mkdir(parents=True)
        (root / name / "positions.f8").write_bytes(b"1")
    long_ago = os.stat(root).st_mtime - LEFTOVER_AGE - 60
    for path in sorted(root.rglob("*"), reverse=True):
        if path != root / ".importing-d-alive" / "positions.f8":
            os.utime(path, (long_ago, long_ago))
    write(root, [simple()])
    assert sorted(os.listdir(root)) == [".importing-d-alive", ".mine", "d"]


def test_full_disk_does_not_hide_what_went_wrong_before(small_disk: Path) -> None:
    with pytest.raises(KeyError), DatasetWriter(small_disk, "d") as writer:
        writer.add(simple())  # in a buffer still, which closing cannot empty
        with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        raise KeyError
    assert os.listdir(small_disk) == ["filler"]


def test_small_disk_that_fills_refuses_and_leaves_nothing(small_disk: Path) -> None:
    def endless() -> Iterator[Frame]:
        while True:
            yield simple()

    with pytest.raises(OSError) as caught, DatasetWriter(small_disk, "d") as writer:
        for item in endless():
            writer.add(item)
    assert caught.value.errno == errno.ENOSPC
    assert list(small_disk.iterdir()) == []


# --- formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("numbers", "expected"), [([8, 8], "O"), ([11, 17], "ClNa"), ([6, 1, 1, 1, 1], "CH4"), ([8, 1, 1], "H2O"), ([26, 26, 8, 8, 8], "Fe2O3"), ([6, 8], "CO"), ([1, 17], "ClH")])
def test_formula_by_hand(numbers: list[int], expected: str) -> None:
    assert formula(numbers) == expected


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@settings(deadline=None)
@given(st.lists(st.integers(1, 94), min_size=1, max_size=12))
def test_formula_is_reduced_and_in_the_order_of_hill(numbers: list[int]) -> None:
    cell = Composition(Counter(Element.from_Z(z).symbol for z in numbers))
    found = Composition(formula(numbers))
    assert found.fractional_composition.almost_equals(cell.fractional_composition)
    assert math.gcd(*(int(count) for count in found.values())) == 1
    assert re.findall("[A-Z][a-z]?", formula(numbers)) == re.findall("[A-Z][a-z]?", cell.hill_formula)


@given(st.lists(st.integers(1, 94), min_size=1, max_size=6), st.integers(1, 4), st.randoms())
def test_formula_depends_on_neither_order_nor_cell_size(numbers: list[int], times: int, chance: random.Random) -> None:
    more = numbers * times
    chance.shuffle(more)
    assert formula(more) == formula(numbers)
