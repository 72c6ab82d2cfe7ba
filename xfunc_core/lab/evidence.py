"""What the reference lab works on: the parts of a split with their labels and what the pretrained model says of them.

The lab is about the pretrained network (M2, M3 and M4). From scratch (M1) there is none, and a run fits to what x·w_GGA leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.splits import Split
from xfunc_core.errors import DataError
from xfunc_core.prediction_store import Predictions
from xfunc_core.quantities import count_text
from xfunc_core.references.frames import ReferenceFrames
from xfunc_core.references.missing import MissingReference
from xfunc_core.references.refits import n_materials_with
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

NO_ENERGY = "it has no energy label"


@dataclass(frozen=True)
class Part:
    """The usable frames of one part of a split.

    Attributes:
        rows: in the dataset, shape (F,).
        frames: labels, compositions and the model's energies, all finite.
        materials: the material of each frame, shape (F,).
    """

    rows: np.ndarray
    frames: ReferenceFrames
    materials: np.ndarray

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.rows)

    @property
    def n_materials(self) -> int:
        """Distinct materials."""
        return len(set(self.materials.tolist()))

    @cached_property
    def n_materials_with(self) -> np.ndarray:
        """Materials that hold each element, shape (94,)."""
        return n_materials_with(self.frames.composition, self.materials)


@dataclass(frozen=True)
class Evidence:
    """Everything a comparison of schemes needs; made once, then no dataset and no model is asked again.

    Attributes:
        settings: what the split and the training subset were made by.
        dataset: the dataset's name.
        title: its name on screen.
        train: the training subset, the only frames that anything is fitted to.
        validation: for choosing.
        test: for reporting, never for choosing.
        w_gga: the pretrained model's references, eV/atom, shape (94,).
        left_out: frames that are in no part, each ``{"frame_id", "part", "reason"}``.
    """

    settings: FinetuneSettings
    dataset: str
    title: str
    train: Part
    validation: Part
    test: Part
    w_gga: np.ndarray
    left_out: tuple[dict[str, str], ...]

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def held_back(self, dataset: Dataset) -> frozenset[str]:
        """Ids of the validation and test frames; references that were fitted on one of them are leaky."""
        rows = np.concatenate([self.validation.rows, self.test.rows])
        return frozenset(dataset.table["frame_id"].to_numpy()[rows].tolist())


def split_of(settings: FinetuneSettings, dataset: Dataset) -> Split:
    """The split that a run of these settings would have, before frames with elements without a reference are dropped.

    Schemes differ in which elements those are, and are compared on the same frames.

    Raises:
        ConfigError: the fractions or the subset size do not fit the dataset.
    """
    return make_plan(replace(settings, missing_references=MissingReference.PRIOR.value), dataset).split


def needed_rows(split: Split) -> np.ndarray:
    """The rows that the pretrained model has to be asked about, ascending."""
    return np.sort(np.concatenate(list(split.parts().values())))


def gather(settings: FinetuneSettings, dataset: Dataset, said: Predictions) -> Evidence:
    """Put the parts of the split together with what the model said.

    Args:
        settings: of the run that the references are for.
        dataset: what it learns from.
        said: `xfunc_core.predictions.predictions` of the dataset.

    Raises:
        ConfigError: the settings do not fit the dataset.
        DataError: frames were not evaluated yet, or a part has no usable frame.
    """
    split = split_of(settings, dataset)
    lacking = said.lacking(needed_rows(split))
    if len(lacking):
        raise DataError(
            f"The pretrained model was not asked about {count_text(len(lacking))} of the frames of {dataset.info.title} yet: have them evaluated first."
        )
    parts, left_out = {}, []
    for name, rows in split.parts().items():
        reasons = said.left_out(rows) | dict.fromkeys(rows[~np.isfinite(dataset.energy_per_atom[rows])].tolist(), NO_ENERGY)
        ids = dataset.table["frame_id"]
        left_out += [{"frame_id": str(ids.iat[row]), "part": name, "reason": reason} for row, reason in reasons.items()]
        parts[name] = _part(name, dataset, rows[~np.isin(rows, list(reasons))], said, next(iter(reasons.values()), ""))
    return Evidence(settings, dataset.info.name, dataset.info.title, **parts, w_gga=said.references, left_out=tuple(left_out))


def _part(name: str, dataset: Dataset, rows: np.ndarray, said: Predictions, reason: str) -> Part:
    if not len(rows):
        raise DataError(
            f"No frame of the {name} part of {dataset.info.title} can be used; the first was left out because {reason}: choose another dataset or split."
        )
    frames = ReferenceFrames.of(dataset, rows, model_energy=said.energy[rows], w_gga=said.references)
    return Part(rows, frames, dataset.table["material_id"].to_numpy()[rows])
