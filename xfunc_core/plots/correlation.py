"""r²SCAN against PBE energies, and the shift between the functionals along the periodic table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xfunc_core.analysis.correlation import ComponentCorrelation, EnergyCorrelation, correlate_components
from xfunc_core.errors import ConfigError
from xfunc_core.plots.theme import PLAIN_NUMBERS, Palette, apply_theme, literal, nothing_to_draw, palette, scatter_class
from xfunc_core.quantities import Functional, correlation_text, count_text

LABELLED = 12
LABEL_GAP = 4
"""Elements named in the shift figure: the furthest from the trend, at least this far apart in Z."""


def energy_scatter(
    result: EnergyCorrelation,
    labels: Sequence[str] | None = None,
    mode: str = "referenced",
    selected: np.ndarray | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw r²SCAN against PBE energies of the same frames; each point carries its frame in ``customdata``.

    Args:
        result: from ``correlate_energies``; F frames.
        labels: shape (F,), what to show on hover, such as formula and id.
        mode: ``raw`` or ``referenced`` (equal scale on both axes).
        selected: shape (F,), true for frames to stand out; the others turn quiet.
        dark: whether the page is dark.

    Raises:
        ConfigError: the mode is unknown, or referenced energies are asked of a result without them.
    """
    pbe, r2scan = _energies(result, mode)
    known = np.isfinite(pbe) & np.isfinite(r2scan)
    if not known.any():
        return nothing_to_draw("No frame has an energy in both functionals.", dark)
    c = palette(dark)
    fig = go.Figure()
    _add_identity(fig, pbe[known], r2scan[known], mode, c)
    chosen = np.zeros_like(known) if selected is None else np.asarray(selected, dtype=bool)
    names = np.array([f"frame {i}" for i in range(known.size)] if labels is None else [literal(label) for label in labels], dtype=object)
    _add_frames(fig, pbe, r2scan, known & ~chosen, names, c.accent if selected is None else c.quiet, 0.6)
    if chosen.any():
        _add_frames(fig, pbe, r2scan, known & chosen, names, c.highlight, 0.9)
    prefix = "Referenced energy" if mode == "referenced" else "Energy"
    fig.update_xaxes(title=f"{Functional.PBE.label} {prefix.lower()} (eV/atom)", **PLAIN_NUMBERS)
    fig.update_yaxes(title=f"{Functional.R2SCAN.label} {prefix.lower()} (eV/atom)", **PLAIN_NUMBERS)
    return apply_theme(
        fig,
        dark,
        height=520,
        note=_energy_note(result, mode, int((known & chosen).sum())),
        centred=mode == "referenced",
    )


def shift_against_z_figure(result: EnergyCorrelation, dark: bool = False) -> go.Figure:
    """Draw the shift r²SCAN − PBE of each element's reference against Z, the outliers named.

    An element without references is not drawn. Without any references the mean shift of the frames
    containing the element takes their place, and the axis says so.
    """
    table = result.by_element
    column = "shift" if table["shift"].notna().any() else "mean_shift"
    known = table[table[column].notna()]
    if known.empty:
        return nothing_to_draw("No element has a shift between the functionals.", dark)
    c = palette(dark)
    trend = correlate_components(known["z"], known[column])
    fig = go.Figure()
    _add_trend(fig, known, column, trend, c)
    _add_elements(fig, known, column, trend, c)
    subject = "Reference shift" if column == "shift" else "Mean shift of frames with the element"
    fig.update_xaxes(title="Atomic number Z")
    fig.update_yaxes(title=f"{subject},<br>{Functional.R2SCAN.label} − {Functional.PBE.label} (eV/atom)")
    note = f"N = {count_text(len(known))} elements"
    if np.isfinite(trend.slope) and np.isfinite(trend.pearson):
        note += f" · trend {trend.slope:.2f} eV per Z · r {correlation_text(trend.pearson)}".replace("-", "−")
    return apply_theme(fig, dark, height=420, note=note)


def _energies(result: EnergyCorrelation, mode: str) -> tuple[np.ndarray, np.ndarray]:
    if mode == "raw":
        return result.pbe, result.r2scan
    if mode != "referenced":
        raise ConfigError(f"The mode {mode!r} is unknown; use raw or referenced.")
    if result.pbe_referenced is None:
        raise ConfigError("These energies have no references; choose a reference scheme, or show the raw energies.")
    return result.pbe_referenced, result.r2scan_referenced


def _energy_note(result: EnergyCorrelation, mode: str, n_selected: int) -> str:
    spread = result.raw if mode == "raw" else result.referenced
    parts = [f"N = {count_text(spread.n)} frames", f"{count_text(result.n_materials)} materials"]
    parts.append(f"r = {correlation_text(spread.pearson)}")
    if n_selected:
        parts.append(f"{count_text(n_selected)} selected")
    return " · ".join(parts)


def _add_identity(fig: go.Figure, pbe: np.ndarray, r2scan: np.ndarray, mode: str, c: Palette) -> None:
    (x_low, x_high), (y_low, y_high) = _padded(pbe), _padded(r2scan)
    if mode == "referenced":
        x_low = y_low = min(x_low, y_low)
        x_high = y_high = max(x_high, y_high)
        fig.update_yaxes(scaleanchor="x", constrain="domain")
        fig.update_xaxes(constrain="domain")
    fig.update_xaxes(range=[x_low, x_high])
    fig.update_yaxes(range=[y_low, y_high])
    start, end = max(x_low, y_low), min(x_high, y_high)
    if start < end:
        line = {"color": c.line, "width": 1.2, "dash": "dash"}
        fig.add_shape(type="line", x0=start, y0=start, x1=end, y1=end, line=line, layer="below")


def _padded(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low) or 0.5
    return low - pad, high + pad


def _add_frames(
    fig: go.Figure,
    pbe: np.ndarray,
    r2scan: np.ndarray,
    mask: np.ndarray,
    names: np.ndarray,
    colour: str,
    opacity: float,
) -> None:
    index = np.flatnonzero(mask)
    fig.add_trace(
        scatter_class(mask.size)(
            x=pbe[index],
            y=r2scan[index],
            mode="markers",
            marker={"size": 6, "color": colour, "opacity": opacity},
            customdata=index,
            text=names[index],
            hovertemplate="<b>%{text}</b><br>PBE %{x:.3f} eV/atom<br>r²SCAN %{y:.3f} eV/atom<extra></extra>",
        )
    )


def _add_trend(fig: go.Figure, known: pd.DataFrame, column: str, trend: ComponentCorrelation, c: Palette) -> None:
    if not np.isfinite(trend.slope):
        return
    ends = np.array([known["z"].min(), known["z"].max()])
    y = known[column].mean() + trend.slope * (ends - known["z"].mean())
    fig.add_trace(go.Scatter(x=ends, y=y, mode="lines", line={"color": c.line, "width": 1.2, "dash": "dash"}, hoverinfo="skip"))


def _add_elements(fig: go.Figure, known: pd.DataFrame, column: str, trend: ComponentCorrelation, c: Palette) -> None:
    away = (known[column] - known[column].mean() - np.nan_to_num(trend.slope) * (known["z"] - known["z"].mean())).abs()
    named = _named(away, known["z"])
    fig.add_trace(
        go.Scatter(
            x=known["z"],
            y=known[column],
            mode="markers+text",
            text=[symbol if symbol in named else "" for symbol in known.index],
            textposition="top right",
            textfont={"size": 11, "color": c.muted},
            marker={"size": 7, "color": c.accent},
            customdata=np.stack([known.index, known["n_frames"], known["n_materials"]], axis=1),
            hovertemplate="<b>%{customdata[0]}</b> · Z %{x}<br>%{y:.2f} eV/atom<br>%{customdata[1]} frames, "
            "%{customdata[2]} materials<extra></extra>",
        )
    )


def _named(away: pd.Series, z: pd.Series) -> set[str]:
    named: list[str] = []
    for symbol in away.sort_values(ascending=False).index:
        if len(named) < LABELLED and all(abs(z[symbol] - z[other]) >= LABEL_GAP for other in named):
            named.append(symbol)
    return set(named)
