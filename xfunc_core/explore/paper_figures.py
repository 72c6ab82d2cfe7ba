"""The data of Figures 1 and 2 of Huang et al. 2025 (npj Comput. Mater. 11, 313), of any source of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xfunc_core.analysis.agreement import Agreement
from xfunc_core.analysis.importances import ElementImportances, element_importances
from xfunc_core.explore.compared import Source
from xfunc_core.explore.exploration import Exploration, explore
from xfunc_core.references.paired import PairedReferences

BINS = 60


@dataclass(frozen=True)
class PaperFigures:
    """What both figures draw.

    Attributes:
        total: totals, Fig. 1a's scatter; its difference is the histogram.
        referenced: the scatter after references are subtracted, Fig. 2.
        formation: formation energies, whose difference the importances are of.
        seed: of the tree.
    """

    total: Exploration
    referenced: Exploration
    formation: Exploration
    seed: int = 0

    @property
    def before(self) -> Agreement:
        """Agreement of the totals."""
        return self.total.overall

    @property
    def after(self) -> Agreement:
        """Agreement once references are subtracted."""
        return self.referenced.overall

    def histogram(self, n_bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
        """Edges, shape (B + 1,), and counts, shape (B,), of r²SCAN − PBE in eV/atom; empty where there are no pairs."""
        difference = self.total.rows.difference
        if not len(difference):
            return np.empty(0), np.empty(0, dtype=int)
        counts, edges = np.histogram(difference, bins=n_bins)
        return edges, counts

    @cached_property
    def importances(self) -> ElementImportances:
        """Which elements decide PBE − r²SCAN formation energies; see `xfunc_core.analysis.importances`.

        Raises:
            DataError: there are too few materials to grow a tree on.
        """
        rows, source = self.formation.rows, self.formation.source
        n_atoms = source.frames["n_atoms"].to_numpy()[rows.pair]
        return element_importances(source.composition[rows.pair], rows.x - rows.y, self.formation.materials, n_atoms, self.seed)


def paper_figures(source: Source, references: PairedReferences, keep: np.ndarray | None = None, seed: int = 0) -> PaperFigures:
    """The data of both figures.

    Args:
        source: the pairs.
        references: what is subtracted for Fig. 2.
        keep: shape (P,), bool, the pairs that count; all if None.
        seed: of the tree.
    """
    total, formation = (explore(source, key, keep=keep) for key in ("total", "formation"))
    return PaperFigures(total, explore(source, "referenced", references, keep=keep), formation, seed)
