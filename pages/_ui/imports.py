"""Bringing data in: a form, and the imports that go on in the background with what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._ui.shell import plain, sentences
from xfunc_core.data.download import KNOWN
from xfunc_core.data.home import imports_root, typed_path
from xfunc_core.data.importing import READERS, default_name
from xfunc_core.data.materials_project import KEY, has_key, parse_systems
from xfunc_core.data.pair_table_columns import PATTERNS
from xfunc_core.data.pair_table_import import FORMAT as PAIR_TABLE
from xfunc_core.import_overview import ImportStatus, import_status
from xfunc_core.imports import ImportRequest, dismiss, restart, serve_imports, submit_import, submit_upload
from xfunc_core.quantities import Functional
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.state import RunState

UPLOAD, TYPED, DOWNLOAD, PROJECT = "Upload", "Path on this machine", "MatPES from Hugging Face", "Materials Project"
_FUNCTIONALS = {"As the file says": ""} | {f.label: f.value for f in Functional}
_FORMATS = {"As the content says": ""} | {name: name for name in READERS} | {"Table of relaxed pairs": PAIR_TABLE}
_ENERGIES = {"As they look": "", "Totals": "total", "Per atom": "per-atom"}
_SECONDS = 2
_SHOWN = 5  # sentences of a report


def import_panel(*, expanded: bool = False) -> None:
    """The form, folded away unless ``expanded``, and below it the imports that wait, run or have ended."""
    with st.expander("Import data", icon=":material/upload_file:", expanded=expanded):
        import_form()
    import_list()


def import_form() -> None:
    """Choose a file or another source, and put its import into the queue."""
    st.caption("Kept as total energies in eV, forces in eV/Å, stresses in GPa with tension positive (VASP's kbar × −0.1, order xx yy zz yz xz xy), moments in μB. What was assumed, left out or masked is told when the import ends.")
    source = st.segmented_control("From", [UPLOAD, TYPED, DOWNLOAD, PROJECT], default=UPLOAD, key="import_from") or UPLOAD
    with sentences(stop=False):
        if source == DOWNLOAD:
            _download_form()
        elif source == PROJECT:
            _project_form()
        else:
            _file_form(source)


def import_list() -> None:
    """The imports, redrawn by themselves while one waits or runs."""
    active = any(job.state().is_active for job in list_runs(imports_root()))
    st.fragment(_imports, run_every=_SECONDS if active else None)()


def _file_form(source: str) -> None:
    n_sent = st.session_state.get("uploads_sent", 0)
    upload = st.file_uploader("File", key=f"upload_{n_sent}" if n_sent else "upload", help="It is kept in memory until it has arrived; give the path of a large file instead.") if source == UPLOAD else None
    typed = st.text_input("Path of a file or folder", key="import_path", placeholder="/data/MatPES-R2SCAN-2025.2.jsonl.gz").strip() if source == TYPED else ""
    file_name = upload.name if upload else Path(typed).name
    entries = _names(default_name(Path(file_name)) if file_name else "", file_name)
    left, middle, right = st.columns(3)
    entries["functional"] = _FUNCTIONALS[left.selectbox("Functional", list(_FUNCTIONALS), key="import_functional")]
    entries["format"] = _FORMATS[middle.selectbox("Format", list(_FORMATS), key="import_format")]
    entries["energies"] = _ENERGIES[right.selectbox("Energies", list(_ENERGIES), key="import_energies", help="Totals and energies per atom are told apart where the file allows it; say it where xfunc asks for it.")]
    if entries["format"] == PAIR_TABLE:
        entries["columns"] = st.text_area("Columns whose names are not recognised", key="import_columns", placeholder="energy_per_atom_pbe=my PBE column", help=f"One a line, ROLE=NAME, with a role of {', '.join(PATTERNS)}.")
    if _wanted(ready=bool(file_name)):
        path = str(typed_path(typed)) if upload is None else file_name
        request = ImportRequest(path=path, **entries)
        if upload is None:
            submit_import(imports_root(), request)
        else:
            submit_upload(imports_root(), request, upload)
            st.session_state["uploads_sent"] = n_sent + 1  # a new widget: the old one would keep the file in memory
        st.rerun()


def _download_form() -> None:
    title = st.selectbox("Release", list(KNOWN), key="import_download")
    entries = _names(default_name(Path(KNOWN[title].stem)), title)
    st.caption("Up to 2.3 GB. A download that breaks off goes on where it stopped when it is restarted.")
    if _wanted():
        submit_import(imports_root(), ImportRequest(download=title, **entries))
        st.rerun()


def _project_form() -> None:
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    typed = left.text_input("Chemical systems", key="import_systems", placeholder="Li-Fe-O, Na-Cl")
    within = middle.toggle("And all systems within", key="import_within", help="Li-O also asks for Li and O.")
    functional = right.selectbox("Functional", list(Functional), format_func=lambda f: f.label, key="import_project_functional")
    entries = _names(default_name(Path(f"mp-{typed}-{functional.value}")) if typed else "", typed)
    if not has_key():
        st.info(f"The Materials Project wants a key: set {KEY} before xfunc is started. It is neither stored nor logged.", icon=":material/key:")
    if _wanted(ready=bool(typed.strip()) and has_key()):
        submit_import(imports_root(), ImportRequest(systems=parse_systems(typed, subsystems=within), functional=functional.value, **entries))
        st.rerun()


def _names(suggested: str, key: str) -> dict[str, Any]:
    """Name and title of the dataset, and whether it may take another's place."""
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    name = left.text_input("Name", suggested, key=f"import_name_{key}", help="Lower-case letters, digits, '.', '_' and '-'.")
    title = middle.text_input("Title on screen", key="import_title", placeholder="as the name")
    return {"name": name, "title": title, "replace": right.toggle("Replace a dataset of that name", key="import_replace")}


def _wanted(*, ready: bool = True) -> bool:
    return st.button("Import", type="primary", icon=":material/upload_file:", disabled=not ready)


def _imports() -> None:
    """The part that is redrawn while an import waits or runs."""
    jobs = list_runs(imports_root())
    with sentences():
        serve_imports(imports_root())
    found = [import_status(job) for job in jobs]
    for job, status in zip(jobs, found, strict=True):
        with st.container(border=True, key=f"import_{job.id}"):
            _import(job, status)
    _redraw_page_on_change([(job.id, status.state.value) for job, status in zip(jobs, found, strict=True)])


def _redraw_page_on_change(states: Sequence[tuple[str, str]]) -> None:
    """What ended changes the rest of the page, and whether this part is redrawn by itself."""
    if st.session_state.setdefault("import_states", states) != states:
        st.session_state["import_states"] = states
        st.rerun()


def _import(job: RunFolder, status: ImportStatus) -> None:
    left, middle, right = st.columns([5, 1.4, 1.4], vertical_alignment="center")
    left.markdown(f"**{plain(status.title)}** · {status.state.label}" + (f" · from {plain(status.source)}" if status.source else ""))
    with sentences():
        if status.state.is_active and middle.button("Cancel", icon=":material/stop_circle:", key=f"cancel_{job.id}", disabled=job.cancel_requested()):
            job.request_cancel()
            st.rerun()
        if status.state.can_retry and middle.button("Restart", icon=":material/restart_alt:", key=f"restart_{job.id}", help="It starts over; a download goes on."):
            restart(job)
            st.rerun()
        if status.state.is_over and right.button("Dismiss", icon=":material/close:", key=f"dismiss_{job.id}", help="Takes it off this list, with its upload; a dataset that it made stays."):
            dismiss(job)
            st.rerun()
    _words(status)


def _words(status: ImportStatus) -> None:
    if status.state is RunState.RUNNING:
        st.progress(status.progress.bar, plain(status.progress.words()))
    elif status.state is RunState.FINISHED:
        st.success(plain(status.report[0] if status.report else status.sentence))
        for sentence in status.report[1:_SHOWN]:
            st.caption(plain(sentence))
        if status.report[_SHOWN:]:
            with st.expander("The rest of the report"):
                for sentence in status.report[_SHOWN:]:
                    st.caption(plain(sentence))
    elif status.state in (RunState.FAILED, RunState.BROKEN):
        st.error(plain(status.sentence), icon=":material/error:")
    else:
        st.caption(plain(status.sentence))
