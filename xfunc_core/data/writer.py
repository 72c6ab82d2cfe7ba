"""Write a dataset: a folder appears under its name only when it is complete.

The writer works in a hidden folder and renames it. What a killed process left behind is removed
by the next writer.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xfunc_core import __version__
from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.dataset import ATOM_ARRAYS, FRAME_ARRAYS, FRAME_COLUMNS, FRAMES, array_file
from xfunc_core.data.description import DatasetInfo
from xfunc_core.data.elemental_fit import above_elemental_fit
from xfunc_core.data.folders import hidden_folder, take_name
from xfunc_core.data.frame import Frame
from xfunc_core.elements import SYMBOLS, Z_OF

STORED = ("numbers", "positions", "forces", "magmoms", "lattice", "stress")
"""The arrays that hold what was read."""
_HASHED = (*STORED, "frame_ids", "material_ids", "n_atoms", "energy", "correction", "hubbard_u", "provenance")
_ROWS_PER_BATCH = 4096
_REMEMBERED = 100_000


class DatasetWriter:
    """Writes frames one by one or in batches into a hidden folder; `finish` makes it a dataset, leaving without it removes it."""

    def __init__(self, root: Path, name: str) -> None:
        """Start the dataset ``name`` in the folder ``root``, which is made if missing."""
        self._root = root
        self._name = name
        self._waiting: list[Frame] = []
        self._hash = {name: hashlib.sha256() for name in _HASHED}
        self._contents = _Contents()
        self._elements: Counter[str] = Counter()
        self._labelled: Counter[str] = Counter(energy=0, forces=0, stress=0, magmoms=0)
        self._isolated: dict[str, float] = {}
        self._materials: set[str] = set()
        self._n_frames = 0
        self._n_atoms = 0
        with ExitStack() as folder:
            self._path = hidden_folder(root, name)
            folder.callback(shutil.rmtree, self._path, ignore_errors=True)
            self._files = folder.enter_context(ExitStack())
            self._arrays = {n: self._files.enter_context(array_file(self._path, n).open("wb")) for n in STORED}
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
        self._waiting.append(frame)
        if len(self._waiting) >= _ROWS_PER_BATCH:
            self._flush()

    def add_batch(self, batch: FrameBatch) -> None:
        """Append many frames."""
        self._flush()
        self._write(batch)

    def has_energies(self) -> bool:
        """Whether any frame so far has an energy."""
        self._flush()
        return self._labelled["energy"] > 0

    def finish(self, *, report: dict[str, Any], replace: bool = False, **described: Any) -> Path:
        """Write dataset.json and report.json and give the folder its name.

        Raises:
            DataError: a dataset of that name is already there and ``replace`` is False.
        """
        self._flush()
        self._files.close()
        self._write_above_fit()
        info = DatasetInfo(
            name=self._name,
            n_frames=self._n_frames,
            n_atoms=self._n_atoms,
            n_materials=len(self._materials),
            elements={s: self._elements[s] for s in sorted(self._elements, key=Z_OF.__getitem__)},
            labelled=dict(self._labelled),
            isolated_atoms=self._isolated,
            importer=f"xfunc {__version__}",
            content_sha256=hashlib.sha256("".join(h.hexdigest() for h in self._hash.values()).encode()).hexdigest(),
            **described,
        )
        (self._path / "report.json").write_text(json.dumps(report, indent=1))
        (self._path / "dataset.json").write_text(json.dumps(asdict(info), indent=1))
        take_name(self._path, self._root / self._name, "dataset", replace)
        return self._root / self._name

    def _flush(self) -> None:
        if self._waiting:
            self._write(FrameBatch.of(self._waiting))
            self._waiting = []

    def _write(self, batch: FrameBatch) -> None:
        for name in STORED:
            data = np.ascontiguousarray(getattr(batch, name), dtype=(ATOM_ARRAYS | FRAME_ARRAYS)[name][0]).data
            self._arrays[name].write(data)
            self._hash[name].update(data)
        columns = self._columns(batch)
        self._rows.write_batch(pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in FRAME_COLUMNS], schema=FRAME_COLUMNS))
        self._update_hash(batch)
        self._count(batch, columns)

    def _columns(self, batch: FrameBatch) -> dict[str, Any]:
        contents = [self._contents.of(batch.numbers[first : first + n].tobytes()) for first, n in zip(batch.first_atom.tolist(), batch.n_atoms.tolist(), strict=True)]
        with np.errstate(all="ignore"):  # absurd numbers are kept as they are and give absurd columns
            volume, forces = np.abs(np.linalg.det(batch.lattice)), np.linalg.norm(batch.forces, axis=1)
            pressure = -batch.stress[:, :3].mean(axis=1)
        return {
            "frame_id": batch.frame_ids,
            "material_id": batch.material_ids,
            "formula": [c.formula for c in contents],
            "chemical_system": [c.chemical_system for c in contents],
            "elements": [c.elements for c in contents],
            "n_atoms": batch.n_atoms,
            "first_atom": batch.first_atom + self._n_atoms,
            "energy": batch.energy,
            "correction": batch.correction,
            "hubbard_u": batch.hubbard_u,
            "volume": volume,
            "largest_force": _largest(forces, batch.first_atom),
            "pressure": pressure,
            "largest_moment": _largest(np.abs(batch.magmoms), batch.first_atom),
            "provenance": batch.provenance,
        }

    def _update_hash(self, batch: FrameBatch) -> None:
        for name in ("frame_ids", "material_ids", "hubbard_u", "provenance"):
            self._hash[name].update(json.dumps(list(getattr(batch, name)))[1:-1].encode() + b", ")
        for name in ("energy", "correction", "n_atoms"):
            self._hash[name].update(np.ascontiguousarray(getattr(batch, name), dtype="<f8").data)

    def _count(self, batch: FrameBatch, columns: dict[str, Any]) -> None:
        self._n_frames += len(batch)
        self._n_atoms += int(batch.n_atoms.sum())
        self._materials.update(batch.material_ids)
        for elements, n in Counter(columns["elements"]).items():
            self._elements.update({SYMBOLS[z - 1]: n for z in elements})
        self._labelled["energy"] += int(np.isfinite(batch.energy).sum())
        for name, label in (("forces", batch.forces[:, 0]), ("magmoms", batch.magmoms)):
            self._labelled[name] += int((~np.isnan(label[batch.first_atom])).sum())
        self._labelled["stress"] += int((~np.isnan(batch.stress[:, 0])).sum())
        self._isolated |= batch.isolated_atoms

    def _write_above_fit(self) -> None:
        """What can only be known when all frames are there."""
        with pa.memory_map(str(self._path / FRAMES)) as source:
            frames = pa.ipc.open_stream(source).read_all()
            n_atoms, energy = frames["n_atoms"].to_numpy().astype(np.int64), frames["energy"].to_numpy()
            formula = frames["formula"].combine_chunks().dictionary_encode().indices.to_numpy()
        numbers = np.fromfile(array_file(self._path, "numbers"), dtype="u1")
        above_elemental_fit(numbers, n_atoms, energy, formula).astype("<f8").tofile(array_file(self._path, "above_fit"))


@dataclass(frozen=True)
class _Content:
    """What a cell is made of."""

    formula: str
    chemical_system: str
    elements: tuple[int, ...]


class _Contents:
    """Contents by the bytes of the atomic numbers; frames of one material share theirs."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Content] = {}

    def of(self, numbers: bytes) -> _Content:
        """The content of a cell."""
        found = self._known.get(numbers)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            elements = tuple(sorted(set(numbers)))
            system = "-".join(sorted(SYMBOLS[z - 1] for z in elements))
            found = self._known[numbers] = _Content(formula(numbers), system, elements)
        return found


def _largest(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The largest value of each frame, shape (F,); NaN where one is missing."""
    with np.errstate(invalid="ignore"):
        return np.maximum.reduceat(values, first)


def formula(numbers: Iterable[int]) -> str:
    """Reduced formula of atomic numbers in Hill's order: carbon, hydrogen, then the alphabet; without carbon the alphabet alone."""
    counts = Counter(SYMBOLS[int(z) - 1] for z in numbers)
    divisor = int(np.gcd.reduce(list(counts.values())))
    hill = sorted(counts, key=lambda s: (s != "C", s != "H", s) if "C" in counts else (True, True, s))
    return "".join(s + (str(counts[s] // divisor) if counts[s] > divisor else "") for s in hill)
