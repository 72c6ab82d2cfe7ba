"""A table of references that the reader brings along: uploaded or of a run, kept for the session, offered to runs."""

from __future__ import annotations

import streamlit as st

from pages._ui.lab_loaders import OwnTable
from pages._ui.shell import plain, sentences
from xfunc_core.data.home import runs_root
from xfunc_core.lab.tables import known_energies, read_references
from xfunc_core.quantities import counted
from xfunc_core.references.element_references import Status
from xfunc_core.references.tables import TableFormat, write_table
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.state import RunState

_KEY, _SENT = "brought_table", "brought_tables_sent"
_LARGEST = 80
"""MB; a table of documents of 94 atoms has less than one."""


def brought_table() -> OwnTable | None:
    """The table that was brought along in this session."""
    return st.session_state.get(_KEY)


def bring_table() -> None:
    """Upload a table, take that of a run, or remove the one that is there; a file that is none is said in one sentence."""
    here = brought_table()
    if here is None:
        _upload()
        _of_a_run()
        return
    references = here.references
    n = counted(len(references.status) - len(references.having(Status.UNKNOWN)), "element")
    st.markdown(plain(f"{references.source}: {n}. It is compared with the schemes below, and can be used in a run."))
    if st.button("Remove the table", icon=":material/close:"):
        del st.session_state[_KEY]
        st.rerun()


def table_settings() -> dict[str, str]:
    """The table as a run's settings hold it; nothing without one."""
    here = brought_table()
    if here is None:
        return {}
    references = here.references
    return {"reference_table": write_table(known_energies(references), TableFormat.MACE), "reference_table_name": references.source, "reference_table_run": here.run}


def _upload() -> None:
    sent = st.session_state.get(_SENT, 0)
    file = st.file_uploader("Table of reference energies", key=f"table_{sent}", max_upload_size=_LARGEST, help="chgnet's 94 numbers, MACE's E0s, fairchem's list by Z, MatPES documents of isolated atoms, or the references.json of a run; eV/atom. It is read as data only.")
    if file is not None:
        with sentences(stop=False):
            _keep(OwnTable(file.name, file.getvalue().decode(errors="replace")))


def _of_a_run() -> None:
    """Of a run on this machine it is known what its references were fitted on."""
    runs = {run.id: run for run in list_runs(runs_root()) if run.state() is RunState.FINISHED and run.references.exists()}
    chosen = st.selectbox("Or the references of a run", list(runs), index=None, format_func=lambda i: f"{runs[i].title} · {i}", key="table_of_run", placeholder="none") if runs else None
    if chosen is not None:
        with sentences(stop=False):
            _keep(_table_of(runs[chosen]))


def _table_of(run: RunFolder) -> OwnTable:
    found = read_references(run.references)
    return OwnTable(f"{run.id}/{run.references.name}", run.references.read_text(encoding="utf-8"), found.fitted_on, run.id)


def _keep(table: OwnTable) -> None:
    """Take the table if it is one, with a new box for the next."""
    _ = table.references
    st.session_state[_KEY] = table
    st.session_state[_SENT] = st.session_state.get(_SENT, 0) + 1
    st.rerun()
