"""Where the axes of a plotly layout lie in a matplotlib figure, their ranges, ticks and titles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from xfunc_core.errors import ConfigError
from xfunc_core.plots.export_text import colour, unmarked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
PT = 72 / DPI
"""Points in a pixel."""
_PAD = 0.05
_TOWARD = {"left": 0.0, "bottom": 0.0, "center": 0.5, "middle": 0.5, "right": 1.0, "top": 1.0}
_TYPES = (None, "-", "linear", "log")


@dataclass(frozen=True)
class Canvas:
    """A matplotlib figure in the pixels of a plotly layout.

    Attributes:
        figure: what is drawn on.
        layout: the layout with its template merged in, see `merged_layout`.
        panels: by the names of an x and a y axis, such as ``("x", "y2")``.
        width, height: pixels.
    """

    figure: Figure
    layout: dict[str, Any]
    panels: dict[tuple[str, str], Axes]
    width: float
    height: float

    @classmethod
    def of(cls, layout: dict[str, Any], traces: Sequence[Any], width: float) -> Canvas:
        """An empty panel for every pair of axes that a trace or shape is drawn on.

        Raises:
            ConfigError: an axis is of a kind that is not drawn here.
        """
        from matplotlib.figure import Figure

        height = layout.get("height", 450)
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        pairs = dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in traces) or {("x", "y"): None}
        panels = {pair: figure.add_axes((0, 0, 1, 1), label="".join(pair)) for pair in pairs}
        canvas = cls(figure, layout, panels, width, height)
        for name in {name for pair in pairs for name in pair}:
            if canvas.axis(name).get("type") not in _TYPES:
                raise ConfigError(
                    f"A figure with an axis of the type {canvas.axis(name)['type']!r} cannot be exported: xfunc draws linear and logarithmic ones."
                )
        for (x, y), panel in panels.items():
            panel.set_xscale("log" if canvas.is_log(x) else "linear")
            panel.set_yscale("log" if canvas.is_log(y) else "linear")
        return canvas

    def axis(self, name: str) -> dict[str, Any]:
        """Settings of an axis such as ``x2``."""
        return self.layout.get(f"{name[0]}axis{name[1:]}") or self.layout[f"{name[0]}axis"]

    def is_log(self, name: str) -> bool:
        """Whether an axis is logarithmic."""
        return self.axis(name).get("type") == "log"

    def scale_of(self, name: str) -> str:
        """The axis whose range an axis shares: its own name unless it matches another."""
        return self.axis(name).get("matches") or name

    def panel_of(self, name: str) -> Axes:
        """Any panel that an axis belongs to."""
        return next(panel for pair, panel in self.panels.items() if name in pair)

    def paper(self, x: float, y: float) -> tuple[float, float]:
        """A point of the plotting area, 0 to 1 on either side, as a fraction of the figure."""
        m = {"l": 80, "r": 80, "t": 100, "b": 80, **self.layout.get("margin", {})}
        return (m["l"] + x * (self.width - m["l"] - m["r"])) / self.width, (m["b"] + y * (self.height - m["b"] - m["t"])) / self.height


def merged_layout(figure: go.Figure) -> dict[str, Any]:
    """The layout as plain numbers and words, with what its template sets where it says nothing itself."""
    given = figure.layout.to_plotly_json()
    base = dict(given.pop("template", {}).get("layout", {}))
    axes = {
        key: _merged(base.pop(letter, {}), given.get(key, {}))
        for letter in ("xaxis", "yaxis")
        for key in {letter, *(k for k in given if k.startswith(letter))}
    }
    notes = [_merged(base.get("annotationdefaults", {}), note) for note in given.get("annotations", ())]
    return {**_merged(base, given), **axes, "annotations": notes}


def lay_out(canvas: Canvas) -> None:
    """Give every axis its range, the same on all its panels, then its ticks, grid and title."""
    for name in dict.fromkeys(name for pair in canvas.panels for name in pair):
        low, high = _range(canvas, name)
        for pair, panel in canvas.panels.items():
            if name in pair:
                (panel.set_xlim if name[0] == "x" else panel.set_ylim)(low, high)
    for (x, y), panel in canvas.panels.items():
        panel.set_facecolor("none")
        panel.patch.set_visible(False)
        for side in panel.spines.values():
            side.set_visible(False)
        for name, anchor in ((x, y), (y, x)):
            _dress(canvas, panel, name, shown=canvas.axis(name).get("anchor", anchor) == anchor)


def place_axes(canvas: Canvas) -> None:
    """Put the panels at their domains; where axes are tied to one scale, the wider one gives way."""
    domains = {name: list(canvas.axis(name).get("domain", (0.0, 1.0))) for pair in canvas.panels for name in pair}
    for name in [n for n in domains if canvas.axis(n).get("scaleanchor")]:
        _tie(canvas, name, canvas.axis(name)["scaleanchor"], domains)
    for (x, y), panel in canvas.panels.items():
        left, bottom = canvas.paper(domains[x][0], domains[y][0])
        right, top = canvas.paper(domains[x][1], domains[y][1])
        panel.set_position((left, bottom, right - left, top - bottom))


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in given.items():
        found[key] = _merged(found.get(key, {}), value) if isinstance(value, dict) and isinstance(found.get(key, {}), dict) else value
    return found


def _range(canvas: Canvas, name: str) -> tuple[float, float]:
    """Both ends of an axis: as set, or what holds all that is drawn."""
    axis = canvas.axis(name)
    if axis.get("range") is not None:
        return tuple(10.0**end for end in axis["range"]) if canvas.is_log(name) else tuple(axis["range"])
    boxes = [
        (panel.dataLim.intervalx if name[0] == "x" else panel.dataLim.intervaly) if not canvas.is_log(name) else _positive(panel, name[0])
        for pair, panel in canvas.panels.items()
        if any(canvas.scale_of(other) == canvas.scale_of(name) for other in pair)
    ]
    ends = [end for box in boxes for end in box if math.isfinite(end)]
    if not ends:
        return (1.0, 10.0) if canvas.is_log(name) else (0.0, 1.0)
    low, high = (math.log10(f(ends)) if canvas.is_log(name) else f(ends) for f in (min, max))
    pad = _PAD * (high - low) or 0.5
    low, high = low - pad, high + pad
    if axis.get("rangemode") == "tozero":
        low = min(0.0, low + pad)
    if axis.get("autorange") == "reversed":
        low, high = high, low
    return (10.0**low, 10.0**high) if canvas.is_log(name) else (low, high)


def _positive(panel: Axes, letter: str) -> tuple[float, float]:
    """The smallest and largest number above 0 that is drawn."""
    box = panel.dataLim
    return (box.minposx, box.x1) if letter == "x" else (box.minposy, box.y1)


def _tie(canvas: Canvas, name: str, to: str, domains: dict[str, list[float]]) -> None:
    """One unit as long on both axes: shrink the domain of the one with longer units, or widen its range."""
    sizes = {}
    for axis in (name, to):
        low, high = (canvas.panel_of(axis).get_xlim if axis[0] == "x" else canvas.panel_of(axis).get_ylim)()
        start, end = (canvas.paper(*[d, d])[axis[0] == "y"] * (canvas.width if axis[0] == "x" else canvas.height) for d in domains[axis])
        sizes[axis] = (abs(high - low), end - start)
    unit = min(pixels / span for span, pixels in sizes.values())
    for axis, (span, pixels) in sizes.items():
        share = unit * span / pixels
        if canvas.axis(axis).get("constrain") == "domain":
            start, end = domains[axis]
            at = _TOWARD[canvas.axis(axis).get("constraintoward", "center")]
            slack = (1 - share) * (end - start)
            domains[axis] = [start + at * slack, end - (1 - at) * slack]
        else:
            _widen(canvas, axis, 1 / share)


def _widen(canvas: Canvas, name: str, factor: float) -> None:
    for pair, panel in canvas.panels.items():
        if name in pair:
            get, put = (panel.get_xlim, panel.set_xlim) if name[0] == "x" else (panel.get_ylim, panel.set_ylim)
            low, high = get()
            put((low + high) / 2 - factor * (high - low) / 2, (low + high) / 2 + factor * (high - low) / 2)


def _dress(canvas: Canvas, panel: Axes, name: str, *, shown: bool) -> None:
    """Ticks, numbers, grid and title of one side of a panel; the grid alone where the axis is written elsewhere."""
    axis, side = canvas.axis(name), panel.xaxis if name[0] == "x" else panel.yaxis
    if axis.get("visible") is False:
        side.set_visible(False)
        return
    _tick(side, axis, log=canvas.is_log(name))
    if axis.get("showgrid", True):
        side.grid(True, which="major", color=colour(axis.get("gridcolor", "#eeeeee")), linewidth=0.8 * PT)
    panel.set_axisbelow(True)
    font, labelled = axis.get("tickfont", {}), shown and axis.get("showticklabels", True)
    side.set_tick_params(
        which="major",
        color=colour(axis.get("tickcolor", "#444444")),
        labelcolor=colour(font.get("color", "#444444")),
        labelsize=font.get("size", 12) * PT,
        length=4 * PT,
        left=shown,
        bottom=shown,
        labelleft=labelled,
        labelbottom=labelled,
    )
    side.set_tick_params(
        which="minor",
        length=2 * PT,
        color=colour(axis.get("tickcolor", "#444444")),
        left=shown and "minor" in axis,
        bottom=shown and "minor" in axis,
        labelleft=False,
        labelbottom=False,
    )
    title = axis.get("title", {})
    if shown and title.get("text"):
        font = title.get("font", {})
        side.set_label_text(unmarked(title["text"], "\n"), color=colour(font.get("color", "#444444")), fontsize=font.get("size", 14) * PT)
        side.labelpad = 5 * PT


def _tick(side: Any, axis: Mapping[str, Any], *, log: bool) -> None:
    from matplotlib import ticker

    written = number_text(axis)
    if axis.get("tickvals") is not None:
        texts = axis.get("ticktext")
        side.set_ticks(
            list(axis["tickvals"]),
            labels=[unmarked(str(t)) for t in texts] if texts is not None else [written(v) for v in axis["tickvals"]],
        )
        side.set_minor_locator(ticker.NullLocator())
        return
    if log:
        side.set_major_locator(ticker.LogLocator(numticks=8))
    elif axis.get("dtick") is not None:
        side.set_major_locator(ticker.MultipleLocator(axis["dtick"]))
    else:
        side.set_major_locator(ticker.MaxNLocator(axis.get("nticks") or 6, steps=[1, 2, 5, 10]))
    side.set_major_formatter(ticker.FuncFormatter(lambda value, _: written(value)))
    side.set_minor_formatter(ticker.NullFormatter())


def number_text(axis: Mapping[str, Any]) -> Callable[[float], str]:
    """How an axis writes its numbers: its tick format, which is Python's too, or as few digits as tell them apart."""
    spec = axis.get("tickformat") or ("," if axis.get("separatethousands") else "") + ".6g"

    def write(value: float) -> str:
        number = round(value) if spec.endswith("d") else value + 0.0  # no −0
        return f"{axis.get('tickprefix', '')}{number:{spec}}{axis.get('ticksuffix', '')}".replace("-", "−")

    return write
