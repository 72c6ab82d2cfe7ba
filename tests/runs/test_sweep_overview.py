"""How far a sweep is, and its runs for a reader."""

import math

import pandas as pd

from xfunc_core.runs.state import RunState
from xfunc_core.runs.sweep_overview import sweep_progress, sweep_run_table

COLUMNS = ["run_id", "state", "method", "seed", "size", "n_elements", "n_test", "n_test_uncovered", "energy", "force", "stress", "magmom"]
RUNS = pd.DataFrame(
    [
        ["a", RunState.FINISHED, "M1", 0, 8, 20, 14, 3, 0.0563, 0.0806, 1.037, math.nan],
        ["b", RunState.RUNNING, "M4", 0, 8, math.nan, math.nan, math.nan, *[math.nan] * 4],
        ["c", RunState.BROKEN, *[None] * 2, *[math.nan] * 8],
        ["d", RunState.QUEUED, "M4", 1, 8, *[math.nan] * 7],
    ],
    columns=COLUMNS,
)


def test_runs_that_are_over_count_as_done():
    progress = sweep_progress(RUNS)
    assert progress.fraction == 0.5
    assert progress.is_active
    assert progress.sentence == "1 of 4 runs finished · 1 queued · 1 running · 1 broken"


def test_a_sweep_without_runs_is_over():
    progress = sweep_progress(RUNS.iloc[:0])
    assert (progress.fraction, progress.is_active, progress.sentence) == (1.0, False, "0 of 0 runs finished")


def test_the_table_shows_errors_in_their_units_and_what_is_missing():
    table = sweep_run_table(RUNS)
    assert table["Energy MAE (meV/atom)"].tolist() == ["56.3", "–", "–", "–"]
    assert table["Stress MAE (GPa)"].iat[0] == "1.037"
    assert "Magnetic moment MAE (μB)" not in table
    assert table.loc[2, ["Method", "Training frames", "Seed", "N test frames"]].tolist() == ["–"] * 4
    assert table.loc[0, ["Training frames", "Seed", "N test frames"]].tolist() == ["8", "0", "14"]
