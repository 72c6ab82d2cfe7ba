"""Have any model predict structures of one's own, into a file: energies, forces, stresses, magnetic moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.formats.extxyz_text import quoted
from xfunc_core.data.frame import Rejected
from xfunc_core.data.prediction_files import Predicted, PredictionFormat, write_predictions
from xfunc_core.data.reading import Source, blocks
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.model.named import NamedModel

if TYPE_CHECKING:
    from xfunc_core.model.network import Engine

TASKS = ("e", "em", "ef", "efs", "efsm")
"""What can be predicted, a letter each: energy, forces, stress, magnetic moments. Energies alone take less time."""
Tell = Callable[[int, int], None]


@dataclass
class Outcome:
    """What became of a source.

    Attributes:
        n_frames: frames in it.
        n_predicted: those that are in the file.
        left_out: the others; ``position`` counts the frames of the source from 1.
        without_reference: predicted frames by element that was in no frame the model's reference energies were fitted to; of a
            model of unknown origin, that it has no reference energy for.
    """

    n_frames: int
    n_predicted: int = 0
    left_out: list[Rejected] = field(default_factory=list)
    without_reference: dict[str, int] = field(default_factory=dict)


def count_frames(source: Source, format: PredictionFormat, tell: Callable[[int], None] = lambda n: None) -> int:
    """Read a source to its end, which takes little beside predicting it: what is damaged or cannot be written shows here.

    Args:
        source: what is to be predicted.
        format: of the file to write.
        tell: called with the number of frames so far, every thousand.

    Raises:
        DataError: the source cannot be read to its end, or an id does not fit the format.
    """
    n = 0
    for n, item in enumerate(source(), start=1):
        if format is PredictionFormat.EXTXYZ and not isinstance(item, Rejected):
            quoted(item.frame_id), quoted(item.material_id)
        if n % 1000 == 0:
            tell(n)
    return n


def predict_into(
    target: Path, source: Source, n_frames: int, model: NamedModel, device: str, task: str, format: PredictionFormat, tell: Tell = lambda done, total: None
) -> Outcome:
    """Predict every frame of a source and write the file; memory does not grow with their number.

    Args:
        target: the file; it is whole or as it was before, whatever happens.
        source: the structures.
        n_frames: in it, as `count_frames` found.
        model: what computes.
        device: where, such as ``cpu``.
        task: one of `TASKS`.
        format: of the file.
        tell: called with the number of frames done and of all, after each batch.

    Raises:
        DataError: the checkpoint or the source cannot be used, CHGNet can take no frame of it, or the file cannot be written.
        RunError: the GPU is not there.
    """
    from xfunc_core.model.frames import elements_without_reference, loaded

    engine = loaded(model.path, device)
    outcome = Outcome(n_frames)
    lacking = elements_without_reference(engine) | np.isin(SYMBOLS[:N_REFERENCED], model.without_reference)
    parts = _parts(source, engine, task, outcome, lacking, tell)
    outcome.n_predicted, outcome.left_out = write_predictions(parts, target, format, model.title)
    return outcome


def _parts(source: Source, engine: Engine, task: str, outcome: Outcome, lacking: np.ndarray, tell: Tell) -> Iterator[Predicted]:
    from xfunc_core.model.frames import predict_frames

    done = 0
    for block in blocks(source()):
        places, left_out, frames = [], list(block.rejected), None
        if block.frames:
            before = done
            frames, kept, reasons = predict_frames(engine, block.frames, task, lambda n, _, before=before: tell(before + n, outcome.n_frames))
            places = [block.places[i] for i in kept]
            left_out += [Rejected(block.places[i], block.frames.frame_ids[i], reason) for i, reason in reasons.items()]
            _count_elements(frames, lacking, outcome.without_reference)
        done += len(places) + len(left_out)
        tell(done, outcome.n_frames)
        yield Predicted(frames, places, sorted(left_out, key=lambda r: r.position))


def _count_elements(frames: FrameBatch, lacking: np.ndarray, counts: dict[str, int]) -> None:
    """Count the frames that hold each of the elements."""
    owner = np.repeat(np.arange(len(frames)), frames.n_atoms)
    for z in np.unique(frames.numbers[lacking[frames.numbers - 1]]):
        symbol = SYMBOLS[z - 1]
        counts[symbol] = counts.get(symbol, 0) + len(np.unique(owner[frames.numbers == z]))
