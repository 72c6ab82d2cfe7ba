"""The paper's loss: a weighted sum of Huber losses on energy, forces, stress and magnetic moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from xfunc_core.model.graph_batch import sent
from xfunc_core.model.samples import Sample
from xfunc_core.training.settings import FinetuneSettings

QUANTITY_OF = {"e": "energy", "f": "force", "s": "stress", "m": "magmom"}


@dataclass(frozen=True)
class Targets:
    """Labels of a batch in the order the model predicts them; absent ones are NaN."""

    e: Tensor
    f: Tensor
    s: Tensor
    m: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sample], device: torch.device) -> Targets:
        """Gather the labels of a batch."""
        return cls(
            e=sent(torch.tensor([sample.energy for sample in samples], dtype=torch.float64), device),
            f=sent(torch.cat([sample.forces for sample in samples]), device),
            s=sent(torch.stack([sample.stress for sample in samples]), device),
            m=sent(torch.cat([sample.magmoms for sample in samples]), device),
        )


def weights(settings: FinetuneSettings) -> dict[str, float]:
    """Loss weight by prediction key."""
    return {"e": settings.energy_weight, "f": settings.force_weight, "s": settings.stress_weight, "m": settings.magmom_weight}


def label_counts(samples: Sequence[Sample]) -> np.ndarray:
    """How many labels each sample has of energy, forces, stress and magnetic moments, shape (F, 4)."""
    labels = ((s.energy, s.forces.numpy(), s.stress.numpy(), s.magmoms.numpy()) for s in samples)
    return np.array([[np.isfinite(label).sum() for label in each] for each in labels], dtype=np.int64).reshape(-1, len(QUANTITY_OF))


def weighted_huber(
    predicted: dict[str, Tensor], targets: Targets, weight: Mapping[str, float], delta: float, counts: Mapping[str, int]
) -> Tensor:
    """The loss of a batch, each quantity averaged over the labels it has; a quantity without labels adds 0.

    Upstream turns a batch without a label into NaN and ends training; here it is left out.

    Args:
        predicted: by key, of a batch or a part of one.
        targets: its labels.
        weight: by key.
        delta: where the loss turns from square to linear.
        counts: labels by key in the whole batch; the losses of its parts add up to that of the whole.
    """
    total = torch.zeros((), dtype=torch.float64, device=targets.e.device)
    for key, factor in weight.items():
        if factor and counts[key]:
            target = getattr(targets, key)
            # Shapes stay as they are: indexing by a mask would wait for a GPU to count.
            filled = torch.where(torch.isfinite(target), target, predicted[key].detach())
            total = total + factor * huber_loss(predicted[key], filled, reduction="sum", delta=delta).double() / counts[key]
    return total


def teaches(samples: Sequence[Sample], settings: FinetuneSettings) -> bool:
    """Whether the samples have a label that counts in the loss."""
    counts = label_counts(samples).sum(0).tolist()
    return any(factor and count for factor, count in zip(weights(settings).values(), counts, strict=True))


class ErrorSums:
    """Running mean absolute errors per quantity, each label counted once.

    Attributes:
        totals: sums of absolute errors and numbers of labels, shape (2, 4), float64, on the device of the predictions.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.totals = torch.zeros(2, len(QUANTITY_OF), dtype=torch.float64, device=device)

    def add(self, predicted: dict[str, Tensor], targets: Targets) -> None:
        """Add a batch."""
        sums, counts = [], []
        for key in QUANTITY_OF:
            target = getattr(targets, key)
            there = torch.isfinite(target)
            error = (predicted[key].detach().double() - target).abs()
            sums.append(torch.where(there, error, 0.0).sum())
            counts.append(there.sum())
        self.totals += torch.stack([torch.stack(sums), torch.stack(counts).double()])

    def mae(self) -> dict[str, float]:
        """Mean absolute error by quantity (eV/atom, eV/Å, GPa, μB); quantities without labels are left out."""
        sums, counts = self.totals.tolist()
        return {name: total / n for name, total, n in zip(QUANTITY_OF.values(), sums, counts, strict=True) if n}
