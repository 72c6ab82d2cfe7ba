"""The fast way through MatPES files: regular documents by the thousand, on every core.

A document is regular if everything a frame needs is there, of the right type and finite. Anything else, and any doubt about
the container, is left to the careful reader (`xfunc_core.data.formats.matpes`), whose word on what is wrong is the only one. Both
give the same frames; tests/data/formats/test_matpes_batches.py holds that. The one exception: what a frame does not need
may be nested deeper than the careful reader could follow.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.formats.functional_names import Labels, Said
from xfunc_core.data.formats.json_blocks import Block, Irregular, read_blocks
from xfunc_core.data.formats.matpes import read_document, read_matpes
from xfunc_core.data.formats.matpes_columns import regular_frames
from xfunc_core.data.frame import Frame, Note, Rejected

THREADS = min(4, os.cpu_count() or 1)
"""Blocks that are parsed at once; Arrow parses without Python's lock."""
FRAMES_PER_BATCH = 1000
"""Frames that are handed on together, so that others can tell how far the reading is; parsing likes more."""
DOCUMENTS_PER_LOOK = 16
"""Documents of an irregular block that are tried together before each is looked at alone."""


def read_matpes_in_batches(path: Path, functional: Said = None) -> Iterator[FrameBatch | Frame | Rejected | Note]:
    """What `read_matpes` yields, regular frames in batches; arguments and errors are the same."""
    position = 0
    try:
        for block, batch in _parsed_ahead(read_blocks(path)):
            fits = batch is not None and functional in (None, Labels.UNASKED, batch.functional)
            for item in batch.parts(FRAMES_PER_BATCH) if fits else _looked_at(block, functional, path, position):
                yield item
                position += len(item) if isinstance(item, FrameBatch) else not isinstance(item, Note)
        if not position:
            raise Irregular("no documents")
    except Irregular:
        yield from _after(read_matpes(path, functional), position)


def _parsed_ahead(blocks: Iterator[Block]) -> Iterator[tuple[Block, FrameBatch | None]]:
    """Every block with its frames if it is regular, in order; a few blocks are parsed ahead."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="matpes")
    waiting: deque[tuple[Block, Future[FrameBatch | None]]] = deque()
    try:
        for block in blocks:
            waiting.append((block, pool.submit(_regular, block)))
            if len(waiting) > THREADS:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _regular(block: Block) -> FrameBatch | None:
    return regular_frames(*block.spaced())


def _after(items: Iterator[Frame | Rejected | Note], documents: int) -> Iterator[Frame | Rejected | Note]:
    """What comes after so many documents; notes are repeated, which does no harm."""
    for item in items:
        documents -= not isinstance(item, Note)
        if documents < 0 or isinstance(item, Note):
            yield item


def _looked_at(block: Block, said: Said, path: Path, position: int) -> Iterator[FrameBatch | Frame | Rejected | Note]:
    """The frames of a block that is not regular as a whole; ``position`` documents came before it."""
    documents = block.documents()
    for start in range(0, len(documents), DOCUMENTS_PER_LOOK):
        some = documents[start : start + DOCUMENTS_PER_LOOK]
        batch = regular_frames(b"\n".join(some), len(some))
        if batch and said in (None, Labels.UNASKED, batch.functional):
            yield batch
            continue
        for place, document in enumerate(some, start=position + start + 1):
            parsed = _parsed(document)
            if place == 1 and "structure" not in parsed:
                raise Irregular("another kind of file, or documents by key")
            yield from read_document(parsed, said, path, place)


def _parsed(document: bytes) -> Any:
    """A document as the careful reader sees it."""
    try:
        return json.loads(document.decode())  # bytes would be decoded less strictly
    except (ValueError, RecursionError) as error:
        raise Irregular("not JSON") from error
