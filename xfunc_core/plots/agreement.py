"""One quantity in r²SCAN against PBE: every value, or the density of many with the outliers to click, and what is left between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from xfunc_core.analysis.agreement import Agreement
from xfunc_core.errors import DataError
from xfunc_core.plots.density import BINS, Span, add_density, centres, furthest_from_middle
from xfunc_core.plots.first_view import FirstView
from xfunc_core.plots.theme import PLAIN_NUMBERS, Palette, apply_theme, literal, nothing_to_draw, palette, scatter_class
from xfunc_core.quantities import Functional, Quantity, correlation_text, count_text, counted, interval_text, slope_text

POINTS = 5_000
"""More values than this are drawn as a density."""
CELLS = 240
"""Cells along each side of the density; half of them along the differences."""
OUTLIERS = 2_000
_MAIN, _REST, _SIDE = (0.35, 1.0), (0.0, 0.24), (0.82, 1.0)
"""Domains: of the scatter and of the differences upwards, of the histogram to the right."""


@dataclass(frozen=True)
class _Values:
    """Finite values of one look: x, y, their difference and their rows, shape (n,) each."""

    x: np.ndarray
    y: np.ndarray
    row: np.ndarray
    colour: str
    density: tuple[str, ...]
    opacity: float

    @property
    def difference(self) -> np.ndarray:
        return self.y - self.x

    def only(self, mask: np.ndarray) -> _Values:
        return replace(self, x=self.x[mask], y=self.y[mask], row=self.row[mask])


def agreement_figure(
    x: ArrayLike,
    y: ArrayLike,
    quantity: Quantity,
    result: Agreement,
    *,
    names: Callable[[np.ndarray], Sequence[str]] | None = None,
    ids: ArrayLike | None = None,
    words: Sequence[str] = (),
    selected: ArrayLike | None = None,
    dark: bool = False,
    max_points: int = POINTS,
) -> go.Figure:
    """Draw r²SCAN against PBE with y = x and the total-least-squares line, the differences below and their histogram beside.

    Each point carries its id in ``customdata``. Above ``max_points`` values the figure is a logarithmic density made here, with the
    values whose difference is furthest from the middle one as points. Both axes have one range unless that would hide everything; where
    a few far values would squeeze the others, they lie outside the first view, which says how many.

    Args:
        x, y: shape (R,), PBE and r²SCAN values in the quantity's unit; a NaN on either side leaves the row out.
        quantity: what is drawn.
        result: the agreement of these rows; its N, r and slope are written on the figure.
        names: of the given ids, shown on hover.
        ids: shape (R,), whole numbers, such as the pair of each row; the row itself without them.
        words: what else is written above the plot: how rows are attributed, which references were subtracted.
        selected: shape (R,), true for rows to stand out; the others turn quiet.
        dark: whether the page is dark.
        max_points: most values drawn one by one.

    Raises:
        DataError: the shapes differ.
    """
    c = palette(dark)
    parts = _parts(np.asarray(x, dtype=float), np.asarray(y, dtype=float), selected, c)
    if not parts:
        return nothing_to_draw(f"No {quantity.label.lower()} is known in both functionals.", dark)
    fig, as_density = go.Figure(), sum(part.x.size for part in parts) > max_points
    view = FirstView.of(*(np.concatenate([getattr(part, k) for part in parts]) for k in "xy"))
    outside = [view.outside(part.x, part.y) for part in parts]
    _add_lines(fig, parts, (view.all_x, view.all_y), result, c)
    edges = np.linspace(*view.difference, BINS + 1)
    for part, far in zip(parts, outside, strict=True):
        near = part.only(~far) if far.any() else part
        if as_density and near.x.size:
            add_density(fig, near.x, near.y, (view.x, view.y), part.density, "y", (CELLS, CELLS))
            add_density(fig, near.x, near.difference, (view.x, view.difference), part.density, "y2", (CELLS, CELLS // 2))
        if not as_density or part is parts[-1]:
            _add_points(
                fig,
                part,
                quantity,
                names,
                None if ids is None else np.asarray(ids),
                np.union1d(furthest_from_middle(part.difference, OUTLIERS), np.flatnonzero(far)) if as_density else slice(None),
                c.highlight,
            )
        _add_histogram(fig, part, edges, quantity, c)
    _lay_out(fig, quantity, view)
    note = " · ".join([*_said(result, parts, selected), *words, *_drawing(view, as_density, parts, sum(map(np.sum, outside)))])
    apply_theme(fig, dark, height=640, note=note, legend_rows=1 + math.isfinite(result.slope.value), centred=True)
    return fig.update_layout(legend={"itemsizing": "trace"})  # lines as thin as they are drawn


def _parts(x: np.ndarray, y: np.ndarray, selected: ArrayLike | None, c: Palette) -> list[_Values]:
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"PBE and r²SCAN values of shape {x.shape} and {y.shape} are not of the same rows.")
    known = np.isfinite(x) & np.isfinite(y)
    chosen = np.ones_like(known) if selected is None else np.asarray(selected, dtype=bool)
    looks = [(known & ~chosen, c.quiet, c.density_quiet, 0.5), (known & chosen, c.accent, c.density, 0.75)]
    found = []
    for mask, *look in looks:
        rows = np.flatnonzero(mask)
        if rows.size:
            found.append(_Values(x[rows], y[rows], rows, *look))
    return found


def _add_lines(fig: go.Figure, parts: Sequence[_Values], spans: tuple[Span, Span], result: Agreement, c: Palette) -> None:
    (x_low, x_high), (y_low, y_high) = spans
    start, end = max(x_low, y_low), min(x_high, y_high)
    there = [start, end] if start < end else [None, None]
    fig.add_trace(
        go.Scatter(
            x=there, y=there, mode="lines", line={"color": c.line, "width": 1.2}, hoverinfo="skip", name="y = x", legendgroup="identity"
        )
    )
    fig.add_shape(type="line", x0=x_low, x1=x_high, y0=0, y1=0, yref="y2", line={"color": c.line, "width": 1.2}, layer="below")
    slope = result.slope
    if not math.isfinite(slope.value):
        return
    n = sum(part.x.size for part in parts)
    centre_x, centre_y = (sum(float(getattr(part, k).sum()) for part in parts) / n for k in "xy")
    ends = (
        np.clip([x_low, x_high], *sorted(centre_x + (np.array(spans[1]) - centre_y) / slope.value))
        if slope.value
        else np.array([x_low, x_high])
    )
    name = f"Total least squares: slope {interval_text(slope_text, slope.value, slope.low, slope.high)}"
    fig.add_trace(
        go.Scatter(
            x=ends,
            y=centre_y + slope.value * (ends - centre_x),
            mode="lines",
            line={"color": c.highlight, "width": 1.4, "dash": "dash"},
            hoverinfo="skip",
            name=name,
        )
    )


def _add_points(
    fig: go.Figure,
    part: _Values,
    quantity: Quantity,
    names: Callable[[np.ndarray], Sequence[str]] | None,
    ids: np.ndarray | None,
    chosen: np.ndarray | slice,
    highlight: str,
) -> None:
    x, y, rows, digits = part.x[chosen], part.y[chosen], part.row[chosen], quantity.decimals
    carried = rows if ids is None else ids[rows]
    titles = [literal(name) for name in names(carried)] if names else [f"row {row}" for row in carried]
    few = isinstance(chosen, slice)
    shared = {
        "x": x,
        "mode": "markers",
        "marker": {"size": 6 if few else 3.5, "color": part.colour, "opacity": part.opacity},
        "selected": {"marker": {"size": 13, "color": highlight, "opacity": 1}},  # the clicked one; plotly would fade all others
        "unselected": {"marker": {"opacity": part.opacity}},
        "customdata": carried,
        "text": titles,
        "showlegend": False,
        "name": "Values",
    }
    scatter = scatter_class(rows.size)
    hover = f"<b>%{{text}}</b><br>{Functional.PBE.label} %{{x:.{digits}f}} {quantity.unit}<br>"
    fig.add_trace(
        scatter(y=y, hovertemplate=f"{hover}{Functional.R2SCAN.label} %{{y:.{digits}f}} {quantity.unit}<extra></extra>", **shared)
    )
    fig.add_trace(
        scatter(y=y - x, yaxis="y2", hovertemplate=f"{hover}difference %{{y:.{digits}f}} {quantity.unit}<extra></extra>", **shared)
    )


def _add_histogram(fig: go.Figure, part: _Values, edges: np.ndarray, quantity: Quantity, c: Palette) -> None:
    counts = np.histogram(part.difference, edges)[0]
    fig.add_trace(
        go.Bar(
            x=counts, y=centres(edges), width=edges[1] - edges[0], orientation="h", xaxis="x2", yaxis="y2", showlegend=False, name="Differences",
            marker={"color": part.colour, "opacity": 0.8, "line": {"width": 0}},
            hovertemplate=f"difference %{{y:.{quantity.decimals}f}} {quantity.unit}: %{{x:,}}<extra></extra>",
        )
    )  # fmt: skip


def _lay_out(fig: go.Figure, quantity: Quantity, view: FirstView) -> None:
    tied = {"scaleanchor": "x", "constrain": "domain", "constraintoward": "bottom"} if view.x == view.y else {}
    fig.update_layout(
        barmode="overlay",
        bargap=0,
        xaxis={"range": view.x, "anchor": "y2", "domain": [0, _SIDE[0] - 0.03], "constrain": "domain", "constraintoward": "right", "title": f"{Functional.PBE.label} {_lower(quantity.axis)}", **PLAIN_NUMBERS},
        yaxis={"range": view.y, "domain": list(_MAIN), "title": f"{Functional.R2SCAN.label} {_lower(quantity.axis)}", **tied, **PLAIN_NUMBERS},
        yaxis2={"range": view.difference, "domain": list(_REST), "anchor": "x", "title": f"{Functional.R2SCAN.label} − {Functional.PBE.label}<br>({quantity.unit})", **PLAIN_NUMBERS},
        xaxis2={"domain": list(_SIDE), "anchor": "y2", "title": "Count", "nticks": 3, **PLAIN_NUMBERS},
    )  # fmt: skip


def _lower(axis: str) -> str:
    """An axis title within a sentence; an abbreviation or sign stays."""
    return axis[0].lower() + axis[1:] if axis[1:2].islower() else axis


def _said(result: Agreement, parts: Sequence[_Values], selected: ArrayLike | None) -> list[str]:
    said = [f"N = {count_text(result.n)}", counted(result.n_materials, "material")]
    if math.isfinite(result.pearson.value):
        r = result.pearson
        said.append(f"r = {interval_text(correlation_text, r.value, r.low, r.high)}")
    if selected is not None:
        said.append(f"{count_text(int(np.asarray(selected, dtype=bool)[np.concatenate([p.row for p in parts])].sum()))} selected")
    return said


def _drawing(view: FirstView, as_density: bool, parts: Sequence[_Values], n_outside: int) -> list[str]:
    """What a reader must know of the drawing itself."""
    said = [] if view.x == view.y else ["the axes differ in range"]
    if as_density:
        n = min(parts[-1].x.size, OUTLIERS)
        said += ["shade: log₁₀ of the count", f"points: the {counted(n, 'furthest difference')}"]
    if n_outside:
        said.append(f"{counted(n_outside, 'point')} outside the view")
        said.append("double-click shows all")
    return said
