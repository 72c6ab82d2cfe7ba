"""Measure how often the 95 % intervals of the agreement of two functionals hold the truth, on simulated pairs.

::

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.coverage                       # the table of docs/data.md, half an hour
    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.coverage --materials 20 --replicates 200 --each

Frames of one material share a component of x and one of the error, each of variance 1, beside one of their own of variance ¼:
y = 0.6 (r x + √(1 − r²) z) + 0.3. All are normal, or Student's t of five degrees of freedom with that variance.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import stats

from xfunc_core.analysis.agreement import MIN_MATERIALS, STATISTICS, Estimate, agreement
from xfunc_core.analysis.cluster_errors import cluster_errors
from xfunc_core.answers.answer import text_table

FACTOR, SHIFT, FRAME_VARIANCE, DEGREES = 0.6, 0.3, 0.25, 5
MATERIALS, CORRELATIONS, REPLICATES = (6, 8, 12, 20, 50, 200), (0.0, 0.5, 0.9, 0.99), 2000
FRAMES = ("one", "three", "unequal")
"""Frames of each material: one, three, or geometric with a mean of five."""

LEAST_GIVEN = 0.05
"""Share of the samples with an interval below which a setting is left out of the lowest and the highest: too few to tell."""
SHIFT_ROWS = ("5 to 7", "8 to 14", "15 or more")
"""Materials that hold an element."""


@dataclass(frozen=True)
class Setting:
    """Pairs to simulate.

    Attributes:
        materials: how many.
        frames: of each, one of `FRAMES`.
        correlation: r of the distribution.
        heavy: whether the components are heavy-tailed rather than normal.
    """

    materials: int
    frames: str
    correlation: float
    heavy: bool

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and material of every row."""
        n = self.materials
        frames = rng.geometric(0.2, n) if self.frames == "unequal" else np.full(n, 3 if self.frames == "three" else 1)
        material = np.repeat(np.arange(n), frames)
        x, z = (self._component(rng, n)[material] + math.sqrt(FRAME_VARIANCE) * self._component(rng, material.size) for _ in range(2))
        return x, FACTOR * (self.correlation * x + math.sqrt(1 - self.correlation**2) * z) + SHIFT, material

    def _component(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.standard_t(DEGREES, n) * math.sqrt((DEGREES - 2) / DEGREES) if self.heavy else rng.standard_normal(n)


@dataclass(frozen=True)
class Coverage:
    """What simulated intervals of one statistic did.

    Attributes:
        held: share that held the truth, of those given; NaN if none was.
        given: share of the samples that had one. A slope of which only some values are ruled out counts.
    """

    held: float
    given: float


def coverage(setting: Setting, replicates: int, *, ranks: bool = True) -> dict[str, Coverage]:
    """Coverage of every statistic in one setting; the same for the same setting."""
    expected = truth(setting.correlation, setting.heavy)
    rng = np.random.default_rng([setting.materials, FRAMES.index(setting.frames), round(100 * setting.correlation), setting.heavy])
    held: dict[str, list[bool]] = {name: [] for name in STATISTICS}
    for _ in range(replicates):
        found = agreement(*setting.draw(rng), ranks=ranks)
        for name in STATISTICS:
            inside = _inside(getattr(found, name), expected[name])
            held[name] += [] if inside is None else [inside]
    return {name: Coverage(float(np.mean(of)) if of else math.nan, len(of) / replicates) for name, of in held.items()}


def _inside(estimate: Estimate, value: float) -> bool | None:
    """Whether what an estimate says of a value is true; None where it says nothing."""
    if estimate.ruled_out:
        low, high = estimate.ruled_out
        return not low < value < high
    return estimate.low <= value <= estimate.high if estimate.has_interval else None


@lru_cache
def truth(correlation: float, heavy: bool) -> dict[str, float]:
    """The statistics of the distribution: closed forms, or a million rows of scipy where there are none."""
    x, y, _ = Setting(1_000_000, "one", correlation, heavy).draw(np.random.default_rng(99))
    variance = 1 + FRAME_VARIANCE
    xx, xy, yy = variance, variance * FACTOR * correlation, variance * FACTOR**2
    axis = np.linalg.eigh([[xx, xy], [xy, yy]])[1][:, 1]
    return {
        "pearson": correlation,
        "spearman": stats.spearmanr(x, y).statistic if correlation else 0.0,
        "kendall": stats.kendalltau(x, y).statistic if correlation else 0.0,
        "slope": axis[1] / axis[0],
        "shift": SHIFT,
        "mae": np.abs(y - x).mean(),
        "rmse": math.sqrt(xx + yy - 2 * xy + SHIFT**2),
        "spread": math.sqrt(variance * (1 - correlation**2)) * FACTOR,
    }


def shift_coverage(materials: int, heavy: bool, replicates: int) -> dict[str, Coverage]:
    """Coverage of the shifts of 12 elements, by the materials that hold the element; 1 to 3 elements a material, drawn by 1/k."""
    rng, n_elements = np.random.default_rng([materials, heavy]), 12
    share = 1 / np.arange(1, n_elements + 1)
    draw = Setting(materials, "unequal", 0.0, heavy)
    inside: dict[str, list[bool]] = {name: [] for name in SHIFT_ROWS}
    asked = dict.fromkeys(SHIFT_ROWS, 0)
    for _ in range(replicates):
        keys = rng.exponential(1 / share, (materials, n_elements)).argsort(axis=1).argsort(axis=1)
        parts = np.where(keys < rng.integers(1, 4, (materials, 1)), rng.integers(1, 4, keys.shape), 0)
        composition = parts / parts.sum(axis=1, keepdims=True)
        error, _, material = draw.draw(rng)
        frames = np.bincount(material)
        rows = np.sqrt(frames)[:, None] * composition[:, composition.any(axis=0)]
        target = np.bincount(material, error) / np.sqrt(frames)
        found, fitted = cluster_errors(rows, target, np.arange(materials)).half(), np.linalg.lstsq(rows, target)[0]
        for half, shift, n in zip(found, fitted, (rows > 0).sum(axis=0), strict=True):
            if n >= MIN_MATERIALS:
                name = SHIFT_ROWS[np.searchsorted((8, 15), n, side="right")]
                asked[name] += 1
                inside[name] += [bool(abs(shift) <= half)] if math.isfinite(half) else []
    return {name: Coverage(float(np.mean(of)) if of else math.nan, len(of) / max(asked[name], 1)) for name, of in inside.items()}


def main() -> None:
    """Measure and print, the command first."""
    parser = argparse.ArgumentParser(description="Measure how often the 95 %% intervals of an agreement hold the truth.")
    parser.add_argument("--materials", type=int, nargs="+", default=MATERIALS)
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--each", action="store_true", help="print every setting, not only the lowest and highest of a number of materials")
    options = parser.parse_args()
    print(f"$ {' '.join(['python -m benchmarks.coverage', *sys.argv[1:]])}\n")
    start = time.perf_counter()
    each, spans = [], []
    for n, heavy in product(options.materials, (False, True)):
        settings = [Setting(n, *rest, heavy) for rest in product(FRAMES, CORRELATIONS)]
        found = [coverage(setting, options.replicates) for setting in settings]
        each += [
            {**_words(s), "r": f"{s.correlation:g}"} | {k: _share(c) for k, c in f.items()} for s, f in zip(settings, found, strict=True)
        ]
        spans.append({"Materials": str(n), "Tails": _tails(heavy)} | dict(_spans(found)))
        print(f"{n} materials, {_tails(heavy)}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    if options.each:
        print(text_table(each) + "\n")
    print(text_table(spans) + "\n\nShifts of elements, by the materials that hold the element\n")
    print(text_table(_shift_rows(options.replicates)))
    print(f"\n{options.replicates} samples a setting: one coverage is known to ±{196 * math.sqrt(0.0475 / options.replicates):.1f} %.")


def _shift_rows(replicates: int) -> Iterator[dict[str, str]]:
    for n, heavy in product((60, 200), (False, True)):
        found = shift_coverage(n, heavy, replicates)
        yield {"Materials": str(n), "Tails": _tails(heavy)} | {name: _share(of) for name, of in found.items()}


def _words(setting: Setting) -> dict[str, str]:
    return {"Materials": str(setting.materials), "Frames": setting.frames, "Tails": _tails(setting.heavy)}


def _tails(heavy: bool) -> str:
    return "heavy" if heavy else "normal"


def _spans(found: list[dict[str, Coverage]]) -> Iterator[tuple[str, str]]:
    """Lowest and highest coverage of every statistic in percent, with the least share given where that is below all."""
    for name in STATISTICS:
        held = [100 * f[name].held for f in found if f[name].given >= LEAST_GIVEN]
        least = min(f[name].given for f in found)
        given = f" ({100 * least:.0f})" if least < 0.995 else ""
        yield name, f"{min(held):.1f} to {max(held):.1f}{given}" if held else "none given"


def _share(found: Coverage) -> str:
    if math.isnan(found.held):
        return "none given"
    return f"{100 * found.held:.1f}" + (f" ({100 * found.given:.0f})" if found.given < 0.995 else "")


if __name__ == "__main__":
    main()
