"""Controls that several pages share, with the same key and the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import streamlit as st

from xfunc_core.data.dataset import Dataset


def choose_dataset(label: str, found: Sequence[Dataset], key: str, preferred: str = "", help: str | None = None, on_change: Callable[[], None] | None = None) -> Dataset:
    """A select box over datasets, remembered in the URL and across pages."""
    by_name = {dataset.info.name: dataset for dataset in found}
    names = list(by_name)
    index = names.index(preferred) if preferred in names else 0
    shown = _told_apart(names, [by_name[name].info.title for name in names])
    name = st.selectbox(label, names, index=index, format_func=shown.get, key=key, help=help, on_change=on_change, bind="query-params", persist_state="session")
    return by_name[name]


def choose_run(label: str, run_ids: Sequence[str], titles: Sequence[str], key: str) -> str:
    """A select box over runs, remembered in the URL and across pages."""
    shown = _told_apart(run_ids, titles)
    return st.selectbox(label, list(run_ids), format_func=shown.get, key=key, bind="query-params", persist_state="session")


def _told_apart(ids: Sequence[str], titles: Sequence[str]) -> dict[str, str]:
    """What each option is called; Streamlit tells options apart by their text, so a title that repeats gets its id."""
    repeated = {title for title, n in Counter(titles).items() if n > 1}
    return {i: f"{title} ({i})" if title in repeated else title for i, title in zip(ids, titles, strict=True)}
