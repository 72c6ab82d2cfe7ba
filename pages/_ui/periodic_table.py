"""The periodic table as a control: click elements, or choose them in the box below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages._ui.downloads import downloads
from xfunc_core.elements import SYMBOLS, Z_OF
from xfunc_core.plots.periodic_table import periodic_table_figure

_NARROW = """<style>
[class*="_cells"] { container-type: inline-size; }
@container (max-width: 640px) {
  [class*="_cells"] .annotation-text { font-size: 11px !important; }
  [class*="_cells"] .annotation-text tspan[style*="font-size"] { display: none; }
}
</style>"""
"""Where a cell is narrower than its number, as on a phone, the symbol stands alone; a tap on the cell tells the number."""


def periodic_table(values: Mapping[str, float], *, key: str, **look: Any) -> list[str]:
    """Draw the table and return the symbols of the chosen elements, by atomic number.

    The choice is in the URL under ``key``, and survives reruns and page switches. The other
    arguments are those of `element_chart`.
    """
    table = st.container()
    chosen = element_box(values, key)
    with table:
        element_chart(values, chosen, key=key, **look)
    return chosen


def element_box(symbols: Iterable[str], key: str) -> list[str]:
    """The box that holds the choice, which keyboards and screen readers reach, and a button that empties it."""
    known = {symbol for symbol in symbols if symbol in Z_OF} | set(st.session_state.get(key, ()))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Chosen elements",
            [symbol for symbol in SYMBOLS if symbol in known],
            key=key,
            placeholder="Click elements in the table, or choose them here",
            label_visibility="collapsed",
            bind="query-params",
            persist_state="session",
        )
        st.button("Clear", key=f"{key}_clear", on_click=_put, args=(key, []), disabled=not chosen, icon=":material/close:")
    return sorted(chosen, key=Z_OF.__getitem__)


def element_chart(
    values: Mapping[str, float],
    chosen: list[str],
    *,
    key: str,
    box: str = "",
    title: str = "",
    unit: str = "",
    counts: Mapping[str, int] | None = None,
    diverging: bool = False,
    middle: float = 0.0,
    reach: float | None = None,
    log: bool = False,
    untold: Mapping[str, str] | None = None,
    number_format: Callable[[float], str] = "{:.3g}".format,
    short_format: Callable[[float], str] | None = None,
) -> None:
    """Draw the table; a click takes an element into the choice of the `element_box` ``box``, or out of it.

    Without ``box`` it is the box with the key of the chart. The other arguments are those of ``periodic_table_figure``.
    """

    def draw(dark: bool) -> go.Figure:
        return periodic_table_figure(
            values, title=title, unit=unit, counts=counts, selected=chosen, diverging=diverging, middle=middle, reach=reach, log=log,
            untold=untold, dark=dark, number_format=number_format, short_format=short_format,
        )  # fmt: skip

    chart = f"{key}_table_{st.session_state.get(_clicks(key), 0)}"
    st.html(_NARROW)
    with st.container(key=f"{key}_cells"):
        st.plotly_chart(
            draw(st.context.theme.type == "dark"),
            key=chart,
            theme=None,
            config={"displayModeBar": False},
            on_select=lambda: _toggle(box or key, key, chart),
            selection_mode="points",
            alt=f"Periodic table: {title}",
        )
    downloads(draw, f"{key}_table", lambda: _numbers(values, counts, f"{title} ({unit})" if unit else title))


def _numbers(values: Mapping[str, float], counts: Mapping[str, int] | None, title: str) -> pd.DataFrame:
    found = pd.DataFrame({"element": list(values), "z": [Z_OF[symbol] for symbol in values], title: list(values.values())})
    return found if counts is None else found.assign(n=[counts.get(symbol) for symbol in values])


def _toggle(box: str, key: str, chart: str) -> None:
    """Take a clicked element in or out; the next chart has a new key, so that it can be clicked again."""
    chosen = list(st.session_state.get(box, ()))
    for point in st.session_state[chart].selection.points:
        symbol = point.get("customdata")
        symbol = symbol[0] if isinstance(symbol, list) and symbol else symbol
        if symbol in chosen:
            chosen.remove(symbol)
        elif symbol in Z_OF:
            chosen.append(symbol)
    st.session_state[_clicks(key)] = st.session_state.get(_clicks(key), 0) + 1
    _put(box, chosen)


def _put(key: str, chosen: list[str]) -> None:
    st.session_state[key] = chosen


def _clicks(key: str) -> str:
    """Name of the number of clicks so far in the session."""
    return f"{key}_clicks"
