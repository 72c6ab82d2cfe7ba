"""Which elements tell how far two functionals' formation energies lie apart: decision-tree importances, as the paper has them, and a check on them.

Impurity importances (Breiman, Classification and Regression Trees, 1984) sum to one over the elements and favour those that occur often
and in many fractions, so the paper divides by the number of atoms; permutation importances on materials that the tree has not seen
(Breiman, Mach. Learn. 45, 5 (2001)) stand beside them with their spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from xfunc_core.analysis.metrics import as_composition
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.quantities import count_text

MIN_MATERIALS = 50
"""Fewest materials to grow a tree on, ten of them held out."""
MAX_ROWS = 20_000
"""Rows that a tree is grown on; of more this many are drawn at random, so that it takes seconds."""
HELD_OUT = 0.2
"""Share of the materials held out for permutation importances."""
N_REPEATS = 10


@dataclass(frozen=True)
class ElementImportances:
    """Importances of the elements for a difference of energies.

    Attributes:
        table: indexed by symbol in order of Z, elements that occur only; columns ``z``, ``n`` (rows with the element), ``atoms`` (atoms
            of it in those rows), ``impurity`` (sums to 1), ``per_atom`` (``impurity`` / ``atoms``, the paper's), ``permutation`` and
            ``permutation_std`` (rise of the root mean square error on held-out materials when the element's fraction is shuffled among
            them, mean and standard deviation over repeats, eV/atom).
        n: rows with a difference.
        n_used: rows that the tree of ``impurity`` is grown on.
        n_held_out: rows that ``permutation`` is measured on, by a tree grown on the others.
        rmse_held_out: error of that tree on them, eV/atom.
        std_held_out: standard deviation of the difference among them, eV/atom: the error of a tree that knows nothing.
    """

    table: pd.DataFrame
    n: int
    n_used: int
    n_held_out: int
    rmse_held_out: float
    std_held_out: float


def element_importances(
    composition: ArrayLike, difference: ArrayLike, materials: ArrayLike | None = None, n_atoms: ArrayLike | None = None, seed: int = 0
) -> ElementImportances:
    """Grow decision trees of a difference on atomic fractions and ask which elements they use.

    Args:
        composition: shape (P, 94), atomic fractions, column Z − 1.
        difference: shape (P,), eV/atom, such as the formation energy in GGA less that in r²SCAN; NaN rows are left out.
        materials: shape (P,), whole numbers, the same for rows of one material; every row its own if None.
        n_atoms: shape (P,), atoms of each structure, which make ``atoms``; every structure counts as one atom if None.
        seed: of the trees, the rows drawn, the materials held out and the shuffling.

    Raises:
        DataError: the shapes do not fit, or there are fewer than `MIN_MATERIALS` materials.
    """
    difference = np.asarray(difference, dtype=float)
    fractions = as_composition(composition, difference.size)
    materials = np.arange(difference.size) if materials is None else np.asarray(materials)
    atoms = np.ones(difference.size) if n_atoms is None else np.asarray(n_atoms, dtype=float)
    if materials.shape != difference.shape or atoms.shape != difference.shape:
        raise DataError(
            f"There are {materials.size} materials and {atoms.size} numbers of atoms for {difference.size} differences; one for each is needed."
        )
    known = np.flatnonzero(np.isfinite(difference))
    used = known if known.size <= MAX_ROWS else np.sort(np.random.default_rng(seed).choice(known, MAX_ROWS, replace=False))
    n_materials = np.unique(materials[used]).size
    if n_materials < MIN_MATERIALS:
        raise DataError(f"Importances need the energy differences of {MIN_MATERIALS} materials, and there are {count_text(n_materials)}.")
    present = np.flatnonzero((fractions[used] > 0).any(axis=0))
    x, y = fractions[np.ix_(used, present)], difference[used]
    found = _trees(x, y, materials[used], seed)
    columns = {"z": present + 1, "n": (x > 0).sum(axis=0), "atoms": x.T @ atoms[used], **found.columns}
    table = pd.DataFrame(columns, index=pd.Index([SYMBOLS[z] for z in present], name="element"))
    table.insert(4, "per_atom", table["impurity"] / table["atoms"])
    return ElementImportances(table, known.size, used.size, found.held_out.size, found.rmse, float(y[found.held_out].std()))


@dataclass(frozen=True)
class _Trees:
    """What two trees say: one on all rows, one that is asked about materials held out."""

    columns: dict[str, np.ndarray]
    held_out: np.ndarray
    rmse: float


def _trees(x: np.ndarray, y: np.ndarray, materials: np.ndarray, seed: int) -> _Trees:
    from sklearn.inspection import permutation_importance  # a second, which a page need not pay at its start
    from sklearn.metrics import root_mean_squared_error
    from sklearn.model_selection import GroupShuffleSplit
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(random_state=seed)
    impurity = tree.fit(x, y).feature_importances_
    fitted, held_out = next(GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed).split(x, groups=materials))
    tree.fit(x[fitted], y[fitted])
    asked = x[held_out], y[held_out]
    shuffled = permutation_importance(tree, *asked, scoring="neg_root_mean_squared_error", n_repeats=N_REPEATS, random_state=seed)
    columns = {"impurity": impurity, "permutation": shuffled.importances_mean, "permutation_std": shuffled.importances_std}
    return _Trees(columns, held_out, float(root_mean_squared_error(asked[1], tree.predict(asked[0]))))
