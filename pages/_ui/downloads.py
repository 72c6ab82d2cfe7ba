"""What is shown, as a file: the numbers, and the figure for a screen, an editor or a journal."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

Draw = Callable[[bool], go.Figure]
"""Makes a figure for dark ground, or for light."""


def downloads(draw: Draw, name: str, numbers: Callable[[], pd.DataFrame] | None = None) -> None:
    """Offer a figure as CSV, PNG, SVG and PDF behind one small button; a file is made when it is clicked, on light ground.

    Args:
        draw: makes the figure.
        name: of the files, without a suffix; its key on the page, too.
        numbers: the table behind the figure, where that is more than the points drawn.
    """
    from xfunc_core.plots.export import FigureFormat

    with st.popover("Download", icon=":material/download:", type="tertiary", key=f"download_{name}"), st.container(horizontal=True):
        st.download_button("CSV", lambda: _csv(draw, numbers), f"{name}.csv", "text/csv", key=f"download_{name}_csv", on_click="ignore", help="The numbers shown.")
        for kind in FigureFormat:
            st.download_button(kind.name, _picture(draw, kind), f"{name}.{kind.value}", kind.mime, key=f"download_{name}_{kind.value}", on_click="ignore")


def table_download(make: Callable[[], pd.DataFrame], name: str) -> None:
    """Offer a table as CSV with its index, plain numbers in full; made when it is clicked."""
    st.download_button("CSV", lambda: make().to_csv(), f"{name}.csv", "text/csv", icon=":material/download:", type="tertiary", key=f"download_{name}", on_click="ignore")


def _csv(draw: Draw, numbers: Callable[[], pd.DataFrame] | None) -> str:
    from xfunc_core.plots.export import drawn_numbers

    return drawn_numbers(draw(False)).to_csv(index=False) if numbers is None else numbers().to_csv(index=False)


def _picture(draw: Draw, kind: object) -> Callable[[], bytes]:
    """What makes the file, its format bound now; matplotlib is loaded only then."""
    from xfunc_core.plots.export import export

    return lambda: export(draw(False), kind)
