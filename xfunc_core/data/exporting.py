"""Write frames of a dataset to a file that other programs read; whole or not at all, in bounded memory."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.formats.extxyz_text import extxyz_text
from xfunc_core.data.formats.matpes_text import matpes_text
from xfunc_core.data.rows import pieces, read_batch
from xfunc_core.errors import DataError
from xfunc_core.quantities import counted


class ExportFormat(Enum):
    """A kind of file; the value is what the command line takes."""

    EXTXYZ = "extxyz"
    MATPES = "matpes"
    CSV = "csv"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {"extxyz": "Extended XYZ", "matpes": "MatPES JSON lines", "csv": "CSV table"}[self.value]

    @property
    def sentence(self) -> str:
        """What is in such a file, for a reader."""
        return {
            "extxyz": "Structures and labels for ASE, MACE and others: total eV, eV/Å, stress in eV/Å³ with tension positive, μB.",
            "matpes": "Structures and labels as MatPES 2025.2 has them: total eV, eV/Å, stress in kbar with VASP's sign, μB.",
            "csv": "One row a frame without structures: ids, composition, energies, largest force, pressure, volume.",
        }[self.value]

    @property
    def suffix(self) -> str:
        """How the name of such a file ends."""
        return {"extxyz": ".extxyz", "matpes": ".jsonl", "csv": ".csv"}[self.value]


_CSV_COLUMNS: dict[str, str] = {
    "frame_id": "frame_id",
    "material_id": "material_id",
    "formula": "formula",
    "chemical_system": "chemical_system",
    "n_atoms": "n_atoms",
    "energy": "energy (eV)",
    "energy_per_atom": "energy (eV/atom)",
    "above_fit": "energy above elemental fit (eV/atom)",
    "correction": "correction in energy (eV)",
    "hubbard_u": "hubbard_u",
    "volume": "volume (Å³)",
    "largest_force": "largest force (eV/Å)",
    "pressure": "pressure, compression positive (GPa)",
    "largest_moment": "largest moment (μB)",
}
"""Headers by column."""


def left_out_by(dataset: Dataset, rows: np.ndarray | None, format: ExportFormat) -> str:
    """What frames know that a file of this kind does not tell, in a sentence; '' if nothing."""
    if format is ExportFormat.CSV:
        return ""
    correction = dataset.columns["correction"].to_numpy()
    corrected = int(np.count_nonzero(np.nan_to_num(correction if rows is None else correction[rows])))
    if not corrected:
        return ""
    return f"{counted(corrected, 'frame has', 'frames have')} a corrected energy; the file holds it without the correction, which only the CSV table tells."


def export(
    dataset: Dataset,
    rows: np.ndarray | None,
    target: Path | BinaryIO,
    format: ExportFormat,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write frames to ``target`` and return how many; labels that a frame does not have are absent there too.

    Args:
        dataset: the frames.
        rows: which of them, in this order; None: all.
        target: a path, which has the whole file or stays as it was, or an open binary file.
        format: what to write.
        progress: called with the number of frames written so far, every few thousand; what it raises ends the export.

    Raises:
        DataError: there is no frame, the dataset is damaged, an id does not fit the format, or the file cannot be written.
    """
    wanted = np.arange(len(dataset)) if rows is None else np.asarray(rows, dtype=np.int64)
    if not len(wanted):
        raise DataError(f"There is no frame to export from {dataset.info.title}: widen the filter.")
    done = 0
    try:
        with whole_file(target) if isinstance(target, Path) else nullcontext(target) as file:
            for n_frames, text in _WRITERS[format](dataset, wanted):
                file.write(text)
                done += n_frames
                if progress:
                    progress(done)
    except OSError as error:
        raise DataError(f"{target if isinstance(target, Path) else 'The file'} cannot be written ({error.strerror or error}): check the path, its permissions and the space there.") from error
    return done


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Where to write; the path gets its file when all is written, and stays as it was if that fails."""
    unfinished = target.with_name(f".export-{secrets.token_hex(8)}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _extxyz(dataset: Dataset, rows: np.ndarray) -> Iterator[tuple[int, bytes]]:
    for some in pieces(dataset, rows):
        yield len(some), extxyz_text(read_batch(dataset, some))


def _matpes(dataset: Dataset, rows: np.ndarray) -> Iterator[tuple[int, bytes]]:
    atoms = dict(dataset.info.isolated_atoms)
    for some in pieces(dataset, rows):
        yield len(some), matpes_text(read_batch(dataset, some), atoms)


def _csv(dataset: Dataset, rows: np.ndarray) -> Iterator[tuple[int, bytes]]:
    above_fit = dataset.frame_array("above_fit")
    for place, some in enumerate(pieces(dataset, rows)):
        columns = dataset.columns.take(some)
        columns = columns.append_column("energy_per_atom", pc.divide(columns["energy"], columns["n_atoms"]))
        columns = columns.append_column("above_fit", pa.array(np.array(above_fit[some])))
        table = pa.table({header: _or_null(columns[name]) for name, header in _CSV_COLUMNS.items()})
        text = io.BytesIO()
        csv.write_csv(table, text, csv.WriteOptions(include_header=place == 0))
        yield len(some), text.getvalue()


def _or_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column with nothing where a number is not finite."""
    return pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(column.type) else column


_WRITERS: dict[ExportFormat, Callable[[Dataset, np.ndarray], Iterator[tuple[int, bytes]]]] = {ExportFormat.EXTXYZ: _extxyz, ExportFormat.MATPES: _matpes, ExportFormat.CSV: _csv}
"""The frames as text, piece by piece, with the number of frames in each."""
