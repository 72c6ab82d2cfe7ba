"""The datasets of a home: listed, deleted, and the bundled ones put in place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xfunc_core.data import library
from xfunc_core.data.importing import import_file
from xfunc_core.data.library import BUNDLED, PAIRED, damaged, delete_dataset, install_bundled, is_bundled, list_datasets, open_dataset
from xfunc_core.errors import DataError
from xfunc_core.quantities import Functional

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(bundled.name for bundled in BUNDLED)
INSTALL = "import sys; from pathlib import Path; sys.stdin.readline(); from xfunc_core.data.library import install_bundled; print('ready', flush=True); sys.stdin.readline(); install_bundled(Path(sys.argv[1]))"


@pytest.fixture
def mine(document: Callable[..., dict[str, Any]], write: Callable[..., Path], root: Path) -> Path:
    """A home with two datasets of the user's."""
    path = write([document()])
    import_file(path, root, name="a", title="zebra")
    import_file(path, root, name="b", title="Apple")
    return root


def state(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}


# --- bundled ----------------------------------------------------------------------------------


def test_every_bundled_file_is_a_dataset_with_licence_and_source(bundled_root: Path, bundled_folder: Path) -> None:
    found = {d.info.name: d.info for d in list_datasets(bundled_root)}
    assert sorted(found) == sorted(os.listdir(bundled_root)) == NAMES
    assert {info.source for info in found.values()} == set(os.listdir(bundled_folder))
    assert all(info.licence and info.citation and info.energy_scale and info.title for info in found.values())
    for pbe, r2scan in PAIRED:
        assert (open_dataset(bundled_root, pbe).functional, open_dataset(bundled_root, r2scan).functional) == (Functional.PBE, Functional.R2SCAN)
        assert found[pbe].energy_scale == found[r2scan].energy_scale
        assert found[pbe].n_frames == found[r2scan].n_frames


def test_bundled_files_are_those_beside_the_repository(shared: Path, bundled_folder: Path) -> None:
    for path in bundled_folder.iterdir():
        source = shared / path.name if path.name.startswith("MatPES") else shared / "dft" / path.name
        assert path.read_bytes() == source.read_bytes()


def test_installing_again_does_nothing(root: Path) -> None:
    install_bundled(root)
    before = state(root)
    install_bundled(root)
    assert state(root) == before
    assert not [name for name in before if "/." in f"/{name}" and name != "."]


def test_another_version_and_a_damaged_dataset_are_replaced_and_the_rest_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_bundled(root)
    before = state(root)
    (root / "xfunc-dft-pbe" / "stress.f8").write_bytes(b"")
    real = library._bundled_sha256
    described = root / "matpes-elements-pbe" / "dataset.json"
    described.write_text(described.read_text().replace(real("MatPES-PBE-Element-Refs.json.gz"), "0" * 64))
    install_bundled(root)
    assert sorted(os.listdir(root)) == NAMES
    assert damaged(root) == []
    changed = {name.split("/")[0] for name, when in state(root).items() if before[name] != when} - {"."}
    assert changed == {"xfunc-dft-pbe", "matpes-elements-pbe"}
    assert open_dataset(root, "matpes-elements-pbe").info.source_sha256 == real("MatPES-PBE-Element-Refs.json.gz")


def test_deleted_bundled_dataset_comes_back(root: Path) -> None:
    install_bundled(root)
    delete_dataset(root, NAMES[0])
    assert NAMES[0] not in os.listdir(root)
    install_bundled(root)
    assert sorted(os.listdir(root)) == NAMES
    assert is_bundled(NAMES[0])
    assert not is_bundled("mine")


def test_processes_that_install_at_once_do_not_disturb_each_other(root: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", INSTALL, str(root)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for go in ("import", "install"):
        for process in processes:
            process.stdin.write(go + "\n")
            process.stdin.flush()
        if go == "import":
            assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert sorted(os.listdir(root)) == NAMES
    assert damaged(root) == []


def test_process_that_was_slower_is_content_with_what_the_quicker_one_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = library.import_file

    def after_another(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(library, "import_file", after_another)
    install_bundled(root)
    assert sorted(os.listdir(root)) == NAMES


def test_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="was not imported .*XFUNC_HOME"):
        install_bundled(tmp_path / "file")


# --- the user's -------------------------------------------------------------------------------


def test_datasets_are_listed_by_title_and_hidden_folders_and_files_are_not(mine: Path) -> None:
    (mine / ".importing-x").mkdir()
    (mine / "note.txt").write_text("")
    assert [d.info.title for d in list_datasets(mine)] == ["Apple", "zebra"]
    assert damaged(mine) == []


def test_folder_that_is_no_dataset_is_named(mine: Path) -> None:
    (mine / "stray").mkdir()
    assert [d.info.name for d in list_datasets(mine)] == ["b", "a"]
    assert [sentence.split(" in ")[0] for sentence in damaged(mine)] == ["There is no dataset 'stray'"]


def test_home_that_is_missing_is_empty_and_one_that_is_a_file_is_said(tmp_path: Path) -> None:
    assert list_datasets(tmp_path / "none") == []
    assert damaged(tmp_path / "none") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="The datasets in .*file cannot be listed .*: check the path"):
        list_datasets(tmp_path / "file")


def test_deleting_removes_one_dataset_damaged_or_not_and_leaves_nothing(mine: Path) -> None:
    (mine / "a" / "dataset.json").write_text("{")
    delete_dataset(mine, "a")
    assert os.listdir(mine) == ["b"]
    with pytest.raises(DataError, match="There is no dataset 'a'"):
        delete_dataset(mine, "a")
    delete_dataset(mine, "b")
    assert os.listdir(mine) == []


def test_link_to_a_dataset_elsewhere_is_deleted_and_not_what_it_leads_to(mine: Path, tmp_path: Path) -> None:
    (mine / "a").rename(tmp_path / "elsewhere")
    (mine / "a").symlink_to(tmp_path / "elsewhere")
    assert len(open_dataset(mine, "a")) == 1
    delete_dataset(mine, "a")
    assert os.listdir(mine) == ["b"]
    assert (tmp_path / "elsewhere" / "dataset.json").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../b", "b/../b", "/", "a\\b", ".importing-x", "a\0", "a\n"])
def test_name_that_leads_elsewhere_opens_and_deletes_nothing(mine: Path, name: str) -> None:
    before = state(mine.parent)
    for act in (open_dataset, delete_dataset):
        with pytest.raises(DataError, match="is no dataset name: choose one of those listed"):
            act(mine, name)
    assert state(mine.parent) == before


def test_deletion_that_the_system_refuses_is_said(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataError, match=r"Dataset 'a' cannot be deleted \(Permission denied\): check the permissions"):
        delete_dataset(mine, "a")
    assert sorted(os.listdir(mine)) == ["a", "b"]
