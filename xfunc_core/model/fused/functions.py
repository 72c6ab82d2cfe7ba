"""The kernels as torch functions whose gradients can be differentiated once more.

The forces of a training step are gradients that the loss differentiates again. So each operation is two functions: itself,
and its gradient. Two intermediate results, pre and y (see kernels.cpp), are outputs of the first and inputs of the second:
what the second passes back for them arrives at the first together with everything else, and goes through the matrices once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from xfunc_core.model.fused.calls import Shape, call
from xfunc_core.model.operations import WIDTH, Edges, Gate, Own

PAIR = 2 * WIDTH
_SLOPES_ONLY: ContextVar[bool] = ContextVar("slopes_only", default=False)


@contextlib.contextmanager
def slopes_only() -> Iterator[None]:
    """Within it a gradient that is to be differentiated again leaves out those of the parameters, which a force does not need."""
    token = _SLOPES_ONLY.set(True)
    try:
        yield
    finally:
        _SLOPES_ONLY.reset(token)


def convolve(edges: Edges, at_first: Tensor, at_second: Tensor, own: Own, weight: Tensor, gate: Gate) -> Tensor:
    """See `xfunc_core.model.operations.convolve`; the gate must have a norm."""
    paired = 2 * len(own.rows) == len(edges.first.index)
    shape = Shape(edges, len(at_first), len(at_second), paired, linear=True)
    return _Operation.apply(shape, at_first, at_second, own.rows, own.matrix, weight, gate.linear, gate.bias, gate.scale, gate.shift)[0]


def update(edges: Edges, at_first: Tensor, at_second: Tensor, own: Own, old: Tensor, gate: Gate) -> Tensor:
    """See `xfunc_core.model.operations.update`; the gate must have a norm."""
    shape = Shape(edges, len(at_first), len(at_second), False, linear=False)
    return old + _Operation.apply(shape, at_first, at_second, own.rows, own.matrix, None, None, None, gate.scale, gate.shift)[0]


class _Operation(Function):
    """out, y, pre from (shape, at_first, at_second, own, own_weight, weight, linear, bias, scale, shift)."""

    @staticmethod
    def forward(ctx: Any, shape: Shape, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        at_first, at_second, own, own_weight, weight, linear, bias, scale, shift = inputs
        size = (shape.positions, PAIR)
        gathers = own_weight is None and shape.linear  # then pre is cheaper to gather again than to keep
        pre = at_first.new_empty(1).expand(size) if gathers else at_first.new_empty(size)
        y = at_first.new_empty(size if shape.linear else 0)
        out = at_first.new_empty(shape.n_first if shape.linear else shape.positions, WIDTH)
        given = _given(shape, at_first, at_second, own, own_weight, weight, linear, scale, shift, pre, y)
        call("forward", shape, out.dtype, **given, bias=bias, out=out)
        ctx.shape = shape
        ctx.save_for_backward(at_first, at_second, own, own_weight, weight, linear, scale, shift, pre, y)
        ctx.set_materialize_grads(False)
        return out, y, pre

    @staticmethod
    def backward(ctx: Any, g_out: Tensor | None, cot_y: Tensor | None, cot_pre: Tensor | None) -> tuple[Tensor | None, ...]:
        shape = ctx.shape
        *given, pre, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            if not _SLOPES_ONLY.get():
                raise RuntimeError("compiled kernels differentiate parameter gradients no further: use the plain operations")
            return None, *_Slopes.apply(shape, g_out, pre, y, *given), None, None, None, None
        at_first, *_ = given
        tensors = _given(shape, *given, pre, y)
        grads = _slopes(shape, tensors)
        parameters = {
            f"g_{name}": torch.empty_like(tensors[name]) for name in ("own_weight", "linear", "scale", "shift") if tensors[name] is not None
        }
        if shape.linear:
            parameters["g_bias"] = at_first.new_empty(2, WIDTH)
        trained = dict(
            zip(("own_weight", "linear", "bias", "scale", "shift"), (ctx.needs_input_grad[k] for k in (4, 6, 7, 8, 9)), strict=True)
        )
        parameters = {name: t for name, t in parameters.items() if trained[name[2:]]}
        call("backward", shape, at_first.dtype, **tensors, g_out=g_out, cot_y=cot_y, cot_pre=cot_pre, **grads, **parameters)
        own = grads.get("g_own", grads.get("g_features"))
        rest = (parameters.get(f"g_{name}") for name in ("linear", "bias", "scale", "shift"))
        return None, grads["g_first"], grads["g_second"], own, parameters.get("g_own_weight"), grads.get("g_weight"), *rest


class _Slopes(Function):
    """Gradients of at_first, at_second, own, (own_weight: none), weight, from (shape, g_out, pre, y, what `_Operation` kept)."""

    @staticmethod
    def forward(ctx: Any, shape: Shape, g_out: Tensor, pre: Tensor, y: Tensor, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = _given(shape, *given, pre, y)
        grads = _slopes(shape, tensors)
        g_h = torch.empty_like(y)
        call("backward", shape, g_out.dtype, **tensors, g_out=g_out, g_h=g_h if shape.linear else None, **grads)
        ctx.shape = shape
        ctx.save_for_backward(g_out, g_h, pre, y, *given)
        return grads["g_first"], grads["g_second"], grads.get("g_own", grads.get("g_features")), None, grads.get("g_weight")

    @staticmethod
    def backward(ctx: Any, t_first: Tensor, t_second: Tensor, t_own: Tensor, _: None, t_weight: Tensor | None) -> tuple[Tensor | None, ...]:
        shape = ctx.shape
        g_out, g_h, pre, y, *given = ctx.saved_tensors
        tensors = _given(shape, *given, pre, y)
        made = {"c_out": torch.empty_like(g_out), "c_pre": t_first.new_empty(pre.shape)}
        parameters = {
            f"g_{name}": torch.empty_like(tensors[name]) for name in ("own_weight", "linear", "scale", "shift") if tensors[name] is not None
        }
        if shape.linear:
            made |= {"c_y": torch.empty_like(y), "c_weight": torch.empty_like(tensors["weight"])}
        tangents = {
            "t_first": t_first,
            "t_second": t_second,
            "t_own" if tensors["own_weight"] is None else "t_features": t_own,
            "t_weight": t_weight,
        }
        call(
            "double_backward",
            shape,
            g_out.dtype,
            **tensors,
            g_out=g_out,
            g_h=g_h if shape.linear else None,
            **tangents,
            **made,
            **parameters,
        )
        of = parameters.get
        return (
            None,
            made["c_out"],
            made["c_pre"],
            made.get("c_y"),
            None,
            None,
            None,
            of("g_own_weight"),
            made.get("c_weight"),
            of("g_linear"),
            of("g_scale"),
            of("g_shift"),
        )


def _given(
    shape: Shape,
    at_first: Tensor,
    at_second: Tensor,
    own: Tensor,
    own_weight: Tensor | None,
    weight: Tensor | None,
    linear: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    pre: Tensor,
    y: Tensor,
) -> dict[str, Tensor | None]:
    """Under the names of the kernels."""
    out = {
        "at_first": at_first,
        "at_second": at_second,
        "weight": weight,
        "own_weight": own_weight,
        "linear": linear,
        "scale": scale,
        "shift": shift,
    }
    out["own" if own_weight is None else "features"] = own
    if own_weight is not None:
        out["own_weight_t"] = own_weight.t()
    if linear is not None:
        out |= {"linear_t": linear.transpose(1, 2), "y": y}
    return out | {"pre": pre if pre.is_contiguous() else None}


def _slopes(shape: Shape, tensors: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """Room for the gradients of everything but parameters."""
    names = {"at_first": "g_first", "at_second": "g_second", "own": "g_own", "features": "g_features", "weight": "g_weight"}
    return {g: torch.empty_like(tensors[name]) for name, g in names.items() if tensors.get(name) is not None}
