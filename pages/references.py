"""Reference lab: every scheme of reference energies side by side, before a run is paid for."""

from __future__ import annotations

import streamlit as st

from pages._ui import lab_loaders, loaders
from pages._ui.choose import choose_dataset
from pages._ui.downloads import table_download
from pages._ui.lab_brought import bring_table, brought_table
from pages._ui.lab_elements import elements
from pages._ui.lab_loaders import Question
from pages._ui.lab_split import hand_over, split_controls
from pages._ui.lab_tabs import scheme_tabs
from pages._ui.shell import empty, page, plain, sentences, show, warn
from xfunc_core.data.dataset import Dataset
from xfunc_core.lab.overview import (
    alone_table,
    frames_words,
    headline,
    leaks,
    notes,
    scheme_numbers,
    scheme_table,
    split_words,
    ties,
    worst_words,
)
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.plots.references import comparison_figure
from xfunc_core.predictions import cancel_predictions
from xfunc_core.quantities import ENERGY, Functional, Method, count_text, counted
from xfunc_core.references.schemes import Scheme
from xfunc_core.runs.state import RunState
from xfunc_core.training.settings import FinetuneSettings

_SECONDS = 2
_WIDTHS = (290, 80, 130, 88, 102, 248)
"""Pixels of the columns that are shown at first, which fill the page; a phone has room for the first two."""
_READING = """
{split}

- **Test MAE, RMSE**: errors of the pretrained network's energies with this scheme's references on the test frames, before fine-tuning.
- **95 % over refits**: of the test MAE, over {refits} refits on resampled training materials; a scheme without a fit has none.
- **Held-out MAE**: on training frames left out in turn and on the validation part. The recommendation goes by it; the test part only confirms.
  It is mostly the larger one: a frame that is left out may be the only one with some element, and then its reference is a guess.
- **First-epoch loss**: the energy term of the loss as the trainer has it before its first step.
- **Another energy scale**: the numbers come from another code, other potentials or another functional than the labels.
"""


def _question() -> tuple[Question, Dataset]:
    """What is asked: the dataset, its split, and the table that was brought along."""
    found = loaders.datasets(Functional.R2SCAN) + loaders.datasets(Functional.PBE)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        dataset = choose_dataset("Learn from", found, "dataset", "xfunc-dft-r2scan", help="References are chosen for a run on this dataset.")
    with right, st.popover("Split", icon=":material/call_split:", width="stretch"):
        split = split_controls()
    return lab_loaders.asked(FinetuneSettings(dataset=dataset.info.name, **split), dataset, brought_table()), dataset


def _ask(question: Question, dataset: Dataset) -> None:
    """The way to the model's energies: ask for them, or see how far they are; redrawn by itself while they are worked out."""
    state = lab_loaders.status(question).state
    active = state is not None and state.is_active
    st.fragment(_progress, run_every=_SECONDS if active else None)(question, dataset, active)


def _progress(question: Question, dataset: Dataset, active: bool) -> None:
    with sentences():
        status = lab_loaders.status(question)
        if status.state is RunState.FINISHED or (status.state is not None and status.state.is_active) is not active:
            st.rerun()
        with st.container(border=True):
            if active:
                st.progress(status.fraction, f"The pretrained network is evaluated in the background: {status.words()}")
                st.caption(plain(f"{status.sentence} It is done once and kept; you can leave this page."))
                if st.button("Cancel", icon=":material/stop_circle:"):
                    cancel_predictions(dataset, lab_loaders.rows(question))
                    st.rerun()
                return
            if status.state is not None:
                st.warning(plain(status.sentence), icon=":material/warning:")
            st.markdown(f"**The pretrained network has not been evaluated on {count_text(status.total - status.done)} of these {counted(status.total, 'frame')} yet.** Once it has, every scheme is compared at once: what the network would predict with its references, before fine-tuning.")
            if st.button("Evaluate the pretrained network", type="primary", icon=":material/play_arrow:"):
                lab_loaders.ask_model(question)
                st.rerun()


def _without_model(question: Question) -> None:
    """What is known until then."""
    found = lab_loaders.without_model(question)
    st.subheader("Without the network", divider="gray")
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in found.sentences))
    st.dataframe(alone_table(found), hide_index=True)
    st.caption("Label − x·w on the test frames: what a network would still have to explain. It need not be small: bonding is part of it.")
    lacking = ", ".join(one.scheme.label for one in found.lacking)
    warn([f"These need the network's energies: {lacking}. So do the errors of all schemes, and the recommendation."])


def _recommendation(found: Comparison) -> None:
    chosen = found.recommendation
    with st.container(border=True):
        left, right = st.columns([4, 1.3], vertical_alignment="center")
        with left:
            st.markdown(f"#### :material/recommend: {plain(found.result(chosen.name).label)}")
            st.markdown(plain(chosen.reason))
        with right:
            _use(found.result(chosen.name), "recommended", primary=True)
        _headline(found, found.result(chosen.name))
        st.caption(f":material/{'check_circle' if chosen.is_lowest_on_test else 'info'}: {plain(chosen.on_test)}")


def _headline(found: Comparison, result: SchemeResult) -> None:
    """The numbers of a scheme, told apart."""
    for column, (label, value, on) in zip(st.columns(3), headline(found, result), strict=True):
        column.metric(label, value, on, delta_color="off", delta_arrow="off")


def _use(result: SchemeResult, key: str, *, primary: bool = False) -> None:
    """To Fine-tune, with this scheme filled in; dataset and split are the same controls there."""
    if st.button("Use this in a run", type="primary" if primary else "secondary", icon=":material/model_training:", key=f"use_{key}", width="stretch"):
        kept = result.scheme is Scheme.KEEP
        hand_over(method=Method.M3 if kept else Method.M4, **({} if kept else {"references": result.scheme}))
        st.switch_page("pages/finetune.py", query_params={})  # without it Streamlit refuses while the URL holds a control


def _compared(found: Comparison) -> None:
    """The figure and the table of all schemes."""
    numbers = scheme_numbers(found)
    show(lambda dark: comparison_figure(numbers, (found.title,), dark), "lab_comparison", name=f"references-{found.dataset}", numbers=numbers.reset_index)
    warn([*ties(found.results), *leaks(found), *found.off_scale, *found.coverage.sentences])
    st.caption(frames_words(found))
    table = scheme_table(found)
    shown = {name: st.column_config.TextColumn(name.split(" (")[0], width=width) for name, width in zip(table.columns, _WIDTHS, strict=False)}
    st.dataframe(table, hide_index=True, height="content", column_order=list(shown), column_config=shown)
    table_download(lambda: numbers, f"references-{found.dataset}-schemes")
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(_READING.format(split=plain(split_words(found)), refits=count_text(found.n_refits)))
    warn([f"{one.scheme.label} cannot be used here. {one.reason}" for one in found.unavailable])


def _closely(question: Question, found: Comparison) -> None:
    """One scheme: what it is, its references, its diagnostics."""
    st.subheader("One scheme closely", divider="gray")
    names = [result.name for result in found.results]
    left, right = st.columns([4, 1.3], vertical_alignment="bottom")
    name = left.selectbox("Scheme", names, index=names.index(found.recommendation.name), format_func=lambda n: found.result(n).label, key="lab_scheme", bind="query-params", persist_state="session")
    result = found.result(name)
    with right:
        _use(result, "chosen")
    st.markdown(" ".join([plain(result.sentence), *(f":gray-badge[{word}]" for word in notes(found, result))]))
    st.markdown(f"Test MAE **{ENERGY.error_with_unit(result.test.mae)}**, RMSE {ENERGY.error_with_unit(result.test.rmse)}, N = {count_text(result.test.n)}, largest in {worst_words(result)}; held-out MAE {ENERGY.error_with_unit(result.held_out.mae)}, N = {count_text(result.held_out.n)}; first-epoch loss {result.first_loss:.4f}.")
    st.caption(plain(f"{result.references.source}. {'External: from another source than these frames and the network. ' if result.references.external else ''}{result.scale.sentence if result.scale else ''} In files and on the command line: {result.name}."))
    warn(ties([result]))
    elements(lab_loaders.evidence(question), found, result)
    scheme_tabs(question, found, result)


with page("Reference lab", "Which reference energies to start a transfer from: every scheme on your dataset, with what the pretrained network does with it before fine-tuning."):
    if not loaders.datasets():
        empty("database", "There is no dataset to choose references for yet.", "pages/datasets.py", "Import data")
        st.stop()
    question, dataset = _question()
    lab_loaders.without_model(question)  # what cannot be split or has no energies is refused before the network is asked
    if lab_loaders.status(question).state is not RunState.FINISHED:
        _ask(question, dataset)
        _without_model(question)
        st.stop()
    found = lab_loaders.comparison(question)
    _recommendation(found)
    with st.expander("Compare a table of your own", icon=":material/upload_file:", expanded=brought_table() is not None):
        bring_table()
    _compared(found)
    _closely(question, found)
