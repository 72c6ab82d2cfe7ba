"""The rows of a relaxed-pair table: each is kept, or left out with its line and a reason."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from xfunc_core.data.formulas import alike, hill_formula, parse_composition, parse_formula
from xfunc_core.data.pair_table_columns import ENERGIES, NUMBERS
from xfunc_core.data.per_atom import MOST_COMPOSITIONS, Verdict, judge
from xfunc_core.data.possible import LIMITS
from xfunc_core.elements import Z_OF
from xfunc_core.errors import DataError
from xfunc_core.quantities import ENERGY, Functional, count_text, counted

LABELS = tuple(f"{label}_{f.value}" for label in ("energy", "formation_energy", "volume") for f in Functional)
"""What a row may hold for each functional: eV/atom, eV/atom, Å³/atom."""
MOST_ATOMS = 1_000_000
"""Of one cell; more is a mistake."""
LARGEST_VOLUME = 1e7
"""Å³/atom; more is a mistake."""
_ABSENT = {"", "nan", "none", "null", "na", "n/a", "-", "–"}
_COLUMNS = 128


@dataclass
class PairRows:
    """The rows that were kept, column by column, and what became of the others.

    Attributes:
        line: line of the file each row began on.
        frame_id: unique; the table's own, or made of the material's id.
        material_id: groups the rows of one material.
        formula: reduced, in Hill's order.
        counts: atoms by symbol, of a cell or of a formula unit.
        n_atoms: of the cell where the table tells it, else of its formula.
        labels: columns of `LABELS`, per atom, NaN where absent.
        dropped: rows left out, each ``{"document": line, "frame_id", "reason"}``.
        notes: what was assumed, a sentence each.
    """

    line: list[int] = field(default_factory=list)
    frame_id: list[str] = field(default_factory=list)
    material_id: list[str] = field(default_factory=list)
    formula: list[str] = field(default_factory=list)
    counts: list[dict[str, float]] = field(default_factory=list)
    n_atoms: list[int] = field(default_factory=list)
    labels: dict[str, list[float]] = field(default_factory=lambda: {label: [] for label in LABELS})
    dropped: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of rows that were kept."""
        return len(self.line)


class RowParser:
    """Turns cells into rows; keeps what it knows of ids and formulas."""

    def __init__(self, header: Sequence[str], places: Mapping[str, int], energies: str) -> None:
        self._header, self._places, self._said = header, places, Verdict(energies)
        self._rows = PairRows()
        self._seen: dict[str, int] = {}
        self._whole: dict[bytes, int] = {}
        self._of_material: dict[str, int] = {}
        self._parsed: dict[str, tuple[dict[str, float], str]] = {}
        self._judged: dict[Functional, dict[tuple[tuple[str, float], ...], tuple[int, float]]] = {f: {} for f in Functional}

    def take(self, line: int, cells: Sequence[str]) -> None:
        """Keep a row, or note why not."""
        try:
            self._keep(line, cells)
        except DataError as error:
            name = next(
                (cells[i].strip() for role in ("id", "material_id", "formula") if (i := self._places.get(role, len(cells))) < len(cells)),
                "",
            )
            self._rows.dropped.append({"document": line, "frame_id": name[:70], "reason": str(error)})

    def finish(self, name: str) -> PairRows:
        """The rows, once their energies were looked at."""
        if not len(self._rows):
            first = self._rows.dropped[:1]
            why = f"; its line {first[0]['document']} was left out because {first[0]['reason']}" if first else ""
            raise DataError(f"{name} holds no pair{why}: choose another file, or mend it.")
        for functional in Functional:
            self._check_energies(name, functional)
        if "material_id" not in self._places:
            self._rows.notes.append("No column names materials: each id, or else each row, counts as a material of its own.")
        if self._said is not Verdict.UNDECIDED:
            self._rows.notes.append(
                f"The energies were taken as {'totals' if self._said is Verdict.TOTAL else 'energies per atom'} because you said so."
            )
        return self._rows

    def _keep(self, line: int, cells: Sequence[str]) -> None:
        if len(cells) != len(self._header):
            raise DataError(f"it has {len(cells)} fields and the header {len(self._header)}")
        counts, formula = self._substance(cells)
        numbers = {role: self._number(cells, role) for role in NUMBERS}
        n_atoms = self._atoms(numbers["n_atoms"], counts)
        labels = self._labels(numbers, n_atoms, counts)
        frame_id, material = self._ids(line, cells, formula)
        rows = self._rows
        for column, value in (
            (rows.line, line),
            (rows.frame_id, frame_id),
            (rows.material_id, material),
            (rows.formula, formula),
            (rows.counts, counts),
        ):
            column.append(value)
        rows.n_atoms.append(n_atoms)
        for label, value in labels.items():
            rows.labels[label].append(value)

    def _text(self, cells: Sequence[str], role: str) -> str:
        return cells[self._places[role]].strip() if role in self._places else ""

    def _substance(self, cells: Sequence[str]) -> tuple[dict[str, float], str]:
        """Atoms of a cell, or of a formula unit where the table tells no more; and the reduced formula."""
        formula, composition = self._text(cells, "formula"), self._text(cells, "composition")
        key = f"{formula}\0{composition}"
        if key not in self._parsed:
            counts = parse_composition(composition) if composition else parse_formula(formula)
            if composition and formula and not _agrees(formula, counts):
                raise DataError(f"its formula {formula[:30]} and its composition {composition[:50]} disagree")
            self._parsed[key] = counts, hill_formula(counts)
        return self._parsed[key]

    def _number(self, cells: Sequence[str], role: str) -> float:
        text = self._text(cells, role)
        if text.lower() in _ABSENT:
            return math.nan
        try:
            number = float(text.replace("−", "-"))
        except ValueError:
            number = math.inf
        if not math.isfinite(number) or "_" in text:
            raise DataError(f"{self._header[self._places[role]][:40]} is {text[:30]!r}, no number")
        return number

    def _atoms(self, said: float, counts: Mapping[str, float]) -> int:
        number = sum(counts.values()) if math.isnan(said) else said
        if not 0 < number <= MOST_ATOMS or (said == said and said != int(said)):
            raise DataError(f"{number:g} is no number of atoms")
        return max(1, round(number))

    def _labels(self, numbers: Mapping[str, float], n_atoms: int, counts: Mapping[str, float]) -> dict[str, float]:
        """Energies, formation energies and volumes per atom, in the order of `LABELS`."""
        labels = {}
        for f in Functional:
            energy = numbers[self._energy_column(f)]
            self._remember(f, counts, n_atoms, energy)
            if self._are_totals(f) and energy == energy:
                if not {"n_atoms", "composition"} & set(self._places):
                    raise DataError("its energies are totals and nothing tells the number of atoms: add a column n_atoms or composition")
                energy /= n_atoms
            volume = (
                numbers[f"volume_per_atom_{f.value}"]
                if f"volume_per_atom_{f.value}" in self._places
                else numbers[f"volume_{f.value}"] / n_atoms
            )
            if volume <= 0 or volume > LARGEST_VOLUME:
                raise DataError(f"{volume:g} Å³/atom is no volume")
            formation_energy = numbers[f"formation_energy_{f.value}"]
            for number in (energy, formation_energy):
                if abs(number) > LIMITS[ENERGY]:
                    raise DataError(f"{number:g} eV/atom is no energy")
            labels |= {
                f"energy_{f.value}": energy,
                f"formation_energy_{f.value}": formation_energy,
                f"volume_{f.value}": volume,
            }
        return labels

    def _energy_column(self, functional: Functional) -> str:
        return next(role for role in ENERGIES[functional] if role in self._places)

    def _are_totals(self, functional: Functional) -> bool:
        named = self._energy_column(functional) == ENERGIES[functional][1]
        return self._said is Verdict.TOTAL or (named and self._said is not Verdict.PER_ATOM)

    def _ids(self, line: int, cells: Sequence[str], formula: str) -> tuple[str, str]:
        """Id of the row and of its material; a row that occurred before is refused."""
        own, material = self._text(cells, "id"), self._text(cells, "material_id")
        whole = hashlib.blake2b("\0".join(cell.strip() for cell in cells).encode(), digest_size=16).digest()
        if whole in self._whole:
            raise DataError(f"it repeats line {count_text(self._whole[whole])}")
        if own and own in self._seen:
            raise DataError(f"its id occurred before, in line {count_text(self._seen[own])}")
        if "material_id" in self._places and not material:
            raise DataError("it has no material id")
        if "id" in self._places and not own:
            raise DataError("it has no id")
        material = material or own or f"line-{line}"
        frame_id = own or material
        while frame_id in self._seen:
            self._of_material[material] = n = self._of_material.get(material, 1) + 1
            frame_id = f"{material}#{n}"
        self._whole[whole] = self._seen[frame_id] = line
        return frame_id, material

    def _remember(self, functional: Functional, counts: Mapping[str, float], n_atoms: int, energy: float) -> None:
        known = self._judged[functional]
        if energy == energy and len(known) < MOST_COMPOSITIONS:
            known.setdefault((*counts.items(), ("", n_atoms)), (n_atoms, energy))

    def _check_energies(self, name: str, functional: Functional) -> None:
        """Refuse energies that look like what they are not said to be."""
        known = self._judged[functional]
        if self._said is not Verdict.UNDECIDED or not known:
            return
        table = np.zeros((len(known), _COLUMNS))
        for row, (substance, (n_atoms, _)) in enumerate(known.items()):
            counts = dict(substance[:-1])
            for symbol, n in counts.items():
                table[row, Z_OF[symbol]] = n / sum(counts.values()) * n_atoms
        found = judge(table, np.array([energy for _, energy in known.values()]))
        totals, column = self._are_totals(functional), self._header[self._places[self._energy_column(functional)]][:40]
        says, looks = ("totals", "energies per atom") if totals else ("energies per atom", "totals")
        if found is (Verdict.PER_ATOM if totals else Verdict.TOTAL):
            raise DataError(
                f"The column {column!r} of {name} should hold {says} and looks like {looks}: over {counted(len(known), 'composition')} its numbers "
                f"{'do not grow' if totals else 'grow'} with the number of atoms; say what they are with --energies total or --energies per-atom."
            )
        if found is Verdict.UNDECIDED and totals:
            self._rows.notes.append(
                f"Whether {column} holds totals or energies per atom cannot be told from so few compositions or sizes of cells: it was taken for totals."
            )


def _agrees(formula: str, counts: Mapping[str, float]) -> bool:
    """Whether a formula is of that composition; a name that is no formula says nothing against it."""
    try:
        return alike(counts, parse_formula(formula))
    except DataError:
        return True
