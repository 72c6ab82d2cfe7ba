"""Figures as files: every figure of the app, its points and words counted in the SVG it becomes."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots
from pymatgen.core import Lattice, Structure

import xfunc_core.plots
from xfunc_core.analysis.agreement import agreement
from xfunc_core.analysis.scaling import bootstrap_power_law
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.plots.agreement import agreement_figure
from xfunc_core.plots.distributions import distributions
from xfunc_core.plots.export import FigureFormat, drawn_numbers, export
from xfunc_core.plots.export_text import runs, unmarked
from xfunc_core.plots.importances import importance_figure
from xfunc_core.plots.learning import learning_curves
from xfunc_core.plots.one_sided import one_sided_figure
from xfunc_core.plots.parity import parity_figure
from xfunc_core.plots.periodic_table import periodic_table_figure
from xfunc_core.plots.references import comparison_figure, curve_figure
from xfunc_core.plots.references_elements import residual_figure, shift_line_figure
from xfunc_core.plots.scaling import scaling_figure
from xfunc_core.plots.scene import structure_scene
from xfunc_core.plots.shifts import shift_figure
from xfunc_core.plots.structure import flat_structure_figure, structure_figure
from xfunc_core.plots.theme import nothing_to_draw
from xfunc_core.quantities import ENERGY, FORCE, Quantity

SVG = "{http://www.w3.org/2000/svg}"
MAGIC = {FigureFormat.PNG: b"\x89PNG\r\n\x1a\n", FigureFormat.PDF: b"%PDF-1.", FigureFormat.SVG: b"<?xml"}
NO_FILE = {"structure_figure", "apply_theme"}
"""What returns a figure and has no file: three dimensions are turned in the browser, and the look is no figure."""


def parity(n: int) -> go.Figure:
    chance = np.random.default_rng(0)
    reference = chance.normal(size=n)
    return parity_figure(FORCE, reference, reference + chance.normal(0, 0.1, n), reference + chance.normal(0, 0.03, n))


def agreed(n: int, chosen: bool = False) -> go.Figure:
    chance = np.random.default_rng(0)
    x = chance.normal(size=n)
    y = 0.9 * x + chance.normal(0, 0.1, n)
    return agreement_figure(
        x, y, ENERGY, agreement(x, y, np.arange(n) // 2), words=["Every value counts in full."], selected=x > 0 if chosen else None
    )


def shifts() -> go.Figure:
    z = np.array([1, 3, 8, 26, 92])
    return shift_figure(
        pd.DataFrame(
            {"z": z, "shift": -0.7 * z, "low": -0.8 * z, "high": -0.6 * z, "n_materials": 9, "why": "", "published": -0.7 * z - 1},
            index=["H", "Li", "O", "Fe", "U"],
        )
    )


def importances() -> go.Figure:
    return importance_figure(
        pd.DataFrame({"per_atom": np.arange(30.0), "permutation": np.arange(30.0), "permutation_std": 0.5}, index=list(SYMBOLS[:30])),
        1234,
    )


def comparison() -> go.Figure:
    columns = {
        "label": ["Least squares", "None"],
        "test_mae": [0.02, 3.0],
        "test_mae_low": [0.018, 2.9],
        "test_mae_high": [0.03, 3.1],
        "test_rmse": [0.04, 4.0],
    }
    return comparison_figure(
        pd.DataFrame(
            columns
            | {
                "held_out_mae": [0.03, 3.2],
                "n_test": 80,
                "n_held_out": 90,
                "recommended": [True, False],
                "off_scale": [False, True],
                "note": "",
            },
            index=["lstsq", "none"],
        )
    )


def learnt() -> pd.DataFrame:
    sizes, medians = np.array([10, 30, 100]), np.array([0.3, 0.1, 0.04])
    one = pd.DataFrame({"size": sizes, "n_frames": sizes, "low": 0.8 * medians, "median": medians, "high": 1.3 * medians})
    return pd.concat(
        [one.assign(scheme="lstsq", label="Least squares"), one.assign(scheme="ridge", label="Ridge", median=1.1 * medians)],
        ignore_index=True,
    )


def shift_line() -> pd.DataFrame:
    z = np.array([1, 3, 8, 26, 92])
    return pd.DataFrame(
        {"z": z, "shift": -0.7 * z, "sigma_refits": [0.1, math.nan, 0.1, 0.1, 0.2], "n_frames": 9}, index=["H", "Li", "O", "Fe", "U"]
    )


def residuals() -> pd.DataFrame:
    quartiles = {
        f"{when}_{name}": scale * np.array([1.0, 2.0, 3.0, 4.0, 5.0])
        for when in ("before", "after")
        for name, scale in (("low", -0.1), ("median", 0.01), ("high", 0.2))
    }
    return pd.DataFrame({"n_frames": 9, **quartiles}, index=["H", "Li", "O", "Fe", "U"])


def learning() -> go.Figure:
    part = [{"energy": 0.1 / k, "force": 0.08 / k, "stress": 0.3 / k, "magmom": math.nan} for k in range(1, 9)]
    return learning_curves([{"epoch": k, "train": p, "validation": p} for k, p in enumerate(part, 1)], n_train=640, n_validation=80)


def scaling() -> go.Figure:
    chance = np.random.default_rng(0)
    rows = [
        {"method": m, "size": n, "seed": k, "error": a * n**-0.4 * np.exp(chance.normal(0, 0.05)), "start": 0.5}
        for m, a in (("M1", 3.0), ("M4", 0.5))
        for n in (100, 200, 400, 1000)
        for k in range(2)
    ]
    table = pd.DataFrame([*rows, {"method": "M4", "size": 0, "seed": 0, "error": 0.17}])
    bands = {method: bootstrap_power_law(runs) for method, runs in table[table["size"] > 0].groupby("method")}
    return scaling_figure(table, bands, ENERGY, paper_overlay=True)


def histograms() -> go.Figure:
    panels = [
        SimpleNamespace(title=title, edges=np.linspace(0, 4, 5), counts=(np.array([1, 0, 2, 3]), np.array([40, 4, 0, 0])))
        for title in ("Pressure (GPa)", "Volume (Å³/atom)")
    ]
    return distributions(panels, ["<i>a</i>", "b"])


def table() -> go.Figure:
    values = dict(zip(SYMBOLS[:90], np.linspace(-9, 1, 90), strict=True))
    return periodic_table_figure(
        values,
        title="Reference shift r²SCAN − PBE",
        unit="eV/atom",
        selected=["O"],
        untold={"Md": "too few to say"},
        diverging=True,
        number_format=ENERGY.value,
        short_format="{:.1f}".format,
    )


def structure() -> dict[str, object]:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return structure_scene(salt).scene


FIGURES: dict[str, dict[str, Callable[[], go.Figure]]] = {
    "parity_figure": {"points": lambda: parity(50), "WebGL points": lambda: parity(4000), "density": lambda: parity(21_000)},
    "agreement_figure": {"points": lambda: agreed(60), "density": lambda: agreed(9000), "chosen": lambda: agreed(9000, chosen=True)},
    "one_sided_figure": {
        "angles": lambda: one_sided_figure(np.arange(90.0), Quantity("force_angle", "Force angle", "°", "°", 1.0, 1, 1), 9)
    },
    "shift_figure": {"five elements": shifts},
    "importance_figure": {"thirty elements": importances},
    "comparison_figure": {"two schemes": comparison},
    "curve_figure": {"two schemes": lambda: curve_figure(learnt(), "Test error", "N = 9 splits")},
    "shift_line_figure": {"five elements": lambda: shift_line_figure(shift_line(), -0.7, 0.1)},
    "residual_figure": {"five elements": lambda: residual_figure(residuals())},
    "learning_curves": {"three panels": learning},
    "scaling_figure": {"two methods": scaling},
    "distributions": {"two datasets": histograms},
    "periodic_table_figure": {"shift": table, "nothing": lambda: periodic_table_figure({})},
    "flat_structure_figure": {"rock salt": lambda: flat_structure_figure(structure())},
    "nothing_to_draw": {"sentence": lambda: nothing_to_draw("No frame has any of these numbers.")},
}
"""Figures by the function that makes them."""
CASES = [(name, case) for name, cases in FIGURES.items() for case in cases]


@pytest.fixture(scope="module")
def figure() -> Callable[[str, str], go.Figure]:
    made: dict[tuple[str, str], go.Figure] = {}

    def make(name: str, case: str) -> go.Figure:
        if (name, case) not in made:
            made[name, case] = FIGURES[name][case]()
        return made[name, case]

    return make


def svg(figure: go.Figure) -> ElementTree.Element:
    return ElementTree.fromstring(export(figure, FigureFormat.SVG))


def words(drawn: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()).strip() for text in drawn.iter(f"{SVG}text")]


def marks(drawn: ElementTree.Element, gid: str) -> list[ElementTree.Element]:
    """What is drawn in a group: uses of one path defined before, or, for a few marks, paths of their own."""
    groups = [g for g in drawn.iter(f"{SVG}g") if g.get("id") == gid]
    defined = [path for g in groups for defs in g.iter(f"{SVG}defs") for path in defs.iter(f"{SVG}path")]
    return [mark for g in groups for mark in g.iter() if mark.tag in (f"{SVG}use", f"{SVG}path") and mark not in defined]


def finite_points(trace: go.Scatter) -> int:
    x, y = (np.array(v, dtype=float) for v in (trace.x, trace.y))
    return int((np.isfinite(x) & np.isfinite(y)).sum())


def test_every_figure_of_the_app_is_among_them() -> None:
    found = set()
    for module in pkgutil.iter_modules(xfunc_core.plots.__path__, "xfunc_core.plots."):
        for name, function in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
            if (
                function.__module__ == module.name
                and not name.startswith("_")
                and inspect.signature(function).return_annotation == "go.Figure"
            ):
                found.add(name)
    assert found - NO_FILE == set(FIGURES)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_every_title_note_and_legend_entry_is_in_the_svg(figure, name, case) -> None:
    drawn = figure(name, case)
    found = words(svg(drawn))
    axes = [axis for key, axis in drawn.layout.to_plotly_json().items() if key[1:5] == "axis" and axis.get("visible") is not False]
    titles = [unmarked(axis["title"]["text"]) for axis in axes if axis.get("title", {}).get("text")]
    notes = [run.text for note in drawn.layout.annotations for line in runs(note.text) for run in line]
    legend = [unmarked(t.name, " ") for t in drawn.data if t.name and t.showlegend is True] if drawn.layout.showlegend else []
    expected = [line.strip() for text in [*titles, *notes, *legend] for line in text.split("\n") if line.strip()]
    assert set(expected) <= set(found)
    assert expected or name == "flat_structure_figure"


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_svg_has_as_many_marks_as_the_figure(figure, name, case) -> None:
    drawn = figure(name, case)
    made = svg(drawn)
    for i, trace in enumerate(drawn.data):
        if trace.type == "bar":
            bars = [g for g in made.iter(f"{SVG}g") if (g.get("id") or "").startswith(f"trace-{i}-")]
            assert len(bars) == len(trace.x)
        elif trace.type != "heatmap" and "markers" in trace.mode and trace.marker.opacity != 0:
            assert len(marks(made, f"trace-{i}")) == finite_points(trace)


@pytest.mark.parametrize("kind", FigureFormat)
@pytest.mark.parametrize(("name", "case"), CASES)
def test_files_are_what_they_are_called(figure, name, case, kind) -> None:
    content = export(figure(name, case), kind)
    assert content.startswith(MAGIC[kind]) and len(content) > 1000
    if kind is FigureFormat.PDF:
        assert content.rstrip().endswith(b"%%EOF")


def test_points_lie_where_the_axis_says() -> None:
    """In the SVG, the ratio of distances between marks is that of the numbers; the axis turns with the log."""
    fig = go.Figure(go.Scatter(x=[1, 10, 100], y=[0, 1, 3], mode="markers")).update_xaxes(type="log")
    [group] = [g for g in svg(fig).iter(f"{SVG}g") if g.get("id") == "trace-0"]
    x, y = np.array([[float(use.get(letter)) for use in group.iter(f"{SVG}use")] for letter in "xy"])
    assert x[2] - x[1] == pytest.approx(x[1] - x[0])
    assert (y[0] - y[2]) / (y[0] - y[1]) == pytest.approx(3)


def test_matching_axes_have_one_range() -> None:
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True)
    fig.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="markers"), row=1, col=1)
    fig.add_trace(go.Scatter(x=[0, 4], y=[0, 1], mode="markers"), row=2, col=1)
    drawn = svg(fig)
    above, below = ([float(mark.get("x")) for mark in marks(drawn, f"trace-{i}")] for i in (0, 1))
    assert above[0] == pytest.approx(below[0])
    assert below[1] - below[0] == pytest.approx(4 * (above[1] - above[0]))


def test_tied_axes_have_units_of_one_length() -> None:
    fig = go.Figure(go.Scatter(x=[0, 1, 0], y=[0, 0, 1], mode="markers"))
    fig.update_xaxes(range=[0, 1], constrain="domain").update_yaxes(range=[0, 2], scaleanchor="x", constrain="domain")
    [group] = [g for g in svg(fig).iter(f"{SVG}g") if g.get("id") == "trace-0"]
    x, y = np.array([[float(use.get(letter)) for use in group.iter(f"{SVG}use")] for letter in "xy"])
    assert x[1] - x[0] == pytest.approx(y[0] - y[2])


def test_the_same_figure_gives_the_same_file(figure) -> None:
    assert export(figure("parity_figure", "points"), FigureFormat.SVG) == export(figure("parity_figure", "points"), FigureFormat.SVG)


REFUSED = [
    (lambda: structure_figure(structure()), "'scatter3d'"),
    (lambda: go.Figure(go.Pie(values=[1])), "'pie'"),
    (lambda: go.Figure(go.Scatter(x=[1], y=[1], mode="markers", marker={"symbol": "star"})), "'star'"),
    (lambda: go.Figure(go.Scatter(x=[1], y=[1], mode="lines", line={"dash": "5px"})), "'5px'"),
    (lambda: go.Figure(go.Scatter(x=[1, 2], y=[1, 2], mode="lines", line={"shape": "spline"})), "'spline'"),
    (lambda: go.Figure(go.Scatter(x=[1], y=[1], mode="lines", fill="tonexty")), "'tonexty'"),
    (lambda: go.Figure(go.Scatter(x=["a"], y=[1], mode="markers")), "words or dates"),
    (lambda: go.Figure(go.Bar(x=[1], y=[1])), "barmode"),
    (lambda: go.Figure(go.Scatter(x=[1], y=[1], mode="markers")).update_xaxes(type="date"), "'date'"),
    (lambda: go.Figure(go.Scatter(x=[1], y=[1], mode="markers")).add_shape(type="circle", x0=0, x1=1, y0=0, y1=1), "'circle'"),
    (lambda: go.Figure(go.Scatter(x=[1], y=[1], mode="markers")).add_annotation(text="a", x=1, y=1), "arrow"),
]


@pytest.mark.parametrize(("make", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_is_not_drawn_is_refused_by_name(make, named) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        export(make(), FigureFormat.SVG)


def test_numbers_are_those_drawn(figure) -> None:
    drawn = figure("parity_figure", "points")
    found = drawn_numbers(drawn)
    assert list(found.columns[:3]) == ["series", "DFT force (eV/Å)", "Predicted (eV/Å)"]
    before = found[(found["series"] == "Before") & found["Predicted (eV/Å)"].notna()]
    np.testing.assert_array_equal(before["Predicted (eV/Å)"], drawn.data[0].y)
    errors = found[(found["series"] == "Before") & found["Error (meV/Å)"].notna()]["Error (meV/Å)"]
    np.testing.assert_allclose(errors, 1000 * (np.array(drawn.data[0].y) - np.array(drawn.data[0].x)))


def test_numbers_of_panels_are_named_by_their_titles(figure) -> None:
    found = drawn_numbers(figure("learning_curves", "three panels"))
    assert list(found.columns) == ["series", "Epoch", "Energy MAE (meV/atom)", "Force MAE (meV/Å)", "Stress MAE (GPa)"]
    assert found["Force MAE (meV/Å)"].max() == pytest.approx(80.0)


def test_numbers_of_a_density_are_its_cells(figure) -> None:
    found = drawn_numbers(figure("parity_figure", "density"))
    cells = found[found["log10_count"].notna() & found["Predicted (eV/Å)"].notna() & (found["series"] == "After")]
    assert (10 ** cells["log10_count"]).sum() == pytest.approx(21_000, rel=1e-4)
