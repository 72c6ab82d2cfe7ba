"""One scheme's references element by element: the periodic table, the list, and files for other programs."""

from __future__ import annotations

import streamlit as st

from pages._ui.downloads import table_download
from pages._ui.periodic_table import element_chart
from pages._ui.shell import plain
from xfunc_core.errors import XfuncError
from xfunc_core.lab.element_overview import (
    ElementNumber,
    element_number_choices,
    element_numbers,
    element_table,
    element_values,
    frame_counts,
)
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.lab.tables import known_energies
from xfunc_core.quantities import ENERGY, Functional, short_text
from xfunc_core.references.tables import TableFormat, write_table

_ROWS = 12
_FORMATS = {TableFormat.CHGNET: ("chgnet", "json"), TableFormat.MACE: ("MACE", "txt"), TableFormat.FAIRCHEM: ("fairchem", "yaml"), TableFormat.MATPES: ("MatPES", "json")}


def elements(evidence: Evidence, found: Comparison, result: SchemeResult) -> None:
    """The references of a scheme in the periodic table, as a list and as files."""
    choices = element_number_choices(evidence.train.frames)
    key = st.selectbox("Periodic table of", list(choices), format_func=lambda k: choices[k].label, key="lab_colour", bind="query-params", persist_state="session")
    number = choices[key]
    st.caption(plain(number.sentence))
    values = element_values(number, found, result)
    if values:
        _chart(number, values, found)
    else:
        st.info("No element has this number under this scheme.", icon=":material/info:")
    with st.expander("All numbers", icon=":material/table_rows:"):
        table = element_table(found, result)
        st.dataframe(table, hide_index=True, height=470 if len(table) > _ROWS else "content")
        table_download(lambda: element_numbers(found, result), f"references-{found.dataset}-{result.name}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("For other programs", width="content")
        for format_ in _FORMATS:
            _file(found, result, format_, evidence.train.frames.functional)


def _chart(number: ElementNumber, values: dict[str, float], found: Comparison) -> None:
    element_chart(
        values, [], key="lab_elements", title=number.label, unit=ENERGY.unit, counts=frame_counts(found), diverging=number.signed,
        number_format=ENERGY.value, short_format=short_text,
    )  # fmt: skip


def _file(found: Comparison, result: SchemeResult, format_: TableFormat, functional: Functional) -> None:
    """A download, or the reason why that program cannot have this table."""
    label, suffix = _FORMATS[format_]
    try:
        text, reason = write_table(known_energies(result.references), format_, functional), None
    except XfuncError as error:
        text, reason = "", str(error)
    st.download_button(label, text, f"{found.dataset}-{result.name}-{format_.value}.{suffix}", key=f"lab_{format_.value}", icon=":material/download:", type="tertiary", disabled=bool(reason), help=plain(reason) if reason else None, on_click="ignore")
