"""How long a comparison of all reference schemes takes: ``python -m benchmarks.lab [FRAMES …]``.

Compositions of four elements each of chgnet's 89, one frame a material, labels by chgnet's MP-r²SCAN table and 0.05 eV/atom of noise on
what the network is taken to say; 80 % are trained on. No network is asked.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy import sparse

from xfunc_core.elements import N_REFERENCED
from xfunc_core.lab.comparison import compare
from xfunc_core.lab.diagnosis import diagnose
from xfunc_core.lab.evidence import Evidence, Part
from xfunc_core.lab.learning_curve import reference_curves
from xfunc_core.quantities import Functional
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.published import atomref, matpes_atoms, matpes_solids
from xfunc_core.references.refits import take
from xfunc_core.training.settings import FinetuneSettings

N_ELEMENTS = 4
NOISE = 0.05


def made(n_frames: int, seed: int = 0) -> Evidence:
    """Evidence of that many frames in all."""
    rng = np.random.default_rng(seed)
    w_gga, w = atomref("mptrj", as_stored=True), atomref("r2scan")
    known = np.flatnonzero(np.isfinite(w))
    columns = np.concatenate([rng.choice(known, N_ELEMENTS, replace=False) for _ in range(n_frames)])
    fractions = rng.dirichlet(np.ones(N_ELEMENTS), n_frames).ravel()
    x = sparse.csr_matrix((fractions, (np.repeat(np.arange(n_frames), N_ELEMENTS), columns)), shape=(n_frames, N_REFERENCED))
    model = x @ w_gga + rng.normal(-1, 0.3, n_frames)
    energy = model + x @ np.where(np.isfinite(w), w - w_gga, 0.0) + rng.normal(0, NOISE, n_frames)
    atoms = {f: matpes_atoms(f) for f in Functional}
    frames = ReferenceFrames(x, energy, rng.integers(2, 40, n_frames), model, w_gga, atoms, elemental_solids=matpes_solids(Functional.R2SCAN))
    ends = [0, int(0.8 * n_frames), int(0.9 * n_frames), n_frames]
    rows = [np.arange(first, end) for first, end in zip(ends, ends[1:], strict=False)]
    parts = [Part(r, take(frames, r), r) for r in rows]
    return Evidence(FinetuneSettings("made"), "made", "Made", *parts, w_gga=w_gga, left_out=())


def main(sizes: list[int]) -> None:
    """Print a row for each size."""
    print("frames      compare  diagnose  learning curve  recommended")
    for size in sizes:
        evidence = made(size)
        began = time.perf_counter()
        found = compare(evidence)
        compared = time.perf_counter()
        diagnose(evidence, found, found.recommendation.name)
        diagnosed = time.perf_counter()
        reference_curves(evidence, repeats=3)
        ended = time.perf_counter()
        print(f"{size:>9,}  {compared - began:6.1f} s  {diagnosed - compared:6.1f} s  {ended - diagnosed:12.1f} s  {found.recommendation.name}")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 1000, 10_000, 100_000])
