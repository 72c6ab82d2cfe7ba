"""The operations against the same layers written as upstream has them: features side by side, one matrix, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chgnet.model.functions import GatedMLP
from torch import Tensor

from xfunc_core.model.fused.functions import convolve, update
from xfunc_core.model.fused.plain import call
from xfunc_core.model.operations import Edges, Gate, Own, sum_by_owner

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Tensor:
    return torch.tensor(RNG.normal(size=shape))


def gated(hidden: int, norm: str | None) -> GatedMLP:
    torch.manual_seed(0)
    mlp = GatedMLP(input_dim=192, output_dim=64, hidden_dim=hidden, norm=norm).double()
    for parameter in mlp.parameters():
        parameter.data = normal(*parameter.shape) * 0.3
    return mlp


def parts(mlp: GatedMLP) -> tuple[Tensor, Tensor, Gate]:
    """First linear layer of core and gate, its bias, and the rest."""
    layers = [[m for m in half.layers if isinstance(m, torch.nn.Linear)] for half in (mlp.mlp_core, mlp.mlp_gate)]
    weight, bias = (torch.cat([getattr(half[0], kind) for half in layers]) for kind in ("weight", "bias"))
    second = [torch.stack([getattr(half[1], kind) for half in layers]) if len(layers[0]) > 1 else None for kind in ("weight", "bias")]
    norms = [torch.stack([getattr(bn, kind) for bn in (mlp.bn1, mlp.bn2)]) if mlp.bn1 is not None else None for kind in ("weight", "bias")]
    return weight, bias, Gate(*second, *norms)


FIRST, SECOND = [0, 0, 2, 2, 2, 3], [1, 2, 0, 3, 1, 2]
"""Six edges between five owners, one of which has none."""


@pytest.mark.parametrize("norm", ["layer", None])
@pytest.mark.parametrize("paired", [True, False])
def test_convolution_is_that_of_features_side_by_side(norm: str | None, paired: bool) -> None:
    mlp = gated(64, norm)
    weight, bias, gate = parts(mlp)
    atoms, others = normal(5, 64), normal(5, 64)
    features, damping = normal(3 if paired else 6, 64), normal(3 if paired else 5, 64)
    first, own, second = weight.split(64, dim=1)
    edges = Edges(torch.tensor(FIRST), torch.tensor(SECOND))
    given = Own(features, own)
    found = convolve(call, edges, atoms @ first.T + bias, others @ second.T, given, damping, gate)
    expected = torch.zeros(5, 64, dtype=torch.float64)
    for m, (i, j) in enumerate(zip(FIRST, SECOND, strict=True)):
        message = mlp(torch.cat([atoms[i], features[m % len(features)], others[j]])[None])[0]
        expected[i] += message * damping[m % 3 if paired else j]
    np.testing.assert_allclose(found.detach(), expected.detach(), atol=1e-12)


@pytest.mark.parametrize("norm", ["layer", None])
def test_update_is_that_of_features_side_by_side(norm: str | None) -> None:
    mlp = gated(0, norm)
    weight, bias, gate = parts(mlp)
    bonds, others, features = normal(5, 64), normal(5, 64), normal(6, 64)
    first, own, second = weight.split(64, dim=1)
    edges = Edges(torch.tensor(FIRST), torch.tensor(SECOND))
    found = update(call, edges, bonds @ first.T + bias, others @ second.T, Own(features, own), features, gate)
    side_by_side = torch.cat([bonds[FIRST], features, others[SECOND]], dim=1)
    np.testing.assert_allclose(found.detach(), (features + mlp(side_by_side)).detach(), atol=1e-12)


def test_sums_go_by_owner() -> None:
    rows = torch.arange(12.0).view(6, 2)
    assert sum_by_owner(rows, torch.tensor(FIRST), 5).tolist() == [[2, 4], [0, 0], [18, 21], [10, 11], [0, 0]]
