"""Measure the data house on this machine: import against the obvious ways, questions, export, subsets.

::

    .venv/bin/python -m benchmarks.data_house                     # 400,000 frames, about 3 minutes and 3 GB of temporary files
    .venv/bin/python -m benchmarks.data_house --frames 20000

The file is made of the real documents (bundled, and those in ../shared where they are), over and over with new ids, jittered energies and
forces. Import and the obvious ways take turns, round by round, in this one process; the memory is that of this process after
its first import, before anything else ran. Frames per second are by the clock, µs by the processor (all threads).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.answers.answer import text_table
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.exporting import ExportFormat, export
from xfunc_core.data.importing import import_file
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.subsets import save_subset, split_rows
from xfunc_core.quantities import count_text

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled" / "xfunc-dft-r2SCAN.jsonl.gz"
SHARED = ROOT.parent / "shared" / "data" / "MatPES-R2SCAN-elements-sample.jsonl"
JITTER = 0.05
"""eV and eV/Å, standard deviation."""

QUESTIONS: dict[str, Callable[[FrameQuery], Any]] = {
    "frames per element": lambda q: q.element_counts(),
    "frames per element, of those with O or Fe": lambda q: q.element_counts(Filter(any_of=("O", "Fe"))),
    "filter: any of O, Mg": lambda q: q.rows(Filter(any_of=("O", "Mg"))),
    "filter: all of O, Mg": lambda q: q.rows(Filter(all_of=("O", "Mg"))),
    "filter: only O, Mg": lambda q: q.rows(Filter(only=("O", "Mg"))),
    "filter: chemical system Mg-O": lambda q: q.rows(Filter(chemical_system="Mg-O")),
    "filter: energy above fit and force in a range": lambda q: q.rows(Filter(ranges=(("above_fit", -1.0, 0.5), ("largest_force", 0.0, 0.3)))),
    "filter: 2 to 8 atoms, with moments": lambda q: q.rows(Filter(labels=("magmoms",), ranges=(("n_atoms", 2, 8),))),
    "filter: text in ids or formula": lambda q: q.rows(Filter(text="mgo")),
    "label counts": lambda q: q.label_counts(),
    "chemical systems": lambda q: q.chemical_systems(),
    "histogram of energy above fit": lambda q: q.histogram("above_fit", np.linspace(*q.span("above_fit")[:2], 61)),
    "page, sorted by force": lambda q: q.page(order_by="largest_force", descending=True),
}


@dataclass(frozen=True)
class Measured:
    """One way of doing one thing: how many frames, and seconds by the clock and by the processor, a pair a round."""

    frames: int
    seconds: list[tuple[float, float]]

    @property
    def rate(self) -> float:
        """Frames a second by the clock, in the fastest round: the one that others on the machine disturbed least."""
        return self.frames / min(wall for wall, _ in self.seconds)

    @property
    def usual_rate(self) -> float:
        """Frames a second by the clock, median over the rounds."""
        return self.frames / statistics.median(wall for wall, _ in self.seconds)

    @property
    def micros(self) -> float:
        """Processor time a frame in µs, median over the rounds."""
        return 1e6 * statistics.median(cpu for _, cpu in self.seconds) / self.frames


def main() -> None:
    """Measure everything and print it, the command first."""
    parser = argparse.ArgumentParser(description="Measure the data house on this machine.")
    parser.add_argument("--frames", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5, help="imports, each followed by the obvious ways")
    parser.add_argument("--slice", type=int, default=5_000, help="frames that the obvious ways read, a round")
    options = parser.parse_args()
    print(f"$ {' '.join(['python -m benchmarks.data_house', *sys.argv[1:]])}")
    print(f"{_machine()}; load average at the start {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="xfunc-benchmark-") as name:
        folder = Path(name)
        size = _make(folder / "frames.jsonl", options.frames)
        print(f"{count_text(options.frames)} frames, {size / 1e6:,.0f} MB of JSON lines, {size / options.frames / 1e3:.1f} kB a frame\n")
        print(_imports(folder, options.frames, options.rounds, min(options.slice, options.frames)), end="\n\n")
        dataset = Dataset(folder / "datasets" / "big")
        print(_questions(dataset), end="\n\n")
        print(_copies(dataset, folder))
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}")


def _make(path: Path, frames: int) -> int:
    """Write the file; its size in bytes."""
    documents = [json.loads(line) for line in gzip.decompress(BUNDLED.read_bytes()).splitlines()]
    documents += [json.loads(line) for line in SHARED.read_text().splitlines()] if SHARED.exists() else []
    chance = random.Random(0)
    with path.open("w") as file:
        for i in range(frames):
            document = documents[i % len(documents)]
            forces = [[x + chance.gauss(0, JITTER) for x in row] for row in document["forces"]]
            file.write(json.dumps(document | {"matpes_id": f"made-{i}", "energy": document["energy"] + chance.gauss(0, JITTER), "forces": forces}) + "\n")
    return path.stat().st_size


def _imports(folder: Path, frames: int, rounds: int, n: int) -> str:
    """The import against the obvious ways, in turns."""
    path, part = folder / "frames.jsonl", folder / "slice.json"
    part.write_text("[" + ",".join(islice(path.open(), n)) + "]")
    ways = {"xfunc import": (frames, lambda: _import(path, folder)), "json + Structure.from_dict": (n, lambda: _by_json(path, n)), "monty loadfn": (n, lambda: _by_loadfn(part))}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    peak = 0.0
    for _ in range(rounds):
        for name, (_, way) in ways.items():
            seconds[name].append(_timed(way))
            peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    found = {name: Measured(ways[name][0], seconds[name]) for name in ways}
    return text_table(_import_rows(found)) + f"\npeak memory of the import: {peak:,.0f} MB"


def _import_rows(found: dict[str, Measured]) -> Iterator[dict[str, str]]:
    ours = found["xfunc import"]
    for name, way in found.items():
        yield {
            "MatPES JSON": name,
            "Frames": count_text(way.frames),
            "Frames/s, fastest round": count_text(round(way.rate)),
            "xfunc is faster": f"{ours.rate / way.rate:.1f} ×",
            "Frames/s, median": count_text(round(way.usual_rate)),
            "by": f"{ours.usual_rate / way.usual_rate:.1f} ×",
            "CPU µs/frame": f"{way.micros:.1f}",
            "xfunc spends less": f"{way.micros / ours.micros:.1f} ×",
        }


def _import(path: Path, folder: Path) -> None:
    import_file(path, folder / "datasets", name="big", format="matpes", replace=True)


def _by_json(path: Path, n: int) -> None:
    from pymatgen.core import Structure

    with path.open() as file:
        for line in islice(file, n):
            Structure.from_dict(json.loads(line)["structure"])


def _by_loadfn(path: Path) -> None:
    from monty.serialization import loadfn

    loadfn(path)


def _questions(dataset: Dataset) -> str:
    """Milliseconds of questions to the whole dataset, median of five."""
    query = FrameQuery(dataset)
    rows = []
    for name, ask in QUESTIONS.items():
        times = [1e3 * _timed(lambda ask=ask: ask(query))[0] for _ in range(5)]
        rows.append({"Question": name, "ms": f"{statistics.median(times):.1f}", "slowest": f"{max(times):.1f}"})
    opened = _timed(lambda: FrameQuery(Dataset(dataset.path)))[0]
    return text_table([*rows, {"Question": "opening it for questions, once", "ms": f"{1e3 * opened:.1f}"}])


def _copies(dataset: Dataset, folder: Path) -> str:
    """Exports of every frame, subsets of half of them and of all, and a split."""
    n = len(dataset)
    every, half = np.arange(n), np.arange(0, n, 2)
    ways: dict[str, tuple[int, Callable[[], Any]]] = {f"export {f.label}": (n, lambda f=f: export(dataset, None, folder / f"out{f.suffix}", f)) for f in ExportFormat}
    ways |= {f"subset of {count_text(len(some))}": (len(some), lambda some=some: save_subset(dataset, some, folder / "subsets", f"s{len(some)}")) for some in (half, every)}
    ways["split by material"] = (n, lambda: split_rows(dataset, 0.1, 0.1, 0))
    rows = []
    for name, (frames, way) in ways.items():
        done = Measured(frames, [_timed(way)])
        rows.append({"Copy": name, "s": f"{done.seconds[0][0]:.1f}", "Frames/s": count_text(round(done.rate)), "CPU µs/frame": f"{done.micros:.1f}"})
        for left in folder.glob("out.*"):
            left.unlink()
    shutil.rmtree(folder / "subsets")
    return text_table(rows)


def _timed(way: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and by the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
