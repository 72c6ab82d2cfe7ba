"""What a run will do, worked out before anything is launched: split, coverage, steps, time. No torch here."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.splits import Split, nested_subsets, split_by_material
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Method, count_text, counted, plural
from xfunc_core.references.energy_scale import ScaleCheck, scheme_scale
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.missing import MissingReference, elements_of, without_reference
from xfunc_core.references.published import atomref, silent_holes_in
from xfunc_core.references.scheme import Scheme
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
        missing: elements in any part that the scheme has no reference of its own for, by symbol.
        new_to_network: elements in any part that the pretrained network never saw, by symbol.
        dropped: frames left out for such elements, each ``{"frame_id", "reason"}``.
        n_leaked: validation and test frames that entered the fit of the table that was brought along; None where that cannot be told.
        scale: how what the scheme brings from elsewhere fits the energy scale of the training frames; None if it brings nothing.
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
    missing: tuple[str, ...] = ()
    new_to_network: tuple[str, ...] = ()
    dropped: tuple[dict[str, str], ...] = ()
    n_leaked: int | None = 0
    scale: ScaleCheck | None = None

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """The split by frame id, for ``split.json``."""
        ids = dataset.table["frame_id"].to_numpy()
        return {name: ids[getattr(self.split, name)].tolist() for name in ("train", "validation", "test")}

    def warnings(self, settings: FinetuneSettings) -> list[str]:
        """What a careful colleague would say before the run starts, one sentence each."""
        said = []
        if self.uncovered:
            said.append(
                f"{counted(self.n_test_uncovered, 'test frame holds', 'test frames hold')} elements that no training frame has ({', '.join(self.uncovered)}): their energies can only be guessed."
            )
        missing = self.n_elements - self.rank
        if missing and settings.method in (Method.M1.value, Method.M4.value) and settings.start_scheme.is_fitted:
            filled = (
                f" and {plural(missing, 'is', 'are')} filled in by what their neighbours in the periodic table suggest"
                if settings.start_scheme is Scheme.SMOOTH
                else ""
            )
            said.append(
                f"The {counted(len(self.split.train), 'training frame holds', 'training frames hold')} {counted(self.n_elements, 'element')} but {plural(len(self.split.train), 'fixes', 'fix')} only {counted(self.rank, 'combination')} of their reference energies; {missing} {plural(missing, 'stays', 'stay')} open{filled}."
            )
        if self.dropped:
            said.append(
                f"{counted(len(self.dropped), 'frame is', 'frames are')} left out, because “{settings.start_scheme.label}” gives {', '.join(self.missing)} no reference energy."
            )
        elif set(self.missing) - set(self.uncovered):
            said.append(f"“{settings.start_scheme.label}” gives {', '.join(self.missing)} no reference energy of its own: a guess stands in.")
        if self.n_leaked is None:
            said.append(
                "Whether the table that was brought along was fitted on validation or test frames cannot be told, because files of the run it is from are gone: errors there may flatter this run."
            )
        if self.n_leaked:
            held_back = len(self.split.validation) + len(self.split.test)
            said.append(
                f"The table that was brought along was fitted on {count_text(self.n_leaked)} of the {count_text(held_back)} validation and test frames (leak): errors there will flatter this run."
            )
        if self.scale and self.scale.fits is False:
            said.append(self.scale.sentence)
        if self.new_to_network:
            said.append(
                f"The pretrained network never saw {', '.join(self.new_to_network)}: expect large errors there, whatever the references."
            )
        if self.total_steps < 100:
            said.append(f"Only {counted(self.total_steps, 'optimiser step')}: the model will hardly move; use more epochs or smaller batches.")
        return said


def make_plan(settings: FinetuneSettings, dataset: Dataset, table_frames: Collection[str] | None = ()) -> Plan:
    """Resolve settings against a dataset. Deterministic: the worker makes the same plan as the page that showed it.

    Args:
        settings: of the run.
        dataset: that it learns from.
        table_frames: ids of the frames that a table that is brought along was fitted on; None where that cannot be told.

    Raises:
        ConfigError: the fractions or the subset size do not fit the dataset, or an element has no reference and is to have one.
    """
    materials = dataset.table["material_id"].to_numpy()
    composition = dataset.composition
    split = split_by_material(
        materials, composition, validation=settings.validation_fraction, test=settings.test_fraction, seed=settings.split_seed
    )
    train, n_pool = split.train, len(split.train)
    if settings.train_size is not None:
        [train] = nested_subsets(split.train, materials, composition, [settings.train_size], settings.subset_seed)
    fitted = train[np.isfinite(dataset.energy_per_atom[train])]  # frames without an energy tell nothing about references
    missing, split, dropped = _references_for_all(settings, dataset, Split(train, split.validation, split.test), fitted)
    n_pool, train = n_pool - len(train) + len(split.train), split.train
    contains = composition > 0
    seen = contains[fitted].any(axis=0)
    lacking = contains[split.test] & ~seen
    steps = math.ceil(len(train) / settings.batch_size)
    return Plan(
        split=split,
        n_pool=n_pool,
        steps_per_epoch=steps,
        total_steps=steps * settings.epochs,
        rank=int(np.linalg.matrix_rank(np.linalg.qr(composition[fitted], mode="r"))),
        n_elements=int(seen.sum()),
        uncovered=tuple(SYMBOLS[i] for i in np.flatnonzero(lacking.any(axis=0))),
        n_test_uncovered=int(lacking.any(axis=1).sum()),
        atoms_per_epoch=int(dataset.table["n_atoms"].to_numpy()[train].sum()),
        missing=missing,
        new_to_network=silent_holes_in(composition[np.concatenate([train, split.validation, split.test])], "mptrj")
        if Method(settings.method).pretrained
        else (),
        dropped=dropped,
        n_leaked=_n_leaked(settings, dataset, split, table_frames),
        scale=_scale(settings, dataset, fitted),
    )


def _n_leaked(settings: FinetuneSettings, dataset: Dataset, split: Split, table_frames: Collection[str] | None) -> int | None:
    if settings.start_scheme is not Scheme.TABLE:
        return 0
    if table_frames is None:
        return None
    held_back = np.concatenate([split.validation, split.test])
    return int(dataset.table["frame_id"].iloc[held_back].isin(table_frames).sum())


def _scale(settings: FinetuneSettings, dataset: Dataset, fitted: np.ndarray) -> ScaleCheck | None:
    """Whether atoms, solids or a table of the scheme belong to the labels. The network is not asked here: x·w_GGA stands in."""
    if not len(fitted):
        return None
    w_gga = atomref("mptrj", as_stored=True)
    frames = ReferenceFrames.of(dataset, fitted, w_gga=w_gga)
    name = f"the references of {settings.reference_table_name or 'the table that was brought along'}"
    return scheme_scale(settings.start_scheme, replace(frames, model_energy=frames.composition @ w_gga), settings.table_energies, name)


def _references_for_all(
    settings: FinetuneSettings, dataset: Dataset, split: Split, fitted: np.ndarray
) -> tuple[tuple[str, ...], Split, tuple[dict[str, str], ...]]:
    """The elements without a reference, the split without their frames if those are to be dropped, and the dropped frames.

    Frames without an energy need no reference and stay.
    """
    own = dataset.info.isolated_atoms
    atoms = np.array([own.get(s, np.nan) for s in SYMBOLS[:N_REFERENCED]]) if own else None
    lacking = without_reference(settings.start_scheme, dataset.composition[fitted], dataset.functional, atoms, settings.table_energies)
    with_energy = np.isfinite(dataset.energy_per_atom)
    rows = np.concatenate([split.train, split.validation, split.test])
    hit = {
        int(row): symbols
        for row, symbols in zip(rows, elements_of(dataset.composition[rows], lacking), strict=True)
        if symbols and with_energy[row]
    }
    missing = tuple(s for s in SYMBOLS[:N_REFERENCED] if any(s in symbols for symbols in hit.values()))
    policy = MissingReference(settings.missing_references)
    if missing and policy is MissingReference.FAIL:
        raise ConfigError(
            f"“{settings.start_scheme.label}” gives {', '.join(missing)} no reference energy, and {counted(len(hit), 'frame holds', 'frames hold')} them: use the prior, drop those frames, or choose another scheme."
        )
    if policy is not MissingReference.DROP:
        return missing, split, ()
    parts = {
        name: np.array([row for row in getattr(split, name) if int(row) not in hit], dtype=int) for name in ("train", "validation", "test")
    }
    for name, kept in parts.items():
        if not len(kept):
            raise ConfigError(
                f"Every frame of the {name} part holds an element without a reference energy ({', '.join(missing)}): use the prior, or choose another scheme."
            )
    ids = dataset.table["frame_id"].to_numpy()
    dropped = tuple(
        {"frame_id": str(ids[row]), "reason": f"“{settings.start_scheme.label}” gives {', '.join(symbols)} no reference energy"}
        for row, symbols in hit.items()
    )
    return missing, Split(**parts), dropped
