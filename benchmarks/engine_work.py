"""Arithmetic and memory traffic of a training step of the engine, counted operation by operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.engine_agreement import Outputs, loss_of
from xfunc_core.model.fused import plain
from xfunc_core.model.fused.calls import Shape
from xfunc_core.model.graph_batch import GraphBatch
from xfunc_core.model.network import Engine
from xfunc_core.model.products import ONEDNN

_PRODUCTS = {torch.ops.aten.mm: (0, -1), torch.ops.aten.bmm: (0, -1), torch.ops.aten.addmm: (1, -1), torch.ops.aten.addmm_: (1, -1)}
_PRODUCTS |= {torch.ops.aten.linear: (0, 0), ONEDNN: (0, 0)}
"""Products of matrices: where their first factor stands among the arguments, and which dimension of the second is the result's."""


class Work(TorchDispatchMode):
    """Counts what runs within it.

    Attributes:
        flops: of products of matrices, two for each multiplication with its addition; the rest is little.
        moved: bytes that operations read and write, as if nothing stayed in a cache from one to the next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.moved = 0, 0
        self.counts_moved = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in _PRODUCTS:
            first, columns = _PRODUCTS[func.overloadpacket]
            self.flops += 2 * args[first].numel() * args[first + 1].shape[columns]
        is_view = any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)
        if self.counts_moved and not is_view:
            self.moved += sum(size_of(t) for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor))
        return result


def size_of(tensor: Tensor) -> int:
    """Bytes."""
    return tensor.numel() * tensor.element_size()


def work_of_a_step(engine: Engine, batch: GraphBatch, labels: Outputs, whole: bool) -> Work:
    """Of forward, forces and stresses, and gradients.

    Args:
        engine: in plain torch; its gradients are dropped.
        batch: what it takes the step on.
        labels: of it.
        whole: count the memory that a kernel moves as if it read and wrote each of its tensors once, as fused ones do.
    """
    work = Work()

    def call(kernel: str, shape: Shape, dtype: torch.dtype, **tensors: Tensor | None) -> None:
        work.counts_moved = not whole
        plain.call(kernel, shape, dtype, **tensors)
        work.counts_moved = True
        if whole:
            kept = {t.untyped_storage().data_ptr(): t for t in (*shape.edges, *tensors.values()) if t is not None}  # a matrix and its transpose once
            work.moved += sum(map(size_of, kept.values()))

    engine._call = lambda vectors: call
    try:
        with work:
            loss_of(engine(batch), labels).backward(inputs=[p for p in engine.parameters() if p.requires_grad])
    finally:
        del engine._call
        engine.zero_grad()
    return work
