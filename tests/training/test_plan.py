"""What a run will do, worked out beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import ConfigError
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

PARTS = ("train", "validation", "test")


@pytest.mark.parametrize("train_size", [None, 8])
def test_no_material_is_in_two_parts(xfunc_dft: Dataset, train_size: int | None) -> None:
    plan = make_plan(FinetuneSettings("xfunc-dft-r2scan", train_size=train_size), xfunc_dft)
    materials = [set(xfunc_dft.table["material_id"].iloc[getattr(plan.split, part)]) for part in PARTS]
    assert not (materials[0] & materials[1] or materials[0] & materials[2] or materials[1] & materials[2])
    rows = np.concatenate([getattr(plan.split, part) for part in PARTS])
    assert len(rows) == len(set(rows.tolist()))
    if train_size is None:
        assert len(rows) == len(xfunc_dft)


def test_counts_are_those_of_the_frames(xfunc_dft: Dataset) -> None:
    plan = make_plan(FinetuneSettings("xfunc-dft-r2scan", train_size=9, batch_size=4, epochs=7), xfunc_dft)
    train, test = plan.split.train, plan.split.test
    symbols = [set(xfunc_dft.structure(row).symbol_set) for row in range(len(xfunc_dft))]
    seen = set().union(*(symbols[row] for row in train))
    lacking = [symbols[row] - seen for row in test]
    assert plan.n_elements == len(seen)
    assert set(plan.uncovered) == set().union(*lacking)
    assert plan.n_test_uncovered == sum(map(bool, lacking)) > 0
    assert plan.steps_per_epoch == math.ceil(len(train) / 4)
    assert plan.total_steps == 7 * plan.steps_per_epoch
    assert plan.atoms_per_epoch == sum(len(xfunc_dft.structure(row)) for row in train)
    assert plan.rank == np.linalg.matrix_rank(xfunc_dft.composition[train])
    assert plan.n_pool > len(train)


def test_plan_is_the_same_each_time_and_another_for_another_seed(few: Dataset) -> None:
    first, again, other = (make_plan(FinetuneSettings("few", split_seed=seed), few).to_json(few) for seed in (0, 0, 1))
    assert first == again
    assert first["test"] != other["test"]
    assert set(first) == set(PARTS)
    assert set(first["test"]) <= set(few.table["frame_id"])


def test_the_seed_of_training_moves_no_frame(few: Dataset) -> None:
    assert make_plan(FinetuneSettings("few", seed=5), few).to_json(few) == make_plan(FinetuneSettings("few"), few).to_json(few)


def test_validation_and_test_do_not_depend_on_the_subset(few: Dataset) -> None:
    plans = [make_plan(FinetuneSettings("few", train_size=size, subset_seed=seed), few) for size, seed in ((4, 0), (8, 1), (None, 2))]
    for plan in plans:
        np.testing.assert_array_equal(plan.split.test, plans[0].split.test)
        np.testing.assert_array_equal(plan.split.validation, plans[0].split.validation)


def test_warnings_say_what_a_colleague_would(xfunc_dft: Dataset) -> None:
    settings = FinetuneSettings("xfunc-dft-r2scan", train_size=9, epochs=2)
    plan = make_plan(settings, xfunc_dft)
    said = plan.warnings(settings)
    assert any(f"{plan.n_test_uncovered} test frames hold elements that no training frame has" in s for s in said)
    assert any(f"{plan.n_elements - plan.rank} stay open" in s for s in said)
    assert any(f"Only {plan.total_steps} optimiser steps" in s for s in said)
    assert not any("stay open" in s for s in plan.warnings(FinetuneSettings("xfunc-dft-r2scan", method="M3")))


def test_subset_larger_than_training_is_refused(few: Dataset) -> None:
    with pytest.raises(ConfigError, match="A subset of 19 frames is not possible: training has"):
        make_plan(FinetuneSettings("few", train_size=19), few)
