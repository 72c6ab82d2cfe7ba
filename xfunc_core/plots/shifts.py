"""What each element adds to the difference between the functionals, along the periodic table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.plots.theme import Palette, apply_theme, nothing_to_draw, palette
from xfunc_core.quantities import ENERGY, Functional, correlation_text, counted, interval_text, number_text

LABELLED = 14
LABEL_GAP = 3
"""Elements that are named: those furthest from a straight line in Z, at least this far apart in Z."""


def shift_figure(table: pd.DataFrame, subject: str = "Shift of the element", words: tuple[str, ...] = (), dark: bool = False, chosen: Sequence[str] = ()) -> go.Figure:
    """Draw the shift r²SCAN − PBE of each element against Z with its interval, beside the difference of chgnet's two AtomRefs.

    Args:
        table: indexed by symbol; ``z``, ``shift``, ``low``, ``high`` (NaN where there is no interval), ``why`` there is none, ``n_materials``
            and ``published``, the difference of the shipped tables, NaN where one has no value; eV/atom.
        subject: what the shift is, in the title of the axis.
        words: what is written above the plot beside N.
        dark: whether the page is dark.
        chosen: elements to stand out, all named; the others turn quiet, unless no chosen one has a shift.
    """
    known, published = table[table["shift"].notna()], table[table["published"].notna()]
    if known.empty and published.empty:
        return nothing_to_draw("No element has a shift between the functionals.", dark)
    c, fig = palette(dark), go.Figure()
    if len(published):
        marker = {"symbol": "diamond-open", "size": 9, "color": c.quiet, "line": {"width": 1.4, "color": c.quiet}}
        fig.add_trace(
            go.Scatter(
                x=published["z"],
                y=published["published"],
                mode="markers",
                marker=marker,
                name="chgnet's AtomRefs, r²SCAN − MPtrj",
                customdata=published.index,
                hovertemplate="<b>%{customdata}</b> · chgnet<br>%{y:.2f} eV/atom<extra></extra>",
            )
        )
    if len(known):
        out = known.index.isin(chosen)
        out = out if out.any() else ~out
        if not out.all():
            _add_shifts(fig, known[~out], set(), c, c.quiet)
        _add_shifts(fig, known[out], _named(known) if out.all() else set(known.index[out]), c, c.accent)
    fig.update_xaxes(title="Atomic number Z")
    fig.update_yaxes(title=f"{subject},<br>{Functional.R2SCAN.label} − {Functional.PBE.label} ({ENERGY.unit})")
    return apply_theme(
        fig, dark, height=480, note=" · ".join([f"N = {counted(len(known), 'element')}", *_trend(known), *words]), legend_rows=2
    )


def _add_shifts(fig: go.Figure, known: pd.DataFrame, named: set[str], c: Palette, colour: str) -> None:
    low, high = (known["shift"] - known["low"]).fillna(0), (known["high"] - known["shift"]).fillna(0)
    fig.add_trace(
        go.Scatter(
            x=known["z"],
            y=known["shift"],
            mode="markers+text",
            error_y={"array": high, "arrayminus": low, "thickness": 1.2, "width": 2, "color": colour},
            text=[symbol if symbol in named else "" for symbol in known.index],
            textposition="top right",
            textfont={"size": 11, "color": c.muted},
            marker={"size": 7, "color": colour},
            customdata=np.stack(
                [
                    known.index,
                    [interval_text(ENERGY.value, *row) for row in known[["shift", "low", "high"]].to_numpy()],
                    [counted(n, "material") for n in known["n_materials"]],
                    [f"<br>No interval: {why}" if why else "" for why in known["why"]],
                ],
                axis=1,
            ),
            name="These data, with 95 % intervals",
            showlegend=colour == c.accent,
            hovertemplate="<b>%{customdata[0]}</b> · Z %{x}<br>%{customdata[1]} eV/atom<br>%{customdata[2]}%{customdata[3]}<extra></extra>",
        )
    )


def _trend(known: pd.DataFrame) -> list[str]:
    """Slope in Z and its correlation, where there are points enough and they differ."""
    if len(known) < 3 or np.ptp(known["shift"]) == 0:
        return []
    slope = np.polyfit(known["z"], known["shift"], 1)[0]
    return [f"{number_text(slope, 2)} eV per Z", f"r = {correlation_text(np.corrcoef(known['z'], known['shift'])[0, 1])}"]


def _named(known: pd.DataFrame) -> set[str]:
    """The elements furthest from the trend that do not crowd each other."""
    if len(known) < 3:
        return set(known.index)
    away = (known["shift"] - np.polyval(np.polyfit(known["z"], known["shift"], 1), known["z"])).abs()
    named: list[str] = []
    for symbol in away.sort_values(ascending=False).index:
        if len(named) < LABELLED and all(abs(known.at[symbol, "z"] - known.at[other, "z"]) >= LABEL_GAP for other in named):
            named.append(symbol)
    return set(named)
