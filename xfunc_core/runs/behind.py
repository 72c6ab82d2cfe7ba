"""Which frames are behind a run's references: what tells whether another run that starts from them leaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xfunc_core.runs.files import read_object
from xfunc_core.runs.folder import RunFolder

LEAK = "The references of this run were fitted on validation or test frames of its own split (leak): its errors flatter it."
UNTOLD = "Whether the references of this run were fitted on validation or test frames of its own split cannot be told: the files of the run they are from were gone."


def frames_behind(run: RunFolder) -> frozenset[str]:
    """Ids of the frames a run was trained on, and of those behind the run whose references it started from; empty where the files are gone."""
    return frozenset[str]().union(*(_learnt(one) or () for one in _line(run)))


def frames_behind_table(runs_root: Path, run_id: str) -> frozenset[str] | None:
    """The same by the id of the run that a table is from; None where files of such runs are gone; empty for a table that is from none."""
    if not run_id:
        return frozenset()
    learnt = [_learnt(one) for one in _line(RunFolder(runs_root / Path(run_id).name))]
    return None if None in learnt else frozenset[str]().union(*learnt)


def leak_of(run: RunFolder) -> str:
    """A sentence if the errors of a run flatter it, or if that cannot be told; '' if they do not."""
    leaky = (read_object(run.references) or {}).get("leaky", False)
    return LEAK if leaky is True else UNTOLD if leaky is None else ""


def _line(run: RunFolder) -> Iterator[RunFolder]:
    """A run, the one its references are from, and so on."""
    seen: set[Path] = set()
    while run.path not in seen:
        seen.add(run.path)
        yield run
        earlier = (read_object(run.config_file) or {}).get("reference_table_run")
        if isinstance(earlier, str) and earlier:
            run = RunFolder(run.path.parent / Path(earlier).name)


def _learnt(run: RunFolder) -> frozenset[str] | None:
    """Ids of the frames a run was trained on; None where its split does not tell."""
    train = (read_object(run.split) or {}).get("train")
    return frozenset(map(str, train)) if isinstance(train, list) else None
