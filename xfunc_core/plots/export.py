"""A figure of xfunc as PNG, SVG or PDF through matplotlib, without a browser: what plotly's own export needs one for.

Exactly what the figures of this package use is drawn; anything else is refused by its name, so that nothing is left out silently.
"""

from __future__ import annotations

import io
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.plots.export_axes import Canvas, lay_out, merged_layout, place_axes
from xfunc_core.plots.export_marks import add_annotations, add_colour_bars, add_legend, add_shapes
from xfunc_core.plots.export_text import unmarked
from xfunc_core.plots.export_traces import add_trace, checked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 760
"""Pixels; a page's column is about as wide."""
PRINT_DPI = 300
_STYLE = {
    "font.family": "DejaVu Sans",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "svg.hashsalt": "xfunc",
    "axes.unicode_minus": True,
}
"""Text stays text, to be searched and edited; DejaVu Sans has r², Å, μ and −."""
_matplotlib = Lock()
"""matplotlib's settings are those of the whole process."""


class FigureFormat(Enum):
    """A file format of figures; the value is the file's suffix without the dot."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"

    @property
    def mime(self) -> str:
        """The media type."""
        return {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}[self.value]


def export(figure: go.Figure, kind: FigureFormat, width: int = WIDTH) -> bytes:
    """Draw a figure again for print: the same traces, axes, shapes, notes and colours.

    Args:
        figure: any figure of this package, made for light ground.
        kind: what file it becomes.
        width: in pixels of the screen; the height is the figure's own. Print has 300 dots for 100 of them.

    Raises:
        ConfigError: the figure holds a trace or a setting that cannot be drawn here, such as a three-dimensional one.
    """
    import matplotlib as mpl

    target = io.BytesIO()
    with _matplotlib, mpl.rc_context(_STYLE):
        drawn = _drawn(figure, width)
        undated = {"Date": None} if kind is not FigureFormat.PDF else {"CreationDate": None}
        metadata = {} if kind is FigureFormat.PNG else undated
        drawn.savefig(target, format=kind.value, dpi=PRINT_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08, metadata=metadata)
    return target.getvalue()


def drawn_numbers(figure: go.Figure) -> pd.DataFrame:
    """The numbers that a figure shows, a row a point or density cell: series, x, y and what else a trace has.

    Columns are named by the axis titles. Densities come with ``log10_count``; error bars with ``y_error``.
    """
    parts = [_numbers(trace, figure) for trace in figure.data if trace.visible in (None, True)]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _drawn(figure: go.Figure, width: int) -> Figure:
    traces = [checked(trace) for trace in figure.data if trace.visible in (None, True)]
    layout = merged_layout(figure)
    canvas = Canvas.of(layout, traces, width)
    handles = [add_trace(canvas, trace, i, layout) for i, trace in enumerate(traces)]
    lay_out(canvas)
    add_shapes(canvas)
    place_axes(canvas)
    add_annotations(canvas)
    add_colour_bars(canvas, traces)
    add_legend(canvas, [(trace, handle) for trace, handle in zip(traces, handles, strict=True) if handle is not None])
    return canvas.figure


def _numbers(trace: go.Scatter | go.Bar | go.Heatmap, figure: go.Figure) -> pd.DataFrame:
    x_title, y_title = (_title(figure, getattr(trace, f"{letter}axis") or letter) for letter in "xy")
    if trace.type == "heatmap":
        z = np.asarray(trace.z, dtype=float)
        row, column = np.nonzero(np.isfinite(z))
        return pd.DataFrame(
            {
                "series": unmarked(trace.name or ""),
                x_title: np.asarray(trace.x)[column],
                y_title: np.asarray(trace.y)[row],
                "log10_count": z[row, column],
            }
        )
    x, y = (np.array([] if v is None else v, dtype=float) for v in (trace.x, trace.y))
    table = {"series": np.full(len(x), unmarked(trace.name or ""), dtype=object), x_title: x, y_title: y}
    if trace.error_y.array is not None:
        table["y_error"] = np.asarray(trace.error_y.array, dtype=float)
        if trace.error_y.arrayminus is not None:
            table["y_error_minus"] = np.asarray(trace.error_y.arrayminus, dtype=float)
    if trace.text is not None and not isinstance(trace.text, str):
        table["text"] = [unmarked(str(text), " ") for text in trace.text]
    found = pd.DataFrame(table)
    return found[np.isfinite(x) & np.isfinite(y)]


def _title(figure: go.Figure, axis: str) -> str:
    """What an axis is called: its title, or that of its panel."""
    own = figure.layout[f"{axis[0]}axis{axis[1:]}"]
    if own.title.text:
        return unmarked(own.title.text, " ")
    partner = figure.layout[f"{'yx'[axis[0] == 'y']}axis{axis[1:]}"]
    at = None if own.domain is None or partner.domain is None else (sum(partner.domain) / 2, own.domain[1])
    return next(
        (unmarked(note.text, " ") for note in figure.layout.annotations if at and abs(note.x - at[0]) + abs(note.y - at[1]) < 1e-6), axis
    )
