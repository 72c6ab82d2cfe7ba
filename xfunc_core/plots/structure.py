"""A structure drawn with plotly, from the same scene JSON as the browser viewer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

from xfunc_core.plots.theme import palette, template

ATOM_PIXELS = 26
"""Diameter of an atom; small structures get the whole of it."""
VIEW = np.array([[0.932, 0.0, -0.362], [-0.101, 0.961, -0.259], [0.348, 0.278, 0.895]])
"""Rows: right, up and towards the reader; how the browser viewer starts, too."""


def structure_figure(scene_json: dict[str, Any], dark: bool = False, height: int = 420) -> go.Figure:
    """Draw a scene as a figure to turn and zoom; the browser needs WebGL for it.

    Args:
        scene_json: from ``structure_scene``: atoms, bonds and unit cell; axes are left out.
        dark: whether the page is dark.
        height: pixels.
    """
    c = palette(dark)
    size = _atom_pixels(scene_json) / 2  # WebGL draws them twice as wide
    fig = go.Figure()
    for colour, segments in _segments(scene_json, c.muted).items():
        x, y, z = _polyline(segments).T
        fig.add_scatter3d(x=x, y=y, z=z, mode="lines", line={"color": colour, "width": 2 if colour == c.muted else 7}, hoverinfo="skip")
    for colour, positions, text in _atoms(scene_json):
        x, y, z = positions.T
        marker = {"size": size, "color": colour, "opacity": 1, "line": {"color": c.line, "width": 1}}
        fig.add_scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, text=text, hoverinfo="text")
    hidden = {"visible": False, "showspikes": False}
    camera = {"projection": {"type": "orthographic"}, "eye": _point(1.6 * VIEW[2]), "up": _point(VIEW[1])}
    return _framed(fig, dark, height).update_layout(
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "camera": camera, "dragmode": "orbit"}
    )


def flat_structure_figure(scene_json: dict[str, Any], dark: bool = False, height: int = 420) -> go.Figure:
    """Draw a scene from one fixed side as plain vector graphics, for browsers without WebGL."""
    c = palette(dark)
    fig = go.Figure()
    for colour, segments in _segments(scene_json, c.muted).items():
        x, y = (_polyline(segments) @ VIEW.T)[:, :2].T
        fig.add_scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 1 if colour == c.muted else 5}, hoverinfo="skip")
    atoms = [(*VIEW @ p, colour, t) for colour, positions, text in _atoms(scene_json) for p, t in zip(positions, text, strict=True)]
    x, y, _, colours, text = zip(*sorted(atoms, key=lambda atom: atom[2]), strict=True)
    marker = {"size": 1.4 * _atom_pixels(scene_json), "color": colours, "opacity": 1, "line": {"color": c.surface, "width": 1.5}}
    fig.add_scatter(x=x, y=y, mode="markers", marker=marker, text=text, hoverinfo="text")
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False, scaleanchor="x")
    return _framed(fig, dark, height)


def _framed(fig: go.Figure, dark: bool, height: int) -> go.Figure:
    return fig.update_layout(template=template(dark), height=height, showlegend=False, margin={"l": 0, "r": 0, "t": 0, "b": 0})


def _point(vector: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", vector.tolist(), strict=True))


def _primitives(scene_json: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Everything drawn inside the sub-scenes called ``name``, however deep."""
    for part in scene_json["contents"]:
        if "contents" not in part:
            yield part
        elif part["name"] == name or scene_json.get("name") == name:
            yield from _primitives({**part, "name": name}, name)


def _atoms(scene_json: dict[str, Any]) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    """Colour, positions of shape (N, 3) and hover texts of the atoms, by colour."""
    positions, texts = defaultdict(list), defaultdict(list)
    for sphere in _primitives(scene_json, "atoms"):
        positions[sphere["color"]] += sphere["positions"]
        texts[sphere["color"]] += [sphere.get("tooltip", "").replace("\n", "<br>")] * len(sphere["positions"])
    for colour in positions:
        yield colour, np.array(positions[colour], dtype=float), texts[colour]


def _segments(scene_json: dict[str, Any], cell_colour: str) -> dict[str, np.ndarray]:
    """Colour -> ends of shape (N, 2, 3): the cell's edges, and each bond as two halves."""
    found = defaultdict(list)
    for lines in _primitives(scene_json, "unit_cell"):
        found[cell_colour] += np.reshape(lines["positions"], (-1, 2, 3)).tolist()
    for bond in _primitives(scene_json, "bonds"):
        found[bond["color"]] += bond["positionPairs"]
    return {colour: np.array(ends, dtype=float) for colour, ends in found.items()}


def _polyline(segments: np.ndarray) -> np.ndarray:
    """Points of shape (3 N, 3), a row of NaN after each segment."""
    gaps = np.full((len(segments), 1, 3), np.nan)
    return np.concatenate([segments, gaps], axis=1).reshape(-1, 3)


def _atom_pixels(scene_json: dict[str, Any]) -> float:
    """Atoms shrink as the structure grows, so that they do not cover each other."""
    n = sum(len(positions) for _, positions, _ in _atoms(scene_json))
    return float(np.clip(ATOM_PIXELS * (27 / max(n, 1)) ** (1 / 3), 7, ATOM_PIXELS))
