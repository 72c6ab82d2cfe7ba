"""The command that works on an import in the background: ``python -m xfunc_core.import_worker IMPORT_DIR``.

It fetches the file if it is to be downloaded, imports it, and records in the folder how far it is and how it
ended. Started again on the same folder it starts over. Like the training worker it has one broad ``except``:
whatever happens ends as an outcome in the folder.
"""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xfunc_core.data import download, materials_project
from xfunc_core.data.importing import import_file
from xfunc_core.data.pair_table_import import FORMAT as PAIR_TABLE
from xfunc_core.data.pair_table_import import import_pair_table, is_pair_table, parse_columns
from xfunc_core.data.watching import Reading, Stage
from xfunc_core.errors import XfuncError
from xfunc_core.imports import (
    WRITING,
    ImportRequest,
    datasets_of,
    hidden_folder,
    hidden_folders,
    pair_tables_of,
    remove_fetched,
    uploads_of,
)
from xfunc_core.quantities import Functional
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState
from xfunc_core.runs.working import heed_termination, ignore_termination, unexpected, while_claimed

log = logging.getLogger("xfunc.import")

RECORD_SECONDS = 1.0
"""Between two progress records of one stage."""
VASP_MATPES, VASP_MP = "VASP, MatPES settings", "VASP, Materials Project settings"
_LOOK_SECONDS = 0.2


def main(import_dir: str) -> int:
    """Do the import to its end; the exit code is 0 unless it failed."""
    job = RunFolder(Path(import_dir).resolve())  # the datasets lie beside the imports, wherever this was started
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    return while_claimed(job, log, _import_and_record)


def _import_and_record(job: RunFolder) -> RunState:
    state, message, found = _outcome(job)
    ignore_termination()
    _remove_written(job)
    job.finish(state, message, **found)
    if state is RunState.FINISHED:
        remove_fetched(job)
    return state


def _outcome(job: RunFolder) -> tuple[RunState, str, dict[str, Any]]:
    """Do the import; how it ended, one sentence on it, and what it found."""
    try:
        heed_termination()
        with _heeding_the_wish(job):
            found = run(job)
    except KeyboardInterrupt:
        log.info("Cancelled.")
        return RunState.CANCELLED, "Cancelled; nothing of it was kept.", {}
    except XfuncError as error:
        log.error("%s", error)
        return RunState.FAILED, str(error), {}
    except Exception as error:
        return RunState.FAILED, unexpected("The import", error, log), {}
    return RunState.FINISHED, f"{found['dataset']}: {found['report'][0]}", found


def run(job: RunFolder) -> dict[str, Any]:
    """Fetch and import, recording how far it is; gives the name of the dataset and the sentences of the report.

    Raises:
        XfuncError: the request, the file or its content cannot be used, or the disk is full.
        KeyboardInterrupt: the import is cancelled.
    """
    request = ImportRequest.from_dict(job.config())
    _remove_written(job)  # by a worker that was killed
    job.progress_file.unlink(missing_ok=True)
    recorder = _Recorder(job, request.name)
    functional = Functional(request.functional) if request.functional else None
    path, described = _fetch(job, request, functional, recorder)
    log.info("Importing %s as %s.", path, request.name)
    if is_pair_table(path, PAIR_TABLE if request.columns else described.get("format", request.format)):
        return _import_table(job, request, path, recorder)
    optional = {"energies": request.energies, "format": request.format, "energy_scale": request.energy_scale, "licence": request.licence, "citation": request.citation}
    _, report = import_file(
        path,
        datasets_of(job.path.parent),
        name=request.name,
        title=request.title,
        functional=functional,
        replace=request.replace,
        tell=recorder,
        **(described | {key: value for key, value in optional.items() if value}),
    )
    for sentence in report.sentences():
        log.info("%s", sentence)
    return {"dataset": request.name, "report": report.sentences()}


def _import_table(job: RunFolder, request: ImportRequest, path: Path, recorder: _Recorder) -> dict[str, Any]:
    _, report = import_pair_table(
        path,
        pair_tables_of(job.path.parent),
        name=request.name,
        title=request.title,
        columns=parse_columns(request.columns.splitlines()),
        energies=request.energies,
        replace=request.replace,
        tell=recorder,
        energy_scale=request.energy_scale,
        licence=request.licence,
        citation=request.citation,
    )
    return {"dataset": request.name, "report": report.sentences()}


def _fetch(job: RunFolder, request: ImportRequest, functional: Functional | None, recorder: _Recorder) -> tuple[Path, dict[str, str]]:
    """The file to import, downloaded first if need be, and what is known about its content."""
    if request.path:
        return Path(request.path), {}
    folder = uploads_of(job.path.parent, job.id)
    if request.download:
        log.info("Downloading %s.", request.download)
        return download.download(request.download, folder, recorder), {"licence": download.LICENCE, "citation": download.CITATION, "energy_scale": VASP_MATPES}
    log.info("Asking the Materials Project for %s.", ", ".join(request.systems))
    file = materials_project.fetch_documents(request.systems, functional or Functional.PBE, folder / "materials-project.jsonl", tell=recorder)
    return file, {"format": "materials-project", "licence": materials_project.LICENCE, "citation": materials_project.CITATION, "energy_scale": VASP_MP}


class _Recorder:
    """Records how far an import is, in time for people and no more often."""

    def __init__(self, job: RunFolder, name: str) -> None:
        self._job, self._name = job, name
        self._others = hidden_folders(job.path.parent, name)
        self._stage: Stage | None = None
        self._began = self._recorded = 0.0

    def __call__(self, reading: Reading) -> None:
        now = time.monotonic()
        if reading.stage is not self._stage:
            self._enter(reading.stage, now)
        elif now - self._recorded < RECORD_SECONDS:
            return
        self._recorded = now
        record = {"stage": reading.stage.value, "documents": reading.documents, "bytes": reading.n_bytes, "total": reading.total, "seconds": now - self._began}
        with suppress(OSError):  # a full disk ends the import where the dataset is written, with a sentence
            self._job.append_progress(record)

    def _enter(self, stage: Stage, now: float) -> None:
        self._stage, self._began = stage, now
        if stage is Stage.READING:
            new = hidden_folders(self._job.path.parent, self._name) - self._others
            if len(new) == 1:  # else somebody began a dataset of that name at the same moment, and nothing tells which is whose
                self._job.write_json(self._job.path / WRITING, {"folder": new.pop()})
        if stage is Stage.FINISHING:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a dataset that takes the place of another must not be stopped halfway


def _remove_written(job: RunFolder) -> None:
    """Remove an unfinished dataset of this import."""
    written = hidden_folder(job)
    if written is not None:
        shutil.rmtree(written, ignore_errors=True)
        (job.path / WRITING).unlink(missing_ok=True)


@contextmanager
def _heeding_the_wish(job: RunFolder) -> Iterator[None]:
    """Interrupt the block soon after somebody wishes the import cancelled, whatever it waits for."""
    done = threading.Event()
    main_thread = threading.get_ident()

    def look() -> None:
        while not done.wait(_LOOK_SECONDS):
            if job.cancel_requested():
                signal.pthread_kill(main_thread, signal.SIGTERM)
                return

    thread = threading.Thread(target=look, name="wish to cancel", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m xfunc_core.import_worker IMPORT_DIR")
    sys.exit(main(sys.argv[1]))
