"""Answers about reference energies: fit one scheme, or lay all of them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xfunc_core.analysis.metrics import error_summary
from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.quantities import ENERGY, count_text
from xfunc_core.references.schemes import ElementReferences, Scheme
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

if TYPE_CHECKING:
    from xfunc_core.model.samples import Sample

_PARTS = ("train", "validation", "test")


def references(settings: FinetuneSettings, scheme: Scheme, say: Say) -> Answer:
    """Fit references on the training part of a dataset."""
    dataset = find.dataset(settings.dataset)
    make_plan(settings, dataset)  # refuses what cannot be split before a second is spent on loading CHGNet
    say("Loading CHGNet …")
    from xfunc_core.model.chgnet import load_pretrained
    from xfunc_core.training.finetune import fit_on_training_part

    [found] = fit_on_training_part(settings, dataset, scheme)
    w_gga = load_pretrained().references.numpy()
    rows = [
        {
            "Element": symbol,
            "Frames": count_text(int(found.n_frames[i])),
            f"w ({ENERGY.unit})": ENERGY.value(found.energies[i]),
            f"w − w_GGA ({ENERGY.unit})": ENERGY.value(found.energies[i] - w_gga[i]),
        }
        for symbol, i in zip(found.fitted, np.flatnonzero(found.n_frames), strict=True)
    ]
    head = f"{scheme.label}: {found.source}. {scheme.sentence}"
    return Answer(
        "\n".join([head, *_rank_sentence(found), text_table(rows)]),
        found.to_json() | {"unit": ENERGY.unit, "undetermined": found.undetermined},
    )


def compare(settings: FinetuneSettings, say: Say) -> Answer:
    """The energy errors of the pretrained network under each scheme's references, nothing trained."""
    dataset = find.dataset(settings.dataset)
    plan = make_plan(settings, dataset)
    say("Loading CHGNet …")
    from xfunc_core.model.chgnet import load_pretrained
    from xfunc_core.model.predict import predict
    from xfunc_core.model.samples import build_samples
    from xfunc_core.training.finetune import fit_on_training_part

    pretrained = load_pretrained()
    samples = {part: build_samples(dataset, getattr(plan.split, part))[0] for part in _PARTS}
    said = {part: predict(pretrained, samples[part]).energy for part in _PARTS}
    w_gga = pretrained.references.numpy()
    errors = {}
    for scheme, found in zip(Scheme, fit_on_training_part(settings, dataset, *Scheme), strict=True):
        shift = found.energies - w_gga
        errors[scheme.value] = {part: _errors(samples[part], said[part] + _composition(samples[part]) @ shift) for part in _PARTS}
    head = f"Energy errors of the pretrained network with each scheme's references, fitted on {count_text(len(samples['train']))} training frames of {dataset.info.title}; nothing is trained."
    rows = [_compared(scheme, errors[scheme.value]) for scheme in Scheme]
    return Answer(f"{head}\n{text_table(rows)}", {"dataset": settings.dataset, "unit": ENERGY.unit, "schemes": errors})


def _errors(samples: list[Sample], predicted: np.ndarray) -> dict[str, float]:
    found = error_summary([sample.energy for sample in samples], predicted)
    return {"n": found.n, "mae": found.mae, "rmse": found.rmse}


def _compared(scheme: Scheme, errors: dict[str, dict[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"Scheme": scheme.value}
    for part in _PARTS:
        e = errors[part]
        row[f"{part.capitalize()} MAE / RMSE ({ENERGY.error_unit})"] = f"{ENERGY.error(e['mae'])} / {ENERGY.error(e['rmse'])}"
        row[f"N {part}"] = count_text(int(e["n"]))
    return row


def _composition(samples: list[Sample]) -> np.ndarray:
    return np.array([sample.composition.numpy() for sample in samples])


def _rank_sentence(found: ElementReferences) -> list[str]:
    if not found.undetermined:
        return []
    return [
        f"{len(found.fitted)} elements, rank {found.rank}: {found.undetermined} combinations of their energies are left open by these frames."
    ]
