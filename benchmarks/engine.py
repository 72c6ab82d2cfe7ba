"""Measure the engine on this machine, side by side with upstream's chgnet: speed, memory, and how far the two agree.

::

    .venv/bin/python -m benchmarks.engine                         # about 15 minutes on two cores
    .venv/bin/python -m benchmarks.engine --agree 0 --rounds 3    # speed and memory only
    .venv/bin/python -m benchmarks.engine --flush-denormals       # upstream helped by one line that it does not have

Structures are supercells with 2 to 40 atoms, strained and rattled: of oxides as they fill the Materials Project and, every
other one, of the bundled crystals, many of which are loosely packed elements with few bonds. Upstream, the engine and the
engine without compiled kernels take turns in this one process, on the same structures in the same batches; seconds are of
the processor, over all threads, which others on the machine disturb least. Upstream's graphs are converted beforehand.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet
from pymatgen.core import Lattice, Structure
from torch import Tensor

from xfunc_core.answers.answer import text_table
from xfunc_core.data.library import install_bundled, list_datasets
from xfunc_core.model.graph_batch import GraphBatch, collate
from xfunc_core.model.graphs import StructureGraph, build_graph
from xfunc_core.model.network import Engine
from xfunc_core.model.weights import SHIPPED, load_engine, shipped_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SIZES = (2, 4, 6, 8, 12, 16, 20, 24, 32, 40)
WEIGHTS = {"e": 2.0, "f": 1.0, "s": 0.1, "m": 0.1}
OXIDES = (  # space group, cell parameters in Å and °, elements, fractional coordinates: as measured
    ("Pm-3m", (3.905, 3.905, 3.905, 90, 90, 90), "Sr Ti O", ((0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0))),
    ("Fm-3m", (4.211, 4.211, 4.211, 90, 90, 90), "Mg O", ((0, 0, 0), (0.5, 0.5, 0.5))),
    ("P4_2/mnm", (4.594, 4.594, 2.959, 90, 90, 90), "Ti O", ((0, 0, 0), (0.305, 0.305, 0))),
    ("Fd-3m", (8.083, 8.083, 8.083, 90, 90, 90), "Mg Al O", ((0, 0, 0), (0.625, 0.625, 0.625), (0.3874, 0.3874, 0.3874))),
    ("R-3m", (2.816, 2.816, 14.054, 90, 90, 120), "Li Co O", ((0, 0, 0.5), (0, 0, 0), (0, 0, 0.2605))),
    ("R-3c", (5.038, 5.038, 13.772, 90, 90, 120), "Fe O", ((0, 0, 0.3553), (0.3059, 0, 0.25))),
    ("P6_3mc", (3.250, 3.250, 5.207, 90, 90, 120), "Zn O", ((1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.3817))),
)
RATTLE, STRAIN = 0.1, 0.03  # Å and 1, standard deviations
Outputs = dict[str, Tensor]


def main() -> None:
    """Measure what is asked for and print it, the command first."""
    parser = argparse.ArgumentParser(description="Measure the engine on this machine.")
    parser.add_argument("--batches", default="16,40", help="structures in a batch, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--agree", type=int, default=200, help="structures to compare on")
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
        f"torch {torch.__version__}, {options.threads} threads, kernels {load_engine(shipped_checkpoint('0.3.0')).kernels}; load {os.getloadavg()[0]:.1f}\n"
    )
    batches = [int(size) for size in options.batches.split(",")]
    print(text_table(row for size in batches for row in speed(size, options.rounds)), end="\n\n")
    print(text_table(memory(max(batches), options.threads)), end="\n\n")
    if options.agree:
        print(text_table(agreement(version, varied(options.agree, seed=0)) for version in SHIPPED))


def varied(n: int, seed: int) -> list[Structure]:
    """Supercells of oxides and bundled crystals in turn, with up to 2 to 40 atoms in turn, strained and rattled."""
    rng = np.random.default_rng(seed)
    kinds = [_oxides(), _bundled()]
    found = []
    for number in range(n):
        target, crystals = SIZES[number // 2 % len(SIZES)], kinds[number % 2]
        fitting = [crystal for crystal in crystals if len(crystal) <= target]
        structure = fitting[rng.integers(len(fitting))].copy()
        while 2 * len(structure) <= target:
            structure.make_supercell([2 if axis == np.argmin(structure.lattice.abc) else 1 for axis in range(3)])
        lattice = structure.lattice.matrix @ (np.eye(3) + rng.normal(0, STRAIN, (3, 3)))
        positions = structure.frac_coords @ lattice + rng.normal(0, RATTLE, (len(structure), 3))
        found.append(Structure(lattice, structure.species, positions, coords_are_cartesian=True))
    return found


def _oxides() -> list[Structure]:
    made = [
        Structure.from_spacegroup(group, Lattice.from_parameters(*cell), elements.split(), places)
        for group, cell, elements, places in OXIDES
    ]
    return [structure.get_primitive_structure() for structure in made]


def _bundled() -> list[Structure]:
    with tempfile.TemporaryDirectory(prefix="xfunc-benchmark-") as home:
        install_bundled(Path(home))
        return [dataset.structure(row) for dataset in list_datasets(Path(home)) for row in range(len(dataset))]


def geometry(structure: Structure) -> StructureGraph:
    return build_graph(np.array(structure.atomic_numbers), structure.lattice.matrix, structure.cart_coords)


def upstream_model(version: str = "0.3.0") -> CHGNet:
    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNet.load(model_name=version, use_device="cpu", verbose=False)


def upstream_outputs(model: CHGNet, graphs: Sequence[CrystalGraph]) -> Outputs:
    out = model(graphs, task="efsm")
    return {"e": out["e"], "f": torch.cat(out["f"]), "s": torch.stack(out["s"]), "m": torch.cat(out["m"])}


def loss_of(out: Outputs) -> Tensor:
    """The paper's kind of loss, on made-up labels that are the same for everybody."""
    rng = np.random.default_rng(0)
    labels = {key: torch.tensor(rng.normal(size=out[key].shape), dtype=out[key].dtype) for key in WEIGHTS}
    return sum(weight * torch.nn.functional.huber_loss(out[key], labels[key], delta=0.1) for key, weight in WEIGHTS.items())


# --- speed ------------------------------------------------------------------------------------


class Contest:
    """The same batch for upstream and for the engine with and without kernels: what each does in a step."""

    def __init__(self, structures: Sequence[Structure]) -> None:
        self.structures = structures
        self.upstream, self.engine = upstream_model(), load_engine(shipped_checkpoint("0.3.0"))
        self.plain = load_engine(shipped_checkpoint("0.3.0"))
        self.plain.uses_kernels = False
        self.graphs, self.batch = [self.upstream.graph_converter(s) for s in structures], collate([geometry(s) for s in structures])
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
        loss_of(out).backward(inputs=None if who == "upstream" else self.trained[who])
        self.optimizers[who].step()
        for graph in self.graphs:  # upstream leaves gradients in its graphs
            graph.atom_frac_coord.grad = graph.lattice.grad = None

    def predict(self, who: str) -> None:
        """Energies, forces, stresses and moments."""
        with torch.set_grad_enabled(who == "upstream"):  # which fails without
            self._outputs(who)

    def convert(self, who: str) -> None:
        """From structures to a batch."""
        if who == "upstream":
            [self.upstream.graph_converter(s) for s in self.structures]
        else:
            collate([geometry(s) for s in self.structures])

    def _outputs(self, who: str) -> Outputs:
        return upstream_outputs(self.upstream, self.graphs) if who == "upstream" else self.models[who](self.batch)


def speed(size: int, rounds: int) -> Iterable[dict[str, str]]:
    """A row for each thing to do: seconds of the processor, best of the rounds, and how many times faster than upstream."""
    contest = Contest(varied(size, seed=1))
    batch = contest.batch
    about = f"{size} × {len(batch.numbers) / size:.0f} atoms, {2 * len(batch.bond_vector) / size:,.0f} edges, {len(batch.angle_first) / size:,.0f} angles"
    for name, what in (("training step", contest.train), ("inference efsm", contest.predict), ("structures to a batch", contest.convert)):
        whos = ("upstream", "engine") if what == contest.convert else ("upstream", "engine", "plain")
        seconds = take_turns({who: partial(what, who) for who in whos}, rounds)
        row = {"batch": about, "CPU seconds, best": name}
        for who in whos:
            ratio = min(seconds["upstream"]) / min(seconds[who])
            middle = statistics.median(u / s for u, s in zip(seconds["upstream"], seconds[who], strict=True))
            row[who] = f"{min(seconds[who]):.3f}" + (f"  {ratio:.1f} × (median {middle:.1f})" if who != "upstream" else "")
        yield row


def take_turns(tasks: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of the processor of each task in each round, after one to warm up."""
    seconds: dict[str, list[float]] = {who: [] for who in tasks}
    for number in range(rounds + 1):
        for who, task in tasks.items():
            start = time.process_time()
            task()
            if number:
                seconds[who].append(time.process_time() - start)
    return seconds


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


# --- agreement --------------------------------------------------------------------------------


def agreement(version: str, structures: Sequence[Structure], size: int = 10) -> dict[str, Any]:
    """Largest relative difference in float64 over batches, and errors of float32 against float64, ours over upstream's."""
    exact = load_engine(shipped_checkpoint(version)).double()
    single, theirs = load_engine(shipped_checkpoint(version)), upstream_model(version)
    theirs.composition_model = None
    exact.references.zero_(), single.references.zero_()
    double = copy.deepcopy(theirs).double()
    worst = dict.fromkeys([*WEIGHTS, "gradients"], 0.0)
    errors: dict[str, list[list[float]]] = {key: [[], []] for key in worst}
    for start in range(0, len(structures), size):
        part = structures[start : start + size]
        truth = _everything(exact, collate([geometry(s) for s in part], torch.float64))
        graphs = [theirs.graph_converter(s) for s in part]
        ours, upstreams = _everything(single, collate([geometry(s) for s in part])), _everything(theirs, graphs)
        expected = _everything(double, [_as_double(g, s) for g, s in zip(graphs, part, strict=True)])
        for key in worst:
            worst[key] = max(worst[key], _relative(truth[key], expected[key]))
            for place, found in enumerate((ours, upstreams)):
                errors[key][place].append(_relative(found[key], truth[key]))
    row: dict[str, Any] = {"checkpoint": version, "structures": len(structures)}
    row |= {f"float64 {key}": f"{value:.0e}" for key, value in worst.items()}
    return row | {f"float32 error {key}, ours / upstream's": "{:.0e} / {:.0e}".format(*map(np.median, errors[key])) for key in worst}


def _everything(model: Engine | CHGNet, batch: GraphBatch | Sequence[CrystalGraph]) -> dict[str, np.ndarray]:
    """Outputs, and the gradient of the loss with respect to all parameters as one vector; in upstream float64 is volumes too."""
    module = CHGNet._compute.__globals__
    dtype, module["TORCH_DTYPE"] = module["TORCH_DTYPE"], next(model.parameters()).dtype
    out = model(batch) if isinstance(model, Engine) else upstream_outputs(model, batch)
    module["TORCH_DTYPE"] = dtype
    network = model.network if isinstance(model, Engine) else model
    found = torch.autograd.grad(loss_of(out), list(network.parameters()), allow_unused=True)
    vector = torch.cat([g.flatten() for g in found if g is not None])
    return {key: value.detach().double().numpy() for key, value in (out | {"gradients": vector}).items()}


def _as_double(graph: CrystalGraph, structure: Structure) -> CrystalGraph:
    graph = copy.copy(graph)
    graph.lattice, graph.neighbor_image = torch.tensor(structure.lattice.matrix.copy()), graph.neighbor_image.double()
    graph.atom_frac_coord = torch.tensor(structure.frac_coords.copy(), requires_grad=True)
    return graph


def _relative(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


if __name__ == "__main__":
    main()
