"""What the two operations act on that a CHGNet layer spends its time in: messages along edges, and gates on angles.

An edge joins two owners (directed bond: two atoms; angle: two directed bonds). What upstream concatenates, one row for
each edge, and multiplies by one matrix is here the sum of three products, of which two are made once for each owner and
gathered. Core and gate lie side by side: columns 0 to 63 and 64 to 127, or along a leading axis of 2.

The operations themselves are in `xfunc_core.model.fused.functions`.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

WIDTH = 64
"""Features of atoms, bonds and angles."""
NORM_EPSILON = 1e-5
"""What torch's LayerNorm adds to a variance."""


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


def sum_by_owner(rows: Tensor, owner: Tensor, n: int) -> Tensor:
    """Sum over the members of each of n owners: shape (M, …) to (n, …)."""
    return rows.new_zeros((n, *rows.shape[1:])).index_add(0, owner, rows)
