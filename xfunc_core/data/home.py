"""Where xfunc keeps what it imports and trains: ``$XFUNC_HOME``, or the user's data folder."""

from __future__ import annotations

import math
import os
from pathlib import Path

from platformdirs import user_data_path

from xfunc_core.errors import ConfigError, DataError

GRAPH_CACHE_GB = 20
"""A pass over 400,000 frames of 20 atoms."""


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


def graph_cache_bytes() -> int:
    """How much they may take there: ``$XFUNC_GRAPH_CACHE_GB``, or 20 GB.

    Raises:
        ConfigError: the variable is no positive number.
    """
    chosen = os.environ.get("XFUNC_GRAPH_CACHE_GB", "").strip()
    try:
        size = float(chosen) if chosen else GRAPH_CACHE_GB
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise ConfigError(f"XFUNC_GRAPH_CACHE_GB is {chosen!r}, which is no size: set it to a number of gigabytes, or leave it out for {GRAPH_CACHE_GB}.")
    return int(size * 1e9)
