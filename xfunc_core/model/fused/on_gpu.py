"""Whether the Triton kernels compute on a GPU: asked for, there, and right on this very device.

Their values were checked in Triton's interpreter and they compile for an H100, but nobody has run them on a GPU. So they are
used only where the environment variable XFUNC_TRITON asks for them and a first small case agrees with plain torch.
"""

from __future__ import annotations

import functools
import logging
import os

import numpy as np
import torch
from torch import Tensor

from xfunc_core.model.fused import plain
from xfunc_core.model.fused.functions import Call, convolve, update
from xfunc_core.model.operations import WIDTH, Edges, Gate, Own
from xfunc_core.model.slopes import slopes_only

ASKED_FOR = "XFUNC_TRITON"
"""Environment variable: ``1`` has the engine use the kernels on a GPU; so does ``tf32x3``, with each product made of three in TF32."""
LARGEST_ERROR = {"ieee": 1e-5, "tf32x3": 1e-5, "tf32": 2e-2}
"""Of any result of the self-check, relative, by the precision of products; single precision has 6e-7 there."""
KINDS = ("pairs of bonds", "angles, messages", "angles, update")
_LOG = logging.getLogger(__name__)


@functools.cache
def why_plain(device: torch.device) -> str:
    """Why plain torch computes on a GPU, in words; empty if the Triton kernels do. Logs it once where they were asked for."""
    if os.environ.get(ASKED_FOR, "") in ("", "0"):
        return f"the Triton kernels were not asked for ({ASKED_FOR}=1): the engine computes in plain torch"
    try:
        reason = _what_is_wrong(device)
    except Exception as error:  # whatever a compiler raises on a machine that nobody has seen
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    if reason:
        reason = f"no Triton kernels ({reason}): the engine computes in plain torch"
        _LOG.warning("%s", reason)
    return reason


def _what_is_wrong(device: torch.device) -> str:
    """Compare each operation, its slopes and their derivatives with plain torch in double precision; empty if they agree."""
    from xfunc_core.model.fused import triton_calls

    largest = LARGEST_ERROR[triton_calls.precision()]
    for kind in KINDS:
        found, truth = (_results(kind, call, device, dtype) for call, dtype in ((triton_calls.call, torch.float32), (plain.call, torch.float64)))
        error = torch.stack([(f - t).norm() / t.norm() for f, t in zip(found, truth, strict=True)]).max().item()
        if not error <= largest:
            return f"they err by {error:.1e} on {device} in {kind}, where {largest:.0e} is allowed"
    return ""


def _results(kind: str, call: Call, device: torch.device, dtype: torch.dtype, n_edges: int = 200) -> list[Tensor]:
    """An operation on made-up edges, its slopes, and the gradients of a loss on both."""
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.tensor(scale * rng.normal(size=shape), dtype=dtype, device=device).requires_grad_()

    paired, linear = kind == KINDS[0], kind != KINDS[2]
    n_own = n_edges // 2 if paired else n_edges
    first, second = (torch.tensor(rng.integers(0, 9, n_edges), device=device) for _ in range(2))
    at_first, at_second, own = normal(9, 2 * WIDTH), normal(9, 2 * WIDTH), Own(normal(n_own, WIDTH), normal(2 * WIDTH, WIDTH, scale=0.1))
    hidden = (normal(2, WIDTH, WIDTH, scale=0.2), normal(2, WIDTH)) if linear else (None, None)
    gate, weight = Gate(*hidden, normal(2, WIDTH), normal(2, WIDTH)), normal(n_own if paired else 9, WIDTH)
    edges = Edges(torch.cat([first[:n_own], second[:n_own]]), torch.cat([second[:n_own], first[:n_own]])) if paired else Edges(first, second)
    with torch.enable_grad(), slopes_only():
        if linear:
            out = convolve(call, edges, at_first, at_second, own, weight, gate)
        else:
            out = update(call, edges, at_first, at_second, own, own.features, gate)
        inputs = [at_first, at_second, own.features, *([weight] if linear else [])]
        slopes = torch.autograd.grad((out * out).sum(), inputs, create_graph=True)
    parameters = [own.matrix, *(p for p in gate if p is not None)]
    loss = out.sum() + sum((slope * slope).sum() for slope in slopes)
    return [t.detach().double() for t in (out, *slopes, *torch.autograd.grad(loss, [*inputs, *parameters]))]
