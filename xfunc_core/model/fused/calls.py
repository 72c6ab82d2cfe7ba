"""Calls of the compiled kernels on torch tensors."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from xfunc_core.model.fused.library import kernels
from xfunc_core.model.operations import Edges

_COUNTS = ("positions", "n_first", "n_second", "n_weight", "paired", "threads")
POINTERS = (
    *("first", "second", "at_first", "at_second", "features", "weight", "own"),
    *("own_weight", "own_weight_t", "linear", "linear_t", "bias", "scale", "shift"),
    *("pre", "y", "out", "g_out", "cot_y", "cot_pre"),
    *("g_h", "g_first", "g_second", "g_features", "g_weight"),
    *("g_linear", "g_bias", "g_scale", "g_shift", "g_own_weight"),
    *("t_first", "t_second", "t_features", "t_weight", "c_out", "c_y", "c_pre", "c_weight"),
)
"""As in ``Args`` of blocks.h, in the same order."""
WRITTEN = {
    "forward": ("own", "pre", "y", "out"),
    "backward": ("g_h", "g_first", "g_second", "g_features", "g_weight", "g_linear", "g_bias", "g_scale", "g_shift", "g_own_weight"),
    "double_backward": ("c_out", "c_y", "c_pre", "c_weight", "g_linear", "g_scale", "g_shift", "g_own_weight"),
}
"""What each kernel fills."""


class _Args(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in _COUNTS] + [(name, ctypes.c_void_p) for name in POINTERS]


class Shape(NamedTuple):
    """How many of what a kernel works on.

    Attributes:
        edges: who owns what.
        n_first: first owners.
        n_second: second owners.
        paired: whether an edge and its reverse, M/2 further on, share what is their own and their weight.
        linear: whether there is a hidden layer, and outputs are summed by first owner.
        threads: of the processor, of the operation and of its gradients, which read what it kept in the order of its blocks.
    """

    edges: Edges
    n_first: int
    n_second: int
    paired: bool
    linear: bool
    threads: int

    @property
    def positions(self) -> int:
        """M edges."""
        return len(self.edges.first)

    @property
    def n_weight(self) -> int:
        """Weights that damp messages."""
        return self.positions // 2 if self.paired else self.n_second


def call(kernel: str, shape: Shape, dtype: torch.dtype, **tensors: Tensor | None) -> None:
    """Run a kernel (``forward``, ``backward``, ``double_backward``) on tensors under the names of ``Args``; absent ones are null.

    Inputs that are not contiguous are copied; outputs must be contiguous.

    Raises:
        IndexError: an edge joins owners that are not there.
    """
    library = kernels().library
    assert library is not None
    held = {name: t.contiguous() for name, t in tensors.items() if t is not None}
    assert all(t.dtype == dtype for t in held.values())
    assert all(held[name] is tensors[name] for name in WRITTEN[kernel] if name in held), "a kernel would fill a copy"
    held |= {name: _checked(owner, n) for name, owner, n in zip(Edges._fields, shape.edges, (shape.n_first, shape.n_second), strict=True)}
    counts = (shape.positions, shape.n_first, shape.n_second, shape.n_weight, shape.paired, shape.threads)
    pointers = {name: t.data_ptr() for name, t in held.items()}
    args = _Args(*counts, *(pointers.get(name) for name in POINTERS))
    function = getattr(library, f"{kernel}_{'float' if dtype == torch.float32 else 'double'}")
    function(ctypes.byref(args), shape.linear)


def _checked(owner: Tensor, n: int) -> Tensor:
    """Owners of edges as the kernels read them, which look at nothing before they follow them."""
    owner = owner.to(torch.int64).contiguous()
    if len(owner):
        low, high = map(int, owner.aminmax())
        if low < 0 or high >= n:
            raise IndexError(f"edges join owners {low} to {high}, and there are {n}")
    return owner
