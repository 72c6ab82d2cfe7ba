"""The worker as it is used: a process on a run folder, killed, cancelled, resumed and fed nonsense."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from xfunc_core import worker
from xfunc_core.analysis.metrics import error_summary
from xfunc_core.data.dataset import Dataset
from xfunc_core.data.library import open_dataset
from xfunc_core.runs.atomic import write_atomic
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState

ROOT = Path(__file__).resolve().parent.parent
CONFIG = {"dataset": "few", "method": "M4", "epochs": 3, "batch_size": 4, "train_size": 8}
STAGES = ("zero_shot", "start", "trained")

pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")  # upstream's


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, bundled_home: Path) -> Path:
    """The runs folder of a data home that has the dataset ``few``."""
    home = tmp_path_factory.mktemp("worker")
    shutil.copytree(bundled_home / "datasets" / "few", home / "datasets" / "few")
    return home / "runs"


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the worker on a run as the dispatcher does, its output in the run's log."""
    children: list[subprocess.Popen[bytes]] = []

    def started(run: RunFolder) -> subprocess.Popen[bytes]:
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with run.log_file.open("ab") as log:
            children.append(subprocess.Popen([sys.executable, "-m", "xfunc_core.worker", str(run.path)], stdout=log, stderr=log, env=env, start_new_session=True))
        return children[-1]

    yield started
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def in_process(one_thread: None) -> Iterator[Callable[[RunFolder], int]]:
    """Run the worker here, and give SIGTERM back its meaning."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda run: worker.main(str(run.path))
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def finished(runs: Path, start) -> RunFolder:
    """A run that went through undisturbed."""
    run = RunFolder.create(runs, CONFIG, run_id="undisturbed")
    assert start(run).wait(120) == 0, run.log_tail()
    return run


def until(holds: Callable[[], object], child: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert (child is None or child.poll() is None) and time.monotonic() < deadline, "the worker ended, or it did not come to hold in time"
        time.sleep(0.01)


def epochs(run: RunFolder) -> list[int]:
    return [record["epoch"] for record in run.progress() if record["kind"] == "epoch"]


def results(run: RunFolder) -> tuple[dict, dict[str, np.ndarray]]:
    """What a run found, without how long it took."""
    metrics = json.loads(run.metrics.read_bytes())
    metrics.pop("timing")
    with np.load(run.predictions) as saved:
        return metrics, dict(saved)


def assert_same_results(run: RunFolder, other: RunFolder) -> None:
    import torch

    (metrics, arrays), (other_metrics, other_arrays) = results(run), results(other)
    assert metrics == other_metrics
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, other_arrays[key])
    weights, other_weights = (torch.load(r.model, weights_only=True)["model"]["state_dict"] for r in (run, other))
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def without_seconds(run: RunFolder) -> list[dict]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in run.progress() if r["kind"] == "epoch"]


# --- a run that goes through ------------------------------------------------------------------


def test_finished_run_leaves_everything_behind(finished: RunFolder) -> None:
    assert finished.state() is RunState.FINISHED
    learnt_from = json.loads((finished.path.parent.parent / "datasets" / "few" / "dataset.json").read_text())
    assert results(finished)[0]["dataset"] == {key: learnt_from[key] for key in ("name", "content_sha256", "functional", "energy_scale")}
    for file in ("config_file", "split", "references", "progress_file", "log_file", "checkpoint", "model", "metrics", "predictions", "outcome_file"):
        assert getattr(finished, file).stat().st_size > 0, file
    assert [path.name for path in finished.path.iterdir() if path.name.startswith(".")] == []  # no reserve, nothing half written
    assert epochs(finished) == [1, 2, 3]
    assert "Traceback" not in finished.log_tail()
    assert finished.log_tail().endswith(f"Finished; the best epoch was {json.loads(finished.metrics.read_bytes())['best_epoch']}.")


def test_errors_are_those_of_the_predictions(finished: RunFolder, runs: Path) -> None:
    metrics, arrays = results(finished)
    dataset = open_dataset(runs.parent / "datasets", "few")
    names = {"energy": "energy", "force": "forces", "stress": "stress"}
    for part in ("validation", "test"):
        rows = arrays[f"{part}/row"]
        np.testing.assert_array_equal(arrays[f"{part}/label/energy"], dataset.energy_per_atom[rows])
        np.testing.assert_allclose(arrays[f"{part}/label/stress"], dataset.frame_array("stress")[rows], rtol=6e-8)  # float32
        assert arrays[f"{part}/frame_id"].tolist() == dataset.table["frame_id"].to_numpy()[rows].tolist()
        assert set(metrics["errors"][part]) == set(STAGES)
        for stage in STAGES:
            assert set(metrics["errors"][part][stage]) == set(names)  # no magnetic moments in this set
            for quantity, array in names.items():
                summary = error_summary(arrays[f"{part}/label/{array}"], arrays[f"{part}/{stage}/{array}"])
                assert metrics["errors"][part][stage][quantity] == {"n": summary.n, "mae": summary.mae, "rmse": summary.rmse}


def test_zero_shot_is_the_pretrained_model_and_start_only_moves_its_energies(finished: RunFolder, few: Dataset, fresh) -> None:
    from xfunc_core.model.predict import predict
    from xfunc_core.model.samples import build_samples

    _, arrays = results(finished)
    model = fresh()
    found = predict(model, build_samples(few, arrays["test/row"])[0])
    np.testing.assert_allclose(arrays["test/zero_shot/energy"], found.energy, atol=1e-5)  # float32, batches of another size
    np.testing.assert_allclose(arrays["test/zero_shot/forces"], found.forces, atol=5e-5)
    np.testing.assert_array_equal(arrays["test/start/forces"], arrays["test/zero_shot/forces"])
    w = np.array(list(json.loads(finished.references.read_bytes())["energies"].values()))
    moved = few.composition[arrays["test/row"]] @ (w - model.references.numpy())
    np.testing.assert_allclose(arrays["test/start/energy"] - arrays["test/zero_shot/energy"], moved, atol=1e-9)


def test_upstream_loads_the_model_and_predicts_the_test_part(finished: RunFolder, few: Dataset) -> None:
    from chgnet.model import CHGNet

    _, arrays = results(finished)
    model = CHGNet.from_file(str(finished.model))
    found = model.predict_structure([few.structure(row) for row in arrays["test/row"]])
    # chgnet's own converter and its float32 references
    np.testing.assert_allclose([f["e"] for f in found], arrays["test/trained/energy"], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([f["f"] for f in found]), arrays["test/trained/forces"], atol=5e-5)


def test_split_holds_every_material_once_and_only_the_subset_is_trained_on(finished: RunFolder) -> None:
    split = json.loads(finished.split.read_bytes())
    ids = [frame for part in split.values() for frame in part]
    assert len(ids) == len(set(ids))
    metrics, arrays = results(finished)
    assert {part: len(frames) for part, frames in split.items()} == metrics["n_frames"]
    assert len(split["train"]) == 8
    assert arrays["test/frame_id"].tolist() == split["test"]


def test_timing_is_what_an_estimate_needs(finished: RunFolder, few: Dataset) -> None:
    timing = json.loads(finished.metrics.read_bytes())["timing"]
    trained = few.table["frame_id"].isin(json.loads(finished.split.read_bytes())["train"])
    assert timing["atoms_trained"] == 3 * few.table["n_atoms"][trained].sum()
    assert timing["seconds"] == pytest.approx(sum(r["seconds"] for r in finished.progress() if r["kind"] == "epoch"))
    assert timing["device"] == "cpu"


def test_finished_run_is_not_run_again(finished: RunFolder, in_process) -> None:
    before = finished.metrics.read_bytes()
    assert in_process(finished) == 1
    assert finished.state() is RunState.FINISHED
    assert finished.metrics.read_bytes() == before


# --- interrupted ------------------------------------------------------------------------------


def test_killed_run_is_lost_and_resumed_ends_as_if_undisturbed(runs: Path, start, in_process, finished: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = RunFolder.create(runs, CONFIG, run_id="killed")
    child = start(run)
    until(run.checkpoint.exists, child)
    child.kill()
    child.wait()
    assert run.state() is RunState.LOST
    run.append_progress({"kind": "epoch", "epoch": 3, "step": 6, "total_steps": 6, "seconds": 1.0, "train": {}, "validation": {}, "best_epoch": 3})  # recorded, but not in the checkpoint
    with run.progress_file.open("ab") as progress:
        progress.write(b'{"kind": "ep')  # torn
    run.retry()
    assert in_process(run) == 0
    assert re.search(r"Going on from the checkpoint of epoch [1-3]\.", caplog.text)
    assert_same_results(run, finished)
    assert without_seconds(run) == without_seconds(finished)
    timing = json.loads(run.metrics.read_bytes())["timing"]
    assert timing["seconds"] == pytest.approx(sum(r["seconds"] for r in run.progress() if r["kind"] == "epoch"))


def test_cancelled_run_keeps_its_epochs_and_goes_on_when_resumed(runs: Path, start, in_process) -> None:
    run = RunFolder.create(runs, CONFIG | {"epochs": 40}, run_id="cancelled")
    child = start(run)
    until(run.checkpoint.exists, child)
    child.terminate()
    assert child.wait(30) == 0
    assert run.state() is RunState.CANCELLED
    assert run.explanation() == "Cancelled; the last recorded epoch is kept in the checkpoint."
    assert "Traceback" not in run.log_tail()
    done = epochs(run)
    assert done == list(range(1, len(done) + 1))
    run.retry()
    wish = threading.Thread(target=lambda: (until(lambda: len(epochs(run)) > len(done)), run.request_cancel()))
    wish.start()
    assert in_process(run) == 0
    wish.join()
    assert run.state() is RunState.CANCELLED
    assert epochs(run)[: len(done) + 1] == [*done, done[-1] + 1]
    assert len(epochs(run)) < 40


def test_second_signal_does_not_keep_the_first_from_being_recorded(runs: Path, start) -> None:
    run = RunFolder.create(runs, CONFIG | {"epochs": 40}, run_id="impatient")
    child = start(run)
    until(lambda: "Preparing" in run.log_tail(), child)
    while child.poll() is None:
        child.terminate()
        time.sleep(0.01)
    assert child.returncode == 0
    assert run.explanation() == "Cancelled; no epoch was finished."


# --- several processes ------------------------------------------------------------------------


def test_two_processes_end_where_one_does(runs: Path, start, finished: RunFolder) -> None:
    run = RunFolder.create(runs, CONFIG | {"processes": 2}, run_id="two")
    assert start(run).wait(120) == 0, run.log_tail()
    assert run.state() is RunState.FINISHED
    assert epochs(run) == epochs(finished)  # only one of them writes
    for ours, alone in zip(run.progress(), finished.progress(), strict=True):
        assert ours["validation"] == pytest.approx(alone["validation"], rel=5e-3)  # float32 and Adam
    ours, alone = results(run)[0]["errors"]["test"], results(finished)[0]["errors"]["test"]
    assert ours["zero_shot"] == alone["zero_shot"]
    assert ours["trained"]["force"]["mae"] == pytest.approx(alone["trained"]["force"]["mae"], rel=5e-3)


def test_two_processes_are_cancelled_and_go_on_as_one(runs: Path, start, in_process) -> None:
    run = RunFolder.create(runs, CONFIG | {"epochs": 40, "processes": 2}, run_id="two-cancelled")
    child = start(run)
    until(run.checkpoint.exists, child)
    run.request_cancel()
    assert child.wait(60) == 0, run.log_tail()
    assert run.explanation() == "Cancelled; the last recorded epoch is kept in the checkpoint."
    done = epochs(run)
    assert done == list(range(1, len(done) + 1)) and len(done) < 40
    run.retry()
    run.write_json(run.config_file, run.config() | {"processes": 1})
    wish = threading.Thread(target=lambda: (until(lambda: len(epochs(run)) > len(done)), run.request_cancel()))
    wish.start()
    assert in_process(run) == 0
    wish.join()
    assert epochs(run)[: len(done) + 1] == [*done, done[-1] + 1]


def test_a_process_that_is_killed_ends_all_with_a_sentence(runs: Path, start) -> None:
    run = RunFolder.create(runs, CONFIG | {"epochs": 1000, "processes": 2}, run_id="two-killed")
    child = start(run)
    until(run.checkpoint.exists, child)
    [other] = [pid for pid in _processes_of(run) if pid != json.loads(run.worker_file.read_bytes())["pid"]]
    os.kill(other, signal.SIGKILL)
    assert child.wait(60) == 1
    assert run.state() is RunState.FAILED
    assert_one_sentence(run)


def _processes_of(run: RunFolder) -> list[int]:
    """Ids of the processes that torchrun started for a run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if str(run.path).encode() in words and b"\0RANK=" in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def test_what_is_wrong_is_said_once_by_two_processes(runs: Path, start) -> None:
    run = RunFolder.create(runs, CONFIG | {"train_size": 10_000, "processes": 2}, run_id="two-absurd")
    assert start(run).wait(60) == 1
    assert "A subset of 10000 frames is not possible" in run.explanation()


# --- what cannot work -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "config", "sentence"),
    [
        ("no-json", "{'method': 'M4'}", "cannot be read (line 1"),
        ("no-object", "[1, 2]", "are not a JSON object"),
        ("wrong-type", CONFIG | {"epochs": "many"}, "epochs is 'many': it must be of type int."),
        ("no-number", '{"dataset": "few", "learning_rate": NaN}', "learning_rate is nan: it must be of type float."),
        ("unknown-key", CONFIG | {"epoch": 3}, "The settings hold 'epoch', which xfunc does not know"),
        ("no-dataset", {"method": "M4"}, "The settings name no dataset"),
        ("unknown-dataset", CONFIG | {"dataset": "nothing"}, "There is no dataset 'nothing'"),
        ("path", CONFIG | {"dataset": "../few"}, "'../few' is no dataset name"),
        ("absurd-size", CONFIG | {"train_size": 10_000}, "A subset of 10000 frames is not possible: training has"),
        ("absurd-rate", CONFIG | {"learning_rate": 1e9}, "learning_rate is 1000000000.0: it must be above 0 and at most 1."),
        ("absurd-seed", CONFIG | {"seed": 10**30}, "seed is 1000000000000000000000000000000: it must be at most"),
        ("no-gpu", CONFIG | {"device": "cuda"}, "no CUDA GPU"),
    ],
    ids=lambda value: value if isinstance(value, str) and "-" in value and " " not in value else "",
)
def test_settings_edited_into_nonsense_fail_with_one_sentence(runs: Path, in_process, name: str, config: object, sentence: str) -> None:
    if name == "no-gpu":
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    run = RunFolder.create(runs, {}, run_id=f"nonsense-{name}")
    run.config_file.write_text(config if isinstance(config, str) else json.dumps(config))
    assert in_process(run) == 1
    assert run.state() is RunState.FAILED
    assert sentence in run.explanation()
    assert_one_sentence(run)


def assert_one_sentence(run: RunFolder) -> None:
    said = run.outcome()["message"]
    assert said.endswith((".", "over.", "again."))
    assert "\n" not in said and "Traceback" not in said and "Error(" not in said


def test_nonsense_is_said_by_the_process_too(runs: Path, start) -> None:
    run = RunFolder.create(runs, CONFIG | {"epochs": 0}, run_id="process")
    assert start(run).wait(60) == 1
    assert run.explanation() == "epochs is 0: it must be at least 1."
    assert "Traceback" not in run.log_tail()


def test_run_that_is_not_there_is_said(runs: Path, in_process, caplog: pytest.LogCaptureFixture) -> None:
    runs.mkdir(exist_ok=True)
    assert in_process(RunFolder(runs / "nowhere")) == 1
    assert "There is no run nowhere" in caplog.text
    assert not (runs / "nowhere").exists()


def test_relative_path_finds_the_datasets(runs: Path, in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(runs, CONFIG | {"train_size": 10_000}, run_id="relative")
    monkeypatch.chdir(runs)
    assert worker.main("relative") == 1
    assert "A subset of 10000 frames" in run.explanation()  # so it got as far as reading the dataset


def test_unexpected_error_is_recorded_in_one_sentence(runs: Path, in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first line\nsecond line " + "x" * 1000)

    monkeypatch.setattr("xfunc_core.worker.open_dataset", fails)
    run = RunFolder.create(runs, CONFIG, run_id="unexpected")
    assert in_process(run) == 1
    assert run.explanation().startswith("The run stopped on an unexpected ZeroDivisionError (first line second line xxx")
    assert len(run.explanation()) < 400
    assert_one_sentence(run)


def test_engine_that_cannot_be_imported_is_recorded(runs: Path, in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xfunc_core.training.finetune", None)  # as if torch were not installed
    monkeypatch.delattr("xfunc_core.training.finetune", raising=False)
    run = RunFolder.create(runs, CONFIG, run_id="no-torch")
    assert in_process(run) == 1
    assert "unexpected" in run.explanation() and "log has the details" in run.explanation()


# --- the checkpoint ---------------------------------------------------------------------------


@pytest.fixture
def resumable(runs: Path, finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A failed run with the checkpoint of the undisturbed one, back in the queue."""
    run = RunFolder.create(runs, CONFIG, run_id=f"resumable-{tmp_path.name}")
    for file in (finished.checkpoint, finished.progress_file):
        shutil.copy(file, run.path)
    run.finish(RunState.FAILED, "For the test.")
    run.retry()
    return run


def test_run_whose_training_was_done_is_only_evaluated(resumable: RunFolder, in_process, finished: RunFolder) -> None:
    assert in_process(resumable) == 0
    assert_same_results(resumable, finished)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other"])
def test_damaged_checkpoint_is_said_with_what_to_do(resumable: RunFolder, in_process, damage: str) -> None:
    import torch

    content = resumable.checkpoint.read_bytes()
    if damage == "other":
        torch.save(torch.load(resumable.checkpoint, weights_only=True) | {"trainer": {"model": {}}}, resumable.checkpoint)
    else:
        resumable.checkpoint.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"weights"}[damage])
    assert in_process(resumable) == 1
    assert f"The checkpoint {resumable.checkpoint} is damaged" in resumable.explanation()
    assert "delete this file and resume the run" in resumable.explanation()
    assert_one_sentence(resumable)
    resumable.checkpoint.unlink()
    resumable.retry()
    assert resumable.state() is RunState.QUEUED


def test_settings_changed_between_attempts_are_refused(resumable: RunFolder, in_process) -> None:
    resumable.write_json(resumable.config_file, CONFIG | {"method": "M3"})
    assert in_process(resumable) == 1
    assert resumable.explanation().startswith("The setting method was 'M4' when this run began and is 'M3' now")


def test_dataset_changed_between_attempts_is_refused(resumable: RunFolder, in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(root: Path, name: str) -> Dataset:
        dataset = open_dataset(root, name)
        object.__setattr__(dataset.info, "content_sha256", "another")
        return dataset

    monkeypatch.setattr("xfunc_core.worker.open_dataset", changed)
    before = resumable.checkpoint.read_bytes()
    assert in_process(resumable) == 1
    assert resumable.explanation().startswith("The dataset few has other frames than when this run began")
    assert resumable.checkpoint.read_bytes() == before


def test_dataset_deleted_meanwhile_is_said(resumable: RunFolder, in_process, runs: Path) -> None:
    (runs.parent / "datasets" / "few").rename(runs.parent / "datasets" / "away")
    try:
        assert in_process(resumable) == 1
    finally:
        (runs.parent / "datasets" / "away").rename(runs.parent / "datasets" / "few")
    assert resumable.explanation().startswith("There is no dataset 'few'")
    assert resumable.checkpoint.exists()


def test_full_disk_fails_with_a_sentence_and_keeps_the_old_checkpoint(runs: Path, in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(runs, CONFIG, run_id="full")
    written: list[bytes] = []

    def until_full(path: Path, content: bytes) -> None:
        if path == run.checkpoint and written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if path == run.checkpoint:
            written.append(content)
        write_atomic(path, content)

    monkeypatch.setattr("xfunc_core.worker.write_atomic", until_full)
    assert in_process(run) == 1
    assert run.explanation() == f"The disk that holds {runs} is full: free some space and resume the run; the last checkpoint is intact."
    assert run.checkpoint.read_bytes() == written[0]
    monkeypatch.undo()
    run.retry()
    assert in_process(run) == 0
    assert epochs(run) == [1, 2, 3]


def test_refused_file_is_said(runs: Path, in_process) -> None:
    run = RunFolder.create(runs, CONFIG, run_id="refused")
    run.checkpoint.mkdir()
    assert in_process(run) == 1
    assert "is damaged" in run.explanation() or "could not read or write" in run.explanation()
    assert_one_sentence(run)
