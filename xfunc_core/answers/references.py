"""Answers about reference energies: all schemes side by side, one of them closely, its table for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say, text_table
from xfunc_core.answers.predictions import asked, teller
from xfunc_core.answers.reference_tables import comparison_table, curve_tables, diagnosis_tables, element_table
from xfunc_core.elements import Z_OF
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.lab.comparison import compare
from xfunc_core.lab.diagnosis import Diagnosis, diagnose
from xfunc_core.lab.evidence import Evidence, gather, needed_rows, split_of
from xfunc_core.lab.learning_curve import reference_curves
from xfunc_core.lab.overview import leaks
from xfunc_core.lab.results import Comparison, SchemeResult
from xfunc_core.lab.tables import read_references
from xfunc_core.quantities import ENERGY, count_text, counted, plural
from xfunc_core.references.element_references import Status
from xfunc_core.references.tables import TableFormat, write_table
from xfunc_core.runs.atomic import write_atomic
from xfunc_core.training.settings import FinetuneSettings


@dataclass(frozen=True)
class Asked:
    """What is wanted of the references of a dataset.

    Attributes:
        scheme: its name; '' for the recommended one.
        diagnose: look at it closely.
        learning_curve: its error against the number of frames, and that of the others.
        refits: for the intervals; None for what the data suggest.
        imported: a file with a table to compare with the schemes.
        export: format and file to write the scheme's table to.
    """

    scheme: str = ""
    diagnose: bool = False
    learning_curve: bool = False
    refits: int | None = None
    imported: str = ""
    export: tuple[str, str] | None = None


def references(settings: FinetuneSettings, wanted: Asked, say: Say) -> Answer:
    """Compare the schemes on the training subset that the settings choose, and answer what is asked about one.

    Raises:
        ConfigError, DataError: the settings, the dataset or a file cannot be used.
    """
    if wanted.refits is not None and wanted.refits < 2:
        raise ConfigError(f"{wanted.refits} refits give no interval: ask for at least 2, better 100.")
    brought = read_references(Path(wanted.imported).expanduser()) if wanted.imported else None
    dataset = find.dataset(settings.dataset)
    rows = needed_rows(split_of(settings, dataset))  # refuses what cannot be split before a second is spent on loading CHGNet
    evidence = gather(settings, dataset, asked(dataset, rows, say))
    if wanted.learning_curve:
        return _curves(evidence, say)
    table = brought.judged(evidence.held_back(dataset)) if brought else None
    found = compare(evidence, table, wanted.refits, tell=teller("Refitting on resampled materials", say))
    result = _chosen(found, wanted.scheme)
    if wanted.export:
        return _exported(result, *wanted.export, evidence)
    if wanted.diagnose:
        return _diagnosed(diagnose(evidence, found, result.name), result)
    return _one(found, result) if wanted.scheme else _side_by_side(found)


def _chosen(found: Comparison, name: str) -> SchemeResult:
    name = name or found.recommendation.name
    for lacking in found.unavailable:
        if lacking.scheme.value == name:
            raise ConfigError(f"The scheme {name} cannot be used with {found.title}: {lacking.reason[:1].lower()}{lacking.reason[1:]}")
    if name not in {result.name for result in found.results}:
        raise ConfigError(f"There is no scheme {name!r} here: bring a table along with --import, or choose one of those listed.")
    return found.result(name)


def _side_by_side(found: Comparison) -> Answer:
    elements = f"{counted(found.n_elements, 'element')}, of whose references they determine {counted(found.rank, 'combination')}"
    head = (
        f"Energy errors of the pretrained network with each scheme's references, in {ENERGY.error_unit}; nothing is trained. Fitted on the "
        f"{counted(found.n_train, 'training frame')} of {found.title} ({elements}); 95 % over {counted(found.n_refits, 'refit')} on resampled materials."
    )
    data = {
        "dataset": found.dataset,
        "unit": ENERGY.unit,
        "frames": {"train": found.n_train, "validation": found.n_validation, "test": found.n_test},
        "elements": found.n_elements,
        "rank": found.rank,
        "refits": found.n_refits,
        "schemes": {result.name: _numbers(result) for result in found.results},
        "unavailable": {lacking.scheme.value: lacking.reason for lacking in found.unavailable},
        "recommendation": found.recommendation,
        "coverage": found.coverage,
        "off_scale": found.off_scale,
        "left_out": found.left_out,
    }
    return Answer("\n".join([head, text_table(comparison_table(found)), *_remarks(found)]), data)


def _remarks(found: Comparison) -> list[str]:
    """What is said below the table, a sentence or two each."""
    chosen = found.recommendation
    said = [f"Recommended: {chosen.name}. {chosen.reason}", chosen.on_test, *found.off_scale, *found.coverage.sentences]
    said += [f"{lacking.scheme.value} cannot be used: {lacking.reason[:1].lower()}{lacking.reason[1:]}" for lacking in found.unavailable]
    said += leaks(found)
    if found.left_out:
        first = found.left_out[0]
        said.append(
            f"{counted(len(found.left_out), 'frame is', 'frames are')} left out; the first, {first['frame_id']}, because {first['reason']}."
        )
    return said


def _one(found: Comparison, result: SchemeResult) -> Answer:
    references = result.references
    head = f"{result.label}: {references.source}. {result.sentence}"
    opened = f"{counted(len(references.fitted), 'element')}, rank {count_text(references.rank)}: {counted(references.undetermined, 'combination')} of their energies {plural(references.undetermined, 'is', 'are')} left open by these frames."
    scale = [result.scale.sentence] if result.scale else []
    text = [head, *([opened] if references.undetermined else []), *scale, text_table(element_table(found, result))]
    extra = {
        "unit": ENERGY.unit,
        "undetermined": references.undetermined,
        "errors": _numbers(result),
        "sigma_over_refits": _by_element(result.sigma, references.fitted),
    }
    return Answer("\n".join(text), references.to_json() | extra)


def _diagnosed(found: Diagnosis, result: SchemeResult) -> Answer:
    scale = [result.scale.sentence] if result.scale else []
    return Answer(
        "\n".join([f"{result.label} on these training frames:", *found.sentences, *scale, *diagnosis_tables(found)]),
        {"unit": ENERGY.unit, "scheme": result.name, "diagnosis": found, "sentences": found.sentences},
    )


def _curves(evidence: Evidence, say: Say) -> Answer:
    found = reference_curves(evidence, tell=teller("Fitting on nested subsets", say))
    head = f"Error of the references against the number of training frames of {evidence.title}: medians over {counted(len(found.n_frames), 'order')} of the materials, in {ENERGY.error_unit}."
    return Answer("\n".join([head, *curve_tables(found)]), {"dataset": evidence.dataset, "unit": ENERGY.unit, "curves": found})


def _exported(result: SchemeResult, format_name: str, file: str, evidence: Evidence) -> Answer:
    formats = [format_.value for format_ in TableFormat]
    if format_name not in formats:
        raise ConfigError(f"{format_name!r} is no format of reference tables: choose one of {', '.join(formats)}.")
    unknown = np.array([status is Status.UNKNOWN for status in result.references.status])
    text = write_table(np.where(unknown, np.nan, result.references.energies), TableFormat(format_name), evidence.train.frames.functional)
    path = Path(file).expanduser()
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error}): check the path and its permissions.") from error
    n = int((~unknown).sum())
    said = f"Wrote {count_text(n)} reference energies of {result.name} to {path} as {format_name} reads them."
    return Answer(said, {"file": path, "format": format_name, "scheme": result.name, "elements": n})


def _numbers(result: SchemeResult) -> dict[str, Any]:
    parts = {
        name: {"n": e.n, "mae": e.mae, "rmse": e.rmse}
        for name, e in (("train", result.train), ("validation", result.validation), ("test", result.test), ("held_out", result.held_out))
    }
    return parts | {
        "test_interval": result.test_interval,
        "validation_interval": result.validation_interval,
        "first_loss": result.first_loss,
        "worst": result.worst,
        "off_scale": result.is_off_scale,
        "external": result.references.external,
        "leaky": result.references.leaky,
        "unknown": result.unknown,
    }


def _by_element(values: np.ndarray, symbols: tuple[str, ...]) -> dict[str, float]:
    return {symbol: float(values[Z_OF[symbol] - 1]) for symbol in symbols}
