"""Are the energies of a file totals, or energies per atom under the name of totals? Told from the energies themselves.

A total energy is about N · (x·μ) and an energy per atom about x·μ, with x the atomic fractions, N the
number of atoms and μ one number an element. Both are fitted over distinct compositions by least absolute
deviations, so that a few wild frames decide nothing. With σ the median absolute residual,

    Δ = ln σ(E) − ln σ(E/N) − ⟨ln N⟩

is how much better, per composition, totals explain the data (a difference of log-likelihoods; the unit
and the energy scale drop out): positive for totals, negative for energies per atom. They are taken for
energies per atom only if Δ < −(0.5 + 3/√f), with f the compositions beyond those that fix μ. Where f is
small, or all cells have about the same number of atoms, nothing is told. Real sets of totals lie between
+1.4 and +3.2, and between −1.2 and −3.2 once divided by N.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from xfunc_core.data.batch import FrameBatch
from xfunc_core.data.frame import Frame, Note, Rejected
from xfunc_core.errors import DataError
from xfunc_core.quantities import counted

Item = FrameBatch | Frame | Rejected | Note
"""What readers yield."""

MOST_COMPOSITIONS = 2_000
"""Distinct compositions that are kept; the first ones of a file."""
FEWEST_FREE = 5
"""Compositions beyond those that fix one number an element."""
SMALLEST_SPREAD = 0.05
"""Standard deviation of ln N below which all cells count as equal in size."""
_ITERATIONS = 15
_RIDGE = 1e-9
"""Relative to the mean diagonal; keeps elements that always come together solvable."""
_COLUMNS = 128


class Verdict(Enum):
    """What the energies look like."""

    TOTAL = "total"
    PER_ATOM = "per-atom"
    UNDECIDED = ""


@dataclass
class EnergySample:
    """One energy of each distinct composition that went by."""

    energies: dict[bytes, float] = field(default_factory=dict)

    def add(self, item: Frame | FrameBatch) -> None:
        """Take the energies of new compositions."""
        if len(self.energies) >= MOST_COMPOSITIONS:
            return
        if isinstance(item, Frame):
            self._add(item.numbers, np.array([item.n_atoms]), np.array([item.energy]))
        else:
            self._add(item.numbers, item.n_atoms, item.energy)

    def _add(self, numbers: np.ndarray, n_atoms: np.ndarray, energy: np.ndarray) -> None:
        cell = np.repeat(np.arange(len(n_atoms)), n_atoms) * _COLUMNS + numbers
        counts = np.bincount(cell, minlength=len(n_atoms) * _COLUMNS).reshape(-1, _COLUMNS).astype(np.uint32)
        for row, value in zip(counts, energy.tolist(), strict=True):
            if value == value:
                self.energies.setdefault(row.tobytes(), value)

    def verdict(self) -> Verdict:
        """What the energies seen so far look like."""
        counts = np.array([np.frombuffer(row, dtype=np.uint32) for row in self.energies], dtype=float).reshape(-1, _COLUMNS)
        return judge(counts, np.array(list(self.energies.values())))


class EnergyCheck:
    """Makes totals of energies that the user calls per atom, and refuses those that look so and are not called so."""

    def __init__(self, said: str) -> None:
        """Start with what the user says the energies are, a value of `Verdict`.

        Raises:
            DataError: it is none.
        """
        if said not in {verdict.value for verdict in Verdict}:
            raise DataError(f"Energies are 'total' or 'per-atom', not {said[:40]!r}: say one of these, or nothing.")
        self._said = Verdict(said)
        self._sample = EnergySample()

    def watch(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items, each frame with its total energy."""
        for item in items:
            if isinstance(item, Frame | FrameBatch):
                if self._said is Verdict.PER_ATOM:
                    item = replace(item, energy=item.energy * item.n_atoms, correction=item.correction * item.n_atoms)
                else:
                    self._sample.add(item)
            yield item

    def finish(self, name: str, by_convention: bool) -> str:
        """What a reader should know, '' if nothing, about the energies of the file ``name`` whose format says ``by_convention`` that they are totals.

        Raises:
            DataError: they look like energies per atom, and the user said nothing.
        """
        if self._said is Verdict.PER_ATOM:
            return "The energies of the file were multiplied by the number of atoms."
        verdict = self._sample.verdict() if self._said is Verdict.UNDECIDED else self._said
        if verdict is Verdict.PER_ATOM:
            raise DataError(
                f"The energies in {name} look like energies per atom: over {counted(len(self._sample.energies), 'composition')} they do not grow with the number of atoms; "
                "import them with --energies per-atom, or, if you are sure that they are totals, with --energies total."
            )
        if verdict is Verdict.UNDECIDED and self._sample.energies and not by_convention:
            return "Whether the energies are totals or per atom cannot be told from so few compositions or sizes of cells: they were taken for totals."
        return ""


def judge(counts: np.ndarray, energy: np.ndarray) -> Verdict:
    """Whether energies are totals, by the criterion of this module.

    Args:
        counts: atoms of each element, shape (F, elements), one row a distinct composition.
        energy: eV, shape (F,).
    """
    n_atoms = counts.sum(axis=1)
    if len(energy) < FEWEST_FREE + 1 or np.log(n_atoms).std() < SMALLEST_SPREAD:
        return Verdict.UNDECIDED
    fractions = counts[:, counts.any(axis=0)] / n_atoms[:, None]
    free = len(energy) - np.linalg.matrix_rank(_gram(fractions, fractions), hermitian=True)
    if free < FEWEST_FREE or free < len(energy) / 2:
        return Verdict.UNDECIDED
    total, per_atom = _scatter(fractions, energy / n_atoms), _scatter(fractions, energy)
    if not (total > 0 and per_atom > 0):
        return Verdict.UNDECIDED
    delta = np.log(per_atom) - np.log(total) - np.log(n_atoms).mean()
    margin = 0.5 + 3 / np.sqrt(free)
    return Verdict.PER_ATOM if delta < -margin else Verdict.TOTAL if delta > margin else Verdict.UNDECIDED


def _scatter(fractions: np.ndarray, energy: np.ndarray) -> float:
    """Median absolute residual of the least-absolute-deviations fit of energies on fractions, by reweighted least squares.

    The sums go through einsum: BLAS would start threads for these small matrices, which wait for each other on a busy machine.
    """
    weights = np.ones(len(energy))
    for _ in range(_ITERATIONS):
        weighted = fractions * weights[:, None]
        gram = _gram(weighted, fractions)
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
        mu = np.linalg.solve(gram, np.einsum("fi,f->i", weighted, energy))
        residual = np.abs(energy - np.einsum("fi,i->f", fractions, mu))
        weights = 1 / np.maximum(residual, 0.1 * np.median(residual) + 1e-12)
    return float(np.median(residual))


def _gram(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("fi,fj->ij", a, b)
