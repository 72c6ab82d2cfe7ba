"""How many frames the references themselves need: their error against the size of the training subset, by scheme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xfunc_core.data.splits import nested_subsets
from xfunc_core.lab.evidence import Evidence
from xfunc_core.references.refits import errors_of, take
from xfunc_core.references.schemes import SCHEMES, Scheme
from xfunc_core.references.solvers import dense
from xfunc_core.references.starting import Start

SMALLEST = 4
"""Frames."""
LARGEST = 20_000
"""Frames; beyond, the references do not improve and the fits take seconds each."""
REPEATS = 10
LEFT_OUT = (Scheme.NONE, Scheme.TRAINABLE)
"""Nothing to learn, and the same as its start."""


@dataclass(frozen=True)
class SchemeCurve:
    """One scheme's errors over sizes and repeats.

    Attributes:
        scheme: which one.
        label: its name on screen.
        test_mae: of the pretrained network with these references, eV/atom, shape (repeats, sizes).
        reference_error: root mean square of x·(w − w_all) over the pool's frames, eV/atom, shape (repeats, sizes): what the
            references are off by where it counts. Combinations that no frame has do not enter. 0 with all frames; NaN for
            schemes that are not fitted.
    """

    scheme: Scheme
    label: str
    test_mae: np.ndarray
    reference_error: np.ndarray


@dataclass(frozen=True)
class ReferenceCurves:
    """Learning curves of the references, nested by material.

    Attributes:
        sizes: training frames wished for, ascending, shape (S,).
        n_frames: training frames there were, shape (repeats, S); materials come whole.
        n_elements: elements of the pool that they hold, as `n_frames`.
        curves: by scheme.
    """

    sizes: tuple[int, ...]
    n_frames: np.ndarray
    n_elements: np.ndarray
    curves: tuple[SchemeCurve, ...]

    def curve(self, scheme: Scheme) -> SchemeCurve:
        """The curve of a scheme."""
        return next(curve for curve in self.curves if curve.scheme is scheme)


def reference_curves(
    evidence: Evidence, repeats: int = REPEATS, seed: int = 0, tell: Callable[[int, int], None] = lambda done, total: None
) -> ReferenceCurves:
    """Fit every scheme, filled as a run would fill it, on nested subsets of the training frames, several times over.

    Args:
        evidence: whose training subset is the pool; its test part is the same for every size.
        repeats: orders in which materials join; those that bring a new element come first.
        seed: of the orders.
        tell: called with the number of fits done and of all.
    """
    frames = evidence.train.frames
    schemes = [scheme for scheme in SCHEMES.values() if not frames.lacks(scheme.needs) and scheme.key not in LEFT_OUT]
    starts = [Start(scheme, evidence.settings.fills_gaps) for scheme in schemes]
    whole = np.array([start.fit(frames).energies for start in starts])
    sizes = sizes_up_to(len(evidence.train))
    shape = (len(schemes), repeats, len(sizes))
    mae, off, counts, elements = np.empty(shape), np.empty(shape), np.empty(shape[1:], dtype=int), np.empty(shape[1:], dtype=int)
    composition = dense(frames.composition)
    for repeat in range(repeats):
        subsets = nested_subsets(np.arange(len(composition)), evidence.train.materials, composition, sizes, seed + repeat)
        for place, rows in enumerate(subsets):
            some = take(frames, rows)
            energies = np.array([start.fit(some).energies for start in starts])
            mae[:, repeat, place] = np.abs(errors_of(energies, evidence.test.frames)).mean(axis=1)
            distance = np.sqrt(np.square((energies - whole) @ composition.T).mean(axis=1))
            off[:, repeat, place] = np.where([scheme.key.is_fitted for scheme in schemes], distance, np.nan)
            counts[repeat, place], elements[repeat, place] = len(rows), int((some.n_frames > 0).sum())
            tell(repeat * len(sizes) + place + 1, repeats * len(sizes))
    curves = tuple(SchemeCurve(scheme.key, scheme.label, mae[i], off[i]) for i, scheme in enumerate(schemes))
    return ReferenceCurves(sizes, counts, elements, curves)


def sizes_up_to(n_frames: int) -> tuple[int, ...]:
    """Sizes that halve from the largest down to a few frames, ascending."""
    largest = min(n_frames, LARGEST)
    sizes = [largest]
    while sizes[-1] // 2 >= SMALLEST:
        sizes.append(sizes[-1] // 2)
    return tuple(reversed(sizes))
