"""Errors on the training and validation frames epoch by epoch, one panel per quantity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from xfunc_core.plots.theme import PLAIN_NUMBERS, Palette, apply_theme, log_ticks, nothing_to_draw, palette
from xfunc_core.quantities import ENERGY, QUANTITIES, Quantity, count_text, counted

PARTS = {"train": "Training", "validation": "Validation"}


def learning_curves(
    records: Sequence[Mapping],
    dark: bool = False,
    n_train: int | None = None,
    n_validation: int | None = None,
) -> go.Figure:
    """Draw the mean absolute error of each quantity against the epoch, on a logarithmic axis.

    A quantity that is missing or NaN in every record has no panel. The figure keeps one ``uirevision``,
    so that a reader's zoom survives live updates.

    Args:
        records: one for each epoch: ``{"epoch": 3, "train": {"energy": eV/atom, "force": eV/Å,
            "stress": GPa, "magmom": μB}, "validation": {…}}``.
        dark: whether the page is dark.
        n_train, n_validation: frames behind the errors, stated in the figure.
    """
    shown = [q for q in QUANTITIES if any(_points(records, part, q)[0] for part in PARTS)]
    if not shown:
        return nothing_to_draw("No epoch has finished yet.", dark)
    from plotly.subplots import make_subplots

    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    fig = make_subplots(
        rows=rows,
        cols=columns,
        horizontal_spacing=0.13,
        vertical_spacing=0.18 if rows > 1 else 0,
        subplot_titles=[f"{q.label} MAE ({q.error_unit})" for q in shown],
    )
    for i, quantity in enumerate(shown):
        _add_panel(fig, records, quantity, i // columns + 1, i % columns + 1, i == 0, palette(dark))
    fig.update_xaxes(title="Epoch")
    for title in fig.layout.annotations:
        title.update(font={"size": 13, "color": palette(dark).text})
    apply_theme(fig, dark, height=120 + 240 * rows, note=_note(records, n_train, n_validation), legend_rows=1)
    fig.update_annotations(selector={"name": "note"}, yshift=30)
    fig.update_layout(uirevision="learning", margin={"t": fig.layout.margin.t + 24}, hovermode="x unified")
    return fig


def _add_panel(fig: go.Figure, records: Sequence[Mapping], quantity: Quantity, row: int, col: int, first: bool, c: Palette) -> None:
    for part, name in PARTS.items():
        epochs, errors = _points(records, part, quantity)
        if not epochs:
            continue
        line = {"color": c.accent, "width": 2.2} if part == "validation" else {"color": c.quiet, "width": 1.6}
        unit = quantity.error_unit
        fig.add_trace(
            go.Scatter(
                x=epochs,
                y=errors,
                mode="lines+markers" if len(epochs) < 12 else "lines",
                line=line,
                marker={"size": 5},
                name=name,
                legendgroup=part,
                showlegend=first,
                hovertemplate=f"{name} %{{y:,.{quantity.error_decimals}f}} {unit}<extra></extra>",
            ),
            row=row,
            col=col,
        )
    shown = [e for part in PARTS for e in _points(records, part, quantity)[1]]
    fig.update_yaxes(type="log", tickvals=log_ticks(min(shown), max(shown)), **PLAIN_NUMBERS, row=row, col=col)
    last = max((epoch for part in PARTS for epoch in _points(records, part, quantity)[0]), default=1)
    fig.update_xaxes(tickformat="d", rangemode="tozero", row=row, col=col, **({"dtick": 1} if last <= 10 else {}))


def _points(records: Sequence[Mapping], part: str, quantity: Quantity) -> tuple[list[float], list[float]]:
    """Epochs and errors in the error unit, records without a number above 0 left out."""
    epochs, errors = [], []
    for record in records:
        error = (record.get(part) or {}).get(quantity.key)
        if error is not None and math.isfinite(error) and error > 0:
            epochs.append(record["epoch"])
            errors.append(error * quantity.error_scale)
    return epochs, errors


def _note(records: Sequence[Mapping], n_train: int | None, n_validation: int | None) -> str:
    parts = []
    if n_train is not None:
        parts.append(f"N = {count_text(n_train)} training")
    if n_validation is not None:
        parts.append(f"{'' if parts else 'N = '}{counted(n_validation, 'validation frame')}")
    epochs, errors = _points(records, "validation", ENERGY)
    if epochs:
        best = min(range(len(errors)), key=errors.__getitem__)
        lowest = ENERGY.error_with_unit(errors[best] / ENERGY.error_scale)
        parts.append(f"lowest validation energy error {lowest} at epoch {epochs[best]}")
    return " · ".join(parts)
