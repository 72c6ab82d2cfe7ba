"""Plotly's colours and its little HTML, in matplotlib's terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape

import numpy as np

from xfunc_core.errors import ConfigError

_BREAK = re.compile(r"<br\s*/?>")
_TAG = re.compile(r"</?\w[^>]*>")
_PIECE = re.compile(r"(</?(?:b|span|i|em|strong)\b[^>]*>)")
_SIZE = re.compile(r"font-size:\s*([\d.]+)px")
_RGB = re.compile(r"rgba?\(([^)]*)\)")

Rgba = tuple[float, float, float, float]


@dataclass(frozen=True)
class Run:
    """Text of one look within a line; ``size`` in pixels, None where it is the line's own."""

    text: str
    bold: bool = False
    size: float | None = None


def unmarked(text: str, between: str = "\n") -> str:
    """Text without marks; ``between`` stands for a line break."""
    return unescape(_TAG.sub("", _BREAK.sub(between, text)))


def runs(text: str) -> list[list[Run]]:
    """Lines of runs: ``<br>``, ``<b>`` and ``<span style="font-size:…">`` are understood, other marks fall away."""
    lines, bold, size = [], False, None
    for line in _BREAK.split(text):
        found = []
        for piece in _PIECE.split(line):
            if piece in ("<b>", "</b>"):
                bold = piece == "<b>"
            elif _PIECE.fullmatch(piece):
                size = float(m.group(1)) if (m := _SIZE.search(piece)) else None
            elif piece:
                found.append(Run(unmarked(piece), bold, size))
        lines.append(found)
    return lines


def colour(given: str, opacity: float = 1.0) -> Rgba:
    """A colour as plotly writes it, with its opacity times another.

    Raises:
        ConfigError: it is none.
    """
    from matplotlib.colors import to_rgba

    if match := _RGB.fullmatch(given.strip()):
        parts = [float(part) for part in match.group(1).split(",")]
        red, green, blue, alpha = (*(part / 255 for part in parts[:3]), parts[3] if len(parts) > 3 else 1.0)
        return red, green, blue, alpha * opacity
    try:
        red, green, blue, alpha = to_rgba(given)
    except ValueError as error:
        raise ConfigError(f"The colour {given!r} cannot be exported.") from error
    return red, green, blue, alpha * opacity


def colour_map(scale: Sequence[Sequence[object]]) -> object:
    """matplotlib's colour map of a plotly colour scale, pairs of a position from 0 to 1 and a colour; NaN stays clear."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scale", [(float(at), colour(str(c))) for at, c in scale], N=512, bad=(0, 0, 0, 0))


def colours(
    given: object, opacity: float, n: int, scale: object = None, ends: tuple[float | None, float | None] = (None, None)
) -> list[Rgba]:
    """The colour of each of n marks: one colour, a colour each, or a number each on a colour scale between its ends."""
    if given is None or isinstance(given, str):
        return [colour(given or "#444444", opacity)]
    if all(isinstance(c, str) for c in given):
        return [colour(c, opacity) for c in given]
    if scale is None:
        raise ConfigError("Marks coloured by numbers need a colour scale to be exported.")
    values = np.asarray(given, dtype=float)
    low, high = (np.nanmin(values) if ends[0] is None else ends[0]), (np.nanmax(values) if ends[1] is None else ends[1])
    found = colour_map(scale)((values - low) / (high - low or 1))
    found[:, 3] *= opacity
    return [tuple(c) for c in found[:n]]
