"""The canonical dataset on disk: one folder, columns per frame in Arrow, arrays per atom memory-mapped.

::

    NAME/
      dataset.json      what it is: functional, counts, source and its hash, licence, schema version
      report.json       what the import left out or masked, each with its reason
      frames.arrow      one row a frame (Arrow IPC, uncompressed, memory-mapped)
      numbers.u1 positions.f8 forces.f8 magmoms.f8      one row an atom, frame after frame
      lattice.f8 stress.f8                              one row a frame

Absent labels are NaN. One dataset holds the labels of one functional. A folder appears under its
name only when it is complete: the writer works in a hidden folder and renames it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from xfunc_core.data.frame import Frame
from xfunc_core.elements import N_REFERENCED, SYMBOLS, Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

if TYPE_CHECKING:
    from pymatgen.core import Structure

SCHEMA_VERSION = 1

ATOM_ARRAYS = {"numbers": ("u1", ()), "positions": ("<f8", (3,)), "forces": ("<f8", (3,)), "magmoms": ("<f8", ())}
FRAME_ARRAYS = {"lattice": ("<f8", (3, 3)), "stress": ("<f8", (6,))}
_SCHEMA = pa.schema(
    [
        ("frame_id", pa.string()),
        ("material_id", pa.string()),
        ("formula", pa.string()),
        ("n_atoms", pa.int32()),
        ("first_atom", pa.int64()),
        ("energy", pa.float64()),
        ("provenance", pa.string()),
    ]
)
_ROWS_PER_BATCH = 4096


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset is; the content of ``dataset.json``.

    Attributes:
        name: folder name, unique in the data home.
        title: name on screen.
        functional: value of a `Functional`.
        n_frames: frames kept.
        n_atoms: atoms in all frames.
        n_materials: distinct material ids.
        elements: frames that contain each element, by symbol.
        labelled: frames that have each label, by label.
        source: file name the frames came from.
        source_sha256: hash of that file.
        content_sha256: hash of every column kept.
        energy_scale: which code and potentials the energies refer to.
        licence: licence of the data.
        citation: whom to cite.
        isolated_atoms: energy in eV of isolated atoms, by symbol, when the source has them.
        schema_version: layout of the folder.
    """

    name: str
    title: str
    functional: str
    n_frames: int
    n_atoms: int
    n_materials: int
    elements: dict[str, int]
    labelled: dict[str, int]
    source: str
    source_sha256: str
    content_sha256: str
    energy_scale: str = ""
    licence: str = ""
    citation: str = ""
    isolated_atoms: dict[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


class Dataset:
    """A dataset opened for reading; arrays are mapped, not loaded."""

    def __init__(self, path: Path) -> None:
        """Open the folder ``path``.

        Raises:
            DataError: it is no dataset, or of another schema version.
        """
        self.path = path
        try:
            self.info = DatasetInfo(**json.loads((path / "dataset.json").read_text()))
        except FileNotFoundError as error:
            raise DataError(f"There is no dataset {path.name!r} in {path.parent}: import it first.") from error
        except (ValueError, TypeError, OSError) as error:
            raise DataError(f"Dataset {path.name!r} cannot be opened, its dataset.json is damaged ({error}): delete the folder {path} and import it again.") from error
        if self.info.schema_version != SCHEMA_VERSION:
            raise DataError(f"Dataset {path.name!r} was written by another version of xfunc: delete the folder {path} and import it again.")

    def __len__(self) -> int:
        """Number of frames."""
        return self.info.n_frames

    @property
    def functional(self) -> Functional:
        """The functional of every label."""
        return Functional(self.info.functional)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a frame: frame_id, material_id, formula, n_atoms, first_atom, energy (total eV), provenance."""
        with pa.memory_map(str(self.path / "frames.arrow")) as source:
            return pa.ipc.open_stream(source).read_all().to_pandas()

    def atom_array(self, name: str) -> np.ndarray:
        """A per-atom array, rows of all frames in order: numbers, positions (Å), forces (eV/Å) or magmoms (μB)."""
        return self._map(name, *ATOM_ARRAYS[name], self.info.n_atoms)

    def frame_array(self, name: str) -> np.ndarray:
        """A per-frame array: lattice (Å, F×3×3) or stress (GPa, F×6)."""
        return self._map(name, *FRAME_ARRAYS[name], self.info.n_frames)

    @cached_property
    def energy_per_atom(self) -> np.ndarray:
        """eV/atom, shape (F,); NaN where a frame has no energy."""
        return (self.table["energy"] / self.table["n_atoms"]).to_numpy(dtype=float)

    @cached_property
    def composition(self) -> np.ndarray:
        """Atomic fractions, shape (F, 94); elements beyond plutonium have no column."""
        numbers = np.asarray(self.atom_array("numbers"), dtype=np.int64)
        counts = np.zeros((len(self), 119))
        np.add.at(counts, (self.frame_of_atom, numbers), 1.0)
        return counts[:, 1 : N_REFERENCED + 1] / self.table["n_atoms"].to_numpy()[:, None]

    @cached_property
    def frame_of_atom(self) -> np.ndarray:
        """Row of the frame each atom belongs to, shape (n_atoms,)."""
        return np.repeat(np.arange(len(self)), self.table["n_atoms"])

    def atoms_of(self, row: int) -> slice:
        """The rows of the per-atom arrays that belong to one frame."""
        first = int(self.table["first_atom"].iat[row])
        return slice(first, first + int(self.table["n_atoms"].iat[row]))

    def structure(self, row: int) -> Structure:
        """The frame's structure, with its magnetic moments as a site property where labelled."""
        from pymatgen.core import Lattice, Structure

        atoms = self.atoms_of(row)
        moments = self.atom_array("magmoms")[atoms]
        return Structure(
            Lattice(self.frame_array("lattice")[row]),
            [SYMBOLS[z - 1] for z in self.atom_array("numbers")[atoms]],
            self.atom_array("positions")[atoms],
            coords_are_cartesian=True,
            site_properties={"magmom": moments.tolist()} if np.isfinite(moments).all() else None,
        )

    def report(self) -> dict[str, Any]:
        """What the import left out or masked: ``{"dropped": [...], "masked": [...]}``."""
        return json.loads((self.path / "report.json").read_text())

    def _map(self, name: str, dtype: str, shape: tuple[int, ...], rows: int) -> np.ndarray:
        path = self.path / f"{name}.{dtype.lstrip('<')}"
        try:
            return np.memmap(path, dtype=dtype, mode="r", shape=(rows, *shape))
        except (OSError, ValueError) as error:
            raise DataError(f"Dataset {self.info.name!r} is damaged ({path.name}: {error}): delete the folder {self.path} and import it again.") from error


class DatasetWriter:
    """Writes frames one by one into a hidden folder; `finish` makes it a dataset, leaving without it removes it."""

    def __init__(self, root: Path, name: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._name = name
        self._path = Path(tempfile.mkdtemp(prefix=f".importing-{name}-", dir=root))
        self._files = {n: (self._path / f"{n}.{d.lstrip('<')}").open("wb") for n, (d, _) in (ATOM_ARRAYS | FRAME_ARRAYS).items()}
        self._arrow = pa.OSFile(str(self._path / "frames.arrow"), "wb")
        self._rows = pa.ipc.new_stream(self._arrow, _SCHEMA)
        self._batch: list[dict[str, Any]] = []
        self._hash = hashlib.sha256()
        self._elements: Counter[str] = Counter()
        self._labelled: Counter[str] = Counter()
        self._isolated: dict[str, float] = {}
        self._materials: set[str] = set()
        self.n_frames = 0
        self.n_atoms = 0

    def __enter__(self) -> DatasetWriter:
        """Start writing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close and, if not finished, remove everything written."""
        self._close()
        shutil.rmtree(self._path, ignore_errors=True)

    def add(self, frame: Frame) -> None:
        """Append one frame."""
        nan = np.full
        arrays = {
            "numbers": frame.numbers,
            "positions": frame.positions,
            "forces": nan((frame.n_atoms, 3), np.nan) if frame.forces is None else frame.forces,
            "magmoms": nan(frame.n_atoms, np.nan) if frame.magmoms is None else frame.magmoms,
            "lattice": frame.lattice,
            "stress": nan(6, np.nan) if frame.stress is None else frame.stress,
        }
        for name, array in arrays.items():
            dtype, _ = (ATOM_ARRAYS | FRAME_ARRAYS)[name]
            data = np.ascontiguousarray(array, dtype=dtype).tobytes()
            self._files[name].write(data)
            self._hash.update(data)
        self._add_row(frame)
        self._count(frame)

    def finish(self, *, report: dict[str, Any], replace: bool = False, **described: Any) -> Path:
        """Write dataset.json and report.json and give the folder its name.

        Raises:
            DataError: a dataset of that name is already there and ``replace`` is False.
        """
        self._close()
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
        target = self._root / self._name
        if replace and target.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".retired-{self._name}-", dir=self._root))
            target.rename(retired / self._name)
            self._path.rename(target)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            self._rename_new(target)
        return target

    def _rename_new(self, target: Path) -> None:
        try:
            self._path.rename(target)
        except OSError as error:
            if target.exists():
                raise DataError(f"There is already a dataset named {self._name!r}: choose another name, or delete it first.") from error
            raise

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
            self._rows.write_batch(pa.RecordBatch.from_pylist(self._batch, schema=_SCHEMA))
            self._batch = []

    def _close(self) -> None:
        if not self._arrow.closed:
            try:
                self._flush()
                self._rows.close()
            finally:
                self._arrow.close()
                for file in self._files.values():
                    file.close()


def formula(numbers: Iterable[int]) -> str:
    """Reduced formula in the order of electronegativity-free Hill notation: C, H, then alphabetical."""
    counts = Counter(SYMBOLS[int(z) - 1] for z in numbers)
    divisor = int(np.gcd.reduce(list(counts.values())))
    hill = sorted(counts, key=lambda s: (s != "C", s != "H", s) if "C" in counts else (True, True, s))
    return "".join(s + (str(counts[s] // divisor) if counts[s] > divisor else "") for s in hill)
