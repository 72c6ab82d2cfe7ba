"""A dataset in parts, each a dataset of its own: by material, or as MatPES publishes its split."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.formats.opening import open_file
from xfunc_core.data.library import delete_dataset
from xfunc_core.data.subsets import save_subset
from xfunc_core.errors import DataError
from xfunc_core.quantities import count_text

LARGEST = 256 << 20
"""Bytes that a split file may have, unpacked: the row numbers of tens of millions of frames."""


def save_parts(dataset: Dataset, parts: Mapping[str, np.ndarray], root: Path, words: str, progress: Callable[[int], None] | None = None) -> dict[str, Dataset]:
    """Save each part as the dataset ``NAME-PART``, all of them or none.

    Args:
        dataset: the whole.
        parts: rows by the name of the part; a part without rows is passed over.
        root: where datasets lie.
        words: how the parts came about, for a reader.
        progress: as in `save_subset`.

    Raises:
        DataError: a name is taken, or a part cannot be saved; then none of them is left.
    """
    wanted = {part: rows for part, rows in parts.items() if len(rows)}
    for part in wanted:
        if (root / f"{dataset.info.name}-{part}").exists():
            raise DataError(f"There is already a dataset named '{dataset.info.name}-{part}': delete it first.")
    saved: dict[str, Dataset] = {}
    try:
        for part, rows in wanted.items():
            saved[part] = save_subset(dataset, rows, root, f"{dataset.info.name}-{part}", f"{dataset.info.title}, {part}", f"{part} part, {words}", progress)
    except BaseException:
        for one in saved.values():
            delete_dataset(root, one.info.name)
        raise
    return saved


def official_split(path: Path, dataset: Dataset) -> dict[str, np.ndarray]:
    """Rows by part of a MatPES split file, ``{"train": [int, …], …}``, whose numbers count the documents of the data file from 0.

    Documents that the import left out have no row; the others keep their order.

    Raises:
        DataError: it is no such file, it names a document in two parts, or more documents than the dataset was made of.
    """
    content = _read(path)
    report = dataset.report()
    left_out = {int(entry["document"]) - 1 for entry in report["dropped"]}
    n_documents = len(dataset) + len(left_out)
    row_of = np.full(n_documents, -1)
    row_of[[i for i in range(n_documents) if i not in left_out]] = np.arange(len(dataset))
    numbers = {part: np.array(values, dtype=np.int64) for part, values in content.items()}
    together = np.concatenate(list(numbers.values()))
    if len(together) and (together.min() < 0 or together.max() >= n_documents):
        raise DataError(f"{path.name} names document {count_text(int(together.max()))}, and {dataset.info.name} was made of {count_text(n_documents)}: choose the split of this data file.")
    if len(np.unique(together)) < len(together):
        raise DataError(f"{path.name} names a document twice, so its parts overlap: choose another split file.")
    rows = {part: np.sort(row_of[values]) for part, values in numbers.items()}
    return {part: found[found >= 0] for part, found in rows.items()}


def _read(path: Path) -> dict[str, list[int]]:
    try:
        with open_file(path) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            text = (gzip.GzipFile(fileobj=raw) if packed else raw).read(LARGEST + 1)
        content = json.loads(text) if len(text) <= LARGEST else None
    except (EOFError, OSError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(f"{path.name} is no split of MatPES ({error}): choose a file such as MatPES-R2SCAN-2025.1-split.json.gz.") from error
    if not _is_split(content):
        raise DataError(f'{path.name} is no split of MatPES, {{"train": [row numbers], …}}: choose a file such as MatPES-R2SCAN-2025.1-split.json.gz.')
    return content


def _is_split(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    return all(part.isidentifier() and isinstance(values, list) and all(type(v) is int and abs(v) < 2**62 for v in values) for part, values in content.items())
