"""The histogram of a number that two functionals have together, such as the angle between their forces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from xfunc_core.plots.density import BINS, centres, padded
from xfunc_core.plots.theme import PLAIN_NUMBERS, Palette, apply_theme, nothing_to_draw, palette
from xfunc_core.quantities import Quantity, count_text, counted


def one_sided_figure(
    values: ArrayLike,
    quantity: Quantity,
    n_materials: int,
    *,
    words: Sequence[str] = (),
    selected: ArrayLike | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw the histogram of a number that two functionals have together, such as the angle between their forces.

    Args:
        values: shape (R,), in the quantity's unit; NaN is left out.
        quantity: what is drawn.
        n_materials: behind the values.
        words: what else is written above the plot.
        selected: shape (R,), true for rows that are drawn again in the foreground.
        dark: whether the page is dark.
    """
    values = np.asarray(values, dtype=float)
    known = np.isfinite(values)
    if not known.any():
        return nothing_to_draw(f"No {quantity.label.lower()} is known.", dark)
    c, fig = palette(dark), go.Figure()
    edges = np.linspace(*padded(values[known], 0.0), BINS + 1)
    chosen = known & np.asarray(selected, dtype=bool) if selected is not None else known
    if selected is not None:
        _add_histogram(fig, values[known], edges, quantity, c.quiet, "All")
    _add_histogram(fig, values[chosen], edges, quantity, c.accent, "All" if selected is None else "Chosen elements")
    shown = values[chosen] if chosen.any() else values[known]
    _add_line(fig, float(shown.mean()), "mean", "solid", quantity, c)
    _add_line(fig, float(np.median(shown)), "median", "dash", quantity, c)
    fig.update_xaxes(title=quantity.axis, **PLAIN_NUMBERS)
    fig.update_yaxes(title="Count", type="log", dtick=1, **PLAIN_NUMBERS)
    fig.update_layout(barmode="overlay", bargap=0)
    said = [
        f"N = {count_text(int(known.sum()))}",
        counted(n_materials, "material"),
        *([f"{count_text(int(chosen.sum()))} selected"] if selected is not None else []),
    ]
    apply_theme(fig, dark, height=440, note=" · ".join([*said, *words]), legend_rows=1)
    return fig.update_layout(legend={"itemsizing": "trace"})  # lines as thin as they are drawn


def _add_histogram(fig: go.Figure, values: np.ndarray, edges: np.ndarray, quantity: Quantity, colour: str, name: str) -> None:
    counts = np.histogram(values, edges)[0]
    fig.add_trace(
        go.Bar(
            x=centres(edges),
            y=np.where(counts > 0, counts, np.nan),
            width=edges[1] - edges[0],
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            showlegend=False,
            hovertemplate=f"%{{x:.{quantity.decimals}f}} {quantity.unit}: %{{y:,}}<extra></extra>",
        )
    )


def _add_line(fig: go.Figure, number: float, word: str, dash: str, quantity: Quantity, c: Palette) -> None:
    """An upright line at a number, which the legend names."""
    line = {"color": c.highlight, "width": 1.6, "dash": dash}
    fig.add_shape(type="line", x0=number, x1=number, y0=0, y1=1, yref="y domain", line=line)
    fig.add_trace(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=f"{word} {quantity.value(number)} {quantity.unit}"))
