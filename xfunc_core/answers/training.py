"""The answer of ``finetune``: submit a run, do its work here, or show what it would do."""

from __future__ import annotations

import json

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.answers.runs import Work, outcome
from xfunc_core.answers.waiting import wait_for
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import runs_root
from xfunc_core.errors import RunError
from xfunc_core.launch import Preview, preview
from xfunc_core.quantities import Method, count_text, counted, duration_text
from xfunc_core.runs.devices import gpu_ids
from xfunc_core.runs.dispatcher import submit
from xfunc_core.runs.estimate import Estimate
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.training.settings import FinetuneSettings

_PARTS = ("train", "validation", "test")


def finetune(settings: FinetuneSettings, *, wait: bool, dry_run: bool, work: Work | None, say: Say) -> Answer:
    """Submit a run, do its work in this process, or show what it would do."""
    dataset = find.dataset(settings.dataset)
    planned = preview(settings, dataset, list_runs(runs_root()))
    warnings = planned.warnings() + no_gpu(settings.device)
    data = _plan_data(planned) | {"warnings": warnings}
    lines = [_plan_sentence(planned, dataset), *warnings]
    if dry_run:
        return Answer("\n".join([*lines, json.dumps(settings.to_dict(), indent=1)]), data)
    refuse_missing_gpu(settings.device)
    if work:
        say(" ".join(lines))
        folder = RunFolder.create(runs_root(), settings.to_dict())
        work(folder)
    else:
        folder = submit(runs_root(), settings.to_dict())
    if not (wait or work):
        follow = f"Run {folder.id} is in the queue and goes on by itself; follow it with: python -m xfunc_core runs {folder.id}"
        return Answer("\n".join([*lines, follow]), {**data, "run": folder.id, "path": folder.path})
    if wait:
        say(" ".join([f"Run {folder.id}:", *lines]))
        wait_for([folder], say)
    ended = outcome(folder)
    return Answer(ended.text, {**data, **ended.data}, ended.exit_code)


def estimate_text(expected: Estimate) -> str:
    """An estimated time, and what it rests on."""
    return duration_text(expected.seconds) + ("" if expected.measured_here else " (a first guess: this machine has not finished a run yet)")


def no_gpu(device: str) -> list[str]:
    """A sentence if a GPU is asked for and there is none."""
    return ["This machine has no GPU that xfunc may use: give --device cpu, or start it where there is one."] if device == "cuda" and not gpu_ids() else []


def refuse_missing_gpu(device: str) -> None:
    """Refuse to start on a GPU that is not there.

    Raises:
        RunError: there is none.
    """
    for sentence in no_gpu(device):
        raise RunError(sentence)


def _plan_sentence(planned: Preview, dataset: Dataset) -> str:
    plan, settings = planned.plan, planned.settings
    counts = ", ".join(f"{count_text(len(getattr(plan.split, part)))} {part}" for part in _PARTS)
    steps = f"{counted(settings.epochs, 'epoch')}, {counted(plan.total_steps, 'optimiser step')}"
    return f"{Method(settings.method).label} on {dataset.info.title}: {counts} frames; {steps}, about {estimate_text(planned.estimate)} on {settings.device}."


def _plan_data(planned: Preview) -> dict[str, object]:
    plan = planned.plan
    return {
        "settings": planned.settings.to_dict(),
        "references": planned.settings.scheme,
        "frames": {part: len(getattr(plan.split, part)) for part in _PARTS},
        "cannot_take": planned.cannot_take,
        "total_steps": plan.total_steps,
        "n_elements": plan.n_elements,
        "rank": plan.rank,
        "estimated_seconds": planned.estimate.seconds,
    }
