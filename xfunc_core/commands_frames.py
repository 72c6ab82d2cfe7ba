"""The commands on the frames of datasets: frames, export, subset, split, correlate, pairs."""

from __future__ import annotations

import argparse
import math
from typing import Any

from xfunc_core.analysis.groups import Attribution
from xfunc_core.answers import frames, pairing
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.answers.correlation import Wanted, correlate
from xfunc_core.command_parser import add_command
from xfunc_core.data.exporting import ExportFormat
from xfunc_core.data.overview import COLUMNS
from xfunc_core.data.pairs import PairingMethod
from xfunc_core.data.query import LABELS, NUMBERS, TEXTS, Filter
from xfunc_core.errors import ConfigError
from xfunc_core.explore.compared import COMPARED
from xfunc_core.references.paired import PairedScheme

OPEN = "any"
"""An open end of a range."""
_HOW = [method.value for method in PairingMethod]
_METHODS = "\n".join(f"  {method.value:<10} {method.sentence}" for method in PairingMethod)
_RANGES = (
    "ranges are in: "
    + ", ".join(f"{key} ({column.unit})" if column.unit else key for key, column in COLUMNS.items())
    + "\npressure is positive in compression; above_fit is against a least-squares fit of elemental energies to the dataset"
)


def _frames(added: Any) -> None:
    examples = [
        "xfunc-dft-r2scan --any-of O,F --sort energy_per_atom",
        "my-pbe --only Fe,O --hubbard-u no --range largest_force 0 5",
        "my-pbe --range above_fit 0.5 any --sort above_fit --descending --limit 50 --offset 50",
    ]
    command = add_command(
        added,
        "frames",
        lambda o, say: frames.listing(o.name, _filter(o), o.sort or "row_index", o.descending, o.offset, o.limit),
        "List frames of a dataset: filtered, sorted, page by page.",
        examples,
        _RANGES,
    )
    command.add_argument("name", metavar="NAME", help="the dataset")
    command.add_argument(
        "--sort", choices=[*TEXTS, *NUMBERS], metavar="COLUMN", help=f"by one of {', '.join([*TEXTS, *NUMBERS])}; as imported if not given"
    )
    command.add_argument("--descending", action="store_true", help="largest first")
    command.add_argument("--limit", type=int, default=20, help="most frames to list")
    command.add_argument("--offset", type=int, default=0, help="frames to pass over")
    _filter_options(command)


def _export(added: Any) -> None:
    note = "\n".join(["formats:", *(f"  {f.value:<8} {f.sentence}" for f in ExportFormat), "", _RANGES])
    examples = ["xfunc-dft-r2scan r2scan.extxyz", "my-pbe oxides.jsonl --all-of O --has forces,stress", "my-pbe table.txt --format csv"]
    command = add_command(
        added,
        "export",
        lambda o, say: frames.export_frames(o.name, o.file, o.format, _filter(o), o.replace, say),
        "Write frames of a dataset to a file that other programs read.",
        examples,
        note,
    )
    command.add_argument("name", metavar="NAME", help="the dataset")
    command.add_argument("file", metavar="FILE", help="the file to write; whole or not at all")
    command.add_argument(
        "--format",
        choices=[f.value for f in ExportFormat],
        help=f"told by the ending if not given ({', '.join(f.suffix for f in ExportFormat)})",
    )
    command.add_argument("--replace", action="store_true", help="replace a file that is there")
    _filter_options(command)


def _subset(added: Any) -> None:
    examples = ["my-pbe my-pbe-oxides --all-of O --title 'Oxides'", "my-pbe my-pbe-calm --range largest_force any 2 --without Yb"]
    command = add_command(
        added,
        "subset",
        lambda o, say: frames.subset(o.name, o.new, o.title, _filter(o), say),
        "Save frames of a dataset as a dataset in its own right.",
        examples,
        _RANGES,
    )
    command.add_argument("name", metavar="NAME", help="the dataset")
    command.add_argument("new", metavar="NEW", help="name of the subset")
    command.add_argument("--title", default="", help="title on screen; the name if empty")
    _filter_options(command)


def _split(added: Any) -> None:
    note = "Split by material: no material is in two parts, and every element stays in training. The same seed gives the same parts,\nand two datasets of the same materials are split alike. Fractions are of materials."
    command = add_command(
        added,
        "split",
        lambda o, say: frames.split(o.name, o.validation, o.test, o.seed, o.file, say),
        "Save the parts of a dataset as NAME-train, NAME-validation and NAME-test.",
        ["my-r2scan", "my-r2scan --validation 0.05 --test 0.05 --seed 1", "matpes-r2scan --file MatPES-R2SCAN-2025.1-split.json.gz"],
        note,
    )
    command.add_argument("name", metavar="NAME", help="the dataset")
    command.add_argument("--validation", type=float, default=0.15, help="fraction of materials to validate on")
    command.add_argument("--test", type=float, default=0.15, help="fraction of materials to test on")
    command.add_argument("--seed", type=int, default=0, help="of the shuffle")
    command.add_argument("--file", help="a split file of MatPES to follow instead; its numbers count the documents of the data file")


def _correlate(added: Any) -> None:
    def run(o: argparse.Namespace, say: Say) -> Answer:
        wanted = Wanted(PairingMethod(o.pair), o.references, o.quantity, o.attribution, o.elements, o.chemistry, _filter(o))
        return correlate(_names(o), wanted, say)

    examples = [
        "",
        "--elements O,F",
        "my-table --references atomref --chemistry                (a table of relaxed pairs)",
        "my-pbe my-r2scan --quantity force --any-of Fe,Ni --range largest_force any 5",
        "my-pbe my-r2scan --pair material --quantity volume",
    ]
    note = "\n".join(
        [
            "quantities:",
            *(f"  {c.key:<16} {c.sentence} {c.quantity.unit}" for c in COMPARED.values()),
            "\nreferences:",
            *(f"  {s.value:<16} {s.sentence}" for s in PairedScheme),
            f"\nways of pairing:\n{_METHODS}",
            "\nattributions:",
            *(f"  {a.value:<16} {a.sentence}" for a in Attribution),
            "\nThe numbers in parentheses are intervals of 95 per cent by resampling materials. MAE and RMSE are of r²SCAN − PBE, the mean shift included.",
            "Of a pair both frames must pass the filter.",
            "",
            _RANGES,
        ]
    )
    sentence = "Say how PBE and r²SCAN agree over the frames that two datasets share, or over a table of relaxed pairs."
    command = add_command(added, "correlate", run, sentence, examples, note)
    _two_datasets(command)
    command.add_argument("--pair", choices=_HOW, default=PairingMethod.BY_ID.value, help="how the two frames of a pair are found")
    command.add_argument("--quantity", choices=list(COMPARED), default="", metavar="QUANTITY", help=f"one of {', '.join(COMPARED)}; an overview of all if not given")
    command.add_argument("--references", choices=[s.value for s in PairedScheme], default=PairedScheme.LSTSQ.value, help="what to subtract from the energies")
    command.add_argument("--attribution", choices=[a.value for a in Attribution], default="", help="how values are shared among elements; the usual way of the quantity if not given")
    command.add_argument("--elements", default="", metavar="Fe,O", help="only these in the table of elements")
    command.add_argument("--chemistry", action="store_true", help="list oxides, fluorides, intermetallics, 3d and so on, too")
    _filter_options(command)


def _pairs(added: Any) -> None:
    examples = ["", "matpes-elements-pbe matpes-elements-r2scan --how material", "my-pbe my-r2scan --how structure --json > pairs.json"]
    command = add_command(
        added,
        "pairs",
        lambda o, say: pairing.pairs(_names(o), PairingMethod(o.how), say),
        "Pair the frames of a PBE and an r²SCAN dataset, and say why the others have no partner.",
        examples,
        f"ways of pairing:\n{_METHODS}\n\n--json has every pair, and every other frame with its reason. A table of relaxed pairs says which rows its import left out.",
    )
    _two_datasets(command)
    command.add_argument("--how", choices=_HOW, default=PairingMethod.BY_ID.value, help="how the two frames of a pair are found")


def _two_datasets(command: argparse.ArgumentParser) -> None:
    command.add_argument("pbe", nargs="?", help=f"dataset labelled with PBE, or a table of relaxed pairs alone; {pairing.DEFAULT[0]} if not given")
    command.add_argument("r2scan", nargs="?", help=f"dataset labelled with r²SCAN; {pairing.DEFAULT[1]} if not given")


def _names(options: argparse.Namespace) -> list[str]:
    return [name for name in (options.pbe, options.r2scan) if name is not None]


def _filter_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("which frames (all that is asked must hold)")
    for name, sentence in (
        ("any-of", "at least one of these elements"),
        ("all-of", "all of these elements"),
        ("only", "no other elements than these"),
        ("without", "none of these elements"),
    ):
        group.add_argument(f"--{name}", default="", metavar="Fe,O", help=sentence)
    group.add_argument("--system", default="", metavar="Fe-O", help="of exactly this chemical system")
    group.add_argument("--has", default="", metavar="LABELS", help=f"with these labels, of {', '.join(LABELS)}")
    group.add_argument("--hubbard-u", choices=["yes", "no"], help="calculated with a Hubbard U, or without")
    group.add_argument("--contains", default="", metavar="TEXT", help="in the id, the material's id or the formula")
    group.add_argument(
        "--range",
        nargs=3,
        action="append",
        metavar=("NUMBER", "LOW", "HIGH"),
        help=f"a number between two values, of which one may be '{OPEN}' (negative ones without an exponent: -0.5, not -5e-1); may be given again for others",
    )


def _filter(options: argparse.Namespace) -> Filter:
    return Filter(
        any_of=_listed(options.any_of),
        all_of=_listed(options.all_of),
        only=_listed(options.only),
        without=_listed(options.without),
        chemical_system=options.system,
        labels=_listed(options.has),
        hubbard_u=None if options.hubbard_u is None else options.hubbard_u == "yes",
        text=options.contains,
        ranges=tuple(_range(*given) for given in options.range or ()),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _range(key: str, low: str, high: str) -> tuple[str, float, float]:
    if low == high == OPEN:
        raise ConfigError(f"--range {key[:40]} needs at least one end that is a number.")
    return key, _bound(low, -math.inf), _bound(high, math.inf)


def _bound(text: str, end: float) -> float:
    """A bound as it is typed; ``end`` where it is open."""
    if text == OPEN:
        return end
    try:
        number = float(text.replace("−", "-"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{text[:40]!r} in --range is no number: write one, or {OPEN!r} for an open end.")
    return number


COMMANDS = (_frames, _export, _subset, _split, _correlate, _pairs)
"""Each adds its command to the subparsers."""
