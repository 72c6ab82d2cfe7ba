"""Finished runs side by side."""

from pathlib import Path

from xfunc_core.runs.comparison import comparison_table
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.results import PARTS, STAGES, RunResults


def run(root: Path, method: str, energy: float, magmom: bool) -> RunResults:
    folder = RunFolder.create(root, {"method": method, "epochs": 30, "seed": 1}, run_id=method)
    trained = {"energy": {"n": 14, "mae": energy, "rmse": 2 * energy}} | ({"magmom": {"n": 3, "mae": 0.02, "rmse": 0.03}} if magmom else {})
    folder.write_json(folder.metrics, {"n_frames": {"train": 1065, "validation": 9, "test": 14}, "best_epoch": 1, "left_out": [], "errors": {part: dict.fromkeys(STAGES, trained) for part in PARTS}})
    return RunResults(folder)


def test_one_row_a_run_with_the_quantities_it_has(tmp_path):
    table = comparison_table([run(tmp_path, "M3", 0.0412, False), run(tmp_path, "M4", 0.017, True)]).set_index("Method")
    assert table.loc["M3", "Energy MAE / RMSE (meV/atom)"] == "41.2 / 82.4"
    assert table.loc["M4", "Magnetic moment MAE / RMSE (μB)"] == "0.020 / 0.030"
    assert table.loc["M4", ["Training frames", "Epochs", "Seed", "N energy"]].tolist() == ["1,065", "30", 1, "14"]
