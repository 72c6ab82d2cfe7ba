"""Controls that several pages share, with the same key and the same words."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from xfunc_core.data.dataset import Dataset


def choose_dataset(label: str, found: Sequence[Dataset], key: str, preferred: str = "", help: str | None = None) -> Dataset:
    """A select box over datasets, remembered in the URL and across pages."""
    by_name = {dataset.info.name: dataset for dataset in found}
    names = list(by_name)
    index = names.index(preferred) if preferred in names else 0
    name = st.selectbox(label, names, index=index, format_func=lambda n: by_name[n].info.title, key=key, help=help, bind="query-params", persist_state="session")
    return by_name[name]


def choose_run(label: str, run_ids: Sequence[str], titles: Sequence[str], key: str) -> str:
    """A select box over runs, remembered in the URL and across pages."""
    shown = dict(zip(run_ids, titles, strict=True))
    return st.selectbox(label, list(run_ids), format_func=shown.get, key=key, bind="query-params", persist_state="session")
