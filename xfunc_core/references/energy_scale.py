"""Whether a table of references belongs to the energy scale of the frames at hand.

Energies of another code, of other potentials or of another functional are shifted by many eV per atom, by more for heavy elements.
A table that belongs to the frames leaves, after one shift for all elements, what chemistry makes of it: 1 eV/atom between elements
if it is made for the pretrained network, 3 eV/atom if it holds whole atoms or solids (measured: docs/references.md). One that does
not belong leaves 10 eV/atom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.elements import SYMBOLS
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.refits import take
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.smooth import smooth_posterior
from xfunc_core.references.solvers import dense, triangle

LIMIT = 2.0
"""eV/atom between elements, for references made for the pretrained network, such as its own ones plus a shift."""
LIMIT_ABSOLUTE = 5.0
"""eV/atom, for isolated atoms and elemental solids: their distance to the network's references is chemistry, and large itself."""
FEWEST_ELEMENTS = 5
_TAIL = 0.1
_MOST_FRAMES = 5_000
"""Of more, this many are looked at, evenly spread."""


@dataclass(frozen=True)
class ScaleCheck:
    """How a table fits the energy scale of some frames.

    Attributes:
        table: what it is, for a reader.
        n_elements: elements it was looked at for.
        shift: the one shift for all elements that was taken off, eV/atom (median).
        spread: half the distance from the lowest to the highest tenth of what the table leaves per element, eV/atom.
        limit: the spread above which it does not fit.
        fitted_leaves: mean absolute residual of the frames under references fitted to them, eV/atom.
        largest: elements for which the table is furthest off, with eV/atom after the shift.
    """

    table: str
    n_elements: int
    shift: float
    spread: float
    limit: float
    fitted_leaves: float
    largest: tuple[tuple[str, float], ...]

    @property
    def fits(self) -> bool | None:
        """Whether the table belongs to this scale; None with too few elements to tell."""
        return None if self.n_elements < FEWEST_ELEMENTS else self.spread <= self.limit

    @property
    def sentence(self) -> str:
        """The finding with its numbers."""
        if self.fits is None:
            return f"Fewer than {FEWEST_ELEMENTS} elements ({self.n_elements} here) cannot tell whether {self.table} fit the energy scale of these data."
        far = ", ".join(f"{symbol} {value:+.1f}".replace("-", "−") for symbol, value in self.largest)
        left = f"after one shift for all they leave {self.spread:.1f} eV/atom between the {self.n_elements} elements ({far}), where fitted references leave {self.fitted_leaves:.2f} eV/atom per frame"
        if self.fits:
            return f"{_capitalised(self.table)} fit the energy scale of these data: {left}."
        return f"{_capitalised(self.table)} do not fit the energy scale of these data (another code, other potentials or another functional): {left}."


def scale_check(table: str, energies: np.ndarray, frames: ReferenceFrames, limit: float = LIMIT) -> ScaleCheck:
    """Compare what a table leaves with what fitted references leave.

    What it leaves is label − model − x·(w_table − w_GGA), turned into a number per element by the fit of
    `xfunc_core.references.smooth`, which also tells what fitted references leave.

    Args:
        table: what it is, for a reader, in the plural.
        energies: eV/atom, shape (94,); NaN where the table has nothing. Frames with such an element are not looked at.
        frames: with labels and what the model says of them.
        limit: the spread in eV/atom above which it does not fit.
    """
    known = np.isfinite(energies)
    x = dense(frames.composition)
    usable = (x[:, ~known] == 0).all(axis=1) & np.isfinite(frames.energy_per_atom - frames.model_energy)
    if not usable.any():
        return ScaleCheck(table, 0, np.nan, np.nan, limit, np.nan, ())
    rows = np.flatnonzero(usable)
    some = take(frames, rows[:: -(-len(rows) // _MOST_FRAMES)])
    left = some.energy_per_atom - some.model_energy - some.composition @ np.where(known, energies - frames.w_gga, 0.0)
    reduced = triangle(some.composition, left)
    per_element, _ = smooth_posterior(reduced)
    fitted_leaves = float(np.abs(left - some.composition @ per_element).mean())
    present = per_element[reduced.present]
    shift = float(np.median(present))
    low, high = np.quantile(present, [_TAIL, 1 - _TAIL])
    order = np.argsort(-np.abs(present - shift))[:3]
    largest = tuple((SYMBOLS[reduced.present[i]], float(present[i] - shift)) for i in order)
    return ScaleCheck(table, len(present), shift, float((high - low) / 2), limit, fitted_leaves, largest)


def scheme_scale(scheme: Scheme, frames: ReferenceFrames, table: np.ndarray | None = None, name: str = "the table") -> ScaleCheck | None:
    """The check of what a scheme brings from elsewhere; None for a scheme that brings nothing, or where the frames lack it.

    Args:
        scheme: which one.
        frames: with labels and what the model says of them; x·w_GGA may stand in for the model, whose part is small.
        table: for `Scheme.TABLE`, eV/atom, shape (94,), NaN where it has nothing.
        name: of that table, in the plural.
    """
    source, target = frames.external_source, frames.functional.label
    if scheme in (Scheme.DELTA_GAUGE, Scheme.RIDGE_TO_PRIOR) and not frames.lacks(Scheme.DELTA_GAUGE.needs):
        return scale_check(f"the GGA references with the shift of {source} atoms", frames.delta_gauge, frames, LIMIT)
    if scheme is Scheme.ISOLATED_ATOMS and frames.own_atoms is not None:
        return scale_check("the isolated atoms that came with the data", frames.own_atoms, frames, LIMIT_ABSOLUTE)
    if scheme is Scheme.ISOLATED_ATOMS and frames.functional in frames.isolated_atoms:
        return scale_check(f"isolated atoms of {source} in {target}", frames.isolated_atoms[frames.functional], frames, LIMIT_ABSOLUTE)
    if scheme is Scheme.ELEMENTAL_SOLIDS and frames.elemental_solids is not None:
        return scale_check(f"elemental solids of {source} in {target}", frames.elemental_solids, frames, LIMIT_ABSOLUTE)
    if scheme is Scheme.TABLE and table is not None:
        return scale_check(name, table, frames, LIMIT_ABSOLUTE)
    return None


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
