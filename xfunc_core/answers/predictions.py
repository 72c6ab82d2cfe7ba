"""The answer about the pretrained model's energies: have them worked out, and say which frames it cannot take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.data.dataset import Dataset
from xfunc_core.predictions import Predictions, evaluate, prediction_status, predictions, request_predictions
from xfunc_core.quantities import count_text, counted


def predict(name: str, background: bool, say: Say) -> Answer:
    """Evaluate every frame of a dataset that was not evaluated before, here or in the background."""
    dataset = find.dataset(name)
    rows = np.arange(len(dataset))
    if background:
        request_predictions(dataset, rows)
        status = prediction_status(dataset, rows)
        return Answer(
            f"{status.sentence} {status.words()}; it goes on by itself, and `python -m xfunc_core predict {name}` waits for the rest.",
            _data(dataset, predictions(dataset), rows),
        )
    said = asked(dataset, rows, say)
    left_out = said.left_out(rows)
    head = f"The pretrained model's energies of {count_text(len(rows) - len(left_out))} of {counted(len(rows), 'frame')} of {dataset.info.title} are known."
    why = [f"{count_text(n)} left out: {reason}." for reason, n in Counter(left_out.values()).most_common()]
    return Answer("\n".join([head, *why]), _data(dataset, said, rows))


def asked(dataset: Dataset, rows: np.ndarray, say: Say) -> Predictions:
    """What the pretrained model says of rows, evaluated in this process where it is not known."""
    if len(predictions(dataset).lacking(rows)):
        say("Loading CHGNet …")
        evaluate(dataset, rows, teller("Asking the pretrained model", say))
    return predictions(dataset)


def teller(doing: str, say: Say) -> Callable[[int, int], None]:
    """Says how far something countable is."""
    return lambda done, total: say(f"{doing}: {count_text(done)} of {count_text(total)} …")


def _data(dataset: Dataset, said: Predictions, rows: np.ndarray) -> dict[str, object]:
    ids = dataset.table["frame_id"]
    left_out = [{"frame_id": ids.iat[row], "reason": reason} for row, reason in said.left_out(rows).items()]
    return {"dataset": dataset.info.name, "frames": len(rows), "evaluated": int(said.evaluated.sum()), "left_out": left_out}
