"""The Results page against the run's own predictions, its errors computed again with scikit-learn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from xfunc_core.data.importing import import_file

BEFORE = {"zero_shot": "Zero-shot, GGA references", "start": "Before training, this run's references"}
AFTER = "Fine-tuned"
QUANTITIES = {  # key: array in predictions.npz, label, error unit, from eV/atom, eV/Å, GPa to it, rounding on screen
    "energy": ("energy", "Energy", "meV/atom", 1000.0, 0.051),
    "force": ("forces", "Force", "meV/Å", 1000.0, 0.051),
    "stress": ("stress", "Stress", "GPa", 1.0, 0.00051),
}


@pytest.fixture
def predicted(trained, run_id) -> dict[str, np.ndarray]:
    """The content of the run's predictions.npz."""
    with np.load(trained / "runs" / run_id / "predictions.npz") as saved:
        return dict(saved)


@pytest.fixture
def error(predicted):
    """MAE and RMSE of a stage in the unit on screen, and N."""

    def of(stage: str, key: str, part: str = "test") -> tuple[float, float, int]:
        name, _, _, scale, _ = QUANTITIES[key]
        label, values = (predicted[f"{part}/{which}/{name}"].ravel() for which in ("label", stage))
        return scale * mean_absolute_error(label, values), scale * root_mean_squared_error(label, values), len(label)

    return of


@pytest.fixture
def opened(trained, screen, run_id) -> Any:
    """The page on the run that is no part of the sweep."""
    return screen("results").choose("result_run", run_id)


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("before", list(BEFORE))
def test_metrics_are_the_errors_of_the_predictions(opened, error, as_number, part, before) -> None:
    page = opened.choose("part", part).choose("before", before)
    assert [metric.label for metric in page.at.metric] == [f"{label} MAE ({unit})" for _, label, unit, _, _ in QUANTITIES.values()]
    for metric, (key, (*_, rounding)) in zip(page.at.metric, QUANTITIES.items(), strict=True):
        assert as_number(metric.value) == pytest.approx(error("trained", key, part)[0], abs=rounding)
        assert metric.delta.startswith("before: ")
        assert as_number(metric.delta.removeprefix("before: ")) == pytest.approx(error(before, key, part)[0], abs=rounding)
        assert f"N = {error('trained', key, part)[2]:,};" in metric.help


def test_choices_change_the_numbers(opened) -> None:
    def shown(key: str) -> list[str]:
        return [getattr(metric, key) for metric in opened.at.metric]

    values, deltas = shown("value"), shown("delta")
    opened.choose("before", "zero_shot")
    assert shown("value") == values
    assert shown("delta")[0] != deltas[0]  # only energies move with the references
    assert shown("delta")[1:] == deltas[1:]
    opened.choose("part", "validation")
    assert all(new != old for new, old in zip(shown("value"), values, strict=True))


@pytest.mark.parametrize("part", ["test", "validation"])
def test_error_table_has_every_stage_with_n(opened, error, as_number, part) -> None:
    table = opened.choose("part", part).table("Model", "N", "MAE", "RMSE")
    names = {**BEFORE, "trained": AFTER}
    assert len(table) == len(QUANTITIES) * len(names)
    rows = table.set_index(["Quantity", "Model"])
    for key, (_, label, unit, _, rounding) in QUANTITIES.items():
        for stage, name in names.items():
            row, (mae, rmse, n) = rows.loc[(label, name)], error(stage, key, part)
            assert (row["Unit"], row["N"]) == (unit, n)
            assert as_number(row["MAE"]) == pytest.approx(mae, abs=rounding)
            assert as_number(row["RMSE"]) == pytest.approx(rmse, abs=rounding)


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("key", list(QUANTITIES))
def test_parity_points_are_labels_and_predictions(opened, predicted, error, array, key, part) -> None:
    page = opened.choose("part", part).choose("before", "start")
    figure = page.figure(f"parity_{key}_{part}_start")
    name, _, unit, scale, _ = QUANTITIES[key]
    label = predicted[f"{part}/label/{name}"].ravel()
    n_atoms = predicted[f"{part}/n_atoms"]
    repeats = {"energy": np.ones_like(n_atoms), "force": 3 * n_atoms, "stress": np.full_like(n_atoms, 6)}[key]
    for stage, title in (("start", BEFORE["start"]), ("trained", AFTER)):
        values = predicted[f"{part}/{stage}/{name}"].ravel()
        points, residuals = (next(t for t in figure["data"] if t["name"] == title and t.get("yaxis", "y") == axis) for axis in ("y", "y2"))
        np.testing.assert_allclose(array(points["x"]), label, rtol=1e-6)
        np.testing.assert_allclose(array(points["y"]), values, rtol=1e-6)
        np.testing.assert_allclose(array(residuals["y"]), scale * (values - label), atol=1e-5 * scale)
        np.testing.assert_array_equal(array(points["customdata"]).astype(int), np.repeat(predicted[f"{part}/row"], repeats))
        mae, _, n = error(stage, key, part)
        [legend] = [t["name"] for t in figure["data"] if t["name"].startswith(f"<b>{title}</b>")]
        assert legend.endswith(f"N {n:,}")
        assert float(legend.split("MAE ")[1].split(" ")[0].replace(",", "")) == pytest.approx(mae, abs=QUANTITIES[key][4])
        assert unit in legend


def test_caption_tells_what_was_measured(opened, trained, run_id) -> None:
    run = trained / "runs" / run_id
    split = json.loads((run / "split.json").read_text())
    counts = {part: len(ids) for part, ids in split.items()}
    assert f"{counts['train']} training, {counts['validation']} validation and {counts['test']} test frames, split by material" in opened.words()
    materials = [{frame_id.rsplit("-", 1)[0] for frame_id in ids} for ids in split.values()]
    assert not materials[0] & materials[1] and not materials[0] & materials[2] and not materials[1] & materials[2]


def test_another_run_has_other_numbers(opened, trained, sweep_id, as_number) -> None:
    other = f"{sweep_id}-m1-n8-s0"
    page = opened.choose("result_run", other)
    with np.load(trained / "runs" / other / "predictions.npz") as saved:
        mae = 1000 * mean_absolute_error(saved["test/label/energy"], saved["test/trained/energy"])
    assert as_number(page.at.metric[0].value) == pytest.approx(mae, abs=0.051)
    assert page.words().count("M1 · from scratch") == 1


def test_finished_runs_are_the_choice(trained, screen, small, held_queue) -> None:
    from xfunc_core.runs.folder import RunFolder

    with held_queue(trained):
        run = RunFolder.create(trained / "runs", small.to_dict(), run_id="waits")
        page = screen("results")
        run.request_cancel()
    assert set(page.widget("result_run").options) == {path.parent.name for path in (trained / "runs").glob("*/predictions.npz")}


def test_runs_on_the_same_data_stand_side_by_side(trained, screen, run_id, error, as_number) -> None:
    page = screen("results").choose("result_run", run_id)
    assert "Beside the other runs on this dataset" not in [element.value for element in page.at.subheader]
    shutil.copytree(trained / "runs" / run_id, trained / "runs" / "again")
    table = page.run().table("Run", "Training frames")
    assert set(table["Run"]) == {run_id, "again"}  # the sweep's runs have their own page
    mae, rmse, n = error("trained", "energy")
    for text in table["Energy MAE / RMSE (meV/atom)"]:
        assert [as_number(part) for part in text.split(" / ")] == pytest.approx([mae, rmse], abs=0.051)
    assert set(table["N energy"]) == {f"{n:,}"}


def test_no_finished_run_is_a_designed_empty_state(home, screen) -> None:
    page = screen("results")
    assert "No run has finished yet" in page.words()
    assert page.go(page.links()["Launch a fine-tuning"]).title() == "Fine-tune"


# --- damaged runs -----------------------------------------------------------------------------


def one_sentence(page: Any, run_id: str) -> str:
    [sentence] = page.errors()
    assert run_id in sentence and sentence.endswith((".", "?")) and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("visited_before", [False, True])
def test_deleted_predictions_are_one_sentence(trained, screen, run_id, visited_before) -> None:
    page = screen("results").choose("result_run", run_id) if visited_before else None
    (trained / "runs" / run_id / "predictions.npz").unlink()
    page = page.run() if page else screen("results").choose("result_run", run_id)
    assert "predictions" in one_sentence(page, run_id)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_damaged_predictions_are_one_sentence(trained, screen, run_id, content) -> None:
    (trained / "runs" / run_id / "predictions.npz").write_bytes(content)
    one_sentence(screen("results").choose("result_run", run_id), run_id)


def test_predictions_that_lack_an_array_are_one_sentence(trained, screen, run_id, predicted) -> None:
    np.savez(trained / "runs" / run_id / "predictions.npz", **{key: values for key, values in predicted.items() if key != "test/trained/stress"})
    one_sentence(screen("results").choose("result_run", run_id), run_id)


@pytest.mark.parametrize("content", ["", "garbage", "[]", "{}", "null", '{"errors": 3}', '{"errors": {"test": {}}}'])
def test_garbage_metrics_are_one_sentence(trained, screen, run_id, content) -> None:
    (trained / "runs" / run_id / "metrics.json").write_text(content)
    one_sentence(screen("results").choose("result_run", run_id), run_id)


@pytest.mark.parametrize("lost", ["n_frames", "best_epoch", "left_out"])
def test_metrics_that_lack_an_entry_are_one_sentence(trained, screen, run_id, lost) -> None:
    metrics = trained / "runs" / run_id / "metrics.json"
    metrics.write_text(json.dumps({key: value for key, value in json.loads(metrics.read_text()).items() if key != lost}))
    one_sentence(screen("results").choose("result_run", run_id), run_id)




@pytest.mark.parametrize("settings", ["nonsense", "{}", '{"method": "M9", "dataset": "any", "epochs": 2}'])
def test_settings_edited_into_nonsense_are_one_sentence(trained, screen, run_id, settings) -> None:
    (trained / "runs" / run_id / "config.json").write_text(settings)
    one_sentence(screen("results").choose("result_run", run_id), run_id)


def test_another_run_that_is_damaged_is_not_this_ones_fault(trained, screen, run_id) -> None:
    for name, file in (("bad-settings", "config.json"), ("bad-metrics", "metrics.json")):
        shutil.copytree(trained / "runs" / run_id, trained / "runs" / name)
        (trained / "runs" / name / file).write_text("nonsense")
    page = screen("results").choose("result_run", run_id)
    assert len(page.at.metric) == len(QUANTITIES)
    assert not page.errors()


def test_part_without_labels_is_no_accident(trained, screen, run_id, predicted) -> None:
    """Test frames may have no label at all; then there is nothing to judge, and the page says so."""
    run = trained / "runs" / run_id
    unlabelled(run, predicted)
    page = screen("results").choose("result_run", run_id)
    assert not page.at.metric
    assert page.title() == "Results"


def unlabelled(run: Path, predicted: dict[str, np.ndarray]) -> None:
    """What the worker writes when no test frame has a label: no errors, and labels that are NaN."""
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["errors"]["test"] = {stage: {} for stage in metrics["errors"]["test"]}
    (run / "metrics.json").write_text(json.dumps(metrics))
    np.savez(run / "predictions.npz", **{k: np.full_like(v, np.nan) if k.startswith("test/label/") else v for k, v in predicted.items()})


@pytest.mark.parametrize("settings", [{"epochs": "many"}, {"seed": []}])
def test_another_run_with_edited_settings_is_not_this_ones_fault(trained, screen, run_id, settings) -> None:
    shutil.copytree(trained / "runs" / run_id, trained / "runs" / "edited")
    config = trained / "runs" / "edited" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))
    page = screen("results").choose("result_run", run_id)
    assert len(page.at.metric) == len(QUANTITIES)
    assert not page.errors()


# --- the structure of a clicked point ---------------------------------------------------------


def shown_frame(page: Any) -> list[str]:
    """The head of the frame card, if there is one."""
    return [markdown.value for markdown in page.at.markdown if markdown.value.startswith("#### ")]


def replace_dataset(home: Path, documents: list[dict[str, Any]]) -> None:
    """Put other frames under the name that the run learnt from."""
    file = home / "new.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    shutil.rmtree(home / "datasets" / "xfunc-dft-r2scan")
    import_file(file, home / "datasets", name="xfunc-dft-r2scan")


@pytest.fixture
def clicked(predicted) -> tuple[int, str]:
    """Row and id of the first test frame."""
    return int(predicted["test/row"][0]), str(predicted["test/frame_id"][0])


def test_a_click_shows_the_frame(opened, clicked) -> None:
    row, frame_id = clicked
    assert not shown_frame(opened)
    [head] = shown_frame(opened.choose("before", "start").click_point("parity_energy_test_start", row))
    assert f":gray[{frame_id} · " in head
    assert not opened.errors() and not opened.at.info


def test_a_click_shows_the_frame_of_that_id_when_the_dataset_was_replaced(opened, trained, raw, clicked) -> None:
    row, frame_id = clicked
    documents = raw["xfunc-dft-r2scan"]
    replace_dataset(trained, documents[::-1])
    [head] = shown_frame(opened.choose("before", "start").click_point("parity_energy_test_start", row))
    assert f":gray[{frame_id} · " in head
    [sentence] = [info.value for info in opened.at.info]
    assert sentence == f"The dataset xfunc-dft-r2scan has changed since this run: shown is what it holds now under the id {frame_id}."


def test_a_click_on_a_frame_that_is_gone_is_one_sentence(opened, trained, raw, clicked) -> None:
    row, frame_id = clicked
    replace_dataset(trained, [document for document in raw["xfunc-dft-r2scan"] if document["matpes_id"] != frame_id])
    assert not shown_frame(opened.choose("before", "start").click_point("parity_energy_test_start", row))
    [sentence] = [info.value for info in opened.at.info]
    assert sentence == f"The dataset xfunc-dft-r2scan has changed since this run and no longer holds the frame {frame_id}."
    assert not opened.errors()


def test_runs_on_other_content_of_the_same_name_do_not_stand_beside(trained, screen, run_id) -> None:
    for name in ("again", "before"):
        shutil.copytree(trained / "runs" / run_id, trained / "runs" / name)
    metrics = trained / "runs" / "before" / "metrics.json"
    found = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(found | {"dataset": found["dataset"] | {"content_sha256": "other"}}))
    table = screen("results").choose("result_run", run_id).table("Run", "Training frames")
    assert set(table["Run"]) == {run_id, "again"}


def test_deleted_dataset_leaves_the_results(trained, screen, run_id) -> None:
    page = screen("results").choose("result_run", run_id)
    shown = [metric.value for metric in page.at.metric]
    shutil.rmtree(trained / "datasets" / "xfunc-dft-r2scan")
    page.run()
    assert [metric.value for metric in page.at.metric] == shown
    assert not page.errors()
