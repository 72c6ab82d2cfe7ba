"""Answers about one model: fine-tune, and evaluate a run, a checkpoint or the pretrained model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.runs import Work, outcome
from xfunc_core.answers.waiting import wait_for
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.home import runs_root
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import ConfigError, RunError
from xfunc_core.launch import Preview, preview
from xfunc_core.quantities import QUANTITIES, Method, count_text, counted, duration_text
from xfunc_core.references.published import holes
from xfunc_core.runs.devices import gpu_ids
from xfunc_core.runs.dispatcher import submit
from xfunc_core.runs.estimate import Estimate
from xfunc_core.runs.files import read_object
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.training.settings import FinetuneSettings

PRETRAINED = "pretrained"
_PARTS = ("train", "validation", "test")
_NO_REFERENCE = 1e-6
"""eV/atom; where chgnet's fit saw no frame it leaves about 1e-14."""


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


def evaluate(model: str, dataset: str | None, part: str, say: Say) -> Answer:
    """Show a run's errors before and after training, or evaluate a model on every frame of a dataset."""
    if dataset is None:
        if model == PRETRAINED or Path(model).is_file():
            raise ConfigError(f"Name the dataset to evaluate on: python -m xfunc_core evaluate {model} DATASET.")
        return outcome(find.run(model), part)
    data = find.dataset(dataset)
    path, run = _checkpoint(model)
    say("Loading CHGNet …")
    from xfunc_core.training.finetune import evaluate_checkpoint

    errors, left_out = evaluate_checkpoint(path, data)
    rows = [
        {"Quantity": q.label, "N": count_text(errors[q.key]["n"]), "MAE": q.error_with_unit(errors[q.key]["mae"]), "RMSE": q.error_with_unit(errors[q.key]["rmse"])}
        for q in QUANTITIES
        if q.key in errors
    ]
    unfitted = _unfitted(run, data, [f["frame_id"] for f in left_out])
    notes = [_scale_note(data), _overlap_note(run, data), _unfitted_note(unfitted), _holes_note(path, run, data), *(f"Left out {f['frame_id']}: {f['reason']}." for f in left_out)]
    head = f"{model} on every usable frame of {dataset} ({data.functional.label}):"
    answer = {"model": model, "dataset": dataset, "functional": data.functional, "errors": errors, "left_out": left_out, "without_fitted_reference": unfitted, "notes": [n for n in notes if n]}
    return Answer("\n".join([head, text_table(rows), *answer["notes"]]), answer)


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
        "total_steps": plan.total_steps,
        "n_elements": plan.n_elements,
        "rank": plan.rank,
        "estimated_seconds": planned.estimate.seconds,
    }


def _checkpoint(model: str) -> tuple[Path | None, RunFolder | None]:
    if model == PRETRAINED:
        return None, None
    if Path(model).is_file():
        return Path(model), None
    run = find.run(model)
    if not run.model.is_file():
        raise RunError(f"Run {model} is {run.state().label.lower()} and has no model yet: `python -m xfunc_core runs {model}` says how far it is.")
    return run.model, run


def _scale_note(data: Dataset) -> str:
    scale = data.info.energy_scale
    return f"Energy scale of the labels: {scale}; a model of another scale shows the gap as energy error." if scale else ""


def _overlap_note(run: RunFolder | None, data: Dataset) -> str:
    trained = set((read_object(run.split) or {}).get("train", [])) if run else set()
    n = int(data.table["frame_id"].isin(trained).sum())
    return f"{count_text(n)} of these frames were trained on: `evaluate {run.id}` shows its test part." if run and n else ""


def _unfitted(run: RunFolder | None, data: Dataset, left_out: Sequence[str]) -> dict[str, Any]:
    """The elements of the evaluated frames that were in no frame the run's references were chosen on, and how many frames hold them.

    A model that is no run brings no such list: nothing is said of it.
    """
    fitted = (read_object(run.references) or {}).get("n_frames") if run else None
    if not isinstance(fitted, dict):
        return {"elements": [], "n_frames": 0}
    composition = data.composition[~data.table["frame_id"].isin(left_out).to_numpy()]
    lacking = [i for i in np.flatnonzero(composition.any(axis=0)) if not fitted.get(SYMBOLS[i])]
    return {"elements": [SYMBOLS[i] for i in lacking], "n_frames": int(composition[:, lacking].any(axis=1).sum())}


def _unfitted_note(unfitted: Mapping[str, Any]) -> str:
    if not unfitted["elements"]:
        return ""
    return f"{count_text(unfitted['n_frames'])} of these frames hold elements without a fitted reference, since the run's training frames have none of them ({', '.join(unfitted['elements'])}): their energies can only be guessed."


def _holes_note(path: Path | None, run: RunFolder | None, data: Dataset) -> str:
    """Which elements of the frames a model that is no run has no reference for: chgnet's say nothing of theirs."""
    if run:
        return ""
    if path is None:
        without = holes("mptrj")
    else:
        from xfunc_core.model.weights import load_engine

        without = np.abs(load_engine(path).references.detach().cpu().numpy()) < _NO_REFERENCE
    lacking = np.flatnonzero(data.composition.any(axis=0) & without) if not without.all() else []
    if not len(lacking):
        return ""
    n = int(data.composition[:, lacking].any(axis=1).sum())
    names = ", ".join(SYMBOLS[i] for i in lacking)
    return f"{count_text(n)} of these frames hold elements that the model has no reference for, which it does not say ({names}): their energies may be off by many eV."
