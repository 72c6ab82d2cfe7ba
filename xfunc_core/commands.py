"""What can be written on the command line, its help, and which answer each command asks for.

Those on data are in `commands_data` and `commands_frames`, those that ask a model in `commands_models`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from xfunc_core import commands_data, commands_frames, commands_models
from xfunc_core.answers import references, runs, sweeps, training
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.command_parser import PROGRAM, Parser, UsageError, add_command
from xfunc_core.data.home import home
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import QUANTITIES, Method
from xfunc_core.references.missing import MissingReference
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.tables import TableFormat
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.identity import Identity
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.state import RunState
from xfunc_core.training.settings import BATCHES, DEVICES, PRECISIONS, FinetuneSettings
from xfunc_core.training.sweep import BUDGETS, EQUAL_STEPS

_DESCRIPTION = """\
xfunc moves CHGNet, a machine-learning interatomic potential, from PBE to r²SCAN.

A first walk through, on the data that comes with xfunc:

  {program} datasets                          what is there
  {program} check xfunc-dft-r2scan            whether it can be trusted
  {program} correlate                         PBE against r²SCAN, raw and referenced
  {program} references xfunc-dft-r2scan       every reference scheme, before anything is trained
  {program} finetune xfunc-dft-r2scan --wait  fine-tune CHGNet with the paper's method M4
  {program} evaluate RUN                      its errors before and after
  {program} sweep xfunc-dft-r2scan --wait     M1 and M4 over four sizes and two seeds
  {program} scaling SWEEP                     the scaling laws of a sweep

Everything lies in XFUNC_HOME (now {home}).
Runs go on when the command ends; --wait stays with them, --here does their work in this process (for Slurm)."""
_EPILOG = "Every command takes --json and has its own help with examples: {program} COMMAND --help. The walk-through is in docs/cli.md."

__all__ = ["UsageError", "parser"]

_BY_SWEEP = ("method", "train_size", "seed", "subset_seed", "sweep")
"""Settings that a sweep sets for each of its runs."""
_FOR_REFERENCES = ("split_seed", "validation_fraction", "test_fraction", "train_size", "subset_seed", "missing_references", "energy_weight", "huber_delta")
_CHOICES = {"method": [m.value for m in Method], "references": [s.value for s in Scheme if s is not Scheme.KEEP], "device": list(DEVICES), "precision": list(PRECISIONS), "batches": list(BATCHES), "missing_references": [m.value for m in MissingReference]}


def parser() -> argparse.ArgumentParser:
    """The whole command line. A parsed command has ``run``, which takes the options and a `Say`."""
    whole = Parser(PROGRAM, description=_DESCRIPTION.format(program=PROGRAM, home=home()), epilog=_EPILOG.format(program=PROGRAM))
    added = whole.add_subparsers(metavar="COMMAND", required=True)
    for add in (*commands_data.COMMANDS, *commands_frames.COMMANDS, *commands_models.COMMANDS, _references, _finetune, _runs, _sweep, _scaling):
        add(added)
    return whole


def _references(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        export = tuple(o.export) if o.export else None
        wanted = references.Asked(o.scheme, o.diagnose, o.learning_curve, o.refits, o.imported, export)
        return references.references(_settings(o), wanted, say)

    note = "\n".join(f"  {s.value:<17} {s.sentence}" for s in Scheme)
    examples = [f"xfunc-dft-r2scan {more}".rstrip() for more in ("", "--train-size 32", "--scheme lstsq", "--diagnose", "--learning-curve", "--export mace e0s.txt")]
    command = add_command(added, "references", run, "Lay the reference schemes side by side: what the pretrained network would do with each before fine-tuning.", examples, f"schemes:\n{note}")
    command.add_argument("dataset")
    command.add_argument("--scheme", choices=[s.value for s in Scheme], default="", help="show this one's energies; without it, --diagnose and --export take the recommended one")
    command.add_argument("--diagnose", action="store_true", help="look closely at one scheme: what the frames determine, leverage, residuals, other tables")
    command.add_argument("--learning-curve", action="store_true", help="the references' own error against the number of training frames")
    command.add_argument("--refits", type=int, metavar="N", help="on resampled training materials, for the intervals; 100 if not given, 50 with more than 1,000 frames")
    command.add_argument("--import", dest="imported", default="", metavar="FILE", help=f"compare with the table in a file ({', '.join(f.value for f in TableFormat)}), as the scheme 'table'")
    command.add_argument("--export", nargs=2, metavar=("FORMAT", "FILE"), help=f"write one scheme's energies for another program: {', '.join(f.value for f in TableFormat)}")
    _setting_options(command, _FOR_REFERENCES)


def _finetune(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        return training.finetune(_settings(o), wait=o.wait, dry_run=o.dry_run, work=_work if o.here else None, say=say)

    methods = "\n".join(f"  {m.value}  {m.sentence}" for m in Method)
    examples = ["xfunc-dft-r2scan --wait", "xfunc-dft-r2scan --method M3 --epochs 50 --dry-run", "--config settings.json --seed 1", "my-r2scan --device cuda --here     (in a Slurm job)"]
    command = add_command(added, "finetune", run, "Fine-tune CHGNet in the background; the run goes on when this command ends.", examples, f"methods:\n{methods}")
    command.add_argument("dataset", nargs="?", help="what to learn from; --config may name it instead")
    command.add_argument("--config", metavar="FILE", help="JSON of settings to start from: a run's config.json, or what --dry-run --json prints; options overrule it")
    _waiting_options(command, "the run's errors", "only show the resolved settings and the estimated time")
    _setting_options(command, [f.name for f in dataclasses.fields(FinetuneSettings) if f.name not in ("dataset", "sweep")])


def _runs(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        if o.run_id is None:
            if o.action:
                raise ConfigError(f"Name the run to {o.action}: {PROGRAM} runs RUN --{o.action}.")
            return runs.listing()
        if o.action == "resume":
            return runs.resume(o.run_id, _work if o.here else None, o.wait, say)
        acts = {None: runs.show, "cancel": runs.cancel, "delete": runs.delete, "log": lambda name: runs.log(name, o.lines)}
        return acts[o.action](o.run_id)

    command = add_command(added, "runs", run, "List the runs, or look at, cancel, resume or delete one.", ["", "RUN", "RUN --log --lines 20", "RUN --cancel", "RUN --resume --wait", "RUN --delete"])
    command.add_argument("run_id", nargs="?", metavar="RUN", help="this one only")
    actions = command.add_mutually_exclusive_group()
    for action, sentence in (("cancel", "ask it to stop"), ("resume", "go on from its last finished epoch"), ("delete", "delete its folder"), ("log", "print the end of its log")):
        actions.add_argument(f"--{action}", dest="action", action="store_const", const=action, default=argparse.SUPPRESS, help=sentence)
    command.set_defaults(action=None)
    command.add_argument("--lines", type=int, default=200, help="of the log")
    command.add_argument("--wait", action="store_true", help="after --resume, stay until it ends")
    command.add_argument("--here", action="store_true", help="after --resume, do the work in this process")


def _sweep(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        return sweeps.sweep(_settings(o), o.methods, o.sizes, o.seeds, o.budget, o.name, wait=o.wait, dry_run=o.dry_run, work=_work if o.here else None, say=say)

    examples = ["xfunc-dft-r2scan --wait", "xfunc-dft-r2scan --sizes 8,16,32 --seeds 3 --dry-run", "my-r2scan --name night --device cuda --here     (in each job of a Slurm array)"]
    note = "Validation and test frames are the same in every run; the subsets of one seed are nested; references are fitted on the subset alone."
    command = add_command(added, "sweep", run, "Fine-tune over methods, nested training sizes and seeds, for a scaling law.", examples, note)
    command.add_argument("dataset")
    command.add_argument("--methods", default="M1,M4", help="separated by commas")
    command.add_argument("--sizes", default="", help="training frames, separated by commas; if empty, four sizes that halve from all")
    command.add_argument("--seeds", type=int, default=2, help="repetitions per size")
    command.add_argument("--budget", choices=list(BUDGETS), default=EQUAL_STEPS, help="; ".join(f"{k}: {v}" for k, v in BUDGETS.items()))
    command.add_argument("--name", help="id of the sweep; made from the time if not given. Given again, nothing is started twice")
    _waiting_options(command, "the scaling law", "only list the runs and the estimated time")
    _setting_options(command, [f.name for f in dataclasses.fields(FinetuneSettings) if f.name not in ("dataset", *_BY_SWEEP)])


def _scaling(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        return sweeps.scaling(o.sweep_id, o.quantity, o.paper, o.runs) if o.sweep_id else sweeps.listing()

    note = "The law is MAE = A · N^exponent, fitted to single runs; the interval is a bootstrap over sizes and seeds. N counts training frames."
    command = add_command(added, "scaling", run, "Fit the scaling laws of a sweep; without a name, list the sweeps.", ["", "SWEEP", "SWEEP --quantity force --paper"], note)
    command.add_argument("sweep_id", nargs="?", metavar="SWEEP", help="this one")
    command.add_argument("--quantity", choices=[q.key for q in QUANTITIES], default=QUANTITIES[0].key, help="whose test MAE")
    command.add_argument("--runs", action="store_true", help="list the runs as well")
    command.add_argument("--paper", action="store_true", help="lay the published values of Huang et al. 2025, Fig. 6 beside it")


def _waiting_options(command: argparse.ArgumentParser, shown: str, dry: str) -> None:
    ways = command.add_mutually_exclusive_group()
    ways.add_argument("--wait", action="store_true", help=f"stay until it ends and show {shown}")
    ways.add_argument("--here", action="store_true", help="do the work in this process and leave nothing in the background; for batch systems such as Slurm")
    ways.add_argument("--dry-run", action="store_true", help=dry)


def _setting_options(command: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """An option for each setting; its absence leaves the default, or what --config says."""
    group = command.add_argument_group("settings")
    fields = {field.name: field for field in dataclasses.fields(FinetuneSettings)}
    for name in names:
        default = "none" if fields[name].default is None else fields[name].default
        sentence = f"{_decapitalised(_sentences()[name]).rstrip('.')} (default: {default})".lstrip().replace("%", "%%")
        group.add_argument(f"--{name.replace('_', '-')}", type=_reader(fields[name].type), choices=_CHOICES.get(name), default=argparse.SUPPRESS, metavar=None if name in _CHOICES else name.rpartition("_")[2].upper(), help=sentence)


def _decapitalised(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _reader(kind: str) -> Callable[[str], Any]:
    return {"int": int, "float": float}.get(kind.partition(" ")[0], str)


@cache
def _sentences() -> dict[str, str]:
    """The sentence under each setting in its source: the help says what the code says."""
    body = next(node for node in ast.parse(inspect.getsource(FinetuneSettings)).body if isinstance(node, ast.ClassDef)).body
    said = {f.name: "" for f in dataclasses.fields(FinetuneSettings)}
    for field, text in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            said[ast.unparse(field.target)] = str(text.value.value)
    return said


def _settings(options: argparse.Namespace) -> FinetuneSettings:
    start = _read_config(options.config) if getattr(options, "config", None) else {}
    known = {f.name for f in dataclasses.fields(FinetuneSettings)}
    given = {name: value for name, value in vars(options).items() if name in known and value is not None}
    return FinetuneSettings.from_dict({**start, **given, "sweep": ""})


def _read_config(file: str) -> dict[str, Any]:
    path = Path(file).expanduser()
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"The settings {path} cannot be read ({error.strerror}): check the path.") from error
    except ValueError as error:
        raise ConfigError(f"The settings {path} are not JSON ({error}): take a run's config.json as a pattern.") from error
    found = found.get("settings", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise ConfigError(f"The settings {path} are not a JSON object: take a run's config.json as a pattern.")
    return found


def _work(run: RunFolder) -> None:
    """Do a run's work in this process, its log on stderr and in its folder; nothing if another process was quicker."""
    from xfunc_core import worker

    with exclusive(run.lock_file) as free:
        if not free or run.state() is not RunState.QUEUED:
            return
        run.record_launch(Identity.of(os.getpid()), "here")  # from now on neither a dispatcher nor another job takes it
    handlers = [logging.StreamHandler(sys.stderr), logging.FileHandler(run.log_file, encoding="utf-8")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", handlers=handlers, force=True)
    worker.main(str(run.path))
