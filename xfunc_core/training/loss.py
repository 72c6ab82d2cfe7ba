"""The paper's loss: a weighted sum of Huber losses on energy, forces, stress and magnetic moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

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
            e=torch.tensor([sample.energy for sample in samples], dtype=torch.float64, device=device),
            f=torch.cat([sample.forces for sample in samples]).to(device),
            s=torch.stack([sample.stress for sample in samples]).to(device),
            m=torch.cat([sample.magmoms for sample in samples]).to(device),
        )


def weights(settings: FinetuneSettings) -> dict[str, float]:
    """Loss weight by prediction key."""
    return {"e": settings.energy_weight, "f": settings.force_weight, "s": settings.stress_weight, "m": settings.magmom_weight}


def weighted_huber(predicted: dict[str, Tensor], targets: Targets, weight: dict[str, float], delta: float) -> Tensor:
    """The loss of a batch, each quantity averaged over the labels it has; a quantity without labels adds 0.

    Upstream turns a batch without a label into NaN and ends training; here it is left out.
    """
    total = torch.zeros((), dtype=torch.float64, device=targets.e.device)
    for key, factor in weight.items():
        target = getattr(targets, key)
        there = torch.isfinite(target)
        if factor and there.any():
            total = total + factor * huber_loss(predicted[key][there], target[there], delta=delta)
    return total


def teaches(samples: Sequence[Sample], settings: FinetuneSettings) -> bool:
    """Whether the samples have a label that counts in the loss."""
    labels = Targets.of(samples, torch.device("cpu"))
    return any(factor and bool(torch.isfinite(getattr(labels, key)).any()) for key, factor in weights(settings).items())


class ErrorSums:
    """Running mean absolute errors per quantity, each label counted once."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(QUANTITY_OF, 0.0)
        self._counts = dict.fromkeys(QUANTITY_OF, 0)

    def add(self, predicted: dict[str, Tensor], targets: Targets) -> None:
        """Add a batch."""
        for key in QUANTITY_OF:
            target = getattr(targets, key)
            there = torch.isfinite(target)
            self._sums[key] += float((predicted[key].detach() - target)[there].abs().sum())
            self._counts[key] += int(there.sum())

    def mae(self) -> dict[str, float]:
        """Mean absolute error by quantity (eV/atom, eV/Å, GPa, μB); quantities without labels are left out."""
        return {name: self._sums[key] / self._counts[key] for key, name in QUANTITY_OF.items() if self._counts[key]}
