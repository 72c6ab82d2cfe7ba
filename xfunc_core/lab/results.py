"""What a comparison of reference schemes finds, frozen: the page and the command line only read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfunc_core.analysis.metrics import ErrorSummary
from xfunc_core.quantities import ENERGY, MISSING
from xfunc_core.references.element_references import ElementReferences, Status
from xfunc_core.references.energy_scale import ScaleCheck
from xfunc_core.references.priors import Trainable
from xfunc_core.references.scheme import Scheme


@dataclass(frozen=True)
class Interval:
    """The central 95 % of a number over the refits, widened to hold that of the fit itself: a draw with replacement has fewer distinct
    materials than the training subset, so that refits tend to be worse. Both ends are alike for what is not fitted; NaN without refits."""

    low: float
    high: float

    @property
    def text(self) -> str:
        """Both ends in meV/atom, such as ``40.3 to 111.2``; the missing sign where there is no interval."""
        return MISSING if not np.isfinite(self.low) or self.low == self.high else f"{ENERGY.error(self.low)} to {ENERGY.error(self.high)}"


@dataclass(frozen=True)
class WorstElement:
    """An element with a large error in the test part.

    Attributes:
        element: its symbol.
        mae: mean absolute error, each frame counting with the element's fraction, eV/atom.
        n_frames: test frames that hold it.
    """

    element: str
    mae: float
    n_frames: int


@dataclass(frozen=True)
class SchemeResult:
    """One scheme on these data: the references it gives and how the network does with them before fine-tuning.

    Attributes:
        scheme: which one.
        name: what files and options call it.
        label: its name on screen; a table's says which file.
        sentence: what it does and when to choose it.
        references: fitted on the training subset alone, as a run would start with them.
        shift: w − w_GGA, eV/atom, shape (94,).
        sigma: standard deviation of each reference over the refits, eV/atom, shape (94,). NaN where nothing is fitted, and for
            elements that one material alone holds: every refit has that material. ``references.uncertainty`` knows those too.
        train, validation, test: errors of the energy by part, eV/atom.
        held_out: errors on frames that were not fitted to and are no test frames: cross-validation on the training subset, and
            the validation part. What the recommendation goes by.
        validation_interval, test_interval: of the MAE over refits on resampled training materials, eV/atom.
        test_errors: predicted − label of the test frames, eV/atom, shape (n_test,).
        first_loss: the energy term of the training loss at the first step, mean over the training frames.
        worst: the elements with the largest test errors, the worst first.
        scale: how it fits the energy scale of the data, for what comes from elsewhere.
    """

    scheme: Scheme
    name: str
    label: str
    sentence: str
    references: ElementReferences
    shift: np.ndarray
    sigma: np.ndarray
    train: ErrorSummary
    validation: ErrorSummary
    test: ErrorSummary
    held_out: ErrorSummary
    validation_interval: Interval
    test_interval: Interval
    test_errors: np.ndarray
    first_loss: float
    worst: tuple[WorstElement, ...]
    scale: ScaleCheck | None = None

    @property
    def is_off_scale(self) -> bool:
        """Whether its numbers are of another energy scale than the data."""
        return self.scale is not None and self.scale.fits is False

    @property
    def starts_as(self) -> Scheme | None:
        """The scheme that these references come from and equal before training, where they are trained."""
        return Trainable.start.key if self.scheme is Scheme.TRAINABLE else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Elements whose number stands in and says nothing."""
        return self.references.having(Status.UNKNOWN)


@dataclass(frozen=True)
class Unavailable:
    """A scheme that these data cannot feed.

    Attributes:
        scheme: which one.
        reason: what is missing, a sentence.
    """

    scheme: Scheme
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """The scheme to take, chosen without the test labels.

    Attributes:
        name: of the scheme.
        reason: why, with numbers.
        on_test: what the test part says about the choice.
        is_lowest_on_test: whether no other scheme has a lower test MAE.
    """

    name: str
    reason: str
    on_test: str
    is_lowest_on_test: bool


@dataclass(frozen=True)
class Coverage:
    """Elements that somebody lacks, by symbol.

    Attributes:
        not_in_training: in the validation or test part, but in no training frame with an energy.
        not_in_network: in the frames, but in none that the pretrained network saw (MPtrj); it says something all the same.
        silent_holes: in the frames, and without a reference in the r2scan model that chgnet ships, which does not say so.
        off_table: in the frames, but not in the table that was brought along.
    """

    not_in_training: tuple[str, ...]
    not_in_network: tuple[str, ...]
    silent_holes: tuple[str, ...]
    off_table: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for each lack."""
        said = (
            (
                self.not_in_training,
                "in the validation or test part, but in no training frame with an energy: their references are a prior's guess, or from elsewhere",
            ),
            (
                self.not_in_network,
                "in these frames, but in none of MPtrj, which the pretrained network was trained on: expect large errors there, whatever the references",
            ),
            (
                self.silent_holes,
                "in these frames, and the r2scan model that chgnet ships has no reference for them and does not say so: its energies of such frames are off by many eV",
            ),
            (self.off_table, "in these frames, but not in the table that was brought along"),
        )
        return tuple(f"{', '.join(symbols)}: {words}." for symbols, words in said if symbols)


@dataclass(frozen=True)
class Comparison:
    """All schemes side by side on one training subset.

    Attributes:
        dataset: its name.
        title: its name on screen.
        n_train, n_validation, n_test: frames used, by part.
        test_rows: the test frames' rows in the dataset, shape (n_test,).
        test_materials: the material of each, shape (n_test,).
        n_elements: elements in the training frames.
        rank: combinations of references that these determine.
        n_refits: refits behind the intervals and sigma.
        w_gga: the pretrained model's references, eV/atom, shape (94,).
        n_frames: training frames with each element, shape (94,).
        n_materials: training materials with each element, shape (94,).
        results: in the order of `Scheme`, a brought table last.
        unavailable: schemes that cannot be used here, with the reason.
        recommendation: which one to take.
        coverage: elements that somebody lacks.
        left_out: frames that are in no part, each ``{"frame_id", "part", "reason"}``.
    """

    dataset: str
    title: str
    n_train: int
    n_validation: int
    n_test: int
    test_rows: np.ndarray
    test_materials: np.ndarray
    n_elements: int
    rank: int
    n_refits: int
    w_gga: np.ndarray
    n_frames: np.ndarray
    n_materials: np.ndarray
    results: tuple[SchemeResult, ...]
    unavailable: tuple[Unavailable, ...]
    recommendation: Recommendation
    coverage: Coverage
    left_out: tuple[dict[str, str], ...]

    def result(self, name: str) -> SchemeResult:
        """The result of a scheme by its name."""
        return next(result for result in self.results if result.name == name)

    @property
    def by_test_error(self) -> tuple[SchemeResult, ...]:
        """The results, the lowest test MAE first."""
        return tuple(sorted(self.results, key=lambda result: result.test.mae))

    @property
    def off_scale(self) -> tuple[str, ...]:
        """A sentence with numbers for everything that is of another energy scale than the data."""
        return tuple(dict.fromkeys(result.scale.sentence for result in self.results if result.is_off_scale and result.scale))
