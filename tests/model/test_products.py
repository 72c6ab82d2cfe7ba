"""Products by oneDNN, and where torch has no such operation: values, derivatives, any layout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from xfunc_core.model import products
from xfunc_core.model.products import linear, product


@pytest.fixture(params=["as torch has it", "missing"])
def _onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "missing":
        monkeypatch.setattr(products, "ONEDNN", None)
    yield


def layouts(n: int, k: int) -> Iterator[Tensor]:
    """Numbers beside each other, in a wider table, every other one, column by column, and one row for all."""
    wide = torch.randn(n, 2 * k)
    yield from (wide[:, :k].contiguous(), wide[:, :k], wide[:, ::2], torch.randn(k, n).t(), torch.randn(1, k).expand(n, k))


@pytest.mark.usefixtures("_onednn")
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_any_layout_gives_the_product_in_double_precision(n: int, biased: bool) -> None:
    torch.manual_seed(0)
    bias = torch.randn(128) if biased else None
    for rows in layouts(n, 64):
        for matrix in layouts(128, 64):
            exact = rows.double() @ matrix.double().t() + (bias.double() if biased else 0)
            into = torch.full((n, 128), torch.nan)
            for found in (product(rows, matrix, bias), product(rows, matrix, bias, out=into), into):
                torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("_onednn")
def test_it_is_differentiable_twice() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(linear, inputs) and torch.autograd.gradgradcheck(linear, inputs)
