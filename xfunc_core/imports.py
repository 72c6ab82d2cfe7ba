"""Imports that go on in the background: a folder each under ``$XFUNC_HOME/imports``, in a queue of their own.

A folder is that of a run (`xfunc_core.runs.folder`) with an `ImportRequest` for settings; the process that
works on it is `xfunc_core.import_worker`. Beside it, in ``uploads/ID``, lies what was uploaded or downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

from xfunc_core.data.formats.opening import open_file
from xfunc_core.data.importing import check_name
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.quantities import Functional
from xfunc_core.runs.atomic import DISK_FULL, write_atomic_with
from xfunc_core.runs.dispatcher import ensure_dispatcher, submit
from xfunc_core.runs.files import read_object
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.lifecycle import new_id

WORKER = "xfunc_core.import_worker"
WRITING = "writing.json"
"""In an import's folder: the hidden folder that its worker writes the dataset into."""
ORPHAN_AGE = 24 * 3600.0
"""Seconds after which an upload that no import claims is removed."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class ImportRequest:
    """What to import; exactly one of ``path``, ``download`` and ``systems`` says from where.

    Attributes:
        name: of the dataset.
        path: a file or folder on this machine.
        download: the title of a known file (`xfunc_core.data.download.KNOWN`).
        systems: chemical systems of the Materials Project, such as Li-O.
        title: on screen; the name if empty.
        format: a key of `READERS`; told by the content if empty.
        functional: value of a `Functional`, for files that do not say; needed for ``systems``.
        energies: whether they are totals or per atom, as for `import_file`.
        columns: of a table of relaxed pairs what some columns are, ``ROLE=NAME``, one a line.
        replace: whether a dataset of that name may be replaced.
        energy_scale: for the dataset's description.
        licence: for the dataset's description.
        citation: for the dataset's description.
    """

    name: str
    path: str = ""
    download: str = ""
    systems: tuple[str, ...] = ()
    title: str = ""
    format: str = ""
    functional: str = ""
    energies: str = ""
    columns: str = ""
    replace: bool = False
    energy_scale: str = ""
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        if sum(map(bool, (self.path, self.download, self.systems))) != 1:
            raise ConfigError("An import takes a file, a download or chemical systems: name exactly one of them.")
        if self.functional not in ("", *(f.value for f in Functional)):
            raise ConfigError(f"{self.functional!r} is no functional of xfunc: use pbe or r2scan.")
        if self.systems and not self.functional:
            raise ConfigError("The Materials Project has energies of several functionals: say which one to take (PBE or r2SCAN).")

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> ImportRequest:
        """Read what `to_dict` gave.

        Raises:
            ConfigError, DataError: it is something else.
        """
        known = {field.name: config[field.name] for field in fields(cls) if field.name in config}
        systems = known.pop("systems", ())
        if not all(isinstance(value, str | bool) for value in known.values()) or not isinstance(systems, list | tuple):
            raise ConfigError("The request of this import was edited into something else: dismiss it and import again.")
        return cls(**known, systems=tuple(map(str, systems)))

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads."""
        return asdict(self)

    @property
    def source(self) -> str:
        """Where the data come from, for people."""
        return Path(self.path).name or self.download or ", ".join(self.systems)


def submit_import(imports_root: Path, request: ImportRequest, *, import_id: str | None = None) -> RunFolder:
    """Put an import into the queue; the same id twice gives the import that is already there.

    Raises:
        DataError: the file cannot be opened, or the name is taken or about to be.
        RunError: the import cannot be recorded, or the process that starts imports cannot be started.
    """
    if import_id is None or not (imports_root / import_id).exists():
        _check(imports_root, request)
    if request.path:
        request = replace(request, path=os.path.abspath(request.path))
    return submit(imports_root, request.to_dict(), run_id=import_id or new_import_id(request.name), worker=WORKER)


def submit_upload(imports_root: Path, request: ImportRequest, upload: BinaryIO, *, import_id: str | None = None) -> RunFolder:
    """Keep what a browser sent under the last part of ``request.path`` and put its import into the queue.

    Raises:
        DataError: the disk is full or cannot be written, or the name is taken; then nothing is left.
        RunError: as `submit_import`.
    """
    import_id = import_id or new_import_id(request.name)
    if (imports_root / import_id).exists():
        return RunFolder(imports_root / import_id)
    _check_free(imports_root, request)
    folder = uploads_of(imports_root, import_id)
    path = folder / (Path(request.path).name or "upload")  # an upload must not choose where it is written
    try:
        _remove_orphans(imports_root)
        _keep(upload, path)
        return submit_import(imports_root, replace(request, path=str(path)), import_id=import_id)
    except BaseException:
        if not (imports_root / import_id).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def serve_imports(imports_root: Path) -> None:
    """See to it that a process starts what waits; cheap enough for each page view.

    Raises:
        RunError: it cannot be started.
    """
    ensure_dispatcher(imports_root, WORKER)


def restart(job: RunFolder) -> None:
    """Put an import that ended early back into the queue; it starts over, except that a download goes on where it broke off.

    Raises:
        RunError: the import waits, works or is finished.
    """
    job.retry()
    serve_imports(job.path.parent)


def dismiss(job: RunFolder) -> None:
    """Forget an import that is over, with its upload and whatever it left; a dataset that it made stays.

    Raises:
        RunError: the import waits or works.
    """
    written = hidden_folder(job)
    job.delete()
    remove_fetched(job)
    if written is not None:
        shutil.rmtree(written, ignore_errors=True)


def new_import_id(name: str) -> str:
    """A readable id that sorts by time."""
    return new_id({"method": name})


def datasets_of(imports_root: Path) -> Path:
    """Where the datasets of an imports folder lie."""
    return imports_root.parent / "datasets"


def pair_tables_of(imports_root: Path) -> Path:
    """Where the tables of relaxed pairs of an imports folder lie."""
    return imports_root.parent / "pair-tables"


def uploads_of(imports_root: Path, import_id: str) -> Path:
    """Where what was uploaded or downloaded for an import lies."""
    return imports_root.parent / "uploads" / import_id


def remove_fetched(job: RunFolder) -> None:
    """Remove what was uploaded or downloaded for an import."""
    shutil.rmtree(uploads_of(job.path.parent, job.id), ignore_errors=True)


def hidden_folders(imports_root: Path, name: str) -> set[str]:
    """Names of the unfinished datasets of that name, whoever writes them."""
    unfinished = re.compile(re.escape(f".importing-{name}-") + "[a-z0-9_]{8}")  # what DatasetWriter calls them
    with suppress(OSError):
        return {entry.name for entry in os.scandir(datasets_of(imports_root)) if unfinished.fullmatch(entry.name)}
    return set()


def hidden_folder(job: RunFolder) -> Path | None:
    """The unfinished dataset that an import left or is writing."""
    name = (read_object(job.path / WRITING) or {}).get("folder")
    known = isinstance(name, str) and name.startswith(".importing-") and name == Path(name).name
    return datasets_of(job.path.parent) / name if known else None


def _check(imports_root: Path, request: ImportRequest) -> None:
    if request.path and not os.path.isdir(request.path):
        open_file(Path(request.path)).close()
    _check_free(imports_root, request)


def _check_free(imports_root: Path, request: ImportRequest) -> None:
    for folder, kind in ((datasets_of(imports_root), "dataset"), (pair_tables_of(imports_root), "pair table")):
        if not request.replace and (folder / request.name).exists():
            raise DataError(f"There is already a {kind} named {request.name!r}: choose another name, or delete it first.")
    for job in list_runs(imports_root):
        if job.state().is_active and (read_object(job.config_file) or {}).get("name") == request.name:
            raise DataError(f"A dataset named {request.name!r} is being imported already: choose another name, or cancel that import.")


def _keep(upload: BinaryIO, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic_with(path, lambda stream: shutil.copyfileobj(upload, stream, _PIECE))
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DataError(f"The disk that holds {path.parent.parent} is full, so {path.name} was not uploaded: free some space or set XFUNC_HOME to another disk.") from error
        raise DataError(f"{path.name} was not uploaded ({error.strerror or error}: {path.parent.parent}): check the permissions of that place.") from error


def _remove_orphans(imports_root: Path) -> None:
    """Uploads whose page died before the import was recorded."""
    with suppress(OSError):
        for entry in list(os.scandir(imports_root.parent / "uploads")):
            if not (imports_root / entry.name).exists() and entry.stat().st_mtime < time.time() - ORPHAN_AGE:
                shutil.rmtree(entry.path, ignore_errors=True)
