"""Splits and nested subsets keep materials whole, whatever the dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xfunc_core.data.library import open_dataset
from xfunc_core.data.splits import Split, nested_subsets, split_by_material
from xfunc_core.errors import ConfigError

Data = tuple[list[str], np.ndarray]
QUICK = settings(max_examples=50, deadline=None)


@st.composite
def datasets(draw: st.DrawFn) -> Data:
    """Material ids and compositions of some frames, in any order; frames of a material hold the same elements."""
    elements = st.sets(st.integers(0, 7), min_size=1, max_size=3)
    materials = draw(st.lists(elements, min_size=3, max_size=25))
    owners = [i for i in range(len(materials)) for _ in range(draw(st.integers(1, 3)))]
    owners = draw(st.permutations(owners))
    composition = np.zeros((len(owners), 94))
    for row, owner in enumerate(owners):
        composition[row, list(materials[owner])] = 1 / len(materials[owner])
    return [f"m{owner}" for owner in owners], composition


def split(data: Data, seed: int, *, validation: float = 0.2, test: float = 0.2, keep_covered: bool = True) -> Split:
    """A split, or the example is no good: a part came out empty."""
    try:
        return split_by_material(*data, validation=validation, test=test, seed=seed, keep_covered=keep_covered)
    except ConfigError:
        assume(False)
        raise


def materials(data: Data, rows: np.ndarray) -> set[str]:
    return {data[0][row] for row in rows}


def elements(data: Data, rows: np.ndarray) -> set[int]:
    return set(np.flatnonzero(data[1][rows].any(axis=0)).tolist())


# --- splits -----------------------------------------------------------------------------------


@QUICK
@given(datasets(), st.integers(0, 99), st.booleans())
def test_parts_are_disjoint_cover_all_and_share_no_material(data: Data, seed: int, keep_covered: bool) -> None:
    parts = split(data, seed, keep_covered=keep_covered)
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(rows) == list(range(len(data[0])))
    train, validation, test = (materials(data, part) for part in (parts.train, parts.validation, parts.test))
    assert not (train & validation or train & test or validation & test)
    for part in (parts.train, parts.validation, parts.test):
        assert (np.diff(part) > 0).all()


@QUICK
@given(datasets(), st.integers(0, 99))
def test_every_element_stays_in_training(data: Data, seed: int) -> None:
    parts = split(data, seed)
    assert elements(data, parts.validation) | elements(data, parts.test) <= elements(data, parts.train)


@QUICK
@given(datasets(), st.integers(0, 99), st.floats(0.1, 0.45), st.floats(0.1, 0.45))
def test_parts_have_the_size_that_was_asked_for(data: Data, seed: int, validation: float, test: float) -> None:
    parts = split(data, seed, validation=validation, test=test, keep_covered=False)
    n = len(set(data[0]))
    assert len(materials(data, parts.validation)) == round(validation * n)
    assert len(materials(data, parts.test)) == round(test * n)


def test_coverage_may_cost_size_but_is_never_given_up() -> None:
    composition = np.zeros((12, 94))
    composition[:, 0] = 0.5
    composition[np.arange(8), np.arange(1, 9)] = 0.5  # eight materials with an element of their own
    composition[8:, 0] = 1.0
    parts = split_by_material([f"m{i}" for i in range(12)], composition, validation=0.4, test=0.25, seed=0)
    assert parts.train.tolist() == list(range(8))
    assert (len(parts.test), len(parts.validation)) == (3, 1)  # five materials were wanted to validate on


@QUICK
@given(datasets(), st.integers(0, 99))
def test_split_is_determined_by_the_seed(data: Data, seed: int) -> None:
    first, second = split(data, seed), split(data, seed)
    assert all(np.array_equal(getattr(first, part), getattr(second, part)) for part in ("train", "validation", "test"))


def test_another_seed_gives_another_split() -> None:
    data = [f"m{i}" for i in range(200)], np.ones((200, 94)) / 94
    assert len({tuple(split_by_material(*data, validation=0.1, test=0.1, seed=seed).test) for seed in range(10)}) == 10


@pytest.mark.parametrize(("n", "validation", "test", "part"), [(2, 0.4, 0.4, "train"), (10, 0.0, 0.2, "validation"), (10, 0.2, 0.0, "test"), (3, 0.15, 0.15, "validation|test"), (1, 0.1, 0.1, "validation|test"), (10, 0.5, 0.5, "train")])
def test_empty_part_is_said(n: int, validation: float, test: float, part: str) -> None:
    with pytest.raises(ConfigError, match=f"The ({part}) part is empty with {n} material{'' if n == 1 else 's'}: change the fractions or use more frames"):
        split_by_material([f"m{i}" for i in range(n)], np.eye(94)[[0] * n], validation=validation, test=test, seed=0, keep_covered=False)


def test_part_that_is_empty_for_the_sake_of_coverage_is_said(bundled_root: Path) -> None:
    dataset = open_dataset(bundled_root, "matpes-elements-pbe")  # one material an element
    with pytest.raises(ConfigError, match="The validation part is empty with 89 materials: no further material can leave training without"):
        split_by_material(dataset.table["material_id"], dataset.composition, validation=0.15, test=0.15, seed=0)


def test_a_material_that_comes_or_goes_hardly_moves_the_others(bundled_root: Path) -> None:
    dataset = open_dataset(bundled_root, "xfunc-dft-r2scan")
    ids, composition = dataset.table["material_id"].to_numpy(), dataset.composition
    whole = split_by_material(ids, composition, validation=0.15, test=0.15, seed=0)
    before = set(ids[whole.test])
    for gone in whole.train[:5]:
        rows = np.delete(np.arange(len(ids)), gone)
        after = set(ids[rows][split_by_material(ids[rows], composition[rows], validation=0.15, test=0.15, seed=0).test])
        assert len(before - after) <= 2, ids[gone]


def test_two_datasets_of_the_same_materials_are_split_alike(bundled_root: Path) -> None:
    dataset = open_dataset(bundled_root, "xfunc-dft-r2scan")
    ids, composition = dataset.table["material_id"].to_numpy(), dataset.composition
    order = np.random.default_rng(0).permutation(len(ids))
    one = split_by_material(ids, composition, validation=0.15, test=0.15, seed=3)
    other = split_by_material(ids[order], composition[order], validation=0.15, test=0.15, seed=3)
    assert set(ids[one.test]) == set(ids[order][other.test])
    assert set(ids[one.validation]) == set(ids[order][other.validation])


# --- subsets ----------------------------------------------------------------------------------


@QUICK
@given(datasets(), st.integers(0, 99), st.data())
def test_subsets_are_nested_whole_and_determined_by_the_seed(data: Data, seed: int, drawn: st.DataObject) -> None:
    ids, composition = data
    rows = np.array(drawn.draw(st.lists(st.sampled_from(range(len(ids))), min_size=1, unique=True)))
    sizes = sorted(drawn.draw(st.lists(st.integers(1, len(rows)), min_size=1, max_size=4)))
    subsets = nested_subsets(rows, ids, composition, sizes, seed)
    assert len(subsets) == len(sizes)
    for smaller, larger in zip(subsets, [*subsets[1:], np.sort(rows)], strict=True):
        assert set(smaller) <= set(larger)
    for subset in subsets:
        assert (np.diff(subset) > 0).all()
        assert set(subset) == {row for row in rows if ids[row] in materials(data, subset)}
    assert all(np.array_equal(a, b) for a, b in zip(subsets, nested_subsets(rows, ids, composition, sizes, seed), strict=True))
    assert np.array_equal(subsets[-1], nested_subsets(rows, ids, composition, sizes[-1:], seed)[0])


@QUICK
@given(datasets(), st.integers(0, 99), st.data())
def test_size_is_missed_by_less_than_one_material(data: Data, seed: int, drawn: st.DataObject) -> None:
    ids, composition = data
    size = drawn.draw(st.integers(1, len(ids)))
    [subset] = nested_subsets(np.arange(len(ids)), ids, composition, [size], seed)
    largest = max(ids.count(name) for name in ids)
    assert abs(len(subset) - size) <= max(largest // 2, largest - 1)
    assert len(subset)


@QUICK
@given(datasets(), st.integers(0, 99))
def test_as_many_materials_as_elements_cover_every_element(data: Data, seed: int) -> None:
    ids, composition = data
    everything = np.arange(len(ids))
    sizes = list(range(1, len(ids) + 1))
    covering = next(subset for subset in nested_subsets(everything, ids, composition, sizes, seed) if elements(data, subset) == elements(data, everything))
    assert len(materials(data, covering)) <= len(elements(data, everything))


@pytest.mark.parametrize("seed", range(8))
def test_material_that_brings_most_new_elements_comes_first(seed: int) -> None:
    composition = np.zeros((6, 94))
    for row, contained in enumerate([[0], [1], [0, 1, 2], [3, 4], [3], [2]]):
        composition[row, contained] = 1 / len(contained)
    first, both = nested_subsets(np.arange(6), list("abcdef"), composition, [1, 2], seed)
    assert first.tolist() == [2]
    assert both.tolist() == [2, 3]


@pytest.mark.parametrize("size", [0, -1, 5])
def test_impossible_size_is_said(size: int) -> None:
    with pytest.raises(ConfigError, match=f"A subset of {size} frames is not possible: training has 4 frames"):
        nested_subsets(np.arange(4), list("abcd"), np.eye(94)[:4], [2, size], 0)


# --- the bundled set --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_own_calculations_split_by_material_with_every_element_in_training(bundled_root: Path, seed: int) -> None:
    dataset = open_dataset(bundled_root, "xfunc-dft-r2scan")
    data = dataset.table["material_id"].tolist(), dataset.composition
    validation = test = 0.15
    parts = split_by_material(*data, validation=validation, test=test, seed=seed)
    assert len(materials(data, parts.test)) == round(test * dataset.info.n_materials)
    assert elements(data, parts.test) | elements(data, parts.validation) <= elements(data, parts.train) == elements(data, np.arange(len(dataset)))
    [half] = nested_subsets(parts.train, *data, [len(parts.train) // 2], seed)
    assert set(half) < set(parts.train)
