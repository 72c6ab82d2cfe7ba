"""Several finished runs side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from xfunc_core.errors import RunError
from xfunc_core.quantities import MISSING, QUANTITIES, count_text
from xfunc_core.references.scheme import scheme_label
from xfunc_core.runs.behind import LEAK, leak_of
from xfunc_core.runs.results import RunResults


def comparable(results: Iterable[RunResults], shown: RunResults) -> list[RunResults]:
    """The runs on the data of the shown one that can be read and belong to no sweep, in the given order.

    The data are the same where the hash of their content is; where a run did not keep it, the dataset's name has to do.
    """
    return [found for found in results if _is_comparable(found, shown)]


def _is_comparable(found: RunResults, shown: RunResults) -> bool:
    try:
        config = found.folder.config()
        return _is_readable(config) and not config.get("sweep") and _same_data(found, shown)
    except RunError:
        return False


def _is_readable(config: dict[str, Any]) -> bool:
    """Whether the settings that the table shows are of their types; they may have been edited."""
    return isinstance(config.get("method", ""), str) and all(isinstance(config.get(name, 0), int) for name in ("epochs", "seed"))


def _same_data(one: RunResults, other: RunResults) -> bool:
    if one.content_sha256 and other.content_sha256:
        return one.content_sha256 == other.content_sha256
    return one.folder.config().get("dataset") == other.folder.config().get("dataset")


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
        "References": f"{scheme_label(metrics.get('scheme'))}{' (leaky)' if leak_of(found.folder) == LEAK else ''}",
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
