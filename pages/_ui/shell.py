"""The frame of every page: a title with one sentence, one place where errors become sentences, figures in one look."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from pages._ui.downloads import Draw, downloads
from xfunc_core.errors import XfuncError, refusal

_PLOTLY = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"]}

_MARKS = re.compile(r"[\\`*\[\]{}$~<&#]|^[>+-]|(?<![^\W_])_|_(?![^\W_])")
"""What markdown may take for a mark; an underscore or dash only where it is one."""
_COLON = re.compile(r":(?=\S)")
"""Begins :directives[…], :icons: and the rest of an address."""
_ADDRESS = re.compile(r"www(?=\.)|@", re.IGNORECASE)
_SEAM = ":small[]"
"""Nothing to see: it parts what Streamlit, which looks for addresses and icons once escapes are resolved, would put together."""


@contextmanager
def page(title: str, sentence: str) -> Iterator[None]:
    """Draw the title; inside, an error meant for the user ends the page as one sentence."""
    _start_over_through_app()
    st.title(title)
    st.caption(sentence)
    with sentences():
        yield


def _start_over_through_app() -> None:
    """Opened by its own address on a fresh server, a page is run without app.py by Streamlit's old discovery of pages/."""
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False  # what st.navigation in app.py does
        st.rerun()


@contextmanager
def sentences(*, stop: bool = True) -> Iterator[None]:
    """Show an error meant for the user as it is, or what the system refuses, and stop there; without ``stop`` the page goes on."""
    try:
        yield
    except (XfuncError, OSError) as error:
        st.error(plain(refusal(error) if isinstance(error, OSError) else str(error)), icon=":material/error:")
        if stop:
            st.stop()


def is_dark() -> bool:
    """Whether the reader's theme is dark."""
    return st.context.theme.type == "dark"


def show(draw: Draw, key: str, *, clickable: bool = False, name: str = "", numbers: Callable[[], pd.DataFrame] | None = None) -> list[dict[str, Any]]:
    """Draw a figure in the reader's mode, with its downloads below; with ``clickable`` return the points the reader clicked.

    Args:
        draw: makes the figure for dark ground, or for light.
        key: of the figure on the page.
        clickable: whether a click on a point reruns the page.
        name: of downloaded files; the key if empty.
        numbers: the table behind the figure, see `downloads`.
    """
    look: dict[str, Any] = {"on_select": "rerun", "selection_mode": "points"} if clickable else {}
    event = st.plotly_chart(draw(is_dark()), key=key, theme=None, config=_PLOTLY, **look)
    downloads(draw, name or key, numbers)
    return list(event.selection.points) if clickable else []


def clicked_frame(points: list[dict[str, Any]]) -> int | None:
    """The frame a clicked point carries in its customdata."""
    for point in points:
        data = point.get("customdata")
        value = data[0] if isinstance(data, list | tuple) and data else data
        if isinstance(value, int | float):
            return int(value)
    return None


def empty(icon: str, sentence: str, link: str | None = None, label: str = "") -> None:
    """A designed empty state: what is missing, and the way to it."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":material/{icon}:")
        st.markdown(sentence)
        if link:
            st.page_link(link, label=label, icon=":material/arrow_forward:")


def warn(lines: list[str]) -> None:
    """Caveats, one quiet line each."""
    for line in lines:
        st.caption(f":material/info: {plain(line)}")


def plain(text: str) -> str:
    """Text from a file or a user as markdown that shows it letter by letter: no image, link, formula, icon or colour.

    A picture in a frame's id, for one, would have the reader's browser fetch it from anywhere.
    """
    text = _MARKS.sub(r"\\\g<0>", " ".join(text.split()))
    text = _COLON.sub(rf"\\:{_SEAM}", text)
    return _ADDRESS.sub(rf"\g<0>{_SEAM}", text)
