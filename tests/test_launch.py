"""What a launch promises, on the bundled data and on finished runs with known times."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from xfunc_core.data.importing import import_file
from xfunc_core.data.library import install_bundled, open_dataset
from xfunc_core.errors import ConfigError
from xfunc_core.launch import preview, preview_sweep
from xfunc_core.model.samples import build_samples
from xfunc_core.quantities import Functional
from xfunc_core.runs.estimate import estimate
from xfunc_core.runs.folder import RunFolder
from xfunc_core.runs.state import RunState
from xfunc_core.training.settings import FinetuneSettings
from xfunc_core.training.sweep import SweepSettings

SETTINGS = FinetuneSettings(dataset="xfunc-dft-r2scan", epochs=4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    install_bundled(root)
    return open_dataset(root, SETTINGS.dataset)


def finished_run(root: Path, seconds: float, atoms: int) -> RunFolder:
    run = RunFolder.create(root, SETTINGS.to_dict())
    run.write_json(run.metrics, {"timing": {"device": "cpu", "seconds": seconds, "atoms_trained": atoms}})
    with run.claim():
        run.finish(RunState.FINISHED)
    return run


def test_a_preview_counts_every_frame_once(dataset):
    split = preview(SETTINGS, dataset).plan.split
    rows = np.concatenate([split.train, split.validation, split.test])
    assert sorted(rows) == list(range(len(dataset)))


def test_a_preview_counts_what_the_engine_will_leave_out(tmp_path):
    frames = []
    for i in range(40):
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        if i % 5 == 1:
            atoms.positions[1] = atoms.positions[0] + 0.1  # overlapping
        if i % 5 == 3:
            atoms.set_cell(np.eye(3) * 30)
            atoms.positions[1] = atoms.positions[0] + 8  # isolated
        atoms.info["energy"] = -6.0
        frames.append(atoms)
    ase.io.write(tmp_path / "frames.extxyz", frames)
    dataset, _ = import_file(tmp_path / "frames.extxyz", tmp_path / "datasets", name="frames", functional=Functional.PBE, energies="total")
    planned = preview(dataclasses.replace(SETTINGS, dataset="frames"), dataset)
    by_engine = {part: len(build_samples(dataset, getattr(planned.plan.split, part))[1]) for part in ("train", "validation", "test")}
    assert planned.cannot_take == by_engine and sum(by_engine.values()) == 16
    [said] = [sentence for sentence in planned.warnings() if "cannot take" in sentence]
    assert said.startswith("CHGNet cannot take 16 frames with overlapping or isolated atoms") and f"{by_engine['train']} train" in said


def test_a_preview_of_too_many_atoms_says_that_it_has_not_looked(dataset, monkeypatch):
    monkeypatch.setattr("xfunc_core.launch.ATOMS_LOOKED_AT", dataset.info.n_atoms)
    assert preview(SETTINGS, dataset).cannot_take == {"train": 0, "validation": 0, "test": 0}
    monkeypatch.setattr("xfunc_core.launch.ATOMS_LOOKED_AT", dataset.info.n_atoms - 1)
    planned = preview(SETTINGS, dataset)
    assert planned.cannot_take is None and any("were not looked for" in sentence for sentence in planned.warnings())


def test_the_time_comes_from_the_runs_of_this_machine(dataset, tmp_path):
    atoms = int(dataset.table["n_atoms"].to_numpy()[preview(SETTINGS, dataset).plan.split.train].sum())
    expected = preview(SETTINGS, dataset, [finished_run(tmp_path, seconds=50.0, atoms=1000)]).estimate
    nothing = estimate(0, 1, "cpu").seconds  # importing and evaluating
    assert expected.measured_here
    assert expected.seconds - nothing == pytest.approx(0.05 * 4 * atoms)
    assert not preview(SETTINGS, dataset).estimate.measured_here


def test_a_sweep_takes_as_long_as_its_runs_one_after_another(dataset, monkeypatch):
    monkeypatch.delenv("XFUNC_CPU_SLOTS", raising=False)
    sweep = SweepSettings(SETTINGS, methods=("M1", "M4"), sizes=(8, 16), n_seeds=3)
    planned = preview_sweep(sweep, dataset, "s")
    assert len(planned.runs) == 2 * 2 * 3
    assert planned.estimate.seconds == pytest.approx(sum(preview(s, dataset).estimate.seconds for s in planned.runs.values()))
    monkeypatch.setenv("XFUNC_CPU_SLOTS", "3")
    assert preview_sweep(sweep, dataset, "s").estimate.seconds == pytest.approx(planned.estimate.seconds / 3)


def test_a_sweep_says_at_which_sizes_elements_are_missing(dataset):
    n_train = len(preview(SETTINGS, dataset).plan.split.train)
    planned = preview_sweep(SweepSettings(SETTINGS, sizes=(4, n_train), n_seeds=1), dataset, "s")
    contains = dataset.composition > 0
    subset = preview(dataclasses.replace(SETTINGS, train_size=4), dataset).plan.split
    covered = [not (contains[row] & ~contains[subset.train].any(axis=0)).any() for row in subset.test]
    assert (planned.coverage[4].n_covered, planned.coverage[4].n_test) == (sum(covered), len(subset.test))
    assert planned.coverage[n_train].n_covered == planned.coverage[n_train].n_test
    rows = subset.train
    assert planned.coverage[4].n_open == contains[rows].any(axis=0).sum() - np.linalg.matrix_rank(dataset.composition[rows])
    missing, loose = planned.warnings()
    assert f"N = 4 ({sum(covered)} of {len(subset.test)})" in missing
    assert f"{planned.coverage[4].n_open} at N = 4" in loose


def test_a_size_beyond_the_training_set_is_refused(dataset):
    with pytest.raises(ConfigError, match="A subset of 100000 frames is not possible"):
        preview_sweep(SweepSettings(SETTINGS, sizes=(8, 100_000)), dataset, "s")


def test_settings_survive_the_way_into_the_run_folder(dataset, tmp_path):
    (run_id, settings), *_ = preview_sweep(SweepSettings(SETTINGS, sizes=(8, 16)), dataset, "s").runs.items()
    run = RunFolder.create(tmp_path, settings.to_dict(), run_id=run_id)
    assert FinetuneSettings.from_dict(json.loads(run.config_file.read_text())) == settings
