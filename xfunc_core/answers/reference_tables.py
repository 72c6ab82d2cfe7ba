"""Rows of the tables that answers about reference energies print."""

from __future__ import annotations

from typing import Any

import numpy as np

from xfunc_core.answers.answer import text_table
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.lab.diagnosis import Diagnosis
from xfunc_core.lab.learning_curve import ReferenceCurves
from xfunc_core.lab.overview import agreement_table, notes, weighting_sentence, worst_words
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.quantities import ENERGY, count_text


def comparison_table(found: Comparison) -> list[dict[str, str]]:
    """A row for each scheme, errors in meV/atom."""
    return [_scheme_row(found, result) for result in found.results]


def element_table(found: Comparison, result: SchemeResult) -> list[dict[str, str]]:
    """A row for each element of the frames; one that training lacks has what a run would start with, from a prior or unknown."""
    lacking = np.isin(SYMBOLS[:N_REFERENCED], found.coverage.not_in_training)
    rows = []
    for i in np.flatnonzero((found.n_frames > 0) | lacking):
        rows.append(
            {
                "Element": SYMBOLS[i],
                "Frames": count_text(int(found.n_frames[i])),
                f"w ({ENERGY.unit})": ENERGY.value(result.references.energies[i]),
                f"w − w_GGA ({ENERGY.unit})": ENERGY.value(result.shift[i]),
                f"σ, refits ({ENERGY.unit})": ENERGY.value(result.sigma[i]),
                f"σ, fit ({ENERGY.unit})": ENERGY.value(result.references.uncertainty[i]),
                "From": result.references.status[i].value,
            }
        )
    return rows


def diagnosis_tables(found: Diagnosis) -> list[str]:
    """Elements, published tables and weighting, a text table each."""
    return [text_table(_element_rows(found)), text_table(agreement_table(found).to_dict("records")), weighting_sentence(found)]


def curve_tables(found: ReferenceCurves) -> list[str]:
    """Test MAE and reference error by scheme and size, medians over the repeats."""
    columns = [count_text(size) for size in found.sizes]
    covered = {"Scheme": "elements covered"} | {c: f"{n:.0f}" for c, n in zip(columns, np.median(found.n_elements, axis=0), strict=True)}
    tables = []
    for title, values in (
        ("Test MAE by training frames:", "test_mae"),
        ("Reference error, root mean square of x·(w − w of all):", "reference_error"),
    ):
        rows = [
            {"Scheme": c.scheme.value} | {n: ENERGY.error(v) for n, v in zip(columns, np.median(getattr(c, values), axis=0), strict=True)}
            for c in found.curves
        ]
        tables += [title, text_table([*rows, covered])]
    return tables


def _scheme_row(found: Comparison, result: SchemeResult) -> dict[str, str]:
    return {
        "Scheme": result.name,
        "Test MAE": ENERGY.error(result.test.mae),
        "RMSE": ENERGY.error(result.test.rmse),
        "N": count_text(result.test.n),
        "MAE over refits": result.test_interval.text,
        "Held-out MAE": ENERGY.error(result.held_out.mae),
        "N held out": count_text(result.held_out.n),
        "Train MAE": ENERGY.error(result.train.mae),
        "First loss": f"{result.first_loss:.4f}",
        "Worst elements": worst_words(result),
        "Note": ", ".join(notes(found, result)),
    }


def _element_rows(found: Diagnosis) -> list[dict[str, Any]]:
    rows = []
    for residual in found.residuals:
        i = SYMBOLS.index(residual.element)
        rows.append(
            {
                "Element": residual.element,
                "Frames": count_text(residual.n_frames),
                "Leverage": f"{found.element_leverage[i]:.2f}",
                f"σ ({ENERGY.unit})": ENERGY.value(found.sigma[i]),
                f"Residual before, median ({ENERGY.error_unit})": ENERGY.error(residual.before[1]),
                "after, quartiles": " ".join(ENERGY.error(quartile) for quartile in residual.after),
            }
        )
    return rows
