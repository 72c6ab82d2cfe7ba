"""Measure the engine on a GPU, side by side with upstream's chgnet: speed over batch sizes, launches, and how far from the card's limits.

::

    .venv/bin/python -m benchmarks.engine_gpu                                  # the kernels in Triton, products in float32
    .venv/bin/python -m benchmarks.engine_gpu --triton tf32x3                  # each product made of three in TF32
    .venv/bin/python -m benchmarks.engine_gpu --bandwidth 3.35                 # an H100: its own limits
    .venv/bin/python -m benchmarks.engine_gpu --device cpu --sizes 2 --atoms 2 4 --rounds 1

Upstream, plain torch and the kernels take turns in one process, on the same structures and batches; wall time, the device idle
at both ends. Upstream is measured at the first size alone. Nobody has run this on a GPU yet. The card's limits are by default
those of NVIDIA's data sheet of the H200 SXM: 4.8 TB/s of memory, 67 TFLOP/s in float32.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from pymatgen.core import Structure
from torch.profiler import ProfilerActivity, profile

from benchmarks.engine import Contest, take_turns
from benchmarks.engine_agreement import varied
from benchmarks.engine_work import Work, work_of_a_step
from xfunc_core.answers.answer import text_table
from xfunc_core.model.fused.on_gpu import ASKED_FOR, why_plain


def main() -> None:
    """Measure what is asked for and print it, the command first."""
    parser = argparse.ArgumentParser(description="Measure the engine on a GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="64,128,256,512,1024", help="structures in a batch, separated by commas")
    parser.add_argument("--atoms", type=int, nargs=2, default=(24, 40), help="fewest and most atoms of a structure; 24 to 40 are 31 on average")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--triton", default="1", choices=("0", "1", "tf32x3"), help=f"what {ASKED_FOR} is set to")
    parser.add_argument("--bandwidth", type=float, default=4.8, help="of the card's memory, TB/s")
    parser.add_argument("--flops", type=float, default=67.0, help="of the card in float32, TFLOP/s")
    options = parser.parse_args()
    os.environ[ASKED_FOR] = options.triton
    print(f"$ {' '.join(['python -m benchmarks.engine_gpu', *sys.argv[1:]])}\n{about(options.device)}\n")
    sizes = [int(size) for size in options.sizes.split(",")]
    structures = of_size(max(sizes), *options.atoms)
    print(text_table(row for size in sizes for row in speed(structures[:size], options.device, options.rounds, size == sizes[0])), end="\n\n")
    print(text_table(limits(structures[: sizes[0]], options)))


def about(device: str) -> str:
    """The machine, and what the column of the kernels is."""
    if not device.startswith("cuda"):
        return f"torch {torch.__version__}, no GPU: the column of the kernels is that of those compiled for the processor"
    reason = why_plain(torch.empty(0, device=device).device)
    return f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}; kernels: {reason or 'Triton, right on this device'}"


def of_size(n: int, fewest: int, most: int) -> list[Structure]:
    """Structures of `varied` with so many atoms."""
    found: list[Structure] = []
    seed = 1
    while len(found) < n:
        found += [structure for structure in varied(20, seed=seed) if fewest <= len(structure) <= most]
        seed += 1
    return found[:n]


# --- speed ------------------------------------------------------------------------------------


WHO = {"upstream": "upstream", "plain": "plain torch", "engine": "kernels"}


def speed(structures: Sequence[Structure], device: str, rounds: int, with_upstream: bool) -> Iterator[dict[str, str]]:
    """Rows for a batch: what each takes for a training step and for a prediction, and how many kernels it launches."""
    contest = Contest(structures, device)
    atoms = sum(map(len, structures)) / len(structures)
    for name, what in (("training step", contest.train), ("energy, forces, stress, moments", contest.predict)):
        tasks = {who: partial(what, who) for who in WHO if with_upstream or who != "upstream"}
        row = {"batch": f"{len(structures)} × {atoms:.0f} atoms, {name}"}
        try:
            seconds = {who: min(times) for who, times in take_turns(tasks, rounds, partial(idle_clock, device)).items()}
        except torch.OutOfMemoryError:
            seconds, row["batch"] = {}, row["batch"] + ": does not fit"
        for who, label in WHO.items():
            faster = f" ({seconds['upstream'] / seconds[who]:.1f} ×)" if who != "upstream" and "upstream" in seconds else ""
            row[f"{label}, ms"] = f"{1e3 * seconds[who]:,.1f}{faster}" if who in seconds else ""
            row[f"{label}, structures/s"] = f"{len(structures) / seconds[who]:,.0f}" if who in seconds else ""
            row[f"{label}, launches"] = launches(tasks[who], device) if who in seconds else ""
        yield row


def idle_clock(device: str) -> float:
    """Seconds, once the device has nothing left to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def launches(task: Callable[[], None], device: str) -> str:
    """Kernels, copies and fillings that a GPU is given; nothing is said of a processor."""
    if not device.startswith("cuda"):
        return "–"
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        task()
        torch.cuda.synchronize()
    return f"{sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profiled.events()):,}"


# --- the card's limits ------------------------------------------------------------------------


def limits(structures: Sequence[Structure], options: argparse.Namespace) -> Iterator[dict[str, str]]:
    """A row for plain torch and for the kernels: the work of a training step, and how fast the card could do it at best."""
    contest = Contest(structures, options.device)
    clock = partial(idle_clock, options.device)
    tasks = {who: partial(contest.train, who) for who in ("plain", "engine")}
    seconds = {who: min(times) for who, times in take_turns(tasks, options.rounds, clock).items()}
    for who in tasks:
        work: Work = work_of_a_step(contest.plain, contest.batch, contest.labels, whole=who == "engine")
        best = max(work.moved / (1e12 * options.bandwidth), work.flops / (1e12 * options.flops))
        n = len(structures)
        yield {
            f"training step, batch of {n}": WHO[who],
            "GFLOP a structure": f"{work.flops / n / 1e9:.2f}",
            "MB moved a structure": f"{work.moved / n / 1e6:,.0f}",
            f"ms at {options.flops:g} TFLOP/s": f"{1e3 * work.flops / (1e12 * options.flops):.2f}",
            f"ms at {options.bandwidth:g} TB/s": f"{1e3 * work.moved / (1e12 * options.bandwidth):.2f}",
            "measured ms": f"{1e3 * seconds[who]:,.1f}",
            "of the limit": f"{100 * best / seconds[who]:.1f} %",
        }


if __name__ == "__main__":
    main()
