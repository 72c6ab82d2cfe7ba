"""The fast way through MatPES files: whole, regular documents, hundreds at a time.

A document is regular if everything a frame needs is there, of the right type and finite. Anything else, and any doubt about
the container, is left to the careful reader (`xfunc_core.data.formats.matpes`), whose word on what is wrong is the only one. Both
give the same frames; tests/data/formats/test_matpes_batches.py holds that.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from xfunc_core.data.batch import FrameBatch, provenance_text
from xfunc_core.data.formats import json_stream
from xfunc_core.data.formats.matpes import ISOLATED, read_document, read_matpes
from xfunc_core.data.formats.opening import open_file
from xfunc_core.data.formats.values import MAX_ID, MIN_VOLUME_PER_ATOM
from xfunc_core.data.frame import Frame, Note, Rejected, cartesian
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.quantities import KBAR_TO_GPA, Functional

CHUNK = 4 << 20
DOCUMENTS_PER_BATCH = 512
_Z = {symbol: z for z, symbol in enumerate(SYMBOLS[:N_REFERENCED], start=1)}
_NUMBERS = {int, float}


def read_matpes_in_batches(path: Path, functional: Functional | None = None) -> Iterator[FrameBatch | Frame | Rejected | Note]:
    """What `read_matpes` yields, regular frames in batches; arguments and errors are the same."""
    position = 0
    try:
        for documents in raw_documents(path):
            for start in range(0, len(documents), DOCUMENTS_PER_BATCH):
                for item in _block(documents[start : start + DOCUMENTS_PER_BATCH], functional, path, position):
                    yield item
                    position += len(item) if isinstance(item, FrameBatch) else not isinstance(item, Note)
        if not position:
            raise Irregular("no documents")
    except Irregular:
        yield from _after(read_matpes(path, functional), position)


def _after(items: Iterator[Frame | Rejected | Note], documents: int) -> Iterator[Frame | Rejected | Note]:
    """What comes after so many documents; notes are repeated, which does no harm."""
    for item in items:
        documents -= not isinstance(item, Note)
        if documents < 0 or isinstance(item, Note):
            yield item


def _block(documents: list[bytes], said: Functional | None, path: Path, position: int) -> Iterator[FrameBatch | Frame | Rejected | Note]:
    """The frames of consecutive documents; ``position`` documents came before them."""
    read = [regular(document) for document in documents]
    at = 0
    for kind, group in groupby(read, key=lambda found: found and found[0]):
        rows = [found[1] for found in group if found]
        batch = batch_of(kind, rows) if rows and said in (None, kind) else None
        if batch is not None:
            yield batch
            at += len(rows)
            continue
        for document in documents[at : at + (len(rows) or _run_of_none(read, at))]:
            at += 1
            parsed = _parsed(document)
            if position + at == 1 and "structure" not in parsed:
                raise Irregular("another kind of file, or documents by key")
            yield from read_document(parsed, said, path, position + at)


def _run_of_none(read: list[Any], at: int) -> int:
    return next((i for i in range(at, len(read)) if read[i] is not None), len(read)) - at


def _parsed(document: bytes) -> Any:
    """A document as the careful reader sees it."""
    try:
        return json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Irregular("not JSON") from error


class Irregular(Exception):
    """The container is not what the fast way understands; the careful reader says what it is."""


def raw_documents(path: Path) -> Iterator[list[bytes]]:
    """Lists of the documents of a JSON list or of JSON lines, as text, in order; memory is bounded.

    Raises:
        Irregular: it is another container, or damaged.
    """
    try:
        with open_file(path) as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield from _cut(gzip.GzipFile(fileobj=raw) if gzipped else raw)
    except (EOFError, OSError, zlib.error, DataError) as error:
        raise Irregular(str(error)) from error


def _cut(stream: IO[bytes]) -> Iterator[list[bytes]]:
    rest = stream.read(CHUNK).lstrip()
    if rest[:1] not in (b"[", b"{"):
        raise Irregular("neither a list nor lines")
    in_list = rest[:1] == b"["
    rest = rest[1:] if in_list else rest
    first = True
    while True:
        starts, ends = _boundaries(rest)
        found = [rest[a:b] for a, b in zip(starts, ends, strict=True)]
        if max(map(len, [rest[ends[-1] if ends else 0 :], *found])) > json_stream.MAX_DOCUMENT:
            raise Irregular("a document too long")
        if found:
            _check_gaps(rest, starts, ends, in_list, first)
            first = False
            rest = rest[ends[-1] :]
            yield found
        more = stream.read(max(CHUNK, len(rest)))
        if not more:
            break
        rest += more
    if rest.split() != ([b"]"] if in_list else []):
        raise Irregular("cut, or text after the end")


def _boundaries(text: bytes) -> tuple[list[int], list[int]]:
    """Where outermost objects begin and end; braces inside of strings do not count."""
    plain = _without_escapes(text)
    array = np.frombuffer(plain, dtype=np.uint8)
    braces = np.flatnonzero((array == 0x7B) | (array == 0x7D))
    quotes = np.flatnonzero(array == 0x22)
    braces = braces[np.searchsorted(quotes, braces) % 2 == 0]
    depth = np.cumsum(np.where(array[braces] == 0x7B, 1, -1))
    closing = np.flatnonzero(depth == 0)
    if not len(closing):
        return [], []
    opening = np.concatenate([[0], closing[:-1] + 1])
    return braces[opening].tolist(), (braces[closing] + 1).tolist()


def _without_escapes(text: bytes) -> bytes:
    """The text with each escaped character blanked, so that every quote that is left opens or closes a string."""
    if b"\\" not in text:
        return text
    parts = text.split(b"\\\\")  # a backslash that is escaped itself
    blanked = b"__".join(part.replace(b'\\"', b"__") for part in parts)
    return blanked


def _check_gaps(text: bytes, starts: list[int], ends: list[int], in_list: bool, first: bool) -> None:
    """Between documents there may be white space, and in a list exactly one comma."""
    for a, b in zip([0, *ends[:-1]], starts, strict=True):
        gap = text[a:b].strip()
        expected = b"," if in_list and not (first and a == 0) else b""
        if gap != expected:
            raise Irregular("text between documents")


def regular(document: bytes) -> tuple[Functional, Any] | None:
    """The functional and the parsed document if it can go the fast way, else None."""
    try:
        parsed = orjson.loads(document)
        return _FUNCTIONALS[parsed["functional"]], _row(parsed)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
        return None


_FUNCTIONALS = {"PBE": Functional.PBE, "r2SCAN": Functional.R2SCAN, "R2SCAN": Functional.R2SCAN}


def _row(d: dict[str, Any]) -> tuple[Any, ...]:
    """The parts of a regular document, flat.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, IndexError: it is not regular.
    """
    sites = d["structure"]["sites"]
    species = [site["species"] for site in sites]
    numbers = [_Z[one["element"]] for [one] in species]
    coordinates = list(chain.from_iterable([site["abc"] for site in sites]))
    lattice = list(chain.from_iterable(d["structure"]["lattice"]["matrix"]))
    forces = list(chain.from_iterable(d["forces"]))
    moments = [site.get("properties", {}).get("magmom") for site in sites]
    stress, energy, n = d["stress"], d["energy"], len(sites)
    provenance = d.get("provenance")
    if moments.count(None) == n:
        moments = [math.nan] * n
        kinds = set(map(type, chain(coordinates, lattice, forces, stress, (energy,))))
    else:
        kinds = set(map(type, chain(coordinates, lattice, forces, stress, moments, (energy,))))
    if n == 1 and min(map(math.hypot, *zip(*d["structure"]["lattice"]["matrix"], strict=True))) > ISOLATED:
        raise ValueError  # an atom alone in its box: the careful reader takes its energy for that element's reference
    if d["structure"]["lattice"].get("pbc") not in (None, [True, True, True]) or not kinds <= _NUMBERS or len(lattice) != 9 or len(stress) != 6 or "energy_atomic" in d or n == 0:
        raise ValueError
    if not (_threes([site["abc"] for site in sites]) and _threes(d["forces"]) and len(forces) == 3 * n and _threes(d["structure"]["lattice"]["matrix"])):
        raise ValueError
    if not all(one.get("occu", 1) == 1 and type(one.get("occu", 1)) is not bool for [one] in species):
        raise ValueError
    frame_id, material = d["matpes_id"], _material(provenance)
    if not _is_plain(frame_id):
        raise ValueError
    return frame_id, material or frame_id, n, numbers, coordinates, lattice, energy, forces, stress, moments, provenance


def _threes(rows: list[Any]) -> bool:
    return all(type(row) is list and len(row) == 3 for row in rows)


def _material(provenance: Any) -> str:
    if provenance is None:
        return ""
    for material in (provenance.get("material_id"), provenance.get("original_mp_id")):
        if material is not None:
            if not _is_plain(material):
                raise ValueError
            return material
    return ""


def _is_plain(text: Any) -> bool:
    return type(text) is str and 0 < len(text) <= MAX_ID and text.isprintable() and text == text.strip()


def batch_of(functional: Functional, rows: list[tuple[Any, ...]]) -> FrameBatch | None:
    """The batch of regular rows; None where a number is not finite or a cell is degenerate, which the careful reader words."""
    ids, materials, n, numbers, coordinates, lattice, energy, forces, stress, moments, provenance = zip(*rows, strict=True)
    n_atoms = np.array(n, dtype=np.int64)
    cells = np.array(list(chain.from_iterable(lattice)), dtype=float).reshape(-1, 3, 3)
    fractional = np.array(list(chain.from_iterable(coordinates)), dtype=float).reshape(-1, 3)
    with np.errstate(all="ignore"):
        volume = np.abs(np.linalg.det(cells))
        positions = cartesian(fractional, np.repeat(cells, n_atoms, axis=0))
    arrays = {
        "energy": np.array(energy, dtype=float),
        "forces": np.array(list(chain.from_iterable(forces)), dtype=float).reshape(-1, 3),
        "stress": KBAR_TO_GPA * np.array(stress, dtype=float),
        "positions": positions,
    }
    magmoms = np.array(list(chain.from_iterable(moments)), dtype=float)
    finite = all(np.isfinite(array).all() for array in (*arrays.values(), cells)) and not np.isinf(magmoms).any()
    if not finite or not ((volume > MIN_VOLUME_PER_ATOM * n_atoms) & (volume < math.inf)).all():
        return None
    return FrameBatch(
        functional=functional,
        frame_ids=list(ids),
        material_ids=list(materials),
        n_atoms=n_atoms,
        numbers=np.array(list(chain.from_iterable(numbers)), dtype=np.uint8),
        lattice=cells,
        correction=np.full(len(ids), np.nan),
        magmoms=magmoms,
        hubbard_u=[None] * len(ids),
        provenance=[provenance_text(p) for p in provenance],
        **arrays,
    )
