"""The commands that ask a model: predict, evaluate."""

from __future__ import annotations

import argparse
from typing import Any

from xfunc_core.answers import evaluation, predicted, predictions
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.command_parser import add_command
from xfunc_core.data.importing import READERS
from xfunc_core.data.prediction_files import PredictionFormat
from xfunc_core.errors import ConfigError
from xfunc_core.model.named import MEANT, PRETRAINED
from xfunc_core.predicting import TASKS
from xfunc_core.runs.results import PARTS
from xfunc_core.training.settings import DEVICES


def _predict(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        given = {name: value for name in ("model", "device", "task", "format", "replace") if (value := getattr(o, name)) is not None}
        if o.out is None:
            if given:
                raise ConfigError(f"--{next(iter(given))} is for predictions into a file: name it with --out FILE.")
            return predictions.predict(o.source, o.background, say)
        if o.background:
            raise ConfigError("Predictions into a file are made at once: leave out --background.")
        wanted = {"model": PRETRAINED, "device": DEVICES[0], "task": TASKS[-1], "format": "", "replace": False} | given
        return predicted.predict(o.source, out=o.out, say=say, **wanted)

    examples = ["relaxed.extxyz --out predictions.extxyz", "structures/ --model r2scan --out predictions.csv", "my-r2scan --model RUN --out predictions.json --device cuda", "xfunc-dft-r2scan                     (for the references)"]
    formats = "\n".join(f"  {f.value:<8} {f.sentence}" for f in PredictionFormat)
    note = f"files to write, told by the ending:\n{formats}\n\nWithout --out the pretrained model's energies of a dataset are kept for the references, by the content of the dataset and of the\nmodel, so that nothing is evaluated twice; an interrupted run goes on where it stopped."
    command = add_command(added, "predict", run, "Predict energies, forces, stresses and moments of structures with any model; without --out, the pretrained model's energies for the references.", examples, note)
    command.add_argument("source", metavar="SOURCE", help="a dataset, or with --out a file or folder that `import` reads; its labels are no matter")
    command.add_argument("--out", metavar="FILE", help="the file to write; whole or not at all")
    command.add_argument("--model", help=f"{MEANT} (default: {PRETRAINED})")
    command.add_argument("--device", choices=list(DEVICES), help=f"where to compute (default: {DEVICES[0]})")
    command.add_argument("--task", choices=list(TASKS), help=f"energy, forces, stress, magnetic moments; energies alone take less time (default: {TASKS[-1]})")
    command.add_argument("--format", choices=list(READERS), help="of SOURCE, if the content does not tell it")
    command.add_argument("--replace", action="store_true", default=None, help="replace a file that is there")
    command.add_argument("--background", action="store_true", help="without --out: leave it to the background and return at once")


def _evaluate(added: Any) -> None:
    examples = ["RUN", "RUN --part validation", "RUN xfunc-dft-r2scan", "r2scan matpes-elements-r2scan", "best.pth.tar my-r2scan"]
    note = "Errors: energy meV/atom, force meV/Å (each component), stress GPa (each component), magnetic moment μB (each atom); N counts those."
    command = add_command(added, "evaluate", lambda o, say: evaluation.evaluate(o.model, o.dataset, o.part, say), "Show a run's errors before and after training, or evaluate a model on a whole dataset.", examples, note)
    command.add_argument("model", help=MEANT)
    command.add_argument("dataset", nargs="?", help="evaluate on every frame of this dataset instead of the run's own parts")
    command.add_argument("--part", choices=list(PARTS), default="test", help="of the run's split")


COMMANDS = (_predict, _evaluate)
"""Each adds its command to the subparsers."""
