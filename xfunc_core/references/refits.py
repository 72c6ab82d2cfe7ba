"""The same schemes on other draws of the training materials: how far their references move, and how well they do on materials left out.

Both keep every element covered, as the splits do (`xfunc_core.data.splits`): a refit that loses the only frames of an element, or a
fold that takes them, would measure what a missing reference costs, which is told apart from this (elements without a reference).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy import sparse

from xfunc_core.blas import one_blas_thread
from xfunc_core.references.element_references import ElementReferences
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.solvers import Composition

MOST_FRAMES = 2_000
"""Frames in a refit; of more, this many are drawn and what the references move is scaled to all, as 1/√F."""
_WORTH_THREADS = 500


class Fits(Protocol):
    """A scheme, or what stands for one."""

    def fit(self, frames: ReferenceFrames) -> ElementReferences:
        """References from frames."""


def take(frames: ReferenceFrames, index: np.ndarray) -> ReferenceFrames:
    """Some of the frames; an index may occur more than once."""
    per_frame = {
        name: getattr(frames, name)[index] for name in ("energy_per_atom", "n_atoms", "model_energy") if getattr(frames, name) is not None
    }
    return replace(frames, composition=frames.composition[index], **per_frame)


def refits(
    schemes: Sequence[Fits],
    frames: ReferenceFrames,
    materials: np.ndarray,
    n: int,
    seed: int = 0,
    tell: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Reference energies of each scheme on resampled training materials, eV/atom, shape (n, schemes, 94).

    A cluster bootstrap: materials are drawn with replacement, all their frames with them. For every element that a draw misses, one
    of the materials that hold it joins.

    Args:
        schemes: what to fit.
        frames: the training frames, all with an energy.
        materials: the material of each frame, shape (F,), any labels.
        n: refits.
        seed: of the draws.
        tell: called with the number of refits done, from the calling thread.
    """
    n_frames = frames.composition.shape[0]
    groups = _groups(materials)
    holds = _holds(frames.composition, groups)
    draws = [_draw(groups, holds, np.random.default_rng([seed, number]), min(n_frames, MOST_FRAMES)) for number in range(n)]
    found = np.empty((n, len(schemes), frames.composition.shape[1]))
    with one_blas_thread(), ThreadPoolExecutor(_threads(n_frames)) as pool:
        for number, energies in enumerate(pool.map(lambda index: _fitted(schemes, take(frames, index)), draws)):
            found[number] = energies
            tell(number + 1)
    if n_frames <= MOST_FRAMES or not n:
        return found
    return _fitted(schemes, frames) + (found - found.mean(axis=0)) * np.sqrt(MOST_FRAMES / n_frames)


def held_out_errors(schemes: Sequence[Fits], frames: ReferenceFrames, materials: np.ndarray, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Error of each scheme on training frames it was not fitted to, predicted − label in eV/atom, shape (schemes, F).

    Cross-validation by material. NaN for the frames of materials that no fold could leave out without taking an element along.

    Args:
        schemes: what to fit.
        frames: the training frames, all with an energy and what the model says of them.
        materials: the material of each frame, shape (F,).
        folds: in how many parts the materials are left out.
        seed: of the order of the materials.
    """
    errors = np.full((len(schemes), frames.composition.shape[0]), np.nan)
    for held in _folds(frames.composition, materials, folds, seed):
        kept = np.setdiff1d(np.arange(errors.shape[1]), held)
        errors[:, held] = errors_of(_fitted(schemes, take(frames, kept)), take(frames, held))
    return errors


def errors_of(energies: np.ndarray, frames: ReferenceFrames) -> np.ndarray:
    """Error of the pretrained network with given references, predicted − label in eV/atom, shape (…, F).

    Args:
        energies: references in eV/atom, shape (…, 94).
        frames: with what the model says of them; NaN where a frame has no label.
    """
    shift = np.asarray(energies) - frames.w_gga
    moved = (frames.composition @ shift.reshape(-1, shift.shape[-1]).T).T.reshape(*shift.shape[:-1], -1)
    return frames.model_energy + moved - frames.energy_per_atom


def n_materials_with(composition: Composition, materials: np.ndarray) -> np.ndarray:
    """Materials that hold each element, shape (94,)."""
    return _holds(composition, _groups(materials)).sum(axis=0)


def _fitted(schemes: Sequence[Fits], frames: ReferenceFrames) -> np.ndarray:
    return np.array([scheme.fit(frames).energies for scheme in schemes]).reshape(len(schemes), -1)


def _groups(materials: np.ndarray) -> list[np.ndarray]:
    """The frames of each material, in order of its name."""
    _, owner = np.unique(materials, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)


def _holds(composition: Composition, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Which elements each material holds, shape (materials, 94), bool."""
    contains = sparse.csr_matrix(composition)
    owner = np.empty(contains.shape[0], dtype=int)
    owner[np.concatenate(groups)] = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    holds = np.zeros((len(groups), contains.shape[1]), dtype=bool)
    entries = contains.tocoo()
    present = entries.data > 0
    holds[owner[entries.row[present]], entries.col[present]] = True
    return holds


def _draw(groups: Sequence[np.ndarray], holds: np.ndarray, rng: np.random.Generator, n_frames: int) -> np.ndarray:
    """Frames of materials drawn with replacement until there are about as many as asked for, every element among them."""
    per_material = sum(map(len, groups)) / len(groups)
    drawn = rng.integers(len(groups), size=max(1, round(n_frames / per_material)))
    missing = holds.any(axis=0) & ~holds[drawn].any(axis=0)
    joining = []
    while missing.any():
        chosen = int(rng.choice(np.flatnonzero(holds[:, missing.argmax()])))
        joining.append(chosen)
        missing &= ~holds[chosen]
    return np.concatenate([groups[i] for i in [*drawn, *joining]])


def _folds(composition: Composition, materials: np.ndarray, n_folds: int, seed: int) -> list[np.ndarray]:
    """Frames to leave out in each fold: whole materials, and never all that hold an element."""
    groups = _groups(materials)
    holds = _holds(composition, groups)
    total = holds.sum(axis=0)
    taken = np.zeros((n_folds, holds.shape[1]), dtype=int)
    folds: list[list[np.ndarray]] = [[] for _ in range(n_folds)]
    for place, material in enumerate(np.random.default_rng(seed).permutation(len(groups))):
        for fold in np.roll(np.arange(n_folds), -place):
            if (taken[fold] + holds[material] < total)[holds[material]].all():
                taken[fold] += holds[material]
                folds[fold].append(groups[material])
                break
    return [np.sort(np.concatenate(fold)) for fold in folds if fold]


def _threads(n_frames: int) -> int:
    """Large fits run outside Python's lock, so threads share them; small ones would only wait for it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, usable) if n_frames >= _WORTH_THREADS else 1
