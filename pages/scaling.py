"""Scaling: how the error falls with the number of training frames, from scratch and by transfer."""

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset, choose_run
from pages._ui.shell import empty, page, sentences, show, warn
from xfunc_core.analysis import paper
from xfunc_core.analysis.laws import law_table, scaling_laws
from xfunc_core.data.home import runs_root, sweeps_root
from xfunc_core.errors import XfuncError
from xfunc_core.launch import launch_sweep
from xfunc_core.plots.scaling import scaling_figure
from xfunc_core.quantities import ENERGY, FORCE, QUANTITIES, Functional, Method, count_text, counted, duration_text, plural
from xfunc_core.runs.devices import available_devices
from xfunc_core.runs.lifecycle import new_id
from xfunc_core.runs.sweep_overview import sweep_progress, sweep_run_table
from xfunc_core.runs.sweeps import SweepRecord, list_sweeps, sweep_table
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import BUDGETS, SweepSettings, default_sizes, parse_sizes

_DEFAULT = FinetuneSettings(dataset="any")
_SECONDS = 5
_QUANTITIES = {quantity.key: quantity for quantity in QUANTITIES}


def _new_sweep() -> None:
    """The form for a new sweep, with what it will cost."""
    found = loaders.datasets(Functional.R2SCAN) + loaders.datasets(Functional.PBE)
    left, right = st.columns(2)
    with left:
        dataset = choose_dataset("Learn from", found, "sweep_dataset", "xfunc-dft-r2scan")
    base = FinetuneSettings(dataset=dataset.info.name)
    methods = right.multiselect("Methods", list(Method), [Method.M1, Method.M4], format_func=lambda m: m.label, key="sweep_methods")
    sizes = left.text_input("Training frames", ", ".join(map(str, default_sizes(loaders.preview(base, dataset).plan.n_pool))), key=f"sizes_{dataset.info.name}", help="Separated by commas. Each subset holds the smaller ones; materials come whole, so the number used may differ a little.")
    n_seeds = right.number_input("Seeds", 1, 20, 2, key="sweep_seeds", help="Repetitions of each size, with other subsets, weights and order of frames.")
    epochs = left.number_input("Epochs of the largest size", 1, 10_000, _DEFAULT.epochs, key="sweep_epochs")
    budget = right.selectbox("Training is kept comparable so that", list(BUDGETS), format_func=BUDGETS.get, key="sweep_budget")
    device = left.selectbox("Device", available_devices(), format_func=str.upper, key="sweep_device")
    settings = SweepSettings(
        FinetuneSettings(dataset=dataset.info.name, epochs=int(epochs), device=device), tuple(m.value for m in methods), parse_sizes(sizes), int(n_seeds), budget
    )
    # A second click on the way finds the id of the first, so that it cannot start a second sweep.
    sweep_id = st.session_state.setdefault("next_sweep_id", new_id({"method": "sweep"}))
    planned = loaders.sweep_preview(settings, dataset, sweep_id)
    st.markdown(f"**{count_text(len(planned.runs))}** {plural(len(planned.runs), 'run')} on the same validation and test materials, about **{duration_text(planned.estimate.seconds)}** in all{'' if planned.estimate.measured_here else ' (a first guess: this machine has not finished a run yet)'}.")
    warn(planned.warnings())
    if st.button("Launch the sweep", type="primary", icon=":material/rocket_launch:"):
        try:
            launch_sweep(planned, sweeps_root(), runs_root())
        except XfuncError:
            del st.session_state["next_sweep_id"]  # other settings must not find the runs of the sweep that failed
            raise
        del st.session_state["next_sweep_id"]
        st.session_state["launched_sweep"] = sweep_id
        st.rerun()


def _watch(record: SweepRecord) -> None:
    """The curves; redrawn while runs of the sweep are active."""
    with sentences():
        runs = sweep_table(record, runs_root())
        progress = sweep_progress(runs)
        st.progress(progress.fraction, progress.sentence)
        left, right = st.columns([3, 2], vertical_alignment="center")
        there = [q.key for q in QUANTITIES if runs[q.key].notna().any()] or [ENERGY.key]
        key = left.segmented_control("Quantity", there, default=ENERGY.key, format_func=lambda k: _QUANTITIES[k].label, key="sweep_quantity", label_visibility="collapsed", required=True)
        quantity = _QUANTITIES[key]
        overlay = right.toggle("Show the paper's points", value=True, key="paper_overlay", disabled=quantity not in (ENERGY, FORCE), help=paper.FIG6_LABEL)
        laws = scaling_laws(runs, quantity)
        show(lambda dark: scaling_figure(laws.table, laws.bands, quantity, overlay, dark), "scaling")
        if laws.by_method:
            st.dataframe(law_table(laws, quantity), hide_index=True)
        warn([*laws.sentences(quantity), *laws.caveats, f"In this sweep {BUDGETS.get(record.budget, record.budget)}. Errors are test MAEs; references are fitted on each subset alone, for M1 and M4 by the same scheme. The subsets take materials with new elements first, so those of several seeds overlap and the scatter understates that of random samples."])
        with st.expander(f"The {counted(len(runs), 'run')} behind it"):
            st.dataframe(sweep_run_table(runs), hide_index=True)
            st.download_button("Download (CSV)", runs.assign(state=[s.value for s in runs["state"]]).to_csv(index=False), f"{record.id}.csv", "text/csv", icon=":material/download:")
    if not progress.is_active and st.session_state.get("active_sweep") == record.id:
        del st.session_state["active_sweep"]
        st.rerun()
    if progress.is_active:
        st.session_state["active_sweep"] = record.id


with page("Scaling", "How many frames of the better functional do you need? Error against training frames, from scratch and by transfer."):
    sweeps = list_sweeps(sweeps_root())
    if "launched_sweep" in st.session_state:  # the box that chooses a sweep takes a choice only before it is drawn
        st.session_state["sweep"] = st.session_state.pop("launched_sweep")
    if sweeps:
        by_id = {record.id: record for record in sweeps}
        record = by_id[choose_run("Sweep", list(by_id), [f"{r.title} · {r.id}" for r in sweeps], "sweep")]
        active = sweep_progress(sweep_table(record, runs_root())).is_active
        st.fragment(_watch, run_every=_SECONDS if active else None)(record)
    else:
        empty("trending_down", "No sweep yet. The default one trains from scratch and by transfer on four sizes, twice each.")
    with st.expander("New sweep", icon=":material/add:", expanded=not sweeps), sentences():
        if loaders.datasets():
            _new_sweep()
        else:
            empty("database", "There is no dataset to learn from yet.", "pages/datasets.py", "Import data")
