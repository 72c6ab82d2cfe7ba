"""Datasets: what is there, what is in it, and bringing in more."""

import tempfile
from pathlib import Path

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.filters import element_mode, frame_filter
from pages._ui.frame_card import frame_card
from pages._ui.periodic_table import periodic_table
from pages._ui.shell import is_dark, page, plain, sentences, show
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import datasets_root, runs_root, typed_path
from xfunc_core.data.importing import default_name, import_file
from xfunc_core.data.library import damaged, is_bundled
from xfunc_core.data.overview import COLUMNS, axis, comparison, distributions_of, page_table
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.tables import dataset_table
from xfunc_core.plots.distributions import distributions
from xfunc_core.quantities import Functional, count_text
from xfunc_core.runs.dependence import delete_unneeded

_FUNCTIONALS = {"As the file says": None} | {f.label: f for f in Functional}
_ROWS = 100
_SYSTEMS = 20


def _bring_in(path: Path, name: str, title: str, functional: Functional | None) -> None:
    with st.status(f"Importing {plain(path.name)} …") as status:
        _, report = import_file(path, datasets_root(), name=name, title=title, functional=functional, progress=lambda n: status.update(label=f"Importing {plain(path.name)}: {count_text(n)} documents …"))
        status.update(label=f"Imported {name}", state="complete")
    st.session_state["import_report"] = report.sentences()
    st.rerun()


def _import_form() -> None:
    source = st.segmented_control("From", ["Upload", "Path on this machine"], default="Upload", key="import_from") or "Upload"
    upload = st.file_uploader("MatPES file (.json, .jsonl, gzip or not)", key="upload") if source == "Upload" else None
    typed = st.text_input("Path", key="import_path", placeholder="/data/MatPES-R2SCAN-2025.2.jsonl.gz") if source != "Upload" else ""
    file_name = upload.name if upload else Path(typed).name
    left, middle, right = st.columns(3)
    name = left.text_input("Name", default_name(Path(file_name)) if file_name else "", key=f"import_name_{file_name}", help="Lower-case letters, digits, '.', '_' and '-'.")
    title = middle.text_input("Title on screen", key="import_title", placeholder="as the name")
    functional = _FUNCTIONALS[right.selectbox("Functional", list(_FUNCTIONALS), key="import_functional")]
    if st.button("Import", type="primary", icon=":material/upload_file:", disabled=not file_name):
        with sentences():
            if upload is None:
                _bring_in(typed_path(typed), name, title, functional)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    # Only the last part of the name: an upload must not choose where it is written.
                    path = Path(folder) / (Path(upload.name).name or "upload")
                    path.write_bytes(upload.getbuffer())
                    _bring_in(path, name, title, functional)


def _at_a_glance(dataset: Dataset, query: FrameQuery, wanted: Filter, other: Dataset | None) -> None:
    chosen = [dataset] if other is None else [dataset, other]
    queries, names = [query, *([loaders.query(other)] if other else [])], [d.info.title for d in chosen]
    found = distributions_of(queries, wanted)
    show(distributions(found, names, is_dark()), "distributions")
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
    st.caption(f"{count_text(n)} of {count_text(len(dataset))} frames. Tick a row to see its structure.")
    if picked and picked[0] < len(table):
        frame_card([(dataset, int(table.index[picked[0]]))], key="dataset_frame")


def _report(dataset: Dataset) -> None:
    report = dataset.report()
    with st.expander(f"Left out {count_text(len(report['dropped']))} documents, masked {count_text(len(report['masked']))} labels"):
        for note in report.get("notes", []):
            st.caption(plain(note))
        st.dataframe(report["dropped"] or [{"reason": "Nothing was left out."}])
        st.dataframe(report["masked"] or [{"reason": "Nothing was masked."}])


with page("Datasets", "Structures with the labels of one functional, in one format whatever they came from."):
    for line in st.session_state.pop("import_report", []):
        st.success(plain(line))
    for sentence in damaged(datasets_root()):
        st.warning(plain(sentence))
    found = loaders.datasets()
    st.dataframe(dataset_table(found), hide_index=True)
    with st.expander("Import data", icon=":material/upload_file:", expanded=not found):
        _import_form()

    if found:
        st.subheader("What is in it", divider="gray")
        left, right = st.columns(2)
        with left:
            dataset = choose_dataset("Dataset", found, "dataset", "xfunc-dft-r2scan")
        others = [d for d in found if d.info.name != dataset.info.name]
        beside = right.selectbox("Compare with", [None, *(d.info.name for d in others)], format_func=lambda name: next((d.info.title for d in others if d.info.name == name), "nothing"), key="compare")
        other = next((d for d in others if d.info.name == beside), None)
        info, query = dataset.info, loaders.query(dataset)
        st.caption(plain(" · ".join(x for x in (f"{count_text(info.n_frames)} frames of {count_text(info.n_materials)} materials", info.energy_scale, info.licence, info.citation, f"from {info.source}") if x)))
        mode = element_mode("frames")
        selected = periodic_table(info.elements, key="dataset_elements", title="Frames that contain the element", counts=info.elements, log=True, number_format=lambda n: count_text(int(n)))
        wanted = frame_filter(selected, mode, "frames")
        _at_a_glance(dataset, query, wanted, other)
        st.subheader("Frames", divider="gray")
        _frames(dataset, query, wanted)
        _report(dataset)
        if not is_bundled(info.name):
            with st.popover("Delete this dataset", icon=":material/delete:"):
                st.markdown("Its frames and its import report go; the file it came from stays.")
                if st.button("Delete for good"):
                    with sentences():
                        delete_unneeded(datasets_root(), runs_root(), info.name)
                    st.rerun()
