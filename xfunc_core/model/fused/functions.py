"""The kernels, compiled or in plain torch, as torch functions whose gradients can be differentiated once more.

The forces of a training step are gradients that the loss differentiates again. So each operation is two functions: itself,
and its gradient. Two intermediate results, pre and y (see kernels.cpp), are outputs of the first and inputs of the second:
what the second passes back for them arrives at the first together with everything else, and goes through the matrices once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from xfunc_core.model.fused.calls import Shape
from xfunc_core.model.operations import WIDTH, Edges, Gate, Own
from xfunc_core.model.slopes import are_slopes_only

PAIR = 2 * WIDTH
Call = Callable[..., None]
"""What runs a kernel: ``call`` of `xfunc_core.model.fused.calls` (compiled, gates with a norm only) or of `xfunc_core.model.fused.plain`."""


def convolve(call: Call, edges: Edges, at_first: Tensor, at_second: Tensor, own: Own, weight: Tensor, gate: Gate) -> Tensor:
    """Sum of the gated, weighted messages at each first owner.

    Args:
        call: what computes.
        edges: M edges between n₁ first and n₂ second owners.
        at_first: what first owners add to the first linear layer, shape (n₁, 128).
        at_second: what second owners add, shape (n₂, 128).
        own: what the edges add themselves.
        weight: what damps the messages: of each second owner, shape (n₂, 64), or of each pair of edges that share ``own``,
            shape (M/2, 64).
        gate: the rest of the gated MLP.

    Returns:
        Shape (n₁, 64).
    """
    paired = len(own.features) < len(edges.first)
    shape = Shape(edges, len(at_first), len(at_second), paired, linear=True, threads=torch.get_num_threads())
    return _Operation.apply(call, shape, at_first, at_second, *own, weight, *gate)[0]


def update(call: Call, edges: Edges, at_first: Tensor, at_second: Tensor, own: Own, old: Tensor, gate: Gate) -> Tensor:
    """Features of the edges themselves after a gated MLP without hidden layer: ``old`` plus the gated sum.

    Args:
        call: what computes.
        edges: M edges between n₁ first and n₂ second owners.
        at_first: shape (n₁, 128).
        at_second: shape (n₂, 128).
        own: features of the edges.
        old: shape (M, 64).
        gate: without a linear layer.

    Returns:
        Shape (M, 64).
    """
    shape = Shape(edges, len(at_first), len(at_second), paired=False, linear=False, threads=torch.get_num_threads())
    return old + _Operation.apply(call, shape, at_first, at_second, *own, None, *gate)[0]


class _Operation(Function):
    """out, y, pre from (call, shape, at_first, at_second, features, own_weight, weight, linear, bias, scale, shift).

    A pair of edges keeps what its features add instead of pre, which is then only a name for gradients to go by.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, shape: Shape, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        given = dict(zip(_INPUTS, inputs, strict=True))
        bias, new = given.pop("bias"), inputs[0].new_empty
        size = (shape.positions, PAIR)
        y = new(size if shape.linear else 0)
        own, pre = (new(size[0] // 2, PAIR), new(1).expand(size)) if shape.paired else (None, new(size))
        out = new(shape.n_first if shape.linear else shape.positions, WIDTH)
        call("forward", shape, out.dtype, **_named(given, own, pre, y), bias=bias, out=out)
        ctx.call, ctx.shape = call, shape
        ctx.save_for_backward(own, pre, y, *given.values())
        ctx.set_materialize_grads(False)
        return out, y, pre

    @staticmethod
    def backward(ctx: Any, g_out: Tensor | None, cot_y: Tensor | None, cot_pre: Tensor | None) -> tuple[Tensor | None, ...]:
        call, shape, saved = ctx.call, ctx.shape, ctx.saved_tensors
        if torch.is_grad_enabled():
            if not are_slopes_only():
                raise RuntimeError("gradients of parameters are differentiated no further: take slopes within slopes_only()")
            return None, None, *_Slopes.apply(call, shape, g_out, *saved), None, None, None, None
        tensors = _saved(saved)
        room = _room(tensors, (*_SLOPES, *_PARAMETERS))
        if shape.linear:
            room["g_bias"] = tensors["own_weight"].new_empty(2, WIDTH)
        needed = {f"g_{name}" for name, needs in zip(_INPUTS, ctx.needs_input_grad[2:], strict=True) if needs}
        room = {name: tensor for name, tensor in room.items() if name in needed or name in _SLOPES.values()}
        call("backward", shape, tensors["own_weight"].dtype, **tensors, g_out=g_out, cot_y=cot_y, cot_pre=cot_pre, **room)
        return None, None, *(room.get(_SLOPES.get(name, f"g_{name}")) for name in _INPUTS)


class _Slopes(Function):
    """Gradients of at_first, at_second, features, (own_weight: none) and weight, from (call, shape, g_out, what `_Operation` kept)."""

    @staticmethod
    def forward(ctx: Any, call: Call, shape: Shape, g_out: Tensor, *saved: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = _saved(saved)
        room = _room(tensors, _SLOPES)
        g_h = torch.empty_like(tensors["y"]) if shape.linear else None
        call("backward", shape, g_out.dtype, **tensors, g_out=g_out, g_h=g_h, **room)
        ctx.call, ctx.shape = call, shape
        ctx.save_for_backward(g_out, g_h, *saved)
        return room["g_first"], room["g_second"], room["g_features"], None, room.get("g_weight")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        g_out, g_h, *saved = ctx.saved_tensors
        tensors = _saved(saved)
        room = _room(tensors, _PARAMETERS) | {"c_out": g_out.new_empty(g_out.shape), "c_pre": g_out.new_empty(ctx.shape.positions, PAIR)}
        if ctx.shape.linear:
            room |= {"c_y": torch.empty_like(tensors["y"]), "c_weight": g_out.new_empty(tensors["weight"].shape)}
        given = dict(zip(("t_first", "t_second", "t_features", None, "t_weight"), tangents, strict=True))
        del given[None]
        ctx.call("double_backward", ctx.shape, g_out.dtype, **tensors, g_out=g_out, g_h=g_h, **given, **room)
        kept = ("c_pre", "c_y", None, None, None, "g_own_weight", "c_weight", "g_linear", "g_scale", "g_shift")
        return None, None, room["c_out"], None, *(room.get(name) for name in kept)


_INPUTS = ("at_first", "at_second", "features", "own_weight", "weight", "linear", "bias", "scale", "shift")
_KEPT = ("own", "pre", "y", *(name for name in _INPUTS if name != "bias"))
"""What `_Operation` saves, in order."""
_SLOPES = {"at_first": "g_first", "at_second": "g_second", "features": "g_features", "weight": "g_weight"}
_PARAMETERS = {name: f"g_{name}" for name in ("own_weight", "linear", "scale", "shift")}


def _saved(tensors: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """What `_Operation` saved, under the names of the kernels; what is not there is left out."""
    given = dict(zip(_KEPT, tensors, strict=True))
    return _named(given, given.pop("own"), given.pop("pre"), given.pop("y"))


def _named(given: dict[str, Tensor | None], own: Tensor | None, pre: Tensor, y: Tensor) -> dict[str, Tensor]:
    named = {name: tensor for name, tensor in given.items() if tensor is not None}
    named["own_weight_t"] = given["own_weight"].t()
    if given["linear"] is not None:
        named |= {"linear_t": given["linear"].transpose(1, 2), "y": y}
    return named | ({"pre": pre} if own is None else {"own": own})


def _room(tensors: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Empty tensors for the gradients of those that are there."""
    gradients = _SLOPES | _PARAMETERS
    return {gradients[name]: torch.empty_like(tensors[name], memory_format=torch.contiguous_format) for name in names if name in tensors}
