"""Names of models: chgnet's, runs and paths; what is known of each; and the device that computes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from xfunc_core.errors import ConfigError, DataError, RunError
from xfunc_core.model import named
from xfunc_core.model.calculator import CHGNetCalculator
from xfunc_core.model.device import usable_device
from xfunc_core.model.named import RUN_METRICS, RUN_MODEL, RUN_REFERENCES, named_model, named_run, shipped_checkpoint
from xfunc_core.quantities import Functional
from xfunc_core.runs.files import RunFiles


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, as far as its model goes; it has chgnet's r²SCAN weights."""
    monkeypatch.setenv("XFUNC_HOME", str(tmp_path))
    folder = tmp_path / "runs" / "20261125-m4-abcd"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"dataset": "mine"}')
    shutil.copy(shipped_checkpoint("r2scan"), folder / RUN_MODEL)
    (folder / RUN_METRICS).write_text(json.dumps({"dataset": {"name": "mine", "functional": "r2scan", "energy_scale": "GPAW"}}))
    (folder / RUN_REFERENCES).write_text(json.dumps({"n_frames": {"Na": 3, "Cl": 2, "H": 0}}))
    return folder


def test_file_names_of_runs_are_those_of_runs() -> None:
    files = RunFiles(Path("x"))
    assert [path.name for path in (files.model, files.metrics, files.references)] == [RUN_MODEL, RUN_METRICS, RUN_REFERENCES]


@pytest.mark.parametrize(("name", "version", "functional"), [("pretrained", "0.3.0", "pbe"), ("0.3.0", "0.3.0", "pbe"), ("r2scan", "r2scan", "r2scan"), ("0.2.0", "0.2.0", "pbe")])
def test_names_of_chgnet(name: str, version: str, functional: str) -> None:
    found = named_model(name)
    assert f"/chgnet/pretrained/{version}/" in found.path.as_posix() and found.path.is_file()
    assert (found.title, found.run, found.functional) == (f"chgnet {version}", None, Functional(functional))
    assert "Po" in found.without_reference and ("Yb" in found.without_reference) is (version == "r2scan")


def test_without_chgnet_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for found in (None, SimpleNamespace(submodule_search_locations=[str(tmp_path)])):
        monkeypatch.setattr(named, "find_spec", lambda package, found=found: found)
        with pytest.raises(DataError, match=r"CHGNet r2scan is missing from this Python: install chgnet 0\.4\.2 again"):
            named_model("r2scan")


def test_a_run_is_named_by_id_by_folder_and_by_file(run: Path) -> None:
    for name in (run.name, str(run), str(run / "model.pt")):
        found = named_model(name)
        assert (found.title, found.path, found.run) == (run.name, run / "model.pt", run)
        assert (found.functional, found.energy_scale) == (Functional.R2SCAN, "GPAW")
        assert len(found.without_reference) == 92 and not {"Na", "Cl"} & set(found.without_reference)
    assert named_run(run.name) == named_run(str(run)) == run
    assert named_run("nothing") is None and named_run("pretrained") is None


@pytest.mark.parametrize("content", ["", "[]", '{"dataset": "mine"}', '{"dataset": {"functional": "pbesol"}}'])
def test_a_run_that_does_not_say_what_it_learnt_is_a_model_all_the_same(run: Path, content: str) -> None:
    (run / RUN_METRICS).write_text(content)
    found = named_model(run.name)
    assert (found.path, found.functional, found.energy_scale) == (run / "model.pt", None, "")


def test_a_file_is_what_it_is(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "model.pt", tmp_path / "best.pth.tar")
    found = named_model(str(tmp_path / "best.pth.tar"))
    assert (found.title, found.path, found.run, found.functional) == ("best.pth.tar", tmp_path / "best.pth.tar", None, None)


def test_a_title_can_be_written_whatever_the_file_is_called(run: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"best\xff.pt")
    shutil.copy(run / "model.pt", path)
    assert (named_model(str(path)).title, named_model(str(path)).path) == ("best?.pt", path)


def test_what_names_no_model_is_said_in_a_sentence(run: Path, tmp_path: Path) -> None:
    for name, phrase in (
        ("nothing", "no model 'nothing': name pretrained"),
        ("0.4.0", "did you mean '0.3.0'"),
        ("20261125-m4-abce", "did you mean '20261125-m4-abcd'"),
        ("model.pt", "no file model.pt"),
        ("/nowhere/x", "no file /nowhere/x"),
        (str(tmp_path), "is a folder, and no run's"),
    ):
        with pytest.raises(DataError, match=phrase):
            named_model(name)
    (run / "model.pt").unlink()
    with pytest.raises(RunError, match="has no model yet"):
        named_model(run.name)


def test_the_calculator_takes_every_name(run: Path) -> None:
    from ase.build import bulk

    energies = {}
    for name in (None, "pretrained", "0.3.0", "r2scan", run.name, run):
        atoms = bulk("MgO", "rocksalt", a=4.2)
        atoms.calc = CHGNetCalculator(name)
        energies[name] = atoms.get_potential_energy()
    assert energies[None] == energies["pretrained"] == energies["0.3.0"]
    assert energies["r2scan"] == energies[run.name] == energies[run]
    assert abs(energies["r2scan"] - energies["0.3.0"]) > 1  # eV: another functional
    for name, phrase in (("nothing", "no model 'nothing'"), ("", "is a folder, and no run's")):
        with pytest.raises(DataError, match=phrase):
            CHGNetCalculator(name)


def test_a_device_is_there_or_said_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_device("cpu") == torch.device("cpu")
    for name in ("tpu", "cuda:x", "mps", "", "cpu:", "cpu:1", "cuda:", "cuda:01", "cuda:٣"):
        with pytest.raises(ConfigError, match="no device that CHGNet runs on"):
            usable_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for make in (usable_device, lambda name: CHGNetCalculator(device=name)):
        with pytest.raises(RunError, match="offers no CUDA GPU to PyTorch: choose the CPU"):
            make("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert usable_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(RunError, match="there is no cuda:1"):
        usable_device("cuda:1")
