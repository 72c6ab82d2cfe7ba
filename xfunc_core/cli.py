"""The command line: ``python -m xfunc_core COMMAND``. The same core as the app, for scripts and clusters."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from xfunc_core import commands
from xfunc_core.errors import XfuncError
from xfunc_core.quantities import Functional, Method
from xfunc_core.references.paired import PairedScheme
from xfunc_core.references.schemes import Scheme
from xfunc_core.training.settings import DEVICES, FinetuneSettings
from xfunc_core.training.sweep import BUDGETS, EQUAL_STEPS

_DESCRIPTION = """\
xfunc: move a machine-learning interatomic potential from one density functional to another.

A first walk through, on the data that comes with xfunc:

  python -m xfunc_core datasets                          what is there
  python -m xfunc_core correlate                         PBE against r²SCAN, raw and referenced
  python -m xfunc_core references xfunc-dft-r2scan       reference energies, fitted on the training part
  python -m xfunc_core finetune xfunc-dft-r2scan --wait  fine-tune CHGNet with the paper's method M4
  python -m xfunc_core evaluate RUN                      its errors before and after
  python -m xfunc_core sweep xfunc-dft-r2scan --wait     M1 and M4 over four sizes and two seeds
  python -m xfunc_core scaling SWEEP                     the scaling law of a sweep

Everything lies in XFUNC_HOME (now: {home}). Runs go on when the command ends; add --wait to stay.
Every command takes --json. Its own help: python -m xfunc_core COMMAND --help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 good, 1 a user's error in one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
    except XfuncError as error:
        print(json.dumps({"error": str(error)}) if options.json else f"xfunc: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("xfunc: stopped waiting; runs in the queue go on.", file=sys.stderr)
        return 130
    print(json.dumps(result.data, indent=1) if options.json else result.text)
    return result.exit_code


def _parser() -> argparse.ArgumentParser:
    from xfunc_core.data.home import home

    parser = argparse.ArgumentParser("python -m xfunc_core", description=_DESCRIPTION.format(home=home()), formatter_class=argparse.RawDescriptionHelpFormatter)
    added = parser.add_subparsers(metavar="COMMAND", required=True)
    _import(added)
    _datasets(added)
    _correlate(added)
    _references(added)
    _finetune(added)
    _runs(added)
    _evaluate(added)
    _sweep(added)
    _scaling(added)
    return parser


def _command(added: Any, name: str, run: Callable[[argparse.Namespace], commands.Answer], sentence: str) -> argparse.ArgumentParser:
    command = added.add_parser(name, help=sentence, description=sentence, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    command.set_defaults(run=run)
    return command


def _import(added: Any) -> None:
    command = _command(added, "import", lambda o: commands.import_dataset(o.file, o.name, o.title, o.functional, o.replace), "Import a MatPES file (JSON list, JSON lines, gzip or not) as a dataset.")
    command.add_argument("file", help="path of the file")
    command.add_argument("--name", help="name of the dataset; by default made from the file's name")
    command.add_argument("--title", default="", help="title on screen; by default the name")
    command.add_argument("--functional", choices=[f.value for f in Functional], help="for files that do not say")
    command.add_argument("--replace", action="store_true", help="replace a dataset of the same name")


def _datasets(added: Any) -> None:
    command = _command(added, "datasets", lambda o: commands.datasets(o.name, o.delete), "List the datasets, or describe one.")
    command.add_argument("name", nargs="?", help="describe this one")
    command.add_argument("--delete", action="store_true", help="delete it")


def _correlate(added: Any) -> None:
    command = _command(added, "correlate", lambda o: commands.correlate(o.pbe, o.r2scan, o.references), "Correlate PBE with r²SCAN over the frames two datasets share.")
    command.add_argument("pbe", nargs="?", default="xfunc-dft-pbe", help="dataset labelled with PBE")
    command.add_argument("r2scan", nargs="?", default="xfunc-dft-r2scan", help="dataset labelled with r²SCAN")
    command.add_argument("--references", choices=[s.value for s in PairedScheme], default=PairedScheme.LSTSQ.value, help="what to subtract")


def _references(added: Any) -> None:
    command = _command(added, "references", lambda o: commands.references(_settings(o), Scheme(o.scheme)), "Fit elemental reference energies on the training part of a dataset.")
    command.add_argument("dataset")
    command.add_argument("--scheme", choices=[s.value for s in Scheme], default=Scheme.RESIDUAL.value, help="how; see docs/references.md")
    command.add_argument("--split-seed", type=int, default=0, help="of the split")
    command.add_argument("--train-size", type=int, default=None, help="fit on a nested subset of about this many frames")


def _finetune(added: Any) -> None:
    command = _command(added, "finetune", lambda o: commands.finetune(_settings(o), o.wait, o.dry_run), "Fine-tune CHGNet in the background; the run goes on when this command ends.")
    command.add_argument("dataset")
    _training_options(command)
    command.add_argument("--method", choices=[m.value for m in Method], default="M4", help="; ".join(f"{m.value}: {m.sentence}" for m in Method).replace("%", "%%"))
    command.add_argument("--seed", type=int, default=0, help="of weights and order of frames")
    command.add_argument("--train-size", type=int, default=None, help="train on a nested subset of about this many frames")
    command.add_argument("--wait", action="store_true", help="stay until it ends and print the errors")
    command.add_argument("--dry-run", action="store_true", help="only show the resolved settings and the estimated time")


def _runs(added: Any) -> None:
    command = _command(added, "runs", lambda o: commands.runs(o.run_id, o.action), "List the runs, or look at, cancel, resume or delete one.")
    command.add_argument("run_id", nargs="?", metavar="RUN", help="this one only")
    for action, sentence in (("cancel", "ask it to stop"), ("resume", "put it back into the queue, from its checkpoint"), ("delete", "delete its folder"), ("log", "print the end of its log")):
        command.add_argument(f"--{action}", dest="action", action="store_const", const=action, help=sentence)


def _evaluate(added: Any) -> None:
    command = _command(added, "evaluate", lambda o: commands.evaluate(o.model, o.dataset), "Show a run's errors before and after, or evaluate a model on a whole dataset.")
    command.add_argument("model", help="a run, the path of a CHGNet checkpoint, or 'pretrained'")
    command.add_argument("dataset", nargs="?", help="evaluate on every frame of this dataset; by default the run's own test part")


def _sweep(added: Any) -> None:
    command = _command(added, "sweep", lambda o: commands.sweep(_settings(o), o.methods, o.sizes, o.seeds, o.budget, o.wait, o.dry_run), "Fine-tune over methods, nested training sizes and seeds, for a scaling law.")
    command.add_argument("dataset")
    _training_options(command)
    command.add_argument("--methods", default="M1,M4", help="separated by commas")
    command.add_argument("--sizes", default="", help="training frames, separated by commas; by default four sizes that halve from all")
    command.add_argument("--seeds", type=int, default=2, help="repetitions per size")
    command.add_argument("--budget", choices=list(BUDGETS), default=EQUAL_STEPS, help="; ".join(f"{k}: {v}" for k, v in BUDGETS.items()))
    command.add_argument("--wait", action="store_true", help="stay until all runs end")
    command.add_argument("--dry-run", action="store_true", help="only list the runs and the estimated time")


def _scaling(added: Any) -> None:
    command = _command(added, "scaling", lambda o: commands.scaling(o.sweep, o.quantity), "Fit the scaling laws of a sweep; without a name, list the sweeps.")
    command.add_argument("sweep", nargs="?")
    command.add_argument("--quantity", choices=["energy", "force", "stress", "magmom"], default="energy")


def _training_options(command: argparse.ArgumentParser) -> None:
    defaults = FinetuneSettings(dataset="any")
    command.add_argument("--references", choices=[s.value for s in Scheme if s is not Scheme.KEEP], default=defaults.references, help="how M4 fits its references")
    command.add_argument("--epochs", type=int, default=defaults.epochs)
    command.add_argument("--batch-size", type=int, default=defaults.batch_size)
    command.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    command.add_argument("--split-seed", type=int, default=0, help="of the split; keep it to compare runs")
    command.add_argument("--device", choices=DEVICES, default="cpu")


def _settings(options: argparse.Namespace) -> FinetuneSettings:
    known = asdict(FinetuneSettings(dataset="any"))
    return FinetuneSettings(**{name: value for name, value in vars(options).items() if name in known})
