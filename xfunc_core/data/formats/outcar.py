"""OUTCAR, line by line.

VASP prints the stress of a step in the order XX YY ZZ XY YZ ZX, positions in Cartesian Å, and the energy
last, which therefore closes a step. Moments are the totals of the table ``magnetization (x)``, which VASP
prints where LORBIT is 10 or more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xfunc_core.data.formats.opening import open_lines
from xfunc_core.data.formats.vasp_setup import is_set
from xfunc_core.data.formats.vasp_step import MAX_ROWS, EndOfCalculation, Header, Step, element_of, keep, parse_float

MAX_TITLES = 1000
"""Pseudopotentials a calculation may name."""

_TAG = re.compile(r"^\s*(METAGGA|GGA|LEXCH|LHFCALC|HFSCREEN|IVDW|LVDW|LUSE_VDW|PSTRESS)\s*=\s*(\S+)")
_LDAU = re.compile(r"\b(LDAUU|LDAUJ)\s*=((?:\s+[-+.\dEe]+)+)")
_GLUED = re.compile(r"(?<=\d)-(?=\d)")
"""VASP's columns leave no space before a long negative number."""


def read_outcar(path: Path) -> Iterator[Header | Step]:
    """Yield the header, once, before the first step, then every step.

    Raises:
        EndOfCalculation: the file breaks off within a step, or is no OUTCAR.
        DataError: the file cannot be read.
    """
    with open_lines(path) as lines:
        yield from _Scan(lines).parts()


class _Scan:
    """Walks through the lines and keeps what the current step has shown so far."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._header = Header()
        self._named: list[str] = []
        self._counts: list[int] = []
        self._lattice: list[str] = []
        self._step: Step | None = None
        self._begun = False

    def parts(self) -> Iterator[Header | Step]:
        """The header and the steps."""
        for line in self._lines:
            if not self._begun and ("=" in line or ":" in line):
                self._read_header(line)
            if "Iteration" in line and re.search(r"Iteration\s+\d+\(\s*1\)", line):
                yield from self._begin()
            if self._step is None:
                self._read_lattice(line)
            elif self._read_step(line, self._step):
                yield self._step
                self._step = None
        if not self._begun:
            raise EndOfCalculation("it is no OUTCAR, or breaks off before its first step")
        if self._step is not None:
            raise EndOfCalculation("it breaks off within a step")

    def _begin(self) -> Iterator[Header]:
        if not self._begun:
            self._finish_header()
            self._begun = True
            yield self._header
        self._step = Step(fractional=False, unconverged="its electrons did not converge (VASP does not say that EDIFF was reached)")

    def _read_header(self, line: str) -> None:
        if "TITEL" in line and "=" in line:
            self._title(self._header.potentials, line.partition("=")[2].strip())
        elif line.lstrip().startswith("POTCAR:"):
            self._title(self._named, line.partition(":")[2].strip())
        elif "ions per type" in line:
            words = line.partition("=")[2].split()
            self._counts = [int(word) for word in words if word.isdecimal() and len(word) < 8]
        elif "LDA+U is selected" in line:
            self._header.tags["LDAU"] = "T"
        tag = _TAG.match(line)
        if tag and (tag[1] not in self._header.tags or is_set(tag[2])):
            self._header.tags[tag[1]] = tag[2]
        if "LDAU" in line:
            self._header.tags |= dict(_LDAU.findall(line))

    @staticmethod
    def _title(titles: list[str], title: str) -> None:
        if len(titles) >= MAX_TITLES:
            raise EndOfCalculation(f"it names more than {MAX_TITLES:,} pseudopotentials")
        titles.append(title)

    def _finish_header(self) -> None:
        """One symbol an atom; VASP names every potential once as TITEL, or twice in a row of POTCAR lines where it wrote little."""
        header = self._header
        if len(header.potentials) != len(self._counts):
            header.potentials = self._named[: len(self._named) // 2]
        header.species = [element_of(title) for title in header.potentials]
        if len(header.species) != len(self._counts) or sum(self._counts) > MAX_ROWS:
            raise EndOfCalculation("it does not say which atoms it has")
        header.symbols = [symbol for symbol, count in zip(header.species, self._counts, strict=True) for _ in range(count)]

    def _read_lattice(self, line: str) -> None:
        if "direct lattice vectors" in line:
            self._lattice = [" ".join(_GLUED.sub(" -", row).split()[:3]) for row in islice(self._lines, 3)]

    def _read_step(self, line: str, step: Step) -> bool:
        """Take a line of a step; whether it was the last."""
        self._read_lattice(line)
        if "aborting loop" in line:
            step.unconverged = "" if "EDIFF is reached" in line else "its electrons did not converge (EDIFF was not reached)"
        elif line.lstrip().startswith("in kB"):
            words = _GLUED.sub(" -", line).split()[2:]
            step.stress = [words[i] for i in (0, 1, 2, 4, 5, 3)] if len(words) == 6 else words
        elif "TOTAL-FORCE (eV/Angst)" in line:
            self._read_forces(step)
        elif line.strip() == "magnetization (x)":
            self._read_moments(step)
        elif "energy  without entropy" in line:  # two spaces: the last word on a step, not an electronic one
            step.energy = parse_float(line.rpartition("=")[2].strip())
            step.lattice = list(self._lattice)
            return True
        return False

    def _read_forces(self, step: Step) -> None:
        step.positions, step.forces = [], []
        for line in islice(self._lines, 1, 1 + len(self._header.symbols)):
            words = _GLUED.sub(" -", line).split()
            keep(step.positions, " ".join(words[:3]), "atoms")
            keep(step.forces, " ".join(words[3:]), "atoms")

    def _read_moments(self, step: Step) -> None:
        step.magmoms = []
        for line in islice(self._lines, 3, 3 + len(self._header.symbols)):
            words = _GLUED.sub(" -", line).split()
            keep(step.magmoms, words[-1] if words else "", "atoms")
