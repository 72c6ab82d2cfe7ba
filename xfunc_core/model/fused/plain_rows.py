"""Rows of the plain kernels: blocks of edges, what their owners add, what is summed into owners, and the norms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from xfunc_core.model.fused.calls import Shape
from xfunc_core.model.operations import NORM_EPSILON, WIDTH
from xfunc_core.model.products import product

EDGES_AT_ONCE = 4096
"""For each thread of a processor: one half of a block takes 1 MB, about what the cache of a core holds."""
HALVES = (0, 1)
"""Core and gate."""
_norm_backward = torch.ops.aten.native_layer_norm_backward


class Block(NamedTuple):
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


def blocks(shape: Shape) -> Iterator[Block]:
    """All edges; an edge and its reverse are in the same block, forward ones before the reversed."""
    sides = 2 if shape.paired else 1
    n = shape.positions // sides
    first, second = (owner.reshape(sides, n) for owner in shape.edges)
    step = EDGES_AT_ONCE * shape.threads // sides if first.device.type == "cpu" else max(n, 1)
    for start in range(0, n, step):
        stop = min(start + step, n)
        owners = (owner[:, start:stop].reshape(-1) for owner in (first, second))
        yield Block(shape, slice(sides * start, sides * stop), slice(start, stop), *owners)


# --- norms ------------------------------------------------------------------------------------


def norm(a: SimpleNamespace, k: int, y: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Scaled and shifted normal rows of half k, mean and inverse deviation; y itself where the network has no norm."""
    return (y, None, None) if a.scale is None else torch.native_layer_norm(y, (WIDTH,), a.scale[k], a.shift[k], NORM_EPSILON)


def norm_slope(a: SimpleNamespace, k: int, g: Tensor, y: Tensor, mean: Tensor | None, inverse: Tensor | None) -> Tensor:
    """Gradient of y from that of the norm; adds those of scale and shift."""
    if a.scale is None:
        return g
    wanted = [True, a.g_scale is not None, a.g_shift is not None]
    g_y, g_scale, g_shift = _norm_backward(g, y, (WIDTH,), mean, inverse, a.scale[k], a.shift[k], wanted)
    for into, found in ((a.g_scale, g_scale), (a.g_shift, g_shift)):
        if into is not None:
            into[k].add_(found)
    return g_y


def norm_tangent(a: SimpleNamespace, y: Tensor, dy: Tensor, mean: Tensor | None, inverse: Tensor | None) -> Tensor:
    """Tangent of the normal rows; as the Jacobian is symmetric, their gradient is computed alike."""
    return dy if a.scale is None else _norm_backward(dy, y, (WIDTH,), mean, inverse, None, None, [True, False, False])[0]


def norm_twice(
    a: SimpleNamespace, k: int, g: Tensor, g_d: Tensor, y: Tensor, dy: Tensor, dx: Tensor, mean: Tensor, inverse: Tensor, into: Tensor
) -> Tensor:
    """Gradient of y into ``into`` and of its tangent from those of what `norm` gives (g) and of the tangent of that (g_d)."""
    x = (y - mean).mul_(inverse)
    if a.g_scale is not None:
        a.g_scale[k].add_((g * x).addcmul_(g_d, dx).sum(0))
    if a.g_shift is not None:
        a.g_shift[k].add_(g.sum(0))
    g_dx = g_d.mul_(a.scale[k])
    over_n = y.new_full((WIDTH, 1), 1 / WIDTH)
    along_dy, along_g, along_dx = ((left * right).mm(over_n).mul_(inverse) for left, right in ((dy, x), (g_dx, x), (g_dx, dx)))
    total = g.mul_(a.scale[k]).addcmul_(g_dx, along_dy, value=-1).addcmul_(dy, along_g, value=-1)
    torch.addcmul(norm_tangent(a, y, total, mean, inverse), x, along_dx, value=-1, out=into)
    return norm_tangent(a, y, g_dx, mean, inverse)


# --- gathers and sums -------------------------------------------------------------------------


def first_layer(a: SimpleNamespace, block: Block) -> list[Tensor]:
    """Both halves of what goes into the first activation, kept, but for pairs, of which what is their own is kept: (n, 64) each."""
    features = a.features[block.shared]
    if block.shape.paired:
        for k, into in enumerate(block.halves(a.own)):
            product(features, a.own_weight[k], out=into)
        return kept_pre(a, block)
    return [gathered(block, a.at_first[k], a.at_second[k], into).add_(product(features, a.own_weight[k])) for k, into in enumerate(block.halves(a.pre))]


def kept_pre(a: SimpleNamespace, block: Block) -> Sequence[Tensor]:
    """Those of `first_layer`, from what it kept."""
    if not block.shape.paired:
        return block.halves(a.pre)
    return [add_to_both_(gathered(block, a.at_first[k], a.at_second[k]), own) for k, own in enumerate(block.halves(a.own))]


def tangents_of_pre(a: SimpleNamespace, block: Block) -> list[Tensor]:
    """Those of `kept_pre`."""
    features = a.t_features[block.shared]
    return [add_to_both_(gathered(block, a.t_first[k], a.t_second[k]), product(features, a.own_weight[k])) for k in HALVES]


def gathered(block: Block, at_first: Tensor, at_second: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.index_select(at_first, 0, block.first, out=out).add_(at_second.index_select(0, block.second))


def add_to_both_(rows: Tensor, shared: Tensor) -> Tensor:
    """Adds what is shared, by an edge and its reverse if they are paired."""
    rows.view(-1, *shared.shape).add_(shared)
    return rows


def kept_y(a: SimpleNamespace, block: Block) -> tuple[Tensor, Tensor]:
    """Both halves of what goes into the norm."""
    return block.halves(a.y if block.shape.linear else a.pre)


def weighted_(block: Block, rows: Tensor, weight: Tensor) -> Tensor:
    """Rows times the weights of their edges, in place."""
    if block.shape.paired:
        rows.view(2, -1, WIDTH).mul_(weight[block.shared])
        return rows
    return rows.mul_(weight.index_select(0, block.second))


def add_weight(block: Block, into: Tensor, rows: Tensor) -> None:
    """The adjoint of `weighted_`."""
    if block.shape.paired:
        torch.sum(rows.view(2, -1, WIDTH), 0, out=into[block.shared])
    else:
        into.index_add_(0, block.second, rows)


def summed_pairs(block: Block, rows: Tensor) -> Tensor:
    """Over an edge and its reverse."""
    return rows.view(2, -1, WIDTH).sum(0) if block.shape.paired else rows
