"""VASP calculations, one file or a folder of them, to frames: every converged ionic step of vasprun.xml or OUTCAR.

The functional is read from the calculation itself. Of a calculation that has both files, vasprun.xml is
read, whose numbers have more digits. Energies are those at zero smearing (``e_0_energy``), as in MPtrj.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from xfunc_core.data.formats import values
from xfunc_core.data.formats.functional_names import Said
from xfunc_core.data.formats.opening import head
from xfunc_core.data.formats.outcar import read_outcar
from xfunc_core.data.formats.vasp_setup import Setup, hubbard_notes, read_incar, settle_setup
from xfunc_core.data.formats.vasp_step import EndOfCalculation, Header, Step, frame_of
from xfunc_core.data.formats.vasprun import read_vasprun
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.errors import DataError

MAX_INCAR = 1 << 16
"""Bytes of an INCAR that are looked at."""

_OUTPUT = re.compile(r"(vasprun|outcar)(.*?)(\.xml)?(\.gz)?", re.IGNORECASE)
_ENERGY_NOTE = "Energies are VASP's at zero smearing (e_0_energy) in total eV; stress is read as kbar with VASP's sign and kept as GPa, tension positive."
_MATERIAL_NOTE = "Every calculation counts as one material: calculations of the same material fall into different parts of a split."


def read_vasp(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame or a Rejected for every ionic step, calculation by calculation, and notes.

    Args:
        path: a vasprun.xml or an OUTCAR, gzip or not, or a folder with any number of them at any depth.
        functional: what is to be read; calculations with the other one are rejected. Also what the labels
            are of calculations that do not say.

    Raises:
        DataError: a single file cannot be read, or a folder holds no calculation.
    """
    yield Note(_ENERGY_NOTE)
    yield Note(_MATERIAL_NOTE)
    position = 0
    for name, file in _calculations(path):
        for item in _calculation(file, name, functional, alone=file == path):
            if isinstance(item, Note):
                yield item
                continue
            position += 1
            yield Rejected(position, item.frame_id, item.reason) if isinstance(item, Rejected) else item


def vasp_files(folder: Path) -> Iterator[Path]:
    """The files of a folder that would be read, in a fixed order."""
    for _, file in _calculations(folder):
        yield file


def _calculations(path: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of every calculation; links to folders are not followed, so a walk always ends."""
    if not path.is_dir():
        yield path.name.removesuffix(".gz").removesuffix(".xml"), path
        return
    found = False
    for folder, below, files in os.walk(path):
        below.sort()
        outputs: dict[str, Path] = {}
        for file in sorted(files):  # OUTCAR comes before vasprun, which takes its place
            named = _OUTPUT.fullmatch(file)
            if named:
                outputs[named[2]] = Path(folder) / file
        place = Path(folder).relative_to(path).as_posix()
        for suffix, file in outputs.items():
            found = True
            yield (path.name if place == "." else place) + suffix, file
    if not found:
        raise DataError(f"{path.name} holds no vasprun.xml and no OUTCAR at any depth: choose a folder of VASP calculations.")


def _calculation(file: Path, name: str, said: Said, alone: bool) -> Iterator[Frame | Rejected | Note]:
    """The frames of one calculation; what ends it early is its last item."""
    header, setup = Header(), None
    step_number = 0
    try:
        name = values.identifier(name, "path")
        for part in _reader(file)(file):
            if isinstance(part, Header):
                header, tags = part, part.tags | _incar_beside(file)
                setup = settle_setup(tags, part.potentials, said)
                yield from hubbard_notes(setup, tags, part.species)
            elif setup:
                step_number += 1
                yield _frame(part, header, setup, name, step_number)
    except (EndOfCalculation, values.Unusable) as problem:
        yield Rejected(0, values.shown(name), str(problem))
    except DataError as problem:
        if alone:
            raise
        said_why = str(problem)
        yield Rejected(0, values.shown(name), f"it cannot be read: {said_why if said_why.isprintable() else ascii(said_why)}")


def _incar_beside(file: Path) -> dict[str, str]:
    """The tags of the INCAR that belongs to an OUTCAR, if it lies there: not every VASP writes the name of a meta-GGA to OUTCAR."""
    named = _OUTPUT.fullmatch(file.name)
    if not named or named[1].lower() != "outcar":
        return {}
    for incar in (file.with_name(f"INCAR{named[2]}"), file.with_name(f"INCAR{named[2]}.gz")):
        if incar.is_file():
            return read_incar(head(incar, MAX_INCAR).decode(errors="replace"))
    return {}


def _reader(file: Path) -> Callable[[Path], Iterator[Header | Step]]:
    return read_vasprun if head(file, 1024).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") else read_outcar


def _frame(step: Step, header: Header, setup: Setup, name: str, number: int) -> Frame | Rejected:
    try:
        frame_id = values.identifier(f"{name}-{number}", "path")
        return frame_of(step, header.symbols, setup, frame_id, name, {"calculation": name, "ionic_step": number})
    except values.Unusable as problem:
        return Rejected(0, values.shown(f"{name}-{number}"), str(problem))
