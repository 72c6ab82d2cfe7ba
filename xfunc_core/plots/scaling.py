"""Test error against the number of training frames, with power laws, their intervals and the paper's points."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.analysis import paper
from xfunc_core.analysis.scaling import PowerLawBand
from xfunc_core.plots.theme import PLAIN_NUMBERS, apply_theme, faded, log_ticks, nothing_to_draw, on_ground, palette
from xfunc_core.quantities import ENERGY, FORCE, Method, Quantity, counted


def scaling_figure(
    table: pd.DataFrame,
    bands: Mapping[str, PowerLawBand | None],
    quantity: Quantity,
    paper_overlay: bool = False,
    dark: bool = False,
) -> go.Figure:
    """Draw error against training frames on logarithmic axes.

    Small points are runs, large ones the mean of a size, the line is the fit (dashed where it
    extrapolates) with its interval shaded, a dotted line the untrained model (size 0). The paper's
    points are open diamonds, drawn for energy and force only.

    Args:
        table: columns ``method`` (such as ``M4``), ``size``, ``seed``, ``error`` in the quantity's unit; a column
            ``start`` holds the error before training, drawn as crosses.
        bands: band of each method, in the quantity's unit; None or absent where there is no fit.
        quantity: what the errors are of.
        paper_overlay: whether to add the points of Huang et al. 2025, Fig. 6.
        dark: whether the page is dark.
    """
    with_paper = paper_overlay and quantity in (ENERGY, FORCE)
    if table.empty and not with_paper:
        return nothing_to_draw("No finished run has a test error yet.", dark)
    fig = go.Figure()
    methods = [m for m in Method if m.value in set(table["method"])]
    for method in methods:
        runs, colour = table[table["method"] == method.value], on_ground(method.colour, dark)
        _add_band(fig, bands.get(method.value), colour, quantity)
        _add_runs(fig, runs, bands.get(method.value), method, colour, quantity)
        _add_start(fig, runs, method, colour, quantity)
    if with_paper:
        _add_paper(fig, quantity, dark, named={m.value for m in methods})
    fig.update_xaxes(type="log", title="Training frames N", dtick=1, minor={"ticks": "outside", "ticklen": 2}, **PLAIN_NUMBERS)
    fig.update_yaxes(type="log", title=f"{quantity.label} MAE ({quantity.error_unit})", tickvals=_error_ticks(fig), **PLAIN_NUMBERS)
    rows = len(methods) + 2 * with_paper + ("start" in table and bool(table["start"].notna().any()))
    return apply_theme(fig, dark, height=440 + 22 * rows, note=_note(table), legend_rows=rows)


def _add_band(fig: go.Figure, band: PowerLawBand | None, colour: str, quantity: Quantity) -> None:
    if band is None:
        return
    if np.isfinite(band.lower).all():
        drawn = band.grid <= (band.grid[-1] if band.may_extrapolate else band.largest * (1 + 1e-9))
        grid, upper, lower = band.grid[drawn], band.upper[drawn], band.lower[drawn]
        fig.add_trace(
            go.Scatter(
                x=np.concatenate([grid, grid[::-1]]),
                y=np.concatenate([upper, lower[::-1]]) * quantity.error_scale,
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=faded(colour, 0.14),
                hoverinfo="skip",
                showlegend=False,
            )
        )
    pieces = [(band.grid[0], band.largest, "solid")]
    if band.may_extrapolate:
        pieces.append((band.largest, band.grid[-1], "dash"))
    for start, end, dash in pieces:
        sizes = np.array([start, end])
        y = band.fit.predict(sizes) * quantity.error_scale
        line = {"color": colour, "width": 2, "dash": dash}
        fig.add_trace(go.Scatter(x=sizes, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False))


def _add_runs(fig: go.Figure, runs: pd.DataFrame, band: PowerLawBand | None, method: Method, colour: str, quantity: Quantity) -> None:
    trained = runs[runs["size"] > 0]
    digits = f"%{{y:,.{quantity.error_decimals}f}} {quantity.error_unit}"
    means = trained.groupby("size")["error"].agg(["mean", "count"])
    fig.add_trace(
        go.Scatter(
            x=trained["size"],
            y=trained["error"] * quantity.error_scale,
            mode="markers",
            marker={"size": 5, "color": faded(colour, 0.55)},
            customdata=trained["seed"],
            showlegend=False,
            hovertemplate=f"<b>{method.label}</b><br>N %{{x:,}} · seed %{{customdata}}<br>{digits}<extra></extra>",
        )
    )
    fig.add_trace(
        go.Scatter(
            x=means.index,
            y=means["mean"] * quantity.error_scale,
            mode="markers",
            name=_legend_text(method, band),
            marker={"size": 10, "color": colour},
            customdata=means["count"],
            hovertemplate=f"<b>{method.label}</b><br>N %{{x:,}} · mean of %{{customdata}}<br>{digits}<extra></extra>",
        )
    )
    untrained = runs.loc[runs["size"] == 0, "error"]
    if len(untrained):
        level = float(untrained.mean()) * quantity.error_scale
        fig.add_hline(level, line={"color": colour, "width": 1.2, "dash": "dot"})
        fig.add_annotation(text=f"{method.value}, untrained", x=1, xref="paper", y=math.log10(level), xanchor="right", yanchor="bottom")


def _add_start(fig: go.Figure, runs: pd.DataFrame, method: Method, colour: str, quantity: Quantity) -> None:
    """What the references reach before any training: the rest of the way is learning."""
    known = runs[runs["size"] > 0].dropna(subset=["start"]) if "start" in runs else runs.iloc[:0]
    if known.empty:
        return
    means = known.groupby("size")["start"].mean()
    fig.add_trace(
        go.Scatter(
            x=means.index,
            y=means * quantity.error_scale,
            mode="lines+markers",
            name="Before training: the references alone",
            legendgroup="start",
            showlegend=not any(trace.legendgroup == "start" for trace in fig.data),
            line={"color": faded(colour, 0.6), "width": 1.2, "dash": "dot"},
            marker={"symbol": "x-thin-open", "size": 8, "color": colour, "line": {"width": 1.4, "color": colour}},
            hovertemplate=f"<b>{method.label}</b>, before training<br>N %{{x:,}}<br>%{{y:,.{quantity.error_decimals}f}} {quantity.error_unit}<extra></extra>",
        )
    )


def _legend_text(method: Method, band: PowerLawBand | None) -> str:
    if band is None:
        return method.label
    text = f"{method.label}: slope {band.fit.slope:.2f}"
    if math.isfinite(band.slope_low):
        text += f" ({band.slope_low:.2f} to {band.slope_high:.2f})"
    return text.replace("-", "−")


def _add_paper(fig: go.Figure, quantity: Quantity, dark: bool, named: set[str]) -> None:
    points = paper.fig6_points(quantity)
    points = points[points["size"] > 0]
    for method in (m for m in Method if m.value in set(points["method"]) - named):
        fig.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=method.label, marker={"size": 9, "symbol": "diamond-open", "color": on_ground(method.colour, dark)}))
    colours = [on_ground(Method(m).colour, dark) for m in points["method"]]
    look = {"size": 9, "symbol": "diamond-open", "line": {"width": 1.6}}
    source, rest = paper.FIG6_LABEL.split(" (", 1)
    fig.add_trace(
        go.Scatter(
            x=points["size"],
            y=points["error"] * quantity.error_scale,
            mode="markers",
            showlegend=False,
            legendgroup="paper",
            marker=look | {"color": colours},
            customdata=points["method"],
            hovertemplate=f"<b>Huang et al. 2025</b> · %{{customdata}}<br>N %{{x:,}}<br>%{{y:,.0f}} {quantity.error_unit}<extra></extra>",
        )
    )
    key = look | {"color": palette(dark).muted}
    name = f"{source}<br>({rest}"
    fig.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=key, name=name, legendgroup="paper"))


def _error_ticks(fig: go.Figure) -> list[float]:
    drawn = np.concatenate([np.asarray(t.y, dtype=float) for t in fig.data if t.y[0] is not None] or [np.ones(1)])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    return log_ticks(float(drawn.min()), float(drawn.max()))


def _note(table: pd.DataFrame) -> str:
    trained = table[table["size"] > 0]
    sizes, seeds = trained["size"].nunique(), trained["seed"].nunique()
    words = ((len(trained), "run"), (sizes, "size"), (seeds, "seed"))
    return "N = " + " · ".join(counted(n, word) for n, word in words)
