"""What the import kept, left out, masked and noted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xfunc_core.data.checks.finding import Finding, FindingKind, Severity, about, frames_text
from xfunc_core.data.dataset import Dataset
from xfunc_core.quantities import count_text, counted

MOST_REASONS = 20
"""Reasons that get a finding of their own; the others share one, so that a spoilt file gives no report of thousands of lines."""


def check_import(dataset: Dataset) -> Iterator[Finding]:
    """Counts and ids of what was kept, left out and masked, by reason, and the importer's notes.

    Raises:
        DataError: report.json is missing or damaged.
    """
    report = dataset.report()
    read = report.get("documents")
    of = f" of {counted(read, 'document')}" if isinstance(read, int) and read else ""
    sentence = f"Kept: {frames_text(len(dataset))}{of}, {counted(dataset.info.n_atoms, 'atom')}, {counted(dataset.info.n_materials, 'material')}, {counted(len(dataset.info.elements), 'element')}."
    yield Finding(FindingKind.KEPT, Severity.INFO, sentence, n=len(dataset))
    yield from _by_reason(report["dropped"], FindingKind.DROPPED, Severity.WARNING, "Left out")
    # What is then missing is a finding of its own, and tells moments, which many sets lack, from labels that all should have.
    yield from _by_reason(report["masked"], FindingKind.MASKED, Severity.INFO, "Kept with a missing label")
    notes = report.get("notes")
    yield from (Finding(FindingKind.NOTE, Severity.INFO, str(note)) for note in (notes if isinstance(notes, list) else []))


def check_ids(dataset: Dataset) -> Iterator[Finding]:
    """Ids that more than one stored frame has; an import leaves none."""
    ids = dataset.table["frame_id"]
    repeated = ids.duplicated(keep=False).to_numpy()
    if repeated.any():
        sentence = f"Ids that occur more than once: {counted(ids[repeated].nunique(), 'id')} of {frames_text(int(repeated.sum()), len(dataset))}; they pair with nothing."
        yield about(dataset, repeated.nonzero()[0], FindingKind.REPEATED_ID, Severity.WARNING, sentence)


def _by_reason(entries: list[Any], kind: FindingKind, severity: Severity, what: str) -> Iterator[Finding]:
    ids: dict[str, list[str]] = {}
    for entry in entries:
        known = entry if isinstance(entry, dict) else {"reason": entry}
        name = known.get("frame_id") or f"document {known.get('document', 'unknown')}"
        ids.setdefault(str(known.get("reason", "unknown")), []).append(str(name))
    reasons = sorted(ids, key=lambda reason: -len(ids[reason]))
    for reason in reasons[:MOST_REASONS]:
        yield Finding(kind, severity, f"{what}: {count_text(len(ids[reason]))}, because {reason}.", tuple(ids[reason]), len(ids[reason]))
    others = [name for reason in reasons[MOST_REASONS:] for name in ids[reason]]
    if others:
        yield Finding(kind, severity, f"{what}: {count_text(len(others))}, for {counted(len(reasons) - MOST_REASONS, 'further reason')}; report.json has each.", tuple(others), len(others))
