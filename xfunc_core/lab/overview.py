"""What a comparison and a diagnosis found, as tables and in words: plain numbers for figures and files, formatted ones for readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from xfunc_core.lab.diagnosis import Diagnosis
from xfunc_core.lab.learning_curve import ReferenceCurves
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.lab.without_model import WithoutModel
from xfunc_core.quantities import ENERGY, MISSING, correlation_text, count_text, counted, number_text
from xfunc_core.references.diagnostics import DECIDED, ShiftAgainstZ

_QUARTILES = (0.25, 0.5, 0.75)


def scheme_numbers(found: Comparison) -> pd.DataFrame:
    """Plain numbers of every scheme, indexed by name, the lowest test MAE first; energies in eV/atom."""
    rows = [
        {
            "label": result.label,
            "test_mae": result.test.mae,
            "test_mae_low": result.test_interval.low,
            "test_mae_high": result.test_interval.high,
            "test_rmse": result.test.rmse,
            "n_test": result.test.n,
            "held_out_mae": result.held_out.mae,
            "held_out_rmse": result.held_out.rmse,
            "n_held_out": result.held_out.n,
            "train_mae": result.train.mae,
            "validation_mae": result.validation.mae,
            "first_loss": result.first_loss,
            "recommended": result.name == found.recommendation.name,
            "off_scale": result.is_off_scale,
            "note": ", ".join(notes(found, result)),
            "external": result.references.external,
            "leaky": result.references.leaky,
        }
        for result in found.by_test_error
    ]
    return pd.DataFrame(rows, index=pd.Index([result.name for result in found.by_test_error], name="scheme"))


def scheme_table(found: Comparison) -> pd.DataFrame:
    """The same for readers, errors in meV/atom."""
    unit = ENERGY.error_unit
    return pd.DataFrame(
        [
            {
                "Scheme": result.label,
                f"Test MAE ({unit})": ENERGY.error(result.test.mae),
                "95 % over refits": result.test_interval.text,
                f"Test RMSE ({unit})": ENERGY.error(result.test.rmse),
                f"Held-out MAE ({unit})": ENERGY.error(result.held_out.mae),
                "Note": ", ".join(notes(found, result)),
                "N test": count_text(result.test.n),
                "N held out": count_text(result.held_out.n),
                "First-epoch loss": f"{result.first_loss:.4f}",
                "Worst elements": worst_words(result),
                "Name": result.name,
            }
            for result in found.by_test_error
        ]
    )


def notes(found: Comparison, result: SchemeResult) -> list[str]:
    """What is to be known of a scheme at a glance."""
    scale = "prior of another energy scale" if result.scheme.is_fitted else "another energy scale"
    said = {
        "recommended": result.name == found.recommendation.name,
        scale: result.is_off_scale,
        "leaky": result.references.leaky,
    }
    before = ["equals its start before training"] if result.starts_as else []
    return [*(word for word, holds in said.items() if holds), *before]


def headline(found: Comparison, result: SchemeResult) -> list[tuple[str, str, str]]:
    """The three numbers of a scheme that are easily taken for each other: what each is, its value, on what it was found."""
    unit, interval = ENERGY.error_unit, result.test_interval.text
    over = "nothing is fitted" if interval == MISSING else f"{counted(found.n_refits, 'refit')} on resampled materials"
    return [
        (f"Held-out MAE ({unit})", ENERGY.error(result.held_out.mae), f"N = {counted(result.held_out.n, 'frame')} not fitted to"),
        (f"Test MAE ({unit})", ENERGY.error(result.test.mae), f"N = {counted(result.test.n, 'test frame')}"),
        (f"95 % of the test MAE ({unit})", interval, over),
    ]


def frames_words(found: Comparison) -> str:
    """What the errors in the table are of, with their unit."""
    held_out = found.result(found.recommendation.name).held_out.n
    return (
        f"Errors of the energy before fine-tuning, in {ENERGY.error_unit}. Test: N = {counted(found.n_test, 'test frame')}. "
        f"Held-out: N = {count_text(held_out)} training and validation frames that were not fitted to."
    )


def worst_words(result: SchemeResult) -> str:
    """The elements with the largest test errors, with these in meV/atom."""
    return ", ".join(f"{worst.element} {ENERGY.error(worst.mae)}" for worst in result.worst)


def ties(results: Sequence[SchemeResult]) -> list[str]:
    """A sentence for every scheme that before training is another one."""
    return [
        f"“{result.label}” starts from “{result.starts_as.label}”: before training the two are the same, and so are their errors here."
        for result in results
        if result.starts_as
    ]


def leaks(found: Comparison) -> list[str]:
    """A sentence for every scheme whose errors flatter it."""
    return [
        f"{result.label} was fitted on validation or test frames of this split: its errors here flatter it."
        for result in found.results
        if result.references.leaky
    ]


def alone_table(found: WithoutModel) -> pd.DataFrame:
    """Schemes that need no network, for readers."""
    return pd.DataFrame(
        [
            {
                "Scheme": one.references.scheme.label,
                f"Left of the test energies, MAE ({ENERGY.unit})": ENERGY.value(one.left.mae),
                f"RMSE ({ENERGY.unit})": ENERGY.value(one.left.rmse),
                "N": count_text(one.left.n),
                "From": one.references.source,
            }
            for one in found.results
        ]
    )


def agreement_table(found: Diagnosis) -> pd.DataFrame:
    """The references against published tables, for readers."""
    return pd.DataFrame(
        [
            {
                "Against": one.table,
                "Elements": one.n_elements,
                f"Mean gap ({ENERGY.unit})": ENERGY.value(one.mean_gap),
                f"Mean distance after it ({ENERGY.unit})": ENERGY.value(one.spread),
                "r": correlation_text(one.pearson),
                "Furthest": ", ".join(f"{symbol} {ENERGY.value(gap)}" for symbol, gap in one.largest),
            }
            for one in found.agreements
        ]
    )


def weighting_sentence(found: Diagnosis) -> str:
    """What weighting by the size of the cell changes."""
    effect = found.weighting
    moved = ", ".join(f"{symbol} by {ENERGY.value(change)}" for symbol, change in effect.largest)
    return (
        f"Least squares on total energies instead of per atom moves {f'{moved} {ENERGY.unit} most' if moved else 'no reference'}; "
        f"test MAE {ENERGY.error(effect.test_total)} against {ENERGY.error_with_unit(effect.test_per_atom)}."
    )


def leverage_words(found: Diagnosis) -> str:
    """How much single frames decide."""
    largest = float(found.leverages.max(initial=0.0))
    return (
        f"Leverage of a training frame in a least-squares fit: {found.leverages.mean():.2f} on average, {largest:.2f} at most "
        f"(1: the fit goes through the frame, whatever its energy); {count_text(int((found.leverages >= DECIDED).sum()))} of "
        f"{counted(len(found.leverages), 'frame')} are fitted exactly."
    )


def line_words(line: ShiftAgainstZ) -> tuple[str, ...]:
    """Slope and correlation of w − w_GGA against Z; nothing for fewer than three elements."""
    if not np.isfinite(line.slope):
        return ()
    r = (f"r = {correlation_text(line.pearson)}",) if np.isfinite(line.pearson) else ()
    return (f"{number_text(line.slope, 2)} eV per Z", *r)


def split_words(found: Comparison) -> str:
    """The frames that were used."""
    parts = f"{count_text(found.n_train)} training, {count_text(found.n_validation)} validation and {counted(found.n_test, 'test frame')}"
    left = f"; {counted(len(found.left_out), 'frame is', 'frames are')} left out" if found.left_out else ""
    return f"{parts}, split by material; {counted(found.n_elements, 'element')} in training{left}."


def curve_words(found: ReferenceCurves) -> str:
    """What is written above the learning curves."""
    covered = np.median(found.n_elements, axis=0)
    return f"medians, quartiles of {counted(len(found.n_frames), 'order')} · {covered[0]:.0f} of {covered[-1]:.0f} elements in the smallest subset"


def curve_numbers(found: ReferenceCurves, what: str) -> pd.DataFrame:
    """Quartiles over the repeats by scheme and size, eV/atom: ``scheme``, ``label``, ``size``, ``n_frames``, ``low``, ``median``, ``high``.

    Args:
        found: the curves.
        what: ``test_mae`` or ``reference_error``; schemes without one are left out.
    """
    frames = np.median(found.n_frames, axis=0)
    rows = []
    for curve in found.curves:
        values = getattr(curve, what)
        if not np.isfinite(values).all():
            continue
        quartiles = np.quantile(values, _QUARTILES, axis=0)
        rows += [
            {"scheme": curve.scheme.value, "label": curve.label, "size": size, "n_frames": frames[i]}
            | dict(zip(("low", "median", "high"), map(float, quartiles[:, i]), strict=True))
            for i, size in enumerate(found.sizes)
        ]
    return pd.DataFrame(rows, columns=["scheme", "label", "size", "n_frames", "low", "median", "high"])

