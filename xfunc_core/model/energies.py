"""Energies of the pretrained model over rows of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.graphs import build_graphs, geometries
from xfunc_core.model.initial import load_pretrained
from xfunc_core.model.predict import predict_energies

NOT_FINITE = "the model gives no finite energy for it"


@dataclass(frozen=True)
class Energies:
    """What a model says about some rows of a dataset.

    Attributes:
        energy: eV/atom, references included, shape (R,); NaN for rows the model cannot take.
        reasons: why it cannot, by row.
    """

    energy: np.ndarray
    reasons: dict[int, str]


Evaluate = Callable[[Dataset, np.ndarray], Energies]
"""Evaluate rows of a dataset whose graphs fit into memory together."""


def pretrained_energies() -> tuple[Evaluate, np.ndarray]:
    """Load CHGNet 0.3.0; gives what evaluates rows with it, and its reference energies in eV/atom, shape (94,)."""
    torch.set_flush_denormal(True)  # some CPU kernels run a hundred times slower on denormals
    model = load_pretrained()

    def evaluate(dataset: Dataset, rows: np.ndarray) -> Energies:
        ids = dataset.table["frame_id"].to_numpy()[rows]
        built = build_graphs(geometries(dataset, rows), ids)
        reasons = {int(rows[rejected.position]): rejected.reason for rejected in built.rejected}
        energy = np.full(len(rows), np.nan)
        energy[built.kept] = predict_energies(model, built.graphs)
        reasons |= {int(row): NOT_FINITE for row in rows[~np.isfinite(energy)] if int(row) not in reasons}
        return Energies(np.where(np.isfinite(energy), energy, np.nan), reasons)

    return evaluate, model.references.numpy().copy()
