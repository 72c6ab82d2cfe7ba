"""Energies of the pretrained model over rows of a dataset: the one place where another engine would take over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.chgnet import load_pretrained
from xfunc_core.model.samples import build_samples

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
"""Evaluate rows of a dataset that fit into memory together."""


def pretrained_energies() -> tuple[Evaluate, np.ndarray]:
    """Load CHGNet 0.3.0; gives what evaluates rows with it, and its reference energies in eV/atom, shape (94,)."""
    torch.set_flush_denormal(True)  # some CPU kernels run a hundred times slower on denormals
    model = load_pretrained().eval()

    def evaluate(dataset: Dataset, rows: np.ndarray) -> Energies:
        samples, rejected = build_samples(dataset, rows)
        taken = np.isin(rows, [sample.row for sample in samples])
        reasons = {int(row): frame["reason"] for row, frame in zip(rows[~taken], rejected, strict=True)}
        energy = np.full(len(rows), np.nan)
        if samples:
            composition = torch.stack([sample.composition for sample in samples])
            with torch.no_grad():
                said = model([sample.graph for sample in samples], composition, task="e")["e"].numpy()
            energy[taken] = said
        reasons |= {int(row): NOT_FINITE for row in rows[~np.isfinite(energy)] if int(row) not in reasons}
        return Energies(np.where(np.isfinite(energy), energy, np.nan), reasons)

    return evaluate, model.references.numpy().copy()
