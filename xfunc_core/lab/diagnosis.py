"""How far the references of one scheme can be trusted on these data: every diagnostic in one frozen result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.elements import SYMBOLS
from xfunc_core.lab.evidence import Evidence
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.quantities import ENERGY, counted, number_text
from xfunc_core.references.diagnostics import (
    DECIDED,
    Agreement,
    ElementResiduals,
    GaugeFree,
    ShiftAgainstZ,
    agreements,
    element_leverage,
    element_residuals,
    gauge_free,
    leverage,
    shift_against_z,
)
from xfunc_core.references.null_space import OpenGroup, open_groups
from xfunc_core.references.refits import errors_of, take
from xfunc_core.references.schemes import Scheme
from xfunc_core.references.solvers import n_containing, triangle

_MOST_CHECKED = 50_000
"""Frames that the gauge-free check looks at."""


@dataclass(frozen=True)
class WeightingEffect:
    """What weighting by the size of the cell (total energies) changes against weighting per atom, both by least squares.

    Attributes:
        largest: symbols and w(total) − w(per atom) of the elements that move most, eV/atom; without the undetermined ones.
        test_total, test_per_atom: test MAE under each, eV/atom.
    """

    largest: tuple[tuple[str, float], ...]
    test_total: float
    test_per_atom: float


@dataclass(frozen=True)
class Diagnosis:
    """Everything about one scheme's references.

    Attributes:
        name: of the scheme.
        rank: combinations of references the training frames determine.
        n_elements: elements in them.
        groups: elements that are determined in combination only.
        n_frames: training frames with each element, shape (94,).
        leverages: of each training frame in a least-squares fit, shape (n_train,), 0 to 1.
        element_leverage: the largest leverage among the frames that hold an element, shape (94,); NaN where it is in none.
        sigma: standard deviation of each reference over refits, eV/atom, shape (94,).
        residuals: by element in the training frames, before and after the new references.
        gauge_free: the error of reaction energies, the same for every scheme.
        agreements: with published tables.
        line: w − w_GGA against Z.
        weighting: per atom against total energies.
        leaky: frames outside the training subset entered.
        external: numbers from elsewhere entered.
    """

    name: str
    rank: int
    n_elements: int
    groups: tuple[OpenGroup, ...]
    n_frames: np.ndarray
    leverages: np.ndarray
    element_leverage: np.ndarray
    sigma: np.ndarray
    residuals: tuple[ElementResiduals, ...]
    gauge_free: GaugeFree
    agreements: tuple[Agreement, ...]
    line: ShiftAgainstZ
    weighting: WeightingEffect
    leaky: bool
    external: bool

    @property
    def decided_by_one(self) -> tuple[str, ...]:
        """Elements whose fit goes exactly through some frame, whatever its energy."""
        return tuple(SYMBOLS[i] for i in np.flatnonzero(self.element_leverage >= DECIDED))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a careful colleague would point out, most important first."""
        n_elements = counted(self.n_elements, "element's", "elements'")
        said = [f"The training frames determine {counted(self.rank, 'combination')} of {n_elements} references."]
        if self.leaky:
            said.insert(0, "Frames outside the training subset entered these references: errors on the test part flatter them (leak).")
        said += [group.sentence for group in self.groups]
        if self.decided_by_one:
            said.append(
                f"Least squares goes exactly through a frame that holds {', '.join(self.decided_by_one)}: an error in that frame goes into the reference unseen."
            )
        if self.gauge_free.n_reactions:
            said.append(
                f"No choice of references changes the {counted(self.gauge_free.n_reactions, 'independent reaction energy', 'independent reaction energies')} among these frames: "
                f"there the pretrained network has an RMSE of {ENERGY.error_with_unit(self.gauge_free.rmse)}."
            )
        if np.isfinite(self.line.slope):
            r = number_text(self.line.pearson, 2)
            slope = f"{self.line.slope:+z.2f}".replace("-", "−")
            said.append(
                f"w − w_GGA changes by {slope} eV per Z over {counted(self.line.n_elements, 'element')} (r = {r}; the paper, MPtrj to MP-r²SCAN: −0.69, r = −0.95)."
            )
        return tuple(said)


def diagnose(evidence: Evidence, comparison: Comparison, name: str) -> Diagnosis:
    """Look closely at the references of one of the compared schemes.

    Args:
        evidence: what was compared on.
        comparison: of it.
        name: the scheme's.
    """
    result = comparison.result(name)
    frames = evidence.train.frames
    reduced = triangle(frames.composition, frames.energy_per_atom)
    leverages = leverage(reduced, frames.composition)
    known = frames.n_frames > 0
    return Diagnosis(
        name=name,
        rank=reduced.rank,
        n_elements=len(reduced.present),
        groups=open_groups(reduced),
        n_frames=n_containing(frames.composition),
        leverages=leverages,
        element_leverage=element_leverage(leverages, frames.composition),
        sigma=result.sigma,
        residuals=element_residuals(-errors_of(evidence.w_gga, frames), -errors_of(result.references.energies, frames), frames.composition),
        gauge_free=_gauge_free(evidence, comparison, result),
        agreements=agreements(result.references.energies, known, frames),
        line=shift_against_z(result.shift, known),
        weighting=_weighting(comparison, known & ~reduced.open),
        leaky=result.references.leaky,
        external=result.references.external,
    )


def _gauge_free(evidence: Evidence, comparison: Comparison, result: SchemeResult) -> GaugeFree:
    """On the frames of the largest part, under the references of three schemes."""
    part = max(evidence.parts.values(), key=len)
    some = take(part.frames, np.arange(min(len(part), _MOST_CHECKED)))
    chosen = [comparison.w_gga, comparison.result(comparison.recommendation.name).references.energies, result.references.energies]
    return gauge_free(some, np.array(chosen))


def _weighting(comparison: Comparison, determined: np.ndarray) -> WeightingEffect:
    total, per_atom = (comparison.result(scheme.value) for scheme in (Scheme.LSTSQ_TOTAL, Scheme.LSTSQ))
    change = np.where(determined, total.references.energies - per_atom.references.energies, 0.0)
    largest = tuple((SYMBOLS[i], float(change[i])) for i in np.argsort(-np.abs(change))[:3] if change[i])
    return WeightingEffect(largest, total.test.mae, per_atom.test.mae)
