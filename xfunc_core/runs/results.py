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
from xfunc_core.quantities import ENERGY, QUANTITIES, Quantity
from xfunc_core.runs.folder import RunFolder

STAGES = {
    "zero_shot": "Zero-shot, GGA references",
    "start": "Before training, this run's references",
    "trained": "Fine-tuned",
}
"""Stages of a run and what they are called on screen."""
PARTS = {"test": "Test", "validation": "Validation"}

_MEASURES = ("n", "mae", "rmse")
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
            _check(found)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(f"Run {self.folder.id} has no readable results ({error.__class__.__name__}): has it finished?") from error
        return found

    @property
    def content_sha256(self) -> str | None:
        """Hash of the content of the dataset that the run learnt from; None in runs of earlier versions, which did not keep it."""
        return self.metrics.get("dataset", {}).get("content_sha256")

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

    def frame_id(self, row: int, part: str = "test") -> str | None:
        """Id of the frame that was in this row of the dataset when the run learnt from it; None if it was in no such part."""
        places = np.flatnonzero(self._array(f"{part}/row") == row)
        return str(self._array(f"{part}/frame_id")[places[0]]) if len(places) else None

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

    def share_of_references(self, part: str = "test") -> str:
        """One sentence on what the references did and what training did to the energies, '' without energies."""
        steps = [self.error(stage, ENERGY, part) for stage in STAGES]
        if not all(steps):
            return ""
        before, referenced, trained = (ENERGY.error(step["mae"]) for step in steps)
        sentence = f"Energy MAE in {ENERGY.error_unit}: {before} with the GGA references, {referenced} by this run's references alone, {trained} after training."
        return sentence if steps[2]["mae"] < steps[1]["mae"] else f"{sentence} Training did not help the energies here."


def _check(metrics: dict[str, Any]) -> None:
    """Raise a TypeError or LookupError unless everything that is shown is there and of its type."""
    frames, dataset = metrics["n_frames"], metrics.get("dataset", {})
    counts = (frames["train"], frames["validation"], frames["test"], metrics["best_epoch"], metrics.get("n_elements", 0), metrics.get("n_test_uncovered", 0))
    errors = [metrics["errors"][part][stage] for part in PARTS for stage in STAGES]
    numbers = [error[name] for by_quantity in errors for error in by_quantity.values() for name in _MEASURES]
    if not all(isinstance(count, int) for count in counts) or not all(isinstance(number, int | float) for number in numbers):
        raise TypeError("a number is none")
    if not all(isinstance(frame["frame_id"], str) and isinstance(frame["reason"], str) for frame in metrics["left_out"]):
        raise TypeError("a frame left out is none")
    if not isinstance(dataset.get("content_sha256", ""), str):
        raise TypeError("a hash is none")
