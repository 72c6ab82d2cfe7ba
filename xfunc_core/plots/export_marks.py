"""Shapes, annotations, colour bars and the legend of a plotly layout, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from xfunc_core.errors import ConfigError
from xfunc_core.plots.export_axes import PT, Canvas
from xfunc_core.plots.export_text import Run, colour, colour_map, runs, unmarked
from xfunc_core.plots.export_traces import line_look

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.transforms import Transform

LEGEND_CHARACTERS = 95
"""Legend entries up to this many characters in all stand in one row."""
_SIDES = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "middle": 0.5, "top": 1.0}


def add_shapes(canvas: Canvas) -> None:
    """Draw lines and rectangles.

    Raises:
        ConfigError: a shape of another kind.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    for shape in canvas.layout.get("shapes", ()):
        x_ref, y_ref = shape.get("xref", "x"), shape.get("yref", "y")
        panel, place = _panel(canvas, x_ref, y_ref), _transform(canvas, x_ref, y_ref)
        line, below = {"color": "#444444", "width": 2, **shape.get("line", {})}, shape.get("layer") == "below"
        look = line_look(SimpleNamespace(dash=line.get("dash"), color=line["color"], width=line["width"]), shape.get("opacity", 1.0))
        if shape["type"] == "line":
            panel.add_artist(
                Line2D(
                    (shape["x0"], shape["x1"]),
                    (shape["y0"], shape["y1"]),
                    transform=place,
                    zorder=1.2 if below else 3.5,
                    clip_on="domain" not in x_ref + y_ref,
                    **look,
                )
            )
        elif shape["type"] == "rect":
            edge = look.pop("color")
            fill = colour(shape.get("fillcolor", "rgba(0,0,0,0)"), shape.get("opacity", 1.0))
            corner, size = (shape["x0"], shape["y0"]), (shape["x1"] - shape["x0"], shape["y1"] - shape["y0"])
            panel.add_artist(
                Rectangle(
                    corner,
                    *size,
                    transform=place,
                    facecolor=fill,
                    edgecolor=edge if line["width"] else "none",
                    zorder=1.2 if below else 3.5,
                    **look,
                )
            )
        else:
            raise ConfigError(f"A shape of the type {shape['type']!r} cannot be exported: only line and rect can.")


def add_annotations(canvas: Canvas) -> None:
    """Write the notes, each line in its own look."""
    from matplotlib.offsetbox import AnnotationBbox

    for note in canvas.layout["annotations"]:
        if note.get("showarrow") is not False:
            raise ConfigError("An annotation with an arrow cannot be exported.")
        x_ref, y_ref = note.get("xref", "x"), note.get("yref", "y")
        at = [_linear(canvas, ref, note.get(letter, 0.5)) for letter, ref in (("x", x_ref), ("y", y_ref))]
        if "paper" in (x_ref, y_ref):
            at = _on_paper(canvas, x_ref, y_ref, at)
            place = canvas.figure.transFigure if x_ref == y_ref else _transform(canvas, x_ref, y_ref)
        else:
            place = _transform(canvas, x_ref, y_ref)
        box = AnnotationBbox(
            _box(note), at, xybox=(note.get("xshift", 0) * PT, note.get("yshift", 0) * PT), xycoords=place, boxcoords="offset points",
            box_alignment=(_SIDES[_anchor(note, "xanchor", "center", note.get("x"), x_ref)], _SIDES[_anchor(note, "yanchor", "middle", note.get("y"), y_ref)]), frameon=False, pad=0, annotation_clip=False,
        )  # fmt: skip
        canvas.figure.add_artist(box)


def add_colour_bars(canvas: Canvas, traces: Sequence[Any]) -> None:
    """Draw the colour scale of every trace that shows it."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    for trace in traces:
        holder = trace if trace.type == "heatmap" else trace.marker
        if trace.type == "bar" or not holder.showscale or holder.colorscale is None:
            continue
        bar, (low, high) = holder.colorbar, _colour_ends(trace, holder)
        axes = canvas.figure.add_axes(_colour_bar_place(canvas, bar))
        drawn = canvas.figure.colorbar(
            ScalarMappable(Normalize(low, high), colour_map(holder.colorscale)),
            cax=axes,
            orientation="horizontal" if bar.orientation == "h" else "vertical",
        )
        drawn.outline.set_visible(False)
        if bar.tickvals is not None:
            drawn.set_ticks(
                list(bar.tickvals), labels=[unmarked(str(text)) for text in (bar.ticktext if bar.ticktext is not None else bar.tickvals)]
            )
        drawn.ax.tick_params(
            length=0 if bar.ticks == "" else 3, labelsize=(bar.tickfont.size or 11) * PT, labelcolor=colour(bar.tickfont.color or "#444444")
        )
        if bar.title.text:
            drawn.set_label(unmarked(bar.title.text), fontsize=12 * PT)


def add_legend(canvas: Canvas, entries: Sequence[tuple[Any, Artist]]) -> None:
    """Write the legend below everything else, in one row where it fits."""
    if not entries or not canvas.layout.get("showlegend", True):
        return
    names = [unmarked(trace.name, " ") for trace, _ in entries]
    wide = sum(map(len, names)) + 6 * len(names) <= LEGEND_CHARACTERS
    boxes = [panel.get_tightbbox() for panel in canvas.panels.values()]
    bottom = min(box.y0 for box in boxes if box is not None) / canvas.height
    centred = canvas.layout.get("legend", {}).get("xanchor") == "center"
    font = canvas.layout.get("legend", {}).get("font", {})
    canvas.figure.legend(
        [handle for _, handle in entries], names, loc="upper center" if centred else "upper left", bbox_to_anchor=(canvas.paper(0.5 if centred else 0, 0)[0], bottom - 6 / canvas.height),
        ncols=len(names) if wide else 1, frameon=False, fontsize=font.get("size", 12) * PT, labelcolor=colour(font.get("color", "#444444")), borderaxespad=0, borderpad=0, handletextpad=0.5, columnspacing=1.5,
    )  # fmt: skip


def _panel(canvas: Canvas, x_ref: str, y_ref: str) -> Any:
    names = [ref.split()[0] for ref in (x_ref, y_ref) if ref != "paper"]
    found = [panel for pair, panel in canvas.panels.items() if all(name in pair for name in names)]
    if not found:
        raise ConfigError(f"A shape or note on the axes {x_ref} and {y_ref}, on which nothing is drawn, cannot be exported.")
    return found[0]


def _transform(canvas: Canvas, x_ref: str, y_ref: str) -> Transform:
    """From the coordinates of a shape or note to the screen; "domain" and paper count from 0 to 1 over the panel."""
    from matplotlib.transforms import blended_transform_factory

    panel = _panel(canvas, x_ref, y_ref)
    inside = [panel.transData if ref[1:].isdigit() or ref in "xy" else panel.transAxes for ref in (x_ref, y_ref)]
    return blended_transform_factory(*inside)


def _linear(canvas: Canvas, ref: str, value: float) -> float:
    """Plotly gives the place of a note on a logarithmic axis as a power of ten."""
    return 10.0**value if ref not in ("paper",) and "domain" not in ref and canvas.is_log(ref) else value


def _on_paper(canvas: Canvas, x_ref: str, y_ref: str, at: Sequence[float]) -> tuple[float, float]:
    return canvas.paper(*at) if x_ref == y_ref else (at[0], at[1])


def _anchor(note: dict[str, Any], key: str, middle: str, at: float | None, ref: str) -> str:
    """As set; plotly anchors what it leaves open at the near side of the paper, and else in the middle."""
    if note.get(key, "auto") != "auto":
        return note[key]
    if ref != "paper" or at is None:
        return middle
    low, high = ("left", "right") if key == "xanchor" else ("bottom", "top")
    return low if at < 1 / 3 else high if at > 2 / 3 else middle


def _box(note: dict[str, Any]) -> Any:
    from matplotlib.offsetbox import HPacker, VPacker

    font, side = note.get("font", {}), note.get("align", "center")
    lines = [
        HPacker(children=[_text(run, font) for run in line or [Run("")]], pad=0, sep=0, align="baseline") for line in runs(note["text"])
    ]
    return VPacker(children=lines, pad=0, sep=2.5 * PT, align=side)


def _text(run: Run, font: dict[str, Any]) -> Any:
    from matplotlib.offsetbox import TextArea

    look = {
        "fontsize": (run.size or font.get("size", 12)) * PT,
        "color": colour(font.get("color", "#444444")),
        "fontweight": "bold" if run.bold else "normal",
    }
    return TextArea(run.text, textprops=look)


def _colour_ends(trace: Any, holder: Any) -> tuple[float, float]:
    low, high = (trace.zmin, trace.zmax) if trace.type == "heatmap" else (holder.cmin, holder.cmax)
    if low is None or high is None:
        raise ConfigError("A colour bar without both ends set cannot be exported.")
    return low, high


def _colour_bar_place(canvas: Canvas, bar: Any) -> tuple[float, float, float, float]:
    """Left, bottom, width and height in fractions of the figure."""
    flat, thickness, share = bar.orientation == "h", bar.thickness or 30, 1.0 if bar.len is None else bar.len
    x, y = (0.5 if flat else 1.02) if bar.x is None else bar.x, (1.02 if flat else 0.5) if bar.y is None else bar.y
    (left, low), (right, high) = canvas.paper(0, 0), canvas.paper(1, 1)
    size = (share * (right - left), thickness / canvas.height) if flat else (thickness / canvas.width, share * (high - low))
    across = _SIDES[bar.xanchor or ("center" if flat else "left")]
    up = _SIDES[bar.yanchor or ("bottom" if flat else "middle")]
    fx, fy = canvas.paper(x, y)
    return fx - across * size[0], fy - up * size[1], *size
