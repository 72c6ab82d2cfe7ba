"""Answers about data: import, list, describe, delete and correlate datasets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_pairs, text_table
from xfunc_core.data.dataset import DatasetInfo
from xfunc_core.data.home import runs_root
from xfunc_core.data.importing import default_name, import_file
from xfunc_core.data.library import damaged, is_bundled, list_datasets
from xfunc_core.data.pairs import pair_by_id
from xfunc_core.elements import Z_OF
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.explore import COMPONENTS, Exploration, component_table, element_table, explore
from xfunc_core.quantities import ENERGY, Functional, correlation_text, count_text
from xfunc_core.references.paired import PairedScheme
from xfunc_core.runs.dependence import delete_unneeded


def import_dataset(file: str, format: str, name: str | None, title: str, functional: str | None, replace: bool, say: Say) -> Answer:
    """Import a file as a dataset."""
    path = Path(file).expanduser()
    if not path.exists():
        raise DataError(f"There is no {path}: check the path.")
    root, name = find.data_root(), name or default_name(path)
    if is_bundled(name):
        raise DataError(f"{name!r} is the name of a dataset that comes with xfunc: choose another one with --name.")
    say(f"Reading {path.name} …")
    labels = Functional(functional) if functional else None
    imported, report = import_file(
        path, root, name=name, title=title, format=format, functional=labels, replace=replace, progress=lambda n: say(f"{count_text(n)} documents read …")
    )
    info = imported.info
    head = f"Dataset {info.name} ({imported.functional.label}): {_size(info)}."
    left = [f"The whole list is in {imported.path / 'report.json'}."] if report.dropped or report.masked else []
    data = {
        "dataset": info,
        "documents": report.n_documents,
        "kept": report.n_kept,
        "dropped": _by_reason(report.dropped),
        "masked": _by_reason(report.masked),
        "notes": report.notes,
        "report": imported.path / "report.json",
    }
    return Answer("\n".join([head, *report.sentences(), *left]), data)


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
    broken = damaged(root)
    return Answer("\n".join([text_table(rows, "There are no datasets."), *broken]), {"datasets": [d.info for d in found], "damaged": broken})


def describe(name: str) -> Answer:
    """Describe one dataset."""
    found = find.dataset(name)
    info, report = found.info, found.report()
    shown = {
        "Name": info.name,
        "Title": info.title,
        "Functional": found.functional.label,
        "Size": _size(info),
        "Labelled": ", ".join(f"{label} {count_text(n)}" for label, n in info.labelled.items()) + " frames",
        "Elements": " ".join(f"{symbol} {count_text(n)}" for symbol, n in info.elements.items()),
        "Energy scale": info.energy_scale,
        "Licence": info.licence,
        "Citation": info.citation,
        "Source": f"{info.source}, SHA-256 {info.source_sha256[:12]}…",
        "Content": f"SHA-256 {info.content_sha256[:12]}…",
        "Folder": found.path,
    }
    lines = [text_pairs(shown)]
    for key, words in (("dropped", "left out"), ("masked", "with a missing label")):
        lines += [f"{count_text(e['n'])} {words}: {e['reason']} (for example {e['example']})." for e in _by_reason(report.get(key, []))]
    lines += report.get("notes", [])
    return Answer("\n".join(lines), {**vars(info), "path": found.path, "dropped": _by_reason(report.get("dropped", [])), "masked": _by_reason(report.get("masked", [])), "notes": report.get("notes", [])})


def delete(name: str) -> Answer:
    """Delete a dataset that no run needs.

    Raises:
        DataError: it comes with xfunc.
        RunError: a run waits for it or works with it.
    """
    delete_unneeded(find.dataset(name).path.parent, runs_root(), name)
    return Answer(f"Deleted dataset {name}.", {"deleted": name})


def correlate(pbe: str, r2scan: str, references: str, elements: str) -> Answer:
    """Correlate the labels of frames that two datasets share."""
    symbols = _symbols(elements)
    pairs = pair_by_id(find.dataset(pbe), find.dataset(r2scan))
    if not len(pairs):
        raise DataError(f"{pbe!r} and {r2scan!r} share no frame: they pair by id and equal geometry, so import both functionals of the same set.")
    scheme = PairedScheme(references)
    if scheme is PairedScheme.ISOLATED_ATOMS and not (pairs.pbe.info.isolated_atoms and pairs.r2scan.info.isolated_atoms):
        raise ConfigError(f"{pbe!r} and {r2scan!r} hold no energies of isolated atoms: use --references lstsq.")
    found = explore(pairs, scheme)
    e = found.energies
    head = f"{count_text(len(pairs))} frames of {count_text(e.n_materials)} materials in {Functional.PBE.label} and {Functional.R2SCAN.label}; {count_text(len(pairs.unpaired))} frames without a partner."
    parts = [head, "", text_table(_spread_rows(found)), "", text_table(component_table(found).to_dict("records")), ""]
    parts += [*found.caveats(), "", text_table(element_table(e, symbols).to_dict("records"), f"No frame holds {', '.join(symbols)}.")]
    return Answer("\n".join(parts), _correlation_data(found, len(pairs), pairs.unpaired.to_dict("records"), symbols))


def _spread_rows(found: Exploration) -> list[dict[str, str]]:
    spreads = {"as calculated": found.energies.raw, f"minus references ({found.references.scheme.label.lower()})": found.energies.referenced}
    return [
        {
            "Energy": name,
            "N": count_text(s.n),
            "r": correlation_text(s.pearson),
            f"Mean r²SCAN − PBE ({ENERGY.unit})": ENERGY.value(round(s.mean_shift, ENERGY.decimals) + 0.0),  # no −0.000
            "MAE around it": ENERGY.error_with_unit(s.mae),
            "RMSE around it": ENERGY.error_with_unit(s.rmse),
        }
        for name, s in spreads.items()
        if s
    ]


def _correlation_data(found: Exploration, n_pairs: int, unpaired: list[dict[str, Any]], symbols: list[str]) -> dict[str, Any]:
    by_element = found.energies.by_element.reset_index().to_dict("records")
    return {
        "n_pairs": n_pairs,
        "n_materials": found.energies.n_materials,
        "references": found.references.scheme,
        "energy": {"unit": ENERGY.unit, "raw": found.energies.raw, "referenced": found.energies.referenced},
        "components": {q.key: {"unit": q.unit, **vars(found.components[q.key])} for q, _ in COMPONENTS},
        "by_element": [row for row in by_element if not symbols or row["element"] in symbols],
        "caveats": found.caveats(),
        "unpaired": unpaired,
    }


def _symbols(text: str) -> list[str]:
    symbols = [part.strip() for part in text.split(",") if part.strip()]
    for symbol in symbols:
        if symbol not in Z_OF:
            raise ConfigError(f"{symbol!r} in --elements is no element: write symbols like Fe,O.")
    return symbols


def _size(info: DatasetInfo) -> str:
    return f"{count_text(info.n_frames)} frames, {count_text(info.n_atoms)} atoms, {count_text(info.n_materials)} materials, {len(info.elements)} elements"


def _by_reason(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter(str(entry["reason"]) for entry in entries)
    example = {str(entry["reason"]): entry["frame_id"] or "without id" for entry in reversed(entries)}
    return [{"reason": reason, "n": n, "example": example[reason]} for reason, n in counts.most_common()]
