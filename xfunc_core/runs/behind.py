"""Which frames are behind a run's references: what tells whether another run that starts from them leaks."""

from __future__ import annotations

from pathlib import Path

from xfunc_core.runs.files import read_object
from xfunc_core.runs.folder import RunFolder

LEAK = "The references of this run were fitted on validation or test frames of its own split (leak): its errors flatter it."


def frames_behind(run: RunFolder) -> frozenset[str]:
    """Ids of the frames a run was trained on, and of those behind the run whose references it started from; empty where the files are gone."""
    found: set[str] = set()
    seen: set[Path] = set()
    while run.path not in seen:
        seen.add(run.path)
        train = (read_object(run.split) or {}).get("train")
        found.update(map(str, train if isinstance(train, list) else []))
        earlier = (read_object(run.config_file) or {}).get("reference_table_run")
        if isinstance(earlier, str) and earlier:
            run = RunFolder(run.path.parent / Path(earlier).name)
    return frozenset(found)


def frames_behind_table(runs_root: Path, run_id: str) -> frozenset[str]:
    """The same by the id of the run that a table is from; empty for a table that is from none."""
    return frames_behind(RunFolder(runs_root / Path(run_id).name)) if run_id else frozenset()


def leak_of(run: RunFolder) -> str:
    """A sentence if the errors of a run flatter it, '' if they do not."""
    return LEAK if (read_object(run.references) or {}).get("leaky") is True else ""
