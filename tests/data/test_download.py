"""Downloads of MatPES from a hub on this machine that behaves as Hugging Face does, or badly."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from xfunc_core.data.download import KNOWN, download
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import open_dataset
from xfunc_core.data.watching import Reading, Stage
from xfunc_core.errors import DataError
from xfunc_core.import_worker import main
from xfunc_core.imports import ImportRequest
from xfunc_core.quantities import Functional
from xfunc_core.runs.folder import RunFolder

TITLE = "MatPES 2025.1 · r²SCAN"
NAME = "MatPES-R2SCAN-2025.1.json.gz"


@dataclass
class Hub:
    """What the server holds, how it behaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    repository: str = "mavrl/matpes"
    cut_after: int | None = None
    ranges: bool = True
    sha256: str | None = None
    answer: bytes | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def tree(self) -> list[dict[str, Any]]:
        """The files as the hub's API lists them."""
        return [{"type": "directory", "path": "raw", "size": 0}] + [
            {"type": "file", "path": name, "size": len(content), "oid": "git", "lfs": {"oid": self.sha256 or hashlib.sha256(content).hexdigest(), "size": len(content)}}
            for name, content in self.files.items()
        ]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, bundled_folder: Path) -> Iterator[Hub]:
    """A hub that holds a real file under the name of a MatPES release."""
    held = Hub({NAME: (bundled_folder / "xfunc-dft-r2SCAN.jsonl.gz").read_bytes()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.asked.append((self.path, self.headers.get("Range")))
            if self.path.startswith("/api/"):
                self._listing()
            else:
                self._file(held.files[self.path.rpartition("/")[2]])

        def _listing(self) -> None:
            found = self.path == f"/api/datasets/{held.repository}/tree/main"
            self._send(200 if found else 404, held.answer or json.dumps(held.tree()).encode())

        def _file(self, content: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            first = int(asked[1]) if asked and held.ranges else 0
            self._send(206 if asked and held.ranges else 200, content[first:], {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if asked and held.ranges else {})

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            is_file = not self.path.startswith("/api/")
            self.wfile.write(body[: held.cut_after] if is_file else body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    yield held
    server.shutdown()
    server.server_close()


def test_file_comes_whole_and_can_be_imported(hub: Hub, tmp_path: Path, root: Path) -> None:
    told: list[Reading] = []
    path = download(TITLE, tmp_path / "uploads" / "a", told.append)
    assert path == tmp_path / "uploads" / "a" / NAME
    assert path.read_bytes() == hub.files[NAME]
    assert {(reading.stage, reading.total) for reading in told} == {(Stage.DOWNLOADING, len(hub.files[NAME]))}
    assert told[-1].n_bytes == len(hub.files[NAME])
    assert [asked for asked, _ in hub.asked] == [
        "/api/datasets/materialyze/matpes/tree/main",
        "/api/datasets/mavrl/matpes/tree/main",
        f"/datasets/mavrl/matpes/resolve/main/{NAME}",
    ]
    assert import_file(path, root, name="d")[0].functional is Functional.R2SCAN
    assert [file.name for file in path.parent.iterdir()] == [NAME]


def test_present_owner_and_json_lines_come_first(hub: Hub, tmp_path: Path) -> None:
    hub.repository = "materialyze/matpes"
    hub.files = {"MatPES-R2SCAN-2025.1.json": b"older", "MatPES-R2SCAN-2025.1.jsonl": b"newer"}
    assert download(TITLE, tmp_path / "a").read_bytes() == b"newer"


def test_broken_download_goes_on_where_it_broke_off(hub: Hub, tmp_path: Path) -> None:
    hub.files[NAME] += bytes(range(256)) * 8000
    hub.cut_after = 700_000
    assert download(TITLE, tmp_path / "a").read_bytes() == hub.files[NAME]
    asked = [first for path, first in hub.asked if path.endswith(NAME)]
    starts = [int((first or "bytes=0-")[6:-1]) for first in asked]
    assert starts[0] == 0
    assert len(starts) >= 3
    assert all(0 < b - a <= hub.cut_after for a, b in zip(starts, starts[1:], strict=False))


def test_interrupted_download_goes_on_in_the_next_call(hub: Hub, tmp_path: Path) -> None:
    def stop(_: Reading) -> None:
        raise KeyboardInterrupt

    hub.files[NAME] += bytes(600_000)
    with pytest.raises(KeyboardInterrupt):
        download(TITLE, tmp_path / "a", stop)
    [part] = (tmp_path / "a").iterdir()
    have = part.stat().st_size
    assert 0 < have < len(hub.files[NAME])
    assert download(TITLE, tmp_path / "a").read_bytes() == hub.files[NAME]
    assert hub.asked[-1][1] == f"bytes={have}-"
    assert [file.name for file in (tmp_path / "a").iterdir()] == [NAME]
    before = len(hub.asked)
    download(TITLE, tmp_path / "a")
    assert all("/api/" in path for path, _ in hub.asked[before:])  # it is there


def test_hub_without_ranges_starts_over(hub: Hub, tmp_path: Path) -> None:
    hub.files[NAME] += bytes(600_000)
    with pytest.raises(KeyboardInterrupt):
        download(TITLE, tmp_path / "a", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    hub.ranges = False
    assert download(TITLE, tmp_path / "a").read_bytes() == hub.files[NAME]


def test_file_of_another_version_is_not_continued(hub: Hub, tmp_path: Path) -> None:
    hub.files[NAME] += bytes(600_000)
    with pytest.raises(KeyboardInterrupt):
        download(TITLE, tmp_path / "a", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    hub.files[NAME] = b"other" * 200_000
    assert download(TITLE, tmp_path / "a").read_bytes() == hub.files[NAME]


def test_wrong_checksum_is_thrown_away(hub: Hub, tmp_path: Path) -> None:
    hub.sha256 = "0" * 64
    with pytest.raises(DataError, match="another content than Hugging Face promised"):
        download(TITLE, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_network_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="could not be downloaded from Hugging Face .it cannot be reached.") as raised:
        download(TITLE, tmp_path / "a")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_connection_that_gives_nothing_ends(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = 0
    with pytest.raises(DataError, match="cannot be reached"):
        download(TITLE, tmp_path / "a")
    assert list(tmp_path.rglob("*.gz")) == []


@pytest.mark.parametrize("answer", [b"<html>sign in</html>", b"{}", b'[{"path": "MatPES-R2SCAN-2025.1.json.gz"}]'])
def test_other_answers_are_one_sentence(hub: Hub, tmp_path: Path, answer: bytes) -> None:
    hub.answer = answer
    with pytest.raises(DataError, match="makes no sense|any more"):
        download(TITLE, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_sentence(hub: Hub, small_disk: Path) -> None:
    hub.files[NAME] += bytes(600_000)
    with pytest.raises(DataError, match="is full"):
        download(TITLE, small_disk / "uploads" / "a")


def test_download_in_the_background_is_imported_and_removed(hub: Hub, tmp_path: Path) -> None:
    job = RunFolder.create(tmp_path / "imports", ImportRequest("mine", download=TITLE).to_dict())
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(str(job.path)) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert {record["stage"] for record in job.progress()} == {"downloading", "checking", "reading", "finishing"}
    info = open_dataset(tmp_path / "datasets", "mine").info
    assert (info.source, info.licence, info.functional) == (NAME, "BSD-3-Clause", "r2scan")
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_is_known_is_named_apart() -> None:
    assert len({known.stem for known in KNOWN.values()}) == len(KNOWN) == 12
    assert {known.functional for known in KNOWN.values()} == set(Functional)
    with pytest.raises(DataError, match="no file that xfunc can download"):
        download("another", Path("nowhere"))
