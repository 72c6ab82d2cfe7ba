"""Which quantities a source of pairs cannot be compared in, and why: what a page offers, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Mapping

from xfunc_core.data.pair_table import PairTable
from xfunc_core.explore.compared import ANGLE_FLOOR, COMPARED, Source, unavailable
from xfunc_core.explore.exploration import rows
from xfunc_core.quantities import Functional

_LABELS = {
    "force": "forces",
    "force_norm": "forces",
    "force_angle": "forces",
    "stress": "stress",
    "pressure": "stress",
    "magmom": "magmoms",
}
"""The labels behind a quantity; energies behind all others."""
_EMPTY = {
    "total": "no pair has both energies",
    "formation": "no compound whose elemental solids are in the data",
    "within_material": "one pair per material and composition",
    "force": "no pair has forces on both sides",
    "force_angle": f"no atom with forces above {ANGLE_FLOOR:g} eV/Å in both functionals",
    "stress": "no pair has stresses on both sides",
    "magmom": "no pair has moments on both sides",
    "volume": "no pair has both volumes",
}
"""What it means that there are no rows although labels are known."""
_SAME_ROWS = {"referenced": "total", "force_norm": "force", "pressure": "stress"}
"""Quantities that have rows where others have."""


def available(reasons: Mapping[str, str]) -> list[str]:
    """The quantities that have rows, by key in the order of `COMPARED`; those that have none are in the reasons of `lacking`."""
    return [key for key in COMPARED if key not in reasons]


def lacking(source: Source) -> dict[str, str]:
    """Why each quantity that cannot be compared here cannot, in a few words, by key in the order of `COMPARED`."""
    reasons: dict[str, str] = {}
    for key in COMPARED:
        reasons[key] = unavailable(source, key) or _unlabelled(source, key) or _empty(source, key, reasons)
    return {key: reason for key, reason in reasons.items() if reason}


def lacking_sentence(reasons: Mapping[str, str]) -> str:
    """The reasons of `lacking` for a reader, such as ``Not in these pairs: magnetic moment (no labels).``; '' where there are none."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        by_reason.setdefault(reason, []).append(COMPARED[key].label.lower())
    parts = [f"{', '.join(labels)} ({reason})" for reason, labels in by_reason.items()]
    return f"Not in these pairs: {'; '.join(parts)}." if parts else ""


def _unlabelled(source: Source, key: str) -> str:
    if isinstance(source, PairTable) or key == "volume":
        return ""
    label = _LABELS.get(key, "energy")
    sides = zip(Functional, (source.pbe, source.r2scan), strict=True)
    without = [functional.label for functional, dataset in sides if not dataset.info.labelled[label]]
    return {0: "", 1: f"no labels in {''.join(without)}", 2: "no labels"}[len(without)]


def _empty(source: Source, key: str, before: Mapping[str, str]) -> str:
    if key in _SAME_ROWS:
        return before[_SAME_ROWS[key]]
    return "" if len(rows(source, key)) else _EMPTY[key]
