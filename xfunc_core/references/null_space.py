"""Which combinations of reference energies a set of compositions determines, in words: "only Na + Cl is determined"."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

import numpy as np

from xfunc_core.elements import SYMBOLS
from xfunc_core.quantities import counted, plural
from xfunc_core.references.solvers import Triangle

_LINKED = 1e-7
"""Above it two elements are open together."""
LARGEST_COEFFICIENT = 60
"""Whole numbers up to this are written as such; combinations that need larger ones are only counted."""
_MOST_NAMED = 4
"""Combinations that a sentence writes out."""


@dataclass(frozen=True)
class OpenGroup:
    """Elements whose reference energies the frames determine in combination only.

    Attributes:
        elements: their symbols, in order of Z.
        determined: combinations that are determined, each a whole number for every element; empty where these are too large.
        n_determined: how many combinations are.
        n_open: how many are not.
    """

    elements: tuple[str, ...]
    determined: tuple[tuple[int, ...], ...]
    n_determined: int
    n_open: int

    @property
    def combinations(self) -> tuple[str, ...]:
        """The determined combinations as text: ``2 A + B``."""
        return tuple(_combination(numbers, self.elements) for numbers in self.determined)

    @property
    def sentence(self) -> str:
        """What the frames say of these elements and what they leave open."""
        names = f"{', '.join(self.elements[:-1])} and {self.elements[-1]}"
        if len(self.elements) == 2 and self.determined:
            a, b = self.determined[0]
            said = "their sum" if a == b == 1 else self.combinations[0]
            return f"{names} only ever occur {a}:{b} here: only {said} is determined."
        still = f"{counted(self.n_open, 'combination stays', 'combinations stay')} open"
        if not self.determined or len(self.determined) > _MOST_NAMED:
            n = self.n_determined
            return f"{names}: {counted(n, 'combination')} of their energies {plural(n, 'is', 'are')} determined, {still}."
        listed = self.combinations
        said = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
        return f"{names}: only {plural(len(listed), 'the combination')} {said} {plural(len(listed), 'is', 'are')} determined; {still}."


def open_groups(reduced: Triangle) -> tuple[OpenGroup, ...]:
    """The null space of a composition matrix, taken apart into groups of elements that have nothing to do with each other.

    Elements that are in no group are determined one by one.

    Args:
        reduced: the frames' `Triangle`.
    """
    null = reduced.svd[1][reduced.rank :]
    open_to = np.flatnonzero(reduced.open[reduced.present])
    projector = null[:, open_to].T @ null[:, open_to]
    groups = _connected(np.abs(projector) > _LINKED)
    return tuple(_group(reduced.present[open_to[members]], projector[np.ix_(members, members)]) for members in groups)


def _group(columns: np.ndarray, projector: np.ndarray) -> OpenGroup:
    values, vectors = np.linalg.eigh(projector)
    determined = vectors[:, values < 0.5].T
    whole = _whole_numbers(_reduced_rows(determined))
    return OpenGroup(tuple(SYMBOLS[i] for i in columns), whole, len(determined), len(columns) - len(determined))


def _connected(linked: np.ndarray) -> list[np.ndarray]:
    """Connected components of a symmetric relation, members ascending."""
    left = set(range(len(linked)))
    found = []
    while left:
        members, fresh = set(), {min(left)}
        while fresh:
            members |= fresh
            fresh = {int(j) for i in fresh for j in np.flatnonzero(linked[i])} - members
        found.append(np.array(sorted(members)))
        left -= members
    return found


def _reduced_rows(rows: np.ndarray) -> np.ndarray:
    """Reduced row echelon form: each row begins with a 1 in a column where all others have 0."""
    rows = rows.copy()
    place = 0
    for column in range(rows.shape[1]):
        if place == len(rows):
            break
        best = place + int(np.abs(rows[place:, column]).argmax())
        if abs(rows[best, column]) < _LINKED:
            continue
        rows[[place, best]] = rows[[best, place]]
        rows[place] /= rows[place, column]
        others = np.arange(len(rows)) != place
        rows[others] -= np.outer(rows[others, column], rows[place])
        place += 1
    return rows


def _whole_numbers(rows: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Each row as the smallest whole numbers in its ratio; nothing if one has none that are small enough."""
    found = []
    for row in rows:
        ratios = [Fraction(float(value)).limit_denominator(LARGEST_COEFFICIENT) for value in row]
        scale = lcm(*(ratio.denominator for ratio in ratios))
        numbers = [int(ratio * scale) for ratio in ratios]
        divisor = reduce(gcd, numbers) or 1
        numbers = [number // divisor for number in numbers]
        if max(map(abs, numbers)) > LARGEST_COEFFICIENT or not np.allclose([float(ratio) for ratio in ratios], row, atol=1e-6):
            return ()
        found.append(tuple(numbers))
    return tuple(found)


def _combination(numbers: tuple[int, ...], elements: tuple[str, ...]) -> str:
    terms = [
        (number, f"{abs(number)} {element}" if abs(number) != 1 else element)
        for number, element in zip(numbers, elements, strict=True)
        if number
    ]
    text = "".join(f" {'+' if number > 0 else '−'} {term}" for number, term in terms)
    return text.removeprefix(" + ").removeprefix(" ")
