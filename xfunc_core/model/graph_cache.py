"""Crystal graphs kept in a file, named by the content of the structures, so that they are built once.

A file is a digest of all that follows, a line of JSON that describes the arrays, and their bytes, mapped when read: graphs
that are not in use take no memory. What does not fit its digest is built again; nothing in a file is run. Files used longest
ago go when all together are too large; whoever has mapped one keeps it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from xfunc_core.data.folders import LEFTOVER_AGE
from xfunc_core.data.frame import Rejected
from xfunc_core.data.home import graph_cache_bytes
from xfunc_core.model.graphs import CHGNET_CUTOFFS, BuiltGraphs, Cutoffs, Geometry, StructureGraph, build_graphs

_FORMAT = b"xfunc graphs 1"
"""To be changed with anything that changes a graph."""
_DIGEST_SIZE = 32
_ENDING, _UNFINISHED = ".graphs", ".graphs-"
_PER_BOND = ("bond_vector", "bond_i", "bond_j")
_PER_ANGLE = ("angle_first", "angle_second")


def cached_graphs(folder: Path, structures: Sequence[Geometry], frame_ids: Sequence[str], cutoffs: Cutoffs = CHGNET_CUTOFFS) -> BuiltGraphs:
    """What `build_graphs` returns, from a file in ``folder`` if it is there and whole; otherwise built, and kept there if possible."""
    limit = graph_cache_bytes()
    path = folder / f"{_content_key(structures, cutoffs)}{_ENDING}"
    found = _read(path, frame_ids)
    if found is None:
        found = build_graphs(structures, frame_ids, cutoffs)
        _write(path, found, limit)
        _trim(folder, limit)
    else:
        with suppress(OSError):  # another process removed it, or nobody may write there
            os.utime(path)
    return found


def _content_key(structures: Sequence[Geometry], cutoffs: Cutoffs) -> str:
    digest = hashlib.sha256(_FORMAT + np.array(cutoffs, dtype="<f8").tobytes())
    for numbers, lattice, positions in structures:
        arrays = [np.ascontiguousarray(a, dtype) for a, dtype in ((numbers, "<i8"), (lattice, "<f8"), (positions, "<f8"))]
        digest.update(repr([a.shape for a in arrays]).encode())
        for array in arrays:
            digest.update(array)
    return digest.hexdigest()


def _write(path: Path, built: BuiltGraphs, limit: int) -> None:
    """Put a whole file in place, or none: one beyond the limit, or a full or read-only disk, costs only the time to build the graphs again."""
    arrays = _flat(built)
    described = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    header = json.dumps({"arrays": described, "rejected": [[r.position, r.reason] for r in built.rejected]}).encode()
    header += b" " * (-(_DIGEST_SIZE + len(header) + 1) % 8) + b"\n"
    parts = [header, *(np.ascontiguousarray(array).data.cast("B") if array.size else b"" for array in arrays.values())]
    if _DIGEST_SIZE + sum(map(len, parts)) > limit:
        return
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_UNFINISHED, delete=False) as file:
            temporary = file.name
            for part in (digest.digest(), *parts):
                file.write(part)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _trim(folder: Path, limit: int) -> None:
    """Remove the files used longest ago until all others take no more than ``limit`` bytes, and what killed processes left."""
    used: list[tuple[float, int, Path]] = []
    for path in folder.glob("*"):
        with suppress(OSError):  # another process was quicker
            stat = path.stat()
            if path.name.startswith(_UNFINISHED) and stat.st_mtime < time.time() - LEFTOVER_AGE:
                path.unlink()
            elif path.suffix == _ENDING:
                used.append((stat.st_mtime, stat.st_size, path))
    room = limit
    for _, size, path in sorted(used, reverse=True):
        room -= size
        if room < 0:
            with suppress(OSError):
                path.unlink()


def _flat(built: BuiltGraphs) -> dict[str, np.ndarray]:
    """All graphs as arrays, those of the widest items first, so that each is aligned."""
    graphs = built.graphs
    arrays = {
        "kept": built.kept,
        "sizes": np.array([(g.n_atoms, g.n_bonds, g.n_angles, g.n_short) for g in graphs], dtype=np.int64).reshape(-1, 4),
        "volume": np.array([g.volume for g in graphs], dtype=np.float64),
    }
    for name in (*_PER_BOND, *_PER_ANGLE, "numbers"):
        arrays[name] = np.concatenate([getattr(g, name) for g in graphs]) if graphs else np.empty(0)
    return arrays


def _read(path: Path, frame_ids: Sequence[str]) -> BuiltGraphs | None:
    """What a file holds; None if there is none, or it was damaged."""
    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    if hashlib.sha256(content[_DIGEST_SIZE:]).digest() != content[:_DIGEST_SIZE].tobytes():
        return None
    end = _DIGEST_SIZE
    while content[end] != ord("\n"):
        end += 1
    header = json.loads(content[_DIGEST_SIZE:end].tobytes())
    arrays, start = {}, end + 1
    for name, dtype, shape in header["arrays"]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = np.asarray(content[start : start + size]).view(dtype).reshape(shape)
        start += size
    rejected = [Rejected(position, str(frame_ids[position]), reason) for position, reason in header["rejected"]]
    return BuiltGraphs(_graphs(arrays), arrays["kept"], rejected)


def _graphs(arrays: dict[str, np.ndarray]) -> list[StructureGraph]:
    """Views into the arrays, a graph each."""
    ends = np.cumsum(arrays["sizes"], axis=0)
    starts = ends - arrays["sizes"]
    graphs = []
    for s in range(len(ends)):
        atoms, bonds, angles = (slice(int(starts[s, i]), int(ends[s, i])) for i in range(3))
        parts = {name: arrays[name][bonds] for name in _PER_BOND} | {name: arrays[name][angles] for name in _PER_ANGLE}
        graphs.append(
            StructureGraph(numbers=arrays["numbers"][atoms], volume=float(arrays["volume"][s]), n_short=int(arrays["sizes"][s, 3]), **parts)
        )
    return graphs
