"""Datasets: what is there, what is in it, and bringing in more."""

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.filters import element_mode, frame_filter
from pages._ui.frame_actions import check, export_frames, save_frames, split_frames
from pages._ui.frame_card import frame_card
from pages._ui.imports import import_panel
from pages._ui.pair_tables import pair_tables
from pages._ui.periodic_table import periodic_table
from pages._ui.shell import page, plain, sentences, show
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import datasets_root, runs_root
from xfunc_core.data.library import damaged, is_bundled
from xfunc_core.data.overview import COLUMNS, axis, comparison, distributions_of, page_table
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.tables import dataset_table
from xfunc_core.orphaned_predictions import delete_orphaned_predictions
from xfunc_core.plots.distributions import distributions
from xfunc_core.quantities import count_text, counted
from xfunc_core.runs.dependence import delete_unneeded

_ROWS = 100
_SYSTEMS = 20


def _at_a_glance(dataset: Dataset, query: FrameQuery, wanted: Filter, other: Dataset | None) -> None:
    chosen = [dataset] if other is None else [dataset, other]
    queries, names = [query, *([loaders.query(other)] if other else [])], [d.info.title for d in chosen]
    found = distributions_of(queries, wanted)
    show(lambda dark: distributions(found, names, dark), "distributions")
    left, right = st.columns(2)
    with left:
        st.dataframe(comparison(queries, names, wanted))
    systems = query.chemical_systems(wanted, _SYSTEMS)
    right.dataframe(systems.rename(columns={"chemical_system": "Chemical system", "n_frames": "Frames", "n_materials": "Materials"}), hide_index=True, height=280)


def _frames(dataset: Dataset, query: FrameQuery, wanted: Filter) -> None:
    n = query.count(wanted)
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    order = left.selectbox("Sorted by", ["row_index", "formula", *COLUMNS], format_func=lambda k: {"row_index": "Order in the file", "formula": "Formula"}.get(k) or axis(COLUMNS[k]), key="frames_order")
    descending = middle.toggle("Largest first", key="frames_descending")
    last = max(1, -(-n // _ROWS))
    number = right.number_input(f"Page of {count_text(last)}", 1, last, 1, key=f"frames_page_{last}")
    table = page_table(query, wanted, order, descending, (int(number) - 1) * _ROWS, _ROWS)
    formats = {axis(c): st.column_config.NumberColumn(format=f"%.{c.decimals}f") for c in COLUMNS.values()}
    picked = st.dataframe(table, hide_index=True, height=350, on_select="rerun", selection_mode="single-row", key="frames", column_config=formats).selection.rows
    st.caption(f"{count_text(n)} of {counted(len(dataset), 'frame')}. Tick a row to see its structure.")
    if picked and picked[0] < len(table):
        frame_card([(dataset, int(table.index[picked[0]]))], key="dataset_frame")


def _delete(dataset: Dataset) -> None:
    with st.popover("Delete this dataset", icon=":material/delete:"):
        st.markdown("Its frames, its import report and what the pretrained network said of it go; the file it came from stays.")
        if st.button("Delete for good"):
            with sentences():
                delete_unneeded(datasets_root(), runs_root(), dataset.info.name)
                delete_orphaned_predictions(datasets_root())
            st.rerun()


def _report(dataset: Dataset) -> None:
    report = dataset.report()
    with st.expander(f"Left out {counted(len(report['dropped']), 'document')}, masked {counted(len(report['masked']), 'label')}"):
        for note in report.get("notes", []):
            st.caption(plain(note))
        st.dataframe(report["dropped"] or [{"reason": "Nothing was left out."}])
        st.dataframe(report["masked"] or [{"reason": "Nothing was masked."}])


with page("Datasets", "Structures with the labels of one functional, in one format whatever they came from."):
    for sentence in damaged(datasets_root()):
        st.warning(plain(sentence))
    found = loaders.datasets()
    st.dataframe(dataset_table(found), hide_index=True)
    import_panel(expanded=not found)
    pair_tables()

    if found:
        st.subheader("What is in it", divider="gray")
        left, right = st.columns(2)
        if "shown_next" in st.session_state:
            st.session_state["dataset"] = st.session_state.pop("shown_next")
        with left:
            dataset = choose_dataset("Dataset", found, "dataset", "xfunc-dft-r2scan")
        others = [d for d in found if d.info.name != dataset.info.name]
        beside = right.selectbox("Compare with", [None, *(d.info.name for d in others)], format_func=lambda name: next((d.info.title for d in others if d.info.name == name), "nothing"), key="compare")
        other = next((d for d in others if d.info.name == beside), None)
        info, query = dataset.info, loaders.query(dataset)
        st.caption(plain(" · ".join(x for x in (f"{counted(info.n_frames, 'frame')} of {counted(info.n_materials, 'material')}", info.energy_scale, info.licence, info.citation, f"from {info.source}") if x)))
        mode = element_mode("frames")
        selected = periodic_table(info.elements, key="dataset_elements", title="Frames that contain the element", counts=info.elements, log=True, number_format=lambda n: count_text(int(n)))
        wanted = frame_filter(selected, mode, "frames")
        _at_a_glance(dataset, query, wanted, other)
        st.subheader("Frames", divider="gray")
        _frames(dataset, query, wanted)
        with st.container(horizontal=True):
            export_frames(dataset, query, wanted)
            save_frames(dataset, query, wanted)
            split_frames(dataset)
            if not is_bundled(info.name):
                _delete(dataset)
        st.subheader("Can it be trusted?", divider="gray")
        check(dataset)
        _report(dataset)
