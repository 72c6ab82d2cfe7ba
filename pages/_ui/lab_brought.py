"""A table of references that the reader brings along: uploaded, kept for the session, offered to runs."""

from __future__ import annotations

import streamlit as st

from pages._ui.shell import plain, sentences
from xfunc_core.lab.tables import known_energies, references_in
from xfunc_core.references.element_references import Status
from xfunc_core.references.tables import TableFormat, write_table

_KEY, _SENT = "brought_table", "brought_tables_sent"


def brought_table() -> tuple[str, str] | None:
    """Name and text of the table that was brought along in this session."""
    return st.session_state.get(_KEY)


def bring_table() -> None:
    """Upload a table or remove the one that is there; a file that is none is said in one sentence."""
    here = brought_table()
    if here is not None:
        references = references_in(here[1], here[0])
        n = len(references.having(Status.FITTED)) + len(references.having(Status.PRIOR))
        st.markdown(plain(f"{references.source}: {n} elements. It is compared as “Table” below and can be used in a run."))
        if st.button("Remove the table", icon=":material/close:"):
            del st.session_state[_KEY]
            st.rerun()
        return
    sent = st.session_state.get(_SENT, 0)
    file = st.file_uploader("Table of reference energies", key=f"table_{sent}", help="chgnet's 94 numbers, MACE's E0s, fairchem's list by Z, MatPES documents of isolated atoms, or the references.json of a run; eV/atom. It is read as data only.")
    if file is None:
        return
    with sentences(stop=False):
        text = file.getvalue().decode(errors="replace")
        references_in(text, file.name)
        st.session_state[_KEY] = (file.name, text)
        st.session_state[_SENT] = sent + 1
        st.rerun()


def table_settings() -> dict[str, str]:
    """The table as a run's settings hold it; nothing without one."""
    here = brought_table()
    if here is None:
        return {}
    references = references_in(here[1], here[0])
    return {"reference_table": write_table(known_energies(references), TableFormat.MACE), "reference_table_name": references.source}
