"""The traces that xfunc draws, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xfunc_core.errors import ConfigError
from xfunc_core.plots.export_axes import PT, Canvas
from xfunc_core.plots.export_text import colour, colour_map, colours, unmarked

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

RASTER_ABOVE = 25_000
"""More marks than this become pixels within an SVG or PDF, which would be slow to open otherwise."""
_SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "x": "X",
    "x-thin": "x",
    "cross": "P",
    "cross-thin": "+",
    "triangle-up": "^",
    "triangle-down": "v",
    "line-ns": "|",
    "line-ew": "_",
}
_DASHES = {"solid": "-", "dash": (0, (5, 3)), "dot": (0, (1.5, 2)), "dashdot": (0, (5, 2, 1, 2)), "longdash": (0, (8, 3))}
_PLACES = {"top": "bottom", "middle": "center", "bottom": "top", "left": "right", "center": "center", "right": "left"}
"""Where text stands from its point, and the side of the text that is put there."""


def checked(trace: Any) -> Any:
    """The trace itself.

    Raises:
        ConfigError: it is of a type that xfunc does not draw for print.
    """
    if trace.type not in _DRAW:
        raise ConfigError(f"A trace of the type {trace.type!r} cannot be exported: only {', '.join(_DRAW)} can.")
    return trace


def add_trace(canvas: Canvas, trace: Any, number: int, layout: Mapping[str, Any]) -> Artist | None:
    """Draw a trace on its panel; what stands for it in the legend, None where it has no entry.

    The marks of trace ``i`` carry the id ``trace-i`` in an SVG.

    Raises:
        ConfigError: the trace has a setting that is not drawn here.
    """
    panel = canvas.panels[trace.xaxis or "x", trace.yaxis or "y"]
    handle = _DRAW[trace.type](panel, trace, f"trace-{number}", layout)
    return handle if trace.showlegend is not False and trace.name and layout.get("showlegend", True) else None


def line_look(line: Any, opacity: float = 1.0) -> dict[str, Any]:
    """Colour, width and dashes of a plotly line.

    Raises:
        ConfigError: its dashes are not among those that xfunc draws.
    """
    dash = line.dash or "solid"
    if dash not in _DASHES:
        raise ConfigError(f"A line with the dash {dash!r} cannot be exported: only {', '.join(_DASHES)} can.")
    return {
        "color": colour(line.color or "#444444", opacity),
        "linewidth": (2 if line.width is None else line.width) * PT,
        "linestyle": _DASHES[dash],
    }


def _scatter(panel: Axes, trace: Any, gid: str, layout: Mapping[str, Any]) -> Artist | None:
    x, y = _numbers(trace.x), _numbers(trace.y)
    parts, opacity, handle = (trace.mode or "markers").split("+"), 1.0 if trace.opacity is None else trace.opacity, None
    if trace.fill not in (None, "none"):
        handle = _fill(panel, trace, x, y, opacity)
    if "lines" in parts and trace.line.width != 0:
        if trace.line.shape not in (None, "linear"):
            raise ConfigError(f"A line of the shape {trace.line.shape!r} cannot be exported.")
        [handle] = panel.plot(x, y, gid=f"{gid}-line", zorder=2, **line_look(trace.line, opacity))
    for letter, bars in (("x", trace.error_x), ("y", trace.error_y)):
        if bars.array is not None and bars.visible is not False:
            _errors(panel, trace, x, y, letter, bars, opacity)
    if "markers" in parts and trace.marker.opacity != 0:
        handle = _markers(panel, trace, x, y, gid, opacity)
    if "text" in parts:
        _texts(panel, trace, x, y)
    return handle


def _fill(panel: Axes, trace: Any, x: np.ndarray, y: np.ndarray, opacity: float) -> Artist:
    look = {"facecolor": colour(trace.fillcolor or "#cccccc", opacity), "linewidth": 0, "zorder": 1.5}
    if trace.fill == "toself":
        [patch] = panel.fill(x, y, **look)
        return patch
    if trace.fill == "tozeroy":
        return panel.fill_between(x, 0, y, **look)
    raise ConfigError(f"The fill {trace.fill!r} cannot be exported: only toself and tozeroy can.")


def _markers(panel: Axes, trace: Any, x: np.ndarray, y: np.ndarray, gid: str, opacity: float) -> Artist:
    marker = trace.marker
    name, is_open = (marker.symbol or "circle").removesuffix("-open"), str(marker.symbol).endswith("-open")
    if name not in _SYMBOLS:
        raise ConfigError(f"Marks of the form {marker.symbol!r} cannot be exported: only {', '.join(_SYMBOLS)} can.")
    alpha = opacity * (1.0 if marker.opacity is None else marker.opacity)
    fill = colours(marker.color, alpha, x.size, marker.colorscale, (marker.cmin, marker.cmax))
    thin = name.endswith("-thin") or name.startswith("line-")
    size = np.asarray(6 if marker.size is None else marker.size, dtype=float) * PT
    width = (marker.line.width if marker.line.width is not None else 1.0 * (is_open or thin)) * PT
    edge = fill if is_open or thin else colours(marker.line.color, alpha, x.size) if width else "none"
    look = {"c": fill} if thin else {"facecolors": "none" if is_open else fill, "edgecolors": edge}
    return panel.scatter(
        x,
        y,
        s=(size * (0.85 if name == "diamond" else 1.0)) ** 2,
        marker=_SYMBOLS[name],
        linewidths=width,
        gid=gid,
        zorder=3,
        rasterized=x.size > RASTER_ABOVE,
        **look,
    )


def _errors(panel: Axes, trace: Any, x: np.ndarray, y: np.ndarray, letter: str, bars: Any, opacity: float) -> None:
    up = _numbers(bars.array)
    down = up if bars.arrayminus is None else _numbers(bars.arrayminus)
    own = bars.color or (trace.marker.color if isinstance(trace.marker.color, str) else None) or "#444444"
    panel.errorbar(
        x,
        y,
        **{f"{letter}err": [down, up]},
        fmt="none",
        ecolor=colour(own, opacity),
        elinewidth=(2 if bars.thickness is None else bars.thickness) * PT,
        capsize=(4 if bars.width is None else bars.width) * PT,
        zorder=2.5,
    )


def _texts(panel: Axes, trace: Any, x: np.ndarray, y: np.ndarray) -> None:
    upright, side = (trace.textposition or "middle center").split()
    font = trace.textfont
    across, up = {"left": -4, "center": 0, "right": 4}[side] * PT, {"bottom": -3, "middle": 0, "top": 3}[upright] * PT
    for at, text in zip(zip(x, y, strict=True), trace.text, strict=True):
        if text:
            panel.annotate(
                unmarked(str(text)),
                at,
                (across, up),
                textcoords="offset points",
                ha=_PLACES[side],
                va=_PLACES[upright],
                fontsize=(font.size or 12) * PT,
                color=colour(font.color or "#444444"),
                zorder=4,
            )


def _bar(panel: Axes, trace: Any, gid: str, layout: Mapping[str, Any]) -> Artist | None:
    if layout.get("barmode") not in ("overlay",):
        raise ConfigError("Bars are exported where they overlay each other; set barmode to overlay and place them by offset or position.")
    flat = trace.orientation == "h"
    at, length = (_numbers(trace.y), _numbers(trace.x)) if flat else (_numbers(trace.x), _numbers(trace.y))
    thickness = 0.8 if trace.width is None else trace.width
    look = {
        "color": colours(trace.marker.color, 1.0 if trace.marker.opacity is None else trace.marker.opacity, at.size),
        "linewidth": 0,
        "zorder": 2,
    }
    bars = panel.barh(at, length, height=thickness, **look) if flat else panel.bar(at, length, width=thickness, **look)
    for i, patch in enumerate(bars):
        patch.set_gid(f"{gid}-{i}")
    for letter, errors in (("x", trace.error_x), ("y", trace.error_y)):
        if errors.array is not None and errors.visible is not False:
            _errors(panel, trace, *((length, at) if flat else (at, length)), letter, errors, 1.0)
    return bars[0] if len(bars) else None


def _heatmap(panel: Axes, trace: Any, gid: str, layout: Mapping[str, Any]) -> None:
    z = np.ma.masked_invalid(_numbers(trace.z))
    panel.pcolormesh(
        _edges(_numbers(trace.x)),
        _edges(_numbers(trace.y)),
        z,
        cmap=colour_map(trace.colorscale),
        vmin=trace.zmin,
        vmax=trace.zmax,
        gid=gid,
        rasterized=True,
        zorder=1,
    )


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells, shape (n + 1,), from their centres, shape (n,)."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _numbers(values: Any) -> np.ndarray:
    """Numbers of a trace as floats; None becomes NaN.

    Raises:
        ConfigError: they are words or dates.
    """
    try:
        return np.array([] if values is None else values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ConfigError("A trace with words or dates in place of numbers cannot be exported.") from error


_DRAW = {"scatter": _scatter, "scattergl": _scatter, "bar": _bar, "heatmap": _heatmap}
