"""Datasets, imports, runs and sweeps by name, with the nearest name when there is none of that name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import datasets_root, home, imports_root, pair_tables_root, runs_root, sweeps_root, typed_path
from xfunc_core.data.library import install_bundled, list_datasets, open_dataset
from xfunc_core.data.pair_table import PairTable
from xfunc_core.data.pair_table_import import list_pair_tables, open_pair_table
from xfunc_core.errors import DataError, RunError
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.sweeps import SweepRecord, list_sweeps


def data_root() -> Path:
    """Where the datasets lie, the bundled ones among them.

    Raises:
        DataError: the data home cannot be written.
    """
    root = datasets_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The data home {home()} cannot be written ({error.strerror}): set XFUNC_HOME to a folder of yours.") from error
    install_bundled(root)
    return root


def dataset(name: str) -> Dataset:
    """A dataset by name.

    Raises:
        DataError: there is none of that name, or it is damaged.
    """
    root = data_root()
    if not (root / name).is_dir() or Path(name).name != name:
        names = [found.info.name for found in (*list_datasets(root), *list_pair_tables(pair_tables_root()))]
        raise DataError(f"There is no dataset {name!r} in {home()}: {_at_that_path(name) or _instead(name, names, 'datasets')}")
    return open_dataset(root, name)


def is_pair_table(name: str) -> bool:
    """Whether there is a table of relaxed pairs of that name, damaged or not."""
    return bool(name) and Path(name).name == name and not name.startswith(".") and (pair_tables_root() / name).is_dir()


def pair_table(name: str) -> PairTable:
    """A table of relaxed pairs by name.

    Raises:
        DataError: there is none of that name, or it is damaged.
    """
    return open_pair_table(pair_tables_root(), name)


def run(run_id: str) -> RunFolder:
    """A run by id.

    Raises:
        RunError: there is none of that id.
    """
    found = {folder.id: folder for folder in list_runs(runs_root())}
    if run_id not in found:
        raise RunError(f"There is no run {run_id!r} in {home()}: {_instead(run_id, list(found), 'runs')}")
    return found[run_id]


def import_job(job_id: str) -> RunFolder:
    """An import in the background by id.

    Raises:
        RunError: there is none of that id.
    """
    found = {folder.id: folder for folder in list_runs(imports_root())}
    if job_id not in found:
        raise RunError(f"There is no import {job_id!r} in {home()}: {_instead(job_id, list(found), 'imports')}")
    return found[job_id]


def sweep(sweep_id: str) -> SweepRecord:
    """A sweep by id.

    Raises:
        RunError: there is none of that id.
    """
    found = {record.id: record for record in list_sweeps(sweeps_root())}
    if sweep_id not in found:
        raise RunError(f"There is no sweep {sweep_id!r} in {home()}: {_instead(sweep_id, list(found), 'scaling')}")
    return found[sweep_id]


def _at_that_path(name: str) -> str:
    """What to do with a file or folder that was named in a dataset's place; empty if there is none."""
    path = typed_path(name)
    if not name or not path.exists():
        return ""
    kind = "folder" if path.is_dir() else "file"
    return f"it is a {kind}, so import it first (`python -m xfunc_core import {name}`), or have a model predict it (`predict {name} --out FILE`)."


def _instead(name: str, names: Sequence[str], command: str) -> str:
    near = get_close_matches(name, names, n=1)
    listing = f"`python -m xfunc_core {command}` lists what there is."
    return f"did you mean {near[0]!r}? {listing}" if near else listing
