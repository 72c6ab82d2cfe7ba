"""The kernels in plain torch, for machines without a compiler, other devices and other networks: the same names, arguments and results.

The formulas are those of kernels.cpp, whose notation this follows; here the norm may be absent (0.2.0). On a processor edges
are taken block by block, so that what one operation writes is still in the cache when the next one reads it: most of the time
goes into passes over memory otherwise. What a kernel keeps for the next (pre, y, g_h and their cotangents) has its own order
within a block, core before gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu

from xfunc_core.model.fused.calls import POINTERS, Shape
from xfunc_core.model.operations import NORM_EPSILON, WIDTH
from xfunc_core.model.products import product

EDGES_AT_ONCE = 4096
"""For each thread of a processor: one half of a block takes 1 MB, about what the cache of a core holds."""
_silu_backward = torch.ops.aten.silu_backward
_sigmoid_backward = torch.ops.aten.sigmoid_backward
_norm_backward = torch.ops.aten.native_layer_norm_backward


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
    for block in _blocks(shape):
        _KERNELS[kernel](a, block)
    for name in _SUMS & of_owners.keys():
        given[name].view(-1, 2, WIDTH).copy_(of_owners[name].transpose(0, 1))


class _Block(NamedTuple):
    """Some edges.

    Attributes:
        shape: of all.
        rows: where they are in what has a row for each edge.
        shared: where their features are, and their weights if they are paired.
        first: their first owners.
        second: their second owners.
    """

    shape: Shape
    rows: slice
    shared: slice
    first: Tensor
    second: Tensor

    def halves(self, rows: Tensor | None) -> tuple[Tensor | None, ...]:
        """Their rows of 128, or those that pairs share, as core and gate: (n, 64) each."""
        if rows is None:
            return None, None
        return rows[self.rows if len(rows) == self.shape.positions else self.shared].view(2, -1, WIDTH).unbind()


def _blocks(shape: Shape) -> Iterator[_Block]:
    """All edges; an edge and its reverse are in the same block, forward ones before the reversed."""
    sides = 2 if shape.paired else 1
    n = shape.positions // sides
    first, second = (owner.reshape(sides, n) for owner in shape.edges)
    step = EDGES_AT_ONCE * torch.get_num_threads() // sides if first.device.type == "cpu" else max(n, 1)
    for start in range(0, n, step):
        stop = min(start + step, n)
        owners = (owner[:, start:stop].reshape(-1) for owner in (first, second))
        yield _Block(shape, slice(sides * start, sides * stop), slice(start, stop), *owners)


def _forward(a: SimpleNamespace, block: _Block) -> None:
    y = _first_layer(a, block)
    if block.shape.linear:
        y = [product(silu(pre), a.linear[k], a.bias[k], out=into) for k, (pre, into) in enumerate(zip(y, block.halves(a.y), strict=True))]
    p, q = (_norm(a, k, y[k])[0] for k in _HALVES)
    out = silu(p).mul_(q.sigmoid())
    if block.shape.linear:
        a.out.index_add_(0, block.first, _weighted_(block, out, a.weight))
    else:
        a.out[block.rows] = out


def _backward(a: SimpleNamespace, block: _Block) -> None:
    g = _through_gate(a, block) if a.g_out is not None else [a.features.new_zeros(len(block.first), WIDTH) for _ in _HALVES]
    if block.shape.linear:
        g = _through_hidden(a, block, g)
    products, features = [], a.features[block.shared]
    for k, cotangent in enumerate(block.halves(a.cot_pre)):
        if cotangent is not None:
            g[k].add_(cotangent)
        a.g_first[k].index_add_(0, block.first, g[k])
        a.g_second[k].index_add_(0, block.second, g[k])
        shared = _summed_pairs(block, g[k])
        products.append(product(shared, a.own_weight_t[k]))
        if a.g_own_weight is not None:
            a.g_own_weight[k].addmm_(shared.t(), features)
    torch.add(*products, out=a.g_features[block.shared])


def _through_hidden(a: SimpleNamespace, block: _Block, g: list[Tensor]) -> list[Tensor]:
    """Gradients of both halves of pre from those of y, and those of the hidden layer."""
    pre, g_pre = _pre(a, block), []
    for k, (cotangent, into) in enumerate(zip(block.halves(a.cot_y), block.halves(a.g_h), strict=True)):
        if cotangent is not None:
            g[k].add_(cotangent)
        if a.g_bias is not None:
            a.g_bias[k].add_(g[k].sum(0))
        if a.g_linear is not None:
            a.g_linear[k].addmm_(g[k].t(), silu(pre[k]))
        g_pre.append(_silu_backward(product(g[k], a.linear_t[k], out=into), pre[k]))
    return g_pre


def _through_gate(a: SimpleNamespace, block: _Block) -> list[Tensor]:
    """Gradients of both halves of y, and of weight, scale and shift, from that of the output."""
    y = _y(a, block)
    (p, *core), (q, *gate) = (_norm(a, k, y[k]) for k in _HALVES)
    s, t = silu(p), q.sigmoid()
    if block.shape.linear:
        g = a.g_out.index_select(0, block.first)
        g_t = g * t
        _add_weight(block, a.g_weight, g_t * s)
        g_s = _weighted_(block, g.mul_(s), a.weight)
        _weighted_(block, g_t, a.weight)
    else:
        g = a.g_out[block.rows]
        g_t, g_s = g * t, s.mul_(g)
    slopes = _silu_backward(g_t, p), _sigmoid_backward(g_s, t)
    return [_norm_slope(a, k, slopes[k], y[k], *statistics) for k, statistics in enumerate((core, gate))]


def _double_backward(a: SimpleNamespace, block: _Block) -> None:
    dy = _tangents(a, block)
    if not block.shape.linear:
        _add_to_own_weight(a, block, _through_gate_twice(a, block, dy, block.halves(a.c_pre)))
        return
    hidden = _through_hidden_twice(a, block, dy)
    dy = [product(hidden[k], a.linear[k]) for k in _HALVES]
    gy = _through_gate_twice(a, block, dy, block.halves(a.c_y))
    if a.g_linear is not None:
        for k in _HALVES:
            a.g_linear[k].addmm_(gy[k].t(), hidden[k])


def _through_hidden_twice(a: SimpleNamespace, block: _Block, tangents: list[Tensor]) -> list[Tensor]:
    """Tangents of the hidden layer from those of pre; c_pre, and the gradient of own weights, but for what comes through y."""
    pre, g_h, hidden = _pre(a, block), block.halves(a.g_h), []
    for k, (tangent, into) in enumerate(zip(tangents, block.halves(a.c_pre), strict=True)):
        hidden.append(_silu_backward(tangent, pre[k]))
        sigmoid = pre[k].sigmoid()
        _sigmoid_backward(_bend(pre[k], sigmoid).mul_(tangent).mul_(g_h[k]), sigmoid, grad_input=into)
    if a.g_own_weight is not None:
        _add_to_own_weight(a, block, [_silu_backward(g_h[k], pre[k]) for k in _HALVES])
    return hidden


def _add_to_own_weight(a: SimpleNamespace, block: _Block, g: list[Tensor]) -> None:
    if a.g_own_weight is not None:
        features = a.t_features[block.shared]
        for k in _HALVES:
            a.g_own_weight[k].addmm_(_summed_pairs(block, g[k]).t(), features)


def _through_gate_twice(a: SimpleNamespace, block: _Block, dy: list[Tensor], into: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Gradients of both halves of y, through the values and through their tangents dy, into ``into``; returns those of the tangents."""
    y = _y(a, block)
    (p, *core), (q, *gate) = (_norm(a, k, y[k]) for k in _HALVES)
    dx = [_norm_tangent(a, y[k], dy[k], *statistics) for k, statistics in enumerate((core, gate))]
    dp, dq = dx if a.scale is None else (dx[k] * a.scale[k] for k in _HALVES)
    sp, t = p.sigmoid(), q.sigmoid()
    s = p * sp
    u, v = _silu_backward(dp, p), _sigmoid_backward(dq, t)
    slope = (u * t).addcmul_(s, v)
    if block.shape.linear:
        g = a.g_out.index_select(0, block.first)
        _add_weight(block, a.c_weight, g * slope)
        g_w, g_dw = _weighted_(block, g.clone(), a.weight), _weighted_(block, g, a.t_weight)
        a.c_out.index_add_(0, block.first, _weighted_(block, slope, a.weight).add_(_weighted_(block, s * t, a.t_weight)))
        through_p, through_q = (g_dw * t).addcmul_(g_w, v), g_dw.mul_(s).addcmul_(g_w, u)
    else:
        g_w = a.g_out[block.rows]
        a.c_out[block.rows] = slope
        through_p, through_q = g_w * v, g_w * u
    core_g, gate_g = g_w * t, s.mul_(g_w)
    gp = _silu_backward(through_p, p).add_(_sigmoid_backward(_bend(p, sp).mul_(dp).mul_(core_g), sp))
    gq = _sigmoid_backward(through_q, t).addcmul_(v.mul_(gate_g), 1 - 2 * t)
    g_d = _silu_backward(core_g, p), _sigmoid_backward(gate_g, t)
    if a.scale is None:
        into[0].copy_(gp), into[1].copy_(gq)
        return list(g_d)
    return [_norm_twice(a, k, g, g_d[k], y[k], dy[k], dx[k], *statistics, into[k]) for k, (g, statistics) in enumerate(((gp, core), (gq, gate)))]


def _bend(x: Tensor, sigmoid: Tensor) -> Tensor:
    """silu''(x) / sigmoid'(x)."""
    return (x + 2).addcmul_(x, sigmoid, value=-2)


# --- norms ------------------------------------------------------------------------------------


def _norm(a: SimpleNamespace, k: int, y: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Scaled and shifted normal rows of half k, mean and inverse deviation; y itself where the network has no norm."""
    return (y, None, None) if a.scale is None else torch.native_layer_norm(y, (WIDTH,), a.scale[k], a.shift[k], NORM_EPSILON)


def _norm_slope(a: SimpleNamespace, k: int, g: Tensor, y: Tensor, mean: Tensor | None, inverse: Tensor | None) -> Tensor:
    """Gradient of y from that of the norm; adds those of scale and shift."""
    if a.scale is None:
        return g
    wanted = [True, a.g_scale is not None, a.g_shift is not None]
    g_y, g_scale, g_shift = _norm_backward(g, y, (WIDTH,), mean, inverse, a.scale[k], a.shift[k], wanted)
    for into, found in ((a.g_scale, g_scale), (a.g_shift, g_shift)):
        if into is not None:
            into[k].add_(found)
    return g_y


def _norm_tangent(a: SimpleNamespace, y: Tensor, dy: Tensor, mean: Tensor | None, inverse: Tensor | None) -> Tensor:
    """Tangent of the normal rows; as the Jacobian is symmetric, their gradient is computed alike."""
    return dy if a.scale is None else _norm_backward(dy, y, (WIDTH,), mean, inverse, None, None, [True, False, False])[0]


def _norm_twice(
    a: SimpleNamespace, k: int, g: Tensor, g_d: Tensor, y: Tensor, dy: Tensor, dx: Tensor, mean: Tensor, inverse: Tensor, into: Tensor
) -> Tensor:
    """Gradient of y into ``into`` and of its tangent from those of what `_norm` gives (g) and of the tangent of that (g_d)."""
    x = (y - mean).mul_(inverse)
    if a.g_scale is not None:
        a.g_scale[k].add_((g * x).addcmul_(g_d, dx).sum(0))
    if a.g_shift is not None:
        a.g_shift[k].add_(g.sum(0))
    g_dx = g_d.mul_(a.scale[k])
    over_n = y.new_full((WIDTH, 1), 1 / WIDTH)
    along_dy, along_g, along_dx = ((left * right).mm(over_n).mul_(inverse) for left, right in ((dy, x), (g_dx, x), (g_dx, dx)))
    total = g.mul_(a.scale[k]).addcmul_(g_dx, along_dy, value=-1).addcmul_(dy, along_g, value=-1)
    torch.addcmul(_norm_tangent(a, y, total, mean, inverse), x, along_dx, value=-1, out=into)
    return _norm_tangent(a, y, g_dx, mean, inverse)


# --- gathers and sums -------------------------------------------------------------------------


def _first_layer(a: SimpleNamespace, block: _Block) -> list[Tensor]:
    """Both halves of what goes into the first activation, kept, but for pairs, of which what is their own is kept: (n, 64) each."""
    features = a.features[block.shared]
    if block.shape.paired:
        for k, into in enumerate(block.halves(a.own)):
            product(features, a.own_weight[k], out=into)
        return _pre(a, block)
    return [_gathered(block, a.at_first[k], a.at_second[k], into).add_(product(features, a.own_weight[k])) for k, into in enumerate(block.halves(a.pre))]


def _pre(a: SimpleNamespace, block: _Block) -> Sequence[Tensor]:
    """Those of `_first_layer`, from what it kept."""
    if not block.shape.paired:
        return block.halves(a.pre)
    return [_add_to_both_(_gathered(block, a.at_first[k], a.at_second[k]), own) for k, own in enumerate(block.halves(a.own))]


def _tangents(a: SimpleNamespace, block: _Block) -> list[Tensor]:
    """Those of `_pre`."""
    features = a.t_features[block.shared]
    return [_add_to_both_(_gathered(block, a.t_first[k], a.t_second[k]), product(features, a.own_weight[k])) for k in _HALVES]


def _gathered(block: _Block, at_first: Tensor, at_second: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.index_select(at_first, 0, block.first, out=out).add_(at_second.index_select(0, block.second))


def _add_to_both_(rows: Tensor, shared: Tensor) -> Tensor:
    """Adds what is shared, by an edge and its reverse if they are paired."""
    rows.view(-1, *shared.shape).add_(shared)
    return rows


def _y(a: SimpleNamespace, block: _Block) -> tuple[Tensor, Tensor]:
    """Both halves of what goes into the norm."""
    return block.halves(a.y if block.shape.linear else a.pre)


def _weighted_(block: _Block, rows: Tensor, weight: Tensor) -> Tensor:
    """Rows times the weights of their edges, in place."""
    if block.shape.paired:
        rows.view(2, -1, WIDTH).mul_(weight[block.shared])
        return rows
    return rows.mul_(weight.index_select(0, block.second))


def _add_weight(block: _Block, into: Tensor, rows: Tensor) -> None:
    """The adjoint of `_weighted_`."""
    if block.shape.paired:
        torch.sum(rows.view(2, -1, WIDTH), 0, out=into[block.shared])
    else:
        into.index_add_(0, block.second, rows)


def _summed_pairs(block: _Block, rows: Tensor) -> Tensor:
    """Over an edge and its reverse."""
    return rows.view(2, -1, WIDTH).sum(0) if block.shape.paired else rows


_HALVES = (0, 1)
"""Core and gate."""
_KERNELS = {"forward": _forward, "backward": _backward, "double_backward": _double_backward}
_OF_OWNERS = {"at_first", "at_second", "t_first", "t_second", "g_first", "g_second"}
"""Where core and gate lie side by side; here one follows the other."""
_OF_GATES = {"own_weight", "linear", "bias", "scale", "shift", "g_own_weight", "g_linear", "g_bias", "g_scale", "g_shift"}
"""Where core and gate have a part each."""
_SUMS = {"out", "g_first", "g_second", "g_weight", "g_linear", "g_bias", "g_scale", "g_shift", "g_own_weight", "c_out", "c_weight"}
"""What blocks add to."""
