"""What pages read from disk, cached by content hash so that nothing stale is shown."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256

import pandas as pd
import streamlit as st

from xfunc_core.analysis.groups import Attribution
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import datasets_root, pair_tables_root, runs_root
from xfunc_core.data.library import PAIRED, list_datasets, open_dataset
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_import import list_pair_tables, open_pair_table
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairs import PairingMethod
from xfunc_core.data.query import Filter, FrameQuery
from xfunc_core.data.validation import ValidationReport, validate
from xfunc_core.explore import lacking as lacks
from xfunc_core.explore.compared import Source
from xfunc_core.explore.exploration import Exploration, explore
from xfunc_core.explore.paper_figures import PaperFigures, paper_figures
from xfunc_core.explore.selection import kept, queries_of
from xfunc_core.explore.shifts import element_shifts
from xfunc_core.launch import Preview, SweepPreview, preview_sweep
from xfunc_core.launch import preview as preview_run
from xfunc_core.quantities import Functional
from xfunc_core.references.paired import PairedReferences, PairedScheme, paired_references
from xfunc_core.runs.estimate import evidence
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.results import RunResults
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import SweepSettings


def datasets(functional: Functional | None = None) -> list[Dataset]:
    """All datasets, or those of one functional."""
    return [d for d in list_datasets(datasets_root()) if functional in (None, d.functional)]


def query(dataset: Dataset) -> FrameQuery:
    """Questions to a dataset."""
    return _query(dataset.info.name, _content(dataset))


def validation(dataset: Dataset) -> ValidationReport:
    """What is to be known before a dataset is used."""
    return _validation(dataset.info.name, _content(dataset))


@dataclass(frozen=True)
class SourceKey:
    """What pairs come from, by name and content: two datasets and how they are paired, or one table of relaxed pairs."""

    names: tuple[str, ...]
    content: tuple[str, ...]
    how: str = ""


@dataclass(frozen=True)
class Asked:
    """What is asked of a source: a quantity, what is subtracted, how rows are shared among elements, which pairs count."""

    source: SourceKey
    quantity: str
    scheme: str
    attribution: str
    wanted: Filter


def of_datasets(pbe: Dataset, r2scan: Dataset, how: PairingMethod) -> SourceKey:
    """The pairs of two datasets."""
    return SourceKey((pbe.info.name, r2scan.info.name), (_content(pbe), _content(r2scan)), how.value)


def of_table(table: PairTable) -> SourceKey:
    """The pairs of a table."""
    return SourceKey((table.info.name,), (_content(table),))


def _content(held: Dataset | PairTable) -> str:
    """Of the description, which holds the hash of the frames: an import of the same frames may say another energy scale."""
    return sha256(str(held.info).encode()).hexdigest()


def pair_tables() -> list[PairTable]:
    """All tables of relaxed pairs."""
    return list_pair_tables(pair_tables_root())


@st.cache_resource(max_entries=6, show_spinner="Pairing frames …")
def source(key: SourceKey) -> Source:
    """The pairs themselves."""
    if len(key.names) == 1:
        return open_pair_table(pair_tables_root(), key.names[0])
    pbe, r2scan = (open_dataset(datasets_root(), name) for name in key.names)
    return pair(pbe, r2scan, PairingMethod(key.how))


@st.cache_resource(max_entries=6, show_spinner=False)
def lacking(key: SourceKey) -> dict[str, str]:
    """Why each quantity that the pairs cannot be compared in cannot, by key."""
    return lacks.lacking(source(key))


@st.cache_resource(max_entries=4, show_spinner="Comparing …")
def explored(asked: Asked) -> Exploration:
    """The rows that are asked for, and their agreement."""
    found = source(asked.source)
    scheme = _references(asked.source, asked.scheme) if asked.quantity == "referenced" else PairedScheme.LSTSQ
    return explore(found, asked.quantity, scheme, Attribution(asked.attribution), kept(found, asked.wanted, _queries(asked.source)))


@st.cache_data(max_entries=6, show_spinner="Resampling materials …")
def shifts(key: SourceKey, scheme: str) -> pd.DataFrame:
    """The shift of every element, with its interval."""
    return element_shifts(source(key), _references(key, scheme))


@st.cache_resource(max_entries=4, show_spinner="Growing a decision tree …")
def papers(asked: Asked) -> PaperFigures:
    """The data of the paper's figures, of the pairs that pass the filter; fitted references are those of all pairs."""
    found = source(asked.source)
    return paper_figures(found, _references(asked.source, asked.scheme), kept(found, asked.wanted, _queries(asked.source)))


@st.cache_resource(max_entries=6, show_spinner=False)
def _references(key: SourceKey, scheme: str) -> PairedReferences:
    return paired_references(source(key), PairedScheme(scheme))


@st.cache_resource(max_entries=4, show_spinner=False)
def _queries(key: SourceKey) -> tuple[FrameQuery, ...]:
    return queries_of(source(key))


def partner(r2scan: Dataset, candidates: list[Dataset]) -> str:
    """The PBE dataset most likely computed on the same frames: the bundled partner, or the closest name."""
    bundled = {r: p for p, r in PAIRED}
    if r2scan.info.name in bundled:
        return bundled[r2scan.info.name]
    names = [d.info.name for d in candidates]
    return next(iter(get_close_matches(r2scan.info.name.replace("r2scan", "pbe"), names, 1)), names[0])


def run_ids() -> list[str]:
    """Ids of all runs, newest first."""
    return [run.id for run in list_runs(runs_root())]


def run(run_id: str) -> RunFolder:
    """One run."""
    return RunFolder(runs_root() / run_id)


def results(folder: RunFolder) -> RunResults:
    """The results of a finished run; read again only when they change."""
    return _results(str(folder.path), folder.predictions.stat().st_mtime_ns if folder.predictions.exists() else 0)


def preview(settings: FinetuneSettings, dataset: Dataset) -> Preview:
    """What a run will do; planned again only when the settings, the data or the runs behind the estimate change."""
    return _preview(settings, dataset.info.content_sha256, evidence(runs_root()), dataset)


def sweep_preview(sweep: SweepSettings, dataset: Dataset, sweep_id: str) -> SweepPreview:
    """What a sweep will do; planned again as `preview`."""
    return _sweep_preview(sweep, dataset.info.content_sha256, sweep_id, evidence(runs_root()), dataset)


@st.cache_resource(max_entries=32, show_spinner="Planning …")
def _preview(settings: FinetuneSettings, content: str, known: str, _dataset: Dataset) -> Preview:
    return preview_run(settings, _dataset, list_runs(runs_root()))


@st.cache_resource(max_entries=8, show_spinner="Planning …")
def _sweep_preview(sweep: SweepSettings, content: str, sweep_id: str, known: str, _dataset: Dataset) -> SweepPreview:
    return preview_sweep(sweep, _dataset, sweep_id, list_runs(runs_root()))


@st.cache_resource(max_entries=4, show_spinner="Opening the dataset …")
def _query(name: str, content: str) -> FrameQuery:
    return FrameQuery(open_dataset(datasets_root(), name))


@st.cache_resource(max_entries=8, show_spinner="Looking at every frame …")
def _validation(name: str, content: str) -> ValidationReport:
    return validate(open_dataset(datasets_root(), name))


@st.cache_resource(max_entries=8, show_spinner="Reading predictions …")
def _results(path: str, changed: int) -> RunResults:
    from pathlib import Path

    return RunResults(RunFolder(Path(path)))
