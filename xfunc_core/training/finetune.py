"""One fine-tuning run from settings to errors: the paper's four methods on any dataset.

The order of events: plan the split, build the graphs, ask the pretrained model what it says without
any training, choose the references on the training frames, train, and compare on the test frames.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from xfunc_core.analysis.metrics import error_summary
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import graph_cache
from xfunc_core.errors import DataError, RunError
from xfunc_core.model.device import usable_device
from xfunc_core.model.initial import PRETRAINED_TITLE, load_pretrained, scratch
from xfunc_core.model.network import Engine
from xfunc_core.model.predict import Predictions, predict, predict_energies
from xfunc_core.model.samples import Sample, build_samples
from xfunc_core.quantities import Method, counted
from xfunc_core.references.looked_up import BroughtTable
from xfunc_core.references.priors import Trainable
from xfunc_core.references.schemes import SCHEMES, ElementReferences, ReferenceFrames, ReferenceScheme, Scheme
from xfunc_core.references.starting import Start
from xfunc_core.training.loop import Trainer
from xfunc_core.training.loss import teaches
from xfunc_core.training.parallel import ALONE, Processes, local_rank
from xfunc_core.training.plan import Plan, make_plan
from xfunc_core.training.settings import FinetuneSettings

STAGES = ("zero_shot", "start", "trained")
"""Pretrained network with GGA references; the run's own network (pretrained, or random in M1) and references before training; the trained model."""

FRAMES_AT_ONCE = 1000
"""Of a dataset that is evaluated: their graphs are in memory together, some 40 MB for cells of 20 atoms."""


@dataclass
class Finetuning:
    """A prepared run.

    Attributes:
        plan: the resolved split.
        samples: samples by part (train, validation, test).
        left_out: frames CHGNet cannot take, each ``{"frame_id", "reason"}``.
        references: the references training starts from.
        pretrained: the untouched pretrained model.
        trainer: holds the model.
        untrained: the model before training where it is another network than the pretrained one (M1), else None.
    """

    plan: Plan
    samples: dict[str, list[Sample]]
    left_out: list[dict[str, str]]
    references: ElementReferences
    pretrained: Engine
    trainer: Trainer
    untrained: Engine | None

    def evaluate(self) -> dict[str, dict[str, Predictions]]:
        """Predictions by part (validation, test) and stage; call it after training."""
        parts = ("validation", "test")
        zero_shot = {part: predict(self.pretrained, self.samples[part]) for part in parts}
        start = {part: self._at_start(zero_shot[part], self.samples[part]) for part in parts}
        if self.untrained is not None:
            start = {part: predict(self.untrained, self.samples[part]) for part in parts}
        self.trainer.load_best()
        trained = {part: predict(self.trainer.model, self.samples[part]) for part in parts}
        return {part: {"zero_shot": zero_shot[part], "start": start[part], "trained": trained[part]} for part in parts}

    def final_references(self) -> ElementReferences:
        """The references of the best model; they differ from `references` only where they trained along (M2)."""
        return replace(self.references, energies=self.trainer.model.references.detach().cpu().numpy().copy())

    def _at_start(self, zero_shot: Predictions, samples: list[Sample]) -> Predictions:
        """The pretrained network with this run's references: only energies move."""
        composition = np.array([sample.composition for sample in samples])
        shift = self.references.energies - self.pretrained.references.cpu().numpy()
        return replace(zero_shot, energy=zero_shot.energy + composition @ shift)


def prepare(
    settings: FinetuneSettings,
    dataset: Dataset,
    should_stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
    table_frames: Collection[str] | None = (),
) -> Finetuning:
    """Split, build graphs, fit references on the training frames and set up the trainer; for ``table_frames`` see `make_plan`.

    Raises:
        ConfigError: the settings do not fit the dataset.
        DataError: a part has no usable frame, or none with a label that counts.
        RunError: the device is not there.
    """
    device = _device(settings.device, settings.precision)
    plan = make_plan(settings, dataset, table_frames)
    samples, left_out = _samples(plan, dataset)
    for part in ("train", "validation"):
        if not teaches(samples[part], settings):
            raise DataError(
                f"No frame of the {part} part of {settings.dataset} has a label that counts in the loss: choose another dataset or other weights."
            )
    pretrained = load_pretrained().to(device)
    start = Start(_scheme(settings, settings.scheme), settings.fills_gaps)
    references = start.fit(training_frames(settings, dataset, samples["train"], pretrained))
    references = replace(references, leaky=references.leaky or (None if plan.n_leaked is None else plan.n_leaked > 0))
    model = _initial_model(settings, references).to(device)
    untrained = None if Method(settings.method).pretrained else _initial_model(settings, references).to(device)
    torch.manual_seed(settings.seed)
    trainer = Trainer(model, samples["train"], samples["validation"], settings, should_stop, processes)
    return Finetuning(plan, samples, left_out, references, pretrained, trainer, untrained)


def training_frames(settings: FinetuneSettings, dataset: Dataset, train: list[Sample], pretrained: Engine) -> ReferenceFrames:
    """What reference schemes are fitted on: the samples of the training part and what the pretrained model says of them."""
    w_gga = pretrained.references.cpu().numpy()
    frames = ReferenceFrames.of(dataset, np.array([sample.row for sample in train]), w_gga=w_gga)
    if not Method(settings.method).pretrained:
        return replace(
            frames, model_energy=frames.composition @ w_gga
        )  # no network: what is left is what the references themselves must explain
    return replace(frames, model_energy=predict_energies(pretrained, [sample.graph for sample in train]))


def evaluate_model(
    model: Engine, dataset: Dataset, tell: Callable[[int, int], None] = lambda done, total: None
) -> tuple[dict[str, dict[str, float]], list[dict[str, str]]]:
    """Errors of a model on every frame of a dataset, and the frames left out.

    ``tell`` is called with the number of frames done and of all, now and then.

    Raises:
        DataError: no frame can be used.
    """
    labels, predicted, left_out = [], [], []
    for start in range(0, len(dataset), FRAMES_AT_ONCE):
        samples, rejected = build_samples(dataset, np.arange(start, min(start + FRAMES_AT_ONCE, len(dataset))), graph_cache())
        left_out += rejected
        if samples:
            labels.append(label_arrays(samples))
            predicted.append(predict(model, samples))
        tell(min(start + FRAMES_AT_ONCE, len(dataset)), len(dataset))
    if not labels:
        raise DataError(f"CHGNet can use no frame of {dataset.info.name}; the first was left out because of {left_out[0]['reason']}.")
    return summarise(Predictions.joined(labels), Predictions.joined(predicted)), left_out


def label_arrays(samples: list[Sample]) -> Predictions:
    """The labels of samples in the shape of predictions; absent ones NaN."""
    return Predictions(
        energy=np.array([s.energy for s in samples]),
        forces=np.concatenate([s.forces.numpy() for s in samples]).astype(float),
        stress=np.array([s.stress.numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] for s in samples], dtype=float),
        magmoms=np.concatenate([s.magmoms.numpy() for s in samples]).astype(float),
    )


def summarise(labels: Predictions, predicted: Predictions) -> dict[str, dict[str, float]]:
    """N, MAE and RMSE by quantity in eV/atom, eV/Å, GPa and μB; quantities without labels are left out."""
    names = {"energy": "energy", "force": "forces", "stress": "stress", "magmom": "magmoms"}
    found = {name: error_summary(getattr(labels, a), getattr(predicted, a)) for name, a in names.items()}
    return {name: {"n": s.n, "mae": s.mae, "rmse": s.rmse} for name, s in found.items() if s.n}


def metrics(run: Finetuning, predictions: dict[str, dict[str, Predictions]]) -> dict[str, Any]:
    """What ``metrics.json`` holds: errors by part and stage, and what they were measured on."""
    return {
        "pretrained": PRETRAINED_TITLE,
        "scheme": run.references.scheme.value,
        "best_epoch": run.trainer.best_epoch,
        "n_frames": {part: len(samples) for part, samples in run.samples.items()},
        "n_elements": run.plan.n_elements,
        "n_test_uncovered": run.plan.n_test_uncovered,
        "left_out": run.left_out,
        "errors": {
            part: {stage: summarise(label_arrays(run.samples[part]), by_stage[stage]) for stage in STAGES}
            for part, by_stage in predictions.items()
        },
    }


def _samples(plan: Plan, dataset: Dataset) -> tuple[dict[str, list[Sample]], list[dict[str, str]]]:
    samples, left_out = {}, list(plan.dropped)
    for part in ("train", "validation", "test"):
        samples[part], rejected = build_samples(dataset, getattr(plan.split, part), graph_cache())
        left_out += rejected
        if not samples[part]:
            raise DataError(
                f"No frame of the {part} part can be used by CHGNet; the first was left out because of {rejected[0]['reason']}."
            )
    return samples, left_out


def _scheme(settings: FinetuneSettings, scheme: Scheme) -> ReferenceScheme:
    if scheme is Scheme.TRAINABLE and settings.trains_references:
        return Trainable(_scheme(settings, settings.start_scheme))
    if scheme is Scheme.TABLE:
        return BroughtTable(settings.table_energies, settings.reference_table_name or "a table that was brought along")
    return SCHEMES[scheme]


def _initial_model(settings: FinetuneSettings, references: ElementReferences) -> Engine:
    network = load_pretrained().network if Method(settings.method).pretrained else scratch(references.energies, settings.seed).network
    return Engine(network, references.energies, trainable_references=settings.trains_references)


def _device(name: str, precision: str = "float32") -> torch.device:
    torch.set_flush_denormal(True)  # some CPU kernels run a hundred times slower on denormals
    device = usable_device(name)
    if device.type != "cuda":
        return device
    if local_rank() >= torch.cuda.device_count():
        raise RunError(
            f"This run may use {counted(torch.cuda.device_count(), 'GPU')}, and each process needs one of its own: ask for fewer processes."
        )
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.cuda.set_device(local_rank())
    return torch.device(name, local_rank())
