"""From references to a `SchemeResult`: the network's errors by part before fine-tuning, their spread over refits, the loss to expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.analysis.metrics import error_by_element, error_summary
from xfunc_core.elements import N_REFERENCED
from xfunc_core.lab.evidence import Evidence, Part
from xfunc_core.lab.results import Interval, SchemeResult, WorstElement
from xfunc_core.references.element_references import ElementReferences
from xfunc_core.references.energy_scale import ScaleCheck
from xfunc_core.references.refits import errors_of
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.solvers import dense

_CENTRAL = (0.025, 0.975)
_WORST = 3


@dataclass(frozen=True)
class Candidate:
    """References to be measured.

    Attributes:
        scheme: which one.
        label: its name on screen.
        references: as a run would start with them.
        moved: energies over refits, eV/atom, shape (refits, 94); one row for what is not fitted.
        held_out: errors on the held-out frames, predicted − label in eV/atom; NaN where a frame could not be left out.
        scale: how it fits the energy scale of the data, for what comes from elsewhere.
    """

    scheme: Scheme
    label: str
    references: ElementReferences
    moved: np.ndarray
    held_out: np.ndarray
    scale: ScaleCheck | None = None


def measure(candidate: Candidate, evidence: Evidence) -> SchemeResult:
    """Everything a comparison tells about one candidate."""
    energies = candidate.references.energies
    errors = {part: errors_of(energies, some.frames) for part, some in evidence.parts.items()}
    mae = {part: float(np.abs(e).mean()) for part, e in errors.items()}
    sigma = candidate.moved.std(axis=0, ddof=1) if len(candidate.moved) > 1 else np.full(N_REFERENCED, np.nan)
    return SchemeResult(
        scheme=candidate.scheme,
        name=candidate.scheme.value,
        label=candidate.label,
        sentence=candidate.scheme.sentence,
        references=candidate.references,
        shift=energies - evidence.w_gga,
        sigma=np.where(evidence.train.n_materials_with > 1, sigma, np.nan),
        **{part: error_summary(np.zeros(len(e)), e) for part, e in errors.items()},
        held_out=error_summary(np.zeros(len(candidate.held_out)), candidate.held_out),
        validation_interval=_interval(candidate.moved, mae["validation"], evidence.validation),
        test_interval=_interval(candidate.moved, mae["test"], evidence.test),
        test_errors=errors["test"],
        first_loss=first_loss(errors["train"], evidence.settings.energy_weight, evidence.settings.huber_delta),
        worst=_worst(errors["test"], evidence.test),
        scale=candidate.scale,
    )


def first_loss(errors: np.ndarray, weight: float, delta: float) -> float:
    """The energy term of the loss, weight · mean Huber(error), as the trainer has it before its first step.

    Args:
        errors: predicted − label of the training frames, eV/atom.
        weight: of the energy in the loss.
        delta: where the Huber loss turns linear, eV/atom.
    """
    size = np.abs(errors)
    return float(weight * np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).mean())


def _interval(moved: np.ndarray, mae: float, part: Part) -> Interval:
    maes = [float(np.abs(errors_of(energies, part.frames)).mean()) for energies in moved]
    low, high = np.quantile([*maes, mae] if len(maes) < 2 else maes, _CENTRAL)
    return Interval(min(float(low), mae), max(float(high), mae))


def _worst(errors: np.ndarray, part: Part) -> tuple[WorstElement, ...]:
    table = error_by_element(np.abs(errors), dense(part.frames.composition)).sort_values("mae", ascending=False).head(_WORST)
    return tuple(WorstElement(str(row.Index), float(row.mae), int(row.n_frames)) for row in table.itertuples())
