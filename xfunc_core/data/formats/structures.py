"""Structures without labels (CIF, POSCAR, pymatgen JSON), one file or a folder of them, to frames."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from xfunc_core.data.formats import values
from xfunc_core.data.formats.cif import read_cif
from xfunc_core.data.formats.functional_names import Said, settle_functional
from xfunc_core.data.formats.json_stream import read_documents
from xfunc_core.data.formats.opening import head
from xfunc_core.data.formats.poscar import read_poscar
from xfunc_core.data.formats.structure_dict import Crystal, read_structure
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional, count_text

NAMED = 5
"""Files passed over that are named."""
NO_LABELS = ("no energy", "no forces", "no stress")

_FILE = re.compile(r"(POSCAR|CONTCAR).*|.*\.(cif|mcif|poscar|vasp)(\.gz)?", re.IGNORECASE)
_SUFFIX = re.compile(r"(\.(cif|mcif|poscar|vasp|json))?(\.gz)?$", re.IGNORECASE)
_CIF = re.compile(rb"^\s*(data_|_cell_length_a\s)", re.MULTILINE | re.IGNORECASE)


def read_structures(path: Path, functional: Said = None) -> Iterator[Frame | Rejected | Note]:
    """Yield a Frame without labels or a Rejected for every structure.

    Args:
        path: a CIF file of any number of blocks, a POSCAR, a pymatgen structure as JSON, or a folder with CIF files and POSCARs.
        functional: under which to file the structures; a dataset has one, although they have no labels.

    Raises:
        DataError: no functional is given, a single file cannot be read, or a folder holds no structures.
    """
    if functional is None:
        raise DataError(f"{path.name} holds structures without labels; say which functional to file them under (PBE or r2SCAN).")
    filed_under = settle_functional(None, functional, path.name)
    yield Note("The structures carry no energies, forces or stress.")
    if passed := passed_over(path):
        yield Note(passed)
    position = 0
    for name, file in _files(path):
        for number, crystal in enumerate(_crystals(file, alone=file == path), start=1):
            position += 1
            frame_id = name if number == 1 else f"{name}-{number}"
            try:
                yield _frame(crystal, values.identifier(frame_id, "path"), filed_under)
            except values.Unusable as problem:
                yield Rejected(position, values.shown(frame_id), str(problem))


def passed_over(path: Path) -> str:
    """A sentence about the files of a folder that hold no structure by their names; empty if there are none, and for a file."""
    names = [(Path(folder) / name).relative_to(path).as_posix() for folder, _, files in os.walk(path) for name in files if not (name.startswith(".") or _FILE.fullmatch(name))]
    if not names:
        return ""
    shown = sorted(names)[:NAMED]
    more = f" and {count_text(len(names) - len(shown))} more" if len(names) > len(shown) else ""
    return f"Only CIF files and POSCARs are read in a folder; passed over: {', '.join(map(values.shown, shown))}{more}."


def structure_files(folder: Path) -> Iterator[Path]:
    """The files of a folder that would be read, in a fixed order."""
    for _, file in _files(folder):
        yield file


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of everything to read; links to folders are not followed, so a walk always ends."""
    if not path.is_dir():
        yield _SUFFIX.sub("", path.name), path
        return
    found = False
    for folder, below, files in os.walk(path):
        below.sort()
        for file in sorted(filter(_FILE.fullmatch, files)):
            found = True
            whole = Path(folder) / file
            yield _SUFFIX.sub("", whole.relative_to(path).as_posix()), whole
    if not found:
        raise DataError(f"{path.name} holds no CIF file and no POSCAR at any depth: choose a folder of structures.")


def _crystals(file: Path, alone: bool) -> Iterator[Crystal | values.Unusable]:
    try:
        start = head(file, 1 << 16)
        if not start.strip():
            yield values.Unusable("it is empty")
        elif start.lstrip()[:1] in (b"{", b"["):
            yield from _from_json(file)
        else:
            yield from read_cif(file) if _CIF.search(start) else read_poscar(file)
    except DataError as problem:
        if alone:
            raise
        said_why = str(problem)
        yield values.Unusable(f"it cannot be read: {said_why if said_why.isprintable() else ascii(said_why)}")


def _from_json(file: Path) -> Iterator[Crystal | values.Unusable]:
    for _, document in read_documents(file):
        try:
            yield read_structure(document, [])
        except values.Unusable as problem:
            yield problem


def _frame(crystal: Crystal | values.Unusable, frame_id: str, functional: Functional) -> Frame:
    if isinstance(crystal, values.Unusable):
        raise crystal
    return Frame(frame_id, frame_id, functional, crystal.numbers, crystal.lattice, crystal.positions, magmoms=crystal.magmoms, masked=NO_LABELS)
