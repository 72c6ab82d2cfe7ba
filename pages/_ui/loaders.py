"""What pages read from disk, cached by content hash so that nothing stale is shown."""

from __future__ import annotations

from difflib import get_close_matches

import streamlit as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import datasets_root, runs_root
from xfunc_core.data.library import PAIRED, list_datasets, open_dataset
from xfunc_core.data.pairing import pair
from xfunc_core.data.pairs import PairingMethod, Pairs
from xfunc_core.data.query import FrameQuery
from xfunc_core.data.validation import ValidationReport, validate
from xfunc_core.explore import Exploration, explore
from xfunc_core.launch import Preview, SweepPreview, preview_sweep
from xfunc_core.launch import preview as preview_run
from xfunc_core.quantities import Functional
from xfunc_core.references.paired import PairedScheme
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
    return _query(dataset.info.name, dataset.info.content_sha256)


def validation(dataset: Dataset) -> ValidationReport:
    """What is to be known before a dataset is used."""
    return _validation(dataset.info.name, dataset.info.content_sha256)


def pairs(pbe: Dataset, r2scan: Dataset, how: PairingMethod) -> Pairs:
    """The frames two datasets share."""
    return _pairs(pbe.info.name, r2scan.info.name, pbe.info.content_sha256, r2scan.info.content_sha256, how.value)


def exploration(pbe: Dataset, r2scan: Dataset, how: PairingMethod, scheme: PairedScheme) -> Exploration:
    """Their correlations."""
    return _exploration(pbe.info.name, r2scan.info.name, pbe.info.content_sha256, r2scan.info.content_sha256, how.value, scheme.value)


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


@st.cache_resource(max_entries=8, show_spinner="Pairing frames …")
def _pairs(pbe: str, r2scan: str, hash_pbe: str, hash_r2scan: str, how: str) -> Pairs:
    return pair(open_dataset(datasets_root(), pbe), open_dataset(datasets_root(), r2scan), PairingMethod(how))


@st.cache_resource(max_entries=8, show_spinner="Looking at every frame …")
def _validation(name: str, content: str) -> ValidationReport:
    return validate(open_dataset(datasets_root(), name))


@st.cache_resource(max_entries=16, show_spinner="Correlating …")
def _exploration(pbe: str, r2scan: str, hash_pbe: str, hash_r2scan: str, how: str, scheme: str) -> Exploration:
    return explore(_pairs(pbe, r2scan, hash_pbe, hash_r2scan, how), PairedScheme(scheme))


@st.cache_resource(max_entries=8, show_spinner="Reading predictions …")
def _results(path: str, changed: int) -> RunResults:
    from pathlib import Path

    return RunResults(RunFolder(Path(path)))
