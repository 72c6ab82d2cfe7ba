"""What can be done with the frames of a dataset: export them, save them as a subset, check the dataset."""

from __future__ import annotations

import io
import json

import streamlit as st

from pages._ui import loaders
from pages._ui.shell import plain, sentences, warn
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.exporting import ExportFormat, export, left_out_by
from xfunc_core.data.home import datasets_root, exports_root, typed_path
from xfunc_core.data.parts import official_split, save_parts
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.subsets import save_subset, split_rows
from xfunc_core.quantities import count_text, counted

_DOWNLOADED = 20_000
"""Frames up to which a file goes through the browser; it is made in memory. More are written to a file here."""


def export_frames(dataset: Dataset, query: FrameQuery, wanted: Filter) -> None:
    """Write the filtered frames to a file in one of the field's formats."""
    n = query.count(wanted)
    with st.popover(f"Export {counted(n, 'frame')}", icon=":material/download:", disabled=not n):
        kind = st.radio("Format", list(ExportFormat), format_func=lambda f: f.label, captions=[f.sentence for f in ExportFormat], key="export_format")
        warn(list(filter(None, [left_out_by(dataset, query.rows(wanted), kind)])))
        name = f"{dataset.info.name}{kind.suffix}"
        if n <= _DOWNLOADED:
            st.download_button("Download", lambda: _as_bytes(dataset, query, wanted, kind), name, icon=":material/download:")
        elif st.button("Write the file", icon=":material/save:", help=f"More than {counted(_DOWNLOADED, 'frame')} are written here, not sent to the browser."):
            with sentences(stop=False), st.status("Writing …") as status:
                exports_root().mkdir(parents=True, exist_ok=True)
                export(dataset, query.rows(wanted), exports_root() / name, kind, progress=lambda done: status.update(label=f"{count_text(done)} of {counted(n, 'frame')}"))
                status.update(label=plain(f"Written to {exports_root() / name}"), state="complete")


def save_frames(dataset: Dataset, query: FrameQuery, wanted: Filter) -> None:
    """Save the filtered frames as a dataset of their own."""
    n = query.count(wanted)
    with st.popover(f"Save {counted(n, 'frame')} as a dataset", icon=":material/bookmark_add:", disabled=not n):
        name = st.text_input("Name", f"{dataset.info.name}-subset"[:64], key="subset_name", help="Lower-case letters, digits, '.', '_' and '-'.")
        title = st.text_input("Title on screen", key="subset_title", placeholder="as the name")
        st.caption(plain(wanted.words()))
        if st.button("Save", icon=":material/save:"):
            with sentences(stop=False):
                saved = save_subset(dataset, query.rows(wanted), datasets_root(), name, title, wanted.words())
                st.session_state["shown_next"] = saved.info.name  # the box above is drawn already
                st.rerun()


def split_frames(dataset: Dataset) -> None:
    """Save training, validation and test part as datasets, by material or as MatPES publishes its split."""
    with st.popover("Split", icon=":material/call_split:"):
        official = st.text_input("MatPES split file", key="split_file", placeholder="MatPES-R2SCAN-2025.1-split.json.gz", help="Path on this machine. Without one the split is by material, as fine-tuning does it.").strip()
        left, middle, right = st.columns(3)
        validation = left.number_input("Validation", 0.01, 0.5, 0.15, key="split_validation", disabled=bool(official))
        test = middle.number_input("Test", 0.01, 0.5, 0.15, key="split_test", disabled=bool(official))
        seed = right.number_input("Seed", 0, 2**31 - 1, 0, key="split_parts_seed", disabled=bool(official))
        if st.button("Save the parts", icon=":material/save:"):
            with sentences(stop=False):
                if official:
                    parts, words = official_split(typed_path(official), dataset), f"as {typed_path(official).name} says"
                else:
                    split = split_rows(dataset, float(validation), float(test), int(seed))
                    parts, words = split.parts(), f"split by material, validation {validation:g}, test {test:g}, seed {seed}"
                save_parts(dataset, parts, datasets_root(), words)
                st.rerun()


def check(dataset: Dataset) -> None:
    """Everything that may be in the way of using the dataset, on request."""
    if not st.toggle("Check every frame", key=f"check_{dataset.info.name}", help="Duplicates, missing labels, outliers, isolated atoms, mixed energies, rare elements; seconds for 400,000 frames."):
        return
    with sentences(stop=False):
        report = loaders.validation(dataset)
        (st.warning if report.warnings else st.success)(plain(report.verdict))
        st.dataframe(report.table(), hide_index=True)
        st.download_button("Report with all ids (JSON)", lambda: json.dumps(report.to_json(), indent=1), f"{dataset.info.name}-report.json", "application/json", icon=":material/download:")


def _as_bytes(dataset: Dataset, query: FrameQuery, wanted: Filter, kind: ExportFormat) -> bytes:
    target = io.BytesIO()
    export(dataset, query.rows(wanted), target, kind)
    return target.getvalue()
