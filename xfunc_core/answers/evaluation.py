"""The answer of ``evaluate``: a run's errors before and after, or those of any model on a whole dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.predictions import teller
from xfunc_core.answers.runs import outcome
from xfunc_core.data.dataset import Dataset
from xfunc_core.elements import N_REFERENCED, SYMBOLS
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.model.named import NamedModel, named_model, named_run
from xfunc_core.quantities import QUANTITIES, count_text
from xfunc_core.runs.files import RunFiles, read_object
from xfunc_core.runs.folder import RunFolder

if TYPE_CHECKING:
    from xfunc_core.model.network import Engine


def evaluate(model: str, dataset: str | None, part: str, say: Say) -> Answer:
    """Show a run's errors before and after training, or evaluate a model on every frame of a dataset.

    Raises:
        XfuncError: there is no such model, run or dataset, or the dataset has no labels.
    """
    if dataset is None:
        return _of_run(model, part)
    asked, data = named_model(model), find.dataset(dataset)
    if not any(data.info.labelled.values()):
        raise DataError(f"{dataset} has no labels to compare with: `python -m xfunc_core predict {dataset} --model {model} --out FILE` writes what the model says of it.")
    say("Loading CHGNet …")
    from xfunc_core.model.frames import loaded
    from xfunc_core.training.finetune import evaluate_model

    engine = loaded(asked.path, "cpu")
    errors, left_out = evaluate_model(engine, data, teller("Evaluating", say))
    rows = [
        {"Quantity": q.label, "N": count_text(errors[q.key]["n"]), "MAE": q.error_with_unit(errors[q.key]["mae"]), "RMSE": q.error_with_unit(errors[q.key]["rmse"])}
        for q in QUANTITIES
        if q.key in errors
    ]
    lacking = _without_reference(asked, engine, data, [frame["frame_id"] for frame in left_out])
    notes = [_scale_note(asked, data), _overlap_note(asked, data), _reference_note(asked, lacking), *(f"Left out {f['frame_id']}: {f['reason']}." for f in left_out)]
    head = f"{model} on every usable frame of {dataset} ({data.functional.label}):"
    answer = {"model": model, "dataset": dataset, "functional": data.functional, "errors": errors, "left_out": left_out, "without_fitted_reference": lacking, "notes": [n for n in notes if n]}
    return Answer("\n".join([head, text_table(rows, "None of them has a label to compare with."), *answer["notes"]]), answer)


def _of_run(model: str, part: str) -> Answer:
    folder = named_run(model)
    if folder is not None:
        return outcome(RunFolder(folder), part)
    named_model(model)  # says so if there is none
    raise ConfigError(f"Name the dataset to evaluate on: python -m xfunc_core evaluate {model} DATASET.")


def _scale_note(model: NamedModel, data: Dataset) -> str:
    """Whether energies of model and labels can be compared, as far as their origins are known."""
    theirs, ours = data.info.energy_scale, model.energy_scale
    differ = [f"the model is of {model.functional.label}, the labels are {data.functional.label}"] if model.functional not in (None, data.functional) else []
    differ += [f"the model's energies are on the scale of {ours}, those of the labels on the scale of {theirs}"] if ours and theirs and ours != theirs else []
    if differ:
        sentence = "; ".join(differ)
        return f"{sentence[0].upper()}{sentence[1:]}: the energy error holds that gap, too."
    if model.functional and ours and theirs:
        return f"Model and labels are both {data.functional.label} on the energy scale of {theirs}."
    return f"Energy scale of the labels: {theirs}; a model of another scale shows the gap as energy error." if theirs else ""


def _overlap_note(model: NamedModel, data: Dataset) -> str:
    trained = set((read_object(RunFiles(model.run).split) or {}).get("train", [])) if model.run else set()
    n = int(data.table["frame_id"].isin(trained).sum())
    labels = f", with {model.functional.label} labels" if model.functional and model.functional is not data.functional else ""
    return f"{count_text(n)} of these frames were trained on{labels}: `evaluate {model.title}` shows its test part." if n else ""


def _without_reference(model: NamedModel, engine: Engine, data: Dataset, left_out: Sequence[str]) -> dict[str, Any]:
    """The elements of the evaluated frames that the model's references were fitted to no frame of, and how many frames hold them."""
    lacking = np.isin(SYMBOLS[:N_REFERENCED], model.without_reference)
    if not (model.run or lacking.any()):  # of an unknown file only its numbers tell
        from xfunc_core.model.frames import elements_without_reference

        lacking = elements_without_reference(engine)
    composition = data.composition[~data.table["frame_id"].isin(left_out).to_numpy()]
    held = np.flatnonzero(composition.any(axis=0) & lacking)
    return {"elements": [SYMBOLS[i] for i in held], "n_frames": int(composition[:, held].any(axis=1).sum())}


def _reference_note(model: NamedModel, lacking: dict[str, Any]) -> str:
    if not lacking["elements"]:
        return ""
    n, names = count_text(lacking["n_frames"]), ", ".join(lacking["elements"])
    if model.run:
        return f"{n} of these frames hold elements without a fitted reference, since the run's training frames have none of them ({names}): their energies can only be guessed."
    return f"The model has no reference energy for {names}, without saying so: the energies of {n} of these frames may be off by many eV."
