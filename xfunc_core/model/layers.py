"""CHGNet's layers on a flat batch, from weights by upstream's names.

Three identities make them cheap without changing what they compute:

- the first linear layer of a gated MLP acts on features side by side, so it is a sum of products that are made on
  atoms and bonds before anything is gathered to edges and angles;
- a bond beyond 3 Å is in no angle, so its features stay the embedding of its length, plus the output biases of 0.2.0;
- of the two weights that damp a message between bonds, that of the receiving bond is common to the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from xfunc_core.model.fused.functions import Call, convolve, update
from xfunc_core.model.operations import WIDTH, Edges, Gate, Own
from xfunc_core.model.products import linear

Weights = Mapping[str, Tensor]
"""Tensors by their names in a checkpoint of chgnet."""


class Bonds(NamedTuple):
    """Features of the bonds of a batch.

    Attributes:
        short: of the K bonds within 3 Å, shape (K, 64).
        long: of the others, shape (U − K, 64).
        weight: damping of messages between atoms, shape (U, 64).
        damping: of messages between bonds, shape (K, 64).
    """

    short: Tensor
    long: Tensor
    weight: Tensor
    damping: Tensor


class Angles(NamedTuple):
    """Features of the G angles of a batch.

    Attributes:
        features: shape (G, 64).
        edges: the directed short bond, of 2 K, and the short bond, of K, that they join.
        centre: the atom where each of the 2 K directed short bonds starts, shape (2 K,).
    """

    features: Tensor
    edges: Edges
    centre: Tensor


def atom_convolution(call: Call, w: Weights, layer: str, atoms: Tensor, bonds: Bonds, edges: Edges) -> Tensor:
    """New atom features from messages along all directed bonds: (A, 64) to (A, 64)."""
    first, bias = _first_linear(w, f"{layer}.twoBody_atom", 0)
    centre, bond, neighbour = first.split(WIDTH, dim=1)
    messages = convolve(
        call,
        edges,
        functional.linear(atoms, centre, bias),
        linear(atoms, neighbour),
        Own(torch.cat([bonds.short, bonds.long]), bond),
        bonds.weight,
        _gate(w, f"{layer}.twoBody_atom", 3),
    )
    return atoms + _out(w, layer, messages)


def bond_convolution(call: Call, w: Weights, layer: str, atoms: Tensor, bonds: Bonds, angles: Angles) -> Bonds:
    """New features of short bonds from messages over their angles; (K, 64) to (K, 64) within `Bonds`."""
    at_first, at_second, own = _angle_parts(w, f"{layer}.twoBody_bond", 0, atoms, bonds, angles)
    messages = convolve(call, angles.edges, at_first, at_second, own, bonds.damping, _gate(w, f"{layer}.twoBody_bond", 3))
    short = bonds.short + _out(w, layer, bonds.damping * messages.view(2, -1, WIDTH).sum(0))
    bias = w.get(f"{layer}.mlp_out.layers.1.bias")
    return bonds._replace(short=short, long=bonds.long if bias is None else bonds.long + bias)


def angle_update(call: Call, w: Weights, layer: str, atoms: Tensor, bonds: Bonds, angles: Angles) -> Angles:
    """New angle features: (G, 64) to (G, 64) within `Angles`."""
    at_first, at_second, own = _angle_parts(w, f"{layer}.twoBody_bond", 1, atoms, bonds, angles)
    features = update(call, angles.edges, at_first, at_second, own, angles.features, _gate(w, f"{layer}.twoBody_bond", None))
    return angles._replace(features=features)


def _angle_parts(w: Weights, mlp: str, place: int, atoms: Tensor, bonds: Bonds, angles: Angles) -> tuple[Tensor, Tensor, Own]:
    """What bonds add as first of an angle, (2 K, 128), and as second, (K, 128), and what angles add."""
    first, bias = _first_linear(w, mlp, place)
    as_first, as_second, angle, centre = first.split(WIDTH, dim=1)
    at_first = linear(bonds.short, as_first).repeat(2, 1) + functional.linear(atoms, centre, bias).index_select(0, angles.centre)
    at_second = linear(bonds.short, as_second)
    return at_first, at_second, Own(angles.features, angle)


def _first_linear(w: Weights, mlp: str, place: int) -> tuple[Tensor, Tensor]:
    """Weight (128, n_in) and bias (128,) of the first layers of core and gate."""
    weight, bias = (torch.cat([w[f"{mlp}.mlp_{part}.layers.{place}.{kind}"] for part in ("core", "gate")]) for kind in ("weight", "bias"))
    return weight, bias


def _gate(w: Weights, mlp: str, place: int | None) -> Gate:
    """What follows the first layers, of which the hidden one has number *place* in a checkpoint."""
    pairs: list[Tensor | None] = []
    for kind in ("weight", "bias"):
        names = [f"{mlp}.mlp_{part}.layers.{place}.{kind}" for part in ("core", "gate")]
        pairs.append(torch.stack([w[name] for name in names]) if place is not None else None)
    for kind in ("weight", "bias"):
        names = [f"{mlp}.bn{number}.{kind}" for number in (1, 2)]
        pairs.append(torch.stack([w[name] for name in names]) if names[0] in w else None)
    return Gate(*pairs)


def _out(w: Weights, layer: str, messages: Tensor) -> Tensor:
    bias = w.get(f"{layer}.mlp_out.layers.1.bias")
    out = linear(messages, w[f"{layer}.mlp_out.layers.1.weight"])
    return out if bias is None else out + bias
