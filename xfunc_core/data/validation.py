"""Whether a dataset can be trusted: everything that can be found out from the stored frames, each with its criterion and ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xfunc_core.data.checks.energies import check_corrections, check_energy_scale, check_hubbard_u
from xfunc_core.data.checks.finding import Finding, FindingKind, Progress, Severity
from xfunc_core.data.checks.imported import check_ids, check_import
from xfunc_core.data.checks.labels import check_energies, check_forces, check_missing_labels
from xfunc_core.data.checks.stress_sign import check_stress_sign
from xfunc_core.data.checks.structures import check_duplicates, check_elements, check_isolated_atoms, check_overlap
from xfunc_core.data.dataset import Dataset
from xfunc_core.quantities import counted

__all__ = ["Finding", "FindingKind", "Progress", "Severity", "ValidationReport", "validate"]

CHECKS: tuple[tuple[str, Callable[[Dataset], Iterator[Finding]]], ...] = (
    ("what the import kept", check_import),
    ("ids", check_ids),
    ("missing labels", check_missing_labels),
    ("forces", check_forces),
    ("energies", check_energies),
    ("the scale of energies", check_energy_scale),
    ("corrections", check_corrections),
    ("Hubbard U", check_hubbard_u),
    ("elements", check_elements),
    ("the sign of the stress", check_stress_sign),
    ("isolated atoms", check_isolated_atoms),
    ("overlapping atoms", check_overlap),
    ("duplicates", check_duplicates),
)
"""What each check looks at, and the check, quick ones first: add a function here and reports have its findings."""


@dataclass(frozen=True)
class ValidationReport:
    """What was found in one dataset.

    Attributes:
        dataset: its name.
        content_sha256: of the content that was looked at.
        n_frames: frames in it.
        findings: in the order of the checks.
    """

    dataset: str
    content_sha256: str
    n_frames: int
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are in the way of using the data."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)

    @property
    def verdict(self) -> str:
        """One sentence on top of the report."""
        n = len(self.warnings)
        return "Nothing was found that is in the way of using this dataset." if not n else f"{counted(n, 'thing')} to look at before using this dataset."

    def table(self) -> pd.DataFrame:
        """One row a finding, warnings first, for a reader: Finding, Severity, Frames (0: the whole set), What was found."""
        ordered = [*self.warnings, *(finding for finding in self.findings if finding.severity is not Severity.WARNING)]
        rows = [(f.kind.label, f.severity.value, f.n, f.sentence) for f in ordered]
        return pd.DataFrame(rows, columns=["Finding", "Severity", "Frames", "What was found"])

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary with every id, for a file."""
        findings = [{"kind": f.kind.value, "severity": f.severity.value, "sentence": f.sentence, "n": f.n, "frame_ids": list(f.frame_ids)} for f in self.findings]
        return {"dataset": self.dataset, "content_sha256": self.content_sha256, "n_frames": self.n_frames, "verdict": self.verdict, "findings": findings}


def validate(dataset: Dataset, progress: Progress | None = None) -> ValidationReport:
    """Look at every frame of a dataset.

    Args:
        dataset: the dataset.
        progress: told the share of the checks that is done, 0 to 1, and what comes next.

    Raises:
        DataError: a file of the dataset is damaged.
    """
    findings: list[Finding] = []
    for done, (what, check) in enumerate(CHECKS):
        if progress:
            progress(done / len(CHECKS), f"Looking at {what}")
        findings += check(dataset)
    if progress:
        progress(1.0, "Done")
    return ValidationReport(dataset.info.name, dataset.info.content_sha256, len(dataset), tuple(findings))
