"""Write a dataset: a folder appears under its name only when it is complete.

The writer works in a hidden folder and renames it. What a killed process left behind is removed
by the next writer.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xfunc_core.data.dataset import ATOM_ARRAYS, FRAME_ARRAYS, FRAME_COLUMNS, FRAMES, array_file
from xfunc_core.data.description import DatasetInfo
from xfunc_core.data.frame import Frame
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.errors import DataError

_ROWS_PER_BATCH = 4096
_NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_LEFTOVERS = (".importing-", ".discarded-")
LEFTOVER_AGE = 24 * 3600.0
"""Seconds without any change after which a hidden folder has no living writer any more."""


class DatasetWriter:
    """Writes frames one by one into a hidden folder; `finish` makes it a dataset, leaving without it removes it."""

    def __init__(self, root: Path, name: str) -> None:
        """Start the dataset ``name`` in the folder ``root``, which is made if missing."""
        root.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(root)
        self._root = root
        self._name = name
        self._batch: list[dict[str, Any]] = []
        self._hash = hashlib.sha256()
        self._elements: Counter[str] = Counter()
        self._labelled: Counter[str] = Counter(energy=0, forces=0, stress=0, magmoms=0)
        self._isolated: dict[str, float] = {}
        self._materials: set[str] = set()
        self.n_frames = 0
        self.n_atoms = 0
        with ExitStack() as folder:
            self._path = Path(tempfile.mkdtemp(prefix=f".importing-{name}-", dir=root))
            folder.callback(shutil.rmtree, self._path, ignore_errors=True)
            self._files = folder.enter_context(ExitStack())
            self._arrays = {n: self._files.enter_context(array_file(self._path, n).open("wb")) for n in ATOM_ARRAYS | FRAME_ARRAYS}
            arrow = self._files.enter_context(pa.OSFile(str(self._path / FRAMES), "wb"))
            self._rows = self._files.enter_context(pa.ipc.new_stream(arrow, FRAME_COLUMNS))
            self._folder = folder.pop_all()

    def __enter__(self) -> DatasetWriter:
        """Start writing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close and, if not finished, remove everything written."""
        with suppress(OSError, pa.ArrowException):  # a full disk refuses the last buffers; nothing of them is kept
            self._folder.close()

    def add(self, frame: Frame) -> None:
        """Append one frame."""
        absent = np.full
        arrays = {
            "numbers": frame.numbers,
            "positions": frame.positions,
            "forces": absent((frame.n_atoms, 3), np.nan) if frame.forces is None else frame.forces,
            "magmoms": absent(frame.n_atoms, np.nan) if frame.magmoms is None else frame.magmoms,
            "lattice": frame.lattice,
            "stress": absent(6, np.nan) if frame.stress is None else frame.stress,
        }
        for name, array in arrays.items():
            dtype, _ = (ATOM_ARRAYS | FRAME_ARRAYS)[name]
            data = np.ascontiguousarray(array, dtype=dtype).tobytes()
            self._arrays[name].write(data)
            self._hash.update(data)
        self._add_row(frame)
        self._count(frame)

    def finish(self, *, report: dict[str, Any], replace: bool = False, **described: Any) -> Path:
        """Write dataset.json and report.json and give the folder its name.

        Raises:
            DataError: a dataset of that name is already there and ``replace`` is False.
        """
        self._flush()
        self._files.close()
        info = DatasetInfo(
            name=self._name,
            n_frames=self.n_frames,
            n_atoms=self.n_atoms,
            n_materials=len(self._materials),
            elements={s: self._elements[s] for s in sorted(self._elements, key=Z_OF.__getitem__)},
            labelled=dict(self._labelled),
            isolated_atoms=self._isolated,
            content_sha256=self._hash.hexdigest(),
            **described,
        )
        (self._path / "report.json").write_text(json.dumps(report, indent=1))
        (self._path / "dataset.json").write_text(json.dumps(asdict(info), indent=1))
        self._take_name(self._root / self._name, replace)
        return self._root / self._name

    def _take_name(self, target: Path, replace: bool) -> None:
        """Rename the folder; whoever else takes the name at the same moment, one whole dataset has it in the end."""
        while True:
            try:
                self._path.rename(target)
                return
            except OSError as error:
                if error.errno not in _NAME_TAKEN:
                    raise
                if not replace:
                    raise DataError(f"There is already a dataset named {self._name!r}: choose another name, or delete it first.") from error
            discard(target)

    def _add_row(self, frame: Frame) -> None:
        row = {
            "frame_id": frame.frame_id,
            "material_id": frame.material_id,
            "formula": formula(frame.numbers),
            "n_atoms": frame.n_atoms,
            "first_atom": self.n_atoms,
            "energy": frame.energy,
            "provenance": json.dumps(dict(frame.provenance), default=str),
        }
        self._hash.update(json.dumps(row).encode())
        self._batch.append(row)
        if len(self._batch) >= _ROWS_PER_BATCH:
            self._flush()

    def _count(self, frame: Frame) -> None:
        self.n_frames += 1
        self.n_atoms += frame.n_atoms
        self._materials.add(frame.material_id)
        self._elements.update({SYMBOLS[z - 1] for z in set(frame.numbers.tolist())})
        present = {"energy": np.isfinite(frame.energy), "forces": frame.forces is not None, "stress": frame.stress is not None, "magmoms": frame.magmoms is not None}
        self._labelled.update({label: int(there) for label, there in present.items()})
        if frame.isolated_atom_energy is not None:
            self._isolated[SYMBOLS[int(frame.numbers[0]) - 1]] = frame.isolated_atom_energy

    def _flush(self) -> None:
        if self._batch:
            self._rows.write_batch(pa.RecordBatch.from_pylist(self._batch, schema=FRAME_COLUMNS))
            self._batch = []


def discard(folder: Path) -> None:
    """Remove a dataset so that nobody ever sees half of it: out of sight first, then off the disk.

    Raises:
        OSError: the system does not let it be moved.
    """
    grave = Path(tempfile.mkdtemp(prefix=f".discarded-{folder.name}-", dir=folder.parent))
    try:
        with suppress(FileNotFoundError):  # another process was quicker
            folder.rename(grave / folder.name)
    finally:
        shutil.rmtree(grave, ignore_errors=True)


def formula(numbers: Iterable[int]) -> str:
    """Reduced formula of atomic numbers in Hill's order: carbon, hydrogen, then the alphabet; without carbon the alphabet alone."""
    counts = Counter(SYMBOLS[int(z) - 1] for z in numbers)
    divisor = int(np.gcd.reduce(list(counts.values())))
    hill = sorted(counts, key=lambda s: (s != "C", s != "H", s) if "C" in counts else (True, True, s))
    return "".join(s + (str(counts[s] // divisor) if counts[s] > divisor else "") for s in hill)


def _remove_leftovers(root: Path) -> None:
    for path in root.iterdir():
        if path.name.startswith(_LEFTOVERS):
            with suppress(OSError):  # it may just be going away
                changed = max(part.stat().st_mtime for part in (path, *path.rglob("*")))
                if changed < time.time() - LEFTOVER_AGE:
                    shutil.rmtree(path, ignore_errors=True)
