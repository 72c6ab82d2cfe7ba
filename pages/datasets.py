"""Datasets: what is there, and bringing in more."""

import tempfile
from pathlib import Path

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.frame_card import frame_card
from pages._ui.periodic_table import periodic_table
from pages._ui.shell import page, sentences
from xfunc_core.data.home import datasets_root, typed_path
from xfunc_core.data.importing import default_name, import_file
from xfunc_core.data.library import damaged, delete_dataset, is_bundled
from xfunc_core.data.tables import dataset_table, frame_table
from xfunc_core.quantities import ENERGY, Functional, count_text

_FUNCTIONALS = {"As the file says": None} | {f.label: f for f in Functional}


def _bring_in(path: Path, name: str, title: str, functional: Functional | None) -> None:
    with st.status(f"Importing {path.name} …") as status:
        _, report = import_file(path, datasets_root(), name=name, title=title, functional=functional, progress=lambda n: status.update(label=f"Importing {path.name}: {count_text(n)} documents …"))
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


with page("Datasets", "Structures with the labels of one functional, in one format whatever they came from."):
    for line in st.session_state.pop("import_report", []):
        st.success(line)
    for sentence in damaged(datasets_root()):
        st.warning(sentence)
    found = loaders.datasets()
    st.dataframe(dataset_table(found), hide_index=True)
    with st.expander("Import data", icon=":material/upload_file:", expanded=not found):
        _import_form()

    if found:
        st.subheader("What is in it", divider="gray")
        dataset = choose_dataset("Dataset", found, "dataset", "xfunc-dft-r2scan")
        info = dataset.info
        st.caption(" · ".join(x for x in (f"{count_text(info.n_frames)} frames of {count_text(info.n_materials)} materials", info.energy_scale, info.licence, info.citation, f"from {info.source}") if x))
        selected = periodic_table(info.elements, key="dataset_elements", title="Frames that contain the element", counts=info.elements, number_format=lambda n: count_text(int(n)))
        table = frame_table(dataset, selected)
        picked = st.dataframe(table, hide_index=True, height=320, on_select="rerun", selection_mode="single-row", key="frames", column_config={ENERGY.axis: st.column_config.NumberColumn(format=f"%.{ENERGY.decimals}f")}).selection.rows
        st.caption(f"{count_text(len(table))} frames. Tick a row to see its structure.")
        if picked:
            frame_card([(dataset, int(table.index[picked[0]]))], key="dataset_frame")
        report = dataset.report()
        with st.expander(f"Left out {count_text(len(report['dropped']))} documents, masked {count_text(len(report['masked']))} labels"):
            st.dataframe(report["dropped"] or [{"reason": "Nothing was left out."}])
            st.dataframe(report["masked"] or [{"reason": "Nothing was masked."}])
        if not is_bundled(info.name):
            with st.popover("Delete this dataset", icon=":material/delete:"):
                st.markdown("Its frames and its import report go; the file it came from stays.")
                if st.button("Delete for good"):
                    delete_dataset(datasets_root(), info.name)
                    st.rerun()
