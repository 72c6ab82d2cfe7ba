"""Results: what a finished run predicts, against DFT, before and after."""

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_run
from pages._ui.frame_card import frame_card
from pages._ui.shell import clicked_frame, empty, page, plain, sentences, show
from xfunc_core.data.home import datasets_root, runs_root
from xfunc_core.data.library import open_dataset
from xfunc_core.launch import settings_of
from xfunc_core.plots.parity import parity_figure
from xfunc_core.quantities import Method, Quantity, count_text, counted
from xfunc_core.runs.behind import leak_of
from xfunc_core.runs.comparison import comparable, comparison_table
from xfunc_core.runs.folder import list_runs
from xfunc_core.runs.results import PARTS, STAGES, RunResults
from xfunc_core.runs.state import RunState

_BEFORE = ["start", "zero_shot"]


def _metrics(results: RunResults, part: str, before: str) -> None:
    shown = results.labelled(part)
    for column, quantity in zip(st.columns(len(shown)), shown, strict=True):
        was, now = results.error(before, quantity, part), results.error("trained", quantity, part)
        column.metric(f"{quantity.label} MAE ({quantity.error_unit})", quantity.error(now["mae"]), f"before: {quantity.error(was['mae'])}", delta_color="off", delta_arrow="off", border=True, help=f"N = {count_text(now['n'])}; RMSE {quantity.error_with_unit(now['rmse'])}.")


def _leak(results: RunResults) -> None:
    if said := leak_of(results.folder):
        st.warning(plain(said), icon=":material/warning:")


def _parity(results: RunResults, quantity: Quantity, part: str, before: str) -> None:
    values = [results.values(stage, quantity, part) for stage in ("label", before, "trained")]
    frames, labels = results.frame_rows(quantity, part), (STAGES[before], STAGES["trained"])
    row = clicked_frame(show(lambda dark: parity_figure(quantity, *values, labels, frames, dark), f"parity_{quantity.key}_{part}_{before}", clickable=True))
    frame_id = None if row is None else results.frame_id(row, part)  # a click may be left from another run
    if frame_id is None:
        st.caption("Click a point to see its structure.")
        return
    with sentences():
        _frame(results, frame_id, f"result_{quantity.key}")


def _frame(results: RunResults, frame_id: str, key: str) -> None:
    """The frame of that id as the dataset holds it now, which may not be what the run learnt from."""
    dataset = open_dataset(datasets_root(), settings_of(results.folder).dataset)
    row = dataset.row_of(frame_id)
    if row is None:
        st.info(plain(f"The dataset {dataset.info.name} has changed since this run and no longer holds the frame {frame_id}."))
        return
    if results.content_sha256 not in (None, dataset.info.content_sha256):
        st.info(plain(f"The dataset {dataset.info.name} has changed since this run: shown is what it holds now under the id {frame_id}."))
    frame_card([(dataset, row)], key=key)


def _downloads(results: RunResults, part: str) -> None:
    run = results.folder
    with st.container(horizontal=True):
        st.download_button("Energies (CSV)", results.frame_table(part).to_csv(index=False), f"{run.id}-{part}.csv", "text/csv", icon=":material/download:")
        st.download_button("Errors (JSON)", run.metrics.read_bytes, f"{run.id}-metrics.json", "application/json", icon=":material/download:")
        st.download_button("References (JSON)", run.references.read_bytes, f"{run.id}-references.json", "application/json", icon=":material/download:")
        st.download_button("Model (chgnet checkpoint)", run.model.read_bytes, f"{run.id}.pth.tar", icon=":material/download:", help="Opens with chgnet: CHGNet.from_file(path).")


with page("Results", "What a run's model says about materials left out of its fine-tuning, against DFT: before and after."):
    finished = sorted((run for run in list_runs(runs_root()) if run.state() is RunState.FINISHED), key=lambda run: bool(run.sweep))  # single runs first
    if not finished:
        empty("target", "No run has finished yet.", "pages/finetune.py", "Launch a fine-tuning")
        st.stop()
    left, middle, right = st.columns([3, 3, 2])
    with left:
        results = loaders.results(loaders.run(choose_run("Run", [run.id for run in finished], [run.title for run in finished], "result_run")))
    before = middle.selectbox("Before", _BEFORE, format_func=STAGES.get, key="before", help="The pretrained model as it is, or with the references this run starts from: the rest is what training did.")
    part = right.selectbox("Frames", list(PARTS), format_func=PARTS.get, key="part")
    settings, metrics = settings_of(results.folder), results.metrics
    st.caption(
        f"{Method(settings.method).label} · {plain(settings.dataset)} · {count_text(metrics['n_frames']['train'])} training, {count_text(metrics['n_frames']['validation'])} validation "
        f"and {counted(metrics['n_frames']['test'], 'test frame')}, split by material · best epoch {metrics['best_epoch']} of {settings.epochs}"
    )
    shown = results.labelled(part)
    if not shown:
        empty("label_off", f"No {PARTS[part].lower()} frame of this run has a label to compare with.")
        st.stop()
    _metrics(results, part, before)
    st.caption(plain(results.share_of_references(part)))
    _leak(results)
    for tab, quantity in zip(st.tabs([q.label for q in shown]), shown, strict=True):
        with tab:
            _parity(results, quantity, part, before)
    st.subheader("Errors", divider="gray")
    st.dataframe(results.error_table(part), hide_index=True)
    if metrics["left_out"]:
        with st.expander(f"{counted(len(metrics['left_out']), 'frame was', 'frames were')} left out because CHGNet cannot take them"):
            st.dataframe(metrics["left_out"], hide_index=True)
    _downloads(results, part)

    same = comparable(map(loaders.results, finished), results)
    if len(same) > 1:
        st.subheader("Beside the other runs on this dataset", divider="gray")
        st.dataframe(comparison_table(same, part), hide_index=True)
        st.caption("Errors of the fine-tuned models. They compare only where the split seed and the fractions are the same.")
