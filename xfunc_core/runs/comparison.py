"""Several finished runs side by side."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from xfunc_core.errors import RunError
from xfunc_core.quantities import MISSING, QUANTITIES, count_text
from xfunc_core.runs.results import RunResults


def comparable(results: Iterable[RunResults], dataset: str) -> list[RunResults]:
    """The runs on a dataset that can be read and belong to no sweep, in the given order."""
    return [found for found in results if _is_comparable(found, dataset)]


def _is_comparable(found: RunResults, dataset: str) -> bool:
    try:
        config = found.folder.config()
        return config.get("dataset") == dataset and not config.get("sweep") and bool(found.metrics)
    except RunError:
        return False


def comparison_table(results: Iterable[RunResults], part: str = "test") -> pd.DataFrame:
    """One row a run, formatted: title, method, references, training frames, epochs, then N, MAE and RMSE of every labelled quantity.

    Raises:
        RunError: a run's settings or results cannot be read.
    """
    return pd.DataFrame([_row(found, part) for found in results])


def _row(found: RunResults, part: str) -> dict[str, object]:
    config, metrics = found.folder.config(), found.metrics
    row: dict[str, object] = {
        "Run": found.folder.title,
        "Method": config.get("method", MISSING),
        "Training frames": count_text(metrics["n_frames"]["train"]),
        "Epochs": count_text(config.get("epochs", 0)),
        "Seed": config.get("seed", MISSING),
    }
    for quantity in QUANTITIES:
        error = found.error("trained", quantity, part)
        if error:
            row[f"{quantity.label} MAE / RMSE ({quantity.error_unit})"] = f"{quantity.error(error['mae'])} / {quantity.error(error['rmse'])}"
            row[f"N {quantity.label.lower()}"] = count_text(error["n"])
    return row
