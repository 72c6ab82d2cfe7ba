"""Controls that say which frames are meant; the same words on every page that filters."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from xfunc_core.data.overview import COLUMNS, axis
from xfunc_core.data.query import LABELS, Filter

ELEMENT_MODES = {"any_of": "any of", "all_of": "all of", "only": "only", "without": "none of"}
_HUBBARD = {"With or without": None, "With": True, "Without": False}
RANGES = ("n_atoms", "above_fit", "largest_force", "pressure")


def element_mode(key: str) -> str:
    """How the chosen elements are meant."""
    return st.segmented_control("Frames that contain", list(ELEMENT_MODES), default="any_of", format_func=ELEMENT_MODES.get, required=True, key=f"{key}_mode", bind="query-params", persist_state="session")


def frame_filter(elements: list[str], mode: str, key: str, labels: Sequence[str] = tuple(LABELS), ranges: Sequence[str] = RANGES) -> Filter:
    """The filter that the controls describe, drawn here in an expander.

    Args:
        elements: symbols that are chosen elsewhere.
        mode: how they are meant, a key of `ELEMENT_MODES`.
        key: prefix of the controls' keys, in the URL too.
        labels: that can be asked for; without any, nothing of labels or of Hubbard U is shown.
        ranges: numbers that can be limited, of `COLUMNS`.
    """
    with st.expander("More filters", icon=":material/filter_alt:"):
        left, middle, right = st.columns(3)
        text = left.text_input("Id or formula contains", key=f"{key}_text", bind="query-params")
        system = middle.text_input("Chemical system", key=f"{key}_system", placeholder="Fe-O", bind="query-params")
        chosen = right.multiselect("Has labels", list(labels), key=f"{key}_labels", bind="query-params") if labels else []
        hubbard = left.selectbox("Hubbard U", list(_HUBBARD), key=f"{key}_hubbard", bind="query-params") if labels else next(iter(_HUBBARD))
        limits = [(number, *_limits(number, key)) for number in ranges]
    asked = tuple((number, low, high) for number, low, high in limits if low is not None or high is not None)
    return Filter(**{mode: tuple(elements)}, text=text.strip(), chemical_system=system.strip().strip("-"), labels=tuple(chosen), hubbard_u=_HUBBARD[hubbard], ranges=asked)


def _limits(number: str, key: str) -> tuple[float | None, float | None]:
    left, right = st.columns(2)
    low = left.number_input(f"{axis(COLUMNS[number])} from", value=None, key=f"{key}_{number}_low", bind="query-params")
    return low, right.number_input("to", value=None, key=f"{key}_{number}_high", bind="query-params")
