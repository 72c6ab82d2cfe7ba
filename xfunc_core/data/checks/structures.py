"""Structures that occur twice, atoms without a neighbour or on top of each other, elements with hardly any frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xfunc_core.data.checks.finding import Finding, FindingKind, Severity, about, frames_text, listed
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.duplicates import AGREE, find_duplicates
from xfunc_core.data.isolation import CUTOFF, count_isolated_atoms
from xfunc_core.data.overlap import MIN_DISTANCE, have_overlap
from xfunc_core.data.same_structure import MAX_REORDERED, TOLERANCE
from xfunc_core.elements import Z_OF
from xfunc_core.quantities import ENERGY, FORCE, STRESS, count_text, counted

FEW = 10
"""Frames below which an element is hardly learned, and its reference energy rests on a handful of numbers."""
SAME = f"same elements, cell and positions within {TOLERANCE:g} Å, in any orientation and, up to {MAX_REORDERED} atoms, in any order"
LABELS_AGREE = f"{ENERGY.error_with_unit(AGREE['energy'])}, {FORCE.error_with_unit(AGREE['force'])} in the largest force and {STRESS.value(AGREE['stress'])} {STRESS.unit} in pressure"


def check_duplicates(dataset: Dataset) -> Iterator[Finding]:
    """Frames that are the same structure: copies, and those whose labels contradict each other."""
    found = find_duplicates(dataset)
    if found.n_copied:
        sentence = f"Copies: {frames_text(len(found.copies), len(dataset))} are only {counted(found.n_copied, 'different structure')} ({SAME}), with labels that agree within {LABELS_AGREE}."
        yield about(dataset, found.copies, FindingKind.DUPLICATE, Severity.WARNING, sentence)
    if found.n_conflicting:
        sentence = (
            f"Contradictions: {frames_text(len(found.conflicting), len(dataset))} are only {counted(found.n_conflicting, 'different structure')} ({SAME}), "
            f"with labels further apart than {LABELS_AGREE}; energies of one structure differ by up to {ENERGY.error_with_unit(found.largest_difference)}."
        )
        yield about(dataset, found.conflicting, FindingKind.CONFLICT, Severity.WARNING, sentence)


def check_isolated_atoms(dataset: Dataset) -> Iterator[Finding]:
    """Frames with an atom that CHGNet's graph does not reach."""
    isolated = count_isolated_atoms(dataset)
    rows = np.flatnonzero(isolated)
    if len(rows):
        sentence = f"Isolated atoms: {count_text(int(isolated.sum()))} in {frames_text(len(rows), len(dataset))} have no neighbour within {CUTOFF:g} Å, periodic images counted; CHGNet cannot take these frames."
        yield about(dataset, rows, FindingKind.ISOLATED_ATOM, Severity.WARNING, sentence)


def check_overlap(dataset: Dataset) -> Iterator[Finding]:
    """Frames with two atoms that are too close for CHGNet."""
    rows = np.flatnonzero(have_overlap(dataset))
    if len(rows):
        sentence = f"Overlapping atoms: {frames_text(len(rows), len(dataset))} have atoms closer than {MIN_DISTANCE:g} Å, periodic images counted; CHGNet cannot take these frames."
        yield about(dataset, rows, FindingKind.OVERLAP, Severity.WARNING, sentence)


def check_elements(dataset: Dataset) -> Iterator[Finding]:
    """Elements that fewer than `FEW` frames hold."""
    rare = {symbol: n for symbol, n in sorted(dataset.info.elements.items(), key=lambda item: item[1]) if n < FEW}
    if rare:
        counts = listed([f"{symbol} {count_text(n)}" for symbol, n in rare.items()])
        sentence = f"Elements in fewer than {FEW} frames: {count_text(len(rare))} of {count_text(len(dataset.info.elements))} ({counts}); a model hardly learns them."
        yield about(dataset, _holding(dataset, [Z_OF[symbol] for symbol in rare]), FindingKind.RARE_ELEMENT, Severity.WARNING, sentence)


def _holding(dataset: Dataset, numbers: list[int]) -> np.ndarray:
    """Rows of the frames that hold any of the elements, ascending."""
    elements = dataset.columns["elements"].combine_chunks()
    owner = np.repeat(np.arange(len(dataset)), np.diff(elements.offsets.to_numpy()))
    return np.unique(owner[np.isin(elements.flatten().to_numpy(), numbers)])
