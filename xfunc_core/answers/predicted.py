"""The answer of ``predict --out``: have a model predict structures of one's own, and say which it cannot take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.answers.training import refuse_missing_gpu
from xfunc_core.data.formats.detection import detect
from xfunc_core.data.formats.structures import passed_over
from xfunc_core.data.home import datasets_root, typed_path
from xfunc_core.data.prediction_files import PredictionFormat
from xfunc_core.data.reading import dataset_source, file_source
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.model.named import NamedModel, named_model
from xfunc_core.predicting import Outcome, count_frames, predict_into
from xfunc_core.quantities import count_text, counted, duration_text

MOST_LISTED = 20
"""Frames left out that are listed for people; --json has all."""
_FORMATS = {".xyz": PredictionFormat.EXTXYZ} | {format.value: format for format in PredictionFormat}


def predict(source: str, model: str, out: str, device: str, task: str, format: str, replace: bool, say: Say) -> Answer:
    """Predict the frames of a dataset, a file or a folder with a model, into a file.

    Raises:
        XfuncError: the source, the model, the device or the file cannot be used; nothing is written then.
    """
    target = _target(out, replace)
    kind = _FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ConfigError(f"The ending of {target.name} tells no format: let it end in {', '.join(f.value for f in PredictionFormat)}.")
    asked = named_model(model)
    refuse_missing_gpu(device)
    path = _path(source, format)
    _refuse_source(target, path)
    frames = file_source(path, format) if path else dataset_source(find.dataset(source))
    say("Reading …")
    n = count_frames(frames, kind, lambda n: say(f"Reading: {counted(n, 'frame')} …"))
    say("Loading CHGNet …")
    outcome = predict_into(target, frames, n, asked, device, task, kind, _Teller(say))
    return _answer(outcome, source, asked, device, task, target, kind, _folder_note(path, format) or _shadow_note(path, source))


def _refuse_source(target: Path, path: Path | None) -> None:
    """Predictions hold no labels, so that a source replaced by them would have lost its own."""
    if path and target.exists() and path.exists() and target.samefile(path):
        raise DataError(f"{target} is the file that the structures come from: choose another file for the predictions.")


def _target(out: str, replace: bool) -> Path:
    path = typed_path(out)
    if path.is_dir() or (path.exists() and not replace):
        raise DataError(f"There is already {path}: choose another file{'' if path.is_dir() else ', or give --replace'}.")
    if not path.parent.is_dir():
        raise DataError(f"There is no folder {path.parent} to write {path.name} to: make it, or choose another.")
    return path


def _path(name: str, format: str) -> Path | None:
    """The file or folder that a name means; none if there is a dataset of that name, or could be."""
    path = typed_path(name)
    could_be_dataset = path.name == name and ((datasets_root() / name).is_dir() or not (path.exists() or path.suffix))
    if could_be_dataset and format:
        raise ConfigError(f"--format is for files, and {name} is a dataset: leave it out, or write ./{name}.")
    return None if could_be_dataset else path


def _answer(outcome: Outcome, source: str, model: NamedModel, device: str, task: str, target: Path, kind: PredictionFormat, source_note: str) -> Answer:
    notes = [*filter(None, [_scale_note(model), _reference_note(outcome), source_note])]
    head = f"Wrote {count_text(outcome.n_predicted)} of {counted(outcome.n_frames, 'frame')} of {source} to {target}, predicted by {model.title} on {device}. {kind.sentence}"
    left_out = [f"Left out {r.frame_id or f'frame {r.position}'}: {r.reason}." for r in outcome.left_out]
    rest = len(left_out) - MOST_LISTED
    more = [f"Left out {counted(rest, 'more frame')}: --json lists all."] if rest > 0 else []
    data = {
        "source": source,
        "model": {"title": model.title, "path": model.path, "functional": model.functional, "energy_scale": model.energy_scale},
        "device": device,
        "task": task,
        "file": target.resolve(),
        "n_frames": outcome.n_frames,
        "n_predicted": outcome.n_predicted,
        "left_out": [{"source_frame": r.position, "frame_id": r.frame_id, "reason": r.reason} for r in outcome.left_out],
        "without_reference": outcome.without_reference,
        "notes": notes,
    }
    return Answer("\n".join([head, *notes, *left_out[:MOST_LISTED], *more]), data)


def _folder_note(path: Path | None, format: str) -> str:
    """What a folder of structures holds besides."""
    return passed_over(path) if path and path.is_dir() and (format or detect(path)) == "structures" else ""


def _shadow_note(path: Path | None, name: str) -> str:
    """That a dataset hides what lies at the same path."""
    here = typed_path(name)
    return f"{name} is the dataset of that name; write ./{name} for the {'folder' if here.is_dir() else 'file'} here." if path is None and here.exists() else ""


def _scale_note(model: NamedModel) -> str:
    """What the energies are comparable with, as far as that is known."""
    if not model.functional:
        return ""
    scale = f", on the energy scale of {model.energy_scale}" if model.energy_scale else ""
    return f"Energies are as the model learnt them: {model.functional.label}{scale}."


def _reference_note(outcome: Outcome) -> str:
    counts = outcome.without_reference
    if not counts:
        return ""
    symbols = ", ".join(f"{symbol} in {counted(n, 'frame')}" for symbol, n in counts.items())
    return f"Nothing was fitted for the reference energies of {symbols}: the energies of these frames can only be guessed, and may be off by many eV."


class _Teller:
    """Says how far the predictions are, and how long they still take at the pace so far."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._began: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        began, first = self._began = self._began or (now, done)
        left = f", about {duration_text((now - began) * (total - done) / (done - first))} left" if done > first else ""
        self._say(f"Predicting: {count_text(done)} of {counted(total, 'frame')}{left} …")
