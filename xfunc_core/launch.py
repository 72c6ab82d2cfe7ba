"""What launching a run or a sweep will do, and the launch itself: the same for the pages and the CLI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.isolation import count_isolated_atoms
from xfunc_core.data.overlap import have_overlap
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import count_text, counted, plural
from xfunc_core.runs.behind import frames_behind_table
from xfunc_core.runs.devices import cpu_slots, gpu_ids
from xfunc_core.runs.estimate import Estimate, estimate
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.sweeps import submit_sweep
from xfunc_core.training.plan import Plan, make_plan
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import Coverage, SweepSettings, element_coverage, expand

ATOMS_LOOKED_AT = 200_000
"""For those that CHGNet cannot take: a preview must not keep the page waiting, and pairs of atoms take about a second for so many."""


@dataclass(frozen=True)
class Preview:
    """A run before its launch.

    Attributes:
        settings: what it is told to do.
        plan: the same, resolved against its dataset.
        estimate: the time it will take.
        cannot_take: frames of each part with overlapping or isolated atoms, which the run will leave out; None if the dataset has more
            than `ATOMS_LOOKED_AT`.
    """

    settings: FinetuneSettings
    plan: Plan
    estimate: Estimate
    cannot_take: dict[str, int] | None

    def warnings(self) -> list[str]:
        """What a careful colleague would say before the run starts, one sentence each."""
        return [*self.plan.warnings(self.settings), *self._about_frames(), *_about_processes(self.settings)]

    def _about_frames(self) -> list[str]:
        if self.cannot_take is None:
            return [f"Overlapping and isolated atoms, which CHGNet cannot take, were not looked for among more than {count_text(ATOMS_LOOKED_AT)} atoms: the run leaves such frames out and names them; `check` finds them before."]
        parts = {part: n for part, n in self.cannot_take.items() if n}
        n = sum(parts.values())
        listed = ", ".join(f"{count_text(n)} {part}" for part, n in parts.items())
        return [f"CHGNet cannot take {counted(n, 'frame')} with overlapping or isolated atoms ({listed}): the run will leave {plural(n, 'it', 'them')} out; `check` names {plural(n, 'it', 'them')}."] if n else []


@dataclass(frozen=True)
class SweepPreview:
    """A sweep before its launch.

    Attributes:
        id: the sweep's id, and the beginning of its runs' ids.
        title: the dataset's title.
        budget: how training is kept comparable over sizes.
        runs: settings by run id, in the order of the queue.
        estimate: the time until the last run ends.
        coverage: per size, what its subsets know about the elements.
    """

    id: str
    title: str
    budget: str
    runs: dict[str, FinetuneSettings]
    estimate: Estimate
    coverage: dict[int, Coverage]

    def warnings(self) -> list[str]:
        """What a careful colleague would say before the sweep starts, one sentence each."""
        poor = [f"{count_text(size)} ({c.n_covered} of {c.n_test})" for size, c in self.coverage.items() if c.n_covered < c.n_test]
        said = [f"Not all test frames have only elements that occur in training at N = {', '.join(poor)}: there part of the error is a missing reference energy, not a lack of training."] if poor else []
        loose = [f"{count_text(c.n_open)} at N = {count_text(size)}" for size, c in self.coverage.items() if c.n_open]
        return said + ([f"The subsets leave combinations of reference energies open: {', '.join(loose)}."] if loose else [])


def preview(settings: FinetuneSettings, dataset: Dataset, known: Sequence[RunFolder] = ()) -> Preview:
    """Resolve a run; ``known`` are this machine's runs, newest first: from them the time is estimated, and it is told whether a run's table leaks.

    Raises:
        ConfigError: the settings do not fit the dataset.
    """
    table_run = settings.reference_table_run
    behind = frames_behind_table(known[0].path.parent, table_run) if known else None if table_run else frozenset[str]()
    plan = make_plan(settings, dataset, behind)
    cannot_take = None
    if dataset.info.n_atoms <= ATOMS_LOOKED_AT:
        unfit = _unfit(dataset.path, dataset.info.content_sha256)
        cannot_take = {part: int(unfit[getattr(plan.split, part)].sum()) for part in ("train", "validation", "test")}
    return Preview(settings, plan, estimate(plan.atoms_per_epoch, settings.epochs, settings.device, known), cannot_take)


@lru_cache(maxsize=8)
def _unfit(path: Path, content_sha256: str) -> np.ndarray:
    """Which frames CHGNet cannot take, bool, shape (F,); kept by content, since each change of a setting asks again."""
    dataset = Dataset(path)
    return have_overlap(dataset) | (count_isolated_atoms(dataset) > 0)


def preview_sweep(sweep: SweepSettings, dataset: Dataset, sweep_id: str, known: Sequence[RunFolder] = ()) -> SweepPreview:
    """Resolve a sweep, as `preview` does a run.

    Raises:
        ConfigError: a size is larger than the training set, or the settings do not fit the dataset.
    """
    runs = expand(sweep, dataset, sweep_id)
    single = [preview(settings, dataset, known).estimate for settings in runs.values()]
    slots = max(1, len(gpu_ids()) // sweep.base.processes if sweep.base.device == "cuda" else cpu_slots())
    seconds = max(sum(e.seconds for e in single) / slots, max(e.seconds for e in single))
    whole = Estimate(seconds, all(e.measured_here for e in single))
    return SweepPreview(sweep_id, dataset.info.title, sweep.budget, runs, whole, element_coverage(sweep, dataset))


def _about_processes(settings: FinetuneSettings) -> list[str]:
    n, said = settings.processes, []
    if settings.device == "cuda" and n > max(1, len(gpu_ids())):
        said.append(f"{n} processes need a GPU each, and this machine has {len(gpu_ids())} that xfunc may use: the queue will refuse the run.")
    if n > settings.batch_size:
        said.append(f"{n} processes share each batch of {settings.batch_size}, so that some have nothing to do: use fewer processes or larger batches.")
    return said


def settings_of(run: RunFolder) -> FinetuneSettings:
    """The settings a run was launched with.

    Raises:
        RunError: they are missing or no JSON.
        ConfigError: they were edited into something that is no setting.
    """
    try:
        return FinetuneSettings.from_dict(run.config())
    except ConfigError as error:
        raise ConfigError(f"The settings of run {run.id} were edited: {error}") from error


def launch_sweep(sweep: SweepPreview, sweeps_root: Path, runs_root: Path) -> list[RunFolder]:
    """Put all runs of a sweep into the queue; launching it twice starts nothing twice.

    Raises:
        RunError: the runs cannot be written or the process that starts them cannot be started.
    """
    return submit_sweep(sweeps_root, runs_root, sweep.id, sweep.title, sweep.budget, {run_id: s.to_dict() for run_id, s in sweep.runs.items()})
