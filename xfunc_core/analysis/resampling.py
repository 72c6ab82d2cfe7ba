"""Random weights for a cluster bootstrap of runs that are crossed by size and seed."""

from __future__ import annotations

import numpy as np

MAX_REDRAWS = 100


def cluster_weights(sizes: np.ndarray, seeds: np.ndarray, n_boot: int, rng: np.random.Generator) -> np.ndarray:
    """How often each run counts in each resample, shape (n_boot, n).

    Sizes and seeds are drawn with replacement on their own, and a run counts as the product. Draws that
    hold fewer than two sizes are drawn again, at most ``MAX_REDRAWS`` times, and dropped after that.

    Args:
        sizes, seeds: shape (n,), codes from 0 of the size and the seed of each run.
        n_boot: resamples.
        rng: source of the random numbers.
    """
    weights = np.zeros((n_boot, sizes.size))
    todo = np.arange(n_boot)
    for _ in range(MAX_REDRAWS):
        weights[todo] = _draws(sizes, todo.size, rng) * _draws(seeds, todo.size, rng)
        present = np.stack([weights[todo][:, sizes == k].any(axis=1) for k in range(sizes.max() + 1)])
        todo = todo[present.sum(axis=0) < 2]
        if todo.size == 0:
            return weights
    return np.delete(weights, todo, axis=0)


def _draws(codes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    k = int(codes.max()) + 1
    return rng.multinomial(k, np.full(k, 1 / k), size=n)[:, codes]
