"""Ten frames to train on and four to validate on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.predict import predict
from xfunc_core.model.samples import Sample, build_samples
from xfunc_core.training.loop import Trainer
from xfunc_core.training.settings import FinetuneSettings


@pytest.fixture(scope="session")
def samples(few: Dataset, one_thread: None) -> dict[str, list[Sample]]:
    """Frames of two or three atoms, all labels but magnetic moments."""
    built, left_out = build_samples(few, range(14))
    assert left_out == []
    return {"train": built[:10], "validation": built[10:]}


@pytest.fixture(scope="session")
def shift(samples: dict[str, list[Sample]], fresh: Callable) -> float:
    """What the network's energies lack on the training frames, eV/atom: they are on another code's scale."""
    return float(np.mean([s.energy for s in samples["train"]]) - predict(fresh(), samples["train"]).energy.mean())


@pytest.fixture
def trainer(samples: dict[str, list[Sample]], shift: float, fresh: Callable) -> Callable[..., Trainer]:
    """A trainer of the pretrained network, references brought near by one shift, on the first ``n`` frames."""

    def of(n: int = 10, validation: list[Sample] | None = None, should_stop: Callable[[], bool] = lambda: False, train: list[Sample] | None = None, **settings) -> Trainer:
        model = fresh()
        model.references += shift
        chosen = FinetuneSettings("few", **{"epochs": 3, "batch_size": 5} | settings)
        return Trainer(model, train or samples["train"][:n], validation or samples["validation"], chosen, should_stop)

    return of


@pytest.fixture
def unlabelled() -> Callable[..., Sample]:
    """A sample without some of its labels."""

    def of(sample: Sample, *names: str) -> Sample:
        return replace(sample, **{name: getattr(sample, name) * float("nan") for name in names})

    return of
