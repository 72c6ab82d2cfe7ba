"""How often values occur: one panel a quantity, one colour a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import plotly.graph_objects as go

from xfunc_core.plots.theme import PLAIN_NUMBERS, apply_theme, literal, nothing_to_draw, palette
from xfunc_core.quantities import count_text, counted

COLUMNS = 3
PANEL_HEIGHT = 210


class Counted(Protocol):
    """Counts of one number in one or more datasets, on shared edges."""

    title: str
    edges: np.ndarray
    counts: tuple[np.ndarray, ...]


def distributions(panels: Sequence[Counted], names: Sequence[str], dark: bool = False) -> go.Figure:
    """Draw histograms, on a logarithmic count axis so that rare frames are seen.

    Args:
        panels: axis title, edges (B + 1,) and one array of counts (B,) a dataset; the end bins also hold what lies beyond.
        names: of the datasets, in the order of the counts.
        dark: whether the page is dark.
    """
    from plotly.subplots import make_subplots

    if not panels:
        return nothing_to_draw("No frame has any of these numbers.", dark)
    rows = -(-len(panels) // COLUMNS)
    fig = make_subplots(rows=rows, cols=min(COLUMNS, len(panels)), horizontal_spacing=0.08, vertical_spacing=0.32 / rows)
    c = palette(dark)
    colours = (c.accent, c.highlight)
    names = [literal(name) for name in names]
    for i, panel in enumerate(panels):
        row, column = i // COLUMNS + 1, i % COLUMNS + 1
        for counts, name, colour in zip(panel.counts, names, colours, strict=False):
            _add_bars(fig, panel.edges, counts, name, colour, row, column, first=i == 0, alone=len(names) == 1)
        fig.update_xaxes(title=panel.title, row=row, col=column, **PLAIN_NUMBERS)
        fig.update_yaxes(type="log", dtick=1, title="Frames" if column == 1 else None, row=row, col=column, **PLAIN_NUMBERS)
    totals = [max(int(panel.counts[k].sum()) for panel in panels) for k in range(len(names))]
    note = " · ".join(f"{name}: N = {count_text(n)}" for name, n in zip(names, totals, strict=True)) if len(names) > 1 else f"N = {count_text(totals[0])}"
    return apply_theme(fig, dark, height=60 + PANEL_HEIGHT * rows, note=f"{note} · the end bins hold what lies beyond", legend_rows=len(names) if len(names) > 1 else 0)


def _add_bars(fig: go.Figure, edges: np.ndarray, counts: np.ndarray, name: str, colour: str, row: int, column: int, *, first: bool, alone: bool) -> None:
    centres = (edges[:-1] + edges[1:]) / 2
    fig.add_trace(
        go.Bar(
            x=centres,
            y=np.where(counts > 0, counts, np.nan),  # no bar on a logarithmic axis
            width=float(edges[1] - edges[0]),
            name=name,
            legendgroup=name,
            showlegend=first,
            marker={"color": colour, "opacity": 0.85 if alone else 0.55, "line": {"width": 0}},
            customdata=[counted(int(n), "frame") for n in counts],
            hovertemplate="%{x:.3g}: %{customdata}<extra></extra>",
        ),
        row=row,
        col=column,
    )
    fig.update_layout(barmode="overlay", bargap=0)
