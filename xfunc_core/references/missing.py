"""Elements without a reference: who they are, and what a run does about them. Decided before anything starts."""

from __future__ import annotations

from enum import Enum

import numpy as np

from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.quantities import Functional
from xfunc_core.references.published import atomref, matpes_atoms, matpes_solids
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.solvers import Composition, dense, n_containing


class MissingReference(Enum):
    """What happens to frames that hold an element without a reference of its own; the value is what files hold."""

    FAIL = "fail"
    PRIOR = "prior"
    DROP = "drop"

    @property
    def label(self) -> str:
        """The name on screen."""
        return {"fail": "Refuse the run", "prior": "Use the prior", "drop": "Drop their frames"}[self.value]

    @property
    def sentence(self) -> str:
        """What it does."""
        return {
            "fail": "Refuse the run and name the elements.",
            "prior": "Use what the scheme expects without data; if it expects nothing, what the shift's smoothness in Z suggests.",
            "drop": "Leave the frames out, and list them.",
        }[self.value]


def without_reference(
    scheme: Scheme, fitted: Composition, functional: Functional, own_atoms: np.ndarray | None = None, table: np.ndarray | None = None
) -> np.ndarray:
    """Which elements a scheme would have no number of its own for, shape (94,), bool.

    Args:
        scheme: for a trainable one, give its start.
        fitted: atomic fractions of the training frames that have an energy, shape (F, 94).
        functional: of the labels.
        own_atoms: isolated atoms that come with the data, eV, shape (94,), NaN where it has none.
        table: that was brought along, eV/atom, as above; for `Scheme.TABLE`.
    """
    if scheme is Scheme.TABLE and table is not None:
        return np.isnan(table)
    if scheme is Scheme.NONE:
        return np.zeros(N_REFERENCED, dtype=bool)
    if scheme is Scheme.KEEP:
        return np.isnan(atomref("mptrj"))
    if scheme is Scheme.ISOLATED_ATOMS:
        return np.isnan(matpes_atoms(functional) if own_atoms is None else own_atoms)
    if scheme is Scheme.ELEMENTAL_SOLIDS:
        return np.isnan(matpes_solids(functional))
    if scheme is Scheme.DELTA_GAUGE:
        return np.isnan(atomref("mptrj") + matpes_atoms(functional) + matpes_atoms(Functional.PBE))
    return n_containing(fitted) == 0


def elements_of(composition: Composition, among: np.ndarray) -> list[tuple[str, ...]]:
    """For each frame the symbols of its elements that are in ``among``, shape (94,), bool."""
    hit = (dense(composition) > 0) & among
    return [tuple(SYMBOLS[i] for i in np.flatnonzero(row)) for row in hit]
