"""The kernels in plain torch, for machines without a compiler, other devices and other networks: the same names, arguments and results.

The formulas are those of kernels.cpp, whose notation this follows; here the norm may be absent (0.2.0). On a processor edges
are taken block by block, so that what one operation writes is still in the cache when the next one reads it: most of the time
goes into passes over memory otherwise. What a kernel keeps for the next (pre, y, g_h and their cotangents) has its own order
within a block, core before gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from xfunc_core.model.fused.calls import POINTERS, Shape
from xfunc_core.model.operations import NORM_EPSILON, WIDTH

EDGES_AT_ONCE = 2048
"""On a processor: a block of both halves takes 0.5 MB, and the cache of a core holds one or two."""
_aten = torch.ops.aten


def call(kernel: str, shape: Shape, dtype: torch.dtype, **tensors: Tensor | None) -> None:
    """Run a kernel as `xfunc_core.model.fused.calls.call` does."""
    a = SimpleNamespace(**(dict.fromkeys(POINTERS) | tensors))
    for name in _SUMS:
        if getattr(a, name) is not None:
            getattr(a, name).zero_()
    for name in ("linear", "bias", "scale", "shift"):
        if getattr(a, name) is not None:
            setattr(a, name, getattr(a, name).unbind())
    for block in _blocks(shape):
        _KERNELS[kernel](a, block)


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

    @property
    def n(self) -> int:
        return len(self.first)


def _blocks(shape: Shape) -> Iterator[_Block]:
    """All edges; an edge and its reverse are in the same block, forward ones before the reversed."""
    sides = 2 if shape.paired else 1
    n = shape.positions // sides
    first, second = (owner.reshape(sides, n) for owner in shape.edges)
    step = EDGES_AT_ONCE // sides if first.device.type == "cpu" else max(n, 1)
    for start in range(0, n, step):
        stop = min(start + step, n)
        owners = (owner[:, start:stop].reshape(-1) for owner in (first, second))
        yield _Block(shape, slice(sides * start, sides * stop), slice(start, stop), *owners)


def _forward(a: SimpleNamespace, block: _Block) -> None:
    if block.shape.paired:
        torch.mm(a.features[block.shared], a.own_weight.t(), out=a.own[block.shared])
        pre = _pre(a, block)
    else:
        pre = _gathered(block, a.at_first, a.at_second, a.pre[block.rows]).addmm_(a.features[block.shared], a.own_weight.t())
    y = _halves(pre)
    if block.shape.linear:
        y = a.y[block.rows].view(2, block.n, WIDTH)
        for k, hidden in enumerate(_halves(silu(pre))):
            torch.addmm(a.bias[k], hidden, a.linear[k].t(), out=y[k])
    p, q = (_norm(a, k, y[k])[0] for k in (0, 1))
    if not block.shape.linear:
        torch.mul(silu(p), q.sigmoid(), out=a.out[block.rows])
        return
    a.out.index_add_(0, block.first, silu(p).mul_(q.sigmoid()).mul_(_weight(block, a.weight)))


def _backward(a: SimpleNamespace, block: _Block) -> None:
    pre = _pre(a, block)
    gy = _through_gate(a, block, pre) if a.g_out is not None else pre.new_zeros(2, block.n, WIDTH)
    if a.cot_y is not None:
        cotangents = a.cot_y[block.rows].view(2, block.n, WIDTH)
        gy = [g.add_(cotangent) for g, cotangent in zip(gy, cotangents, strict=True)]
    if block.shape.linear:
        gh = torch.empty_like(pre) if a.g_h is None else a.g_h[block.rows]
        for k, into in enumerate(_halves(gh)):
            torch.mm(gy[k], a.linear[k], out=into)
            if a.g_bias is not None:
                a.g_bias[k] += gy[k].sum(0)
        if a.g_linear is not None:
            _add_products(a.g_linear, gy, _halves(silu(pre)))
        g_pre = _aten.silu_backward(gh, pre)
    else:
        g_pre = torch.cat(list(gy), dim=1)
    if a.cot_pre is not None:
        g_pre.add_(a.cot_pre[block.rows])
    a.g_first.index_add_(0, block.first, g_pre)
    a.g_second.index_add_(0, block.second, g_pre)
    shared = _summed_pairs(block, g_pre)
    torch.mm(shared, a.own_weight, out=a.g_features[block.shared])
    if a.g_own_weight is not None:
        a.g_own_weight.addmm_(shared.t(), a.features[block.shared])


def _through_gate(a: SimpleNamespace, block: _Block, pre: Tensor) -> list[Tensor]:
    """Gradients of both halves of y, and of weight, scale and shift, from that of the output."""
    y = _y(a, block, pre)
    (p, *core), (q, *gate) = (_norm(a, k, y[k]) for k in (0, 1))
    s, t = silu(p), q.sigmoid()
    if block.shape.linear:
        g = a.g_out.index_select(0, block.first)
        _add_weight(block, a.g_weight, g * s * t)
        g.mul_(_weight(block, a.weight))
    else:
        g = a.g_out[block.rows]
    slopes = _aten.silu_backward(g * t, p), _aten.sigmoid_backward(g * s, t)
    return [_norm_slope(a, k, slopes[k], y[k], *statistics) for k, statistics in enumerate((core, gate))]


def _double_backward(a: SimpleNamespace, block: _Block) -> None:
    pre, tangent = _pre(a, block), _tangent(a, block)
    dy = _halves(tangent)
    if block.shape.linear:
        g_h = a.g_h[block.rows]
        hidden = _halves(_aten.silu_backward(tangent, pre))
        dy = [linear(half, matrix) for half, matrix in zip(hidden, a.linear, strict=True)]
        torch.mul(_curvature(pre, pre.sigmoid()).mul_(tangent), g_h, out=a.c_pre[block.rows])
        g_pre = _aten.silu_backward(g_h, pre)
    c_y, gy = _through_gate_twice(a, block, _y(a, block, pre), dy)
    if block.shape.linear:
        torch.stack(c_y, out=a.c_y[block.rows].view(2, block.n, WIDTH))
        if a.g_linear is not None:
            _add_products(a.g_linear, gy, hidden)
    else:
        torch.cat(c_y, dim=1, out=a.c_pre[block.rows])
        g_pre = torch.cat(gy, dim=1)
    if a.g_own_weight is not None:
        a.g_own_weight.addmm_(_summed_pairs(block, g_pre).t(), a.t_features[block.shared])


def _through_gate_twice(a: SimpleNamespace, block: _Block, y: Tensor, dy: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of both halves of y, through the values and through their tangents; and those of the tangents dy."""
    (p, *core), (q, *gate) = (_norm(a, k, y[k]) for k in (0, 1))
    dx = [_norm_tangent(a, y[k], dy[k], *statistics) for k, statistics in enumerate((core, gate))]
    dp, dq = dx if a.scale is None else (dx[k] * a.scale[k] for k in (0, 1))
    sp, t = p.sigmoid(), q.sigmoid()
    s = p * sp
    u, v = _aten.silu_backward(dp, p), _aten.sigmoid_backward(dq, t)
    slope = (u * t).addcmul_(s, v)
    if block.shape.linear:
        g, weight, t_weight = a.g_out.index_select(0, block.first), _weight(block, a.weight), _weight(block, a.t_weight)
        _add_weight(block, a.c_weight, g * slope)
        a.c_out.index_add_(0, block.first, slope.mul_(weight).addcmul_(s * t, t_weight))
        g_t, g = g * t_weight, g.mul_(weight)
        through_p, through_q = (g_t * t).addcmul_(g, v), (g_t.mul_(s)).addcmul_(g, u)
    else:
        g = a.g_out[block.rows]
        a.c_out[block.rows] = slope
        through_p, through_q = g * v, g * u
    core_g, gate_g = g * t, g * s
    gp = _aten.silu_backward(through_p, p).addcmul_(_curvature(p, sp).mul_(dp), core_g)
    gq = _aten.sigmoid_backward(through_q, t).addcmul_(v.mul_(gate_g), 1 - 2 * t)
    g_dp, g_dq = _aten.silu_backward(core_g, p), _aten.sigmoid_backward(gate_g, t)
    if a.scale is None:
        return [gp, gq], [g_dp, g_dq]
    halves = zip((0, 1), (gp, gq), (g_dp, g_dq), y, dy, dx, (core, gate), strict=True)
    c_y, gy = zip(*(_norm_twice(a, k, *rest, *statistics) for k, *rest, statistics in halves), strict=True)
    return list(c_y), list(gy)


def _curvature(x: Tensor, sigmoid: Tensor) -> Tensor:
    """silu''(x)."""
    return (x + 2).addcmul_(x, sigmoid, value=-2).mul_(torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1))


# --- norms ------------------------------------------------------------------------------------


def _norm(a: SimpleNamespace, k: int, y: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Scaled and shifted normal rows of half k, mean and inverse deviation; y itself where the network has no norm."""
    return (y, None, None) if a.scale is None else torch.native_layer_norm(y, (WIDTH,), a.scale[k], a.shift[k], NORM_EPSILON)


def _norm_slope(a: SimpleNamespace, k: int, g: Tensor, y: Tensor, mean: Tensor | None, inverse: Tensor | None) -> Tensor:
    """Gradient of y from that of the norm; adds those of scale and shift."""
    if a.scale is None:
        return g
    wanted = [True, a.g_scale is not None, a.g_shift is not None]
    g_y, g_scale, g_shift = _aten.native_layer_norm_backward(g, y, (WIDTH,), mean, inverse, a.scale[k], a.shift[k], wanted)
    for into, found in ((a.g_scale, g_scale), (a.g_shift, g_shift)):
        if into is not None:
            into[k] += found
    return g_y


def _norm_tangent(a: SimpleNamespace, y: Tensor, dy: Tensor, mean: Tensor | None, inverse: Tensor | None) -> Tensor:
    """Tangent of the normal rows; as the Jacobian is symmetric, their gradient is computed alike."""
    if a.scale is None:
        return dy
    return _aten.native_layer_norm_backward(dy, y, (WIDTH,), mean, inverse, None, None, [True, False, False])[0]


def _norm_twice(
    a: SimpleNamespace, k: int, g: Tensor, g_d: Tensor, y: Tensor, dy: Tensor, dx: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of y and of its tangent from those of what `_norm` gives (g) and of the tangent of that (g_d)."""
    x = (y - mean).mul_(inverse)
    if a.g_scale is not None:
        a.g_scale[k] += (g * x).addcmul_(g_d, dx).sum(0)
    if a.g_shift is not None:
        a.g_shift[k] += g.sum(0)
    g_dx = g_d.mul_(a.scale[k])
    over_n = y.new_full((WIDTH, 1), 1 / WIDTH)
    along_dy, along_g, along_dx = ((left * right).mm(over_n).mul_(inverse) for left, right in ((dy, x), (g_dx, x), (g_dx, dx)))
    total = g.mul_(a.scale[k]).addcmul_(g_dx, along_dy, value=-1).addcmul_(dy, along_g, value=-1)
    c_y = _norm_tangent(a, y, total, mean, inverse).addcmul_(x, along_dx, value=-1)
    return c_y, _norm_tangent(a, y, g_dx, mean, inverse)


# --- gathers and sums -------------------------------------------------------------------------


def _pre(a: SimpleNamespace, block: _Block) -> Tensor:
    """What goes into the first activation, shape (n, 128), after forward: it is kept but for pairs."""
    if not block.shape.paired:
        return a.pre[block.rows]
    return _add_to_both(_gathered(block, a.at_first, a.at_second), a.own[block.shared])


def _tangent(a: SimpleNamespace, block: _Block) -> Tensor:
    """That of `_pre`."""
    gathered = _gathered(block, a.t_first, a.t_second)
    if not block.shape.paired:
        return gathered.addmm_(a.t_features[block.shared], a.own_weight.t())
    return _add_to_both(gathered, linear(a.t_features[block.shared], a.own_weight))


def _gathered(block: _Block, at_first: Tensor, at_second: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.index_select(at_first, 0, block.first, out=out).add_(at_second.index_select(0, block.second))


def _add_to_both(rows: Tensor, shared: Tensor) -> Tensor:
    rows.view(2, -1, 2 * WIDTH).add_(shared)
    return rows


def _y(a: SimpleNamespace, block: _Block, pre: Tensor) -> Tensor:
    """What goes into the norm, both halves."""
    return a.y[block.rows].view(2, block.n, WIDTH) if block.shape.linear else _halves(pre)


def _halves(rows: Tensor) -> Tensor:
    """Core and gate, shape (2, n, 64)."""
    return rows.view(-1, 2, WIDTH).transpose(0, 1)


def _weight(block: _Block, weight: Tensor) -> Tensor:
    """Of each edge, shape (n, 64)."""
    return weight[block.shared].repeat(2, 1) if block.shape.paired else weight.index_select(0, block.second)


def _add_weight(block: _Block, into: Tensor, rows: Tensor) -> None:
    """The adjoint of `_weight`."""
    if block.shape.paired:
        torch.sum(rows.view(2, -1, WIDTH), 0, out=into[block.shared])
    else:
        into.index_add_(0, block.second, rows)


def _summed_pairs(block: _Block, rows: Tensor) -> Tensor:
    """Over an edge and its reverse."""
    return rows.view(2, -1, 2 * WIDTH).sum(0) if block.shape.paired else rows


def _add_products(into: Tensor, left: list[Tensor], right: Tensor) -> None:
    """Gradients of the hidden layer, half by half."""
    for k in (0, 1):
        into[k].addmm_(left[k].t(), right[k])


_KERNELS = {"forward": _forward, "backward": _backward, "double_backward": _double_backward}
_SUMS = ("out", "g_first", "g_second", "g_weight", "g_linear", "g_bias", "g_scale", "g_shift", "g_own_weight", "c_out", "c_weight")
"""What blocks add to."""
