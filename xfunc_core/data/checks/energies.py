"""Whether the energies of a set can be compared with each other: totals, corrections, Hubbard U."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xfunc_core.data.checks.finding import Finding, FindingKind, Severity, about, frames_text
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.per_atom import Verdict, judge
from xfunc_core.elements import SYMBOLS
from xfunc_core.quantities import ENERGY, Functional, count_text

LEAST_CORRECTION = 1e-6
"""eV; less is the rounding of a difference of two energies."""
MOST_FRAMES = 10_000
"""Frames whose energies are told to be totals or not; more tell no more."""


def check_energy_scale(dataset: Dataset) -> Iterator[Finding]:
    """Whether the energies look like totals, by the criterion of `xfunc_core.data.per_atom`.

    Energies per atom that were taken for totals, or totals that were multiplied by the atoms once more, show here;
    no frame is special then, so none is named. Of a large set an even selection of `MOST_FRAMES` is looked at.
    """
    energy = dataset.columns["energy"].to_numpy()
    known = np.flatnonzero(np.isfinite(energy))
    rows = known[:: max(1, -(-len(known) // MOST_FRAMES))]
    counts, first = np.unique(_atoms_by_element(dataset, rows), axis=0, return_index=True)
    energy = energy[rows[first]]
    n_compositions = count_text(len(first))
    if judge(counts, energy) is Verdict.PER_ATOM:
        sentence = f"Energies look as if they were per atom: over {n_compositions} compositions they do not grow with the number of atoms. Check the source before any training."
    elif judge(counts, energy / counts.sum(axis=1)) is Verdict.TOTAL:
        sentence = f"Energies look as if they were multiplied by the number of atoms twice: over {n_compositions} compositions they are totals once divided by it. Check the source before any training."
    else:
        return
    yield Finding(FindingKind.ENERGY_SCALE, Severity.WARNING, sentence)


def check_corrections(dataset: Dataset) -> Iterator[Finding]:
    """How many energies hold an empirical correction, and how large it is."""
    correction = dataset.columns["correction"].to_numpy()
    unknown = np.isnan(correction)
    per_atom = correction / dataset.columns["n_atoms"].to_numpy()
    rows = np.flatnonzero(np.abs(correction) > LEAST_CORRECTION)
    if not len(rows):
        if unknown.any():
            sentence = f"Whether energies were corrected is not known of {frames_text(int(unknown.sum()), len(dataset))}: the source does not say."
            yield about(dataset, np.flatnonzero(unknown), FindingKind.CORRECTION, Severity.INFO, sentence)
        return
    most = rows[np.abs(per_atom[rows]).argmax()]
    sentence = f"Corrected energies: {frames_text(len(rows), len(dataset))}, by up to {ENERGY.value(per_atom[most])} {ENERGY.unit} in {dataset.columns['frame_id'][int(most)]}."
    if dataset.functional is Functional.R2SCAN:
        sentence += f" {Functional.R2SCAN.label} energies need none: these may be entries mixed into another scheme."
    else:
        sentence += " Compare them with energies of the other functional only after taking it off, or after fitting references."
    yield about(dataset, rows, FindingKind.CORRECTION, Severity.WARNING, sentence)
    if unknown.any():
        sentence = f"Mixed energies: of {frames_text(int(unknown.sum()), len(dataset))} it is not known whether they were corrected, others were; they may not be comparable."
        yield about(dataset, np.flatnonzero(unknown), FindingKind.MIXED_ENERGIES, Severity.WARNING, sentence)


def check_hubbard_u(dataset: Dataset) -> Iterator[Finding]:
    """How many frames were computed with and without a Hubbard U, and whether their energies are comparable."""
    column = dataset.columns["hubbard_u"]
    unknown = column.is_null().to_numpy()
    with_u = column.fill_null(False).to_numpy()
    n_with, n_unknown = int(with_u.sum()), int(unknown.sum())
    n_without = len(dataset) - n_with - n_unknown
    sentence = f"Hubbard U: {frames_text(n_with)} with, {frames_text(n_without)} without, {frames_text(n_unknown)} of which the source does not say."
    yield about(dataset, np.flatnonzero(with_u), FindingKind.HUBBARD_U, Severity.INFO, sentence)
    corrected = np.abs(np.nan_to_num(dataset.columns["correction"].to_numpy())) > LEAST_CORRECTION
    bare = with_u & ~corrected
    if bare.any() and n_without + n_unknown:
        sentence = f"Mixed energies: {frames_text(int(bare.sum()), len(dataset))} have a Hubbard U and no correction, others have none; their total energies are not comparable."
        yield about(dataset, np.flatnonzero(bare), FindingKind.MIXED_ENERGIES, Severity.WARNING, sentence)


def _atoms_by_element(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """How many atoms of each element the frames hold, shape (n, elements)."""
    numbers = np.asarray(dataset.atom_array("numbers"))[dataset.atoms_of_all(rows)]
    owner = np.repeat(np.arange(len(rows)), dataset.columns["n_atoms"].to_numpy()[rows])
    n_columns = len(SYMBOLS) + 1
    return np.bincount(owner * n_columns + numbers, minlength=len(rows) * n_columns).reshape(-1, n_columns).astype(float)
