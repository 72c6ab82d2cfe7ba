"""One scheme's references element by element: the shift against Z, and what is left of the training frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.plots.theme import PLAIN_NUMBERS, apply_theme, nothing_to_draw, palette
from xfunc_core.quantities import ENERGY, counted, interval_text

_ROW = 16
"""Pixels of an element."""
_LABELLED = 14
_GAP = 3
"""Elements that are named lie at least this far apart in Z."""


def shift_line_figure(table: pd.DataFrame, slope: float, intercept: float, words: tuple[str, ...] = (), dark: bool = False) -> go.Figure:
    """w − w_GGA against Z with σ over refits, and its straight line.

    Args:
        table: indexed by symbol; ``z``, ``shift``, ``sigma_refits`` (NaN without one) in eV/atom, ``n_frames``.
        slope: of the line, eV/atom per Z; NaN draws none.
        intercept: at Z = 0, eV/atom.
        words: what is written above the plot beside N.
        dark: whether the page is dark.
    """
    if table.empty:
        return nothing_to_draw("No element of the training frames has a reference.", dark)
    c, fig = palette(dark), go.Figure()
    if np.isfinite(slope):
        ends = np.array([table["z"].min(), table["z"].max()])
        line = {"color": c.quiet, "width": 1.4, "dash": "dash"}
        fig.add_trace(go.Scatter(x=ends, y=intercept + slope * ends, mode="lines", line=line, name="Straight line in Z", hoverinfo="skip"))
    named = _furthest(table, slope, intercept)
    fig.add_trace(
        go.Scatter(
            x=table["z"],
            y=table["shift"],
            mode="markers+text",
            error_y={"array": table["sigma_refits"].fillna(0.0), "thickness": 1.2, "width": 2, "color": c.accent},
            text=[symbol if symbol in named else "" for symbol in table.index],
            textposition="top right",
            textfont={"size": 11, "color": c.muted},
            marker={"size": 7, "color": c.accent},
            customdata=np.stack([table.index, [ENERGY.value(s) for s in table["sigma_refits"]], _training_frames(table)], axis=1),
            name="This scheme, ± σ over refits",
            hovertemplate="<b>%{customdata[0]}</b> · Z %{x}<br>%{y:.3f} ± %{customdata[1]} eV/atom<br>%{customdata[2]}<extra></extra>",
        )
    )
    fig.update_xaxes(title="Atomic number Z")
    fig.update_yaxes(title=f"w − w_GGA ({ENERGY.unit})")
    note = " · ".join([f"N = {counted(len(table), 'element')}", *words])
    return apply_theme(fig, dark, height=460, note=note, legend_rows=2)


def residual_figure(table: pd.DataFrame, dark: bool = False) -> go.Figure:
    """Label − prediction in the training frames that hold an element: medians and quartiles, before on the left and after on the right.

    Args:
        table: indexed by symbol in order of Z; ``n_frames``, ``before_low``, ``before_median``, ``before_high`` and the same
            of ``after``, eV/atom.
        dark: whether the page is dark.
    """
    if table.empty:
        return nothing_to_draw("No element is in the training frames.", dark)
    from plotly.subplots import make_subplots

    c = palette(dark)
    fig = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06, subplot_titles=["Before: w_GGA", "After"])
    for column, (when, colour) in enumerate((("before", c.quiet), ("after", c.accent)), start=1):
        _add_quartiles(fig, table, when, colour, column)
        fig.add_vline(0, line={"color": c.line, "width": 1}, row=1, col=column)
    fig.update_xaxes(title=f"Label − model<br>({ENERGY.error_unit})", nticks=4, **PLAIN_NUMBERS)
    at = np.arange(len(table))[::-1]
    fig.update_yaxes(tickvals=at, ticktext=list(table.index), tickfont={"size": 11}, range=[-0.7, len(table) - 0.3])
    for title in fig.layout.annotations:
        title.update(font={"size": 13, "color": c.text})
    note = f"N = {counted(len(table), 'element')} · medians and quartiles"
    apply_theme(fig, dark, height=150 + _ROW * len(table), note=note)
    fig.update_annotations(selector={"name": "note"}, yshift=30)
    return fig.update_layout(margin={"t": fig.layout.margin.t + 24, "l": 40})


def _add_quartiles(fig: go.Figure, table: pd.DataFrame, when: str, colour: str, column: int) -> None:
    low, median, high = (table[f"{when}_{name}"] * ENERGY.error_scale for name in ("low", "median", "high"))
    written = [interval_text(ENERGY.error, *row) for row in table[[f"{when}_{name}" for name in ("median", "low", "high")]].to_numpy()]
    fig.add_trace(
        go.Scatter(
            x=median,
            y=np.arange(len(table))[::-1],
            mode="markers",
            error_x={"array": high - median, "arrayminus": median - low, "thickness": 1.4, "width": 2, "color": colour},
            marker={"size": 7, "color": colour},
            customdata=np.stack([table.index, _training_frames(table), written], axis=1),
            name=when,
            hovertemplate="<b>%{customdata[0]}</b> · %{customdata[1]}<br>median %{customdata[2]} meV/atom<extra></extra>",
        ),
        row=1,
        col=column,
    )


def _training_frames(table: pd.DataFrame) -> list[str]:
    return [counted(int(n), "training frame") for n in table["n_frames"]]


def _furthest(table: pd.DataFrame, slope: float, intercept: float) -> set[str]:
    """The elements furthest from the line that do not crowd each other."""
    if not np.isfinite(slope):
        return set(table.index)
    away = (table["shift"] - intercept - slope * table["z"]).abs()
    named: list[str] = []
    for symbol in away.sort_values(ascending=False).index:
        if len(named) < _LABELLED and all(abs(table.at[symbol, "z"] - table.at[other, "z"]) >= _GAP for other in named):
            named.append(symbol)
    return set(named)
