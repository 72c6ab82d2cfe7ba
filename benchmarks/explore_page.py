"""Measure the Explore page on this machine: what a change of the filter costs on the server, and what goes to the browser.

::

    .venv/bin/python -m benchmarks.explore_page                    # 400,000 pairs, about 6 minutes and 2 GB of temporary files
    .venv/bin/python -m benchmarks.explore_page --pairs 20000

The pairs are the real bundled ones, over and over with new ids, four to a material, energies and forces jittered. The real page runs in
Streamlit's AppTest, every change of the filter one that it has not seen; a browser draws on top of that. Magnetic moments, which these
pairs lack, are one number an atom as the magnitudes of forces are.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from xfunc_core.answers.answer import text_table
from xfunc_core.data.importing import import_file
from xfunc_core.explore.compared import COMPARED
from xfunc_core.quantities import count_text

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
JITTER = 0.05
"""eV an atom and eV/Å, standard deviation."""
PER_MATERIAL = 4
CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("any of O", "elements_mode", "any_of"),
    ("none of O", "elements_mode", "without"),
    ("largest force at most 0.5", "pairs_largest_force_high", 0.5),
    ("largest force at most 1", "pairs_largest_force_high", 1.0),
    ("id contains made-12", "pairs_text", "made-12"),
)
"""Changes of the filter one after the other, oxygen being chosen: words, key of the control, value."""
QUANTITIES = (*(COMPARED[key].label for key in COMPARED if key not in ("magmom", "volume")),)
TAB = "Per element"


def main() -> None:
    """Measure and print, the machine's load first and last."""
    parser = argparse.ArgumentParser(description="Measure the Explore page on this machine.")
    parser.add_argument("--pairs", type=int, default=400_000)
    options = parser.parse_args()
    print(f"load average at the start {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="xfunc-benchmark-") as name:
        os.environ["XFUNC_HOME"] = name
        _make(Path(name), options.pairs)
        rows = [_changes(quantity) for quantity in QUANTITIES]
        print(f"\n{count_text(options.pairs)} pairs, CPU ms of a change of the filter: median (slowest) of {len(CHANGES)}\n{text_table(rows)}")
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}")


def _make(home: Path, pairs: int) -> None:
    """Two datasets of the same structures."""
    by_id = {f: {d["matpes_id"]: d for d in map(json.loads, gzip.decompress((BUNDLED / f"xfunc-dft-{f}.jsonl.gz").read_bytes()).splitlines())} for f in ("PBE", "r2SCAN")}
    ids = [i for i in by_id["PBE"] if i in by_id["r2SCAN"]]
    for functional, documents in by_id.items():
        chance = random.Random(functional)
        path = home / f"{functional}.jsonl"
        with path.open("w") as file:
            for i in range(pairs):
                document = documents[ids[i % len(ids)]]
                forces = [[x + chance.gauss(0, JITTER) for x in row] for row in document["forces"]]
                material = {"material_id": f"{ids[i % len(ids)]}-{i // len(ids) // PER_MATERIAL}"}
                energy = document["energy"] + chance.gauss(0, JITTER) * len(forces)
                file.write(json.dumps(document | {"matpes_id": f"made-{i}", "energy": energy, "forces": forces, "provenance": material}) + "\n")
        import_file(path, home / "datasets", name=f"big-{functional.lower()}")
        path.unlink()


def _changes(quantity: str) -> dict[str, str]:
    """What the changes cost in CPU milliseconds with no table below the figure and with that of the elements, and the largest figures in megabytes."""
    row, size = {"Quantity": quantity}, 0.0
    for words, tab in (("page", ""), (f"tab {TAB.lower()}", TAB)):
        times, sizes = zip(*_run(quantity, tab), strict=True)
        row |= {f"{words}, first look": f"{times[0]:.0f}", words: f"{statistics.median(times[2:]):.0f} ({max(times[2:]):.0f})"}
        size = max(size, *sizes)
    return row | {"figures, MB": f"{size:.2f}"}


def _run(quantity: str, tab: str) -> list[tuple[float, float]]:
    """CPU milliseconds and megabytes of figures of the first look, of choosing oxygen, and of each change."""
    PagesManager.uses_pages_directory = False
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=600)
    app.query_params.update({"r2scan": "big-r2scan", "pbe": "big-pbe", "quantity": quantity} | ({"explore_tab": tab} if tab else {}))
    app.switch_page("pages/explore.py")
    found = [_timed(app)]
    for _, key, value in (("", "explore_elements", ["O"]), *CHANGES):
        [widget] = [w for kind in ("selectbox", "multiselect", "button_group", "number_input", "text_input") for w in app.get(kind) if w.key == key]
        widget.set_value(value)
        found.append(_timed(app))
    return found


def _timed(app: AppTest) -> tuple[float, float]:
    cpu = time.process_time()
    app.run()
    cpu = time.process_time() - cpu
    if app.exception:
        raise RuntimeError(app.exception[0].message)
    return 1e3 * cpu, sum(len(chart.proto.spec) for chart in app.get("plotly_chart")) / 1e6


if __name__ == "__main__":
    main()
