"""Measure on this machine how long a crystal graph takes: upstream's converter (its fast algorithm, in C) against ours.

::

    .venv/bin/python -m benchmarks.graphs                     # 64 structures, about 10 seconds

The structures are those of `benchmarks.engine`. Both take turns in this one process, on one thread;
the processor time of a round counts, and the same structures are checked to give the same numbers of edges and angles.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chgnet.graph import CrystalGraphConverter
from pymatgen.core import Structure

from benchmarks.engine_agreement import varied
from xfunc_core.answers.answer import text_table
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graph_cache import cached_graphs
from xfunc_core.model.graphs import build_graph


def main() -> None:
    """Measure and print, the command first."""
    parser = argparse.ArgumentParser(description="Measure the building of crystal graphs on this machine.")
    parser.add_argument("--structures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"$ {' '.join(['python -m benchmarks.graphs', *sys.argv[1:]])}")
    print(f"{platform.machine()}, {os.cpu_count()} processors; load average at the start {os.getloadavg()[0]:.1f}")
    structures = varied(options.structures, seed=1)
    with tempfile.TemporaryDirectory(prefix="xfunc-benchmark-") as name:
        print(text_table(_measured(structures, options.rounds, Path(name))))


def _measured(structures: list[Structure], rounds: int, cache: Path) -> list[dict[str, Any]]:
    converter = CrystalGraphConverter(atom_graph_cutoff=6, bond_graph_cutoff=3, algorithm="fast", on_isolated_atoms="error")
    assert converter.algorithm == "fast"
    arrays = [(np.array(s.atomic_numbers), np.array(s.lattice.matrix), np.array(s.cart_coords)) for s in structures]
    graphs, theirs = [build_graph(*a) for a in arrays], [converter(s) for s in structures]
    assert [(2 * g.n_bonds, g.n_angles) for g in graphs] == [(len(t.atom_graph), len(t.bond_graph)) for t in theirs]
    sizes = np.mean([(g.n_atoms, 2 * g.n_bonds, g.n_angles) for g in graphs], axis=0)
    print(f"{len(structures)} structures; on average {sizes[0]:.0f} atoms, {sizes[1]:,.0f} directed edges, {sizes[2]:,.0f} angles\n")
    ids = [str(i) for i in range(len(arrays))]
    cached_graphs(cache, arrays, ids)
    [file] = cache.iterdir()
    print(f"a cached structure takes {file.stat().st_size / len(arrays) / 1e3:.0f} kB\n")
    tasks: dict[str, Callable[[], Any]] = {
        "upstream, graph": lambda: [converter(s) for s in structures],
        "ours, graph": lambda: [build_graph(*a) for a in arrays],
        "ours, from the cache": lambda: cached_graphs(cache, arrays, ids),
        "ours, batches of 16": lambda: [collate(graphs[i : i + 16]) for i in range(0, len(graphs), 16)],
    }
    seconds = {what: [] for what in tasks}
    for _ in range(rounds):
        for what, task in tasks.items():
            start = time.process_time()
            task()
            seconds[what].append(time.process_time() - start)
    reference = seconds["upstream, graph"]
    return [_row(what, found, reference, len(structures)) for what, found in seconds.items()]


def _row(what: str, seconds: list[float], reference: list[float], n: int) -> dict[str, Any]:
    ratios = [theirs / ours for theirs, ours in zip(reference, seconds, strict=True)]
    return {
        "What": what,
        "ms a structure": f"{1e3 * statistics.median(seconds) / n:.3f} ({1e3 * min(seconds) / n:.3f} to {1e3 * max(seconds) / n:.3f})",
        "against upstream's graph": f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})",
    }


if __name__ == "__main__":
    main()
