"""Fine-tune: choose data and method, see what will happen, launch."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.lab_brought import brought_table, table_settings
from pages._ui.lab_split import split_controls, take_over
from pages._ui.shell import empty, page, plain, warn
from xfunc_core.data.home import runs_root
from xfunc_core.errors import XfuncError
from xfunc_core.launch import Preview
from xfunc_core.quantities import Functional, Method, count_text, counted, duration_text, plural
from xfunc_core.references.missing import MissingReference
from xfunc_core.references.schemes import Scheme
from xfunc_core.runs.devices import available_devices
from xfunc_core.runs.dispatcher import submit
from xfunc_core.runs.lifecycle import new_id
from xfunc_core.training.settings import MOST_PROCESSES, FinetuneSettings

_DEFAULT = FinetuneSettings(dataset="any")
_BY_ITSELF = "by itself"
_BATCHES = {"count": "Equal number of frames", "cost": "Equal cost"}
_PRECISIONS = {"float32": "float32", "tf32": "TF32"}
_WEIGHTS = ("energy", "force", "stress", "magmom")


def _controls() -> FinetuneSettings:
    found = loaders.datasets(Functional.R2SCAN) + loaders.datasets(Functional.PBE)
    dataset = choose_dataset("Learn from", found, "dataset", "xfunc-dft-r2scan", help="Fine-tuning aims at this dataset's functional.")
    st.session_state.setdefault("method", Method.M4)  # the lab may have put one there, which Streamlit wants to be the only default
    method = st.radio("Method", list(Method), format_func=lambda m: m.label, captions=[m.sentence for m in Method], key="method", help="AtomRef is CHGNet's name for the elemental reference energies: what each element adds to the energy of any structure.")
    references = _references(method)
    left, right = st.columns(2)
    chosen = {
        "epochs": int(left.number_input("Epochs", 1, 10_000, _DEFAULT.epochs, key="epochs")),
        "learning_rate": float(right.number_input("Learning rate", 1e-6, 1.0, _DEFAULT.learning_rate, format="%.1e", key="learning_rate")),
        "batch_size": int(left.number_input("Batch size", 1, 1024, _DEFAULT.batch_size, key="batch_size")),
        "seed": int(right.number_input("Seed", 0, 2**31 - 1, 0, key="seed", help="Of random weights (M1) and of the order of frames.")),
        "device": left.selectbox("Device", available_devices(), format_func=str.upper, key="device"),
    }
    with st.expander("Split", icon=":material/call_split:"):
        split = split_controls()
    with st.expander("References in detail", icon=":material/science:"):
        references |= _reference_details(FinetuneSettings(dataset=dataset.info.name, method=method.value, **references))
    with st.expander("Loss", icon=":material/functions:"):
        loss = _loss()
    with st.expander("Computing", icon=":material/memory:"):
        computing = _computing(chosen["device"])
    return FinetuneSettings(dataset=dataset.info.name, method=method.value, **references, **chosen, **split, **loss, **computing)


def _references(method: Method) -> dict[str, Any]:
    """The scheme, and the table that goes with it."""
    schemes = [s for s in Scheme if s is not Scheme.KEEP and (s is not Scheme.TABLE or brought_table())]
    if st.session_state.get("references") not in schemes:
        st.session_state["references"] = Scheme(_DEFAULT.references)
    scheme = st.selectbox("References of M1 and M4", schemes, format_func=lambda s: s.label, disabled=not method.fits_references, key="references")
    if not method.fits_references:
        st.caption("M2 and M3 start from the GGA values.")
    else:
        st.caption(plain(scheme.sentence))
    st.page_link("pages/references.py", label="Compare all schemes on this dataset first", icon=":material/science:")
    return {"references": scheme.value} | (table_settings() if scheme is Scheme.TABLE else {})


def _reference_details(settings: FinetuneSettings) -> dict[str, Any]:
    """What happens to elements without a reference, and how references are trained where they are."""
    policy = st.radio("Elements without a reference", list(MissingReference), index=list(MissingReference).index(MissingReference(_DEFAULT.missing_references)), format_func=lambda m: m.label, captions=[m.sentence for m in MissingReference], key="missing_references")
    starts = [s.value for s in Scheme if s is not Scheme.TRAINABLE and (s is not Scheme.TABLE or brought_table())]
    left, right = st.columns(2)
    trained = settings.trains_references
    start = left.selectbox("Trained references start from", [_BY_ITSELF, *starts], format_func=lambda s: Scheme(s).label if s != _BY_ITSELF else f"{settings.start_scheme.label} (default)", disabled=not trained, key="reference_start")
    rate = right.number_input("Their learning rate", 1e-8, 10.0, None, format="%.1e", placeholder=f"{settings.rate_of_references:.1e}", disabled=not trained, key="reference_learning_rate", help="In eV/atom a step: Adam moves each reference by about that, whatever the gradient.")
    if not trained:
        st.caption("References are trained in M2, and with the scheme “Trained along with the network”.")
        return {"missing_references": policy.value}
    chosen = {"missing_references": policy.value, "reference_start": None if start == _BY_ITSELF else start, "reference_learning_rate": rate}
    return chosen | (table_settings() if start == Scheme.TABLE.value else {})


def _loss() -> dict[str, Any]:
    left, right = st.columns(2)
    weights = {f"{name}_weight": float(left.number_input(f"Weight of {name}", 0.0, 1e6, getattr(_DEFAULT, f"{name}_weight"), key=f"{name}_weight")) for name in _WEIGHTS}
    delta = right.number_input("Huber δ", 1e-6, 1e6, _DEFAULT.huber_delta, key="huber_delta")
    clip = right.number_input("Clip gradient norm (0 = off)", 0.0, 1e6, 0.0, key="clip")
    return weights | {"huber_delta": float(delta), "max_gradient_norm": float(clip) or None}


def _computing(device: str) -> dict[str, Any]:
    left, right = st.columns(2)
    on_gpu = device == "cuda"
    precision = left.selectbox("Precision", list(_PRECISIONS), format_func=_PRECISIONS.get, disabled=not on_gpu, key="precision", help="TF32 is faster on a GPU and off by about half a meV/atom; a CPU has float32 only. References are kept in float64 either way.")
    processes = right.number_input("Processes", 1, MOST_PROCESSES, _DEFAULT.processes, key="processes", help="They share each batch and take the steps that one would; each needs a GPU of its own, and on the CPU they share its threads.")
    batches = left.selectbox("Batches", list(_BATCHES), format_func=_BATCHES.get, key="batches", help="By number as in the paper; or of equal atoms, edges and angles, so that with cells of very different size every step takes the same time and memory. Batch size is then the mean.")
    if processes > 1:
        st.caption(f"The queue starts them together{' once as many GPUs are free; several GPUs are untried' if on_gpu else ', with their share of the threads each'}.")
    return {"precision": precision if on_gpu else _DEFAULT.precision, "processes": int(processes), "batches": batches}


def _what_will_happen(settings: FinetuneSettings, planned: Preview) -> None:
    plan, expected = planned.plan, planned.estimate
    st.markdown("#### What will happen")
    start = f" They start from “{settings.start_scheme.label}” and are trained at {settings.rate_of_references:.1e} eV/atom a step." if settings.trains_references else ""
    table = f" ({plain(settings.reference_table_name)})" if settings.start_scheme is Scheme.TABLE else ""
    st.markdown(
        f"**{Method(settings.method).label}** learns from **{count_text(len(plan.split.train))}** {plural(len(plan.split.train), 'frame')}, chooses its best epoch on "
        f"**{count_text(len(plan.split.validation))}** and is tested on **{count_text(len(plan.split.test))}** {plural(len(plan.split.test), 'frame')} of other materials. "
        f"{counted(plan.total_steps, 'optimiser step')}; references: {settings.scheme.label}{table}.{start}"
    )
    st.metric("Estimated time" if expected.measured_here else "Estimated time (a first guess)", duration_text(expected.seconds), help="From the runs this machine has finished." if expected.measured_here else "A first guess from another machine; it is measured here with the first run.")
    warn(planned.warnings())


def _launch(settings: FinetuneSettings) -> None:
    # A second click on the way finds the id of the first, so that it cannot start a second run.
    run_id = st.session_state.setdefault("next_run_id", new_id(settings.to_dict()))
    try:
        submit(runs_root(), settings.to_dict(), run_id=run_id)
    except XfuncError:
        del st.session_state["next_run_id"]  # other settings must not find the run that failed
        raise
    del st.session_state["next_run_id"]
    st.session_state["run"] = run_id
    st.switch_page("pages/runs.py", query_params={})  # without it Streamlit refuses while the URL holds a control


with page("Fine-tune", "Move CHGNet, pretrained on GGA/GGA+U, to another functional. The run goes on in the background when you close the browser."):
    if not loaders.datasets():
        empty("database", "There is no dataset to learn from yet.", "pages/datasets.py", "Import data")
        st.stop()
    take_over()
    form, preview = st.columns([3, 2], gap="large")
    with form:
        settings = _controls()
    with preview, st.container(border=True):
        dataset = next(d for d in loaders.datasets() if d.info.name == settings.dataset)
        _what_will_happen(settings, loaders.preview(settings, dataset))
        if st.button("Launch", type="primary", icon=":material/rocket_launch:", width="stretch"):
            _launch(settings)
        with st.expander("Resolved settings"):
            st.json(settings.to_dict() | {"references": settings.scheme.value})
