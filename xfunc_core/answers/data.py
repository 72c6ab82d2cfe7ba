"""Answers about datasets: list, describe and delete them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, text_pairs, text_table
from xfunc_core.data.dataset import Dataset, DatasetInfo
from xfunc_core.data.home import pair_tables_root, runs_root
from xfunc_core.data.library import damaged, list_datasets
from xfunc_core.data.overview import COLUMNS, axis
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_import import damaged_pair_tables, delete_pair_table, list_pair_tables
from xfunc_core.data.query import FrameQuery
from xfunc_core.orphaned_predictions import delete_orphaned_predictions
from xfunc_core.quantities import count_text, counted
from xfunc_core.runs.dependence import delete_unneeded

MOST_SYSTEMS = 8
"""Chemical systems that a description names."""


def datasets() -> Answer:
    """List the datasets."""
    root = find.data_root()
    found = list_datasets(root)
    rows = [
        {
            "Name": d.info.name,
            "Functional": d.functional.label,
            "Frames": count_text(d.info.n_frames),
            "Materials": count_text(d.info.n_materials),
            "Elements": len(d.info.elements),
            "Labels": ", ".join(label for label, n in d.info.labelled.items() if n),
            "Energy scale": d.info.energy_scale.partition(" (")[0],
        }
        for d in found
    ]
    tables = list_pair_tables(pair_tables_root())
    broken = damaged(root) + damaged_pair_tables(pair_tables_root())
    parts = [text_table(rows, "There are no datasets."), *(["", text_table(map(_table_row, tables))] if tables else []), *broken]
    return Answer("\n".join(parts), {"datasets": [d.info for d in found], "pair_tables": [t.info for t in tables], "damaged": broken})


def describe(name: str) -> Answer:
    """Describe one dataset: what is in it, where it comes from, and what its import left out, masked and assumed."""
    if find.is_pair_table(name):
        return _describe_table(find.pair_table(name))
    found = find.dataset(name)
    info, report = found.info, found.report()
    query = FrameQuery(found)
    systems = query.chemical_systems(limit=MOST_SYSTEMS).to_dict("records")
    spans = {number: span[:2] for number in COLUMNS if (span := query.span(number))}
    shown = {
        "Name": info.name,
        "Title": info.title,
        "Functional": found.functional.label,
        "Size": size_sentence(info),
        "Labelled": ", ".join(f"{label} {count_text(n)}" for label, n in info.labelled.items()) + " frames",
        "Elements": " ".join(f"{symbol} {count_text(n)}" for symbol, n in info.elements.items()),
        "Most frequent": ", ".join(f"{row['chemical_system']} {count_text(row['n_frames'])}" for row in systems),
        **_provenance(found),
    }
    rows = [{"Number": axis(COLUMNS[number]), "0.1 % below": COLUMNS[number].value(low), "99.9 % below": COLUMNS[number].value(high)} for number, (low, high) in spans.items()]
    lines = [text_pairs(shown), "", text_table(rows), ""]
    losses = {key: by_reason(report.get(key, [])) for key in ("dropped", "masked")}
    for key, words in (("dropped", "left out"), ("masked", "with a missing label")):
        lines += [f"{count_text(e['n'])} {words}: {e['reason']} (for example {e['example']})." for e in losses[key]]
    lines += report.get("notes", [])
    ranges = {number: {"unit": COLUMNS[number].unit, "low": low, "high": high} for number, (low, high) in spans.items()}
    data = {**vars(info), "path": found.path, "chemical_systems": systems, "ranges": ranges, **losses, "notes": report.get("notes", [])}
    return Answer("\n".join(lines).rstrip(), data)


def delete(name: str) -> Answer:
    """Delete a dataset that no run needs, or a table of relaxed pairs.

    Raises:
        DataError: it comes with xfunc.
        RunError: a run waits for it or works with it.
    """
    if find.is_pair_table(name):
        delete_pair_table(pair_tables_root(), name)
        return Answer(f"Deleted pair table {name}.", {"deleted": name})
    root = find.dataset(name).path.parent
    delete_unneeded(root, runs_root(), name)
    delete_orphaned_predictions(root)
    return Answer(f"Deleted dataset {name}.", {"deleted": name})


def _table_row(table: PairTable) -> dict[str, Any]:
    info = table.info
    return {
        "Table of relaxed pairs": info.name,
        "Pairs": count_text(info.n_pairs),
        "Materials": count_text(info.n_materials),
        "Elements": len(info.elements),
        "Labels": _table_labels(table),
        "Left out": count_text(info.n_dropped),
    }


def _table_labels(table: PairTable) -> str:
    """The kinds of label that both functionals have."""
    labelled = table.info.labelled
    return ", ".join(label.replace("_", " ") for label in ("energy", "formation_energy", "volume") if labelled[f"{label}_pbe"] and labelled[f"{label}_r2scan"])


def _provenance(found: Dataset | PairTable) -> dict[str, Any]:
    """Where it comes from and where it lies."""
    info = found.info
    return {
        "Energy scale": info.energy_scale,
        "Licence": info.licence,
        "Citation": info.citation,
        "Source": f"{info.source}, SHA-256 {info.source_sha256[:12]}…",
        "Content": f"SHA-256 {info.content_sha256[:12]}…",
        "Folder": found.path,
    }


def _describe_table(found: PairTable) -> Answer:
    info, report = found.info, found.report()
    shown = {
        "Name": info.name,
        "Title": info.title,
        "Size": f"{counted(info.n_pairs, 'relaxed pair')}, {counted(info.n_materials, 'material')}, {counted(len(info.elements), 'element')}",
        "Labels": _table_labels(found),
        "Elements": " ".join(f"{symbol} {count_text(n)}" for symbol, n in info.elements.items()),
        **_provenance(found),
    }
    dropped = by_reason(report["dropped"])
    lines = [f"{count_text(e['n'])} left out: {e['reason']} (for example {e['example']})." for e in dropped] + report.get("notes", [])
    data = {**vars(info), "path": found.path, "dropped": report["dropped"], "notes": report.get("notes", [])}
    return Answer("\n".join([text_pairs(shown), *(["", *lines] if lines else [])]), data)


def size_sentence(info: DatasetInfo) -> str:
    """How much a dataset holds."""
    return f"{counted(info.n_frames, 'frame')}, {counted(info.n_atoms, 'atom')}, {counted(info.n_materials, 'material')}, {counted(len(info.elements), 'element')}"


def by_reason(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an import left out or masked: each reason with how often and one example, most frequent first."""
    counts = Counter(str(entry["reason"]) for entry in entries)
    example = {str(entry["reason"]): entry["frame_id"] or "without id" for entry in reversed(entries)}
    return [{"reason": reason, "n": n, "example": example[reason]} for reason, n in counts.most_common()]
