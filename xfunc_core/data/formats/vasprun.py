"""vasprun.xml, step by step: expat feeds a small state machine, so that memory does not grow with the file.

A document type declaration is refused, and with it every entity, external or recursive. What is not
asked for (eigenvalues, densities of states, …) is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from xfunc_core.data.formats.opening import open_plain
from xfunc_core.data.formats.vasp_step import KBAR_A3_TO_EV, EndOfCalculation, Header, Step, element_of, keep, parse_float

CHUNK = 1 << 16
MAX_DEPTH = 100
"""Elements within elements; VASP needs a dozen."""
MAX_TEXT = 10_000
"""Characters of text one element may have; long rows of POMASS and the like stay far below."""
MAX_TAGS = 10_000
"""Tags a calculation may set."""

_TABLES = {
    ("structure", "crystal", "varray:basis"): "lattice",
    ("structure", "varray:positions"): "positions",
    ("varray:forces",): "forces",
    ("varray:stress",): "stress",
}
"""Fields of a `Step` by the place of their rows in a <calculation>."""


def read_vasprun(path: Path) -> Iterator[Header | Step]:
    """Yield the header, once, before the first step, then every step.

    Raises:
        EndOfCalculation: the file breaks off or is no vasprun.xml.
        DataError: the file cannot be read.
    """
    machine = _Machine()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = machine.start
    parser.EndElementHandler = machine.end
    parser.CharacterDataHandler = machine.text
    parser.StartDoctypeDeclHandler = machine.doctype
    with open_plain(path) as stream:
        while True:
            chunk = stream.read(CHUNK)
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                yield from machine.take()
                raise EndOfCalculation(f"its XML breaks off or is damaged in line {error.lineno} ({expat.ErrorString(error.code)})") from error
            except (LookupError, ValueError) as error:  # an encoding that Python does not know, or not as text
                raise EndOfCalculation("its XML is in an unknown encoding") from error
            yield from machine.take()
            if not chunk:
                return


class _Machine:
    """Collects the header and the steps while the parser walks through the file."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._length = 0
        self._header = Header()
        self._incar: dict[str, str] = {}
        self._cells: list[str] = []
        self._done: list[Header | Step] = []
        self._step: _OpenStep | None = None
        self._begun = False

    def take(self) -> list[Header | Step]:
        """What was completed since the last time."""
        done, self._done = self._done, []
        return done

    def doctype(self, *_: object) -> None:
        raise EndOfCalculation("it declares a document type, which VASP never does")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("name")
        self._path.append(f"{tag}:{name.strip()}" if name else tag)
        if len(self._path) > MAX_DEPTH:
            raise EndOfCalculation("its XML is nested too deeply")
        if len(self._path) == 1 and tag != "modeling":
            raise EndOfCalculation(f"it is no vasprun.xml (it starts with <{tag[:40]!r}>)")
        if self._path == ["modeling", "calculation"]:
            self._begin()
        if tag in ("i", "v", "c"):
            self._text, self._length = [], 0

    def text(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)
            self._length += len(data)
            if self._length > MAX_TEXT:
                raise EndOfCalculation(f"one of its elements has more than {MAX_TEXT:,} characters")

    def end(self, tag: str) -> None:
        text, self._text = "".join(self._text or ()).strip(), None
        section = self._path[1] if len(self._path) > 1 else ""
        if section == "calculation" and self._step:
            self._step.element(tuple(self._path[2:]), text)
        elif section in ("incar", "parameters") and tag in ("i", "v"):
            self._tag(section, text)
        elif section == "atominfo":
            self._atom(tag, text)
        if self._path == ["modeling", "calculation"] and self._step:
            self._done.append(self._step.finish())
            self._step = None
        self._path.pop()

    def _begin(self) -> None:
        if not self._begun:
            self._header.tags |= {name: text for name, text in self._incar.items() if text}
            self._header.symbols = [self._symbol(cells) for cells in self._header.symbols]
            self._done.append(self._header)
            self._begun = True
        tags = self._header.tags
        self._step = _OpenStep(parse_float(tags.get("NELM", "60")) or 60, parse_float(tags.get("PSTRESS", "0")) or 0.0)

    def _symbol(self, cells: str) -> str:
        """The element of an atom: by its species, since VASP writes ``r`` for zirconium; by its own name where species are missing."""
        own, _, place = cells.partition("\t")
        species = self._header.species
        return species[int(place) - 1] if place.isdecimal() and 0 < int(place) <= len(species) else own

    def _tag(self, section: str, text: str) -> None:
        kept = self._incar if section == "incar" else self._header.tags
        if len(kept) < MAX_TAGS:
            kept[self._path[-1].partition(":")[2].upper()] = text

    def _atom(self, tag: str, text: str) -> None:
        if tag == "c":
            self._cells.append(text)
        elif tag == "rc":
            cells, self._cells = self._cells, []
            if "array:atoms" in self._path and cells:
                keep(self._header.symbols, f"{cells[0]}\t{cells[-1][:9]}", "atoms")
            elif "array:atomtypes" in self._path and len(cells) > 1:
                keep(self._header.potentials, cells[-1], "species")
                keep(self._header.species, element_of(cells[-1]) or cells[1], "species")


class _OpenStep:
    """A <calculation> that is being read."""

    def __init__(self, nelm: float, pstress: float) -> None:
        self._step = Step()
        self._nelm, self._pstress = nelm, pstress
        self._electronic_steps = 0
        self._volume = 0.0
        self._energies: dict[str, float | None] = {}
        self._last: dict[str, float | None] = {}

    def element(self, path: tuple[str, ...], text: str) -> None:
        """Take what the element at ``path`` within the calculation holds."""
        field_name = _TABLES.get(path[:-1]) if path and path[-1] == "v" else None
        if field_name:
            keep(getattr(self._step, field_name), text, field_name)
        elif path == ("scstep",):
            self._electronic_steps += 1
        elif path[:2] == ("scstep", "energy") and len(path) == 3:
            self._last[path[2]] = parse_float(text)
        elif path[:1] == ("energy",) and len(path) == 2:
            self._energies[path[1]] = parse_float(text)
        elif path == ("structure", "crystal", "i:volume"):
            self._volume = parse_float(text) or 0.0

    def finish(self) -> Step:
        """The step, its energy put together and its stress in one row."""
        step = self._step
        step.energy = self._energy()
        if step.stress:
            rows = [row.split() for row in step.stress]
            whole = len(rows) == 3 and all(len(row) == 3 for row in rows)
            step.stress = [rows[i][j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))] if whole else step.stress
        if not self._electronic_steps:
            step.unconverged = "it has no electronic steps (VASP's own machine-learned force field makes such steps)"
        elif self._electronic_steps >= self._nelm:
            step.unconverged = f"its electrons did not converge within NELM = {self._nelm:.0f} steps"
        return step

    def _energy(self) -> float | None:
        """Energy at zero smearing: VASP writes a wrong e_0_energy at the end of a step, and an enthalpy under PSTRESS, so both are undone."""
        free = self._energies.get("i:e_fr_energy")
        last_free, last_zero = self._last.get("i:e_fr_energy"), self._last.get("i:e_0_energy")
        if free is None or last_free is None or last_zero is None:
            return None
        return free + (last_zero - last_free) - self._pstress * self._volume * KBAR_A3_TO_EV
