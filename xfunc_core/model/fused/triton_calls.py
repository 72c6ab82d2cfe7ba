"""Calls of the Triton kernels on torch tensors of a GPU."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import torch
from torch import Tensor
from triton.runtime.jit import JITFunction

from xfunc_core.model.fused import triton_kernels
from xfunc_core.model.fused.calls import WRITTEN, Shape
from xfunc_core.model.fused.on_gpu import ASKED_FOR
from xfunc_core.model.operations import WIDTH

EDGES_AT_ONCE, WARPS = 16, 8
"""A block and who computes it: of those compiled for sm_90 the largest whose numbers stay in registers (benchmarks/triton_compiled.py)."""
_SUMS = ("out", "g_first", "g_second", "g_weight", "g_linear", "g_bias", "g_scale", "g_shift", "c_out", "c_weight")
_PARAMETERS = {"g_linear", "g_bias", "g_scale", "g_shift"}
_PROGRAMS_WITHOUT_A_GPU = 3


def call(kernel: str, shape: Shape, dtype: torch.dtype, **tensors: Tensor | None) -> None:
    """Run a kernel as `xfunc_core.model.fused.calls.call` does, in single precision and with a norm; nobody checks the owners of edges."""
    assert dtype == torch.float32
    run = getattr(triton_kernels, kernel)
    held = {name: t.contiguous() for name, t in tensors.items() if t is not None and name in {*run.arg_names, "g_own_weight"}}
    assert all(held[name] is tensors[name] for name in WRITTEN[kernel] if name in held), "a kernel would fill a copy"
    held |= {name: owner.contiguous() for name, owner in shape.edges._asdict().items()}
    sums = set(_SUMS) - ({"g_weight", "c_weight"} if shape.paired else set()) - (set() if shape.linear else {"out", "c_out"})
    if sums & held.keys():
        torch._foreach_zero_([held[name] for name in held if name in sums])
    own_weight = held.pop("g_own_weight", None)
    if own_weight is None:
        return _launch(run, shape, held)
    sides = 2 if shape.paired else 1
    held["g_own"] = own_weight.new_empty(shape.positions // sides, 2 * WIDTH)
    _launch(run, shape, held)
    torch.mm(held["g_own"].t(), held["features" if kernel == "backward" else "t_features"], out=own_weight)


def _launch(run: JITFunction, shape: Shape, held: dict[str, Tensor]) -> None:
    sides = 2 if shape.paired else 1
    n = shape.positions // sides
    blocks = -(-n // EDGES_AT_ONCE)
    if not blocks:
        return
    fixed = {"n": n, "EDGES": EDGES_AT_ONCE, "SIDES": sides, "PRECISION": precision()}
    arguments = fixed | {name: held.get(name) for name in run.arg_names if name not in fixed}
    with _current(shape.edges.first.device) as programs:
        grid = (min(blocks, programs) if _PARAMETERS & held.keys() else blocks,)
        run[grid](**arguments, num_warps=WARPS, num_stages=1)


def precision() -> str:
    """That of products of matrices, in Triton's words: TF32 where torch's own products have it, else that of single precision."""
    if torch.backends.cuda.matmul.allow_tf32:
        return "tf32"
    return "tf32x3" if os.environ.get(ASKED_FOR) == "tf32x3" else "ieee"


@contextlib.contextmanager
def _current(device: torch.device) -> Iterator[int]:
    """Have Triton launch on a device; gives how many programs add up gradients of parameters there, one for each multiprocessor."""
    if device.type != "cuda":
        yield _PROGRAMS_WITHOUT_A_GPU
        return
    with torch.cuda.device(device):
        yield _multiprocessors(device)


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
