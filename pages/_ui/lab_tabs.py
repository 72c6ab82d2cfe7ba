"""What is worked out about one scheme's references only when it is looked at."""

from __future__ import annotations

import streamlit as st

from pages._ui import lab_loaders
from pages._ui.lab_loaders import Question
from pages._ui.shell import plain, show, warn
from xfunc_core.lab.element_overview import residual_numbers, shift_numbers
from xfunc_core.lab.overview import agreement_table, curve_numbers, curve_words, leverage_words, line_words, weighting_sentence
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.plots.references import curve_figure
from xfunc_core.plots.references_elements import residual_figure, shift_line_figure
from xfunc_core.quantities import counted

_AXES = {"test_mae": "Test MAE before fine-tuning", "reference_error": "Distance from those of all frames"}
_CURVES = {"test_mae": "Test error of the energy before fine-tuning", "reference_error": "Distance of the references from those of all frames"}


def scheme_tabs(question: Question, found: Comparison, result: SchemeResult) -> None:
    """Tabs that are filled when they are opened; the open one is in the URL."""
    contents = {"Diagnostics": _diagnostics, "Residuals per element": _residuals, "Shift against Z": _shift, "Learning curve": _curve}
    for tab, draw in zip(st.tabs(list(contents), on_change="rerun", key="lab_tab", bind="query-params"), contents.values(), strict=True):
        if tab.open:
            with tab:
                draw(question, found, result)


def _diagnostics(question: Question, found: Comparison, result: SchemeResult) -> None:
    diagnosis = lab_loaders.diagnosis(question, result.name)
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in (*diagnosis.sentences, leverage_words(diagnosis), weighting_sentence(diagnosis), *found.coverage.sentences)))
    st.markdown("###### Against published tables")
    st.dataframe(agreement_table(diagnosis), hide_index=True)
    if found.left_out:
        with st.expander(f"{counted(len(found.left_out), 'frame is', 'frames are')} left out"):
            st.dataframe(list(found.left_out), hide_index=True)


def _residuals(question: Question, found: Comparison, result: SchemeResult) -> None:
    numbers = residual_numbers(lab_loaders.diagnosis(question, result.name))
    show(lambda dark: residual_figure(numbers, dark), "lab_residuals", name=f"residuals-{result.name}", numbers=numbers.reset_index)
    st.caption("Training frames: what the references leave of the frames that they were fitted to. Small residuals here do not say that new frames are as good; the test errors above do.")


def _shift(question: Question, found: Comparison, result: SchemeResult) -> None:
    line, numbers = lab_loaders.diagnosis(question, result.name).line, shift_numbers(found, result)
    show(lambda dark: shift_line_figure(numbers, line.slope, line.intercept, line_words(line), dark), "lab_shift", name=f"shift-{result.name}", numbers=numbers.reset_index)


def _curve(question: Question, found: Comparison, result: SchemeResult) -> None:
    what = st.segmented_control("Error", list(_CURVES), default="test_mae", format_func=_CURVES.get, key="lab_curve", required=True, label_visibility="collapsed", bind="query-params")
    curves = lab_loaders.curves(question.settings, question.content)
    numbers = curve_numbers(curves, what)
    show(lambda dark: curve_figure(numbers, _AXES[what], curve_words(curves), dark), f"lab_curve_{what}", name=f"references-{found.dataset}-{what}", numbers=lambda: numbers)
    warn(["Subsets of one order are nested and take materials that bring a new element first, so the first frames count more than random ones would. With all frames every order is the same."])
