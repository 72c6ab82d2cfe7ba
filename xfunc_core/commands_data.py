"""The commands that bring datasets in and look at whole ones: import, imports, download, materials-project, datasets, check."""

from __future__ import annotations

import argparse
from typing import Any

from xfunc_core.answers import data, imports, validation
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.command_parser import PROGRAM, add_command
from xfunc_core.data.importing import READERS
from xfunc_core.data.materials_project import KEY
from xfunc_core.data.pair_table_columns import PATTERNS
from xfunc_core.data.pair_table_import import FORMAT as PAIR_TABLE
from xfunc_core.data.per_atom import Verdict
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional


def _import(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        options = {"title": o.title, "format": o.format, "functional": o.functional, "energies": o.energies, "replace": o.replace, "columns": "\n".join(o.column or ())}
        return imports.import_dataset(o.file, o.name, options, o.background, say)

    examples = [
        "MatPES-R2SCAN-2025.1.json.gz",
        "calculations/ --name my-vasp                        (a folder with vasprun.xml and OUTCAR)",
        "frames.extxyz --functional r2scan --energies per-atom",
        "MPtrj_2022.9_full.json --background                 (then: imports)",
        "pairs.csv --name my-table                            (relaxed pairs: an energy per functional in each row)",
        "pairs.csv --column energy_per_atom_pbe=E1 --column energy_per_atom_r2scan=E2",
    ]
    note = "The format is told by the content. Each has its own units; xfunc keeps total eV, eV/Å, GPa (tension positive,\nxx yy zz yz xz xy) and μB, and says what it left out, masked and assumed. See docs/data.md."
    command = add_command(added, "import", run, "Import a file or a folder as a dataset.", examples, note)
    command.add_argument("file", help="path of the file or folder; nothing in it is changed")
    command.add_argument("--format", choices=[*READERS, PAIR_TABLE], default="", help="if the content does not tell it")
    command.add_argument("--functional", choices=[f.value for f in Functional], default="", help="for files that do not say")
    command.add_argument(
        "--energies",
        choices=[v.value for v in Verdict if v.value],
        default="",
        help="what the energies of the file are; else taken for totals, and refused where they look like energies per atom",
    )
    command.add_argument(
        "--column",
        action="append",
        metavar="ROLE=NAME",
        help=f"of a table of relaxed pairs what a column is, where its name does not tell; may be given again; roles: {', '.join(PATTERNS)}",
    )
    _target_options(command, "made from the file's name if not given")


def _download(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        return imports.download_dataset(o.title, o.name, o.replace, o.background, say) if o.title else imports.known_downloads()

    examples = ["", "'MatPES 2025.2 · PBE, test part' --name matpes-test", "MatPES-R2SCAN-2025.1 --background"]
    note = "Called again after a break it goes on where it broke off; size and SHA-256 are compared with what the hub says. HF_ENDPOINT names another hub."
    command = add_command(
        added,
        "download",
        run,
        "Download a MatPES file from Hugging Face and import it; without a title, list what is known.",
        examples,
        note,
    )
    command.add_argument("title", nargs="?", metavar="TITLE", help="title, or name of the file without its ending")
    _target_options(command, "made from the file's name if not given", titled=False)


def _materials_project(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        return imports.materials_project_dataset(o.systems, Functional(o.functional), o.name, o.subsystems, o.replace, o.background, say)

    examples = ["Li-Fe-O --functional r2scan --name li-fe-o", "'Li-O, Na-Cl' --functional pbe --name salts --subsystems"]
    note = f"The key is read from {KEY} in the environment (https://next-gen.materialsproject.org/api); it is not written anywhere.\nRelaxed structures with total energies; no forces, no stress. PBE energies include the corrections of MP2020."
    command = add_command(
        added,
        "materials-project",
        run,
        "Import relaxed structures and energies of chemical systems from the Materials Project.",
        examples,
        note,
    )
    command.add_argument("systems", metavar="SYSTEMS", help="chemical systems separated by commas, such as Li-Fe-O,Na-Cl")
    command.add_argument("--functional", choices=[f.value for f in Functional], required=True, help="whose energies")
    command.add_argument("--subsystems", action="store_true", help="the systems within each as well: of Li-O also Li and O")
    _target_options(command, "made from the systems if not given", titled=False)


def _target_options(command: argparse.ArgumentParser, default_name: str, titled: bool = True) -> None:
    command.add_argument("--name", default="", help=f"name of the dataset; {default_name}")
    if titled:
        command.add_argument("--title", default="", help="title on screen; the name if empty")
    command.add_argument("--replace", action="store_true", help="replace a dataset of the same name")
    command.add_argument("--background", action="store_true", help="put it into the queue and return; `imports` follows it")


def _imports(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        if o.job is None:
            if o.action:
                raise ConfigError(f"Name the import to {o.action}: {PROGRAM} imports JOB --{o.action}.")
            return imports.listing()
        return imports.act(o.job, o.action)

    command = add_command(
        added,
        "imports",
        run,
        "List the imports in the background, or look at, cancel, restart or dismiss one.",
        ["", "JOB", "JOB --cancel", "JOB --restart", "JOB --dismiss"],
    )
    command.add_argument("job", nargs="?", metavar="JOB", help="this one only")
    actions = command.add_mutually_exclusive_group()
    for action, sentence in (
        ("cancel", "stop it; nothing of it is kept"),
        ("restart", "start it over after it ended early; a download goes on"),
        ("dismiss", "take it off the list; its dataset stays"),
    ):
        actions.add_argument(f"--{action}", dest="action", action="store_const", const=action, default=argparse.SUPPRESS, help=sentence)
    command.set_defaults(action=None)


def _datasets(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        if o.delete and not o.name:
            raise ConfigError(f"Name the dataset to delete: {PROGRAM} datasets NAME --delete.")
        return data.delete(o.name) if o.delete else data.describe(o.name) if o.name else data.datasets()

    note = "Shown of one: labels, elements, chemical systems, ranges, licence, source and hashes, and what its import left out, masked and assumed."
    command = add_command(
        added, "datasets", run, "List the datasets and tables of relaxed pairs, or describe or delete one.", ["", "xfunc-dft-r2scan", "my-pbe --delete"], note
    )
    command.add_argument("name", nargs="?", help="describe this one")
    command.add_argument("--delete", action="store_true", help="delete it")


def _check(added: Any) -> None:
    note = "Warnings are in the way of using the data, the rest is good to know. --json has the ids of every frame."
    command = add_command(
        added,
        "check",
        lambda o, say: validation.check(o.name, say),
        "Check whether a dataset can be trusted: labels, outliers, duplicates, isolated and overlapping atoms, corrections, +U, signs.",
        ["xfunc-dft-r2scan", "my-pbe --json > report.json"],
        note,
    )
    command.add_argument("name", metavar="NAME", help="the dataset")


COMMANDS = (_import, _imports, _download, _materials_project, _datasets, _check)
"""Each adds its command to the subparsers."""
