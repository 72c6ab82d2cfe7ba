"""What a finished run found: its errors and, for parity plots, its predictions."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from xfunc_core.errors import RunError
from xfunc_core.quantities import QUANTITIES, Quantity
from xfunc_core.runs.folder import RunFolder

STAGES = {
    "zero_shot": "Zero-shot, GGA references",
    "start": "Zero-shot, this run's references",
    "trained": "Fine-tuned",
}
"""Stages of a run and what they are called on screen."""
PARTS = {"test": "Test", "validation": "Validation"}

_ARRAY = {"energy": "energy", "force": "forces", "stress": "stress", "magmom": "magmoms"}


@dataclass(frozen=True)
class RunResults:
    """Errors and predictions of one finished run."""

    folder: RunFolder

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``.

        Raises:
            RunError: the run has no readable results.
        """
        try:
            found = json.loads(self.folder.metrics.read_bytes())
            _ = found["n_frames"]["train"], found["n_frames"]["validation"], found["n_frames"]["test"], found["best_epoch"], len(found["left_out"])
            for part in PARTS:
                for stage in STAGES:
                    found["errors"][part][stage].items()
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"Run {self.folder.id} has no readable results ({error.__class__.__name__}): has it finished?") from error
        return found

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            with np.load(self.folder.predictions, allow_pickle=False) as saved:
                return dict(saved)
        except (OSError, ValueError, LookupError, RuntimeError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise RunError(f"The predictions of run {self.folder.id} cannot be read ({error.__class__.__name__}): launch it again.") from error

    def _array(self, key: str) -> np.ndarray:
        try:
            return self._arrays[key]
        except KeyError:
            raise RunError(f"The predictions of run {self.folder.id} lack {key}: launch it again.") from None

    def error(self, stage: str, quantity: Quantity, part: str = "test") -> dict[str, float] | None:
        """``{"n", "mae", "rmse"}`` in the quantity's unit, or None where there are no labels."""
        return self.metrics["errors"][part][stage].get(quantity.key)

    def labelled(self, part: str = "test") -> list[Quantity]:
        """The quantities that have labels in a part."""
        return [q for q in QUANTITIES if self.error("trained", q, part)]

    def values(self, stage: str, quantity: Quantity, part: str = "test") -> np.ndarray:
        """Labels (stage ``label``) or predictions, flat: one per frame, component or atom."""
        return self._array(f"{part}/{stage}/{_ARRAY[quantity.key]}").ravel().astype(float)

    def frame_rows(self, quantity: Quantity, part: str = "test") -> np.ndarray:
        """For every entry of `values` the row of its frame in the dataset."""
        rows, n_atoms = self._array(f"{part}/row"), self._array(f"{part}/n_atoms")
        repeats = {"energy": np.ones_like(n_atoms), "force": 3 * n_atoms, "stress": np.full_like(n_atoms, 6), "magmom": n_atoms}
        return np.repeat(rows, repeats[quantity.key])

    def error_table(self, part: str = "test") -> pd.DataFrame:
        """One row per quantity and stage: Quantity, Unit, Model, N (a number), MAE and RMSE (text in that unit)."""
        rows = [
            {"Quantity": q.label, "Unit": q.error_unit, "Model": STAGES[stage], "N": e["n"], "MAE": q.error(e["mae"]), "RMSE": q.error(e["rmse"])}
            for q in self.labelled(part)
            for stage in STAGES
            if (e := self.error(stage, q, part))
        ]
        return pd.DataFrame(rows)

    def frame_table(self, part: str = "test") -> pd.DataFrame:
        """One row a frame: id, formula, atoms, energy label and predictions in eV/atom, for downloads."""
        table = pd.DataFrame({name: self._array(f"{part}/{name}") for name in ("row", "frame_id", "formula", "n_atoms")})
        for stage in ("label", *STAGES):
            table[f"energy_{stage} (eV/atom)"] = self._array(f"{part}/{stage}/energy")
        return table

    def times_better(self, quantity: Quantity, part: str = "test") -> float | None:
        """Zero-shot MAE with the GGA references over MAE after fine-tuning."""
        before, after = self.error("zero_shot", quantity, part), self.error("trained", quantity, part)
        return before["mae"] / after["mae"] if before and after and after["mae"] else None
