"""The kernels in plain torch, for machines without a compiler, other devices and other networks: the same names, arguments and results.

The formulas are those of kernels.cpp, whose notation this follows; here the norm may be absent (0.2.0). On a processor edges
are taken block by block, so that what one operation writes is still in the cache when the next one reads it: most of the time
goes into passes over memory otherwise. What a kernel keeps for the next (pre, y, g_h and their cotangents) has its own order
within a block, core before gate.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn.functional import silu

from xfunc_core.model.fused.calls import POINTERS, Shape
from xfunc_core.model.fused.plain_rows import (
    HALVES,
    Block,
    add_weight,
    blocks,
    first_layer,
    kept_pre,
    kept_y,
    norm,
    norm_slope,
    norm_tangent,
    norm_twice,
    summed_pairs,
    tangents_of_pre,
    weighted_,
)
from xfunc_core.model.operations import WIDTH
from xfunc_core.model.products import product

_silu_backward = torch.ops.aten.silu_backward
_sigmoid_backward = torch.ops.aten.sigmoid_backward


@torch.inference_mode()
def call(kernel: str, shape: Shape, dtype: torch.dtype, **tensors: Tensor | None) -> None:
    """Run a kernel as `xfunc_core.model.fused.calls.call` does."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    for name in _SUMS & given.keys():
        given[name].zero_()
    of_owners = {name: given[name].view(-1, 2, WIDTH).transpose(0, 1).contiguous() for name in _OF_OWNERS & given.keys()}
    matrices = {name: given[name].view(2, WIDTH, -1) for name in _OF_GATES & given.keys()}
    transposed = {f"{name}_t": tensor.transpose(1, 2) for name, tensor in matrices.items() if name in ("linear", "own_weight")}
    halves = {name: tensor.squeeze(2).unbind() for name, tensor in (of_owners | matrices | transposed).items()}
    a = SimpleNamespace(**(dict.fromkeys(POINTERS) | given | halves))
    for block in blocks(shape):
        _KERNELS[kernel](a, block)
    for name in _SUMS & of_owners.keys():
        given[name].view(-1, 2, WIDTH).copy_(of_owners[name].transpose(0, 1))


def _forward(a: SimpleNamespace, block: Block) -> None:
    y = first_layer(a, block)
    if block.shape.linear:
        y = [product(silu(pre), a.linear[k], a.bias[k], out=into) for k, (pre, into) in enumerate(zip(y, block.halves(a.y), strict=True))]
    p, q = (norm(a, k, y[k])[0] for k in HALVES)
    out = silu(p).mul_(q.sigmoid())
    if block.shape.linear:
        a.out.index_add_(0, block.first, weighted_(block, out, a.weight))
    else:
        a.out[block.rows] = out


def _backward(a: SimpleNamespace, block: Block) -> None:
    g = _through_gate(a, block) if a.g_out is not None else [a.features.new_zeros(len(block.first), WIDTH) for _ in HALVES]
    if block.shape.linear:
        g = _through_hidden(a, block, g)
    products, features = [], a.features[block.shared]
    for k, cotangent in enumerate(block.halves(a.cot_pre)):
        if cotangent is not None:
            g[k].add_(cotangent)
        a.g_first[k].index_add_(0, block.first, g[k])
        a.g_second[k].index_add_(0, block.second, g[k])
        shared = summed_pairs(block, g[k])
        products.append(product(shared, a.own_weight_t[k]))
        if a.g_own_weight is not None:
            a.g_own_weight[k].addmm_(shared.t(), features)
    torch.add(*products, out=a.g_features[block.shared])


def _through_hidden(a: SimpleNamespace, block: Block, g: list[Tensor]) -> list[Tensor]:
    """Gradients of both halves of pre from those of y, and those of the hidden layer."""
    pre, g_pre = kept_pre(a, block), []
    for k, (cotangent, into) in enumerate(zip(block.halves(a.cot_y), block.halves(a.g_h), strict=True)):
        if cotangent is not None:
            g[k].add_(cotangent)
        if a.g_bias is not None:
            a.g_bias[k].add_(g[k].sum(0))
        if a.g_linear is not None:
            a.g_linear[k].addmm_(g[k].t(), silu(pre[k]))
        g_pre.append(_silu_backward(product(g[k], a.linear_t[k], out=into), pre[k]))
    return g_pre


def _through_gate(a: SimpleNamespace, block: Block) -> list[Tensor]:
    """Gradients of both halves of y, and of weight, scale and shift, from that of the output."""
    y = kept_y(a, block)
    (p, *core), (q, *gate) = (norm(a, k, y[k]) for k in HALVES)
    s, t = silu(p), q.sigmoid()
    if block.shape.linear:
        g = a.g_out.index_select(0, block.first)
        g_t = g * t
        add_weight(block, a.g_weight, g_t * s)
        g_s = weighted_(block, g.mul_(s), a.weight)
        weighted_(block, g_t, a.weight)
    else:
        g = a.g_out[block.rows]
        g_t, g_s = g * t, s.mul_(g)
    slopes = _silu_backward(g_t, p), _sigmoid_backward(g_s, t)
    return [norm_slope(a, k, slopes[k], y[k], *statistics) for k, statistics in enumerate((core, gate))]


def _double_backward(a: SimpleNamespace, block: Block) -> None:
    dy = tangents_of_pre(a, block)
    if not block.shape.linear:
        _add_to_own_weight(a, block, _through_gate_twice(a, block, dy, block.halves(a.c_pre)))
        return
    hidden = _through_hidden_twice(a, block, dy)
    dy = [product(hidden[k], a.linear[k]) for k in HALVES]
    gy = _through_gate_twice(a, block, dy, block.halves(a.c_y))
    if a.g_linear is not None:
        for k in HALVES:
            a.g_linear[k].addmm_(gy[k].t(), hidden[k])


def _through_hidden_twice(a: SimpleNamespace, block: Block, tangents: list[Tensor]) -> list[Tensor]:
    """Tangents of the hidden layer from those of pre; c_pre, and the gradient of own weights, but for what comes through y."""
    pre, g_h, hidden = kept_pre(a, block), block.halves(a.g_h), []
    for k, (tangent, into) in enumerate(zip(tangents, block.halves(a.c_pre), strict=True)):
        hidden.append(_silu_backward(tangent, pre[k]))
        sigmoid = pre[k].sigmoid()
        _sigmoid_backward(_bend(pre[k], sigmoid).mul_(tangent).mul_(g_h[k]), sigmoid, grad_input=into)
    if a.g_own_weight is not None:
        _add_to_own_weight(a, block, [_silu_backward(g_h[k], pre[k]) for k in HALVES])
    return hidden


def _add_to_own_weight(a: SimpleNamespace, block: Block, g: list[Tensor]) -> None:
    if a.g_own_weight is not None:
        features = a.t_features[block.shared]
        for k in HALVES:
            a.g_own_weight[k].addmm_(summed_pairs(block, g[k]).t(), features)


def _through_gate_twice(a: SimpleNamespace, block: Block, dy: list[Tensor], into: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Gradients of both halves of y, through the values and through their tangents dy, into ``into``; returns those of the tangents."""
    y = kept_y(a, block)
    (p, *core), (q, *gate) = (norm(a, k, y[k]) for k in HALVES)
    dx = [norm_tangent(a, y[k], dy[k], *statistics) for k, statistics in enumerate((core, gate))]
    dp, dq = dx if a.scale is None else (dx[k] * a.scale[k] for k in HALVES)
    sp, t = p.sigmoid(), q.sigmoid()
    s = p * sp
    u, v = _silu_backward(dp, p), _sigmoid_backward(dq, t)
    slope = (u * t).addcmul_(s, v)
    if block.shape.linear:
        g = a.g_out.index_select(0, block.first)
        add_weight(block, a.c_weight, g * slope)
        g_w, g_dw = weighted_(block, g.clone(), a.weight), weighted_(block, g, a.t_weight)
        a.c_out.index_add_(0, block.first, weighted_(block, slope, a.weight).add_(weighted_(block, s * t, a.t_weight)))
        through_p, through_q = (g_dw * t).addcmul_(g_w, v), g_dw.mul_(s).addcmul_(g_w, u)
    else:
        g_w = a.g_out[block.rows]
        a.c_out[block.rows] = slope
        through_p, through_q = g_w * v, g_w * u
    core_g, gate_g = g_w * t, s.mul_(g_w)
    gp = _silu_backward(through_p, p).add_(_sigmoid_backward(_bend(p, sp).mul_(dp).mul_(core_g), sp))
    gq = _sigmoid_backward(through_q, t).addcmul_(v.mul_(gate_g), torch.rsub(t, 1, alpha=2))
    g_d = _silu_backward(core_g, p), _sigmoid_backward(gate_g, t)
    if a.scale is None:
        into[0].copy_(gp), into[1].copy_(gq)
        return list(g_d)
    return [norm_twice(a, k, g, g_d[k], y[k], dy[k], dx[k], *statistics, into[k]) for k, (g, statistics) in enumerate(((gp, core), (gq, gate)))]


def _bend(x: Tensor, sigmoid: Tensor) -> Tensor:
    """silu''(x) / sigmoid'(x)."""
    return (x + 2).addcmul_(x, sigmoid, value=-2)


_KERNELS = {"forward": _forward, "backward": _backward, "double_backward": _double_backward}
_OF_OWNERS = {"at_first", "at_second", "t_first", "t_second", "g_first", "g_second"}
"""Where core and gate lie side by side; here one follows the other."""
_OF_GATES = {"own_weight", "linear", "bias", "scale", "shift", "g_own_weight", "g_linear", "g_bias", "g_scale", "g_shift"}
"""Where core and gate have a part each."""
_SUMS = {"out", "g_first", "g_second", "g_weight", "g_linear", "g_bias", "g_scale", "g_shift", "g_own_weight", "c_out", "c_weight"}
"""What blocks add to."""
