"""A structure as crystal-toolkit's scene: plain JSON that the browser viewer and the plotly drawing share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from xfunc_core.elements import Z_OF

if TYPE_CHECKING:
    from pymatgen.core import Structure

BONDS_UP_TO = 250
"""Larger structures are drawn without bonds: finding them would take longer than a second."""
COLOURS = "VESTA"

_importing = Lock()


@dataclass(frozen=True)
class StructureScene:
    """What is to be drawn.

    Attributes:
        scene: crystal-toolkit's scene JSON, with the sub-scenes atoms, bonds, unit_cell and axes.
        colours: element symbol -> ``#rrggbb``, by atomic number.
        has_bonds: whether bonds were looked for and found.
    """

    scene: dict[str, Any]
    colours: dict[str, str]
    has_bonds: bool


def structure_scene(structure: Structure) -> StructureScene:
    """Build the scene of a structure; the first call imports crystal-toolkit, which takes seconds."""
    legend_class = _load_crystal_toolkit()
    bare = _with_short_tooltips(structure)
    legend = legend_class(bare, color_scheme=COLOURS, radius_scheme="uniform")
    graph = _bonded(bare) if len(bare) <= BONDS_UP_TO else None
    if graph is None:
        scene = bare.get_scene(legend=legend)
    else:
        hidden = {"draw_polyhedra": False, "draw_magmoms": False}
        scene = graph.get_scene(legend=legend, bonded_sites_outside_unit_cell=False, hide_incomplete_edges=True, site_get_scene_kwargs=hidden)
    scene.contents = [part for part in scene.contents if part.contents and part.name != "magmoms"]
    scene.contents.append(bare.lattice._axes_from_lattice())
    plain = json.loads(json.dumps(scene.to_json(), default=lambda o: o.tolist()))
    return StructureScene(plain, _colours(bare, legend), any(part["name"] == "bonds" for part in plain["contents"]))


def _with_short_tooltips(structure: Structure) -> Structure:
    """A copy whose sites carry the rounded magnetic moment at most: every property is written in the tooltip."""
    copy = structure.copy()
    moments = copy.site_properties.get("magmom")
    for name in list(copy.site_properties):
        copy.remove_site_property(name)
    if moments and all(isinstance(m, int | float) for m in moments):
        copy.add_site_property("magmom", [round(float(m), 2) for m in moments])
    return copy


def _bonded(structure: Structure) -> Any:
    """The bonded graph, or None where no atom has a neighbour."""
    from pymatgen.analysis.graphs import StructureGraph
    from pymatgen.analysis.local_env import MinimumDistanceNN

    try:
        return StructureGraph.from_local_env_strategy(structure, MinimumDistanceNN())
    except ValueError:  # an atom alone in a large box: the smallest of no distances
        return None


def _colours(structure: Structure, legend: Any) -> dict[str, str]:
    elements = sorted(structure.composition.elements, key=lambda e: Z_OF.get(e.symbol, 999))
    return {element.symbol: legend.get_color(element) for element in elements}


def _load_crystal_toolkit() -> type:
    """Give pymatgen's classes ``get_scene`` and return the Legend class.

    ``import crystal_toolkit`` pulls in dash, mp-api and scikit-image and patches all of monty; the
    four modules needed here load in half the time and memory.
    """
    with _importing, _without_package_init("crystal_toolkit", "crystal_toolkit.renderables"):
        import crystal_toolkit.renderables.lattice
        import crystal_toolkit.renderables.site
        import crystal_toolkit.renderables.structure
        import crystal_toolkit.renderables.structuregraph  # noqa: F401
        from crystal_toolkit.core.legend import Legend
    return Legend


@contextmanager
def _without_package_init(*packages: str) -> Iterator[None]:
    """Within, the packages stand as empty shells over their folders, so that their ``__init__`` does not run."""
    shells = {}
    for name in packages:
        parent = sys.modules.get(name.rpartition(".")[0])
        spec = PathFinder.find_spec(name, parent.__path__ if parent else None)
        if name not in sys.modules and spec is not None:
            shells[name] = ModuleType(name)
            shells[name].__path__ = list(spec.submodule_search_locations or [])
            sys.modules[name] = shells[name]
    try:
        yield
    finally:
        for name, shell in shells.items():
            if sys.modules.get(name) is shell:
                del sys.modules[name]
