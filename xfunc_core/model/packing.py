"""Which structures go into which batch: batches of equal cost, shared among processes, or cut to a budget of memory.

Every structure goes into exactly one batch of an epoch. The batches follow from the seed and the epoch alone, not from how
many processes share them, so that two processes take the steps that one would.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from xfunc_core.model.graphs import StructureGraph

_JITTER = 0.5
"""Costs are scaled at random by as little as this where batches are filled from the most to the least costly: by costs alone
the same structures would meet in every epoch, and in random order a costly one would come too late to be made up for."""

COST_PER_THREAD = 1e4
"""What a batch must cost for each thread on a processor: below it threads wait for each other longer than they compute. Eight cells
of two to five atoms cost 2,000, and took two threads twice the time of one."""


class CostWeights(NamedTuple):
    """What a structure costs for each of its atoms, directed edges (two a bond) and angles.

    By default in units of an edge, after what a training step in float32 keeps for its backward pass: 24 kB for an atom,
    7.5 kB for an edge, 9.2 kB for an angle (fitted to 25 batches, to 1 %). Time follows it to about 10 %.
    """

    atom: float = 3.2
    edge: float = 1.0
    angle: float = 1.2


MEMORY_WEIGHTS = CostWeights()


def structure_costs(graphs: Iterable[StructureGraph], weights: CostWeights = MEMORY_WEIGHTS) -> np.ndarray:
    """Cost of each structure, shape (F,)."""
    sizes = np.array([(g.n_atoms, 2 * g.n_bonds, g.n_angles) for g in graphs], dtype=float)
    return sizes.reshape(-1, 3) @ np.array(weights)


def threads_for(batch_cost: float, available: int) -> int:
    """Threads worth using for batches that cost so much, in units of a directed edge."""
    return max(1, min(available, int(batch_cost / COST_PER_THREAD)))


def level_batches(costs: Sequence[float] | np.ndarray, n_batches: int, seed: int, epoch: int = 0) -> list[np.ndarray]:
    """Shuffled batches of about equal cost, whatever the sizes of the structures: none is empty where there are enough structures.

    Each structure, from the most to the least costly but for the jitter, goes to the batch that has cost least so far.

    Args:
        costs: positive, shape (F,).
        n_batches: at least 1.
        seed, epoch: another order for each pair, the same for the same.
    """
    costs, generator = np.asarray(costs, dtype=float), np.random.default_rng([seed, epoch])
    order = np.argsort(-costs * generator.uniform(_JITTER, 1, len(costs)), kind="stable")
    owner = np.array(_to_the_lightest(costs[order], n_batches), dtype=np.int64)
    groups = np.split(order[np.argsort(owner, kind="stable")], np.cumsum(np.bincount(owner, minlength=n_batches))[:-1])
    return [generator.permutation(groups[i]) for i in generator.permutation(n_batches)]


def share(batch: np.ndarray, costs: Sequence[float] | np.ndarray, n_processes: int) -> list[np.ndarray]:
    """A batch divided among processes at about equal cost, one array for each; empty where there are fewer structures.

    Args:
        batch: structure numbers, shape (B,).
        costs: of all structures, shape (F,).
        n_processes: at least 1.
    """
    mine = np.asarray(costs, dtype=float)[batch]
    owner = np.empty(len(batch), dtype=np.int64)
    by_cost = np.argsort(-mine, kind="stable")
    owner[by_cost] = _to_the_lightest(mine[by_cost], n_processes)
    return [batch[owner == process] for process in range(n_processes)]


def split(batch: np.ndarray, costs: Sequence[float] | np.ndarray, limit: float) -> list[np.ndarray]:
    """A batch cut into consecutive parts that each cost no more than ``limit``; a structure that does is alone in its part."""
    parts: list[list[int]] = []
    room = -math.inf
    for structure in batch.tolist():
        cost = float(costs[structure])
        if cost > room:
            parts.append([])
            room = limit
        parts[-1].append(structure)
        room -= cost
    return [np.array(part, dtype=batch.dtype) for part in parts]


def _to_the_lightest(costs: np.ndarray, n: int) -> list[int]:
    """Which of ``n`` each goes to, one after another, when it is the one that has cost least so far."""
    loads = [(0.0, i) for i in range(n)]
    owners = []
    for cost in costs.tolist():
        load, i = loads[0]
        owners.append(i)
        heapq.heapreplace(loads, (load + cost, i))
    return owners
