"""Fine-tune: choose data and method, see what will happen, launch."""

import streamlit as st

from pages._ui import loaders
from pages._ui.choose import choose_dataset
from pages._ui.shell import empty, page, warn
from xfunc_core.data.home import runs_root
from xfunc_core.errors import XfuncError
from xfunc_core.quantities import Functional, Method, count_text, duration_text
from xfunc_core.references.schemes import Scheme
from xfunc_core.runs.devices import available_devices
from xfunc_core.runs.dispatcher import submit
from xfunc_core.runs.lifecycle import new_id
from xfunc_core.training.settings import FinetuneSettings

_DEFAULT = FinetuneSettings(dataset="any")
_SCHEMES = [s for s in Scheme if s not in (Scheme.KEEP, Scheme.TABLE)]


def _controls() -> FinetuneSettings:
    found = loaders.datasets(Functional.R2SCAN) + loaders.datasets(Functional.PBE)
    dataset = choose_dataset("Learn from", found, "dataset", "xfunc-dft-r2scan", help="Fine-tuning aims at this dataset's functional.")
    method = st.radio("Method", list(Method), index=3, format_func=lambda m: m.label, captions=[m.sentence for m in Method], key="method", help="AtomRef is CHGNet's name for the elemental reference energies: what each element adds to the energy of any structure.")
    scheme = st.selectbox("References of M1 and M4", _SCHEMES, index=_SCHEMES.index(Scheme(_DEFAULT.references)), format_func=lambda s: s.label, disabled=not method.fits_references, key="references")
    st.caption(scheme.sentence if method.fits_references else "M2 and M3 start from the GGA values.")
    left, right = st.columns(2)
    epochs = left.number_input("Epochs", 1, 10_000, _DEFAULT.epochs, key="epochs")
    learning_rate = right.number_input("Learning rate", 1e-6, 1.0, _DEFAULT.learning_rate, format="%.1e", key="learning_rate")
    batch_size = left.number_input("Batch size", 1, 1024, _DEFAULT.batch_size, key="batch_size")
    seed = right.number_input("Seed", 0, 2**31 - 1, 0, key="seed", help="Of random weights (M1) and of the order of frames.")
    device = left.selectbox("Device", available_devices(), format_func=str.upper, key="device")
    split_seed = right.number_input("Split seed", 0, 2**31 - 1, 0, key="split_seed", help="Keep it to compare runs on the same test set.")
    with st.expander("Loss and split"):
        left, right = st.columns(2)
        weights = {name: left.number_input(f"Weight of {name}", 0.0, 1e6, getattr(_DEFAULT, f"{name}_weight"), key=f"{name}_weight") for name in ("energy", "force", "stress", "magmom")}
        delta = right.number_input("Huber δ", 1e-6, 1e6, _DEFAULT.huber_delta, key="huber_delta")
        validation = right.number_input("Validation fraction", 0.01, 0.5, _DEFAULT.validation_fraction, key="validation_fraction")
        test = right.number_input("Test fraction", 0.01, 0.5, _DEFAULT.test_fraction, key="test_fraction")
        clip = right.number_input("Clip gradient norm (0 = off)", 0.0, 1e6, 0.0, key="clip")
    return FinetuneSettings(
        dataset=dataset.info.name,
        method=method.value,
        references=scheme.value,
        epochs=int(epochs),
        batch_size=int(batch_size),
        learning_rate=float(learning_rate),
        seed=int(seed),
        split_seed=int(split_seed),
        validation_fraction=float(validation),
        test_fraction=float(test),
        device=device,
        huber_delta=float(delta),
        max_gradient_norm=float(clip) or None,
        **{f"{name}_weight": float(weight) for name, weight in weights.items()},
    )


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
    st.switch_page("pages/runs.py")


with page("Fine-tune", "Move CHGNet, pretrained on GGA/GGA+U, to another functional. The run goes on in the background when you close the browser."):
    if not loaders.datasets():
        empty("database", "There is no dataset to learn from yet.", "pages/datasets.py", "Import data")
        st.stop()
    form, preview = st.columns([3, 2], gap="large")
    with form:
        settings = _controls()
    with preview, st.container(border=True):
        dataset = next(d for d in loaders.datasets() if d.info.name == settings.dataset)
        planned = loaders.preview(settings, dataset)
        plan, expected = planned.plan, planned.estimate
        st.markdown("#### What will happen")
        st.markdown(
            f"**{Method(settings.method).label}** learns from **{count_text(len(plan.split.train))}** frames, chooses its best epoch on "
            f"**{count_text(len(plan.split.validation))}** and is tested on **{count_text(len(plan.split.test))}** frames of other materials. "
            f"{count_text(plan.total_steps)} optimiser steps; references: {settings.scheme.label}."
        )
        st.metric("Estimated time" if expected.measured_here else "Estimated time (a first guess)", duration_text(expected.seconds), help="From the runs this machine has finished." if expected.measured_here else "A first guess from another machine; it is measured here with the first run.")
        warn(plan.warnings(settings))
        if st.button("Launch", type="primary", icon=":material/rocket_launch:", width="stretch"):
            _launch(settings)
        with st.expander("Resolved settings"):
            st.json(settings.to_dict() | {"references": settings.scheme.value})
