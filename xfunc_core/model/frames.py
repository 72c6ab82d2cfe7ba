"""What a model says of frames: its values in place of their labels, and why it cannot take the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xfunc_core.data.batch import FrameBatch
from xfunc_core.model.device import usable_device
from xfunc_core.model.graphs import build_graphs
from xfunc_core.model.network import Engine
from xfunc_core.model.predict import predict_graphs
from xfunc_core.model.weights import load_engine

NOT_FINITE = "the model gives a number for it that is not finite"
_NO_REFERENCE = 1e-6
"""eV/atom; where chgnet's fit saw no frame it leaves about 1e-14."""


def loaded(checkpoint: Path, device: str) -> Engine:
    """The model of a checkpoint, ready to predict.

    Raises:
        DataError: it cannot be used.
        ConfigError: the device is none that CHGNet runs on here.
        RunError: it is a GPU that is not there.
    """
    where = usable_device(device)
    torch.set_flush_denormal(True)  # some CPU kernels run a hundred times slower on denormals
    return load_engine(checkpoint).to(where)


def elements_without_reference(model: Engine) -> np.ndarray:
    """Elements that the model adds no energy for although it does for others, bool, shape (94,)."""
    without = np.abs(model.references.detach().cpu().numpy()) < _NO_REFERENCE
    return without & (not without.all())


def predict_frames(
    model: Engine, frames: FrameBatch, task: str = "efsm", tell: Callable[[int, int], None] = lambda done, total: None
) -> tuple[FrameBatch, np.ndarray, dict[int, str]]:
    """Predict frames whose graphs fit into memory together.

    Args:
        model: on the device that is to compute.
        frames: their labels are no matter.
        task: which of energy, force, stress, magmom to predict; the others are NaN.
        tell: called with the number of frames done and of all that have a graph, after each batch.

    Returns:
        The frames that the model can take, with total eV, eV/Å, GPa and |μB| of the model; which ones these are, ascending;
        and why it cannot take the others, by place among ``frames``.
    """
    starts = frames.first_atom
    structures = [(frames.numbers[a : a + n], frames.lattice[i], frames.positions[a : a + n]) for i, (a, n) in enumerate(zip(starts, frames.n_atoms, strict=True))]
    built = build_graphs(structures, frames.frame_ids)
    reasons = {rejected.position: rejected.reason for rejected in built.rejected}
    taken = frames.take(built.kept)
    said = predict_graphs(model, built.graphs, task, tell)
    with np.errstate(over="ignore"):  # what overflows is left out below
        energy = said.energy * taken.n_atoms
    labels = {"energy": energy, "forces": said.forces.astype(float), "stress": said.stress.astype(float), "magmoms": said.magmoms.astype(float)}
    taken = replace(taken, **labels, correction=np.full(len(taken), np.nan))
    finite = _finite(taken, task)
    reasons |= {int(place): NOT_FINITE for place in built.kept[~finite]}
    return (taken if finite.all() else taken.take(np.flatnonzero(finite))), built.kept[finite], reasons


def _finite(frames: FrameBatch, task: str) -> np.ndarray:
    """Whether every number asked for is one, shape (F,)."""
    owner = np.repeat(np.arange(len(frames)), frames.n_atoms)
    sums = {  # finite only where every term is
        "e": frames.energy,
        "f": np.bincount(owner, frames.forces.sum(axis=1), len(frames)),
        "s": frames.stress.sum(axis=1),
        "m": np.bincount(owner, frames.magmoms, len(frames)),
    }
    return np.isfinite([sums[letter] for letter in task]).all(axis=0)
