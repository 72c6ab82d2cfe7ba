"""Rows of a dataset as batches of frames: how frames leave the disk to become a file or another dataset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.dataset import Dataset

FRAMES_AT_ONCE = 4096
ATOMS_AT_ONCE = 1 << 18
"""Where pieces end, so that memory is bounded for small cells as for huge ones."""


def pieces(dataset: Dataset, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """The given rows (None: all) in their order, in pieces that fit into memory, each of shape (n,)."""
    rows = np.arange(len(dataset)) if rows is None else np.asarray(rows, dtype=np.int64)
    n_atoms = _column(dataset, "n_atoms")[rows]
    piece = np.cumsum(n_atoms) // ATOMS_AT_ONCE + np.arange(len(rows)) // FRAMES_AT_ONCE
    starts = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(rows)]
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        if end > start:
            yield rows[start:end]


def read_batch(dataset: Dataset, rows: np.ndarray) -> FrameBatch:
    """The frames of the given rows, in their order.

    Raises:
        DataError: a file of the dataset is damaged.
    """
    first, n_atoms = _column(dataset, "first_atom")[rows], _column(dataset, "n_atoms")[rows]
    atoms = np.repeat(first - (np.cumsum(n_atoms) - n_atoms), n_atoms) + np.arange(n_atoms.sum())
    columns = dataset.columns.select(["frame_id", "material_id", "energy", "correction", "hubbard_u", "provenance"]).take(rows)
    return FrameBatch(
        functional=dataset.functional,
        n_atoms=n_atoms,
        **{name: columns[name].to_numpy() for name in ("energy", "correction")},
        **{f"{name}s": columns[name].to_pylist() for name in ("frame_id", "material_id")},
        **{name: columns[name].to_pylist() for name in ("hubbard_u", "provenance")},
        **{name: np.array(dataset.atom_array(name)[atoms]) for name in ("numbers", "positions", "forces", "magmoms")},
        **{name: np.array(dataset.frame_array(name)[rows]) for name in ("lattice", "stress")},
    )


def _column(dataset: Dataset, name: str) -> np.ndarray:
    return dataset.columns[name].to_numpy().astype(np.int64)
