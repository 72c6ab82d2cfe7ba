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
from xfunc_core.quantities import TOO_FEW, count_text

HEIGHT = 410
GAP = 0.03
"""Half of the space between neighbouring cells, in cells."""
F_BLOCK_UP = 0.6
"""Rows 9 and 10 move up by this, so that a small gap parts the f-block from the table."""
NO_DATA = "no data"
_HOVER_WIDTH = 44
"""Characters in a line of a reason on hover."""
_LEGEND_ROW = 3.12
"""Where the words on cells without a colour stand, in rows."""
_SWATCH = 0.17
"""Half the side of a box beside them."""
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
    reach: float | None = None,
    log: bool = False,
    untold: Mapping[str, str] | None = None,
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
        reach: how far from the middle its ends lie, the same for all data; as far as the furthest value if None.
        log: whether the colour follows the logarithm, for counts; values must be above 0.
        untold: elements that have data but no value, with the reason, shown on hover; outlined, and clickable as those with a value.
            A legend tells them from those without data, unless None.
        dark: whether the page is dark.
        number_format: writes a value without its unit.
        short_format: the same inside a cell, where there is little room.
    """
    known = {symbol: float(v) for symbol, v in values.items() if v is not None and math.isfinite(v) and not (log and v <= 0)}
    absent, with_legend = "no value" if untold is None else NO_DATA, untold is not None
    untold = {symbol: reason for symbol, reason in (untold or {}).items() if symbol not in known}
    scale = colour_scale(known.values(), diverging, log, dark, middle, reach)
    c, short_format = palette(dark), short_format or number_format
    fig = go.Figure()
    said = {symbol: f"{number_format(value)} {unit}".strip() for symbol, value in known.items()} | untold
    _add_targets(fig, said, absent, counts or {})
    shapes = [_cell(e, scale, known, untold, c) for e in ELEMENTS]
    notes = [_label(e, known, untold, scale, c, short_format) for e in ELEMENTS]
    if known or untold:
        notes.append(_title(f"{title} ({unit})" if unit and title else title or unit, c))
    if with_legend:
        swatches, words = _legend(untold.values(), c)
        shapes, notes = [*shapes, *swatches], [*notes, *words]
    if known:
        _add_colour_bar(fig, scale, short_format, c)
    shapes += [_outline(e, c) for e in ELEMENTS if e.symbol in selected]
    fig.update_xaxes(range=[0.5, 18.5], visible=False, fixedrange=True)
    fig.update_yaxes(range=[_row(10) + 0.5, 0.5], visible=False, fixedrange=True)
    margin = {"l": 2, "r": 2, "t": 2, "b": 2}
    return fig.update_layout(
        template=template(dark), height=HEIGHT, margin=margin, showlegend=False, dragmode=False, shapes=shapes, annotations=notes
    )


def colour_scale(
    values: Collection[float], diverging: bool, log: bool, dark: bool, middle: float = 0.0, reach: float | None = None
) -> ColourScale:
    """The scale that holds all values; symmetric about ``middle`` if diverging, and then as wide as ``reach`` says where it does."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if not values:
        log = False
    if diverging:
        half = reach or (max(abs(low - middle), abs(high - middle)) if values else 1.0) or 1.0
        low, high, log = middle - half, middle + half, False
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


def _cell(element: Element, scale: ColourScale, known: Mapping[str, float], untold: Collection[str], c: Palette) -> dict[str, object]:
    x, y = element.column, _row(element.row)
    if element.symbol in known:
        return _box(x, y, "rgb({}, {}, {})".format(*scale.colour(known[element.symbol])))
    return _untold_box(x, y, c) if element.symbol in untold else _box(x, y, faded(c.missing, 0.55))


def _box(x: float, y: float, fill: str, half: float = 0.5 - GAP) -> dict[str, object]:
    corners = {"x0": x - half, "x1": x + half, "y0": y - half, "y1": y + half}
    return {"type": "rect", **corners, "fillcolor": fill, "line": {"width": 0}, "layer": "below"}


def _untold_box(x: float, y: float, c: Palette, half: float = 0.46 - GAP) -> dict[str, object]:
    """The look of an element that has data but no value; its line lies inside the cell."""
    return {**_box(x, y, "rgba(0,0,0,0)", half), "line": {"width": 1, "color": c.quiet}}


def _outline(element: Element, c: Palette) -> dict[str, object]:
    return {**_box(element.column, _row(element.row), "rgba(0,0,0,0)"), "line": {"width": 3, "color": c.text}, "layer": "above"}


def _label(
    element: Element,
    known: Mapping[str, float],
    untold: Collection[str],
    scale: ColourScale,
    c: Palette,
    number_format: Callable[[float], str],
) -> dict[str, object]:
    text, colour = element.symbol, c.text if element.symbol in untold else c.muted
    if element.symbol in known:
        value = known[element.symbol]
        written = number_format(value)
        colour = readable_on(scale.colour(value))
        text = f'<b>{text}</b><br><span style="font-size:{9 if len(written) <= LONG_TEXT else 7}px">{written}</span>'
    place = {"x": element.column, "y": _row(element.row), "xanchor": "center", "yanchor": "middle"}
    return {**place, "text": text, "font": {"size": 13, "color": colour}, "showarrow": False}


def _legend(reasons: Collection[str], c: Palette) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """What the cells without a colour mean: boxes and words in the room under the colour bar."""
    entries = [(9.0, NO_DATA, _box(9.0, _LEGEND_ROW, faded(c.missing, 0.55), _SWATCH))]
    if reasons:
        words = TOO_FEW if all(reason.lower().startswith(TOO_FEW) for reason in reasons) else "data, but no number"
        entries.append((4.1, words, _untold_box(4.1, _LEGEND_ROW, c, _SWATCH)))
    boxes = [box for _, _, box in entries]
    look = {"y": _LEGEND_ROW, "xanchor": "left", "yanchor": "middle", "font": {"size": 11, "color": c.muted}, "showarrow": False}
    return boxes, [{**look, "x": x + 0.3, "text": text, "name": "legend"} for x, text, _ in entries]


def _add_targets(fig: go.Figure, said: Mapping[str, str], absent: str, counts: Mapping[str, int]) -> None:
    """Invisible points that are hovered and clicked: elements of which something is said, and grey ones to hover only."""
    for elements, clickable in (([e for e in ELEMENTS if e.symbol in said], True), ([e for e in ELEMENTS if e.symbol not in said], False)):
        fig.add_scatter(
            x=[e.column for e in elements],
            y=[_row(e.row) for e in elements],
            mode="markers",
            marker={"symbol": "square", "size": 34, "opacity": 0},
            customdata=[e.symbol for e in elements] if clickable else None,
            name="elements" if clickable else "missing",
            text=[_hover(e, said.get(e.symbol, absent), counts) for e in elements],
            hovertemplate="%{text}<extra></extra>",
        )


def _hover(element: Element, said: str, counts: Mapping[str, int]) -> str:
    lines = [f"<b>{element.name}</b> (Z = {element.z})", *wrap(said, _HOVER_WIDTH)]
    if element.symbol in counts:
        lines.append(f"N = {count_text(int(counts[element.symbol]))}")
    return "<br>".join(lines)


def _add_colour_bar(fig: go.Figure, scale: ColourScale, number_format: Callable[[float], str], c: Palette) -> None:
    """A lying colour bar in the free room above the transition metals; an empty trace carries it."""
    ends = (scale.low, scale.high) if scale.low != scale.high else (scale.low,)
    middle = () if len(ends) == 1 else (math.sqrt(scale.low * scale.high) if scale.log else (scale.low + scale.high) / 2,)
    ticks = sorted({*ends, *middle})
    bar = {
        "orientation": "h", "x": 7.5 / 18, "xanchor": "center", "y": 0.835, "yanchor": "middle", "len": 8 / 18, "thickness": 8,
        "outlinewidth": 0, "ticks": "", "tickfont": {"size": 11, "color": c.muted},
        "tickvals": [scale.position(tick) for tick in ticks], "ticktext": [number_format(tick) for tick in ticks],
    }  # fmt: skip
    marker = {"color": [0, 1], "cmin": 0, "cmax": 1, "colorscale": list(scale.colours), "showscale": True, "colorbar": bar, "opacity": 0}
    fig.add_scatter(x=[None, None], y=[None, None], mode="markers", marker=marker, hoverinfo="skip", name="colours")


def _title(text: str, c: Palette) -> dict[str, object]:
    place = {"x": 7.5, "y": 0.6, "xanchor": "center", "yanchor": "top"}
    return {
        **place,
        "text": "<br>".join(wrap(text, TITLE_WIDTH)),
        "font": {"size": 13, "color": c.text},
        "showarrow": False,
        "name": "title",
    }
