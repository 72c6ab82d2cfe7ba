"""Several processes that train one model, each on its share of every batch.

torchrun starts them and tells each who it is. All draw the same batches, and gradients are sums over all, so that the
processes take the steps that one would. Tried with processes on a CPU only; on several GPUs it has not run yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number; the process 0 is the one that writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def add_up_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace gradients by their sums over all processes, in one message for each precision."""
        if self.size == 1:
            return
        for dtype in dict.fromkeys(p.dtype for p in parameters):
            mine = [p for p in parameters if p.dtype == dtype]
            flat = torch.cat([p.grad.flatten() for p in mine])
            pieces = self.add_up(flat).split([p.numel() for p in mine])
            for p, piece in zip(mine, pieces, strict=True):
                p.grad = piece.view_as(p)

    def copy_state(self, module: nn.Module) -> None:
        """Give every process the parameters and buffers of process 0."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def agree(self, wish: bool) -> bool:
        """What process 0 wishes; no GPU waits for it."""
        if self.size == 1:
            return wish
        told = torch.tensor([wish])
        dist.broadcast(told, src=0)
        return bool(told)


ALONE = Processes()
_PATIENCE = timedelta(days=1)
"""For the others, which may evaluate a large test part; one that fails is noticed by torchrun."""


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Meet the processes that torchrun started with this one; without torchrun, be alone."""
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    # Tensors on the CPU go by gloo also where a GPU computes, so that a wish is told without waiting for it.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        processes = Processes(dist.get_rank(), dist.get_world_size())
        yield processes
        processes.add_up(torch.zeros(1))  # leave together: one that leaves early sometimes aborts
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Number of this process among those on this machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))
