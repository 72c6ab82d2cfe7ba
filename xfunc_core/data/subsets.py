"""Some frames of a dataset as a dataset in its own right, and the three parts of a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.importing import check_name
from xfunc_core.data.rows import pieces, read_batch
from xfunc_core.data.splits import Split, split_by_material
from xfunc_core.data.writer import DatasetWriter
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import DataError


def save_subset(
    dataset: Dataset,
    rows: np.ndarray,
    root: Path,
    name: str,
    title: str = "",
    description: str = "",
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Save frames of ``dataset`` as the dataset ``name`` under ``root``, in the order of the dataset.

    Its description tells the parent where other datasets tell their file: ``source`` names it with the filter in words, and
    ``source_sha256`` is the parent's content hash. Its report keeps both, and what was masked in the frames it has.

    Args:
        dataset: the parent.
        rows: of the frames; each counts once.
        root: where datasets lie; made if missing.
        name: of the subset, and of its folder.
        title: name on screen; the name if empty.
        description: which frames these are, in words.
        progress: called with the number of frames copied so far, every few thousand; what it raises ends the copy.

    Raises:
        DataError: there is no frame, the name is taken or no name, the parent is damaged, or the disk is full; then
            nothing is left behind.
    """
    check_name(name)
    wanted = np.unique(np.asarray(rows, dtype=np.int64))
    if not len(wanted):
        raise DataError(f"A subset of {dataset.info.title} without frames cannot be saved: widen the filter.")
    if (root / name).exists():
        raise DataError(f"There is already a dataset named {name!r}: choose another name, or delete it first.")
    parent = dataset.info
    try:
        with DatasetWriter(root, name) as writer:
            done = 0
            for some in pieces(dataset, wanted):
                writer.add_batch(_with_atoms(read_batch(dataset, some), parent.isolated_atoms))
                done += len(some)
                if progress:
                    progress(done)
            folder = writer.finish(
                title=title or name,
                functional=parent.functional,
                source=f"{parent.name}: {description}" if description else parent.name,
                source_sha256=parent.content_sha256,
                energy_scale=parent.energy_scale,
                licence=parent.licence,
                citation=parent.citation,
                report=_report(dataset, wanted, description),
            )
    except OSError as error:
        raise DataError(f"The subset {name} was not saved ({error.strerror or error}): check the space and the permissions of {root}, or set XFUNC_HOME to another place.") from error
    return Dataset(folder)


def split_rows(dataset: Dataset, validation: float, test: float, seed: int) -> Split:
    """Rows of the dataset by part, no material in two parts: what `split_by_material` gives, without a row an element for each frame.

    Args:
        dataset: the frames.
        validation: fraction of materials to validate on.
        test: fraction of materials to test on.
        seed: of the shuffle.

    Raises:
        ConfigError: the fractions leave a part empty.
    """
    materials = dataset.columns["material_id"].combine_chunks().dictionary_encode()
    names, owner = materials.dictionary.to_pylist(), materials.indices.to_numpy()
    elements = dataset.columns["elements"].combine_chunks()
    contains = np.zeros((len(names), N_REFERENCED))
    contains[np.repeat(owner, elements.value_lengths().to_numpy()), elements.flatten().to_numpy() - 1] = 1.0
    parts = split_by_material(names, contains, validation=validation, test=test, seed=seed)
    return Split(*(np.flatnonzero(np.isin(owner, part)) for part in (parts.train, parts.validation, parts.test)))


def _with_atoms(batch: FrameBatch, energies: dict[str, float]) -> FrameBatch:
    """The batch with the energies of isolated atoms of its elements."""
    symbols = {SYMBOLS[z - 1] for z in np.unique(batch.numbers).tolist()}
    return replace(batch, isolated_atoms={symbol: energy for symbol, energy in energies.items() if symbol in symbols})


def _report(dataset: Dataset, rows: np.ndarray, description: str) -> dict[str, object]:
    """What the subset is; nothing is left out of it, and what the parent masked is masked here too."""
    masked = dataset.report()["masked"]
    ids = set(dataset.columns["frame_id"].take(rows).to_pylist()) if masked else set()
    return {
        "documents": len(rows),
        "dropped": [],
        "masked": [entry for entry in masked if entry.get("frame_id") in ids],
        "notes": [f"This is a subset of {dataset.info.title} ({dataset.info.name}): {description or 'some of its frames'}."],
        "subset": {"parent": dataset.info.name, "parent_content_sha256": dataset.info.content_sha256, "filter": description, "n_of": len(dataset)},
    }
