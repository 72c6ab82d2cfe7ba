"""What a comparison and a diagnosis found, as tables: plain numbers for figures and files, formatted ones for readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.lab.diagnosis import Diagnosis
from xfunc_core.lab.learning_curve import ReferenceCurves
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.lab.without_model import WithoutModel
from xfunc_core.quantities import ENERGY, MISSING, correlation_text, count_text
from xfunc_core.references.diagnostics import published_tables
from xfunc_core.references.element_references import Status
from xfunc_core.references.frames import ReferenceFrames

_QUARTILES = (0.25, 0.5, 0.75)
STATUS = {
    Status.FITTED: "fitted",
    Status.PRIOR: "prior or looked up",
    Status.UNKNOWN: "unknown",
}
"""Where a reference comes from, on screen."""


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
                "95 % over refits": _interval(result),
                f"RMSE ({unit})": ENERGY.error(result.test.rmse),
                "N": count_text(result.test.n),
                f"Held-out MAE ({unit})": ENERGY.error(result.held_out.mae),
                "First-epoch loss": f"{result.first_loss:.4f}",
                "Worst elements": ", ".join(f"{worst.element} {ENERGY.error(worst.mae)}" for worst in result.worst),
                "Note": ", ".join(notes(found, result)),
            }
            for result in found.by_test_error
        ]
    )


def notes(found: Comparison, result: SchemeResult) -> list[str]:
    """What is to be known of a scheme at a glance."""
    scale = "prior of another energy scale" if result.scheme and result.scheme.is_fitted else "another energy scale"
    said = {
        "recommended": result.name == found.recommendation.name,
        scale: result.is_off_scale,
        "leaky": result.references.leaky,
        "before training": result.name == "trainable",
    }
    return [word for word, holds in said.items() if holds]


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


@dataclass(frozen=True)
class ElementNumber:
    """A number per element that the periodic table can show.

    Attributes:
        label: what it is.
        sentence: what it says.
        signed: whether its sign matters, so that the scale is centred on 0.
        of: its values, eV/atom, shape (94,), NaN where there is none.
    """

    label: str
    sentence: str
    signed: bool
    of: Callable[[SchemeResult], np.ndarray]


def element_number_choices(frames: ReferenceFrames) -> dict[str, ElementNumber]:
    """What the periodic table can show of a scheme, by key.

    Args:
        frames: of the training subset; published tables are taken for its functional.
    """
    found = {
        "shift": ElementNumber("w − w_GGA", "How far the references moved from those of the pretrained network.", True, lambda r: r.shift),
        "w": ElementNumber("w", "The reference energies.", False, lambda r: r.references.energies),
        "sigma": ElementNumber("σ over refits", "Standard deviation over refits on resampled training materials; none for elements of one material, or without a fit.", False, lambda r: r.sigma),
        "uncertainty": ElementNumber("σ of the fit", "What the fit says of its own uncertainty.", False, lambda r: r.references.uncertainty),
    }  # fmt: skip
    for place, (name, table) in enumerate(published_tables(frames).items()):
        if place:  # the first is w_GGA itself
            label, words = f"w − {name}", f"Difference from a published table: {name}."
            found[f"table{place}"] = ElementNumber(label, words, True, lambda r, table=table: r.references.energies - table)
    return found


def element_values(number: ElementNumber, found: Comparison, result: SchemeResult) -> dict[str, float]:
    """The number of each element of the training frames that has one."""
    values = number.of(result)
    return {SYMBOLS[i]: float(values[i]) for i in np.flatnonzero(found.n_frames) if np.isfinite(values[i])}


def frame_counts(found: Comparison) -> dict[str, int]:
    """Training frames with each element that is in any."""
    return {SYMBOLS[i]: int(found.n_frames[i]) for i in np.flatnonzero(found.n_frames)}


def element_numbers(found: Comparison, result: SchemeResult) -> pd.DataFrame:
    """Plain numbers of all 94 elements for a file, indexed by symbol, eV/atom."""
    return pd.DataFrame(
        {
            "z": np.arange(1, N_REFERENCED + 1),
            "w": result.references.energies,
            "w_gga": found.w_gga,
            "shift": result.shift,
            "sigma_refits": result.sigma,
            "sigma_fit": result.references.uncertainty,
            "n_frames": found.n_frames,
            "n_materials": found.n_materials,
            "status": [status.value for status in result.references.status],
        },
        index=pd.Index(SYMBOLS[:N_REFERENCED], name="element"),
    )


def element_table(found: Comparison, result: SchemeResult) -> pd.DataFrame:
    """The elements of the training frames, for readers."""
    numbers = element_numbers(found, result)
    numbers = numbers[numbers["n_frames"] > 0]
    columns = {"w": "w", "shift": "w − w_GGA", "sigma_refits": "σ over refits", "sigma_fit": "σ of the fit"}
    return pd.DataFrame(
        {
            "Element": numbers.index,
            "Z": numbers["z"].to_numpy(),
            "Frames": numbers["n_frames"].to_numpy(),
            "Materials": numbers["n_materials"].to_numpy(),
            **{f"{title} ({ENERGY.unit})": [ENERGY.value(value) for value in numbers[key]] for key, title in columns.items()},
            "From": [STATUS[Status(status)] for status in numbers["status"]],
        }
    )


def residual_numbers(found: Diagnosis) -> pd.DataFrame:
    """Quartiles of label − prediction in the training frames by element, before and after, eV/atom, indexed by symbol."""
    rows = [
        {"z": SYMBOLS.index(one.element) + 1, "n_frames": one.n_frames}
        | {f"{when}_{name}": value for when in ("before", "after") for name, value in zip(("low", "median", "high"), getattr(one, when), strict=True)}
        | {"after_largest": one.largest, "leverage": found.element_leverage[SYMBOLS.index(one.element)]}
        for one in found.residuals
    ]  # fmt: skip
    return pd.DataFrame(rows, index=pd.Index([one.element for one in found.residuals], name="element"))


def shift_numbers(found: Comparison, result: SchemeResult) -> pd.DataFrame:
    """Z, w − w_GGA and σ over refits of the elements in the training frames, eV/atom, indexed by symbol."""
    numbers = element_numbers(found, result)
    return numbers.loc[numbers["n_frames"] > 0, ["z", "shift", "sigma_refits", "n_frames"]]


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
    moved = ", ".join(f"{symbol} by {ENERGY.value(change)}" for symbol, change in effect.largest) or "no element"
    return (
        f"Least squares on total energies instead of per atom moves {moved} {ENERGY.unit} most; "
        f"test MAE {ENERGY.error(effect.test_total)} against {ENERGY.error_with_unit(effect.test_per_atom)}."
    )


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


def _interval(result: SchemeResult) -> str:
    low, high = result.test_interval.low, result.test_interval.high
    return MISSING if not np.isfinite(low) or low == high else f"{ENERGY.error(low)} to {ENERGY.error(high)}"
