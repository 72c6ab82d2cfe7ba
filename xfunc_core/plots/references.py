"""Reference schemes side by side, and their learning curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.plots.theme import PLAIN_NUMBERS, apply_theme, faded, literal, log_ticks, nothing_to_draw, on_ground, palette
from xfunc_core.quantities import ENERGY, count_text, interval_text

COLOURS = {
    "keep": "#5f6b7a",
    "none": "#9aa3ad",
    "mean-shift": "#000000",
    "lstsq-total": "#E69F00",
    "lstsq": "#E69F00",
    "ridge": "#E69F00",
    "residual": "#0072B2",
    "residual-smooth": "#009E73",
    "robust": "#0072B2",
    "trainable": "#009E73",
    "isolated-atoms": "#CC79A7",
    "elemental-solids": "#CC79A7",
    "delta-gauge": "#D55E00",
    "ridge-to-prior": "#D55E00",
    "table": "#56B4E9",
}
"""Of each scheme by its name (Okabe–Ito): schemes on the same energies share a colour and differ in the line."""
_DASHES = {
    "lstsq-total": "dash",
    "ridge": "dot",
    "robust": "dash",
    "trainable": "dot",
    "elemental-solids": "dash",
    "ridge-to-prior": "dash",
}
_ROW = 30
"""Pixels of a scheme."""
_NAMES = 112
"""Pixels that the names of the schemes take."""
_HOVER = "<b>%{customdata[0]}</b><br>MAE %{customdata[1]} · RMSE %{customdata[2]} meV/atom<br>%{customdata[3]}<extra></extra>"


def colour_of(name: str, dark: bool = False) -> str:
    """The colour of a scheme on light or dark ground."""
    colour = COLOURS.get(name, "#5f6b7a")
    return palette(dark).text if colour == "#000000" else on_ground(colour, dark)


def comparison_figure(table: pd.DataFrame, words: tuple[str, ...] = (), dark: bool = False) -> go.Figure:
    """Test errors of the schemes on a logarithmic axis, the lowest on top: MAE with its interval over refits, and RMSE.

    Args:
        table: indexed by the scheme's name, the lowest first; ``label``, ``test_mae``, ``test_mae_low``, ``test_mae_high``,
            ``test_rmse`` (eV/atom), ``n_test``, ``recommended`` and ``off_scale``.
        words: what is written above the plot beside N.
        dark: whether the page is dark.
    """
    if table.empty:
        return nothing_to_draw("No scheme can be compared.", dark)
    c, fig = palette(dark), go.Figure()
    at = np.arange(len(table))[::-1]
    for place, (name, row) in zip(at, table.iterrows(), strict=True):
        _add_scheme(fig, str(name), row, int(place), dark)
    rmse = table["test_rmse"] * ENERGY.error_scale
    line = {"width": 1.6, "color": c.muted}
    fig.add_trace(
        go.Scatter(x=rmse, y=at, mode="markers", marker={"symbol": "line-ns", "size": 13, "line": line}, name="RMSE", hoverinfo="skip")
    )
    _add_key(fig, c.muted, bool(table["off_scale"].any()))
    labels = [f"<b>{name}</b>" if row["recommended"] else str(name) for name, row in table.iterrows()]
    drawn = np.concatenate([table[column] for column in ("test_mae_low", "test_rmse", "test_mae_high")]) * ENERGY.error_scale
    fig.update_xaxes(
        type="log",
        title=f"Test error of the energy,<br>nothing trained ({ENERGY.error_unit})",
        tickvals=log_ticks(drawn[drawn > 0].min(), drawn.max()) if (drawn > 0).any() else None,
        **PLAIN_NUMBERS,
    )
    fig.update_yaxes(tickvals=at, ticktext=labels, range=[-0.7, len(table) - 0.3], ticks="")
    note = " · ".join([f"N = {count_text(int(table['n_test'].iloc[0]))} test frames", *map(literal, words)])
    apply_theme(fig, dark, height=156 + _ROW * len(table), note=note, legend_rows=2)
    fig.update_yaxes(automargin=False)
    fig.update_annotations(selector={"name": "note"}, xshift=-_NAMES)
    return fig.update_layout(margin={"l": _NAMES + 10}, legend={"x": 0, "xref": "container"})


def _add_key(fig: go.Figure, colour: str, off_scale: bool) -> None:
    """What the marks mean, in the legend."""
    entries = {"MAE, 95 % over refits": "circle"} | ({"from another energy scale": "circle-open"} if off_scale else {})
    for name, symbol in entries.items():
        marker = {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}}
        fig.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name))


def _add_scheme(fig: go.Figure, name: str, row: pd.Series, place: int, dark: bool) -> None:
    scale, colour = ENERGY.error_scale, colour_of(name, dark)
    mae = interval_text(ENERGY.error, *(row[column] for column in ("test_mae", "test_mae_low", "test_mae_high")))
    state = "another energy scale" if row["off_scale"] else "recommended" if row["recommended"] else ""
    fig.add_trace(
        go.Scatter(
            x=[row["test_mae"] * scale],
            y=[place],
            mode="markers",
            marker={
                "symbol": "circle-open" if row["off_scale"] else "circle",
                "size": 14 if row["recommended"] else 10,
                "color": colour,
                "line": {"width": 2, "color": colour},
            },
            error_x={
                "array": [(row["test_mae_high"] - row["test_mae"]) * scale],
                "arrayminus": [(row["test_mae"] - row["test_mae_low"]) * scale],
                "thickness": 1.6,
                "width": 4,
                "color": colour,
            },
            customdata=[[literal(row["label"]), mae, ENERGY.error(row["test_rmse"]), state]],
            name=name,
            showlegend=False,
            hovertemplate=_HOVER,
        )
    )


def curve_figure(table: pd.DataFrame, axis: str, n: str, dark: bool = False) -> go.Figure:
    """Error of each scheme against the number of training frames, medians with quartiles, on logarithmic axes.

    Args:
        table: ``scheme``, ``size``, ``n_frames``, ``low``, ``median``, ``high`` in eV/atom; values that are 0 are not drawn.
        axis: what the error is.
        n: what is written above the plot.
        dark: whether the page is dark.
    """
    shown = table[table["median"] > 0]
    if shown.empty:
        return nothing_to_draw("There are too few training frames for a curve.", dark)
    fig = go.Figure()
    for name in dict.fromkeys(shown["scheme"]):
        _add_curve(fig, name, shown[shown["scheme"] == name], dark)
    values = shown[["low", "median", "high"]].to_numpy() * ENERGY.error_scale
    ticks = log_ticks(float(values[values > 0].min()), float(values.max()))
    fig.update_xaxes(type="log", title="Training frames N", tickvals=sorted(set(shown["size"])), **PLAIN_NUMBERS)
    fig.update_yaxes(type="log", title=f"{axis} ({ENERGY.error_unit})", tickvals=ticks, **PLAIN_NUMBERS)
    return apply_theme(fig, dark, height=520, note=n, legend_rows=5)


def _add_curve(fig: go.Figure, name: str, curve: pd.DataFrame, dark: bool) -> None:
    colour, scale = colour_of(name, dark), ENERGY.error_scale
    band = curve[curve["low"] > 0]
    if len(band) > 1:
        fig.add_trace(
            go.Scatter(
                x=np.concatenate([band["size"], band["size"][::-1]]),
                y=np.concatenate([band["high"], band["low"][::-1]]) * scale,
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=faded(colour, 0.1),
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        )
    fig.add_trace(
        go.Scatter(
            x=curve["size"],
            y=curve["median"] * scale,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": _DASHES.get(name, "solid")},
            marker={"size": 6, "color": colour},
            customdata=[interval_text(ENERGY.error, *row) for row in curve[["median", "low", "high"]].to_numpy()],
            name=name,
            legendgroup=name,
            hovertemplate=f"<b>{name}</b><br>N %{{x:,}}<br>%{{customdata}} meV/atom<extra></extra>",
        )
    )
