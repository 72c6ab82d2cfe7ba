"""What the lab found element by element, as tables: plain numbers for figures and files, formatted ones for readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.lab.diagnosis import Diagnosis
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.quantities import ENERGY
from xfunc_core.references.diagnostics import published_tables
from xfunc_core.references.element_references import Status
from xfunc_core.references.frames import ReferenceFrames

STATUS = {
    Status.FITTED: "fitted",
    Status.PRIOR: "prior or looked up",
    Status.UNKNOWN: "unknown",
}
"""Where a reference comes from, on screen."""


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
