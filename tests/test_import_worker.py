"""Imports in the background: real workers on real files, cancelled, killed, on a full disk, and twice at once."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.errors import ConfigError, DataError, RunError
from xfunc_core.import_overview import import_status, progress_of, size_text
from xfunc_core.imports import ImportRequest, dismiss, hidden_folders, new_import_id, restart, submit_import, submit_upload, uploads_of
from xfunc_core.runs.folder import RunFolder, list_runs
from xfunc_core.runs.locking import exclusive
from xfunc_core.runs.queue import LOCK_NAME
from xfunc_core.runs.state import RunState

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
REAL = BUNDLED / "xfunc-dft-r2SCAN.jsonl.gz"
N_LARGE = 40_000


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The imports folder of an empty home; processes that a test leaves there are ended."""
    imports = tmp_path / "home" / "imports"
    imports.mkdir(parents=True)
    yield imports
    for job in list_runs(imports):
        job.request_cancel()
        for process in job.processes():
            process.send(signal.SIGKILL)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real file's documents repeated with new ids."""
    documents = [json.loads(line) for line in gzip.decompress(REAL.read_bytes()).splitlines()]
    texts = [json.dumps(document | {"matpes_id": "ID"}) for document in documents]
    path = tmp_path_factory.mktemp("large") / "large.jsonl"
    with path.open("w") as stream:
        stream.writelines(texts[number % len(texts)].replace('"ID"', f'"m-{number}"') + "\n" for number in range(N_LARGE))
    return path


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the worker on an import as the dispatcher does."""
    children: list[subprocess.Popen[bytes]] = []

    def started(job: RunFolder) -> subprocess.Popen[bytes]:
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with job.log_file.open("ab") as log:
            children.append(subprocess.Popen([sys.executable, "-m", "xfunc_core.import_worker", str(job.path)], stdout=log, stderr=log, env=env, start_new_session=True))
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


def hold_while_reading(job: RunFolder, child: subprocess.Popen[bytes]) -> None:
    """Freeze a worker in the middle, however fast it is."""
    until(lambda: any(record["stage"] == "reading" for record in job.progress()))
    child.send_signal(signal.SIGSTOP)
    assert job.state() is RunState.RUNNING
    assert hidden_folders(job.path.parent, "mine")


def recorded(root: Path, **request: object) -> RunFolder:
    """An import that waits, without a dispatcher."""
    return RunFolder.create(root, ImportRequest(**{"name": "mine", **request}).to_dict())


def visible_and_hidden(root: Path) -> set[str]:
    """Everything in the datasets folder."""
    datasets = root.parent / "datasets"
    return {path.name for path in datasets.iterdir()} if datasets.exists() else set()


# --- the whole way ----------------------------------------------------------------------------


def test_submitted_imports_go_through_one_after_the_other_and_give_what_a_direct_import_gives(root: Path, tmp_path: Path) -> None:
    job = submit_import(root, ImportRequest("mine", path=str(REAL), title="My data", licence="CC0-1.0", energy_scale="GPAW"))
    second = submit_import(root, ImportRequest("elements", path=str(BUNDLED / "MatPES-r2SCAN-Element-Refs.json.gz")))
    until(lambda: not job.state().is_active and not second.state().is_active)
    assert (job.state(), second.state()) == (RunState.FINISHED, RunState.FINISHED), job.log_tail() + second.log_tail()
    assert job.ended_at <= second.started_at
    direct, report = import_file(REAL, tmp_path / "direct", name="mine")
    info = open_dataset(root.parent / "datasets", "mine").info
    assert (info.title, info.licence, info.energy_scale, info.content_sha256) == ("My data", "CC0-1.0", "GPAW", direct.info.content_sha256)
    status = import_status(job)
    assert status.report == tuple(report.sentences())
    assert status.sentence == f"mine: {report.sentences()[0]}"
    assert (status.name, status.title, status.source) == ("mine", "My data", REAL.name)
    dismiss(job)
    assert [other.id for other in list_runs(root)] == [second.id]
    assert visible_and_hidden(root) == {"mine", "elements"}


def test_progress_goes_from_the_first_byte_to_the_last(root: Path, large: Path, start) -> None:
    job = recorded(root, path=str(large))
    child = start(job)
    assert child.wait(60) == 0, job.log_tail()
    records = job.progress()
    size = large.stat().st_size
    assert {record["total"] for record in records} == {size}
    for stage in ("checking", "reading", "finishing"):
        assert [record for record in records if record["stage"] == stage]
    reading = [record for record in records if record["stage"] == "reading"]
    assert all(a["documents"] <= b["documents"] and (a["bytes"] or 0) <= b["bytes"] <= size for a, b in zip(reading, reading[1:], strict=False))
    assert all(b["seconds"] - a["seconds"] >= 1 for a, b in zip(reading, reading[1:], strict=False))
    assert records[-1]["documents"] == N_LARGE
    assert len(open_dataset(root.parent / "datasets", "mine")) == N_LARGE


def test_upload_is_kept_imported_and_removed(root: Path) -> None:
    with REAL.open("rb") as stream:
        job = submit_upload(root, ImportRequest("mine", path="../../" + REAL.name), stream, import_id="once")
    again = submit_upload(root, ImportRequest("mine", path=REAL.name), io.BytesIO(b"other"), import_id="once")
    assert again == job
    assert Path(job.config()["path"]).parent == uploads_of(root, "once")
    until(lambda: not job.state().is_active)
    assert job.state() is RunState.FINISHED, job.log_tail()
    assert open_dataset(root.parent / "datasets", "mine").info.source == REAL.name
    until(lambda: not uploads_of(root, "once").exists())


# --- cancelled, killed, started again ---------------------------------------------------------


@pytest.mark.parametrize("stage", ["checking", "reading"])
def test_cancel_ends_it_and_leaves_nothing(root: Path, large: Path, start, stage: str) -> None:
    job = recorded(root, path=str(large))
    child = start(job)
    until(lambda: any(record["stage"] == stage for record in job.progress()))
    child.send_signal(signal.SIGSTOP)
    job.request_cancel()
    child.send_signal(signal.SIGCONT)
    assert child.wait(30) == 0
    assert job.state() is RunState.CANCELLED
    assert import_status(job).sentence == "Cancelled; nothing of it was kept."
    assert visible_and_hidden(root) == set()
    assert "Traceback" not in job.log_tail()


def test_killed_import_starts_over_and_its_leftovers_go(root: Path, large: Path, start) -> None:
    job = recorded(root, path=str(large))
    child = start(job)
    hold_while_reading(job, child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert job.state() is RunState.LOST
    assert "restart" in import_status(job).sentence
    [left] = hidden_folders(root, "mine")
    other = root.parent / "datasets" / ".importing-mine-abcd1234"  # somebody else's
    other.mkdir()
    job.retry()
    assert import_status(job).state is RunState.QUEUED
    assert start(job).wait(60) == 0, job.log_tail()
    assert job.state() is RunState.FINISHED
    assert visible_and_hidden(root) == {"mine", other.name}
    assert left != other.name
    assert len(open_dataset(root.parent / "datasets", "mine")) == N_LARGE


def test_dismissing_a_killed_import_takes_its_leftovers_and_its_upload(root: Path, large: Path, start) -> None:
    job = recorded(root, path=str(large))
    uploads_of(root, job.id).mkdir(parents=True)
    child = start(job)
    hold_while_reading(job, child)
    with pytest.raises(RunError, match="cancel"):
        dismiss(job)
    child.kill()
    child.wait()
    dismiss(job)
    assert visible_and_hidden(root) == set()
    assert list_runs(root) == []
    assert not uploads_of(root, job.id).exists()


def test_cancelled_before_it_began_can_be_restarted(root: Path) -> None:
    with exclusive(root / LOCK_NAME):  # no dispatcher can start it
        job = submit_import(root, ImportRequest("mine", path=str(REAL)))
        assert import_status(job).state is RunState.QUEUED
        job.request_cancel()
        assert job.state() is RunState.CANCELLED
    restart(job)
    until(lambda: not job.state().is_active)
    assert job.state() is RunState.FINISHED, job.log_tail()
    with pytest.raises(RunError, match="cannot be resumed"):
        restart(job)


# --- what goes wrong --------------------------------------------------------------------------


def test_two_imports_of_one_name_make_one_whole_dataset(root: Path, large: Path, start) -> None:
    jobs = [recorded(root, path=str(large)), recorded(root, path=str(REAL))]
    children = [start(job) for job in jobs]
    assert sorted(child.wait(60) for child in children) == [0, 1]
    winner, loser = sorted(jobs, key=lambda job: job.state() is RunState.FAILED)
    assert "already a dataset named 'mine'" in import_status(loser).sentence
    assert visible_and_hidden(root) == {"mine"}
    assert np.isfinite(open_dataset(root.parent / "datasets", "mine").table["energy"]).any()
    assert import_status(winner).report


def test_bad_file_is_one_sentence(root: Path, tmp_path: Path) -> None:
    bad = {
        "empty.json": (b"", "is empty"),
        "packed.json.gz": (b"\x1f\x8b\x08broken", "gzip"),
        "cut.json": (b'{"matpes_id": "a", "structure": ', "JSON"),
        "useless.jsonl": (b'{"matpes_id": "a", "functional": "PBE", "structure": 1}\n', "no usable frame"),
        "words.txt": (b"words", "recognise"),
    }
    jobs = {}
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
        jobs[name] = recorded(root, path=str(tmp_path / name))
    command = "import sys; from xfunc_core.import_worker import main; sys.exit(min([main(path) for path in sys.argv[1:]]))"
    done = subprocess.run([sys.executable, "-c", command, *(str(job.path) for job in jobs.values())], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for name, job in jobs.items():
        status = import_status(job)
        assert status.state is RunState.FAILED
        assert name in status.sentence
        assert bad[name][1] in status.sentence
    assert visible_and_hidden(root) == set()


def test_full_disk_is_one_sentence_and_restart_goes_through_with_space(small_disk: Path, start) -> None:
    root = small_disk / "imports"
    filler = small_disk / "filler"
    root.mkdir()
    job = recorded(root, path=str(REAL))
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize - 64_000))
    assert start(job).wait(60) == 1
    assert "is full" in import_status(job).sentence
    assert "Traceback" not in job.log_tail()
    assert visible_and_hidden(root) == set()
    filler.unlink()
    small = small_disk.parent / "small.jsonl"
    small.write_bytes(b"\n".join(gzip.decompress(REAL.read_bytes()).splitlines()[:5]))
    job.retry()
    job.write_json(job.config_file, job.config() | {"path": str(small)})
    assert start(job).wait(60) == 0, job.log_tail()


def test_upload_to_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(DataError, match="is full"):
        submit_upload(small_disk / "imports", ImportRequest("mine", path="a.json"), io.BytesIO(bytes(1 << 20)))
    assert list((small_disk / "uploads").iterdir()) == []
    assert list_runs(small_disk / "imports") == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [({"download": "MatPES 2025.2 · r²SCAN"}, "could not be downloaded"), ({"download": "another"}, "no file that xfunc can download"), ({"systems": ("Li-O",), "functional": "pbe"}, "set MP_API_KEY")],
)
def test_what_the_network_does_not_give_is_one_sentence_and_leaves_nothing(root: Path, start, monkeypatch: pytest.MonkeyPatch, source: dict[str, object], sentence: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("MP_API_KEY", raising=False)
    job = recorded(root, **source)
    assert start(job).wait(60) == 1
    assert sentence in import_status(job).sentence
    assert "Traceback" not in job.log_tail()
    assert visible_and_hidden(root) == set()
    assert not uploads_of(root, job.id).exists()


@pytest.mark.parametrize("path", ["nowhere.json", "a\0b", "/dev/null"])
def test_file_that_cannot_be_opened_is_said_at_once(root: Path, path: str) -> None:
    with pytest.raises(DataError):
        submit_import(root, ImportRequest("mine", path=path))
    assert list_runs(root) == []


def test_taken_name_is_said_at_once(root: Path) -> None:
    (root.parent / "datasets" / "mine").mkdir(parents=True)
    with pytest.raises(DataError, match="already a dataset"):
        submit_import(root, ImportRequest("mine", path=str(REAL)))
    with pytest.raises(DataError, match="already a dataset"):
        submit_upload(root, ImportRequest("mine", path="a.json"), io.BytesIO(b"a"))
    assert not uploads_of(root, "").exists()


def test_name_of_an_import_under_way_is_said_at_once(root: Path) -> None:
    with exclusive(root / LOCK_NAME):
        job = submit_import(root, ImportRequest("mine", path=str(REAL)))
        with pytest.raises(DataError, match="is being imported already"):
            submit_import(root, ImportRequest("mine", path=str(REAL), replace=True))
        assert submit_import(root, ImportRequest("mine", path=str(REAL)), import_id=job.id) == job
        job.request_cancel()


@pytest.mark.parametrize("request_", [{}, {"path": "a", "download": "b"}, {"path": "a", "functional": "scan"}, {"name": "No", "path": "a"}])
def test_request_that_makes_no_sense_is_refused(request_: dict[str, str]) -> None:
    with pytest.raises((ConfigError, DataError)):
        ImportRequest(**{"name": "mine", **request_})


def test_request_comes_back_from_its_settings() -> None:
    request = ImportRequest("mine", systems=("Li-O",), functional="pbe", replace=True)
    assert ImportRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    with pytest.raises(ConfigError):
        ImportRequest.from_dict({"name": "mine", "path": ["a"]})


def test_damaged_import_is_told_not_raised(root: Path) -> None:
    job = RunFolder.create(root, {"name": 3})
    assert import_status(job).state is RunState.BROKEN
    job.config_file.write_text("{")
    assert "cannot be read" in import_status(job).sentence


def test_records_that_make_no_sense_are_left_out(root: Path) -> None:
    job = recorded(root, path=str(REAL))
    for record in ({"stage": "reading"}, {"stage": "x", "documents": 1, "seconds": 1, "bytes": 1, "total": 1}, {"stage": "reading", "documents": 1, "seconds": 1, "bytes": "a", "total": 1}):
        job.append_progress(record)
    assert progress_of(job).words() == "Starting …"
    job.append_progress({"stage": "reading", "documents": 3000, "seconds": 2.0, "bytes": 100, "total": 400})
    assert progress_of(job).words() == "Reading · 3,000 frames · 1,500 frames/s · about 6 s left"
    assert progress_of(job).fraction == 0.25
    job.append_progress({"stage": "reading", "documents": 3000, "seconds": 2.0, "bytes": None, "total": None})
    assert progress_of(job).words() == "Reading · 3,000 frames · 1,500 frames/s"
    job.append_progress({"stage": "checking", "documents": 0, "seconds": 0.0, "bytes": None, "total": 2_000_000_000})
    assert progress_of(job).words() == "Checking"
    job.append_progress({"stage": "checking", "documents": 0, "seconds": 1.0, "bytes": 500_000_000, "total": 2_000_000_000})
    assert progress_of(job).words() == "Checking · 500 MB of 2.0 GB · 500 MB/s · about 3 s left"


def test_sizes_are_readable() -> None:
    assert [size_text(n) for n in (12, 1500, 2_300_000, 45_000_000, 1.95e9)] == ["12 bytes", "1.5 kB", "2.3 MB", "45 MB", "1.9 GB"]


def test_ids_are_folder_names() -> None:
    assert len({new_import_id("a.b-c") for _ in range(20)}) == 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
