"""The training loop: yields records, writes no files, and can be stopped and resumed at any epoch.

Differences from upstream's trainer, each for a reason (see docs/training.md): the cosine runs over
optimiser steps and therefore always reaches its end, however few batches an epoch has; the model
kept is the one with the best validation energy; absent labels are left out instead of turning the
loss into NaN; the state holds the optimiser, the schedule and the random generator; epochs of a few
steps are validated several at a time; a batch that needs too much memory is computed in parts, and
its gradient is the same.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from xfunc_core.errors import RunError
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.network import Engine
from xfunc_core.model.packing import level_batches, share, split, structure_costs, threads_for
from xfunc_core.model.samples import Sample
from xfunc_core.training.loss import QUANTITY_OF, ErrorSums, Targets, label_counts, weighted_huber, weights
from xfunc_core.training.parallel import ALONE, Processes
from xfunc_core.training.settings import FinetuneSettings

FINAL_LR_FRACTION = 0.01
"""The cosine ends at this fraction of the first learning rate (paper: 1e-3 to 1e-5)."""
SECONDS_BETWEEN_STEP_RECORDS = 2.0
STEPS_WORTH_VALIDATING = 8
"""Optimiser steps that should lie between two validations: after fewer, validating takes most of the time."""
FEWEST_VALIDATIONS = 30
"""A run of at least as many epochs is validated no less often: about as often as a large run of a sweep with
equal steps, so that the best epoch is chosen among as many at every size."""
COST_AT_ONCE = {"cpu": 1e5, "cuda": 2e6}
"""What a batch may cost before it is computed in parts, in units of a directed edge, which keeps 7.5 kB: 0.8 GB, and 15 GB on a GPU,
where it is an estimate."""


class Stopped(Exception):
    """Training was asked to stop."""


class Trainer:
    """Trains one model; iterate over `epochs` and call `load_best` when done.

    Attributes:
        model: what is trained.
        epoch: finished epochs.
        best_epoch: the one with the lowest validation error so far; 0 before the first validation.
    """

    def __init__(
        self,
        model: Engine,
        train: Sequence[Sample],
        validation: Sequence[Sample],
        settings: FinetuneSettings,
        should_stop: Callable[[], bool] = lambda: False,
        processes: Processes = ALONE,
    ) -> None:
        self.model = model
        self._train = train
        self._validation = validation
        self._settings = settings
        self._should_stop = should_stop
        self._processes = processes
        processes.copy_state(model)
        self._weights = weights(settings)
        self._costs = structure_costs(sample.graph for sample in train)
        self._n_labels = label_counts(train)
        self._n_threads = threads_for(self._costs.mean() * settings.batch_size / processes.size, torch.get_num_threads())
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(_parameter_groups(model, settings))
        self._steps_per_epoch = math.ceil(len(train) / settings.batch_size)
        self._epochs_at_once = epochs_per_validation(self._steps_per_epoch, settings.epochs)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, cosine(self._total_steps))
        self._order = torch.Generator().manual_seed(settings.seed)
        self.epoch = 0
        self._best_error = math.inf
        self.best_epoch = 0
        self._best = copy.deepcopy(model.state_dict())

    def epochs(self) -> Iterator[dict[str, Any]]:
        """Train the epochs that are left, yielding a record a couple of seconds and one a validation.

        The records of validations are of the kind ``epoch``, hold the errors on the training frames since
        the last one, and are where `state_dict` may be taken.

        Raises:
            Stopped: ``should_stop`` said so.
            RunError: the loss is no longer a number.
        """
        torch.set_num_threads(self._n_threads)
        while self.epoch < self._settings.epochs:
            start = time.monotonic()
            errors = ErrorSums(self.model.references.device)
            for _ in range(min(self._epochs_at_once, self._settings.epochs - self.epoch)):
                for step in self._one_epoch(errors):
                    yield {
                        "kind": "step",
                        "epoch": self.epoch + 1,
                        "step": self._step(step),
                        "total_steps": self._total_steps,
                        "seconds": time.monotonic() - start,
                    }
                self.epoch += 1
            self._processes.add_up(errors.totals)
            training, validation = errors.mae(), self.evaluate(self._validation)
            self._refuse_lost([*training.values(), *validation.values()])
            self._keep_if_best(validation)
            yield {
                "kind": "epoch",
                "epoch": self.epoch,
                "step": self._step(0),
                "total_steps": self._total_steps,
                "lr": self._schedule.get_last_lr()[0],
                "train": training,
                "validation": validation,
                "best_epoch": self.best_epoch,
                "seconds": time.monotonic() - start,
            }

    def evaluate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean absolute errors over samples, by quantity."""
        errors = ErrorSums(self.model.references.device)
        mine = samples[self._processes.rank :: self._processes.size]
        for part in self._parts(np.arange(len(mine)), structure_costs(sample.graph for sample in mine)):
            with torch.no_grad():
                errors.add(*self._forward([mine[i] for i in part]))
        self._processes.add_up(errors.totals)
        return errors.mae()

    def load_best(self) -> None:
        """Put the weights of the best epoch into the model."""
        self.model.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly where the last record of the kind ``epoch`` was yielded.

        The tensors are the live ones: save or copy them before training goes on.
        """
        return {
            "model": self.model.state_dict(),
            "best": self._best,
            "best_error": self._best_error,
            "best_epoch": self.best_epoch,
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "order": self._order.get_state(),
            "rng": torch.get_rng_state(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.model.load_state_dict(state["model"])
        self._best, self._best_error, self.best_epoch = state["best"], state["best_error"], state["best_epoch"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._order.set_state(state["order"])
        torch.set_rng_state(state["rng"])
        self.epoch = state["epoch"]

    @property
    def _total_steps(self) -> int:
        return self._steps_per_epoch * self._settings.epochs

    def _step(self, within_epoch: int) -> int:
        return self.epoch * self._steps_per_epoch + within_epoch

    def _one_epoch(self, errors: ErrorSums) -> Iterator[int]:
        last = time.monotonic()
        for step, batch in enumerate(self._batches(), start=1):
            if self._processes.agree(self._should_stop()):
                raise Stopped
            self._optimise(batch, errors)
            now = time.monotonic()
            if now - last > SECONDS_BETWEEN_STEP_RECORDS:
                last = now
                yield step

    def _batches(self) -> list[np.ndarray]:
        """The training samples of each step of this epoch, by number."""
        if self._settings.batches == "cost":
            return level_batches(self._costs, self._steps_per_epoch, self._settings.seed, self.epoch)
        order = torch.randperm(len(self._train), generator=self._order).numpy()
        return np.split(order, range(self._settings.batch_size, len(order), self._settings.batch_size))

    def _optimise(self, batch: np.ndarray, errors: ErrorSums) -> None:
        """One step on training samples by number; nothing in it waits for a GPU."""
        counts = dict(zip(QUANTITY_OF, self._n_labels[batch].sum(0).tolist(), strict=True))
        mine = share(batch, self._costs, self._processes.size)[self._processes.rank] if self._processes.size > 1 else batch
        self._optimizer.zero_grad(set_to_none=True)
        for part in self._parts(mine, self._costs):
            predicted, targets = self._forward([self._train[i] for i in part])
            loss = weighted_huber(predicted, targets, self._weights, self._settings.huber_delta, counts)
            if loss.requires_grad:
                loss.backward(inputs=self._parameters)  # only these: bond vectors, too, could have gradients
            errors.add(predicted, targets)
        if any(factor and counts[key] for key, factor in self._weights.items()):
            for p in self._parameters:  # without a gradient Adam would leave its momentum out, depending on who computed what
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            self._processes.add_up_gradients(self._parameters)
            if self._settings.max_gradient_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.max_gradient_norm)
            self._optimizer.step()
        self._schedule.step()

    def _parts(self, batch: np.ndarray, costs: np.ndarray) -> list[np.ndarray]:
        """A batch in parts that fit into memory together with what their backward pass needs."""
        return split(batch, costs, COST_AT_ONCE[self.model.references.device.type])

    def _forward(self, batch: Sequence[Sample]) -> tuple[dict[str, torch.Tensor], Targets]:
        device = self.model.references.device
        graphs = collate([sample.graph for sample in batch], next(self.model.network.parameters()).dtype)
        return self.model(graphs.to(device)), Targets.of(batch, device)

    def _refuse_lost(self, errors: Sequence[float]) -> None:
        if not all(map(math.isfinite, errors)):
            raise RunError(
                f"The loss is no longer a number in epoch {self.epoch}: lower the learning rate (now {self._settings.learning_rate:g}) or clip the gradient."
            )

    def _keep_if_best(self, validation: dict[str, float]) -> None:
        error = selection_error(validation, self._settings)
        if error < self._best_error:
            self._best_error, self.best_epoch = error, self.epoch
            self._best = copy.deepcopy(self.model.state_dict())


def _parameter_groups(model: Engine, settings: FinetuneSettings) -> list[dict[str, Any]]:
    """The network, and the references if they are trained, each with its learning rate; one group where the rate is the same, as older checkpoints have it."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if "references" not in trained or settings.rate_of_references == settings.learning_rate:
        return [{"params": list(trained.values()), "lr": settings.learning_rate}]
    references = trained.pop("references")
    return [{"params": list(trained.values()), "lr": settings.learning_rate}, {"params": [references], "lr": settings.rate_of_references}]


def epochs_per_validation(steps_per_epoch: int, epochs: int) -> int:
    """Epochs trained between two validations: one, unless there are many epochs of a few steps each."""
    return max(1, min(math.ceil(STEPS_WORTH_VALIDATING / steps_per_epoch), epochs // FEWEST_VALIDATIONS))


def selection_error(validation: dict[str, float], settings: FinetuneSettings) -> float:
    """What the best epoch is chosen by: the energy error, as in the paper, or without energies the errors as the loss weighs them."""
    if settings.energy_weight and "energy" in validation:
        return validation["energy"]
    return sum(factor * validation.get(QUANTITY_OF[key], 0.0) for key, factor in weights(settings).items())


def cosine(total_steps: int) -> Callable[[int], float]:
    """Factor on the learning rate at each optimiser step: 1 at the first, FINAL_LR_FRACTION at the last."""
    last = max(total_steps - 1, 1)

    def factor(step: int) -> float:
        progress = min(step / last, 1.0)
        return FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor
