"""SiLU and row normalisation against torch's own and against finite differences, twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from xfunc_core.model.activations import normalised, silu

PAIRS = {"silu": (silu, functional.silu), "normalised": (normalised, lambda rows: functional.layer_norm(rows, rows.shape[1:]))}


@pytest.fixture
def rows() -> Tensor:
    return torch.tensor(np.random.default_rng(0).normal(0.3, 2, (5, 64)), requires_grad=True)


@pytest.mark.parametrize(("ours", "torchs"), PAIRS.values(), ids=PAIRS)
def test_values_slopes_and_slopes_of_slopes_are_torchs(
    ours: Callable[[Tensor], Tensor], torchs: Callable[[Tensor], Tensor], rows: Tensor
) -> None:
    found = []
    for function in (ours, torchs):
        out = function(rows)
        [slope] = torch.autograd.grad(out.pow(2).cumsum(0).cumsum(1).sum(), rows, create_graph=True)
        [second] = torch.autograd.grad(slope.pow(3).sum(), rows)
        found.append([out.detach().numpy(), slope.detach().numpy(), second.numpy()])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12 * np.abs(theirs).max())


@pytest.mark.parametrize("function", [silu, normalised])
def test_slopes_are_slopes(function: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    assert gradcheck(function, rows)
    assert gradgradcheck(function, rows)


@pytest.mark.parametrize("function", [silu, normalised])
def test_a_third_derivative_is_an_error_and_not_zero(function: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    [slope] = torch.autograd.grad(function(rows).pow(2).sum(), rows, create_graph=True)
    [second] = torch.autograd.grad(slope.pow(2).sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        second.sum().backward()
