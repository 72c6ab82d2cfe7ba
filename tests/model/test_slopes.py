"""Gradients know that they are slopes only, on a device like a GPU, too, whose gradients torch computes in a thread of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from xfunc_core.model.slopes import are_slopes_only, slopes_only

# A device in Python, registered for good: so in a process of its own. What is on it computes on the processor.
_ON_AN_ACCELERATOR = """
import threading

import torch
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from xfunc_core.model.slopes import are_slopes_only, slopes_only

_setup_privateuseone_for_python_backend("pretended")


class There(torch.Tensor):
    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(cls, here.shape, dtype=here.dtype, device="pretended:0", requires_grad=here.requires_grad)

    def __init__(self, here):
        self.here = here.detach()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        here = tree_map(lambda x: x.here if isinstance(x, There) else x, (args, {k: v for k, v in (kwargs or {}).items() if k != "device"}))
        return tree_map(lambda x: There(x) if isinstance(x, torch.Tensor) else x, func(*here[0], **here[1]))


class Asks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        print("own thread" if threading.current_thread() is not threading.main_thread() else "same thread", are_slopes_only())
        return g * 2


x = There(torch.ones(3, requires_grad=True))
torch.autograd.grad(Asks.apply(x).sum(), x)
y = Asks.apply(x).sum()
with slopes_only():
    torch.autograd.grad(y, x)
torch.autograd.grad(Asks.apply(x).sum(), x)
"""


def test_gradients_on_an_accelerator_know_it() -> None:
    done = subprocess.run([sys.executable, "-c", _ON_AN_ACCELERATOR], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["own thread False", "same thread True", "own thread False"], done.stderr


def test_it_ends_with_an_error() -> None:
    with pytest.raises(ValueError), slopes_only():
        assert are_slopes_only()
        raise ValueError
    assert not are_slopes_only()
    assert torch._C._is_multithreading_enabled()
