"""Labels that are missing, and forces and energies that stand out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xfunc_core.data.checks.finding import Finding, FindingKind, Severity, about, frames_text
from xfunc_core.data.dataset import Dataset
from xfunc_core.quantities import ENERGY, FORCE

LARGE_FORCE = 50.0
"""eV/Å; beyond it atoms are all but on top of each other, or the calculation failed."""
ODD_SIGMAS = 10.0
"""Robust standard deviations from the median beyond which an energy is odd; distributions of real sets have long tails."""
ODD_AT_LEAST = 1.0
"""eV/atom that an odd energy is off at least, so that a set of nearly equal energies has no odd ones."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviations are this much smaller than the standard deviation of a normal distribution."""
_WITHOUT = {"energy": "energies", "largest_force": "forces", "pressure": "stresses", "largest_moment": "magnetic moments"}
"""What a frame lacks where a column is not finite."""


def check_missing_labels(dataset: Dataset) -> Iterator[Finding]:
    """Frames without each of the labels; absent moments alone are no fault."""
    for column, label in _WITHOUT.items():
        missing = np.flatnonzero(~np.isfinite(dataset.columns[column].to_numpy()))
        if len(missing) == len(dataset):
            sentence = f"No frame has {label}."
        else:
            sentence = f"Without {label}: {frames_text(len(missing), len(dataset))}; what is missing does not count in training and in errors."
        severity = Severity.INFO if label == "magnetic moments" else Severity.WARNING
        if len(missing):
            yield about(dataset, missing, FindingKind.MISSING_LABEL, severity, sentence)


def check_forces(dataset: Dataset) -> Iterator[Finding]:
    """Frames with an atom on which the force is beyond `LARGE_FORCE`."""
    force = dataset.columns["largest_force"].to_numpy()
    rows = np.flatnonzero(force > LARGE_FORCE)
    if len(rows):
        most = rows[force[rows].argmax()]
        sentence = f"Forces above {FORCE.value(LARGE_FORCE)} {FORCE.unit}: {frames_text(len(rows), len(dataset))}, up to {FORCE.value(force[most])} {FORCE.unit} in {_id(dataset, most)}."
        yield about(dataset, rows, FindingKind.LARGE_FORCE, Severity.WARNING, sentence)


def check_energies(dataset: Dataset) -> Iterator[Finding]:
    """Frames whose energy is far from the set's own elemental fit, judged by median and median absolute deviation."""
    above = np.asarray(dataset.frame_array("above_fit"))
    known = above[np.isfinite(above)]
    if not len(known):
        return
    median = round(float(np.median(known)), ENERGY.decimals) + 0.0  # shown without a sign if it rounds to zero
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(known - median)))
    limit = max(ODD_SIGMAS * sigma, ODD_AT_LEAST)
    distance = np.abs(above - median)
    rows = np.flatnonzero(distance > limit)
    if len(rows):
        most = rows[np.nanargmax(distance[rows])]
        sentence = (
            f"Odd energies: {frames_text(len(rows), len(dataset))} lie more than {ENERGY.value(limit)} {ENERGY.unit} off the elemental fit "
            f"(median {ENERGY.value(median)}, robust standard deviation {ENERGY.value(sigma)}; the limit is {ODD_SIGMAS:g} of them and at least {ENERGY.value(ODD_AT_LEAST)}), "
            f"the furthest {ENERGY.value(float(above[most] - median))} {ENERGY.unit} in {_id(dataset, most)}."
        )
        yield about(dataset, rows, FindingKind.ODD_ENERGY, Severity.WARNING, sentence)


def _id(dataset: Dataset, row: int) -> str:
    return str(dataset.columns["frame_id"][int(row)])
