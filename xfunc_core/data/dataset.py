"""The canonical dataset on disk: one folder, columns per frame in Arrow, arrays per atom memory-mapped.

::

    NAME/
      dataset.json      what it is: functional, counts, source and its hash, licence, schema version
      report.json       what the import left out or masked, each with its reason
      frames.arrow      one row a frame (Arrow IPC, uncompressed, memory-mapped)
      numbers.u1 positions.f8 forces.f8 magmoms.f8      one row an atom, frame after frame
      lattice.f8 stress.f8 above_fit.f8                 one row a frame

Absent labels are NaN. One dataset holds the labels of one functional. Folders are written by
`xfunc_core.data.writer`.
"""

from __future__ import annotations

import math
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from xfunc_core.data.description import DatasetInfo
from xfunc_core.data.folders import read_report
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

if TYPE_CHECKING:
    from pymatgen.core import Structure

ATOM_ARRAYS = {"numbers": ("u1", ()), "positions": ("<f8", (3,)), "forces": ("<f8", (3,)), "magmoms": ("<f8", ())}
"""Item type and shape of a row, by name."""
FRAME_ARRAYS = {"lattice": ("<f8", (3, 3)), "stress": ("<f8", (6,)), "above_fit": ("<f8", ())}
FRAMES = "frames.arrow"
FRAME_COLUMNS = pa.schema(
    [
        ("frame_id", pa.string()),
        ("material_id", pa.string()),
        ("formula", pa.string()),
        ("chemical_system", pa.string()),
        ("elements", pa.list_(pa.uint8())),
        ("n_atoms", pa.int32()),
        ("first_atom", pa.int64()),
        ("energy", pa.float64()),
        ("correction", pa.float64()),
        ("hubbard_u", pa.bool_()),
        ("volume", pa.float64()),
        ("largest_force", pa.float64()),
        ("pressure", pa.float64()),
        ("largest_moment", pa.float64()),
        ("provenance", pa.string()),
    ]
)
_IN_TABLE = ["frame_id", "material_id", "formula", "n_atoms", "first_atom", "energy", "provenance"]
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""How an Arrow stream ends; a file that was cut does not."""


def array_file(folder: Path, name: str) -> Path:
    """Where an array lies, such as ``positions.f8``."""
    dtype, _ = (ATOM_ARRAYS | FRAME_ARRAYS)[name]
    return folder / f"{name}.{dtype.lstrip('<')}"


class Dataset:
    """A dataset opened for reading; arrays are mapped, not loaded."""

    def __init__(self, path: Path) -> None:
        """Open the folder ``path``.

        Raises:
            DataError: it is no dataset, of another schema version, or one of its files was cut or removed.
        """
        self.path = path
        self.info = DatasetInfo.read(path)
        self._check_files()

    def __len__(self) -> int:
        """Number of frames."""
        return self.info.n_frames

    @property
    def functional(self) -> Functional:
        """The functional of every label."""
        return Functional(self.info.functional)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a frame: frame_id, material_id, formula, n_atoms, first_atom, energy (total eV), provenance.

        Raises:
            DataError: the file is damaged.
        """
        return self.columns.select(_IN_TABLE).to_pandas()

    @cached_property
    def columns(self) -> pa.Table:
        """Every column of a frame as in `FRAME_COLUMNS`, mapped: energies in eV, volume in Å³, forces in eV/Å, pressure in
        GPa (compression positive), moments in μB.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with pa.memory_map(str(self.path / FRAMES)) as source:
                columns = pa.ipc.open_stream(source).read_all()
                columns.validate(full=True)  # a damaged offset would otherwise end the process
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._damaged(FRAMES, str(error)) from error
        if columns.schema != FRAME_COLUMNS or len(columns) != self.info.n_frames or not self._covers_all_atoms(columns):
            raise self._damaged(FRAMES, "it does not fit dataset.json")
        return columns

    def atom_array(self, name: str) -> np.ndarray:
        """A per-atom array, rows of all frames in order: numbers, positions (Å), forces (eV/Å) or magmoms (μB)."""
        return self._map(name, ATOM_ARRAYS[name], self.info.n_atoms)

    def frame_array(self, name: str) -> np.ndarray:
        """A per-frame array: lattice (Å, F×3×3), stress (GPa, F×6) or above_fit (energy above the dataset's own elemental fit, eV/atom, F)."""
        return self._map(name, FRAME_ARRAYS[name], self.info.n_frames)

    @cached_property
    def energy_per_atom(self) -> np.ndarray:
        """eV/atom, shape (F,); NaN where a frame has no energy."""
        return (self.table["energy"] / self.table["n_atoms"]).to_numpy(dtype=float)

    @cached_property
    def composition(self) -> np.ndarray:
        """Atomic fractions, shape (F, 94); elements beyond plutonium have no column."""
        numbers = np.asarray(self.atom_array("numbers"), dtype=np.int64)
        counts = np.zeros((len(self), len(SYMBOLS) + 1))
        np.add.at(counts, (self.frame_of_atom, numbers), 1.0)
        return counts[:, 1 : N_REFERENCED + 1] / self.table["n_atoms"].to_numpy()[:, None]

    @cached_property
    def frame_of_atom(self) -> np.ndarray:
        """Row of the frame each atom belongs to, shape (n_atoms,)."""
        return np.repeat(np.arange(len(self)), self.table["n_atoms"])

    def row_of(self, frame_id: str) -> int | None:
        """Row of the frame of that id, None if there is none."""
        row = pc.index(self.columns["frame_id"], frame_id).as_py()
        return None if row < 0 else row

    def atoms_of(self, row: int) -> slice:
        """The rows of the per-atom arrays that belong to one frame."""
        first = int(self.table["first_atom"].iat[row])
        return slice(first, first + int(self.table["n_atoms"].iat[row]))

    def atoms_of_all(self, rows: np.ndarray) -> np.ndarray:
        """The rows of the per-atom arrays that belong to the given frames, frame after frame."""
        first, count = (self.table[name].to_numpy(dtype=np.int64)[rows] for name in ("first_atom", "n_atoms"))
        return np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())

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
        """What the import left out or masked: ``{"dropped": [...], "masked": [...]}``.

        Raises:
            DataError: report.json is missing or damaged.
        """
        return read_report(self.path / "report.json", ("dropped", "masked"), partial(self._damaged, "report.json"))

    def _map(self, name: str, column: tuple[str, tuple[int, ...]], rows: int) -> np.ndarray:
        path = array_file(self.path, name)
        try:
            return np.memmap(path, dtype=column[0], mode="r", shape=(rows, *column[1]))
        except (OSError, ValueError) as error:
            raise self._damaged(path.name, str(error)) from error

    def _check_files(self) -> None:
        """Compare the size of every array with the counts, and look for the end of the frame table: cheap, whatever the size."""
        for arrays, rows in ((ATOM_ARRAYS, self.info.n_atoms), (FRAME_ARRAYS, self.info.n_frames)):
            for name, (dtype, shape) in arrays.items():
                self._check_size(array_file(self.path, name), rows * math.prod(shape) * np.dtype(dtype).itemsize)
        try:
            with (self.path / FRAMES).open("rb") as file:
                file.seek(-len(_END_OF_STREAM), 2)
                whole = file.read() == _END_OF_STREAM
        except OSError as error:
            raise self._damaged(FRAMES, str(error)) from error
        if not whole:
            raise self._damaged(FRAMES, "its end is missing")

    def _check_size(self, path: Path, expected: int) -> None:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise self._damaged(path.name, str(error)) from error
        if size != expected:
            raise self._damaged(path.name, f"it has {size:,} bytes instead of {expected:,}")

    def _covers_all_atoms(self, columns: pa.Table) -> bool:
        n_atoms = columns["n_atoms"].to_numpy().astype(np.int64)
        ends = n_atoms.cumsum()
        return bool(np.array_equal(columns["first_atom"].to_numpy(), ends - n_atoms) and ends[-1:].sum() == self.info.n_atoms)

    def _damaged(self, file: str, reason: str) -> DataError:
        return DataError(f"Dataset {self.info.name!r} is damaged ({file}: {reason}): delete the folder {self.path} and import it again.")
