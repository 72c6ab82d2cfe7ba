"""What a check of a dataset finds: a kind, a sentence, and the ids of every frame it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.quantities import count_text, counted

Progress = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and what comes next."""


class Severity(Enum):
    """Whether a finding is in the way of using the data."""

    INFO = "info"
    WARNING = "warning"


class FindingKind(Enum):
    """What a finding is about; the value is what files hold."""

    KEPT = "kept"
    DROPPED = "dropped"
    MASKED = "masked"
    NOTE = "note"
    REPEATED_ID = "repeated id"
    DUPLICATE = "duplicate"
    CONFLICT = "conflicting labels"
    MISSING_LABEL = "missing label"
    LARGE_FORCE = "large force"
    ODD_ENERGY = "odd energy"
    ENERGY_SCALE = "energy scale"
    CORRECTION = "energy correction"
    HUBBARD_U = "hubbard u"
    MIXED_ENERGIES = "mixed energies"
    ISOLATED_ATOM = "isolated atom"
    OVERLAP = "overlapping atoms"
    RARE_ELEMENT = "rare element"
    STRESS_SIGN = "stress sign"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {"kept": "Frames kept", "dropped": "Documents left out", "masked": "Labels masked", "note": "Import notes", "hubbard u": "Hubbard U"}.get(self.value, self.value.capitalize())


@dataclass(frozen=True)
class Finding:
    """One thing to know about a dataset.

    Attributes:
        kind: what it is about.
        severity: whether it is in the way of using the data.
        sentence: what was found, with its numbers and the criterion.
        frame_ids: every frame it is about, in the order of the dataset; left-out documents by id or, without one, by place.
        n: how many frames or documents that are; 0 where it is about the whole set.
    """

    kind: FindingKind
    severity: Severity
    sentence: str
    frame_ids: tuple[str, ...] = ()
    n: int = 0


def about(dataset: Dataset, rows: np.ndarray, kind: FindingKind, severity: Severity, sentence: str) -> Finding:
    """A finding about some frames of a dataset."""
    ids = dataset.columns["frame_id"].take(np.asarray(rows, dtype=np.int64)) if len(rows) < len(dataset) else dataset.columns["frame_id"]
    return Finding(kind, severity, sentence, tuple(ids.to_pylist()), len(rows))


def frames_text(n: int, total: int | None = None) -> str:
    """A number of frames as people say it: ``1 frame``, ``12 frames``, ``12 of 400 frames (3.0 %)``, ``all 400 frames``."""
    if total is None:
        return counted(n, "frame")
    if n == total:
        return f"all {counted(n, 'frame')}" if n > 1 else "the only frame"
    return f"{count_text(n)} of {counted(total, 'frame')} ({100 * n / total:.1f} %)"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Some names in a row: ``Fe, O and 3 more``."""
    return ", ".join(names[:most]) + (f" and {count_text(len(names) - most)} more" if len(names) > most else "")
