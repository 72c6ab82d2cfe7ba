"""What can be compared between two functionals, and the rows of each quantity: a value in PBE, one in r²SCAN, and the pair they belong to.

`COMPARED` is the registry; `rows` gives the rows of one entry. Quantities of a frame are worked out in `xfunc_core.explore.frame_rows`,
those of its atoms in `xfunc_core.explore.atom_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from xfunc_core.analysis.groups import Attribution
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pairs import Pairs
from xfunc_core.quantities import ENERGY, FORCE, MAGMOM, STRESS, Quantity

Source = Pairs | PairTable
"""Where pairs come from: two datasets, or a table of relaxed pairs."""

ANGLE_FLOOR = 0.05
"""eV/Å; a force must exceed it in both functionals for its direction to mean something."""
ANGLE = Quantity("force_angle", "Angle between forces", "°", "°", 1.0, 1, 1)
PRESSURE = Quantity("pressure", "Pressure", "GPa", "GPa", 1.0, 3, 2)
VOLUME = Quantity("volume", "Volume", "Å³/atom", "Å³/atom", 1.0, 3, 2)


class Per(Enum):
    """What one row stands for."""

    PAIR = "pair"
    ATOM = "atom"
    COMPONENT = "component"


N_TITLES = {Per.PAIR: "Pairs", Per.ATOM: "Atoms", Per.COMPONENT: "Components"}
"""What N counts, as the name of a column."""


@dataclass(frozen=True)
class Compared:
    """A quantity that both functionals have.

    Attributes:
        key: in commands, files and addresses.
        label: on screen.
        quantity: unit and number format of values and errors.
        per: what one row stands for.
        sentence: how it is made, for a reader.
        symbol: on axes, such as ``E − x·w``.
        of_atoms: whether a row belongs to one atom, and so may count for that atom's own element.
        one_sided: whether there is one number for both functionals, such as the angle between them.
    """

    key: str
    label: str
    quantity: Quantity
    per: Per
    sentence: str
    of_atoms: bool = False
    one_sided: bool = False

    @property
    def attributions(self) -> tuple[Attribution, ...]:
        """How its rows may be shared among elements, the usual way first."""
        shared = (Attribution.CONTAINS, Attribution.WEIGHTED)
        return (Attribution.OWN, *shared) if self.of_atoms else shared


COMPARED: dict[str, Compared] = {
    c.key: c
    for c in (
        Compared("total", "Total energy", ENERGY, Per.PAIR, "Total energies per atom as they are."),
        Compared(
            "referenced",
            "Referenced energy",
            ENERGY,
            Per.PAIR,
            "Total energies per atom minus each functional's own elemental references, E − x·w.",
        ),
        Compared("formation", "Formation energy", ENERGY, Per.PAIR, "Energies per atom over the elemental solids in the same functional."),
        Compared(
            "within_material",
            "Energy within a material",
            ENERGY,
            Per.PAIR,
            "Deviation of each energy per atom from the mean over the pairs of one material and composition; no reference enters.",
        ),
        Compared("force", "Force components", FORCE, Per.COMPONENT, "Cartesian components of the forces on all atoms.", of_atoms=True),
        Compared(
            "force_norm",
            "Force",
            replace(FORCE, key="force_norm", label="|F|"),
            Per.ATOM,
            "Magnitude of the force on each atom.",
            of_atoms=True,
        ),
        Compared(
            "force_angle",
            "Angle between forces",
            ANGLE,
            Per.ATOM,
            f"Angle between the two force vectors on an atom, where both exceed {ANGLE_FLOOR:g} eV/Å.",
            of_atoms=True,
            one_sided=True,
        ),
        Compared("stress", "Stress components", STRESS, Per.COMPONENT, "The six components of the stress, tension positive."),
        Compared("pressure", "Pressure", PRESSURE, Per.PAIR, "−(σxx + σyy + σzz)/3, compression positive."),
        Compared(
            "magmom", "Magnetic moment", MAGMOM, Per.ATOM, "Absolute magnetic moment of each atom, as CHGNet learns it.", of_atoms=True
        ),
        Compared("volume", "Volume", VOLUME, Per.PAIR, "Relaxed volume per atom."),
    )
}
"""Every quantity by its key, in the order of the page."""


@dataclass(frozen=True)
class ComparedRows:
    """Rows of one quantity; every row is finite on both sides.

    Attributes:
        key: of `COMPARED`.
        x: PBE values, shape (R,); all NaN where the quantity is one-sided.
        y: r²SCAN values, shape (R,), in the same unit.
        pair: which pair of the source each row belongs to, shape (R,), ascending.
        element: Z of the atom each row belongs to, shape (R,); None where rows belong to no atom.
        left_out: how many of what is missing for which reason, such as ``pairs without both energies``.
        notes: what else a reader must know of how the rows were made, a sentence each.
    """

    key: str
    x: np.ndarray
    y: np.ndarray
    pair: np.ndarray
    element: np.ndarray | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def compared(self) -> Compared:
        """The quantity."""
        return COMPARED[self.key]

    @property
    def one_sided(self) -> bool:
        """Whether ``y`` alone has values."""
        return self.compared.one_sided

    @property
    def difference(self) -> np.ndarray:
        """r²SCAN − PBE, shape (R,); of a one-sided quantity the quantity itself."""
        return self.y if self.one_sided else self.y - self.x


def energy_scales(source: Source) -> list[str]:
    """What the energies of both functionals refer to, such as ``["GPAW 26.7"]``, sorted; ``not said`` where the data do not say."""
    infos = (source.info,) if isinstance(source, PairTable) else (source.pbe.info, source.r2scan.info)
    return sorted({info.energy_scale or "not said" for info in infos})


def unavailable(source: Source, key: str) -> str:
    """Why a source has no rows of a quantity whatever its labels, in a few words; '' if it may have some."""
    if COMPARED[key].of_atoms or key in ("stress", "pressure"):
        if isinstance(source, PairTable):
            return "a table of relaxed pairs has no forces, stresses or moments"
        return "" if source.components_comparable else "compared atom by atom only: pair by the same id for that"
    if key != "volume":
        return ""
    if isinstance(source, Pairs):
        ways = "pair by material or by structure, or import a table with volumes"
        return f"frames paired by id have one geometry: {ways}" if source.components_comparable else ""
    known = source.info.labelled["volume_pbe"] and source.info.labelled["volume_r2scan"]
    return "" if known else "the table has no volumes of both functionals"
