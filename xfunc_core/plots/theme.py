"""The one look of all figures: transparent ground, thin grid, system sans, a line that states N.

``apply_theme`` goes last on each figure. Pages show figures with ``theme=None`` so that Streamlit
adds nothing of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from textwrap import wrap

import plotly.graph_objects as go

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'
GL_ABOVE = 3000
"""More points than this are drawn with WebGL; fewer stay vector graphics, which print well."""
LEGEND_ROW = 22
"""Height of one legend row in pixels."""
LOG_MANTISSAS = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
)
PLAIN_NUMBERS = {"exponentformat": "none", "separatethousands": True}
"""Axis settings for 10,000 instead of 10k."""
NOTE_WIDTH = 62
"""Characters in a line of a note; it fits a figure 500 pixels wide."""
CENTRED_NOTE_WIDTH = 48
"""The same for square plots, which stand side by side and on phones; it fits 370 pixels."""


@dataclass(frozen=True)
class Palette:
    """Colours of one mode; ``accent`` is what the reader should look at, ``quiet`` what it is held against."""

    text: str
    muted: str
    grid: str
    line: str
    surface: str
    accent: str
    quiet: str
    highlight: str
    missing: str
    density: tuple[str, ...]
    density_quiet: tuple[str, ...]


_LIGHT = Palette(
    text="#1f2933",
    muted="#5f6b7a",
    grid="rgba(31, 41, 51, 0.09)",
    line="rgba(31, 41, 51, 0.35)",
    surface="#ffffff",
    accent="#0072B2",
    quiet="#9aa3ad",
    highlight="#D55E00",
    missing="#d5d9de",
    density=("#cfe3f1", "#7db5d9", "#2f86bf", "#0b5a91", "#06304f"),
    density_quiet=("#eceef0", "#c9ced3", "#a3abb3"),
)
_DARK = Palette(
    text="#e8eaed",
    muted="#a3adb8",
    grid="rgba(232, 234, 237, 0.10)",
    line="rgba(232, 234, 237, 0.40)",
    surface="#0e1117",
    accent="#4FB3E8",
    quiet="#7c8691",
    highlight="#FF9248",
    missing="#3a414a",
    density=("#12395a", "#1d6396", "#3d97d0", "#8ac7ee", "#e6f4fd"),
    density_quiet=("#20252c", "#3a424b", "#5a636d"),
)


def palette(dark: bool = False) -> Palette:
    """The colours of the light or the dark mode."""
    return _DARK if dark else _LIGHT


def on_ground(colour: str, dark: bool) -> str:
    """A ``#rrggbb`` colour as it is on light ground, lifted a third towards white on dark ground."""
    if not dark:
        return colour
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + (255 - c) / 3):02x}" for c in channels)


def faded(colour: str, alpha: float) -> str:
    """A ``#rrggbb`` colour with an opacity between 0 and 1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def template(dark: bool = False) -> go.layout.Template:
    """The plotly template of the light or the dark mode."""
    c = palette(dark)
    axis = {
        "gridcolor": c.grid,
        "gridwidth": 1,
        "zeroline": False,
        "linecolor": c.line,
        "tickcolor": c.line,
        "ticks": "outside",
        "ticklen": 4,
        "tickfont": {"size": 12, "color": c.muted},
        "title": {"font": {"size": 13, "color": c.text}, "standoff": 8},
        "automargin": True,
    }
    hover = {"bgcolor": c.surface, "bordercolor": c.line, "font": {"family": FONT, "size": 12, "color": c.text}}
    layout = go.Layout(
        font={"family": FONT, "size": 13, "color": c.text},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis=axis,
        yaxis=axis,
        hoverlabel=hover,
        hovermode="closest",
        legend={"font": {"size": 12, "color": c.text}, "bgcolor": "rgba(0,0,0,0)", "itemsizing": "constant"},
        annotationdefaults={"font": {"size": 12, "color": c.muted}, "showarrow": False},
        coloraxis={"colorbar": {"outlinewidth": 0, "thickness": 10, "tickfont": {"size": 11, "color": c.muted}}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": c.muted, "activecolor": c.text},
    )
    return go.layout.Template(layout=layout)


def apply_theme(
    fig: go.Figure,
    dark: bool = False,
    height: int = 460,
    note: str = "",
    legend_rows: int = 0,
    centred: bool = False,
) -> go.Figure:
    """Give a figure the house look, in place, and return it.

    Args:
        fig: any figure.
        dark: whether the page is dark.
        height: pixels; the width follows the page.
        note: what stands above the plot: N and the numbers that matter, parted by " · ".
        legend_rows: rows to keep free below the plot for the legend; 0 shows none.
        centred: whether note and legend sit in the middle, for square plots on a wide page.
    """
    lines = _wrapped(note, CENTRED_NOTE_WIDTH if centred else NOTE_WIDTH)
    bottom = 56 + LEGEND_ROW * legend_rows + (8 if legend_rows else 0)
    fig.update_layout(
        template=template(dark),
        height=height,
        margin={"l": 64, "r": 16, "t": 22 + 18 * len(lines), "b": bottom},
        showlegend=legend_rows > 0,
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    fig.update_layout(legend={"x": 0.5, "xanchor": "center"} if centred else {"x": 0, "xanchor": "left"})
    if lines:
        add_note(fig, "<br>".join(lines), centred)
    return fig


def add_note(fig: go.Figure, text: str, centred: bool = False) -> None:
    """Write the lines that state N, above the plot, in quiet type; the annotation is named ``note``."""
    side, x = ("center", 0.5) if centred else ("left", 0)
    fig.add_annotation(
        text=text,
        x=x,
        y=1,
        xref="paper",
        yref="paper",
        xanchor=side,
        yanchor="bottom",
        yshift=8,
        align=side,
        name="note",
    )


def _wrapped(note: str, width: int) -> list[str]:
    """Break a note at its " · ", and a long part of it between words, so that it fits a narrow page."""
    lines: list[str] = []
    for part in (line for said in note.split(" · ") for line in wrap(said, width)):
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


def literal(text: str) -> str:
    """Text from a file or a user as plotly, which reads a little HTML such as links, shows it letter by letter."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def scatter_class(n_points: int) -> type[go.Scatter] | type[go.Scattergl]:
    """WebGL points only where there are more than ``GL_ABOVE`` of them."""
    return go.Scattergl if n_points > GL_ABOVE else go.Scatter


def log_ticks(low: float, high: float) -> list[float]:
    """Tick values for a logarithmic axis from ``low`` to ``high``, both above 0: as few as give four, or the finest."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for mantissas in LOG_MANTISSAS:
        ticks = [m * 10.0**d for d in decades for m in mantissas if low / 1.1 <= m * 10.0**d <= high * 1.1]
        if len(ticks) >= 4:
            break
    return [float(f"{tick:.6g}") for tick in ticks]


def nothing_to_draw(sentence: str, dark: bool = False, height: int = 220) -> go.Figure:
    """An empty figure that says why it is empty."""
    fig = go.Figure()
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False)
    fig.add_annotation(text=sentence, x=0.5, y=0.5, xref="paper", yref="paper")
    return apply_theme(fig, dark, height)
