"""Many points as the shade of equal cells, counted here so that the browser gets a small figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

BINS = 60
"""Of histograms."""
Span = tuple[float, float]
"""Both ends of an axis."""


def add_density(
    fig: go.Figure, x: np.ndarray, y: np.ndarray, spans: tuple[Span, Span], colours: Sequence[str], axis: str, cells: tuple[int, int]
) -> None:
    """Add a heat map of log₁₀ of the counts; cells without a point are clear.

    Args:
        fig: what it is added to.
        x, y: shape (n,), within the spans.
        spans: of both axes.
        colours: from one point to the fullest cell.
        axis: name of the y axis.
        cells: along x and along y.
    """
    counts = counts_in_cells(x, y, spans, cells)
    with np.errstate(divide="ignore"):
        shade = np.where(counts > 0, np.log10(counts), np.nan).astype(np.float32)
    along_x, along_y = (centres(np.linspace(*span, n + 1)).astype(np.float32) for span, n in zip(spans, cells, strict=True))
    look = {"showscale": False, "colorscale": list(colours), "zmin": 0, "zmax": max(float(np.nanmax(shade)), 1.0), "hoverongaps": False}
    fig.add_trace(
        go.Heatmap(x=along_x, y=along_y, z=shade, yaxis=axis, name="Density", hovertemplate="log₁₀ count %{z:.1f}<extra></extra>", **look)
    )


def counts_in_cells(x: np.ndarray, y: np.ndarray, spans: tuple[Span, Span], cells: tuple[int, int]) -> np.ndarray:
    """How many of n points fall into each of equal cells, shape (cells along y, cells along x).

    Args:
        x, y: shape (n,), within the spans.
        spans: both ends of the grid along x and along y.
        cells: along x and along y.
    """
    columns, rows = (
        ((v - low) * (n / (high - low))).astype(np.int32).clip(0, n - 1) for v, (low, high), n in zip((x, y), spans, cells, strict=True)
    )
    return np.bincount(rows * cells[0] + columns, minlength=cells[0] * cells[1]).reshape(cells[1], cells[0])


def furthest_from_middle(values: np.ndarray, n: int) -> np.ndarray:
    """Places of the n values furthest from their median, in no order; all places where there are fewer."""
    if values.size <= n:
        return np.arange(values.size)
    return np.argpartition(-np.abs(values - np.median(values)), n)[:n]


def padded(values: np.ndarray, share: float = 0.04) -> Span:
    """Ends that hold all values with some room; half a unit on either side of a single one."""
    low, high = float(values.min()), float(values.max())
    room = share * (high - low) if high > low else 0.5
    return low - room, high + room


def centres(edges: np.ndarray) -> np.ndarray:
    """Middles of n cells, from their n + 1 edges."""
    return (edges[:-1] + edges[1:]) / 2
