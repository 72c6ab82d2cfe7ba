"""What a scheme may look at: the training frames, what the pretrained model says of them, and energies from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from xfunc_core.data.dataset import Dataset
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional, counted
from xfunc_core.references.published import matpes_atoms, matpes_solids
from xfunc_core.references.scheme import Need
from xfunc_core.references.solvers import Composition, n_containing

MATPES = "MatPES (VASP)"


@dataclass(frozen=True)
class ReferenceFrames:
    """The inputs of every scheme; only `Need.ENERGIES` is always there to be asked for.

    Attributes:
        composition: atomic fractions, shape (F, 94), dense or CSR.
        energy_per_atom: labels in eV/atom, shape (F,); NaN where a frame has none.
        n_atoms: atoms of each frame, shape (F,).
        model_energy: the pretrained model's energies, its references included, eV/atom, shape (F,).
        w_gga: the pretrained model's references, eV/atom, shape (94,).
        isolated_atoms: of both functionals from one source, eV, shape (94,), NaN where it has none.
        own_atoms: isolated atoms that came with the frames, in their functional, as above.
        elemental_solids: in the frames' functional, eV/atom, as above.
        prior: references to be drawn to, eV/atom, as above; None takes the atoms' shift.
        functional: of the labels.
        source: what the frames are, for a reader.
        external_source: what the isolated atoms, solids and prior are.
        leaky: whether frames outside the training part are among these.
    """

    composition: Composition
    energy_per_atom: np.ndarray
    n_atoms: np.ndarray | None = None
    model_energy: np.ndarray | None = None
    w_gga: np.ndarray | None = None
    isolated_atoms: Mapping[Functional, np.ndarray] = field(default_factory=dict)
    own_atoms: np.ndarray | None = None
    elemental_solids: np.ndarray | None = None
    prior: np.ndarray | None = None
    functional: Functional = Functional.R2SCAN
    source: str = "training frames"
    external_source: str = MATPES
    leaky: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not belong together.

        Raises:
            ConfigError: an array has another length than the frames or the elements.
        """
        n = self.composition.shape[0]
        if self.composition.ndim != 2 or self.composition.shape[1] != N_REFERENCED:
            raise ConfigError(
                f"The compositions have shape {self.composition.shape}: give the fractions of {N_REFERENCED} elements per frame."
            )
        for name in ("energy_per_atom", "n_atoms", "model_energy"):
            found = getattr(self, name)
            if found is not None and np.shape(found) != (n,):
                raise ConfigError(f"{name} has shape {np.shape(found)} for {counted(n, 'frame')}: give one number a frame.")
        for name in ("w_gga", "own_atoms", "elemental_solids", "prior"):
            found = getattr(self, name)
            if found is not None and np.shape(found) != (N_REFERENCED,):
                raise ConfigError(f"{name} has shape {np.shape(found)}: give one number for each of {N_REFERENCED} elements.")

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, **known: np.ndarray | bool | None) -> ReferenceFrames:
        """Frames of a dataset, with what MatPES knows of atoms and solids.

        Args:
            dataset: where they lie.
            rows: which of them.
            known: further fields, such as ``model_energy`` and ``w_gga``.
        """
        functional = dataset.functional
        own = dataset.info.isolated_atoms
        return cls(
            composition=sparse.csr_matrix(dataset.composition[rows]),
            energy_per_atom=dataset.energy_per_atom[rows],
            n_atoms=dataset.table["n_atoms"].to_numpy()[rows],
            isolated_atoms={f: matpes_atoms(f) for f in Functional},
            own_atoms=np.array([own.get(s, np.nan) for s in SYMBOLS[:N_REFERENCED]]) if own else None,
            elemental_solids=matpes_solids(functional),
            functional=functional,
            source=f"{counted(len(rows), 'training frame')} of {dataset.info.name}",
            **known,
        )

    @cached_property
    def labelled(self) -> ReferenceFrames:
        """The frames that have an energy.

        Raises:
            ConfigError: there is none, or the model's energy of one is no number.
        """
        there = np.isfinite(self.energy_per_atom)
        if not there.any():
            raise ConfigError("No training frame has an energy, so no reference energies can be fitted: choose a dataset with energies.")
        if self.model_energy is not None and not np.isfinite(self.model_energy[there]).all():
            raise ConfigError(
                f"The pretrained model gives no energy for {counted(int((~np.isfinite(self.model_energy[there])).sum()), 'training frame')}: leave them out."
            )
        if there.all():
            return self
        per_frame = {
            name: getattr(self, name)[there] for name in ("energy_per_atom", "n_atoms", "model_energy") if getattr(self, name) is not None
        }
        return replace(self, composition=self.composition[there], **per_frame)

    @cached_property
    def n_frames(self) -> np.ndarray:
        """Frames that contain each element, shape (94,)."""
        return n_containing(self.composition)

    @property
    def delta_gauge(self) -> np.ndarray:
        """w_GGA + E_atom(target) − E_atom(PBE), eV/atom, shape (94,); NaN where an atom is missing."""
        return self.w_gga + self.isolated_atoms[self.functional] - self.isolated_atoms[Functional.PBE]

    @property
    def left_by_network(self) -> np.ndarray:
        """What the references have to explain, eV/atom, shape (F,): E/N less the network's part, or all of E/N where that is not known."""
        if self.model_energy is None or self.w_gga is None:
            return self.energy_per_atom
        return self.energy_per_atom - (self.model_energy - self.composition @ self.w_gga)

    def lacks(self, needs: Iterable[Need]) -> list[Need]:
        """Which of these are not there."""
        return [need for need in needs if not self._has(need)]

    def _has(self, need: Need) -> bool:
        both = self.isolated_atoms.keys() >= {Functional.PBE, self.functional}
        return {
            Need.ENERGIES: True,
            Need.MODEL: self.model_energy is not None,
            Need.GGA: self.w_gga is not None,
            Need.ATOMS: self.own_atoms is not None or self.functional in self.isolated_atoms,
            Need.BOTH_ATOMS: both,
            Need.SOLIDS: self.elemental_solids is not None,
            Need.PRIOR: self.prior is not None or (both and self.w_gga is not None),
        }[need]


def composition_matrix(numbers: np.ndarray, n_atoms: np.ndarray) -> sparse.csr_matrix:
    """Atomic fractions of frames, sparse, shape (F, 94); elements beyond plutonium have no column.

    Args:
        numbers: atomic numbers of all frames, one after another, shape (A,).
        n_atoms: atoms of each frame, shape (F,).
    """
    ends = np.concatenate([[0], np.cumsum(n_atoms, dtype=np.int64)])
    counts = sparse.csr_matrix((np.ones(len(numbers)), numbers.astype(np.int32) - 1, ends), shape=(len(n_atoms), len(SYMBOLS)))
    counts.sum_duplicates()
    counts.data /= np.repeat(n_atoms, np.diff(counts.indptr))
    return counts[:, :N_REFERENCED]
