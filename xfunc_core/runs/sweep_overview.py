"""Sweeps for a reader: how far one is, and its runs as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from xfunc_core.quantities import MISSING, QUANTITIES, count_text, counted
from xfunc_core.runs.state import RunState


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        n_runs: runs that are there.
        counts: runs by state.
    """

    n_runs: int
    counts: dict[RunState, int]

    @property
    def fraction(self) -> float:
        """Runs that are over, of all, 0 to 1."""
        return sum(n for state, n in self.counts.items() if state.is_over) / self.n_runs if self.n_runs else 1.0

    @property
    def is_active(self) -> bool:
        """Whether a run waits or works."""
        return any(state.is_active for state in self.counts)

    @property
    def sentence(self) -> str:
        """How many runs are in which state, such as ``12 of 16 runs finished · 1 running · 3 queued``."""
        finished = f"{count_text(self.counts.get(RunState.FINISHED, 0))} of {counted(self.n_runs, 'run')} finished"
        others = [f"{count_text(self.counts[s])} {s.label.lower()}" for s in RunState if s is not RunState.FINISHED and s in self.counts]
        return " · ".join([finished, *others])


def sweep_progress(runs: pd.DataFrame) -> SweepProgress:
    """Read the progress off a table made by `sweep_table`."""
    return SweepProgress(len(runs), dict(Counter(runs["state"])))


def sweep_run_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A table made by `sweep_table`, formatted: one row a run with its test MAE of each quantity that any run has."""
    shown = [q for q in QUANTITIES if runs[q.key].notna().any()]
    return pd.DataFrame(
        {
            "Run": runs["run_id"],
            "State": [state.label for state in runs["state"]],
            "Method": runs["method"].fillna(MISSING),
            "Training frames": [MISSING if pd.isna(n) else count_text(int(n)) for n in runs["size"]],
            "Seed": [MISSING if pd.isna(n) else str(int(n)) for n in runs["seed"]],
        }
        | {f"{q.label} MAE ({q.error_unit})": [q.error(x) for x in runs[q.key]] for q in shown}
        | {"N test frames": [MISSING if pd.isna(n) else count_text(int(n)) for n in runs["n_test"]]}
    )
