"""A sweep: the same fine-tuning over methods, nested training sizes and seeds, for a scaling law.

Validation and test sets are the same in every run; the subsets of one seed are nested; references
are fitted on the subset itself, never on frames it does not have (the paper fits them on all data).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Method
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

EQUAL_STEPS = "steps"
EQUAL_EPOCHS = "epochs"
BUDGETS = {EQUAL_STEPS: "every run gets as many optimiser steps as the largest one", EQUAL_EPOCHS: "every run sees its frames equally often"}
"""How training is kept comparable over sizes; named on every figure."""


@dataclass(frozen=True)
class SweepSettings:
    """Which runs make up a sweep.

    Attributes:
        base: settings every run shares.
        methods: values of `Method`.
        sizes: training frames, ascending.
        n_seeds: repetitions; each has its own subsets, weights and order of frames.
        budget: `EQUAL_STEPS` or `EQUAL_EPOCHS`.
    """

    base: FinetuneSettings
    methods: tuple[str, ...] = ("M1", "M4")
    sizes: tuple[int, ...] = ()
    n_seeds: int = 2
    budget: str = EQUAL_STEPS

    def __post_init__(self) -> None:
        """Refuse what cannot give a curve."""
        if not self.methods or not set(self.methods) <= {m.value for m in Method}:
            raise ConfigError(f"The sweep's methods are {', '.join(self.methods) or 'empty'}: choose from M1, M2, M3, M4.")
        if len(set(self.methods)) < len(self.methods):
            raise ConfigError(f"The sweep's methods are {', '.join(self.methods)}: name each of them once.")
        if len(set(self.sizes)) < 2:
            raise ConfigError("A sweep needs at least two training sizes to show a trend: add one.")
        if self.n_seeds < 1:
            raise ConfigError(f"n_seeds is {self.n_seeds}: it must be at least 1.")
        if self.budget not in BUDGETS:
            raise ConfigError(f"budget is {self.budget!r}: choose one of {', '.join(BUDGETS)}.")


def default_sizes(n_train: int, count: int = 4) -> tuple[int, ...]:
    """Sizes that halve from all training frames downwards, ascending, at least four frames each."""
    sizes = {round(n_train / 2**k) for k in range(count)}
    return tuple(sorted(size for size in sizes if size >= 4))


def expand(sweep: SweepSettings, dataset: Dataset, sweep_id: str) -> dict[str, FinetuneSettings]:
    """Run id → settings of every run, small sizes first so that a curve shows early.

    With equal steps, epochs are rounded up: a run gets as many steps as the largest one, and fewer than one epoch more.

    Raises:
        ConfigError: a size is larger than the training set.
    """
    largest = _steps(sweep.base, dataset, max(sweep.sizes), sweep.base.epochs)
    runs = {}
    for size in sorted(set(sweep.sizes)):
        for seed in range(sweep.n_seeds):
            for method in sweep.methods:
                settings = replace(sweep.base, method=method, train_size=size, seed=seed, subset_seed=seed, sweep=sweep_id)
                if sweep.budget == EQUAL_STEPS:
                    per_epoch = _steps(settings, dataset, size, 1)
                    settings = replace(settings, epochs=math.ceil(largest / per_epoch))
                runs[f"{sweep_id}-{method.lower()}-n{size}-s{seed}"] = settings
    return runs


@dataclass(frozen=True)
class Coverage:
    """What the subsets of one size know about the elements; the worst of the seeds.

    Attributes:
        n_covered: test frames whose elements all occur in the subset.
        n_test: test frames.
        n_open: combinations of the occurring elements' reference energies that the subset leaves open.
    """

    n_covered: int
    n_test: int
    n_open: int


def element_coverage(sweep: SweepSettings, dataset: Dataset) -> dict[int, Coverage]:
    """The coverage of each size."""
    covered = {}
    for size in sorted(set(sweep.sizes)):
        plans = [make_plan(replace(sweep.base, train_size=size, subset_seed=seed), dataset) for seed in range(sweep.n_seeds)]
        n_test = len(plans[0].split.test)
        covered[size] = Coverage(min(n_test - plan.n_test_uncovered for plan in plans), n_test, max(plan.n_elements - plan.rank for plan in plans))
    return covered


def parse_sizes(text: str) -> tuple[int, ...]:
    """Sizes from text such as ``8, 16, 32``.

    Raises:
        ConfigError: it holds something that is no positive whole number.
    """
    parts: Sequence[str] = [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"The sizes {text!r} are not whole numbers above 0 separated by commas: write them like 8, 16, 32.")
    return tuple(sorted({int(part) for part in parts}))


def _steps(settings: FinetuneSettings, dataset: Dataset, size: int, epochs: int) -> int:
    return make_plan(replace(settings, train_size=size, epochs=epochs), dataset).total_steps
