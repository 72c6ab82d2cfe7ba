"""Chemical formulas and compositions as people write them into tables."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from xfunc_core.elements import N_REFERENCED, SYMBOLS, Z_OF
from xfunc_core.errors import DataError

_TOKEN = re.compile(r"([A-Z][a-z]?)|([(\[])|([)\]])|(\d+(?:\.\d+)?|\.\d+)|([·•∙⋅*])|(\s+)")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_LONGEST = 500
_MOST = 1e6
"""Atoms of one element; more is a mistake."""


def parse_formula(text: str) -> dict[str, float]:
    """Numbers of atoms by symbol, such as ``Ca(OH)2`` → Ca 1, O 2, H 2; spaces, subscripts, fractions and hydrates (``CaO·2H2O``) may occur.

    Raises:
        DataError: it is no formula, or names what is no element up to plutonium; the message is a phrase about the formula.
    """
    text = text.translate(_LOWERED).strip()
    if not text or len(text) > _LONGEST:
        raise DataError("its formula is too long" if text else "it has no formula")
    levels = [_Group()]
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None or not _take(token, levels, text[place - 1 : place]):
            raise DataError(f"{text[:30]!r} is no formula")
        place = token.end()
    if len(levels) != 1 or not levels[0].is_whole():
        raise DataError(f"{text[:30]!r} is no formula")
    return _checked(levels[0].counts(), text)


def parse_composition(text: str) -> dict[str, float]:
    """Numbers of atoms by symbol, of a JSON object such as ``{"N": 2, "Ni": 6}`` or of a formula.

    Raises:
        DataError: it is neither; the message is a phrase about it.
    """
    if not text.strip().startswith("{"):
        return parse_formula(text)
    try:
        content = json.loads(text, parse_int=float)  # whole numbers of any length, too
    except (ValueError, RecursionError) as error:
        raise DataError(f"its composition {text[:30]!r} is no JSON") from error
    if not all(isinstance(n, float) for n in content.values()):
        raise DataError(f"its composition {text[:30]!r} holds what is no number")
    return _checked(content, text)


def hill_formula(counts: Mapping[str, float]) -> str:
    """Reduced formula in Hill's order; fractions are kept as they are."""
    numbers = list(counts.values())
    divisor = math.gcd(*(int(n) for n in numbers)) if all(n == int(n) for n in numbers) else 1
    order = sorted(counts, key=lambda s: (s != "C", s != "H", s) if "C" in counts else (True, True, s))
    return "".join(symbol + ("" if counts[symbol] == divisor else f"{counts[symbol] / divisor:g}") for symbol in order)


def alike(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    """Whether two compositions are of one substance, within 0.1 % of the atoms."""
    total_a, total_b = sum(a.values()), sum(b.values())
    return all(abs(a.get(s, 0.0) / total_a - b.get(s, 0.0) / total_b) <= 1e-3 for s in a.keys() | b.keys())


class _Group:
    """What stands between two brackets: parts with how often each occurs, in pieces that dots separate and numbers multiply."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, list[tuple[dict[str, float], float]]]] = [(1.0, [])]

    def add(self, counts: dict[str, float]) -> bool:
        """Append a part."""
        self.pieces[-1][1].append((counts, 1.0))
        return True

    def multiply(self, number: float, before: str) -> bool:
        """A number counts what stands right before it, or the piece it begins; anything else makes no sense."""
        factor, parts = self.pieces[-1]
        if not parts:
            self.pieces[-1] = (number, parts)
            return factor == 1.0 and not before.isdigit()
        parts[-1] = (parts[-1][0], number)
        return before.isalpha() or before in (")", "]")

    def separate(self) -> bool:
        """Begin another piece; there must have been one."""
        whole = self.is_whole()
        self.pieces.append((1.0, []))
        return whole

    def is_whole(self) -> bool:
        """Whether the last piece holds anything."""
        return bool(self.pieces[-1][1])

    def counts(self) -> dict[str, float]:
        """Atoms by symbol."""
        found: dict[str, float] = {}
        for factor, parts in self.pieces:
            for counts, n in parts:
                for symbol, of_one in counts.items():
                    found[symbol] = found.get(symbol, 0.0) + factor * n * of_one
        return found


def _take(token: re.Match[str], levels: list[_Group], before: str) -> bool:
    """Take one token in; whether it makes sense there."""
    symbol, opening, closing, number, dot, _ = token.groups()
    if symbol:
        return levels[-1].add({symbol: 1.0})
    if opening:
        levels.append(_Group())
    elif closing:
        group = levels.pop()
        return bool(levels) and group.is_whole() and levels[-1].add(group.counts())
    elif number:
        return levels[-1].multiply(float(number), before)
    elif dot:
        return levels[-1].separate()
    return True


def _checked(counts: dict[str, float], text: str) -> dict[str, float]:
    for symbol, n in counts.items():
        if symbol not in Z_OF:
            raise DataError(f"{symbol[:10]!r} in {text[:30]!r} is no element")
        if Z_OF[symbol] > N_REFERENCED:
            raise DataError(f"{symbol} lies beyond {SYMBOLS[N_REFERENCED - 1]}, the last element that CHGNet knows")
        if not 0 <= n <= _MOST:
            raise DataError(f"{text[:30]!r} counts {n:g} atoms of {symbol}")
    present = {symbol: n for symbol, n in counts.items() if n > 0}
    if not present:
        raise DataError(f"{text[:30]!r} holds no atoms")
    return present
