"""Datasets that runs need stay; others go."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfunc_core.data.library import install_bundled
from xfunc_core.errors import DataError, RunError
from xfunc_core.runs.dependence import delete_unneeded, runs_in_need
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    """A folder of datasets with a damaged one, ``mine``, which may be deleted as any other."""
    (tmp_path / "datasets" / "mine").mkdir(parents=True)
    return tmp_path / "datasets"


def test_a_run_that_waits_or_works_keeps_its_dataset(datasets: Path, root: Path) -> None:
    run = RunFolder.create(root, {"dataset": "mine"}, run_id="r1")
    RunFolder.create(root, {"dataset": "another"}, run_id="r2")
    assert runs_in_need(root, "mine") == [run]
    with pytest.raises(RunError, match="Run r1 needs 'mine': cancel the run, then delete the dataset."):
        delete_unneeded(datasets, root, "mine")
    with run.claim(), pytest.raises(RunError, match="Run r1 needs 'mine'"):
        delete_unneeded(datasets, root, "mine")
    assert (datasets / "mine").is_dir()
    run.finish(RunState.CANCELLED)
    delete_unneeded(datasets, root, "mine")
    assert not (datasets / "mine").exists()


def test_a_run_whose_settings_were_damaged_at_work_stands_in_no_way(datasets: Path, root: Path) -> None:
    run = RunFolder.create(root, {"dataset": "mine"}, run_id="r1")
    with run.claim():
        run.config_file.write_text("{")
        delete_unneeded(datasets, root, "mine")
    assert not (datasets / "mine").exists()


def test_bundled_data_stay_and_missing_ones_are_said(datasets: Path, root: Path) -> None:
    install_bundled(datasets)
    with pytest.raises(DataError, match="comes with xfunc"):
        delete_unneeded(datasets, root, "xfunc-dft-pbe")
    assert (datasets / "xfunc-dft-pbe").is_dir()
    with pytest.raises(DataError, match="There is no dataset 'none'"):
        delete_unneeded(datasets, root, "none")
