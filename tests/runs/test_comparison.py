"""Finished runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfunc_core.runs.comparison import comparable, comparison_table
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.results import PARTS, STAGES, RunResults


def run(root: Path, method: str, energy: float = 0.02, magmom: bool = False, content: str = "", **config: object) -> RunResults:
    folder = RunFolder.create(root, {"method": method, "epochs": 30, "seed": 1, "dataset": "few", **config}, run_id=method)
    trained = {"energy": {"n": 14, "mae": energy, "rmse": 2 * energy}} | ({"magmom": {"n": 3, "mae": 0.02, "rmse": 0.03}} if magmom else {})
    found = {"n_frames": {"train": 1065, "validation": 9, "test": 14}, "best_epoch": 1, "left_out": [], "errors": {part: dict.fromkeys(STAGES, trained) for part in PARTS}}
    folder.write_json(folder.metrics, found | ({"dataset": {"name": config.get("dataset", "few"), "content_sha256": content}} if content else {}))
    return RunResults(folder)


def test_one_row_a_run_with_the_quantities_it_has(tmp_path: Path) -> None:
    table = comparison_table([run(tmp_path, "M3", 0.0412, False), run(tmp_path, "M4", 0.017, True)]).set_index("Method")
    assert table.loc["M3", "Energy MAE / RMSE (meV/atom)"] == "41.2 / 82.4"
    assert table.loc["M4", "Magnetic moment MAE / RMSE (μB)"] == "0.020 / 0.030"
    assert table.loc["M4", ["Training frames", "Epochs", "Seed", "N energy"]].tolist() == ["1,065", "30", 1, "14"]


def test_runs_compare_by_the_content_of_their_data_and_by_name_where_it_was_not_kept(tmp_path: Path) -> None:
    shown = run(tmp_path, "shown", content="now")
    replaced = run(tmp_path, "replaced", content="then")
    renamed = run(tmp_path, "renamed", content="now", dataset="other-name")
    early = run(tmp_path, "early")
    others = [run(tmp_path, "other", dataset="many"), run(tmp_path, "of-a-sweep", content="now", sweep="s1")]
    assert comparable([shown, replaced, renamed, early, *others], shown) == [shown, renamed, early]
    assert comparable([shown, replaced, renamed, early, *others], early) == [shown, replaced, early]


@pytest.mark.parametrize("edited", [{"epochs": "many"}, {"epochs": [3]}, {"seed": "one"}, {"method": ["M4"]}])
def test_runs_with_edited_settings_are_passed_over(tmp_path: Path, edited: dict[str, object]) -> None:
    shown, other = run(tmp_path, "shown"), run(tmp_path, "other")
    other.folder.write_json(other.folder.config_file, other.folder.config() | edited)
    assert comparable([shown, other], shown) == [shown]
