"""Measure the engine on this machine, side by side with upstream's chgnet: speed, memory, and how far the two agree.

::

    .venv/bin/python -m benchmarks.engine                         # about 15 minutes on two cores
    .venv/bin/python -m benchmarks.engine --agree 0 --rounds 3    # speed and memory only
    .venv/bin/python -m benchmarks.engine --epoch 640             # the engine alone: an epoch of mixed sizes against one batch
    .venv/bin/python -m benchmarks.engine --flush-denormals       # upstream helped by one line that it does not have

Structures are supercells with 2 to 40 atoms, strained and rattled: of oxides as they fill the Materials Project and, every
other one, of the bundled crystals, many of which are loosely packed elements with few bonds. Upstream, the engine and the
engine without compiled kernels take turns in this one process, on the same structures in the same batches; seconds are of
the processor, over all threads, which others on the machine disturb least. Graphs are made beforehand, and the engine's batch,
too, while upstream puts its own together in each step: a few thousandths of the time.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Structure

from benchmarks.engine_agreement import Outputs, agreement, geometry, labels_for, loss_of, upstream_model, upstream_outputs, varied
from xfunc_core.answers.answer import text_table
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import StructureGraph
from xfunc_core.model.named import SHIPPED, shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.packing import structure_costs
from xfunc_core.model.weights import load_engine

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure what is asked for and print it, the command first."""
    parser = argparse.ArgumentParser(description="Measure the engine on this machine.")
    parser.add_argument("--batches", default="16,40", help="structures in a batch, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--agree", type=int, default=200, help="structures to compare on")
    parser.add_argument("--epoch", type=int, help="structures of an epoch to measure against one batch of the same cost, and nothing else")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--flush-denormals", action="store_true")
    parser.add_argument("--peak", nargs=3, metavar=("WHO", "WHAT", "BATCH"), help="measure one peak of memory and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(options.flush_denormals)
    if options.peak:
        who, what, size = options.peak
        return print(_peak(Contest(varied(int(size), seed=1)), who, what))
    print(f"$ {' '.join(['python -m benchmarks.engine', *sys.argv[1:]])}")
    print(
        f"torch {torch.__version__}, {options.threads} threads, kernels {load_engine(shipped_checkpoint('0.3.0')).kernels.reason or 'compiled'}; load {os.getloadavg()[0]:.1f}\n"
    )
    batches = [int(size) for size in options.batches.split(",")]
    if options.epoch:
        torch.set_flush_denormal(True)  # as xfunc does before it trains
        return print(text_table(row for size in batches for row in epoch(options.epoch, size, options.rounds)))
    print(text_table(row for size in batches for row in speed(size, options.rounds)), end="\n\n")
    print(text_table(memory(max(batches), options.threads)), end="\n\n")
    if options.agree:
        print(text_table(row for version in SHIPPED for row in agreement(version, varied(options.agree, seed=0))))


# --- speed ------------------------------------------------------------------------------------


class Contest:
    """The same batch for upstream and for the engine with and without kernels: what each does in a step."""

    def __init__(self, structures: Sequence[Structure], device: str = "cpu") -> None:
        self.upstream, self.engine, self.plain = upstream_model(), *(load_engine(shipped_checkpoint("0.3.0")) for _ in range(2))
        self.plain.uses_kernels = False
        self.graphs = [self.upstream.graph_converter(s).to(device) for s in structures]
        self.batch = collate([geometry(s) for s in structures]).to(device)
        for model in self.models.values():
            model.to(device)
        with torch.no_grad():
            self.labels = labels_for(self.plain(self.batch))
        trained = {name: [p for p in model.parameters() if p.requires_grad] for name, model in self.models.items()}
        self.optimizers = {name: torch.optim.Adam(parameters, lr=0) for name, parameters in trained.items()}
        self.trained = trained

    @property
    def models(self) -> dict[str, torch.nn.Module]:
        return {"upstream": self.upstream, "engine": self.engine, "plain": self.plain}

    def train(self, who: str) -> None:
        """One optimiser step on energies, forces, stresses and moments."""
        out = self._outputs(who)
        self.optimizers[who].zero_grad()
        loss_of(out, self.labels).backward(inputs=None if who == "upstream" else self.trained[who])
        self.optimizers[who].step()
        for graph in self.graphs:  # upstream leaves gradients in its graphs
            graph.atom_frac_coord.grad = graph.lattice.grad = None

    def predict(self, who: str) -> None:
        """Energies, forces, stresses and moments."""
        with torch.set_grad_enabled(who == "upstream"):  # which fails without
            self._outputs(who)

    def _outputs(self, who: str) -> Outputs:
        return upstream_outputs(self.upstream, self.graphs) if who == "upstream" else self.models[who](self.batch)


def speed(size: int, rounds: int) -> Iterable[dict[str, str]]:
    """A row for each thing to do: seconds of the processor, best of the rounds, and how many times faster than upstream."""
    contest = Contest(varied(size, seed=1))
    batch = contest.batch
    about = f"{size} × {len(batch.numbers) / size:.0f} atoms, {2 * len(batch.bond_vector) / size:,.0f} edges, {len(batch.angle_first) / size:,.0f} angles"
    for name, what in (("training step", contest.train), ("inference efsm", contest.predict)):
        seconds = take_turns({who: partial(what, who) for who in contest.models}, rounds)
        row = {"batch": about, "CPU seconds, best": name}
        for who in contest.models:
            ratio = min(seconds["upstream"]) / min(seconds[who])
            middle = statistics.median(u / s for u, s in zip(seconds["upstream"], seconds[who], strict=True))
            row[who] = f"{min(seconds[who]):.3f}" + (f"  {ratio:.1f} × (median {middle:.1f})" if who != "upstream" else "")
        yield row


def take_turns(
    tasks: dict[str, Callable[[], None]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each task in each round, after one to warm up; of the processor unless another clock is given."""
    seconds: dict[str, list[float]] = {who: [] for who in tasks}
    for number in range(rounds + 1):
        for who, task in tasks.items():
            start = clock()
            task()
            if number:
                seconds[who].append(clock() - start)
    return seconds


# --- shapes that change -----------------------------------------------------------------------


def epoch(n: int, size: int, rounds: int) -> Iterable[dict[str, str]]:
    """Rows: what an edge costs in steps on ever new batches of shuffled sizes, and on the one of them that costs what they do on average."""
    graphs = [geometry(structure) for structure in varied(n, seed=2)]
    order = np.random.default_rng(0).permutation(n)
    mixed = [[graphs[i] for i in order[start : start + size]] for start in range(0, n - size + 1, size)]
    costs = [structure_costs(batch).sum() for batch in mixed]
    usual = int(np.abs(np.array(costs) - np.mean(costs)).argmin())
    for name, uses_kernels in (("engine", True), ("plain", False)):
        model = load_engine(shipped_checkpoint("0.3.0"))
        model.uses_kernels = uses_kernels
        _step(model, mixed[usual])
        per_edge: dict[str, list[float]] = {"mixed": [], "fixed": []}
        for _ in range(rounds):
            seconds = [(_step(model, batch), _step(model, mixed[usual])) for batch in mixed]
            new, same = np.sum(seconds, axis=0)
            per_edge["mixed"].append(1e6 * new / sum(costs)), per_edge["fixed"].append(1e6 * same / (costs[usual] * len(mixed)))
        ratios = [mine / fixed for mine, fixed in zip(*per_edge.values(), strict=True)]
        yield {
            "training steps": f"{name}, {len(mixed)} batches of {size}, {min(costs):,.0f} to {max(costs):,.0f} edge-equivalents",
            "ever new sizes, µs an edge": f"{statistics.median(per_edge['mixed']):.2f}",
            "one batch over and over": f"{statistics.median(per_edge['fixed']):.2f}",
            "time for new sizes over that": f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            "first round": f"{ratios[0]:.3f}",
        }


def _step(model: Engine, graphs: Sequence[StructureGraph]) -> float:
    """Seconds of the processor of a training step, collation included."""
    start = time.process_time()
    loss_of(model(collate(graphs))).backward(inputs=[p for p in model.parameters() if p.requires_grad])
    model.zero_grad()
    return time.process_time() - start


# --- memory -----------------------------------------------------------------------------------


def memory(size: int, threads: int) -> Iterable[dict[str, str]]:
    """Peak memory of a step beyond what is there before it, each in a process of its own."""
    for what in ("train", "predict"):
        peaks = {}
        for who in ("upstream", "engine", "plain"):
            command = [sys.executable, "-m", "benchmarks.engine", "--threads", str(threads), "--peak", who, what, str(size)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            peaks[who] = float(done.stdout.split()[-1])
        less = {
            who: f"{peak:,.0f} MB" + (f"  {peaks['upstream'] / peak:.1f} × less" if who != "upstream" else "")
            for who, peak in peaks.items()
        }
        yield {"peak memory beyond model and graphs": f"{what}, batch {size}", **less}


def _peak(contest: Contest, who: str, what: str) -> float:
    """MB that three steps take at most beyond what the process holds before."""
    with open("/proc/self/clear_refs", "w") as peaks:
        peaks.write("5")  # Linux: forget the highest so far
    before = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[1])
    for _ in range(3):
        getattr(contest, what)(who)
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return (int(line.split()[1]) * 1024 - before) / 1e6


if __name__ == "__main__":
    main()
