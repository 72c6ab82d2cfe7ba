"""Which scheme to take: by errors on frames that were not fitted to, never by the test labels; and what the test part says to that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xfunc_core.lab.results import Recommendation, SchemeResult
from xfunc_core.quantities import ENERGY, count_text, counted
from xfunc_core.references.scheme import Scheme

NOT_A_CHOICE = (Scheme.TABLE, Scheme.NONE, Scheme.TRAINABLE)
"""A table that was brought along may have been fitted to these very frames; no references only show what references are for; trainable ones
start from another scheme and are that scheme before training."""
_STANDARD_ERRORS = 2.0
"""A difference of fewer is one that the test part cannot tell from none."""


def recommend(results: Sequence[SchemeResult], test_materials: np.ndarray, n_validation: int) -> Recommendation:
    """The scheme with the lowest MAE on held-out frames, with the reason and the test part's word on it.

    Args:
        results: of every scheme that can be used.
        test_materials: the material of each test frame, shape (n_test,).
        n_validation: validation frames among the held-out ones.
    """
    ranked = sorted((r for r in results if r.scheme not in NOT_A_CHOICE), key=lambda r: (r.held_out.mae, r.held_out.rmse))
    chosen = ranked[0]
    runner_up = (
        f" against {ENERGY.error(ranked[1].held_out.mae)} for “{ranked[1].label}” ({ranked[1].name}), the next" if len(ranked) > 1 else ""
    )
    left_out = chosen.held_out.n - n_validation
    frames = f"{count_text(n_validation)} of the validation part" + (
        f" and {count_text(left_out)} left out in turn of the training subset" if left_out else ""
    )
    reason = (
        f"The lowest MAE on frames that it was not fitted to: {ENERGY.error_with_unit(chosen.held_out.mae)}{runner_up} "
        f"({counted(chosen.held_out.n, 'frame')}: {frames}). No test label was looked at."
    )
    best = min(ranked, key=lambda r: r.test.mae)
    on_test = " ".join([_on_test(chosen, best, test_materials), *(_tie(r) for r in results if r.starts_as is chosen.scheme)])
    return Recommendation(chosen.name, reason, on_test, best.test.mae >= chosen.test.mae)


def _tie(other: SchemeResult) -> str:
    return f"“{other.label}” ({other.name}) starts from it and is the same before training."


def _on_test(chosen: SchemeResult, best: SchemeResult, materials: np.ndarray) -> str:
    n = f"{counted(chosen.test.n, 'frame')} of {counted(len(np.unique(materials)), 'material')}"
    if best.test.mae >= chosen.test.mae:
        return f"It also has the lowest test MAE of all schemes: {ENERGY.error_with_unit(chosen.test.mae)} on {n}."
    gap, error = paired_difference(chosen.test_errors, best.test_errors, materials)
    numbers = f"{ENERGY.error(best.test.mae)} against {ENERGY.error_with_unit(chosen.test.mae)} on {n}"
    difference = f"the difference is {ENERGY.error(gap)} ± {ENERGY.error_with_unit(error)}"
    if not error * _STANDARD_ERRORS < gap:
        why = f"{difference} (standard error over materials), so the test part cannot tell the two apart"
    else:
        why = f"{difference} (standard error over materials), so the test frames differ from the {counted(chosen.held_out.n, 'frame')} that the choice was made by"
    return f"On the test part “{best.label}” ({best.name}) is lower, {numbers}: {why}. The choice stands, since one made on the test part would flatter itself."


def paired_difference(a: np.ndarray, b: np.ndarray, materials: np.ndarray) -> tuple[float, float]:
    """Mean of |a| − |b| over frames, and its standard error with whole materials as the independent draws; NaN for one material.

    Args:
        a, b: errors of the same frames, shape (F,).
        materials: the material of each frame, shape (F,).
    """
    gap = np.abs(a) - np.abs(b)
    _, owner = np.unique(materials, return_inverse=True)
    sums = np.bincount(owner, weights=gap - gap.mean())
    n = len(sums)
    return float(gap.mean()), float(np.sqrt(n / (n - 1) * np.square(sums).sum()) / len(gap)) if n > 1 else float("nan")
