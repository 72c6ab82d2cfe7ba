"""Where xfunc keeps what it imports and trains: ``$XFUNC_HOME``, or the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path


def home() -> Path:
    """The data home. Nothing is created; writers make the folders they need."""
    chosen = os.environ.get("XFUNC_HOME", "").strip()
    return Path(chosen).expanduser().resolve() if chosen else user_data_path("xfunc")


def datasets_root() -> Path:
    """Where datasets lie, one folder each."""
    return home() / "datasets"


def runs_root() -> Path:
    """Where runs lie, one folder each."""
    return home() / "runs"


def sweeps_root() -> Path:
    """Where the records of sweeps lie, one file each."""
    return home() / "sweeps"
