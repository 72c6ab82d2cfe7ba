"""How far an import is: positions in real files, plain, gzip and by key, against their sizes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from xfunc_core.data.importing import import_file
from xfunc_core.data.watching import Reading, Stage, watched
from xfunc_core.quantities import Functional

FILES = ("xfunc-dft-r2SCAN.jsonl.gz", "MatPES-r2SCAN-Element-Refs.json.gz")


def follow(path: Path, root: Path, **options: Any) -> tuple[list[Reading], int]:
    """What an import tells, and how many documents it read."""
    told: list[Reading] = []
    _, report = import_file(path, root, name="d", tell=told.append, **options)
    return told, report.n_documents


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("file", FILES)
def test_position_goes_through_the_file_in_each_stage(bundled_folder: Path, tmp_path: Path, root: Path, file: str, packed: bool) -> None:
    path = tmp_path / file
    content = (bundled_folder / file).read_bytes()
    path.write_bytes(content if packed else gzip.decompress(content))
    told, n_documents = follow(path, root)
    assert {reading.total for reading in told} == {path.stat().st_size}
    assert [stage for stage in Stage if any(reading.stage is stage for reading in told)] == [Stage.CHECKING, Stage.READING, Stage.FINISHING]
    for stage in (Stage.CHECKING, Stage.READING):
        positions = [reading.n_bytes for reading in told if reading.stage is stage and reading.n_bytes is not None]
        assert positions[-1] == path.stat().st_size
        assert max(positions) == positions[-1]
    documents = [reading.documents for reading in told]
    assert documents == sorted(documents)
    assert documents[-1] == n_documents
    assert told[-1].stage is Stage.FINISHING


def test_folder_tells_frames_without_a_position(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "crystals"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.vasp").write_text(f"{name}\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n")
    told, n_documents = follow(folder, root, functional=Functional.PBE)
    assert told[-1].documents == n_documents == 2
    assert {(reading.total, reading.n_bytes) for reading in told} == {(None, None)}


def test_what_is_raised_ends_the_import_and_leaves_nothing(bundled_folder: Path, root: Path) -> None:
    def stop(reading: Reading) -> None:
        if reading.documents > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(bundled_folder / FILES[0], root, name="d", tell=stop)
    assert list(root.iterdir()) == []


def test_watched_path_is_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    positions: list[int] = []
    same = watched(path, positions.append)
    assert (same, same.name, same.parent, str(same)) == (path, path.name, path.parent, str(path))
    assert same.read_text() == "words"
    with same.open("rb") as stream:
        assert stream.read(2) == b"wo"
    assert positions == [5]
