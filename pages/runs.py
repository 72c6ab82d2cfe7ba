"""Runs: what is waiting, running and done, with live curves."""

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_run
from pages._ui.shell import empty, page, plain, sentences, show
from xfunc_core.data.home import runs_root
from xfunc_core.plots.learning import learning_curves
from xfunc_core.quantities import duration_text
from xfunc_core.runs.behind import leak_of
from xfunc_core.runs.dispatcher import ensure_dispatcher
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.overview import progress_of, run_table
from xfunc_core.runs.state import RunState

_SECONDS = 3


def _act(run: RunFolder) -> None:
    """The buttons that fit the run's state."""
    state = run.state()
    left, middle, right, _ = st.columns([1, 1, 1, 2])
    if state.is_active and left.button("Cancel", icon=":material/stop_circle:", disabled=run.cancel_requested()):
        run.request_cancel()
        st.rerun()
    if state in (RunState.LOST, RunState.FAILED, RunState.CANCELLED) and left.button("Resume", icon=":material/play_arrow:", help="Goes on from the last finished epoch."):
        run.retry()
        ensure_dispatcher(runs_root())
        st.rerun()
    if state is RunState.FINISHED and left.button("See results", type="primary", icon=":material/target:"):
        st.session_state["result_run"] = run.id
        st.switch_page("pages/results.py", query_params={})  # without it Streamlit refuses while the URL holds a control
    if not state.is_active:
        with middle.popover("Delete", icon=":material/delete:"):
            st.markdown("Its checkpoint, model and results go with it.")
            if st.button("Delete for good", key=f"delete_{run.id}"):
                run.delete()
                st.rerun()
    with right.popover("Rename", icon=":material/edit:"):
        title = st.text_input("Title", run.title, key=f"title_{run.id}")
        if st.button("Save", key=f"save_{run.id}"):
            run.rename(title)
            st.rerun()


def _table() -> None:
    """All runs; redrawn while one is active."""
    runs = list_runs(runs_root())
    st.dataframe(run_table(runs), hide_index=True, height="content" if len(runs) < 8 else 320)


def _watch(run_id: str) -> None:
    """The part that is redrawn while a run is active."""
    with sentences():
        run = loaders.run(run_id)
        state, progress = run.state(), progress_of(run)
        if state is RunState.BROKEN:
            st.error(plain(run.explanation()), icon=":material/error:")
            return
        st.markdown(f"**{state.label}** · {plain(run.explanation())}")
        if said := leak_of(run):
            st.warning(plain(said), icon=":material/warning:")
        if state.is_active:
            st.progress(progress.fraction, f"Epoch {progress.epoch} of {progress.epochs} · {duration_text(progress.seconds)} so far, about {duration_text(progress.seconds_left)} left" if progress.epoch else "Waiting for the first epoch …")
        if progress.records:
            show(lambda dark: learning_curves(progress.records, dark), f"curves_{run_id}")
        with st.expander("Log", expanded=state in (RunState.FAILED, RunState.LOST)):
            st.code(run.log_tail() or "Nothing yet.", language=None)
    if st.session_state.get(f"state_{run_id}", state) is not state:
        st.session_state[f"state_{run_id}"] = state
        st.rerun()
    st.session_state[f"state_{run_id}"] = state


with page("Runs", "Every run is a folder on disk; it goes on without the browser and without the app."):
    runs = list_runs(runs_root())
    if not runs:
        empty("model_training", "No run yet. The default one takes a minute or two on two cores.", "pages/finetune.py", "Launch a fine-tuning")
        st.stop()
    active = any(run.state().is_active for run in runs)
    st.fragment(_table, run_every=_SECONDS if active else None)()
    chosen = choose_run("Run", [run.id for run in runs], [run.title for run in runs], "run")
    run = loaders.run(chosen)
    _act(run)
    active = run.state().is_active
    live = st.toggle("Live", value=True, help=f"Redraw every {_SECONDS} s while the run is active.") if active else False
    st.fragment(_watch, run_every=_SECONDS if live else None)(chosen)
