"""Products of many rows and a small matrix, which on a processor are oneDNN's: on AMD's it is twice as fast as MKL, torch's choice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from xfunc_core.model.slopes import are_slopes_only

ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
"""Its product, of rows by a matrix and with a bias, where this torch has it."""


def linear(rows: Tensor, matrix: Tensor) -> Tensor:
    """rows matrixᵀ, shapes (n, k) and (m, k) to (n, m); differentiable twice."""
    return _Linear.apply(rows, matrix)


def product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """rows matrixᵀ + bias, shapes (n, k), (m, k) and (m,) to (n, m); autograd does not see it."""
    if ONEDNN and rows.device.type == "cpu" and rows.dtype == torch.float32 and len(rows):
        # what is laid out otherwise it takes as slowly as it can
        found = ONEDNN(rows.contiguous(), matrix if matrix.t().is_contiguous() else matrix.contiguous(), bias, "none", [], "")
    else:
        found = functional.linear(rows, matrix, bias)
    return found if out is None else out.copy_(found)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(rows, matrix)
        return product(rows, matrix)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows, matrix = ctx.saved_tensors
        wants_rows, wants_matrix = ctx.needs_input_grad
        wants_matrix = wants_matrix and not (torch.is_grad_enabled() and are_slopes_only())
        return linear(g, matrix.t()) if wants_rows else None, g.t() @ rows if wants_matrix else None
