"""The tables of relaxed pairs that there are: what is in them, and the way to look at them or be rid of them."""

from __future__ import annotations

import streamlit as st

from pages._ui import loaders
from pages._ui.shell import plain, sentences
from xfunc_core.data.home import pair_tables_root
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_import import damaged_pair_tables, delete_pair_table
from xfunc_core.data.tables import pair_table_overview


def pair_tables() -> None:
    """List the tables, and say of those that cannot be opened what is wrong; nothing where there are none."""
    for sentence in damaged_pair_tables(pair_tables_root()):
        st.warning(plain(sentence))
    found = loaders.pair_tables()
    if not found:
        return
    st.subheader("Tables of relaxed pairs", divider="gray")
    st.dataframe(pair_table_overview(found), hide_index=True)
    with st.container(horizontal=True):
        st.page_link("pages/explore.py", label="Explore them", icon=":material/scatter_plot:")
        _delete(found)


def _delete(found: list[PairTable]) -> None:
    with st.popover("Delete a table", icon=":material/delete:"):
        titles = {table.info.name: table.info.title for table in found}
        name = st.selectbox("Table", list(titles), format_func=titles.get, key="pair_table")
        st.markdown("Its rows and its import report go; the file it came from stays.")
        if st.button("Delete this table for good"):
            with sentences():
                delete_pair_table(pair_tables_root(), name)
            st.rerun()
