"""Answers about the frames of a dataset: list them, export them, save some or the parts of a split as datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.data import size_sentence
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.exporting import ExportFormat, export, left_out_by
from xfunc_core.data.home import typed_path
from xfunc_core.data.importing import check_name
from xfunc_core.data.library import is_bundled
from xfunc_core.data.overview import COLUMNS, axis
from xfunc_core.data.parts import official_split, save_parts
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.subsets import save_subset, split_rows
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.quantities import count_text, counted

_ENDINGS = {".xyz": ExportFormat.EXTXYZ, ".json": ExportFormat.MATPES} | {format.suffix: format for format in ExportFormat}


def listing(name: str, wanted: Filter, order_by: str, descending: bool, offset: int, limit: int) -> Answer:
    """List frames."""
    if offset < 0 or limit < 1:
        raise ConfigError("A page begins at frame 0 or later and has at least one frame: mend --offset or --limit.")
    query = FrameQuery(find.dataset(name))
    n, of = query.count(wanted), query.count()
    page = query.page(wanted, order_by, descending, offset, limit).reset_index().to_dict("records")
    rows = [
        {
            "Id": row["frame_id"],
            "Material": row["material_id"],
            "Formula": row["formula"],
            **{axis(c): _text(key, row[key]) for key, c in COLUMNS.items()},
        }
        for row in page
    ]
    place = f", {count_text(offset + 1)} to {count_text(offset + len(page))}" if page else ""
    head = f"{count_text(n)} of {counted(of, 'frame')} ({wanted.words()}){place}."
    data = {
        "dataset": name,
        "filter": wanted.words(),
        "n_frames": n,
        "n_of": of,
        "offset": offset,
        "units": {key: c.unit for key, c in COLUMNS.items()},
        "frames": page,
    }
    return Answer("\n".join([head, *([text_table(rows)] if rows else [])]), data)


def export_frames(name: str, file: str, format: str | None, wanted: Filter, replace: bool, say: Say) -> Answer:
    """Write frames to a file."""
    path, dataset = typed_path(file), find.dataset(name)
    kind = ExportFormat(format) if format else _ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"The ending of {path.name} tells no format: name one with --format.")
    if path.is_dir() or (path.exists() and not replace):
        raise DataError(f"There is already {path}: choose another file{'' if path.is_dir() else ', or give --replace'}.")
    rows = FrameQuery(dataset).rows(wanted)
    n = export(dataset, rows, path, kind, lambda done: say(f"{counted(done, 'frame')} written …"))
    lost = left_out_by(dataset, rows, kind)
    text = f"Wrote {count_text(n)} of {counted(len(dataset), 'frame')} ({wanted.words()}) to {path}. {kind.sentence}{f' {lost}' if lost else ''}"
    return Answer(
        text, {"dataset": name, "filter": wanted.words(), "format": kind, "n_frames": n, "n_of": len(dataset), "file": path.resolve()}
    )


def subset(name: str, new: str, title: str, wanted: Filter, say: Say) -> Answer:
    """Save frames as a dataset."""
    dataset = find.dataset(name)
    saved = _save(dataset, FrameQuery(dataset).rows(wanted), new, title, wanted.words(), say)
    return Answer(
        f"Dataset {new}: {size_sentence(saved.info)}, of {counted(len(dataset), 'frame')} of {name} ({wanted.words()}).",
        {"dataset": saved.info, "filter": wanted.words(), "n_of": len(dataset)},
    )


def split(name: str, validation: float, test: float, seed: int, file: str | None, say: Say) -> Answer:
    """Save the parts of a dataset as datasets, all or none: by material, or as a split file of MatPES says."""
    dataset = find.dataset(name)
    if file is None:
        parts, words = _by_material(dataset, validation, test, seed), f"split by material, validation {validation:g}, test {test:g}, seed {seed}"
    else:
        path = typed_path(file)
        parts, words = official_split(path, dataset), f"as {path.name} says"
    for part in parts:
        _check_free(f"{name}-{part}")
    saved = save_parts(dataset, parts, find.data_root(), words, lambda done: say(f"{counted(done, 'frame')} copied …"))
    table = [
        {
            "Name": d.info.name,
            "Frames": count_text(d.info.n_frames),
            "Materials": count_text(d.info.n_materials),
            "Elements": len(d.info.elements),
        }
        for d in saved.values()
    ]
    how = {"file": file} if file else {"seed": seed, "validation": validation, "test": test}
    return Answer(text_table(table), {**how, **{part: d.info for part, d in saved.items()}})


def _by_material(dataset: Dataset, validation: float, test: float, seed: int) -> dict[str, np.ndarray]:
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ConfigError(
            "The fractions of validation and test lie between 0 and 1 and leave something to train on: mend --validation or --test."
        )
    return split_rows(dataset, validation, test, seed).parts()


def _save(dataset: Dataset, rows: np.ndarray, new: str, title: str, words: str, say: Say) -> Dataset:
    _check_free(new)
    return save_subset(dataset, rows, find.data_root(), new, title, words, lambda done: say(f"{counted(done, 'frame')} copied to {new} …"))


def _check_free(name: str) -> None:
    check_name(name)
    if is_bundled(name) or (find.data_root() / name).exists():
        raise DataError(f"There is already a dataset named {name!r}: choose another name, or delete it first.")


def _text(key: str, value: Any) -> str:
    return count_text(int(value)) if key == "n_atoms" else COLUMNS[key].value(value)
