"""What the pretrained model says about a dataset's frames, kept on disk by content and grown block by block.

A folder ``$XFUNC_HOME/predictions/KEY`` belongs to one content of a dataset and one content of the model's file, so a
dataset that changes, or another model, starts a new one::

    energies.bin      a record for each evaluated frame: row (int64) and energy (float64, eV/atom, NaN where left out)
    left-out.jsonl    why frames were left out: {"row", "reason"}
    references.f8     the reference energies inside the model, eV/atom, 94 numbers
    lock              held by the one process that writes

Files only ever grow at their end, so they can be read while they do; a record that a crash has torn is cut off.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.runs.atomic import DISK_FULL, append_line, write_atomic
from xfunc_core.runs.files import parse_object

_LAYOUT = 1
_RECORD = np.dtype([("row", "<i8"), ("energy", "<f8")])


@dataclass(frozen=True)
class Predictions:
    """Energies of the pretrained model for the F frames of a dataset, as far as they are known.

    Attributes:
        energy: eV/atom, the model's references included, shape (F,); NaN where not known or left out.
        evaluated: whether the model was asked, shape (F,), bool.
        reasons: why frames were left out, by row.
        references: the reference energies inside the model, eV/atom, shape (94,); NaN before the first frame.
    """

    energy: np.ndarray
    evaluated: np.ndarray
    reasons: dict[int, str]
    references: np.ndarray

    def lacking(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that the model was not asked about yet."""
        return rows[~self.evaluated[rows]]

    def left_out(self, rows: np.ndarray) -> dict[int, str]:
        """Reasons by row for those of ``rows`` that the model cannot take."""
        return {
            row: self.reasons.get(row, "the reason was not recorded")
            for row in rows[self.evaluated[rows] & ~np.isfinite(self.energy[rows])].tolist()
        }


@dataclass(frozen=True)
class PredictionStore:
    """The folder of one dataset's predictions; it need not exist to be read."""

    path: Path
    n_frames: int

    @classmethod
    def of(cls, dataset: Dataset) -> PredictionStore:
        """The store that belongs to a dataset's content, beside the folder its datasets lie in."""
        key = hashlib.sha256(f"{_LAYOUT} {dataset.info.content_sha256} {model_sha256()}".encode()).hexdigest()[:20]
        return cls(dataset.path.resolve().parent.parent / "predictions" / key, len(dataset))

    @property
    def lock_file(self) -> Path:
        """Held by the process that writes."""
        return self.path / "lock"

    def read(self) -> Predictions:
        """Everything known by now; a damaged file counts as one that is not there."""
        energy, evaluated = np.full(self.n_frames, np.nan), np.zeros(self.n_frames, dtype=bool)
        references = self._references()
        if np.isfinite(references).all():  # energies say nothing without them
            records = self._records()
            energy[records["row"]] = records["energy"]
            evaluated[records["row"]] = True
        return Predictions(energy, evaluated, self._reasons(), references)

    def begin(self, references: np.ndarray) -> None:
        """Get ready to append: record the model's references, cut off what a crash has torn.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path / "references.f8", np.asarray(references, dtype="<f8").tobytes())
            with (self.path / "energies.bin").open("ab") as file:
                file.truncate(file.tell() // _RECORD.itemsize * _RECORD.itemsize)
        except OSError as error:
            raise self._refused(error) from error

    def append(self, rows: np.ndarray, energy: np.ndarray, reasons: dict[int, str]) -> None:
        """Add a block: rows, shape (R,), their energies in eV/atom, and why some are NaN.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        records = np.empty(len(rows), dtype=_RECORD)
        records["row"], records["energy"] = rows, energy
        try:
            for row, reason in reasons.items():
                append_line(self.path / "left-out.jsonl", json.dumps({"row": row, "reason": reason}).encode())
            with (self.path / "energies.bin").open("ab") as file:  # buffered: it writes all of it or says that it cannot
                file.write(records.tobytes())
        except OSError as error:
            raise self._refused(error) from error

    def _records(self) -> np.ndarray:
        try:
            content = (self.path / "energies.bin").read_bytes()
        except OSError:
            content = b""
        records = np.frombuffer(content[: len(content) // _RECORD.itemsize * _RECORD.itemsize], dtype=_RECORD)
        return records[(records["row"] >= 0) & (records["row"] < self.n_frames)]

    def _reasons(self) -> dict[int, str]:
        try:
            lines = (self.path / "left-out.jsonl").read_bytes().split(b"\n")
        except OSError:
            return {}
        found = [entry for line in lines if (entry := parse_object(line)) is not None]
        return {entry["row"]: str(entry.get("reason")) for entry in found if isinstance(entry.get("row"), int)}

    def _references(self) -> np.ndarray:
        try:
            content = (self.path / "references.f8").read_bytes()
        except OSError:
            content = b""
        return np.frombuffer(content, dtype="<f8") if len(content) == 8 * N_REFERENCED else np.full(N_REFERENCED, np.nan)

    def _refused(self, error: OSError) -> DataError:
        if error.errno in DISK_FULL:
            return DataError(
                f"The disk that holds {self.path.parent} is full: free some space and go on; the frames evaluated so far are kept."
            )
        return DataError(
            f"The predictions in {self.path} cannot be written ({error.strerror or error}): check the permissions of that place."
        )


@cache
def model_sha256() -> str:
    """Hash of the pretrained model's file, found without importing chgnet.

    Raises:
        DataError: chgnet or its file is not there.
    """
    return hashlib.sha256(shipped_checkpoint("0.3.0").read_bytes()).hexdigest()
