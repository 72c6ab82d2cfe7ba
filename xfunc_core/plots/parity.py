"""Predicted against DFT values, before and after fine-tuning, with the errors below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from xfunc_core.analysis.metrics import ErrorSummary, error_summary
from xfunc_core.errors import DataError
from xfunc_core.plots.theme import PLAIN_NUMBERS, Palette, apply_theme, nothing_to_draw, palette, scatter_class
from xfunc_core.quantities import Quantity, count_text

CELLS = 160
"""Cells along each side of the density."""
OUTLIERS = 1000


@dataclass(frozen=True)
class _Series:
    """One model's finite pairs: shape (n,) each, and how they are drawn."""

    name: str
    reference: np.ndarray
    predicted: np.ndarray
    frames: np.ndarray
    colour: str
    density: tuple[str, ...]
    opacity: float


def parity_figure(
    quantity: Quantity,
    reference: ArrayLike,
    before: ArrayLike,
    after: ArrayLike | None = None,
    labels: tuple[str, str] = ("Before", "After"),
    frames: ArrayLike | None = None,
    dark: bool = False,
    max_points: int = 20_000,
) -> go.Figure:
    """Draw predicted against reference values on equal axes, with the errors in a panel below.

    Pairs with a NaN are left out. Each point carries its frame in ``customdata``. Above ``max_points``
    points the figure is a logarithmic density made here, with the largest errors as points.

    Args:
        quantity: what is drawn; values are in its unit.
        reference: shape (n,), from DFT.
        before, after: shape (n,), predictions; ``after`` may be missing.
        labels: names of ``before`` and ``after``.
        frames: shape (n,), frame of each value (forces have several); counted from 0 without it.
        dark: whether the page is dark.
        max_points: most points drawn one by one.

    Raises:
        DataError: the shapes differ.
    """
    series = _series(np.asarray(reference, dtype=float), before, after, labels, frames, palette(dark))
    if not series:
        return nothing_to_draw(f"No {quantity.label.lower()} has both a reference and a prediction.", dark)
    as_density = max(s.reference.size for s in series) > max_points
    fig = go.Figure()
    for s in series:
        (_add_density if as_density else _add_points)(fig, s, quantity)
        _add_legend(fig, s, quantity)
    _lay_out(fig, quantity, series, palette(dark))
    note = f"N = {count_text(series[0].reference.size)}"
    if as_density:
        note += f" · shade: log₁₀ of the count · points: the {count_text(OUTLIERS)} largest errors"
    return apply_theme(fig, dark, height=640, note=note, legend_rows=len(series), centred=True)


def _series(
    reference: np.ndarray,
    before: ArrayLike,
    after: ArrayLike | None,
    labels: tuple[str, str],
    frames: ArrayLike | None,
    c: Palette,
) -> list[_Series]:
    index = np.arange(reference.size) if frames is None else np.asarray(frames)
    looks = [(c.quiet, c.density_quiet, 0.55), (c.accent, c.density, 0.75)]
    if after is None:
        looks = looks[1:]
    found = []
    for values, name, look in zip([before] if after is None else [before, after], labels, looks, strict=False):
        predicted = np.asarray(values, dtype=float)
        if predicted.shape != reference.shape or index.shape != reference.shape or reference.ndim != 1:
            raise DataError(f"{name}: {predicted.size} predictions and {reference.size} references cannot be paired.")
        keep = np.isfinite(reference) & np.isfinite(predicted)
        if keep.any():
            found.append(_Series(name, reference[keep], predicted[keep], index[keep], *look))
    return found


def _add_points(fig: go.Figure, s: _Series, quantity: Quantity, chosen: np.ndarray | None = None) -> None:
    rows = np.arange(s.reference.size) if chosen is None else chosen
    x, y, frames = s.reference[rows], s.predicted[rows], s.frames[rows]
    error = (y - x) * quantity.error_scale
    hover = (
        f"<b>{s.name}</b> · frame %{{customdata}}<br>DFT %{{x:.{quantity.decimals}f}} {quantity.unit}<br>"
        f"error %{{text}} {quantity.error_unit}<extra></extra>"
    )
    text = [f"{e:+.{quantity.error_decimals}f}".replace("-", "−") for e in error]
    marker = {"size": 5 if chosen is None else 3, "color": s.colour, "opacity": s.opacity}
    shared = {"mode": "markers", "marker": marker, "customdata": frames, "text": text, "hovertemplate": hover}
    shared |= {"legendgroup": s.name, "showlegend": False, "name": s.name, "x": x}
    scatter = scatter_class(rows.size)
    fig.add_trace(scatter(y=y, yaxis="y", **shared))
    fig.add_trace(scatter(y=error, yaxis="y2", **shared))


def _add_density(fig: go.Figure, s: _Series, quantity: Quantity) -> None:
    error = (s.predicted - s.reference) * quantity.error_scale
    for values, axis in ((s.predicted, "y"), (error, "y2")):
        counts, x, y = np.histogram2d(s.reference, values, bins=(CELLS, CELLS if axis == "y" else CELLS // 2))
        with np.errstate(divide="ignore"):
            shade = np.where(counts > 0, np.log10(counts), np.nan)
        fig.add_trace(
            go.Heatmap(
                x=(x[:-1] + x[1:]) / 2,
                y=(y[:-1] + y[1:]) / 2,
                z=shade.T.astype(np.float32),
                yaxis=axis,
                showscale=False,
                colorscale=list(s.density),
                zmin=0,
                hoverongaps=False,
                legendgroup=s.name,
                name=s.name,
                hovertemplate=f"<b>{s.name}</b><br>log₁₀ count %{{z:.1f}}<extra></extra>",
            )
        )
    _add_points(fig, s, quantity, np.argsort(-np.abs(error))[:OUTLIERS])


def _add_legend(fig: go.Figure, s: _Series, quantity: Quantity) -> None:
    marker = {"size": 9, "color": s.colour}
    name = legend_text(s.name, error_summary(s.reference, s.predicted), quantity)
    fig.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name, legendgroup=s.name))


def legend_text(name: str, errors: ErrorSummary, quantity: Quantity) -> str:
    """The legend entry of a model: its MAE, RMSE and N."""
    mae, rmse = quantity.error_with_unit(errors.mae), quantity.error(errors.rmse)
    return f"<b>{name}</b>: MAE {mae} · RMSE {rmse} · N {count_text(errors.n)}"


def _lay_out(fig: go.Figure, quantity: Quantity, series: list[_Series], c: Palette) -> None:
    values = np.concatenate([v for s in series for v in (s.reference, s.predicted)])
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low) or 1.0
    span = [low - pad, high + pad]
    line = {"color": c.line, "width": 1.2}
    fig.add_shape(type="line", x0=span[0], y0=span[0], x1=span[1], y1=span[1], line=line, layer="below")
    fig.add_shape(type="line", x0=span[0], x1=span[1], y0=0, y1=0, yref="y2", line=line, layer="below")
    fig.update_layout(
        xaxis={
            "range": span,
            "anchor": "y2",
            "constrain": "domain",
            "title": f"DFT {quantity.axis[0].lower()}{quantity.axis[1:]}",
        },
        yaxis={
            "range": span,
            "domain": [0.29, 1],
            "scaleanchor": "x",
            "constrain": "domain",
            "title": f"Predicted ({quantity.unit})",
        },
        yaxis2={"domain": [0, 0.23], "anchor": "x", "title": f"Error<br>({quantity.error_unit})", **PLAIN_NUMBERS},
    )
