"""A structure on the page: the CrystalToolkitScene viewer, or plotly where the browser cannot run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
import streamlit.components.v1 as components

from pages._ui.viewer_files import viewer_folder
from xfunc_core.elements import ELEMENTS, Z_OF
from xfunc_core.plots.scene import BONDS_UP_TO, StructureScene, structure_scene
from xfunc_core.plots.structure import flat_structure_figure, structure_figure

if TYPE_CHECKING:
    from pymatgen.core import Structure

VIEWER, PLOTLY = "Interactive viewer", "Plotly"
_CHOICE = "structure_drawing"
_FAILURE = "structure_viewer_failure"
_WHY = {
    "no WebGL": "This browser has no WebGL, so the structure is drawn flat, from one side.",
    "not loaded": "The interactive viewer did not load; this is the plotly drawing.",
}


def structure_viewer(structure: Structure, key: str, height: int = 420) -> None:
    """Draw a structure to turn and zoom, with the colours of its elements below.

    Args:
        structure: any pymatgen structure.
        key: distinguishes several viewers; a viewer keeps its camera while its key and structure stay.
        height: of the drawing, in pixels.
    """
    scene = _scene(_digest(structure), structure)
    drawing = st.container()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(_legend(scene.colours), width="content")
        viewer = _viewer_wanted(key)
    if not scene.has_bonds and len(structure) > BONDS_UP_TO:
        st.caption(f"Bonds are drawn for up to {BONDS_UP_TO} atoms; this structure has {len(structure)}.")
    with drawing:
        if viewer:
            _show_viewer(scene, key, height)
        else:
            _show_plotly(scene, key, height)


def _viewer_wanted(key: str) -> bool:
    """The reader's choice, remembered for the next structure; none is offered where the viewer has failed."""
    if _FAILURE in st.session_state:
        st.caption(_WHY[st.session_state[_FAILURE]], width="content")
        return False
    default = st.session_state.get(_CHOICE, VIEWER)
    label = "How the structure is drawn"
    choice = st.segmented_control(label, [VIEWER, PLOTLY], default=default, required=True, key=f"{key}_drawing", label_visibility="collapsed")
    st.session_state[_CHOICE] = choice
    return choice == VIEWER


def _show_viewer(scene: StructureScene, key: str, height: int) -> None:
    viewer = _component()
    failure = viewer(scene=json.dumps(scene.scene), height=height, key=f"{key}_viewer", default=None) if viewer else "not loaded"
    if failure:
        st.session_state[_FAILURE] = failure
        st.rerun()


def _show_plotly(scene: StructureScene, key: str, height: int) -> None:
    draw = flat_structure_figure if st.session_state.get(_FAILURE) == "no WebGL" else structure_figure
    figure = draw(scene.scene, st.context.theme.type == "dark", height)
    elements = ", ".join(_name(symbol) for symbol in scene.colours)
    st.plotly_chart(figure, key=f"{key}_plotly", theme=None, config={"displaylogo": False, "scrollZoom": True}, alt=f"Crystal structure of {elements}")


def _component() -> Callable[..., str | None] | None:
    """The Streamlit component, or None where its files cannot be put together."""
    try:
        return components.declare_component("crystal_toolkit_scene", path=viewer_folder())
    except OSError:
        return None


@st.cache_data(max_entries=64, show_spinner="Preparing the structure …")
def _scene(digest: str, _structure: Structure) -> StructureScene:
    return structure_scene(_structure)


def _digest(structure: Structure) -> str:
    """What tells structures apart: lattice, species, positions and magnetic moments."""
    moments = structure.site_properties.get("magmom")
    words = [*map(str, structure.species_and_occu), str(moments)]
    numbers = np.ascontiguousarray(np.vstack([structure.lattice.matrix, structure.frac_coords]), dtype=float)
    return sha256("|".join(words).encode() + numbers.tobytes()).hexdigest()


def _legend(colours: dict[str, str]) -> str:
    """Dots in the colours of the elements, with their names."""
    dot = "display:inline-block;width:0.8em;height:0.8em;border-radius:50%;border:1px solid rgba(128,128,128,.6);margin-right:.35em;vertical-align:-.05em"
    entries = (f'<span style="margin-right:1em;white-space:nowrap"><span style="{dot};background:{c}"></span>{_name(s)}</span>' for s, c in colours.items())
    return f'<div style="font-size:.875rem">{"".join(entries)}</div>'


def _name(symbol: str) -> str:
    """The element's name, or the symbol of a dummy species."""
    return ELEMENTS[Z_OF[symbol] - 1].name if symbol in Z_OF else symbol
