"""What can be said of the reference schemes before the pretrained network is asked: those that need no network, on the labels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.analysis.metrics import ErrorSummary, error_summary
from xfunc_core.data.dataset import Dataset
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import DataError
from xfunc_core.lab.evidence import split_of
from xfunc_core.lab.results import Unavailable
from xfunc_core.quantities import counted
from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.null_space import OpenGroup, open_groups
from xfunc_core.references.published import atomref
from xfunc_core.references.schemes import SCHEMES
from xfunc_core.references.solvers import n_containing, triangle
from xfunc_core.training.settings import FinetuneSettings

NEEDS_MODEL = "It needs the pretrained model's energies of these frames."


@dataclass(frozen=True)
class ReferencesAlone:
    """The references of a scheme that needs no network.

    Attributes:
        references: fitted on the training subset alone, or looked up.
        left: of the test labels, label − x·w, eV/atom: what a network has to explain. Frames with an element that the scheme knows
            nothing of do not count: what stands in for it in a run takes the network.
    """

    references: ElementReferences
    left: ErrorSummary


@dataclass(frozen=True)
class WithoutModel:
    """What is known without the network.

    Attributes:
        n_train, n_test: frames with an energy.
        n_elements: elements in the training frames.
        rank: combinations of references that these determine.
        groups: elements that are determined in combination only.
        not_in_training: elements of the other parts that no training frame holds.
        results: of the schemes that need no network, in the order of `Scheme`.
        lacking: the other ones.
    """

    n_train: int
    n_test: int
    n_elements: int
    rank: int
    groups: tuple[OpenGroup, ...]
    not_in_training: tuple[str, ...]
    results: tuple[ReferencesAlone, ...]
    lacking: tuple[Unavailable, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the training frames determine and what they lack."""
        elements = counted(self.n_elements, "element's", "elements'")
        said = [
            f"The {counted(self.n_train, 'training frame determines', 'training frames determine')} {counted(self.rank, 'combination')} of {elements} references.",
            *(group.sentence for group in self.groups),
        ]
        if self.not_in_training:
            said.append(f"{', '.join(self.not_in_training)}: in the validation or test part, but in no training frame with an energy.")
        return tuple(said)


def without_model(settings: FinetuneSettings, dataset: Dataset) -> WithoutModel:
    """Fit or look up what needs no network, on the split that a run would have.

    Raises:
        ConfigError: the settings do not fit the dataset.
        DataError: a part has no frame with an energy.
    """
    parts = {name: rows[np.isfinite(dataset.energy_per_atom[rows])] for name, rows in split_of(settings, dataset).parts().items()}
    for name, rows in parts.items():
        if not len(rows):
            raise DataError(f"No frame of the {name} part of {dataset.info.title} has an energy: choose another dataset or split.")
    w_gga = atomref("mptrj", as_stored=True)
    frames = {name: ReferenceFrames.of(dataset, rows, w_gga=w_gga) for name, rows in parts.items()}
    train, test = frames["train"], frames["test"]
    reduced = triangle(train.composition, train.energy_per_atom)
    held = {name: n_containing(some.composition) > 0 for name, some in frames.items()}
    results, lacking = [], []
    for scheme in SCHEMES.values():
        if scheme.key.needs_model or train.lacks(scheme.needs):
            lacking.append(Unavailable(scheme.key, NEEDS_MODEL))
            continue
        references = scheme.fit(train)
        results.append(ReferencesAlone(references, _left(references, test)))
    return WithoutModel(
        n_train=len(parts["train"]),
        n_test=len(parts["test"]),
        n_elements=len(reduced.present),
        rank=reduced.rank,
        groups=open_groups(reduced),
        not_in_training=tuple(SYMBOLS[i] for i in np.flatnonzero((held["validation"] | held["test"]) & ~held["train"])),
        results=tuple(results),
        lacking=tuple(lacking),
    )


def _left(references: ElementReferences, test: ReferenceFrames) -> ErrorSummary:
    unknown = np.array([status is Status.UNKNOWN for status in references.status])
    known = np.asarray(test.composition @ unknown.astype(float)) == 0
    return error_summary(references.energy(test.composition)[known], test.energy_per_atom[known])
