"""Controls that say which frames are meant; the same words on every page that filters."""

from __future__ import annotations

import streamlit as st

from xfunc_core.data.overview import COLUMNS, axis
from xfunc_core.data.query import LABELS, Filter

ELEMENT_MODES = {"any_of": "any of", "all_of": "all of", "only": "only", "without": "none of"}
_HUBBARD = {"With or without": None, "With": True, "Without": False}
_RANGES = ("n_atoms", "above_fit", "largest_force", "pressure")


def element_mode(key: str) -> str:
    """How the chosen elements are meant."""
    return st.segmented_control("Frames that contain", list(ELEMENT_MODES), default="any_of", format_func=ELEMENT_MODES.get, required=True, key=f"{key}_mode", bind="query-params", persist_state="session")


def frame_filter(elements: list[str], mode: str, key: str) -> Filter:
    """The filter that the controls describe, drawn here in an expander."""
    with st.expander("More filters", icon=":material/filter_alt:"):
        left, middle, right = st.columns(3)
        text = left.text_input("Id or formula contains", key=f"{key}_text", bind="query-params")
        system = middle.text_input("Chemical system", key=f"{key}_system", placeholder="Fe-O", bind="query-params")
        labels = right.multiselect("Has labels", list(LABELS), key=f"{key}_labels")
        hubbard = left.selectbox("Hubbard U", list(_HUBBARD), key=f"{key}_hubbard")
        ranges = []
        for number in _RANGES:
            low_column, high_column = st.columns(2)
            low = low_column.number_input(f"{axis(COLUMNS[number])} from", value=None, key=f"{key}_{number}_low")
            high = high_column.number_input("to", value=None, key=f"{key}_{number}_high")
            if low is not None or high is not None:
                ranges.append((number, low, high))
    return Filter(**{mode: tuple(elements)}, text=text.strip(), chemical_system=system.strip().strip("-"), labels=tuple(labels), hubbard_u=_HUBBARD[hubbard], ranges=tuple(ranges))
