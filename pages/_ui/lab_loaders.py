"""What the reference lab reads and works out, cached by content so that nothing stale is shown and nothing is worked out twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import datasets_root
from xfunc_core.data.library import open_dataset
from xfunc_core.lab.comparison import compare
from xfunc_core.lab.diagnosis import Diagnosis, diagnose
from xfunc_core.lab.evidence import Evidence, gather, needed_rows, split_of
from xfunc_core.lab.learning_curve import ReferenceCurves, reference_curves
from xfunc_core.lab.results import Comparison
from xfunc_core.lab.tables import Brought, references_in
from xfunc_core.lab.without_model import WithoutModel
from xfunc_core.lab.without_model import without_model as known_without
from xfunc_core.prediction_store import model_sha256
from xfunc_core.predictions import PredictionStatus, prediction_status, predictions, request_predictions
from xfunc_core.references.element_references import ElementReferences
from xfunc_core.training.settings import FinetuneSettings


@dataclass(frozen=True)
class OwnTable:
    """A table that was brought along.

    Attributes:
        name: of its file.
        text: its content.
        fitted_on: ids of the frames it was fitted on, where that is known.
        run: the run whose references it is; '' for a file.
    """

    name: str
    text: str
    fitted_on: frozenset[str] = frozenset()
    run: str = ""

    @property
    def references(self) -> ElementReferences:
        """The table as references."""
        return references_in(self.text, self.name)


@dataclass(frozen=True)
class Question:
    """What the lab is asked: the split and what counts, the content it is asked about, and a table that was brought along.

    Attributes:
        settings: of a run; its split, its energy term, what it does about elements without a reference.
        content: hash of the dataset's content.
        table: that was brought along; None without one.
    """

    settings: FinetuneSettings
    content: str
    table: OwnTable | None = None


def asked(settings: FinetuneSettings, dataset: Dataset, table: OwnTable | None = None) -> Question:
    """The question about a dataset."""
    return Question(settings, dataset.info.content_sha256, table)


def status(question: Question) -> PredictionStatus:
    """How far the pretrained model's energies of the frames that are needed are."""
    return prediction_status(_dataset(question), rows(question))


def ask_model(question: Question) -> None:
    """Have the energies that are lacking worked out in the background."""
    request_predictions(_dataset(question), rows(question))


def rows(question: Question) -> np.ndarray:
    """The frames that the model has to be asked about."""
    return _rows(question.settings, question.content)


@st.cache_resource(max_entries=8, show_spinner="Fitting what needs no network …")
def without_model(question: Question) -> WithoutModel:
    """What is known before the model is asked."""
    return known_without(question.settings, _dataset(question))


def evidence(question: Question) -> Evidence:
    """The parts of the split with what the model says of them; the model must have been asked."""
    return _evidence(question.settings, question.content, model_sha256())


@st.cache_resource(max_entries=8, show_spinner="Fitting every scheme, again and again on resampled materials …", show_time=True)
def comparison(question: Question) -> Comparison:
    """All schemes side by side, and the table."""
    found, table = evidence(question), question.table
    if table is None:
        return compare(found)
    return compare(found, Brought(table.references, table.fitted_on).judged(found.held_back(_dataset(question))))


@st.cache_resource(max_entries=16, show_spinner="Looking closely …")
def diagnosis(question: Question, name: str) -> Diagnosis:
    """Everything about one scheme's references."""
    return diagnose(evidence(question), comparison(question), name)


@st.cache_resource(max_entries=4, show_spinner="Fitting on nested subsets …", show_time=True)
def curves(settings: FinetuneSettings, content: str) -> ReferenceCurves:
    """The learning curves of the references."""
    return reference_curves(_evidence(settings, content, model_sha256()))


@st.cache_resource(max_entries=4, show_spinner="Putting labels and the model's energies together …")
def _evidence(settings: FinetuneSettings, content: str, model: str) -> Evidence:
    dataset = open_dataset(datasets_root(), settings.dataset)
    return gather(settings, dataset, predictions(dataset))


@st.cache_resource(max_entries=16, show_spinner=False)
def _rows(settings: FinetuneSettings, content: str) -> np.ndarray:
    return needed_rows(split_of(settings, open_dataset(datasets_root(), settings.dataset)))


def _dataset(question: Question) -> Dataset:
    return open_dataset(datasets_root(), question.settings.dataset)
