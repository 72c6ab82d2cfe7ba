"""What a fine-tuning run is told to do. No torch here: pages read and write these settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xfunc_core.errors import ConfigError, DataError
from xfunc_core.quantities import Method
from xfunc_core.references.missing import MissingReference
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.tables import read_table

DEVICES = ("cpu", "cuda")
PRECISIONS = ("float32", "tf32")
BATCHES = ("count", "cost")
MOST_PROCESSES = 64
"""On one machine."""
MOST = 1_000_000
"""Of epochs and of frames a step: a larger number is a slip of the finger that would train for ever."""
LARGEST_SEED = 2**32 - 1
"""What every random generator takes."""
TRAINABLE_RATE = 10.0
"""Learning rate of trainable references over that of the network: their start is off by tenths of eV and a run has hundreds of steps."""


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of one run; the defaults are the paper's recipe scaled to a small dataset on a workstation."""

    dataset: str
    """Name of the dataset to learn from."""
    method: str = "M4"
    """M1 scratch, M2 trainable AtomRef, M3 frozen AtomRef, M4 refitted AtomRef (Huang et al. 2025)."""
    references: str = "residual-smooth"
    """How M1 and M4 fit their references, both in the same way; to M1 the model is the GGA references alone."""
    reference_start: str | None = None
    """The scheme that trained references (M2, or trainable) start from; None for keep in M2 (paper) and residual-smooth else."""
    reference_learning_rate: float | None = None
    """Of trained references, in eV/atom a step; None shares the network's in M2 (paper) and takes ten times that else."""
    reference_table: str = ""
    """The table of the scheme table, as text in a format that `xfunc_core.references.tables` reads; eV/atom."""
    reference_table_name: str = ""
    """Where that table is from, for a reader."""
    reference_table_run: str = ""
    """The run whose references that table is, if any: its training frames tell whether the table leaks."""
    missing_references: str = "prior"
    """What to do with frames that hold an element without a reference: fail, use the prior, or drop them."""
    epochs: int = 30
    """Passes over the training frames."""
    batch_size: int = 8
    """Frames per optimiser step, on average where batches are of equal cost."""
    batches: str = "count"
    """count, batch_size frames each (paper); or cost, as many batches of equal atoms, edges and angles: steps of one length and memory."""
    learning_rate: float = 1e-3
    """Of Adam at the start; a cosine brings it to one hundredth at the last step."""
    seed: int = 0
    """Of the weights (M1) and of the order of frames."""
    split_seed: int = 0
    """Of the split into train, validation and test; keep it to compare runs."""
    validation_fraction: float = 0.15
    """Of the materials."""
    test_fraction: float = 0.15
    """Of the materials."""
    train_size: int | None = None
    """Train on a nested subset of about this many frames; None for all."""
    subset_seed: int = 0
    """Of the nested subset."""
    device: str = "cpu"
    """cpu or cuda."""
    processes: int = 1
    """That share each batch, with a GPU each on cuda; several GPUs are untried."""
    precision: str = "float32"
    """float32, or tf32: faster on a GPU, and off by about half a meV/atom."""
    energy_weight: float = 3.0
    """In the loss, as the other weights (paper: 3, 1, 0.1, 1)."""
    force_weight: float = 1.0
    """On eV/Å."""
    stress_weight: float = 0.1
    """On GPa."""
    magmom_weight: float = 1.0
    """On |μB|."""
    huber_delta: float = 0.1
    """Where the Huber loss turns from square to linear."""
    max_gradient_norm: float | None = None
    """Clip the gradient to this norm; None leaves it (paper)."""
    sweep: str = ""
    """The sweep the run belongs to, if any."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, with the fix in the message."""
        _check_types(self)
        _one_of("method", self.method, [m.value for m in Method])
        _one_of("references", self.references, [s.value for s in Scheme if s is not Scheme.KEEP])
        _one_of("missing_references", self.missing_references, [m.value for m in MissingReference])
        _check_training_of_references(self)
        _check_table(self)
        _one_of("device", self.device, DEVICES)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("batches", self.batches, BATCHES)
        if self.precision == "tf32" and self.device != "cuda":
            raise ConfigError("precision is 'tf32', which only a GPU has: choose float32, or the device cuda.")
        _whole("processes", self.processes, 1, MOST_PROCESSES)
        for name in ("epochs", "batch_size"):
            _whole(name, getattr(self, name), 1, MOST)
        _between("learning_rate", self.learning_rate, 0.0, 1.0)
        _between("validation_fraction", self.validation_fraction, 0.0, 0.5)
        _between("test_fraction", self.test_fraction, 0.0, 0.5)
        _between("huber_delta", self.huber_delta, 0.0, 1e6)
        if self.train_size is not None:
            _whole("train_size", self.train_size, 1, None)
        if self.max_gradient_norm is not None:
            _between("max_gradient_norm", self.max_gradient_norm, 0.0, 1e9)
        for name in ("seed", "split_seed", "subset_seed"):
            _whole(name, getattr(self, name), 0, LARGEST_SEED)
        for name in ("energy_weight", "force_weight", "stress_weight", "magmom_weight"):
            if not 0.0 <= getattr(self, name) < 1e9:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a weight of 0 or more.")
        if self.energy_weight == self.force_weight == self.stress_weight == self.magmom_weight == 0.0:
            raise ConfigError("All four loss weights are 0, so there is nothing to learn: give at least one of them.")

    @property
    def scheme(self) -> Scheme:
        """The reference scheme the method really uses."""
        return Scheme(self.references) if Method(self.method).fits_references else self.start_scheme

    @property
    def start_scheme(self) -> Scheme:
        """The scheme whose references training starts with."""
        if not self.trains_references:
            return Scheme(self.references) if Method(self.method).fits_references else Scheme.KEEP
        if self.reference_start is not None:
            return Scheme(self.reference_start)
        return Scheme.KEEP if Method(self.method) is Method.M2 else Scheme.SMOOTH

    @property
    def table_energies(self) -> np.ndarray | None:
        """The table that was brought along, eV/atom, shape (94,), NaN where it has nothing; None without one.

        Raises:
            DataError: it is none.
        """
        return read_table(self.reference_table, self.reference_table_name or "reference_table").energies if self.reference_table else None

    @property
    def fills_gaps(self) -> bool:
        """Whether the smooth prior stands in for elements a scheme knows nothing of; if the run is refused or drops such frames, 0 eV says so plainly."""
        return MissingReference(self.missing_references) is MissingReference.PRIOR

    @property
    def trains_references(self) -> bool:
        """Whether the references are trained along with the network."""
        method = Method(self.method)
        return method is Method.M2 or (method.fits_references and self.references == Scheme.TRAINABLE.value)

    @property
    def rate_of_references(self) -> float:
        """Learning rate of trained references at the start, eV/atom a step: Adam moves each by about that, whatever the gradient."""
        if self.reference_learning_rate is not None:
            return self.reference_learning_rate
        return self.learning_rate * (1.0 if Method(self.method) is Method.M2 else TRAINABLE_RATE)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary for ``config.json``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FinetuneSettings:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a setting is unknown, missing, of a wrong type or out of range.
        """
        unknown = sorted(set(data) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"The settings hold {unknown[0]!r}, which xfunc does not know: remove it or correct its name.")
        if "dataset" not in data:
            raise ConfigError("The settings name no dataset: add one.")
        return cls(**data)


def _check_training_of_references(settings: FinetuneSettings) -> None:
    if settings.reference_start is not None:
        _one_of("reference_start", settings.reference_start, [s.value for s in Scheme if s is not Scheme.TRAINABLE])
    if settings.reference_learning_rate is not None:
        _between("reference_learning_rate", settings.reference_learning_rate, 0.0, 10.0)
    for name in ("reference_start", "reference_learning_rate"):
        if getattr(settings, name) is not None and not settings.trains_references:
            raise ConfigError(
                f"{name} is {getattr(settings, name)!r}, but the references of this run are not trained: choose method M2 or the scheme trainable, or leave it out."
            )


def _check_table(settings: FinetuneSettings) -> None:
    for name in ("references", "reference_start"):
        if getattr(settings, name) == Scheme.TABLE.value and not settings.reference_table:
            raise ConfigError(f"{name} is 'table', but no table was brought along: give reference_table, or choose another scheme.")
    try:
        settings.table_energies  # noqa: B018 - whether it can be read
    except DataError as error:
        raise ConfigError(f"reference_table is no table. {error}") from error


def _check_types(settings: FinetuneSettings) -> None:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        wanted = {"str": str, "int": int, "float": (int, float)}[field.type.split(" | ")[0]]
        if value is None and field.type.endswith("| None"):
            continue
        if isinstance(value, bool) or not isinstance(value, wanted) or value != value:
            raise ConfigError(f"{field.name} is {value!r}: it must be of type {field.type}.")


def _one_of(name: str, value: str, allowed: list[str] | tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join(allowed)}.")


def _whole(name: str, value: int, least: int, most: int | None) -> None:
    if value < least:
        raise ConfigError(f"{name} is {value}: it must be at least {least}.")
    if most is not None and value > most:
        raise ConfigError(f"{name} is {value}: it must be at most {most}.")


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low < value <= high:
        raise ConfigError(f"{name} is {value}: it must be above {low:g} and at most {high:g}.")
