"""Answers about imports: of files, from Hugging Face and from the Materials Project, here or in the background."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

from xfunc_core import imports
from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_pairs, text_table
from xfunc_core.answers.data import by_reason, size_sentence
from xfunc_core.data import download, materials_project
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import home, imports_root, pair_tables_root, typed_path
from xfunc_core.data.importing import ImportReport, check_name, default_name, import_file
from xfunc_core.data.library import is_bundled
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_import import FORMAT as PAIR_TABLE
from xfunc_core.data.pair_table_import import import_pair_table, is_pair_table, parse_columns
from xfunc_core.data.watching import Reading, Stage
from xfunc_core.errors import DataError, RunError
from xfunc_core.import_overview import ImportProgress, import_status
from xfunc_core.imports import ImportRequest
from xfunc_core.quantities import Functional, counted
from xfunc_core.runs.folder import RunFolder, list_runs

SAY_SECONDS = 0.2
"""Between two texts on how far an import is."""
VASP_MATPES, VASP_MP = "VASP, MatPES settings", "VASP, Materials Project settings"


def import_dataset(file: str, name: str, options: dict[str, Any], background: bool, say: Say) -> Answer:
    """Import a file or folder; ``options`` are fields of `ImportRequest`."""
    path = typed_path(file)
    if not path.exists():
        raise DataError(f"There is no {path}: check the path.")
    name = name or default_name(path if path.name else path.resolve())
    _check_free(name, options["replace"])
    if background:
        return _queued(ImportRequest(name=name, path=str(path), **options))
    say(f"Reading {path.name} …")
    columns = options.pop("columns", "")
    if is_pair_table(path, PAIR_TABLE if columns else options["format"]):
        said = {key: options[key] for key in ("title", "energies", "replace")}
        return _imported_table(*import_pair_table(path, pair_tables_root(), name=name, columns=parse_columns(columns.splitlines()), tell=Teller(say), **said))
    functional = Functional(options["functional"]) if options["functional"] else None
    return _imported(*import_file(path, find.data_root(), name=name, tell=Teller(say), **(options | {"functional": functional})))


def known_downloads() -> Answer:
    """List what can be downloaded."""
    rows = [{"Title": k.title, "File": k.stem, "Functional": k.functional.label} for k in download.KNOWN.values()]
    return Answer(
        text_table(rows), {"known": [{"title": k.title, "file": k.stem, "functional": k.functional} for k in download.KNOWN.values()]}
    )


def download_dataset(title: str, name: str, replace: bool, background: bool, say: Say) -> Answer:
    """Download a file of MatPES, named by its title or its stem, and import it."""
    known = next((k for k in download.KNOWN.values() if title in (k.title, k.stem)), None)
    if known is None:
        raise DataError(f"{title[:70]!r} is no file that xfunc can download: `python -m xfunc_core download` lists what is known.")
    name = name or default_name(Path(known.stem))
    _check_free(name, replace)
    if background:
        return _queued(ImportRequest(name=name, download=known.title, replace=replace))
    folder = home() / "downloads" / known.stem  # the same each time, so that a download goes on where it broke off
    teller = Teller(say)
    file = download.download(known.title, folder, teller)
    described = {"energy_scale": VASP_MATPES, "licence": download.LICENCE, "citation": download.CITATION}
    made = import_file(file, find.data_root(), name=name, functional=known.functional, replace=replace, tell=teller, **described)
    shutil.rmtree(folder, ignore_errors=True)
    return _imported(*made)


def materials_project_dataset(
    systems: str, functional: Functional, name: str, subsystems: bool, replace: bool, background: bool, say: Say
) -> Answer:
    """Ask the Materials Project for chemical systems and import what it has."""
    wanted = materials_project.parse_systems(systems, subsystems=subsystems)
    name = name or default_name(Path(f"mp-{'-'.join(wanted)}-{functional.value}"))
    _check_free(name, replace)
    if not materials_project.has_key():
        raise DataError(
            f"The Materials Project wants a key: get one at https://next-gen.materialsproject.org/api and set {materials_project.KEY}."
        )
    if background:
        return _queued(ImportRequest(name=name, systems=wanted, functional=functional.value, replace=replace))
    folder = home() / "downloads" / imports.new_import_id(name)
    teller = Teller(say)
    try:
        file = materials_project.fetch_documents(wanted, functional, folder / "materials-project.jsonl", tell=teller)
        described = {"energy_scale": VASP_MP, "licence": materials_project.LICENCE, "citation": materials_project.CITATION}
        return _imported(
            *import_file(
                file,
                find.data_root(),
                name=name,
                format="materials-project",
                functional=functional,
                replace=replace,
                tell=teller,
                **described,
            )
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def listing() -> Answer:
    """List the imports in the background, newest first."""
    found = [(job, import_status(job)) for job in list_runs(imports_root())]
    rows = [
        {
            "Import": job.id,
            "Dataset": s.name,
            "From": s.source,
            "State": s.state.label,
            "Progress": s.progress.words() if s.progress.stage else s.sentence,
        }
        for job, s in found
    ]
    return Answer(
        text_table(rows, "There are no imports in the background: `python -m xfunc_core import FILE --background` starts one."),
        {"imports": [_job_data(job) for job, _ in found]},
    )


def act(job_id: str, action: str | None) -> Answer:
    """Show, cancel, restart or dismiss an import.

    Raises:
        RunError: there is none of that id, or its state does not allow that.
    """
    job = find.import_job(job_id)
    if action == "dismiss":
        imports.dismiss(job)
        return Answer(f"Dismissed import {job_id}.", {"dismissed": job_id})
    if action == "cancel":
        if job.state().is_over:
            raise RunError(f"Import {job_id} is {job.state().label.lower()}, so there is nothing to cancel.")
        job.request_cancel()
        return Answer(f"Asked import {job_id} to stop; nothing of it is kept.", _job_data(job))
    if action == "restart":
        imports.restart(job)
        return Answer(f"Import {job_id} is in the queue again.", _job_data(job))
    imports.serve_imports(imports_root())
    s = import_status(job)
    shown = {
        "Import": job.id,
        "Dataset": s.name,
        "Title": s.title,
        "From": s.source,
        "State": s.state.label,
        "Progress": s.progress.words() if s.progress.stage else "",
        "Folder": job.path,
    }
    return Answer("\n".join([text_pairs(shown), s.sentence, *s.report]), _job_data(job))


class Teller:
    """Says how far an import in this process is, as the queue's are shown."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._stage: Stage | None = None
        self._began = self._said = 0.0

    def __call__(self, reading: Reading) -> None:
        """Say it, unless something was said just now."""
        now = time.monotonic()
        if reading.stage is not self._stage:
            self._stage, self._began = reading.stage, now
        elif now - self._said >= SAY_SECONDS:
            self._said = now
            self._say(f"{_progress(reading, now - self._began).words()} …")


def _progress(reading: Reading, seconds: float) -> ImportProgress:
    fraction = min(1.0, reading.n_bytes / reading.total) if reading.n_bytes is not None and reading.total else math.nan
    done = reading.documents if reading.stage is Stage.READING else reading.n_bytes or 0
    left = seconds * (1 - fraction) / fraction if fraction > 0 else math.nan
    return ImportProgress(
        reading.stage,
        reading.documents,
        fraction,
        done / seconds if done and seconds > 0 else math.nan,
        left,
        reading.n_bytes,
        reading.total,
    )


def _imported(imported: Dataset, report: ImportReport) -> Answer:
    info = imported.info
    head = f"Dataset {info.name} ({imported.functional.label}): {size_sentence(info)}."
    left = [f"The whole list is in {imported.path / 'report.json'}."] if report.dropped or report.masked else []
    data = {
        "dataset": info,
        "documents": report.n_documents,
        "kept": report.n_kept,
        "dropped": by_reason(report.dropped),
        "masked": by_reason(report.masked),
        "notes": report.notes,
        "report": imported.path / "report.json",
    }
    return Answer("\n".join([head, *report.sentences(), *left]), data)


def _imported_table(imported: PairTable, report: ImportReport) -> Answer:
    info = imported.info
    head = f"Table of relaxed pairs {info.name}: {counted(info.n_pairs, 'pair')} of {counted(info.n_materials, 'material')}, {counted(len(info.elements), 'element')}. Look at it with: python -m xfunc_core correlate {info.name}"
    left = [f"The whole list is in {imported.path / 'report.json'}."] if report.dropped else []
    data = {"pair_table": info, "documents": report.n_documents, "kept": report.n_kept, "dropped": by_reason(report.dropped), "notes": report.notes, "report": imported.path / "report.json"}
    return Answer("\n".join([head, *report.sentences(), *left]), data)


def _queued(request: ImportRequest) -> Answer:
    job = imports.submit_import(imports_root(), request)
    return Answer(
        f"Import {job.id} is in the queue and goes on by itself; follow it with: python -m xfunc_core imports {job.id}", _job_data(job)
    )


def _job_data(job: RunFolder) -> dict[str, Any]:
    s = import_status(job)
    return {
        "import": job.id,
        "dataset": s.name,
        "source": s.source,
        "state": s.state,
        "sentence": s.sentence,
        "progress": s.progress,
        "report": s.report,
        "path": job.path,
    }


def _check_free(name: str, replace: bool) -> None:
    """Refuse a name before anything is fetched or read."""
    check_name(name)
    if is_bundled(name):
        raise DataError(f"{name!r} is the name of a dataset that comes with xfunc: choose another one with --name.")
    for folder, kind in ((find.data_root(), "dataset"), (pair_tables_root(), "pair table")):
        if not replace and (folder / name).exists():
            raise DataError(f"There is already a {kind} named {name!r}: choose another --name, or give --replace.")
