"""Whether the energies of a set can be compared with each other: totals, corrections, Hubbard U."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xfunc_core.data.checks.finding import Finding, FindingKind, Severity, about, frames_text
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.elemental_fit import above_elemental_fit
from xfunc_core.quantities import ENERGY, Functional

LEAST_CORRECTION = 1e-6
"""eV; less is the rounding of a difference of two energies."""
CLEARER = 3.0
"""How much better the fit of another reading of the energies must be, in robust relative deviation, to be told."""
READ_AS = "totals"
"""What the stored energies are meant to be."""
MOST_FRAMES = 10_000
"""Frames that readings of the energies are compared on; more tell no more."""
FEWEST_FRAMES = 30
"""Frames below which readings of the energies are not compared."""


def check_energy_scale(dataset: Dataset) -> Iterator[Finding]:
    """Whether the energies look like totals: divided by the number of atoms they must fit a sum over elements better than otherwise.

    Energies per atom that were taken for totals, or totals that were multiplied by the atoms once more, show here;
    no frame is special then, so none is named. Of a large set an even selection of `MOST_FRAMES` is looked at.
    """
    known = np.flatnonzero(np.isfinite(dataset.columns["energy"].to_numpy()))
    rows = known[:: -(-len(known) // MOST_FRAMES)] if len(known) else known
    n_atoms = dataset.columns["n_atoms"].to_numpy().astype(np.int64)[rows]
    if len(rows) < max(FEWEST_FRAMES, 2 * len(dataset.info.elements)) or len(np.unique(n_atoms)) < 3:
        return
    numbers = np.asarray(dataset.atom_array("numbers"))[dataset.atoms_of_all(rows)]
    energy = dataset.columns["energy"].to_numpy()[rows]
    per_atom = {READ_AS: energy / n_atoms, "per atom already": energy, "multiplied by the number of atoms twice": energy / n_atoms.astype(float) ** 2}
    misfit = {reading: _misfit(e, above_elemental_fit(numbers, n_atoms, e * n_atoms)) for reading, e in per_atom.items()}
    best = min(misfit, key=misfit.__getitem__)
    if misfit[best] * CLEARER < misfit[READ_AS]:
        sentence = (
            f"Energies look as if they were {best}: read so, a sum over elements leaves {100 * misfit[best]:.2g} % of their spread, "
            f"read as {READ_AS} {100 * misfit[READ_AS]:.2g} %. Check the source before any training."
        )
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


def _misfit(energy: np.ndarray, residual: np.ndarray) -> float:
    """Median absolute deviation of the residual as a share of that of the energies; infinite where these do not vary."""
    spread, left = (float(np.median(np.abs(x - np.median(x)))) for x in (energy[np.isfinite(energy)], residual[np.isfinite(residual)]))
    return left / spread if spread > 0 else np.inf
