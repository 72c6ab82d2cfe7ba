"""Where xfunc keeps what it imports and trains: ``$XFUNC_HOME``, or the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from xfunc_core.errors import ConfigError, DataError


def home() -> Path:
    """The data home. Nothing is created; writers make the folders they need.

    Raises:
        ConfigError: XFUNC_HOME starts with the home folder of a user who is not known here.
    """
    chosen = os.environ.get("XFUNC_HOME", "").strip()
    try:
        return Path(chosen).expanduser().resolve() if chosen else user_data_path("xfunc")
    except RuntimeError as error:
        raise ConfigError(f"XFUNC_HOME is {chosen!r}, which leads nowhere ({error}): set it to a folder.") from error


def typed_path(text: str) -> Path:
    """A path as somebody types it; ``~`` is a home folder.

    Raises:
        DataError: it starts with the home folder of a user who is not known here.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(f"{text!r} leads nowhere ({error}): give the whole path.") from error


def datasets_root() -> Path:
    """Where datasets lie, one folder each."""
    return home() / "datasets"


def runs_root() -> Path:
    """Where runs lie, one folder each."""
    return home() / "runs"


def exports_root() -> Path:
    """Where exported files lie that are too large for the browser."""
    return home() / "exports"


def sweeps_root() -> Path:
    """Where the records of sweeps lie, one file each."""
    return home() / "sweeps"


def imports_root() -> Path:
    """Where imports that go on in the background are recorded, one folder each."""
    return home() / "imports"


def pair_tables_root() -> Path:
    """Where relaxed-pair tables lie, one folder each."""
    return home() / "pair-tables"


def graph_cache() -> Path | None:
    """Where runs keep their crystal graphs for the next run: ``$XFUNC_GRAPH_CACHE``, or nowhere."""
    chosen = os.environ.get("XFUNC_GRAPH_CACHE", "").strip()
    return typed_path(chosen).resolve() if chosen else None
