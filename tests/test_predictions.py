"""Energies of the pretrained model, kept on disk: against upstream's own prediction, killed, cancelled, resumed, damaged."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.model import energies
from xfunc_core.orphaned_predictions import delete_orphaned_predictions
from xfunc_core.prediction_store import PredictionStore, model_sha256
from xfunc_core.predictions import (
    PredictionRequest,
    cancel_predictions,
    evaluate,
    jobs_of,
    prediction_status,
    predictions,
    request_predictions,
)
from xfunc_core.quantities import Functional
from xfunc_core.references.published import atomref
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.state import RunState

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def home(bundled_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A home with the datasets of `bundled_home` and no predictions; workers that a test leaves there are ended."""
    shutil.copytree(bundled_home / "datasets", tmp_path / "home" / "datasets")
    yield tmp_path / "home"
    for job in list_runs(tmp_path / "home" / "predicting"):
        job.request_cancel()
        for process in job.processes():
            process.send(signal.SIGKILL)


@pytest.fixture
def dft(home: Path) -> Dataset:
    """The bundled r²SCAN set, 93 frames, to be predicted in this test alone."""
    return open_dataset(home / "datasets", "xfunc-dft-r2scan")


@pytest.fixture
def start() -> Iterator[Callable[[RunFolder], subprocess.Popen[bytes]]]:
    """Start the worker on a job as the dispatcher does."""
    children: list[subprocess.Popen[bytes]] = []

    def started(job: RunFolder) -> subprocess.Popen[bytes]:
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with job.log_file.open("ab") as log:
            children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "xfunc_core.prediction_worker", str(job.path)],
                    stdout=log,
                    stderr=log,
                    env=env,
                    start_new_session=True,
                )
            )
        return children[-1]

    yield started
    for child in children:
        child.kill()
        child.wait()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)


def waiting_job(dataset: Dataset, rows: np.ndarray) -> RunFolder:
    """A job that waits, without a dispatcher."""
    request = PredictionRequest.for_rows(dataset, rows)
    return RunFolder.create(jobs_of(dataset), request.to_dict(), run_id=request.id)


# --- what they are -----------------------------------------------------------------------------


def test_predictions_are_what_upstream_predicts(dft: Dataset, one_thread: None) -> None:
    from chgnet.model import CHGNet

    rows = np.array([0, 7, 40])
    evaluate(dft, rows)
    found = predictions(dft)
    upstream = CHGNet.load(model_name="0.3.0", verbose=False, use_device="cpu")
    for row in rows:
        theirs = float(upstream.predict_structure(dft.structure(int(row)), task="e")["e"])
        assert found.energy[row] == pytest.approx(theirs, abs=2e-6)  # float32 of energies up to 10 eV/atom
    assert found.evaluated.sum() == 3
    assert np.isnan(found.energy[~found.evaluated]).all()
    np.testing.assert_allclose(found.references, atomref("mptrj", as_stored=True), atol=1e-6)


def test_file_whose_hash_names_the_store_is_the_one_that_predicts() -> None:
    [folder] = find_spec("chgnet").submodule_search_locations
    [path] = Path(folder, "pretrained", "0.3.0").glob("*.pth.tar")
    assert model_sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_frames_the_model_cannot_take_are_left_out_with_a_reason(home: Path, one_thread: None) -> None:
    file = home / "lonely.xyz"
    lonely = '1\nLattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3 energy=-1.0 pbc="T T T"\nHe 0 0 0\n'
    pair = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 energy=-8.0 pbc="T T T"\nNa 0 0 0\nCl 2 2 2\n'
    file.write_text(lonely + pair)
    import_file(file, home / "datasets", name="lonely", functional=Functional.R2SCAN, energies="total")
    dataset = open_dataset(home / "datasets", "lonely")
    rows = np.arange(2)
    evaluate(dataset, rows)
    found = predictions(dataset)
    assert found.evaluated.all()
    assert np.isfinite(found.energy).tolist() == [False, True]
    [(row, reason)] = found.left_out(rows).items()
    assert row == 0
    assert "no neighbour within 6 Å" in reason
    assert len(found.lacking(rows)) == 0


# --- the store ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_store_gives_back_every_block_and_forgets_what_was_torn(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = PredictionStore(tmp_path_factory.mktemp("store") / "key", 30)
    rows = np.array(data.draw(st.permutations(range(30))))
    energy = np.array(data.draw(st.lists(st.floats(-100, 100) | st.just(float("nan")), min_size=30, max_size=30)))
    cuts = sorted(data.draw(st.lists(st.integers(0, 30), max_size=4)))
    store.begin(np.arange(94.0))
    for block in np.split(np.arange(30), cuts):
        store.append(rows[block], energy[block], {int(rows[i]): f"reason {i}" for i in block if np.isnan(energy[i])})
    found = store.read()
    np.testing.assert_array_equal(found.energy[rows], energy)
    assert found.left_out(np.arange(30)) == {int(rows[i]): f"reason {i}" for i in range(30) if np.isnan(energy[i])}
    np.testing.assert_array_equal(found.references, np.arange(94.0))
    kept = data.draw(st.integers(0, 30 * 16))
    with (store.path / "energies.bin").open("ab") as file:
        file.truncate(kept)
    torn = store.read()
    assert torn.evaluated.sum() == kept // 16
    np.testing.assert_array_equal(torn.energy[rows[: kept // 16]], energy[: kept // 16])
    store.begin(np.arange(94.0))
    store.append(rows, energy, {})
    np.testing.assert_array_equal(store.read().energy[rows], energy)


def test_other_content_has_another_store(home: Path) -> None:
    stores = {name: PredictionStore.of(open_dataset(home / "datasets", name)).path for name in ("few", "xfunc-dft-r2scan", "xfunc-dft-pbe")}
    assert len(set(stores.values())) == 3
    shutil.copytree(home / "datasets" / "few", home / "datasets" / "copy")
    assert PredictionStore.of(open_dataset(home / "datasets", "copy")).path == stores["few"]


def test_store_that_does_not_exist_or_is_damaged_knows_nothing(dft: Dataset) -> None:
    store = PredictionStore.of(dft)
    assert not predictions(dft).evaluated.any()
    assert np.isnan(predictions(dft).references).all()
    store.path.mkdir(parents=True)
    (store.path / "energies.bin").write_bytes(b"\xff" * 64)
    (store.path / "references.f8").write_bytes(b"abc")
    (store.path / "left-out.jsonl").write_bytes(b'{"row": "x"}\n[1]\n{"ro')
    found = predictions(dft)
    assert not found.evaluated.any()
    assert found.reasons == {}
    assert np.isnan(found.references).all()


def test_energies_without_the_references_inside_the_model_count_as_unknown(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path / "key", 3)
    store.begin(np.arange(94.0))
    store.append(np.arange(3), np.array([-1.0, -2.0, -3.0]), {})
    (store.path / "references.f8").write_bytes(b"abc")
    assert store.read().lacking(np.arange(3)).tolist() == [0, 1, 2]
    store.begin(np.arange(94.0))
    assert store.read().energy.tolist() == [-1.0, -2.0, -3.0]


_WRITE_UNTIL_NO_MORE = """
import resource, sys
from pathlib import Path
import numpy as np
from xfunc_core.errors import DataError
from xfunc_core.prediction_store import PredictionStore

store = PredictionStore(Path(sys.argv[1]), 20)
store.begin(np.arange(94.0))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (800, hard))  # room for the references, but not for 60 records
try:
    store.append(np.resize(np.arange(20), 60), np.full(60, -1.0), {})
except DataError as error:
    print(error)
"""


def test_block_that_finds_no_room_is_said_and_the_next_one_is_right(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WRITE_UNTIL_NO_MORE, str(tmp_path / "key")], cwd=ROOT, capture_output=True, text=True)
    assert "cannot be written (File too large)" in done.stdout, done.stderr
    store = PredictionStore(tmp_path / "key", 20)
    with (store.path / "energies.bin").open("ab") as file:
        file.write(b"torn")
    store.begin(np.arange(94.0))
    store.append(np.arange(20), np.arange(20.0), {})
    np.testing.assert_array_equal(store.read().energy, np.arange(20.0))


def test_store_that_cannot_be_written_is_one_sentence(dft: Dataset) -> None:
    PredictionStore.of(dft).path.parent.write_text("in the way")
    with pytest.raises(DataError, match="cannot be kept in"):
        evaluate(dft, np.arange(2))


# --- in the background -------------------------------------------------------------------------


def test_requested_rows_and_no_others_are_evaluated_once(dft: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([3, 4, 5, 50, 92])
    assert prediction_status(dft, rows).state is None
    job = request_predictions(dft, rows)
    assert job is not None
    assert request_predictions(dft, rows[::-1]) in (job, None)
    until(lambda: prediction_status(dft, rows).state is RunState.FINISHED)
    assert np.flatnonzero(predictions(dft).evaluated).tolist() == rows.tolist()
    status = prediction_status(dft, rows)
    assert (status.done, status.total, status.fraction) == (5, 5, 1.0)
    assert request_predictions(dft, rows[:2]) is None
    monkeypatch.setattr(energies, "pretrained_energies", lambda: pytest.fail("the model was loaded though every row is known"))
    evaluate(dft, rows)


def test_killed_worker_leaves_its_blocks_and_the_next_goes_on(dft: Dataset, start) -> None:
    rows = np.arange(len(dft))
    job = waiting_job(dft, rows)
    evaluate(dft, rows[:20])
    size = (PredictionStore.of(dft).path / "energies.bin").stat().st_size
    child = start(job)
    until(lambda: job.worker_file.exists())
    child.kill()
    child.wait()
    assert job.state() is RunState.LOST
    assert "goes on where it stopped" in prediction_status(dft, rows).sentence
    assert prediction_status(dft, rows).done == 20
    (PredictionStore.of(dft).path / "energies.bin").open("ab").write(b"torn")
    job.retry()
    assert start(job).wait(60) == 0, job.log_tail()
    assert job.state() is RunState.FINISHED
    assert predictions(dft).evaluated.all()
    assert (PredictionStore.of(dft).path / "energies.bin").stat().st_size == size + 16 * (len(dft) - 20)


def test_cancelled_worker_keeps_what_it_evaluated(dft: Dataset, start) -> None:
    rows = np.arange(len(dft))
    job = waiting_job(dft, rows)
    child = start(job)
    until(lambda: job.worker_file.exists())
    child.send_signal(signal.SIGSTOP)
    cancel_predictions(dft, rows)
    child.send_signal(signal.SIGCONT)
    assert child.wait(60) == 0, job.log_tail()
    assert job.state() is RunState.CANCELLED
    assert prediction_status(dft, rows).sentence == "Cancelled; what was evaluated until then is kept."
    assert "Traceback" not in job.log_tail()
    again = request_predictions(dft, rows)
    assert again == job
    until(lambda: prediction_status(dft, rows).state is RunState.FINISHED)


def test_stop_between_blocks_keeps_the_blocks_before(dft: Dataset, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfunc_core.predictions.BLOCK_ATOMS", 40)
    told: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        evaluate(dft, np.arange(len(dft)), lambda done, total: told.append((done, total)), lambda: len(told) >= 2)
    assert 0 < told[0][0] < told[1][0] < len(dft)
    assert predictions(dft).evaluated.sum() == told[1][0]
    evaluate(dft, np.arange(len(dft)), lambda done, total: told.append((done, total)))
    assert told[-1] == (len(dft) - told[1][0],) * 2
    assert predictions(dft).evaluated.all()


def test_two_that_evaluate_at_once_write_every_row_once(dft: Dataset, one_thread: None) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(evaluate, dft, rows) for rows in (np.arange(60), np.arange(40, 93))]:
            done.result()
    assert predictions(dft).evaluated.all()
    assert (PredictionStore.of(dft).path / "energies.bin").stat().st_size == 16 * 93


def test_waiting_for_another_process_ends_when_told_to_stop(dft: Dataset) -> None:
    store = PredictionStore.of(dft)
    store.path.mkdir(parents=True)
    with exclusive(store.lock_file), pytest.raises(KeyboardInterrupt):
        evaluate(dft, np.arange(3), should_stop=lambda: True)


def test_predictions_go_with_the_last_dataset_of_their_content(home: Path) -> None:
    root = home / "datasets"
    shutil.copytree(root / "few", root / "copy")
    few, dft = open_dataset(root, "few"), open_dataset(root, "xfunc-dft-r2scan")
    stores = [PredictionStore.of(dataset) for dataset in (few, dft)]
    for store in stores:
        store.begin(np.arange(94.0))
        store.append(np.arange(2), np.array([-1.0, -2.0]), {})
    waiting_job(few, np.arange(4))
    waiting_job(dft, np.arange(4))
    shutil.rmtree(root / "few")
    delete_orphaned_predictions(root)
    assert [store.path.is_dir() for store in stores] == [True, True]  # the copy has the same frames
    assert [job.config()["dataset"] for job in list_runs(home / "predicting")] == ["xfunc-dft-r2scan"]
    shutil.rmtree(root / "copy")
    with exclusive(stores[0].lock_file):
        delete_orphaned_predictions(root)
    assert stores[0].path.is_dir()  # somebody writes it
    delete_orphaned_predictions(root)
    assert [store.path.is_dir() for store in stores] == [False, True]
    assert predictions(dft).evaluated.sum() == 2


def test_worker_on_a_dataset_that_was_deleted_says_so(dft: Dataset, start) -> None:
    job = waiting_job(dft, np.arange(5))
    shutil.rmtree(dft.path)
    assert start(job).wait(60) == 1
    assert job.state() is RunState.FAILED
    assert "There is no dataset 'xfunc-dft-r2scan'" in job.explanation()
    assert "Traceback" not in job.log_tail()


def test_worker_on_a_dataset_that_was_replaced_says_so(dft: Dataset, home: Path, start) -> None:
    job = waiting_job(dft, np.arange(5))
    shutil.rmtree(dft.path)
    shutil.copytree(home / "datasets" / "xfunc-dft-pbe", dft.path)
    assert start(job).wait(60) == 1
    assert "other frames" in job.explanation()
    assert "Traceback" not in job.log_tail()


def test_progress_is_recorded_and_read(dft: Dataset) -> None:
    rows = np.arange(10)
    job = waiting_job(dft, rows)
    with job.claim():
        assert np.isnan(prediction_status(dft, rows).seconds_left)
        job.append_progress({"done": "x"})
        assert np.isnan(prediction_status(dft, rows).seconds_left)
        job.append_progress({"done": 4, "total": 10, "seconds": 20.0})
        status = prediction_status(dft, rows)
        assert status.state is RunState.RUNNING
        assert status.seconds_left == pytest.approx(30.0)
        assert status.words() == "0 of 10 frames · about 30 s left"
        job.finish(RunState.CANCELLED)
        job.worker_file.unlink()  # it names this very process, which a dispatcher or the fixture would end


# --- requests ----------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 92)))
def test_request_names_each_row_once_and_comes_back(xfunc_dft: Dataset, rows: set[int]) -> None:
    request = PredictionRequest.for_rows(xfunc_dft, np.array(sorted(rows), dtype=np.int64))
    assert PredictionRequest.from_dict(request.to_dict()) == request
    assert request.all_rows(xfunc_dft).tolist() == sorted(rows)


def test_request_that_was_edited_is_refused(xfunc_dft: Dataset) -> None:
    for config in ({}, {"dataset": "a", "content_sha256": "b", "rows": 3}, {"dataset": "a", "content_sha256": "b", "rows": [["x", 1]]}):
        with pytest.raises(ConfigError):
            PredictionRequest.from_dict(config)
    with pytest.raises(DataError, match="other frames"):
        PredictionRequest(xfunc_dft.info.name, xfunc_dft.info.content_sha256, ((0, 93),)).all_rows(xfunc_dft)


def test_chgnet_is_found_without_being_imported() -> None:
    code = "import sys; from xfunc_core.prediction_store import model_sha256; model_sha256(); print(sorted({'torch', 'chgnet'} & set(sys.modules)))"
    assert find_spec("chgnet") is not None
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"
