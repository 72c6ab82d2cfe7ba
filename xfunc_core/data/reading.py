"""The structures of a dataset, or of any file or folder that xfunc reads, in blocks that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.formats.detection import detect
from xfunc_core.data.formats.functional_names import Labels
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.data.importing import READERS
from xfunc_core.data.rows import pieces, read_batch
from xfunc_core.errors import DataError

BLOCK_ATOMS, BLOCK_FRAMES = 20_000, 1000
"""Where blocks end: the crystal graphs of one take some 50 MB."""

Items = Iterator[Frame | Rejected]
Source = Callable[[], Items]
"""Reads from the beginning, each time that it is called."""


@dataclass(frozen=True)
class Block:
    """Consecutive frames of a source.

    Attributes:
        frames: those that are structures; None if none is.
        places: which frames of the source these are, counted from 1.
        rejected: what else there was; ``position`` counts all frames of the source from 1.
    """

    frames: FrameBatch | None
    places: list[int]
    rejected: list[Rejected]


def dataset_source(dataset: Dataset) -> Source:
    """The frames of a dataset."""
    return lambda: (frame for rows in pieces(dataset) for frame in read_batch(dataset, rows).frames())


def file_source(path: Path, format: str = "") -> Source:
    """The structures of a file or folder; nobody asks what their labels are.

    Args:
        path: where they are.
        format: a key of `READERS`; told by the content if empty.

    Raises:
        DataError: here or while it is read: it is not there, is nothing that xfunc reads, or is damaged.
    """
    if not path.exists():
        raise DataError(f"There is no {path}: check the path.")
    reader = READERS[format or detect(path)]
    return lambda: _frames(reader(path, Labels.UNASKED))


def blocks(items: Items) -> Iterator[Block]:
    """The frames of a source, block by block."""
    frames: list[Frame] = []
    places: list[int] = []
    rejected: list[Rejected] = []
    n_atoms = 0
    for place, item in enumerate(items, start=1):
        if isinstance(item, Rejected):
            rejected.append(Rejected(place, item.frame_id, item.reason))
        else:
            frames.append(item)
            places.append(place)
            n_atoms += item.n_atoms
        if n_atoms >= BLOCK_ATOMS or len(frames) + len(rejected) >= BLOCK_FRAMES:
            yield Block(FrameBatch.of(frames) if frames else None, places, rejected)
            frames, places, rejected, n_atoms = [], [], [], 0
    if frames or rejected:
        yield Block(FrameBatch.of(frames) if frames else None, places, rejected)


def _frames(items: Iterable[FrameBatch | Frame | Rejected | Note]) -> Items:
    for item in items:
        if isinstance(item, FrameBatch):
            yield from item.frames()
        elif not isinstance(item, Note):
            yield item
