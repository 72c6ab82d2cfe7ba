"""Which elements the difference of formation energies depends on, by a decision tree: two ways to ask it, side by side."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from xfunc_core.plots.theme import apply_theme, nothing_to_draw, palette
from xfunc_core.quantities import ENERGY, counted

SHOWN = 24
ROW = 20
"""Height of an element in pixels."""


def importance_figure(table: pd.DataFrame, n: int, words: tuple[str, ...] = (), dark: bool = False) -> go.Figure:
    """Draw impurity importance per atom, the paper's Fig. 2, beside permutation importance with its spread.

    Impurity importance favours what takes many values, so an element counts as important only where both panels say so.

    Args:
        table: indexed by symbol; ``per_atom``, ``permutation`` and ``permutation_std`` (eV/atom).
        n: pairs the tree was fitted on.
        words: what is written above the plot beside N.
        dark: whether the page is dark.
    """
    known = table.dropna(subset=["per_atom", "permutation"])
    if known.empty:
        return nothing_to_draw("There are too few pairs to grow a decision tree.", dark)
    from plotly.subplots import make_subplots

    shown = known.sort_values("per_atom", ascending=False).head(SHOWN)[::-1]
    c, at = palette(dark), list(range(len(shown)))
    fig = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    bar = {"y": at, "orientation": "h", "width": 0.72, "customdata": shown.index, "showlegend": False}
    fig.add_trace(
        go.Bar(
            x=shown["per_atom"],
            marker={"color": c.quiet},
            name="Impurity",
            hovertemplate="<b>%{customdata}</b> %{x:.3g}<extra></extra>",
            **bar,
        ),
        row=1,
        col=1,
    )
    spread = {"array": shown["permutation_std"] * ENERGY.error_scale, "thickness": 1.2, "width": 3, "color": c.text}
    fig.add_trace(
        go.Bar(
            x=shown["permutation"] * ENERGY.error_scale,
            error_x=spread,
            marker={"color": c.accent},
            name="Permutation",
            hovertemplate="<b>%{customdata}</b> %{x:.3g}<extra></extra>",
            **bar,
        ),
        row=1,
        col=2,
    )
    fig.update_xaxes(title="Impurity, per atom", row=1, col=1, nticks=4)
    fig.update_xaxes(title=f"Rise of the error ({ENERGY.error_unit})", row=1, col=2, nticks=4)
    fig.update_yaxes(tickvals=at, ticktext=list(shown.index), range=[-0.6, len(shown) - 0.4])
    fig.update_layout(barmode="overlay", bargap=0)
    note = [
        f"N = {counted(n, 'pair')}",
        f"the {len(shown)} largest of {counted(len(known), 'element')}" if len(shown) < len(known) else counted(len(known), "element"),
        *words,
    ]
    return apply_theme(fig, dark, height=110 + ROW * max(len(shown), 5), note=" · ".join(note))
