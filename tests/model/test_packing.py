"""Batches by cost: every structure once, level, and the same for the same seed; shares and parts of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfunc_core.model.graphs import build_graph
from xfunc_core.model.packing import CostWeights, level_batches, share, split, structure_costs, threads_for

COSTS = st.lists(st.floats(1, 1e5), min_size=0, max_size=60)


def once(batches: list[np.ndarray], n: int) -> bool:
    """Whether the batches hold every structure exactly once, and none is empty."""
    return sorted(np.concatenate([*batches, []]).tolist()) == list(range(n)) and all(len(batch) for batch in batches)


@given(costs=st.lists(st.floats(1, 1e5), min_size=1, max_size=60), data=st.data(), seed=st.integers(0, 2**32), epoch=st.integers(0, 1000))
def test_every_structure_is_in_one_batch(costs: list[float], data: st.DataObject, seed: int, epoch: int) -> None:
    n_batches = data.draw(st.integers(1, len(costs)))
    batches = level_batches(costs, n_batches, seed, epoch)
    assert len(batches) == n_batches and once(batches, len(costs))
    assert [b.tolist() for b in batches] == [b.tolist() for b in level_batches(costs, n_batches, seed, epoch)]


@given(costs=COSTS, n=st.integers(1, 8))
def test_shares_are_complete_and_no_process_idles_without_need(costs: list[float], n: int) -> None:
    batch = np.arange(len(costs))[::-1]
    shares = share(batch, costs, n)
    assert len(shares) == n
    assert once([s for s in shares if len(s)], len(costs))
    assert sum(len(s) > 0 for s in shares) == min(n, len(costs))
    heaviest = max(sum(costs[i] for i in s) for s in shares)
    assert heaviest <= (sum(costs) / n + (1 - 1 / n) * max(costs, default=0)) * (1 + 1e-12)  # Graham (1969)


@given(costs=COSTS, limit=st.floats(1, 2e5))
def test_a_batch_that_is_too_large_is_split_in_order(costs: list[float], limit: float) -> None:
    parts = split(np.arange(len(costs)), costs, limit)
    assert np.concatenate([*parts, []]).tolist() == list(range(len(costs)))
    assert all(len(p) == 1 or sum(costs[i] for i in p) <= limit * (1 + 1e-12) for p in parts)
    for part, following in zip(parts, parts[1:], strict=False):  # none that could have stayed
        assert sum(costs[i] for i in part) + costs[following[0]] > limit * (1 - 1e-12)


def test_another_seed_or_epoch_is_another_order() -> None:
    costs = np.random.default_rng(0).lognormal(7, 1, 300)
    found = {str([sorted(b.tolist()) for b in level_batches(costs, 15, seed, epoch)]) for seed in (1, 2) for epoch in (0, 1)}
    assert len(found) == 4


def test_batches_are_level() -> None:
    """Costs as skewed as those of a real data set: 1,000 structures in 30 batches; by count the costliest costs over twice the cheapest."""
    costs = np.random.default_rng(1).lognormal(7, 1, 1000)
    loads = np.array([costs[b].sum() for b in level_batches(costs, 30, seed=0)])
    by_count = np.array([costs[b].sum() for b in np.array_split(np.random.default_rng(0).permutation(1000), 30)])
    assert loads.max() / loads.min() < 1.02
    assert by_count.max() / by_count.min() > 2


def test_any_two_structures_meet_by_chance() -> None:
    """Of 60 structures in four batches, two share one in 14 of 59 epochs on average; none always do, and none never."""
    costs = np.random.default_rng(2).uniform(100, 500, 60)
    packed = [level_batches(costs, 4, 7, epoch) for epoch in range(400)]
    together = np.zeros((60, 60))
    for batch in (b for batches in packed for b in batches):
        together[np.ix_(batch, batch)] += 1 / len(packed)
    pairs = together[np.triu_indices(60, 1)]
    assert pairs.mean() == pytest.approx(14 / 59, abs=0.005)
    assert pairs.min() > 0.12 and pairs.max() < 0.4


def test_the_cost_counts_atoms_edges_and_angles() -> None:
    """A chain of atoms 2.2 Å apart: bonds at 2.2 and 4.4 Å in both directions, two angles."""
    chain = build_graph(np.array([6]), np.diag([2.2, 15, 15]), np.zeros((1, 3)))
    assert structure_costs([chain]) == pytest.approx([3.2 + 4 + 2 * 1.2])
    assert structure_costs([chain, chain], CostWeights(100, 10, 1)).tolist() == [142, 142]
    assert structure_costs([]).shape == (0,)


@pytest.mark.parametrize(("cost", "available", "threads"), [(2e3, 2, 1), (1e4, 8, 1), (2.5e4, 8, 2), (1e6, 8, 8), (1e6, 1, 1)])
def test_small_batches_are_left_to_fewer_threads(cost: float, available: int, threads: int) -> None:
    assert threads_for(cost, available) == threads
