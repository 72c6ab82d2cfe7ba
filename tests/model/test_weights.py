"""Checkpoints in and out: what upstream loads, what is loaded again, and files that are damaged, hostile or of another kind."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet

from xfunc_core.errors import DataError
from xfunc_core.model.network import Engine
from xfunc_core.model.predict import predict
from xfunc_core.model.samples import Sample
from xfunc_core.model.weights import load_engine, save_engine, shipped_checkpoint


@pytest.fixture
def saved(fresh, tmp_path: Path) -> tuple[Engine, Path]:
    """A model unlike the pretrained one, and its file."""
    model = fresh()
    model.references += torch.linspace(-70, 3, 94, dtype=torch.float64)
    with torch.no_grad():
        model.network.mlp.layers[0].weight += 0.01
    save_engine(model, tmp_path / "model.pt", epoch=3)
    return model, tmp_path / "model.pt"


def test_upstream_loads_what_was_saved_and_predicts_the_same(saved, mixed: list[Sample], upstream_graphs: list[CrystalGraph]) -> None:
    model, path = saved
    ours, theirs = predict(model, mixed), CHGNet.from_file(str(path)).predict_graph(upstream_graphs)
    np.testing.assert_allclose(ours.energy, [t["e"] for t in theirs], atol=2e-5, rtol=0)  # float32 at 80 eV is 8e-6 eV apart
    np.testing.assert_allclose(ours.forces, np.concatenate([t["f"] for t in theirs]), atol=5e-5, rtol=0)
    np.testing.assert_allclose(ours.magmoms, np.concatenate([t["m"] for t in theirs]), atol=1e-5, rtol=0)


def test_saved_model_is_loaded_again_to_the_last_bit(saved) -> None:
    model, path = saved
    again = load_engine(path)
    state, loaded = model.state_dict(), again.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(state[name], loaded[name]) for name in state)
    assert again.references.dtype == torch.float64


def test_references_that_another_program_changed_are_the_files(saved, tmp_path: Path) -> None:
    content = torch.load(saved[1], weights_only=True)
    content["model"]["state_dict"]["composition_model.fc.weight"] += 1.0
    torch.save(content, tmp_path / "changed.pt")
    np.testing.assert_allclose(load_engine(tmp_path / "changed.pt").references - saved[0].references, 1.0, atol=1e-5)  # float32


@pytest.mark.parametrize("change", [{"non_linearity": "relu"}, {"is_intensive": False}, {"atom_graph_cutoff": 7}], ids=str)
def test_network_that_the_engine_would_compute_wrongly_is_refused(tmp_path: Path, change: dict) -> None:
    content = torch.load(shipped_checkpoint("0.3.0"), map_location="cpu", weights_only=True)
    content["model"]["model_args"] |= change
    torch.save({"model": content["model"]}, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"other\.pt holds a CHGNet .*choose a network like 0\.3\.0"):
        load_engine(tmp_path / "other.pt")


class Trap:
    """An object whose unpickling leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"model": Trap(mark)}, tmp_path / "zip.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Trap(mark)))
    for name in ("zip.pt", "bare.pt"):
        with pytest.raises(DataError, match=f"^{name} .*choose another file"):
            load_engine(tmp_path / name)
    assert not mark.exists()
    torch.load(tmp_path / "zip.pt", weights_only=False)
    assert mark.exists()  # the trap works


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_truncated_file_is_refused(saved, tmp_path: Path, share: float) -> None:
    content = saved[1].read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut\.pt was not written by torch, or is truncated"):
        load_engine(tmp_path / "cut.pt")


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"weights": torch.ones(3)}, {"model": {"state_dict": {}, "model_args": {}}}, {"model": None}, torch.ones(2)],
    ids=str,
)
def test_other_things_that_torch_wrote_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"other\.pt is no CHGNet checkpoint"):
        load_engine(tmp_path / "other.pt")


@pytest.mark.parametrize("change", [{"n_conv": 3}, {"num_radial": 9}, {"cutoff_coeff": "x"}], ids=str)
def test_arguments_that_do_not_fit_the_weights_are_refused(saved, tmp_path: Path, change: dict) -> None:
    content = torch.load(saved[1], weights_only=True)
    content["model"]["model_args"] |= change
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"odd\.pt is no CHGNet checkpoint"):
        load_engine(tmp_path / "odd.pt")


def test_damaged_bytes_give_a_sentence_or_load(saved, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = tmp_path / "small.pt"
    torch.save({"model": {"a": torch.ones(3), "state_dict": {}}}, small)
    content = bytearray(small.read_bytes())
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            damaged[place] = rng.integers(256)
        small.write_bytes(damaged)
        with pytest.raises(DataError):
            load_engine(small)


def test_text_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("energies\n")
    with pytest.raises(DataError, match=r"notes\.txt was not written by torch"):
        load_engine(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="No such file or directory.*check the path"):
        load_engine(tmp_path / "missing.pt")
    with pytest.raises(DataError, match="Is a directory"):
        load_engine(tmp_path)
