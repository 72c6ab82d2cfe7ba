"""The keys of the reference schemes: what files, options and pages name them by, and what each needs to be given."""

from __future__ import annotations

from enum import Enum

from xfunc_core.quantities import MISSING


class Need(Enum):
    """Something a scheme must be given; the value is how a sentence calls it."""

    ENERGIES = "frames with energies"
    MODEL = "the pretrained model's energies of these frames"
    GGA = "the pretrained model's references"
    ATOMS = "isolated-atom energies in the target functional"
    BOTH_ATOMS = "isolated-atom energies in both functionals from one source"
    SOLIDS = "energies of the elemental solids in the target functional"
    PRIOR = "a prior: a table, or the model's references and isolated-atom energies in both functionals"


class Scheme(Enum):
    """A way to choose the reference energies; the value is what files hold."""

    KEEP = "keep"
    NONE = "none"
    MEAN_SHIFT = "mean-shift"
    LSTSQ_TOTAL = "lstsq-total"
    LSTSQ = "lstsq"
    RIDGE = "ridge"
    RESIDUAL = "residual"
    SMOOTH = "residual-smooth"
    ISOLATED_ATOMS = "isolated-atoms"
    ELEMENTAL_SOLIDS = "elemental-solids"
    DELTA_GAUGE = "delta-gauge"
    RIDGE_TO_PRIOR = "ridge-to-prior"
    ROBUST = "robust"
    TRAINABLE = "trainable"
    TABLE = "table"

    @property
    def label(self) -> str:
        """The name on screen."""
        return _SAID[self][0]

    @property
    def sentence(self) -> str:
        """What it does and when to choose it."""
        return _SAID[self][1]

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot do without."""
        return _NEEDS.get(self, frozenset({Need.ENERGIES}))

    @property
    def needs_model(self) -> bool:
        """Whether the pretrained model's predictions enter the fit."""
        return Need.MODEL in self.needs or self in (Scheme.RIDGE_TO_PRIOR, Scheme.ROBUST)

    @property
    def is_fitted(self) -> bool:
        """Whether the energies of the training frames enter."""
        return Need.ENERGIES in self.needs


def scheme_label(value: object) -> str:
    """The name on screen of what a file names; the missing sign for what is no scheme."""
    return next((scheme.label for scheme in Scheme if scheme.value == value), MISSING)


_MODEL = frozenset({Need.ENERGIES, Need.MODEL, Need.GGA})
_NEEDS = {
    Scheme.KEEP: frozenset({Need.GGA}),
    Scheme.NONE: frozenset[Need](),
    Scheme.MEAN_SHIFT: _MODEL,
    Scheme.RESIDUAL: _MODEL,
    Scheme.SMOOTH: _MODEL,
    Scheme.TRAINABLE: _MODEL,
    Scheme.ISOLATED_ATOMS: frozenset({Need.ATOMS}),
    Scheme.ELEMENTAL_SOLIDS: frozenset({Need.SOLIDS}),
    Scheme.DELTA_GAUGE: frozenset({Need.GGA, Need.BOTH_ATOMS}),
    Scheme.RIDGE_TO_PRIOR: frozenset({Need.ENERGIES, Need.PRIOR}),
    Scheme.TABLE: frozenset[Need](),
}
_SAID = {
    Scheme.KEEP: ("Keep the GGA references", "w = w_GGA, unchanged (the paper's M3)."),
    Scheme.NONE: ("No references", "w = 0: the network has to explain whole energies; only to see what references are for."),
    Scheme.MEAN_SHIFT: ("GGA references, one shift", "w = w_GGA plus one number for all elements: robust, but blind to chemistry."),
    Scheme.LSTSQ_TOTAL: (
        "Least squares on total energies",
        "w = argmin Σ(E − n·w)²: a frame counts by the square of its number of atoms, so large cells decide.",
    ),
    Scheme.LSTSQ: (
        "Least squares on the energies (paper)",
        "w = argmin Σ(E/N − x·w)², the paper's choice: needs far more frames than elements, and says nothing of an element without data.",
    ),
    Scheme.RIDGE: (
        "Ridge towards zero",
        "w = argmin Σ(E/N − x·w)² + α Σw², α = 0.1 as in SevenNet: pulls every reference towards 0, a bias of eV where references reach −80 eV.",
    ),
    Scheme.RESIDUAL: (
        "Least squares on the model's residual",
        "w = w_GGA + argmin Σ((E − E_model)/N − x·c)²: knows what the network already explains, so a few frames per element are enough; an element without data gets the mean shift.",
    ),
    Scheme.SMOOTH: (
        "The model's residual, smooth in Z",
        "As the residual, with a prior that the shift follows the atomic number smoothly: best with few frames, and an element without data gets what its neighbours in Z suggest.",
    ),
    Scheme.ISOLATED_ATOMS: (
        "Isolated atoms",
        "w = energies of isolated atoms: no fit, but the network has to learn whole cohesive energies, and the atoms must come from the data's own code.",
    ),
    Scheme.ELEMENTAL_SOLIDS: (
        "Elemental solids",
        "w = energies per atom of the elemental solids, so that the network sees formation energies; the solids must come from the data's own code.",
    ),
    Scheme.DELTA_GAUGE: (
        "GGA references, shifted as the atoms",
        "w = w_GGA + E_atom(target) − E_atom(PBE): needs no data at all, but isolated atoms of the data's own code.",
    ),
    Scheme.RIDGE_TO_PRIOR: (
        "Least squares drawn to a prior",
        "w = argmin Σ(r − x·w)² + λ|w − w_prior|², the prior being the atoms' shift and λ chosen by the evidence: the best with few frames where atoms of the same code exist.",
    ),
    Scheme.ROBUST: (
        "Robust least squares",
        "As the residual, with Huber's loss: frames whose energy is wrong pull with bounded strength only.",
    ),
    Scheme.TRAINABLE: (
        "Trained along with the network",
        "Starts from another scheme and trains w by gradient with a learning rate of its own; the paper's M2 starts at w_GGA and shares the network's rate, far too low for shifts of eV.",
    ),
    Scheme.TABLE: (
        "A table that was brought along",
        "w = the energies of a file, as they are: those of another program, of an earlier run, or your own atoms.",
    ),
}
