"""What a run will do, worked out before anything is launched: split, coverage, steps, time. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.splits import Split, nested_subsets, split_by_material
from xfunc_core.elements import SYMBOLS
from xfunc_core.quantities import Method
from xfunc_core.references.schemes import Scheme
from xfunc_core.training.settings import FinetuneSettings


@dataclass(frozen=True)
class Plan:
    """A run, resolved against its dataset.

    Attributes:
        split: rows of train (after `train_size`), validation and test.
        n_pool: training frames before the subset was taken.
        steps_per_epoch: optimiser steps an epoch.
        total_steps: optimiser steps in all.
        rank: rank of the composition matrix of the training frames that have an energy.
        n_elements: elements that occur in those.
        uncovered: elements of the test part that training lacks, by symbol.
        n_test_uncovered: test frames with such an element.
        atoms_per_epoch: atoms trained on in one epoch; what the time depends on.
    """

    split: Split
    n_pool: int
    steps_per_epoch: int
    total_steps: int
    rank: int
    n_elements: int
    uncovered: tuple[str, ...]
    n_test_uncovered: int
    atoms_per_epoch: int

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """The split by frame id, for ``split.json``."""
        ids = dataset.table["frame_id"].to_numpy()
        return {name: ids[getattr(self.split, name)].tolist() for name in ("train", "validation", "test")}

    def warnings(self, settings: FinetuneSettings) -> list[str]:
        """What a careful colleague would say before the run starts, one sentence each."""
        said = []
        if self.uncovered:
            said.append(f"{self.n_test_uncovered} test frames hold elements that no training frame has ({', '.join(self.uncovered)}): their energies can only be guessed.")
        missing = self.n_elements - self.rank
        if missing and settings.method in (Method.M1.value, Method.M4.value):
            filled = " and are filled in by what their neighbours in the periodic table suggest" if settings.scheme is Scheme.SMOOTH else ""
            said.append(f"The {len(self.split.train)} training frames hold {self.n_elements} elements but fix only {self.rank} combinations of their reference energies; {missing} stay open{filled}.")
        if self.total_steps < 100:
            said.append(f"Only {self.total_steps} optimiser steps: the model will hardly move; use more epochs or smaller batches.")
        return said


def make_plan(settings: FinetuneSettings, dataset: Dataset) -> Plan:
    """Resolve settings against a dataset. Deterministic: the worker makes the same plan as the page that showed it.

    Raises:
        ConfigError: the fractions or the subset size do not fit the dataset.
    """
    materials = dataset.table["material_id"].to_numpy()
    composition = dataset.composition
    split = split_by_material(materials, composition, validation=settings.validation_fraction, test=settings.test_fraction, seed=settings.split_seed)
    train = split.train
    if settings.train_size is not None:
        [train] = nested_subsets(split.train, materials, composition, [settings.train_size], settings.subset_seed)
    contains = composition > 0
    fitted = train[np.isfinite(dataset.energy_per_atom[train])]  # frames without an energy tell nothing about references
    seen = contains[fitted].any(axis=0)
    lacking = contains[split.test] & ~seen
    steps = math.ceil(len(train) / settings.batch_size)
    return Plan(
        split=Split(train, split.validation, split.test),
        n_pool=len(split.train),
        steps_per_epoch=steps,
        total_steps=steps * settings.epochs,
        rank=int(np.linalg.matrix_rank(np.linalg.qr(composition[fitted], mode="r"))),
        n_elements=int(seen.sum()),
        uncovered=tuple(SYMBOLS[i] for i in np.flatnonzero(lacking.any(axis=0))),
        n_test_uncovered=int(lacking.any(axis=1).sum()),
        atoms_per_epoch=int(dataset.table["n_atoms"].to_numpy()[train].sum()),
    )
