"""Measure the agreement of two functionals on this machine: every statistic with its interval, overall, per element and chemistry.

::

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.correlation                # 400,000 pairs on one core, seconds
    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.correlation --components 10000000

Pairs are synthetic: materials of 1 to some 60 frames, four elements a frame (fewer where drawn twice), oxygen in half of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from xfunc_core.analysis.agreement import agreement, agreements
from xfunc_core.analysis.groups import Attribution, chemistry_groups, element_groups
from xfunc_core.analysis.importances import element_importances
from xfunc_core.answers.answer import text_table
from xfunc_core.quantities import count_text

N_ELEMENTS = 89
ROUNDS = 3


def main() -> None:
    """Measure everything and print it, the command first."""
    parser = argparse.ArgumentParser(description="Measure the agreement of two functionals on this machine.")
    parser.add_argument("--pairs", type=int, default=400_000)
    parser.add_argument("--components", type=int, default=0, help="force components, three an atom, attributed to the atom's own element")
    options = parser.parse_args()
    print(f"$ {' '.join(['python -m benchmarks.correlation', *sys.argv[1:]])}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    print(
        f"{platform.system()} {platform.machine()}, {cores} cores, {threads} threads; load average at the start {os.getloadavg()[0]:.1f}\n"
    )
    print(_energies(options.pairs))
    if options.components:
        print("\n" + _components(options.components))
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}")


def _energies(n: int) -> str:
    """Seconds of what a page of energies asks for."""
    rng = np.random.default_rng(0)
    composition, materials = _compositions(rng, n), _materials(rng, n)
    pair = np.arange(n)
    x = composition @ rng.normal(-5, 2, 94) + rng.normal(0, 0.3, n)
    y = x + composition @ rng.normal(-1, 1, 94) + rng.normal(0, 0.05, n)
    contains, weighted = (element_groups(composition, pair, way) for way in (Attribution.CONTAINS, Attribution.WEIGHTED))
    chemistry = chemistry_groups(composition, pair)
    print(
        f"{count_text(n)} pairs of {count_text(len(np.unique(materials)))} materials, {count_text(contains.rows.size)} times an element\n"
    )
    return _table(
        {
            "all pairs": lambda: agreement(x, y, materials),
            "all pairs, without ranks and intervals": lambda: agreement(x, y, materials, ranks=False, intervals=False),
            f"{len(contains)} elements: the rows of each": lambda: element_groups(composition, pair, Attribution.CONTAINS),
            f"{len(contains)} elements: every statistic, intervals": lambda: agreements(x, y, materials, contains),
            f"{len(contains)} elements, weighted: every statistic, intervals": lambda: agreements(x, y, materials, weighted),
            f"{len(contains)} elements: without ranks": lambda: agreements(x, y, materials, contains, ranks=False),
            f"{len(contains)} elements: without intervals": lambda: agreements(x, y, materials, contains, intervals=False),
            "10 chemistries: the rows of each": lambda: chemistry_groups(composition, pair),
            "10 chemistries: every statistic, intervals": lambda: agreements(x, y, materials, chemistry),
            "importances of elements": lambda: element_importances(composition, y - x, materials),
        }
    )


def _components(n: int) -> str:
    """Seconds of force components, of 30 atoms a frame."""
    rng = np.random.default_rng(1)
    frame = np.arange(n) // 90
    materials = _materials(rng, int(frame[-1]) + 1)[frame]
    element = np.repeat(rng.choice(N_ELEMENTS, -(-n // 3), p=_abundance()) + 1, 3)[:n]
    x = rng.standard_t(4, n)
    y = x + 0.1 * rng.standard_t(4, n)
    composition = np.zeros((int(frame[-1]) + 1, 94))
    print(f"\n{count_text(n)} components of {count_text(len(composition))} frames\n")
    groups = element_groups(composition, frame, Attribution.OWN, element)
    return _table(
        {
            "all components": lambda: agreement(x, y, materials),
            f"{len(groups)} elements: the rows of each": lambda: element_groups(composition, frame, Attribution.OWN, element),
            f"{len(groups)} elements: every statistic, intervals": lambda: agreements(x, y, materials, groups),
        }
    )


def _compositions(rng: np.random.Generator, n: int) -> np.ndarray:
    """Quarters of elements drawn by their abundance, shape (n, 94)."""
    drawn = rng.choice(N_ELEMENTS, (n, 4), p=_abundance())
    fractions = np.zeros((n, 94))
    np.add.at(fractions, (np.repeat(np.arange(n), 4), drawn.ravel()), 0.25)
    return fractions


def _abundance() -> np.ndarray:
    abundance = 1 / np.arange(3, N_ELEMENTS + 3) ** 0.7
    abundance[7] = abundance.sum() * 0.19
    return abundance / abundance.sum()


def _materials(rng: np.random.Generator, n: int) -> np.ndarray:
    """Materials of n frames, one after the other, 8 frames each on average."""
    return np.repeat(np.arange(n), rng.geometric(1 / 8, n))[:n]


def _table(ways: dict[str, Callable[[], Any]]) -> str:
    """Seconds by the clock, of the fastest of some rounds and their median, and by the processor."""
    rows = []
    for name, way in ways.items():
        times = [_timed(way) for _ in range(ROUNDS)]
        wall, cpu = (sorted(each) for each in zip(*times, strict=True))
        rows.append({"Question": name, "s": f"{wall[0]:.2f}", "median": f"{statistics.median(wall):.2f}", "CPU s": f"{cpu[0]:.2f}"})
    return text_table(rows)


def _timed(way: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and by the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
