"""Reference schemes side by side, and their learning curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.plots.theme import PLAIN_NUMBERS, apply_theme, faded, literal, log_ticks, nothing_to_draw, on_ground, palette
from xfunc_core.quantities import ENERGY, counted, interval_text

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
_ROW = 38
"""Pixels of a scheme: its name, and below it its errors, so that long names leave a narrow page room to draw."""
_KEY_ROWS = 9
"""Rows of the key of the learning curves on a narrow page, which has one for almost every name."""
_LONGEST = 44
"""Characters of a name that is drawn; that of a file may be longer."""
_HOVER = "<b>%{customdata[0]}</b><br>Test MAE %{customdata[1]} · test RMSE %{customdata[2]} · held-out MAE %{customdata[3]} meV/atom<br>%{customdata[4]}<extra></extra>"


def colour_of(name: str, dark: bool = False) -> str:
    """The colour of a scheme on light or dark ground."""
    colour = COLOURS.get(name, "#5f6b7a")
    return palette(dark).text if colour == "#000000" else on_ground(colour, dark)


def comparison_figure(table: pd.DataFrame, words: tuple[str, ...] = (), dark: bool = False) -> go.Figure:
    """Errors of the schemes on a logarithmic axis, the lowest test MAE on top: that with its interval over refits, test RMSE, held-out MAE.

    Args:
        table: indexed by the scheme's name, the lowest first; ``label``, ``test_mae``, ``test_mae_low``, ``test_mae_high``,
            ``test_rmse``, ``held_out_mae`` (eV/atom), ``n_test``, ``n_held_out``, ``recommended``, ``off_scale`` and ``note``.
        words: what is written above the plot beside N.
        dark: whether the page is dark.
    """
    if table.empty:
        return nothing_to_draw("No scheme can be compared.", dark)
    c, fig = palette(dark), go.Figure()
    at = np.arange(len(table))[::-1]
    for place, (name, row) in zip(at, table.iterrows(), strict=True):
        _add_scheme(fig, str(name), row, int(place), dark)
    line = {"width": 1.6, "color": c.muted}
    for column, label, symbol, size in (("test_rmse", "test RMSE", "line-ns", 13), ("held_out_mae", "held-out MAE", "diamond-open", 8)):
        marker = {"symbol": symbol, "size": size, "color": c.muted, "line": line}
        fig.add_trace(go.Scatter(x=table[column] * ENERGY.error_scale, y=at, mode="markers", marker=marker, name=label, hoverinfo="skip"))
    _add_key(fig, c.muted, bool(table["off_scale"].any()))
    drawn = (
        np.concatenate([table[column] for column in ("test_mae_low", "test_rmse", "test_mae_high", "held_out_mae")]) * ENERGY.error_scale
    )
    fig.update_xaxes(
        type="log",
        title=f"Error of the energy<br>before fine-tuning ({ENERGY.error_unit})",
        tickvals=log_ticks(drawn[drawn > 0].min(), drawn.max()) if (drawn > 0).any() else None,
        **PLAIN_NUMBERS,
    )
    fig.update_yaxes(showticklabels=False, ticks="", showgrid=False, range=[-0.6, len(table) - 0.3])
    counts = (
        f"{part}: N = {counted(int(table[column].iloc[0]), 'frame')}" for part, column in (("Test", "n_test"), ("held-out", "n_held_out"))
    )
    apply_theme(fig, dark, height=180 + _ROW * len(table), note=" · ".join([*counts, *map(literal, words)]), legend_rows=3)
    return fig.update_layout(margin={"l": 16})


def _add_key(fig: go.Figure, colour: str, off_scale: bool) -> None:
    """What the marks mean, in the legend."""
    entries = {"test MAE, 95 % over refits": "circle"} | ({"from another energy scale": "circle-open"} if off_scale else {})
    for name, symbol in entries.items():
        marker = {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}}
        fig.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name))


def _add_scheme(fig: go.Figure, name: str, row: pd.Series, place: int, dark: bool) -> None:
    scale, colour = ENERGY.error_scale, colour_of(name, dark)
    mae = interval_text(ENERGY.error, *(row[column] for column in ("test_mae", "test_mae_low", "test_mae_high")))
    label = literal(row["label"])
    short = literal(row["label"] if len(row["label"]) <= _LONGEST else f"{row['label'][: _LONGEST - 1]}…")
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
            customdata=[[label, mae, ENERGY.error(row["test_rmse"]), ENERGY.error(row["held_out_mae"]), row["note"]]],
            name=label,
            showlegend=False,
            hovertemplate=_HOVER,
        )
    )
    text = f"<b>{short}</b>" if row["recommended"] else short
    fig.add_annotation(
        text=text, x=0, xref="paper", xanchor="left", y=place, yanchor="bottom", yshift=6, font={"color": palette(dark).text}
    )


def curve_figure(table: pd.DataFrame, axis: str, n: str, dark: bool = False) -> go.Figure:
    """Error of each scheme against the number of training frames, medians with quartiles, on logarithmic axes.

    Args:
        table: ``scheme``, ``label``, ``size``, ``n_frames``, ``low``, ``median``, ``high`` in eV/atom; values that are 0 are not drawn.
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
    apply_theme(fig, dark, height=590, note=n, legend_rows=_KEY_ROWS)
    top = (fig.layout.margin.b - 46) / fig.layout.height  # right below the axis title, whatever room is left under it
    return fig.update_layout(legend={"xref": "container", "y": top, "yanchor": "top", "maxheight": top, "tracegroupgap": 0})


def _add_curve(fig: go.Figure, name: str, curve: pd.DataFrame, dark: bool) -> None:
    colour, scale, label = colour_of(name, dark), ENERGY.error_scale, str(curve["label"].iloc[0])
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
            name=label,
            legendgroup=name,
            hovertemplate=f"<b>{label}</b><br>N %{{x:,}}<br>%{{customdata}} meV/atom<extra></extra>",
        )
    )
