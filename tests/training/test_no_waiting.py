"""Nothing in a step waits for the device: training on tensors that have shapes but no values, where whatever would read one fails.

Torch's device "meta" refuses every operation whose result hangs on values (item, nonzero, a mask as index, tolist, a copy
back). What a GPU would wait for and meta lets pass, `NoWaiting` refuses: copies to the device that hold up the host, and
arrays of this machine's memory among the operands. Where there is a GPU the same runs on it, and torch itself tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xfunc_core.model import graph_batch
from xfunc_core.model.fused.on_gpu import why_plain
from xfunc_core.model.named import SHIPPED, shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.predict import BATCH_COST, predict
from xfunc_core.model.samples import Sample
from xfunc_core.model.weights import load_engine
from xfunc_core.training import loop, loss
from xfunc_core.training.loop import COST_AT_ONCE, Trainer
from xfunc_core.training.loss import ErrorSums
from xfunc_core.training.settings import FinetuneSettings

READS_PER_VALIDATION = 2
"""Errors on training and on validation frames."""


class NoWaiting(TorchDispatchMode):
    """Refuses what would have the host wait for the device, or the device for the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        devices = {t.device.type for t in given if t.dim() or t.device.type == "meta"}
        made = {t.device.type for t in tree_leaves(result) if isinstance(t, Tensor)}
        if devices | made == {"cpu", "meta"} and given:
            blocks = not kwargs.get("non_blocking") if func is torch.ops.aten._to_copy.default else True
            assert not blocks, f"{func} with tensors on {devices} to {made} waits"
        return result


@pytest.fixture(params=["meta", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where to train."""
    if request.param == "cuda":
        why_plain(torch.empty(0, device="cuda").device)  # the kernels' self-check waits, once in a process
    if request.param == "meta":
        for module in (graph_batch, loss):  # what goes to a GPU is pinned first
            monkeypatch.setattr(module, "sent", lambda tensor, device: tensor.to(device, non_blocking=True))
        for costs in (COST_AT_ONCE, BATCH_COST):
            monkeypatch.setitem(costs, "meta", 2e3)  # several parts a batch
    return request.param


@contextmanager
def no_waiting(device: str) -> Iterator[None]:
    if device == "meta":
        with NoWaiting():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[ErrorSums]:
    """Sums of errors that were read, without reading them."""
    asked: list[ErrorSums] = []

    def mae(sums: ErrorSums) -> dict[str, float]:
        asked.append(sums)
        return {"energy": 1.0}

    monkeypatch.setattr(ErrorSums, "mae", mae)
    return asked


def trainer(version: str, samples: list[Sample], device: str, **settings: Any) -> Trainer:
    """Of a checkpoint and trainable references, with everything that a step can do."""
    loaded = load_engine(shipped_checkpoint(version))
    model = Engine(loaded.network, loaded.references.numpy(), trainable_references=True)
    chosen = {"epochs": 1, "batch_size": 4, "magmom_weight": 0.1, "max_gradient_norm": 1.0} | settings
    return Trainer(model.to(device), samples, samples, FinetuneSettings("few", **chosen))


@pytest.mark.parametrize("batches", ["count", "cost"])
@pytest.mark.parametrize("version", SHIPPED)
def test_training_reads_nothing_but_the_errors_at_validations(
    version: str, batches: str, samples: dict[str, list[Sample]], device: str, reads: list[ErrorSums]
) -> None:
    training = trainer(version, samples["train"], device, batches=batches)
    with no_waiting(device):
        records = [record for record in training.epochs() if record["kind"] == "epoch"]
    assert len(reads) == READS_PER_VALIDATION * len(records) > 0
    assert all(sums.totals.device.type == device for sums in reads)
    assert all(p.grad.device.type == device for p in training.model.parameters())


def test_predictions_are_read_once_all_are_made(samples: dict[str, list[Sample]], device: str) -> None:
    model, done = load_engine(shipped_checkpoint("0.3.0")).to(device), []
    reading = pytest.raises(NotImplementedError, match="no data") if device == "meta" else pytest.raises(RuntimeError, match="synchron")
    with reading, no_waiting(device):
        predict(model, samples["train"], lambda n, total: done.append(n))
    assert done[-1] == len(samples["train"])


# --- the test can fail ------------------------------------------------------------------------

WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda t: t.sum().item(),
    "float": lambda t: float(t.sum()),
    "branch": lambda t: 1 if t.isnan().any() else 0,
    "nonzero": lambda t: t.nonzero(),
    "mask": lambda t: t[t > 0],
    "mask set": lambda t: t.clone().masked_scatter_(t > 0, t[t > 0]),
    "unique": lambda t: t.unique(),
    "repeat": lambda t: t.repeat_interleave((t > 0).long().view(-1)),
    "tolist": lambda t: t.tolist(),
    "copy back": lambda t: t.cpu(),
    "pageable copy": lambda t: torch.zeros(3).to(t.device),
    "array as index": lambda t: t[torch.from_numpy(np.zeros(2, dtype=int))],
    "array as operand": lambda t: t + torch.ones(3),
}
ONLY_A_GPU_SHOWS: dict[str, Callable[[Tensor], object]] = {  # what torch copies by itself, to "meta" at once
    "list as index": lambda t: t[[0, 0]],
    "tensor made there": lambda t: torch.tensor([1.0, 2.0], device=t.device),
}
if torch.cuda.is_available():
    WAITS |= ONLY_A_GPU_SHOWS


@pytest.mark.parametrize("name", WAITS)
def test_whatever_waits_within_a_step_is_found(
    name: str, samples: dict[str, list[Sample]], device: str, reads: list[ErrorSums], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = loop.weighted_huber

    def waiting(predicted: dict[str, Tensor], *rest: Any) -> Tensor:
        WAITS[name](predicted["f"].detach())
        return exact(predicted, *rest)

    monkeypatch.setattr(loop, "weighted_huber", waiting)
    training = trainer("0.3.0", samples["train"], device)
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)), no_waiting(device):
        list(training.epochs())
