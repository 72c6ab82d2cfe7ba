"""A number per element, in the periodic table; each cell can be clicked."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from xfunc_core.elements import ELEMENTS, Element
from xfunc_core.plots.theme import Palette, faded, palette, template
from xfunc_core.quantities import count_text

HEIGHT = 410
GAP = 0.03
"""Half of the space between neighbouring cells, in cells."""
F_BLOCK_UP = 0.6
"""Rows 9 and 10 move up by this, so that a small gap parts the f-block from the table."""
TITLE_WIDTH = 24
"""Characters in a line of the title; it fits between the s- and the p-block on a phone."""
LONG_TEXT = 6
"""Values with more characters are written smaller."""
_SCALES = {  # (diverging, dark): the middle of a diverging scale is near the ground in either mode
    (False, False): ("#e4eef6", "#9cc8e3", "#4d9ccd", "#17689f", "#06304f"),
    (False, True): ("#173a57", "#1f6294", "#3d97d0", "#8ac7ee", "#e6f4fd"),
    (True, False): ("#1d5c94", "#6faed2", "#f4f4f2", "#eda27c", "#a8360f"),
    (True, True): ("#8fd0fa", "#2f7fb8", "#262c33", "#b8562a", "#ffb98f"),
}


@dataclass(frozen=True)
class ColourScale:
    """How values become colours.

    Attributes:
        low, high: ends of the scale, in the values' unit; symmetric about the middle for diverging scales.
        log: whether the colour follows the logarithm.
        colours: evenly spaced along the scale.
    """

    low: float
    high: float
    log: bool
    colours: tuple[str, ...]

    def position(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return 0.5 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)

    def colour(self, value: float) -> tuple[int, int, int]:
        """Red, green and blue of a value, 0 to 255."""
        text = sample_colorscale(list(self.colours), [self.position(value)])[0]
        return tuple(round(float(part)) for part in text[4:-1].split(","))


def periodic_table_figure(
    values: Mapping[str, float],
    *,
    title: str = "",
    unit: str = "",
    counts: Mapping[str, int] | None = None,
    selected: Collection[str] = (),
    diverging: bool = False,
    middle: float = 0.0,
    log: bool = False,
    dark: bool = False,
    number_format: Callable[[float], str] = "{:.3g}".format,
    short_format: Callable[[float], str] | None = None,
) -> go.Figure:
    """Colour the elements by their values; each clickable point carries its symbol in ``customdata``.

    Args:
        values: by symbol; an element that is absent or NaN is grey.
        title: what the values are, above the colour bar.
        unit: of the values.
        counts: N behind each value, shown on hover.
        selected: symbols to outline.
        diverging: whether the scale is centred on ``middle``.
        middle: of a diverging scale: 0 for what is signed, 1 for a ratio.
        log: whether the colour follows the logarithm, for counts; values must be above 0.
        dark: whether the page is dark.
        number_format: writes a value without its unit.
        short_format: the same inside a cell, where there is little room.
    """
    known = {symbol: float(v) for symbol, v in values.items() if v is not None and math.isfinite(v) and not (log and v <= 0)}
    scale = colour_scale(known.values(), diverging, log, dark, middle)
    c = palette(dark)
    fig = go.Figure()
    _add_targets(fig, known, counts or {}, unit, number_format)
    shapes = [_cell(e, _fill(e, known, scale, c)) for e in ELEMENTS]
    shapes += [_outline(e, c) for e in ELEMENTS if e.symbol in selected]
    notes = [_label(e, known, scale, c, short_format or number_format) for e in ELEMENTS]
    if known:
        _add_colour_bar(fig, scale, number_format, c)
        notes.append(_title(f"{title} ({unit})" if unit and title else title or unit, c))
    fig.update_xaxes(range=[0.5, 18.5], visible=False, fixedrange=True)
    fig.update_yaxes(range=[_row(10) + 0.5, 0.5], visible=False, fixedrange=True)
    margin = {"l": 2, "r": 2, "t": 2, "b": 2}
    return fig.update_layout(
        template=template(dark), height=HEIGHT, margin=margin, showlegend=False, dragmode=False, shapes=shapes, annotations=notes
    )


def colour_scale(values: Collection[float], diverging: bool, log: bool, dark: bool, middle: float = 0.0) -> ColourScale:
    """The scale that holds all values; symmetric about ``middle`` if diverging."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if not values:
        log = False
    if diverging:
        half = max(abs(low - middle), abs(high - middle)) if values else 1.0
        low, high, log = middle - (half or 1.0), middle + (half or 1.0), False
    colours = _SCALES[diverging, dark]
    if not diverging and high <= 0 and low < high:
        colours = colours[::-1]  # the strongest colour belongs to the value furthest from 0
    return ColourScale(low, high, log, colours)


def readable_on(fill: tuple[int, int, int]) -> str:
    """Black or white, whichever has the higher contrast (WCAG 2) on the fill."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (x / 255 for x in fill)]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _row(row: int) -> float:
    return row - F_BLOCK_UP if row > 7 else float(row)


def _fill(element: Element, known: Mapping[str, float], scale: ColourScale, c: Palette) -> str:
    if element.symbol not in known:
        return faded(c.missing, 0.55)
    return "rgb({}, {}, {})".format(*scale.colour(known[element.symbol]))


def _cell(element: Element, fill: str) -> dict[str, object]:
    x, y = element.column, _row(element.row)
    half = 0.5 - GAP
    corners = {"x0": x - half, "x1": x + half, "y0": y - half, "y1": y + half}
    return {"type": "rect", **corners, "fillcolor": fill, "line": {"width": 0}, "layer": "below"}


def _outline(element: Element, c: Palette) -> dict[str, object]:
    return {**_cell(element, "rgba(0,0,0,0)"), "line": {"width": 3, "color": c.text}, "layer": "above"}


def _label(
    element: Element, known: Mapping[str, float], scale: ColourScale, c: Palette, number_format: Callable[[float], str]
) -> dict[str, object]:
    text, colour = element.symbol, c.muted
    if element.symbol in known:
        value = known[element.symbol]
        written = number_format(value)
        colour = readable_on(scale.colour(value))
        text = f'<b>{text}</b><br><span style="font-size:{9 if len(written) <= LONG_TEXT else 7}px">{written}</span>'
    place = {"x": element.column, "y": _row(element.row), "xanchor": "center", "yanchor": "middle"}
    return {**place, "text": text, "font": {"size": 13, "color": colour}, "showarrow": False}


def _add_targets(
    fig: go.Figure, known: Mapping[str, float], counts: Mapping[str, int], unit: str, number_format: Callable[[float], str]
) -> None:
    """Invisible points that are hovered and clicked: elements with a value, and grey ones to hover only."""
    for elements, clickable in (
        ([e for e in ELEMENTS if e.symbol in known], True),
        ([e for e in ELEMENTS if e.symbol not in known], False),
    ):
        fig.add_scatter(
            x=[e.column for e in elements],
            y=[_row(e.row) for e in elements],
            mode="markers",
            marker={"symbol": "square", "size": 34, "opacity": 0},
            customdata=[e.symbol for e in elements] if clickable else None,
            name="elements" if clickable else "missing",
            text=[_hover(e, known, counts, unit, number_format) for e in elements],
            hovertemplate="%{text}<extra></extra>",
        )


def _hover(
    element: Element, known: Mapping[str, float], counts: Mapping[str, int], unit: str, number_format: Callable[[float], str]
) -> str:
    lines = [f"<b>{element.name}</b> (Z = {element.z})", "no value"]
    if element.symbol in known:
        lines[1] = f"{number_format(known[element.symbol])} {unit}".strip()
    if element.symbol in counts:
        lines.append(f"N = {count_text(int(counts[element.symbol]))}")
    return "<br>".join(lines)


def _add_colour_bar(fig: go.Figure, scale: ColourScale, number_format: Callable[[float], str], c: Palette) -> None:
    """A lying colour bar in the free room above the transition metals; an empty trace carries it."""
    ends = (scale.low, scale.high) if scale.low != scale.high else (scale.low,)
    middle = () if len(ends) == 1 else (math.sqrt(scale.low * scale.high) if scale.log else (scale.low + scale.high) / 2,)
    ticks = sorted({*ends, *middle})
    bar = {
        "orientation": "h", "x": 7.5 / 18, "xanchor": "center", "y": 0.775, "yanchor": "middle", "len": 8 / 18, "thickness": 8,
        "outlinewidth": 0, "ticks": "", "tickfont": {"size": 11, "color": c.muted},
        "tickvals": [scale.position(tick) for tick in ticks], "ticktext": [number_format(tick) for tick in ticks],
    }  # fmt: skip
    marker = {"color": [0, 1], "cmin": 0, "cmax": 1, "colorscale": list(scale.colours), "showscale": True, "colorbar": bar, "opacity": 0}
    fig.add_scatter(x=[None, None], y=[None, None], mode="markers", marker=marker, hoverinfo="skip", name="colours")


def _title(text: str, c: Palette) -> dict[str, object]:
    place = {"x": 7.5, "y": 0.6, "xanchor": "center", "yanchor": "top"}
    return {**place, "text": "<br>".join(wrap(text, TITLE_WIDTH)), "font": {"size": 13, "color": c.text}, "showarrow": False, "name": "title"}
