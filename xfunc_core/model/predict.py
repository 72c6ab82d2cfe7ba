"""Predictions of a model over many frames, as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xfunc_core.data.frame import matrix_to_voigt
from xfunc_core.model.chgnet import ReferencedCHGNet
from xfunc_core.model.samples import Sample, batches


@dataclass(frozen=True)
class Predictions:
    """What a model says about F frames with A atoms.

    Attributes:
        energy: eV/atom, references included, shape (F,).
        forces: eV/Å, shape (A, 3).
        stress: GPa, Voigt, shape (F, 6).
        magmoms: |μB|, shape (A,).
    """

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    magmoms: np.ndarray


def predict(model: ReferencedCHGNet, samples: Sequence[Sample], batch_size: int = 16) -> Predictions:
    """Predict energy, forces, stress and magnetic moments of every sample, in order.

    Upstream keeps the graph of forces and stress even here, so memory grows with ``batch_size`` as in training.
    """
    device = model.references.device
    model.eval()
    parts = []
    for batch in batches(samples, batch_size):
        graphs = [sample.graph.to(device) for sample in batch]
        composition = torch.stack([sample.composition for sample in batch]).to(device)
        out = model(graphs, composition)
        parts.append({key: value.detach().cpu().numpy() for key, value in out.items()})
    join = {key: np.concatenate([part[key] for part in parts]) if parts else np.empty(0) for key in "efsm"}
    stress = matrix_to_voigt(join["s"].reshape(-1, 3, 3))
    return Predictions(join["e"], join["f"].reshape(-1, 3), stress, join["m"])
