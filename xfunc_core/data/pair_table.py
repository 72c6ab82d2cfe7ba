"""Relaxed-pair tables: one row a structure with its energy in both functionals, without structures, forces or stresses.

::

    NAME/
      table.json        what it is: counts, source and its hash, hash of the content
      report.json       the rows that were left out, each with its line and reason
      pairs.arrow       one row a pair (Arrow IPC, memory-mapped)

A `PairTable` answers what `xfunc_core.data.pairs.Pairs` answers, as far as a table can. Written by
`xfunc_core.data.pair_table_import`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array

from xfunc_core.data.folders import read_description, read_report, wrong_field
from xfunc_core.data.pair_table_rows import LABELS
from xfunc_core.data.pairs import composition_codes
from xfunc_core.elements import N_REFERENCED, Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import counted

SCHEMA_VERSION = 1
KIND = "pair table"
"""What it is called in sentences."""
PAIRS = "pairs.arrow"
COLUMNS = pa.schema(
    [
        ("line", pa.int64()),
        ("frame_id", pa.string()),
        ("material_id", pa.string()),
        ("formula", pa.string()),
        ("chemical_system", pa.string()),
        ("elements", pa.list_(pa.uint8())),
        ("fractions", pa.list_(pa.float64())),
        ("n_atoms", pa.int32()),
        *((label, pa.float64()) for label in LABELS),
    ]
)


@dataclass(frozen=True)
class PairTableInfo:
    """What a table is; the content of ``table.json``.

    Attributes:
        name: folder name.
        title: name on screen.
        n_pairs: rows kept.
        n_materials: distinct material ids.
        elements: rows that contain each element, by symbol.
        labelled: rows that have each of `LABELS`.
        source: file name the rows came from.
        source_sha256: hash of that file.
        content_sha256: hash of every column kept.
        n_dropped: rows left out.
        energy_scale: which code and potentials the energies refer to.
        licence: licence of the data.
        citation: whom to cite.
        schema_version: layout of the folder.
    """

    name: str
    title: str
    n_pairs: int
    n_materials: int
    elements: dict[str, int]
    labelled: dict[str, int]
    source: str
    source_sha256: str
    content_sha256: str
    n_dropped: int = 0
    energy_scale: str = ""
    licence: str = ""
    citation: str = ""
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def read(cls, folder: Path) -> PairTableInfo:
        """The description of the table in ``folder``, which gives it its name.

        Raises:
            DataError: there is no table, it is of another version, or its table.json was damaged.
        """
        damaged = partial(_damaged, folder, "table.json")
        content = read_description(folder / "table.json", KIND, SCHEMA_VERSION, damaged)
        wrong = wrong_field(content, cls)
        if wrong or not set(content["elements"]) <= set(Z_OF):
            raise damaged(wrong or "it names what is no element")
        return replace(cls(**content), name=folder.name)


class PairTable:
    """A relaxed-pair table opened for reading; P rows, one a pair."""

    has_structures = False
    components_comparable = False

    def __init__(self, path: Path) -> None:
        """Open the folder ``path``.

        Raises:
            DataError: it is no table, of another version, or damaged.
        """
        self.path = path
        self.info = PairTableInfo.read(path)
        self.columns  # noqa: B018  a damaged table is refused where it is opened

    def __len__(self) -> int:
        """Number of pairs."""
        return self.info.n_pairs

    @cached_property
    def columns(self) -> pa.Table:
        """Every column as in `COLUMNS`, mapped: energies and formation energies in eV/atom, volumes in Å³/atom.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with pa.memory_map(str(self.path / PAIRS)) as source:
                columns = pa.ipc.open_stream(source).read_all()
                columns.validate(full=True)  # a damaged offset would otherwise end the process
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _damaged(self.path, PAIRS, str(error)) from error
        if columns.schema != COLUMNS or len(columns) != self.info.n_pairs:
            raise _damaged(self.path, PAIRS, "it does not fit table.json")
        return columns

    @property
    def energy_pbe(self) -> np.ndarray:
        """PBE energies, eV/atom, shape (P,); NaN where absent."""
        return self.label("energy_pbe")

    @property
    def energy_r2scan(self) -> np.ndarray:
        """r²SCAN energies, eV/atom, shape (P,); NaN where absent."""
        return self.label("energy_r2scan")

    @property
    def volume_pbe(self) -> np.ndarray:
        """Volumes relaxed in PBE, Å³/atom, shape (P,); NaN where absent."""
        return self.label("volume_pbe")

    @property
    def volume_r2scan(self) -> np.ndarray:
        """Volumes relaxed in r²SCAN, Å³/atom, shape (P,); NaN where absent."""
        return self.label("volume_r2scan")

    def label(self, name: str) -> np.ndarray:
        """A column of `LABELS`, per atom, shape (P,); NaN where absent."""
        return self.columns[name].to_numpy()

    @cached_property
    def composition(self) -> np.ndarray:
        """Atomic fractions, shape (P, 94)."""
        elements, fractions = (self.columns[name].combine_chunks() for name in ("elements", "fractions"))
        found = np.zeros((len(self), N_REFERENCED))
        rows = np.repeat(np.arange(len(self)), elements.value_lengths().to_numpy())
        found[rows, elements.flatten().to_numpy().astype(np.int64) - 1] = fractions.flatten().to_numpy()
        return found

    @cached_property
    def fractions(self) -> csr_array:
        """The same as a sparse matrix, columns ascending: a few numbers a pair instead of 94."""
        return csr_array(self.composition)

    @cached_property
    def frames(self) -> pd.DataFrame:
        """frame_id, material_id, formula, n_atoms and line of the file, P rows."""
        return self.columns.select(["frame_id", "material_id", "formula", "n_atoms", "line"]).to_pandas()

    @cached_property
    def materials(self) -> np.ndarray:
        """A whole number for each row, equal for rows of one material, shape (P,)."""
        return pd.factorize(self.frames["material_id"])[0]

    @cached_property
    def compositions(self) -> np.ndarray:
        """A whole number for each row, equal only for rows of one composition, shape (P,)."""
        return composition_codes(self.frames["formula"])

    @property
    def unpaired(self) -> pd.DataFrame:
        """The rows that were left out: frame_id, functional (both), reason."""
        dropped = self.report()["dropped"]
        return pd.DataFrame(
            {"frame_id": [d["frame_id"] for d in dropped], "functional": "both", "reason": [d["reason"] for d in dropped]}, dtype=object
        )

    def components(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Nothing: a table has no forces, stresses or moments."""
        return np.empty(0), np.empty(0)

    def sentences(self) -> list[str]:
        """The table for a reader."""
        return [
            f"{self.info.title}: {counted(self.info.n_pairs, 'relaxed pair')} of {counted(self.info.n_materials, 'material')}, from {self.info.source}; energies compare, forces and stresses do not."
        ]

    def report(self) -> dict[str, Any]:
        """What the import left out: ``{"dropped": [{"document": line, "frame_id", "reason"}], "notes": [...]}``.

        Raises:
            DataError: report.json is missing or damaged.
        """
        return read_report(self.path / "report.json", ("dropped",), partial(_damaged, self.path, "report.json"))

    def queried(self) -> pa.Table:
        """The columns that a `xfunc_core.data.query.FrameQuery` asks; energy and volume are those of r²SCAN, what a table has not is missing."""
        n_atoms = self.columns["n_atoms"].to_numpy().astype(float)
        missing = pa.array(np.full(len(self), np.nan))
        known = self.columns.select(["frame_id", "material_id", "formula", "chemical_system", "elements", "n_atoms"])
        for name, values in (("energy", self.energy_r2scan), ("volume", self.volume_r2scan)):
            known = known.append_column(name, pa.array(values * n_atoms))
        for name in ("largest_force", "pressure", "largest_moment", "above_fit"):
            known = known.append_column(name, missing)
        return known.append_column("hubbard_u", pa.nulls(len(self), pa.bool_()))


def _damaged(folder: Path, file: str, reason: str) -> DataError:
    return DataError(f"Pair table {folder.name!r} is damaged ({file}: {reason}): delete the folder {folder} and import it again.")
