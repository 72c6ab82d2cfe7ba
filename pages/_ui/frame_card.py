"""One frame: its structure beside its labels in one or two functionals."""

from __future__ import annotations

import streamlit as st

from pages._ui.shell import plain
from pages._ui.structure_viewer import structure_viewer
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.tables import label_table, pair_table_labels
from xfunc_core.quantities import counted


def frame_card(datasets: list[tuple[Dataset, int]], key: str) -> None:
    """Draw the structure of the first ``(dataset, row)`` and the labels of all of them side by side."""
    dataset, row = datasets[0]
    frame = dataset.table.iloc[row]
    with st.container(border=True):
        st.markdown(f"#### {plain(frame['formula'])}  \n:gray[{plain(frame['frame_id'])} · {counted(int(frame['n_atoms']), 'atom')}]")
        structure, labels = st.columns(2)
        with structure:
            structure_viewer(dataset.structure(row), key=f"{key}_{dataset.info.content_sha256[:8]}_{row}")
        labels.dataframe(label_table(datasets), hide_index=True)


def pair_card(table: PairTable, row: int) -> None:
    """Draw what a table of relaxed pairs knows of one pair; it holds no structure."""
    pair = table.frames.iloc[row]
    with st.container(border=True):
        st.markdown(f"#### {plain(pair['formula'])}  \n:gray[{plain(pair['frame_id'])} · {counted(int(pair['n_atoms']), 'atom')} · line {pair['line']} of {plain(table.info.source)}]")
        st.dataframe(pair_table_labels(table, row), hide_index=True)
