"""The two operations that a CHGNet layer spends its time in, in plain torch: messages along edges, and gates on angles.

An edge joins two owners (directed bond: two atoms; angle: two directed bonds). What upstream concatenates, one row for
each edge, and multiplies by one matrix is here the sum of three products, of which two are made once for each owner and
gathered. Core and gate lie side by side: columns 0 to 63 and 64 to 127, or along a leading axis of 2.

`xfunc_core.model.fused` offers the same functions, with the same names and arguments, as compiled kernels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from xfunc_core.model.activations import normalised, silu

WIDTH = 64
"""Features of atoms, bonds and angles."""


class Edges(NamedTuple):
    """Who owns M edges.

    Attributes:
        first: the owner that receives the message: centre atom, or first directed bond of an angle; shape (M,), int64.
        second: the other owner: neighbour atom, or second directed bond; shape (M,), int64.
    """

    first: Tensor
    second: Tensor


class Own(NamedTuple):
    """What edges add themselves to a first linear layer.

    Attributes:
        features: shape (M, 64); or (M/2, 64) if an edge and its reverse, M/2 further on, share them.
        matrix: shape (128, 64).
    """

    features: Tensor
    matrix: Tensor


class Gate(NamedTuple):
    """The end of a gated MLP, core first and gate second.

    Attributes:
        linear: hidden layer, shape (2, 64 out, 64 in), or None if there is none.
        bias: its bias, shape (2, 64), or None with it.
        scale: of the layer norm, shape (2, 64), or None where the checkpoint has no norm (0.2.0).
        shift: of the layer norm, shape (2, 64), or None.
    """

    linear: Tensor | None
    bias: Tensor | None
    scale: Tensor | None
    shift: Tensor | None


def convolve(edges: Edges, at_first: Tensor, at_second: Tensor, own: Own, weight: Tensor, gate: Gate) -> Tensor:
    """Sum of the gated, weighted messages at each first owner.

    Args:
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
    hidden = silu(_gather_add(edges, at_first, at_second, own))
    core, opening = (functional.linear(half, w, b) for half, w, b in zip(_halves(hidden), gate.linear, gate.bias, strict=True))
    messages = _gated(core, opening, gate)
    if len(own.features) == len(messages):
        messages = messages * weight.index_select(0, edges.second)
    else:
        messages = (messages.view(2, -1, WIDTH) * weight).view_as(messages)
    return sum_by_owner(messages, edges.first, len(at_first))


def update(edges: Edges, at_first: Tensor, at_second: Tensor, own: Own, old: Tensor, gate: Gate) -> Tensor:
    """Features of the edges themselves after a gated MLP without hidden layer: ``old`` plus the gated sum.

    Args:
        edges: M edges between n₁ first and n₂ second owners.
        at_first: shape (n₁, 128).
        at_second: shape (n₂, 128).
        own: features of the edges.
        old: shape (M, 64).
        gate: without a linear layer.

    Returns:
        Shape (M, 64).
    """
    core, opening = _halves(_gather_add(edges, at_first, at_second, own))
    return old + _gated(core, opening, gate)


def sum_by_owner(rows: Tensor, owner: Tensor, n: int) -> Tensor:
    """Sum over the members of each of n owners: shape (M, …) to (n, …)."""
    return rows.new_zeros((n, *rows.shape[1:])).index_add(0, owner, rows)


def _gather_add(edges: Edges, at_first: Tensor, at_second: Tensor, own: Own) -> Tensor:
    summed = at_first.index_select(0, edges.first) + at_second.index_select(0, edges.second)
    rows = functional.linear(own.features, own.matrix)
    if len(rows) == len(summed):
        return summed + rows
    return (summed.view(2, *rows.shape) + rows).view_as(summed)


def _halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    core, opening = rows.view(-1, 2, WIDTH).unbind(1)
    return core, opening


def _gated(core: Tensor, opening: Tensor, gate: Gate) -> Tensor:
    if gate.scale is not None:
        core, opening = (torch.addcmul(gate.shift[k], normalised(half), gate.scale[k]) for k, half in enumerate((core, opening)))
    return silu(core) * torch.sigmoid(opening)
