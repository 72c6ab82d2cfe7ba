"""How far reference energies can be trusted: leverage, residuals per element, the gauge-free check, other tables, the shift against Z.

All of it is about frames and references that are already there; nothing is chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xfunc_core.elements import SYMBOLS
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.published import atomref, matpes_atoms
from xfunc_core.references.solvers import Composition, Triangle, dense, n_containing, triangle

DECIDED = 0.999
"""Leverage from which a frame is fitted exactly, whatever its energy: some reference hangs on it alone."""
_QUARTILES = (0.25, 0.5, 0.75)
_ROWS = 4096


@dataclass(frozen=True)
class ElementResiduals:
    """What label − prediction is in the frames that hold an element, before and after new references.

    Attributes:
        element: its symbol.
        n_frames: frames that hold it.
        before: first quartile, median and third quartile with the pretrained model's references, eV/atom.
        after: the same with the new ones.
        largest: of the absolute values after, eV/atom.
    """

    element: str
    n_frames: int
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    largest: float


@dataclass(frozen=True)
class Agreement:
    """References against a published table, over the elements that both have.

    Attributes:
        table: what the table is.
        n_elements: elements compared.
        mean_gap: mean of here − there, eV/atom.
        spread: mean absolute gap after that mean is taken off, eV/atom.
        pearson: correlation coefficient of the two; NaN for fewer than three elements.
        largest: symbols and gaps, less the mean, of the elements that differ most, eV/atom.
    """

    table: str
    n_elements: int
    mean_gap: float
    spread: float
    pearson: float
    largest: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ShiftAgainstZ:
    """The straight line of w − w_GGA against the atomic number. The paper finds −0.69 eV per Z, r = −0.948, from MPtrj to MP-r²SCAN.

    Attributes:
        n_elements: elements it is drawn through.
        slope: eV/atom per Z.
        intercept: eV/atom at Z = 0.
        pearson: correlation coefficient; NaN for fewer than three elements.
    """

    n_elements: int
    slope: float
    intercept: float
    pearson: float


@dataclass(frozen=True)
class GaugeFree:
    """What no choice of references can change: the error of reaction energies among the frames.

    Attributes:
        n_reactions: independent reactions, that is frames minus the rank of their compositions.
        rmse: root mean square error of the pretrained network in them, eV/atom; a floor for every scheme. NaN without a reaction.
        largest_change: how much that number moves from scheme to scheme, eV/atom; rounding only.
    """

    n_reactions: int
    rmse: float
    largest_change: float


def leverage(reduced: Triangle, composition: Composition) -> np.ndarray:
    """Leverage of each frame in a least-squares fit of references, 0 to 1, shape (F,): xᵀ(XᵀX)⁺x.

    Args:
        reduced: the `Triangle` of the frames of the fit, unweighted.
        composition: the same frames' atomic fractions, shape (F, 94).
    """
    singular, right, _ = reduced.svd
    basis = right[: reduced.rank].T / singular[: reduced.rank]
    blocks = [dense(composition[start : start + _ROWS])[:, reduced.present] @ basis for start in range(0, composition.shape[0], _ROWS)]
    return np.concatenate([np.square(block).sum(axis=1) for block in blocks] or [np.empty(0)])


def element_leverage(leverages: np.ndarray, composition: Composition) -> np.ndarray:
    """The largest leverage among the frames that hold each element, shape (94,); NaN for elements in no frame."""
    largest = np.full(composition.shape[1], np.nan)
    for column in np.flatnonzero(n_containing(composition)):
        holds = np.asarray(dense(composition[:, [column]])).ravel() > 0
        largest[column] = leverages[holds].max()
    return largest


def element_residuals(before: np.ndarray, after: np.ndarray, composition: Composition) -> tuple[ElementResiduals, ...]:
    """Residuals by element, in order of Z.

    Args:
        before: label − prediction with the pretrained model's references, eV/atom, shape (F,), finite.
        after: the same with new references.
        composition: atomic fractions, shape (F, 94).
    """
    found = []
    for column in np.flatnonzero(n_containing(composition)):
        holds = np.asarray(dense(composition[:, [column]])).ravel() > 0
        quartiles = [tuple(float(q) for q in np.quantile(values[holds], _QUARTILES)) for values in (before, after)]
        found.append(ElementResiduals(SYMBOLS[column], int(holds.sum()), quartiles[0], quartiles[1], float(np.abs(after[holds]).max())))
    return tuple(found)


def gauge_free(frames: ReferenceFrames, energies: np.ndarray) -> GaugeFree:
    """The error that is left when every combination of references is projected out, under several references at once.

    Args:
        frames: with labels and what the model says of them, all finite.
        energies: references of S schemes, eV/atom, shape (S, 94).
    """
    errors = (frames.energy_per_atom - frames.model_energy)[:, None] - np.asarray(frames.composition @ (energies - frames.w_gga).T)
    left = [triangle(frames.composition, column) for column in errors.T]
    n = len(errors) - left[0].rank
    if n <= 0:
        return GaugeFree(0, np.nan, 0.0)
    each = np.sqrt(np.array([_outside(reduced) for reduced in left]) / n)
    return GaugeFree(n, float(np.median(each)), float(np.ptp(each)))


def agreements(energies: np.ndarray, known: np.ndarray, frames: ReferenceFrames) -> tuple[Agreement, ...]:
    """References against the tables that chgnet ships and the isolated atoms of MatPES.

    Args:
        energies: eV/atom, shape (94,).
        known: elements to compare, shape (94,), bool; those with data.
        frames: whose functional and w_GGA the tables of atoms are taken for.
    """
    return tuple(_agreement(name, energies, np.where(known, table, np.nan)) for name, table in published_tables(frames).items())


def published_tables(frames: ReferenceFrames) -> Mapping[str, np.ndarray]:
    """What references can be held against, eV/atom, shape (94,) each, NaN where a table has nothing; the first is w_GGA.

    Args:
        frames: whose functional and w_GGA the tables of atoms are taken for.
    """
    return {
        "chgnet 0.3.0 (MPtrj, GGA/GGA+U)": atomref("mptrj"),
        "chgnet r2scan (MP-r²SCAN)": atomref("r2scan"),
        f"MatPES isolated atoms, {frames.functional.label}": matpes_atoms(frames.functional),
        "MatPES atoms' shift on top of the GGA references": frames.delta_gauge,
    }


def shift_against_z(shift: np.ndarray, known: np.ndarray) -> ShiftAgainstZ:
    """The line through w − w_GGA, eV/atom, shape (94,), of the elements with data, shape (94,), bool."""
    z = np.flatnonzero(known) + 1.0
    if len(z) < 3:
        return ShiftAgainstZ(len(z), np.nan, np.nan, np.nan)
    slope, intercept = np.polyfit(z, shift[known], 1)
    return ShiftAgainstZ(len(z), float(slope), float(intercept), _pearson(z, shift[known]))


def _agreement(name: str, energies: np.ndarray, table: np.ndarray) -> Agreement:
    both = np.flatnonzero(np.isfinite(table))
    gap = energies[both] - table[both]
    mean = float(gap.mean()) if len(gap) else np.nan
    order = np.argsort(-np.abs(gap - mean))[:3]
    largest = tuple((SYMBOLS[both[i]], float(gap[i] - mean)) for i in order)
    spread = float(np.abs(gap - mean).mean()) if len(gap) else np.nan
    return Agreement(name, len(both), mean, spread, _pearson(energies[both], table[both]), largest)


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _outside(reduced: Triangle) -> float:
    """Squared norm of the target outside the span of the compositions, the open directions' part included."""
    _, _, along = reduced.svd
    return reduced.outside + float(np.square(along[reduced.rank :]).sum())
