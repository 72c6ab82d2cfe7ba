"""Real files read without xfunc, small MatPES documents to spoil, and homes to import into."""

from __future__ import annotations

import copy
import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xfunc_core.data.library import install_bundled

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
BUNDLED = ROOT / "xfunc_core" / "data" / "bundled"
DOCUMENT = {
    "matpes_id": "matpes-1",
    "functional": "PBE",
    "structure": {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": [[5.6, 0.0, 0.0], [0.1, 5.7, 0.0], [0.2, 0.3, 5.8]]},
        "sites": [
            {"species": [{"element": "Na", "occu": 1}], "abc": [0.0, 0.0, 0.0], "properties": {"magmom": 0.25}},
            {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.25, -0.125], "properties": {"magmom": -0.5}},
        ],
    },
    "energy": -6.5,
    "forces": [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]],
    "stress": [10.0, 20.0, 30.0, 4.0, 5.0, 6.0],
    "provenance": {"original_mp_id": "mp-22862"},
}
ABSENT = object()


def place(document: dict[str, Any], path: str, value: object) -> None:
    """Set (or, with ABSENT, remove) what lies at a dotted path such as ``structure.sites.0.species``."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target: Any = document
    for part in way:
        target = target[part]
    if value is ABSENT:
        del target[last]
    else:
        target[last] = value


@pytest.fixture(scope="session")
def absent() -> object:
    return ABSENT


@pytest.fixture(scope="session")
def document() -> Callable[..., dict[str, Any]]:
    """A good document of two atoms, changed at dotted paths."""

    def make(matpes_id: str = "matpes-1", changes: dict[str, object] | None = None) -> dict[str, Any]:
        made = copy.deepcopy(DOCUMENT) | {"matpes_id": matpes_id}
        for path, value in (changes or {}).items():
            place(made, path, value)
        return made

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write documents as JSON lines, or any text or bytes as they are."""

    def to_file(content: list[Any] | str | bytes, name: str = "file.jsonl") -> Path:
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(document) + "\n" for document in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to_file


@pytest.fixture(scope="session")
def raw() -> Callable[[Path], list[dict[str, Any]]]:
    """The documents of a real file, read whole and without xfunc."""

    def read(path: Path) -> list[dict[str, Any]]:
        text = (gzip.decompress(path.read_bytes()) if path.read_bytes()[:2] == b"\x1f\x8b" else path.read_bytes()).decode()
        if ".jsonl" in path.name:
            return [json.loads(line) for line in text.splitlines()]
        content = json.loads(text)
        return content if isinstance(content, list) else list(content.values())

    return read


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data that lie beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the public data files are not in {SHARED}; they are not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def bundled_folder() -> Path:
    return BUNDLED


@pytest.fixture(scope="session")
def bundled_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled datasets, installed once; only for reading."""
    root = tmp_path_factory.mktemp("bundled") / "datasets"
    install_bundled(root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where datasets are to lie; nothing is there yet."""
    return tmp_path / "datasets"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
