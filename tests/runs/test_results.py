"""Results read from a hand-made run folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.errors import RunError
from xfunc_core.quantities import ENERGY, FORCE, MAGMOM, STRESS
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.results import STAGES, RunResults

ARRAYS = {
    "row": np.array([7, 3]),
    "frame_id": np.array(["a", "b"]),
    "formula": np.array(["NaCl", "Cu"]),
    "n_atoms": np.array([2, 1]),
}
FACTOR = {"label": 1.0, "zero_shot": 5.0, "start": 3.0, "trained": 2.0}


def error(mae: float, n: int = 2) -> dict[str, float]:
    return {"n": n, "mae": mae, "rmse": 2 * mae}


def metrics() -> dict:
    by_stage = {stage: {"energy": error(factor / 100), "force": error(factor / 10, 9)} for stage, factor in FACTOR.items() if stage != "label"}
    return {"errors": {"test": by_stage, "validation": {stage: {} for stage in STAGES}}, "best_epoch": 1, "left_out": [], "n_frames": {"train": 4, "validation": 0, "test": 2}}


@pytest.fixture
def results(root: Path) -> RunResults:
    run = RunFolder.create(root, {"method": "M4"}, run_id="done")
    run.write_json(run.metrics, metrics())
    arrays = {f"test/{name}": array for name, array in ARRAYS.items()}
    for stage, factor in FACTOR.items():
        arrays |= {
            f"test/{stage}/energy": factor * np.array([-1.0, -2.0]),
            f"test/{stage}/forces": factor * np.arange(9.0).reshape(3, 3),
            f"test/{stage}/stress": factor * np.arange(12.0).reshape(2, 6),
            f"test/{stage}/magmoms": np.full(3, math.nan),
        }
    np.savez_compressed(run.predictions, **arrays)
    return RunResults(run)


def test_errors_are_looked_up_by_stage_and_quantity(results: RunResults) -> None:
    assert results.error("trained", ENERGY) == error(0.02)
    assert results.error("zero_shot", FORCE) == error(0.5, 9)
    assert results.error("trained", STRESS) is None
    assert results.error("trained", ENERGY, "validation") is None
    assert results.labelled() == [ENERGY, FORCE]
    assert results.labelled("validation") == []


def test_the_share_of_references_is_told_apart_from_that_of_training(results: RunResults) -> None:
    errors = results.metrics["errors"]["test"]
    for stage, mae in (("zero_shot", 6.8892), ("start", 0.0841), ("trained", 0.0626)):
        errors[stage]["energy"] = {"n": 14, "mae": mae, "rmse": mae}
    told = results.share_of_references()
    assert told == "Energy MAE in meV/atom: 6,889.2 with the GGA references, 84.1 by this run's references alone, 62.6 after training."
    errors["trained"]["energy"]["mae"] = 0.0842
    assert results.share_of_references().endswith("Training did not help the energies here.")
    del errors["start"]["energy"]
    assert results.share_of_references() == ""


def test_error_table_is_in_the_units_of_errors(results: RunResults) -> None:
    table = results.error_table()
    assert list(table["Quantity"]) == ["Energy"] * 3 + ["Force"] * 3
    assert list(table["Model"][:3]) == list(STAGES.values())
    assert list(table["MAE"]) == ["50.0", "30.0", "20.0", "500.0", "300.0", "200.0"]
    assert list(table["RMSE"][:2]) == ["100.0", "60.0"]
    assert list(table["Unit"][[0, 3]]) == ["meV/atom", "meV/Å"]
    assert list(table["N"][[0, 3]]) == [2, 9]
    assert results.error_table("validation").empty


def test_values_are_flat_and_every_one_knows_its_frame(results: RunResults) -> None:
    assert results.values("label", ENERGY).tolist() == [-1.0, -2.0]
    assert results.values("trained", FORCE).tolist() == [2.0 * k for k in range(9)]
    assert results.frame_rows(ENERGY).tolist() == [7, 3]
    assert results.frame_rows(FORCE).tolist() == [7] * 6 + [3] * 3
    assert results.frame_rows(STRESS).tolist() == [7] * 6 + [3] * 6
    assert results.frame_rows(MAGMOM).tolist() == [7, 7, 3]
    for quantity in (ENERGY, FORCE, STRESS, MAGMOM):
        assert len(results.values("trained", quantity)) == len(results.frame_rows(quantity))


def test_a_row_of_the_dataset_knows_the_id_it_had(results: RunResults) -> None:
    assert [results.frame_id(row) for row in (7, 3, 0)] == ["a", "b", None]


def test_the_data_are_known_by_their_content_since_runs_keep_it(results: RunResults) -> None:
    assert results.content_sha256 is None
    results.folder.write_json(results.folder.metrics, metrics() | {"dataset": {"name": "few", "content_sha256": "c0ffee"}})
    assert RunResults(results.folder).content_sha256 == "c0ffee"


@pytest.mark.parametrize(
    "change",
    [{"best_epoch": "first"}, {"n_frames": {"train": "4", "validation": 0, "test": 2}}, {"left_out": [{"frame_id": 3, "reason": ""}]}, {"left_out": 3}, {"dataset": []}, {"dataset": {"content_sha256": 3}}, {"n_test_uncovered": "none"}],
)
def test_metrics_edited_into_other_types_are_said(results: RunResults, change: dict) -> None:
    results.folder.write_json(results.folder.metrics, metrics() | change)
    with pytest.raises(RunError, match="Run done has no readable results"):
        RunResults(results.folder).error("trained", ENERGY)


def test_error_edited_into_a_word_is_said(results: RunResults) -> None:
    edited = metrics()
    edited["errors"]["test"]["trained"]["energy"]["mae"] = "small"
    results.folder.write_json(results.folder.metrics, edited)
    with pytest.raises(RunError, match="Run done has no readable results"):
        RunResults(results.folder).error_table()


def test_frame_table_has_a_row_a_frame(results: RunResults) -> None:
    table = results.frame_table()
    assert table[["row", "frame_id", "formula", "n_atoms"]].values.tolist() == [[7, "a", "NaCl", 2], [3, "b", "Cu", 1]]
    assert table["energy_trained (eV/atom)"].tolist() == [-2.0, -4.0]
    assert table["energy_label (eV/atom)"].tolist() == [-1.0, -2.0]


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", "3", '{"errors": []}', '{"errors": {"test": {}}}', '{"errors": {"test": {"trained": []}}}', json.dumps({"errors": {p: dict.fromkeys(STAGES, []) for p in ("test", "validation")}})])
def test_unreadable_metrics_are_said(root: Path, content: str | None) -> None:
    run = RunFolder.create(root, {}, run_id="odd")
    if content is not None:
        run.metrics.write_text(content)
    with pytest.raises(RunError, match="Run odd has no readable results .* has it finished"):
        RunResults(run).error("trained", ENERGY)


def test_unreadable_predictions_are_said(results: RunResults) -> None:
    whole = results.folder.predictions.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"text", whole[: len(whole) // 2], whole[:-1], *(bytes(rng.integers(0, 256, 50, dtype=np.uint8)) for _ in range(20))]
    for _ in range(100):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 8):
            content[place] ^= int(rng.integers(1, 256))
        damaged.append(bytes(content))
    said = 0
    for content in damaged:
        results.folder.predictions.write_bytes(content)
        try:
            RunResults(results.folder).frame_table()
        except RunError as error:
            said += 1
            assert "done" in str(error) and str(error).endswith("launch it again.")
    assert said > 100  # the rest: damage in what is not read, or a name that nobody asks for
    results.folder.predictions.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        RunResults(results.folder).values("label", ENERGY)


def test_predictions_with_code_are_not_unpickled(results: RunResults) -> None:
    np.savez(results.folder.predictions, **{"test/row": np.array([object()])})
    with pytest.raises(RunError, match="cannot be read"):
        RunResults(results.folder).frame_rows(ENERGY)


def test_missing_array_is_said(results: RunResults) -> None:
    np.savez(results.folder.predictions, **{"test/row": np.array([1])})
    with pytest.raises(RunError, match="lack test/label/energy: launch it again"):
        RunResults(results.folder).values("label", ENERGY)
