"""SiLU and the normalisation of rows, twice differentiable by closed formulas.

Torch differentiates its own a second time through a chain of elementary steps, each of which reads and writes everything:
a training step, which differentiates forces, would spend a third of its time there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

NORM_EPSILON = 1e-5
"""What torch's LayerNorm adds to a variance."""


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x)."""
    return _Silu.apply(x)


def normalised(rows: Tensor) -> Tensor:
    """Rows (M, n) at mean 0 and variance 1: a layer norm without scale and shift."""
    return _Normalised.apply(rows)


class _Silu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.nn.functional.silu(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return _SiluSlope.apply(g, *ctx.saved_tensors)


class _SiluSlope(Function):
    """g silu'(x)."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(g, x)
        return torch.ops.aten.silu_backward(g, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor, Tensor]:
        g, x = ctx.saved_tensors
        s = x.sigmoid()
        curvature = (s - s * s).mul_((x * s).mul_(-2).add_(x).add_(2))  # silu''
        return torch.ops.aten.silu_backward(t, x), curvature.mul_(g).mul_(t)


class _Normalised(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        normal, mean, inverse = torch.native_layer_norm(rows, rows.shape[1:], None, None, NORM_EPSILON)
        ctx.save_for_backward(rows, mean, inverse)
        return normal

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return _NormalisedSlope.apply(g, *ctx.saved_tensors)


class _NormalisedSlope(Function):
    """The gradient of `normalised`: (g − mean g − x mean(g x)) / σ with the normal rows x and their standard deviation σ.

    It is symmetric in g and the gradient t of what it returns.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, rows: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
        slope = _slope(g, rows, mean, inverse)
        ctx.save_for_backward(g, rows, mean, inverse, slope)
        return slope

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        g, rows, mean, inverse, slope = ctx.saved_tensors
        x = (rows - mean).mul_(inverse)
        along_g, along_t = _mean(g, x), _mean(t, x)
        through_x = (t * along_g).addcmul_(g, along_t).mul_(-inverse)
        into = _slope(through_x, rows, mean, inverse)
        return _slope(t, rows, mean, inverse), into.sub_(x.mul_(_mean(t, slope) * inverse)), None, None


def _slope(g: Tensor, rows: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    return torch.ops.aten.native_layer_norm_backward(g, rows, rows.shape[1:], mean, inverse, None, None, [True, False, False])[0]


def _mean(a: Tensor, b: Tensor) -> Tensor:
    """Of the products, row by row: shape (M, 1)."""
    return torch.linalg.vecdot(a, b).div_(a.shape[1]).unsqueeze(1)
