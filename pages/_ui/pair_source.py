"""Where the pairs come from: two datasets and how their frames are paired, or a table of relaxed pairs."""

from __future__ import annotations

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.shell import empty, plain
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.pairs import PairingMethod
from xfunc_core.quantities import Functional

_DATASETS = "datasets"


def choose_source() -> loaders.SourceKey | None:
    """Controls that say where pairs come from, remembered in the URL; None where there is nothing to choose, and the page says so."""
    tables = {table.info.name: table for table in loaders.pair_tables()}
    pbe_sets, r2scan_sets = loaders.datasets(Functional.PBE), loaders.datasets(Functional.R2SCAN)
    paired = bool(pbe_sets and r2scan_sets)
    if not paired and not tables:
        empty("database", "Explore needs a PBE and an r²SCAN dataset of the same structures, or a table of relaxed pairs.", "pages/datasets.py", "Import data")
        return None
    chosen = _DATASETS
    if tables:
        options = [*([_DATASETS] if paired else []), *tables]
        chosen = st.selectbox("Pairs", options, format_func=lambda name: "Of two datasets" if name == _DATASETS else f"{tables[name].info.title} (relaxed pairs)", key="pairs", bind="query-params", persist_state="session")
    return _two_datasets(pbe_sets, r2scan_sets) if chosen == _DATASETS else loaders.of_table(tables[chosen])


def _two_datasets(pbe_sets: list[Dataset], r2scan_sets: list[Dataset]) -> loaders.SourceKey:
    left, middle, right = st.columns(3)
    with left:
        r2scan = choose_dataset("r²SCAN data", r2scan_sets, "r2scan", "xfunc-dft-r2scan", on_change=_take_partner)
    with middle:
        pbe = choose_dataset("PBE data", pbe_sets, "pbe", loaders.partner(r2scan, pbe_sets))
    how = right.selectbox("Paired by", list(PairingMethod), format_func=lambda m: m.label, key="pairing", help="How a frame finds its partner in the other functional.", bind="query-params", persist_state="session")
    if how is not PairingMethod.BY_ID:
        st.caption(plain(how.sentence))
    return loaders.of_datasets(pbe, r2scan, how)


def _take_partner() -> None:
    """Other r²SCAN data bring the PBE data of the same frames with them."""
    chosen = next(d for d in loaders.datasets(Functional.R2SCAN) if d.info.name == st.session_state["r2scan"])
    st.session_state["pbe"] = loaders.partner(chosen, loaders.datasets(Functional.PBE))
