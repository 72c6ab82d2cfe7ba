"""What a model says of frames, written to a file that other programs read; whole or not at all, in bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.exporting import whole_file
from xfunc_core.data.formats.extxyz_text import extxyz_text, quoted
from xfunc_core.data.frame import Rejected
from xfunc_core.data.writer import formula
from xfunc_core.errors import DataError
from xfunc_core.quantities import VOIGT, counted


class PredictionFormat(Enum):
    """A kind of file; the value is how its name ends."""

    EXTXYZ = ".extxyz"
    JSON = ".json"
    CSV = ".csv"

    @property
    def sentence(self) -> str:
        """What is in such a file, for a reader."""
        return {
            ".extxyz": "Structures and predictions for ASE and others: total eV, eV/Å, stress in eV/Å³ with tension positive, |μB|.",
            ".json": "One document, predictions of each frame without its structure, and the frames left out: total eV, eV/Å, stress in GPa with tension positive, |μB|.",
            ".csv": "One row a frame, those left out with their reason: total eV, eV/atom, largest force, stress in GPa with tension positive, largest moment.",
        }[self.value]


@dataclass(frozen=True)
class Predicted:
    """Consecutive frames of a source, as a model predicts them.

    Attributes:
        frames: those that it can take, with its numbers as labels; what it was not asked for is NaN. None if there is none.
        places: which frames of the source these are, counted from 1.
        left_out: the others; ``position`` counts all frames of the source from 1.
    """

    frames: FrameBatch | None
    places: list[int]
    left_out: list[Rejected]


def write_predictions(parts: Iterable[Predicted], target: Path, format: PredictionFormat, model: str) -> tuple[int, list[Rejected]]:
    """Write predictions, and return how many frames have some, and which have none.

    Args:
        parts: in the order of the source.
        target: the file; it is whole or as it was before, whatever ends the writing.
        format: what to write.
        model: the name to give the model in the file.

    Raises:
        DataError: no frame has predictions, an id does not fit the format, or the file cannot be written; and what ``parts`` raises.
    """
    n, left_out = 0, []
    writer = _WRITERS[format](model)
    try:
        with whole_file(target) as file:
            file.write(writer.begin())
            for part in parts:
                file.write(writer.part(part))
                n += len(part.places)
                left_out += part.left_out
            if not n:
                raise DataError(_nothing(left_out))
            file.write(writer.end(left_out))
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}): check the path, its permissions and the space there.") from error
    return n, left_out


def _nothing(left_out: list[Rejected]) -> str:
    if not left_out:
        return "There is no frame to predict: choose another file."
    if len(left_out) == 1:
        return f"CHGNet cannot take the only frame, so nothing was written: {left_out[0].reason}."
    return f"CHGNet can take none of the {counted(len(left_out), 'frame')}, so nothing was written; the first was left out because {left_out[0].reason}."


class _Extxyz:
    """Frame after frame; those left out have no place."""

    def __init__(self, model: str) -> None:
        self._model = quoted(model)

    def begin(self) -> bytes:
        return b""

    def part(self, part: Predicted) -> bytes:
        return extxyz_text(part.frames, [f"source_frame={place} model={self._model}".encode() for place in part.places]) if part.frames else b""

    def end(self, left_out: list[Rejected]) -> bytes:
        return b""


class _Json:
    """One object, a frame a line."""

    _UNITS = {"energy": "eV", "energy_per_atom": "eV/atom", "forces": "eV/Å", "stress": f"GPa, tension positive, {' '.join(VOIGT)}", "magmoms": "μB, absolute"}

    def __init__(self, model: str) -> None:
        self._begin = b'{"model": %b,\n"units": %b,\n"frames": [\n' % (orjson.dumps(model), orjson.dumps(self._UNITS))
        self._between = b""

    def begin(self) -> bytes:
        return self._begin

    def part(self, part: Predicted) -> bytes:
        lines = []
        for place, frame in _frames(part):
            lines += [self._between, orjson.dumps({"source_frame": place, **frame}, np.ndarray.tolist)]
            self._between = b",\n"
        return b"".join(lines)

    def end(self, left_out: list[Rejected]) -> bytes:
        rest = [{"source_frame": r.position, "frame_id": r.frame_id, "reason": r.reason} for r in left_out]
        return b'\n],\n"left_out": %b}\n' % orjson.dumps(rest)


class _Csv:
    """A row for every frame of the source, in its order."""

    _COLUMNS: dict[str, Callable[[dict[str, Any]], Any]] = {
        "frame_id": lambda f: f["frame_id"],
        "material_id": lambda f: f["material_id"],
        "formula": lambda f: f["formula"],
        "n_atoms": lambda f: f["n_atoms"],
        "energy (eV)": lambda f: f.get("energy"),
        "energy (eV/atom)": lambda f: f.get("energy_per_atom"),
        "largest force (eV/Å)": lambda f: np.linalg.norm(f["forces"], axis=1).max() if "forces" in f else None,
        **{f"stress {v} (GPa)": (lambda f, i=i: f["stress"][i] if "stress" in f else None) for i, v in enumerate(VOIGT)},
        "largest moment (μB)": lambda f: f["magmoms"].max() if "magmoms" in f else None,
    }

    def __init__(self, model: str) -> None:
        self._model = model

    def begin(self) -> bytes:
        return self._text([["source_frame", *self._COLUMNS, "model", "left_out"]])

    def part(self, part: Predicted) -> bytes:
        rows = [[place, *(cell(frame) for cell in self._COLUMNS.values()), self._model, ""] for place, frame in _frames(part)]
        rows += [[r.position, r.frame_id, *[None] * (len(self._COLUMNS) - 1), self._model, r.reason] for r in part.left_out]
        return self._text(sorted(rows, key=lambda row: row[0]))

    def end(self, left_out: list[Rejected]) -> bytes:
        return b""

    @staticmethod
    def _text(rows: list[list[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()


_WRITERS: dict[PredictionFormat, Callable[[str], _Extxyz | _Json | _Csv]] = {PredictionFormat.EXTXYZ: _Extxyz, PredictionFormat.JSON: _Json, PredictionFormat.CSV: _Csv}


def _frames(part: Predicted) -> Iterator[tuple[int, dict[str, Any]]]:
    """Place, and what is known of the frame by name; what was not predicted is not there."""
    for place, frame in zip(part.places, part.frames.frames() if part.frames else (), strict=True):
        energy = {"energy": frame.energy, "energy_per_atom": frame.energy / frame.n_atoms} if np.isfinite(frame.energy) else {}
        labels = {name: value for name in ("forces", "stress", "magmoms") if (value := getattr(frame, name)) is not None}
        yield place, {"frame_id": frame.frame_id, "material_id": frame.material_id, "formula": formula(frame.numbers), "n_atoms": frame.n_atoms, **energy, **labels}
