"""Sweeps: which runs there are, and that only what should differ does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import ConfigError
from xfunc_core.runs.folder import RunFolder
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import EQUAL_EPOCHS, EQUAL_STEPS, SweepSettings, default_sizes, element_coverage, expand, parse_sizes

BASE = FinetuneSettings("xfunc-dft-r2scan", epochs=10, batch_size=4)
SWEEP = SweepSettings(BASE, ("M1", "M3", "M4"), (8, 16, 32), n_seeds=2)


@pytest.fixture(scope="module")
def runs(xfunc_dft: Dataset) -> dict[str, FinetuneSettings]:
    return expand(SWEEP, xfunc_dft, "sweep-1")


def test_every_combination_is_run_once(runs: dict[str, FinetuneSettings]) -> None:
    found = [(s.method, s.train_size, s.seed) for s in runs.values()]
    assert sorted(found) == sorted((m, n, s) for m in ("M1", "M3", "M4") for n in (8, 16, 32) for s in (0, 1))
    assert [n for _, n, _ in found] == sorted(n for _, n, _ in found)  # small ones first


def test_ids_name_runs(runs: dict[str, FinetuneSettings], tmp_path: Path) -> None:
    assert len(runs) == 18
    for run_id, settings in runs.items():
        assert run_id == f"sweep-1-{settings.method.lower()}-n{settings.train_size}-s{settings.seed}"
        assert RunFolder.create(tmp_path, settings.to_dict(), run_id=run_id).id == run_id


def test_runs_differ_in_nothing_else(runs: dict[str, FinetuneSettings]) -> None:
    for settings in runs.values():
        assert replace(settings, method="M4", train_size=None, seed=0, subset_seed=0, epochs=10, sweep="") == BASE
        assert (settings.subset_seed, settings.sweep) == (settings.seed, "sweep-1")


def test_every_run_is_tested_on_the_same_frames_and_subsets_are_nested(runs: dict[str, FinetuneSettings], xfunc_dft: Dataset) -> None:
    plans = {run_id: make_plan(settings, xfunc_dft) for run_id, settings in runs.items()}
    first = next(iter(plans.values()))
    for plan in plans.values():
        np.testing.assert_array_equal(plan.split.test, first.split.test)
        np.testing.assert_array_equal(plan.split.validation, first.split.validation)
    for seed in (0, 1):
        trains = [{m: set(plans[f"sweep-1-{m}-n{n}-s{seed}"].split.train) for m in ("m1", "m3", "m4")} for n in (8, 16, 32)]
        assert all(by_method["m1"] == by_method["m3"] == by_method["m4"] for by_method in trains)
        assert trains[0]["m4"] < trains[1]["m4"] < trains[2]["m4"]


def test_equal_steps_give_every_run_the_steps_of_the_largest(runs: dict[str, FinetuneSettings], xfunc_dft: Dataset) -> None:
    largest = make_plan(replace(BASE, train_size=32), xfunc_dft).total_steps
    for settings in runs.values():
        plan = make_plan(settings, xfunc_dft)
        assert largest <= plan.total_steps < largest + plan.steps_per_epoch


def test_equal_epochs_leave_the_epochs(xfunc_dft: Dataset) -> None:
    assert {s.epochs for s in expand(replace(SWEEP, budget=EQUAL_EPOCHS), xfunc_dft, "x").values()} == {10}


def test_size_beyond_the_training_set_is_refused(xfunc_dft: Dataset) -> None:
    with pytest.raises(ConfigError, match="A subset of 100000 frames is not possible"):
        expand(replace(SWEEP, sizes=(8, 100_000)), xfunc_dft, "x")


def test_coverage_counts_test_frames_whose_elements_are_known(xfunc_dft: Dataset) -> None:
    found = element_coverage(SWEEP, xfunc_dft)
    for size, coverage in found.items():
        plans = [make_plan(replace(BASE, train_size=size, subset_seed=seed), xfunc_dft) for seed in (0, 1)]
        assert coverage.n_test == len(plans[0].split.test)
        assert coverage.n_covered == min(coverage.n_test - plan.n_test_uncovered for plan in plans)
        assert coverage.n_open == max(plan.n_elements - plan.rank for plan in plans)
    assert found[8].n_covered < found[32].n_covered


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": ()}, "methods are empty"),
        ({"methods": ("M4", "M9")}, "choose from M1, M2, M3, M4"),
        ({"methods": ("M4", "M4")}, "name each of them once"),
        ({"sizes": (8, 8)}, "at least two training sizes"),
        ({"sizes": ()}, "at least two training sizes"),
        ({"n_seeds": 0}, "n_seeds is 0"),
        ({"budget": "time"}, f"choose one of {EQUAL_STEPS}, {EQUAL_EPOCHS}"),
    ],
)
def test_sweep_without_a_curve_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        replace(SWEEP, **change)


@pytest.mark.parametrize(("n", "sizes"), [(64, (8, 16, 32, 64)), (65, (8, 16, 32, 65)), (9, (4, 9)), (3, ())])
def test_default_sizes_halve(n: int, sizes: tuple[int, ...]) -> None:
    assert default_sizes(n) == sizes


@pytest.mark.parametrize(("text", "sizes"), [("8, 16,32", (8, 16, 32)), ("32;8", (8, 32)), (" 8 ,8,", (8,))])
def test_sizes_are_read_from_text(text: str, sizes: tuple[int, ...]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "eight", "8, -1", "0", "1.5", "8 16", "²"])
def test_text_without_sizes_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write them like 8, 16, 32"):
        parse_sizes(text)
