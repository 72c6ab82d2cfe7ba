"""Checkpoints of the engine: bit by bit there and back, loaded by upstream and its ASE calculator, refused with a sentence."""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from xfunc_core.data.dataset import Dataset
from xfunc_core.errors import DataError
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import build_graph
from xfunc_core.model.named import SHIPPED, shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.weights import load_engine, save_engine


@pytest.fixture(params=list(SHIPPED))
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def changed(version: str) -> Engine:
    """An engine unlike any shipped one, its references not representable in float32."""
    engine = load_engine(shipped_checkpoint(version))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in engine.network.parameters():
            parameter += 1e-3 * torch.randn(parameter.shape, generator=generator)
        engine.references += torch.linspace(-7, 3, 94, dtype=torch.float64) / 3
    return engine


@pytest.fixture(scope="module")
def structure(few: Dataset, one_thread: None) -> Structure:
    structure = few.structure(0)
    structure.translate_sites([0], [0.03, 0.05, 0.07])
    return structure


def upstream(path: Path) -> CHGNet:
    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNet.from_file(str(path))


def predictions(engine: Engine, structure: Structure) -> dict[str, np.ndarray]:
    with torch.no_grad():
        batch = collate([build_graph(np.array(structure.atomic_numbers), structure.lattice.matrix, structure.cart_coords)])
        return {key: value.numpy() for key, value in engine(batch).items()}


# --- there and back ---------------------------------------------------------------------------


def test_shipped_weights_are_loaded_bit_by_bit(version: str) -> None:
    path = shipped_checkpoint(version)
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]["state_dict"]
    engine = load_engine(path)
    references = state.pop("composition_model.fc.weight")
    loaded = engine.network.state_dict()
    assert set(loaded) == set(state)  # the weights that nothing reads included
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert engine.references.dtype == torch.float64 and torch.equal(engine.references.float(), references.flatten())
    assert engine.atom_graph_cutoff == {"0.3.0": 6, "r2scan": 6, "0.2.0": 5}[version] and engine.bond_graph_cutoff == 3


def test_what_is_saved_is_loaded_again_bit_by_bit(changed: Engine, tmp_path: Path) -> None:
    save_engine(changed, tmp_path / "first.pt", epoch=3)
    again = load_engine(tmp_path / "first.pt")
    for name, tensor in changed.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    save_engine(again, tmp_path / "second.pt", epoch=3)
    first, second = (torch.load(tmp_path / name, weights_only=True) for name in ("first.pt", "second.pt"))
    assert first["epoch"] == 3 and first["model"]["model_args"] == second["model"]["model_args"]
    assert all(torch.equal(first["model"]["state_dict"][k], second["model"]["state_dict"][k]) for k in first["model"]["state_dict"])


def test_upstream_loads_what_is_saved_and_predicts_the_same(changed: Engine, structure: Structure, tmp_path: Path) -> None:
    save_engine(changed, tmp_path / "model.pt")
    theirs = upstream(tmp_path / "model.pt")
    state = theirs.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in changed.network.state_dict().items())
    ours, expected = predictions(changed, structure), theirs.predict_structure(structure)
    assert ours["e"][0] == pytest.approx(float(expected["e"]), abs=5e-6)  # float32 in upstream
    for key in "fsm":
        np.testing.assert_allclose(ours[key].reshape(expected[key].shape), expected[key], atol=2e-5, rtol=2e-5)


def test_upstreams_calculator_takes_what_is_saved(changed: Engine, structure: Structure, tmp_path: Path) -> None:
    save_engine(changed, tmp_path / "model.pt")
    atoms = AseAtomsAdaptor.get_atoms(structure)
    with contextlib.redirect_stdout(io.StringIO()):
        atoms.calc = CHGNetCalculator.from_file(str(tmp_path / "model.pt"), use_device="cpu")
    ours = predictions(changed, structure)
    assert atoms.get_potential_energy() / len(atoms) == pytest.approx(float(ours["e"][0]), abs=5e-6)
    np.testing.assert_allclose(atoms.get_forces(), ours["f"], atol=2e-5)
    stress = ours["s"][0] / 160.21766208  # ASE: eV/Å³
    np.testing.assert_allclose(atoms.get_stress(voigt=False), (stress + stress.T) / 2, atol=2e-6)


def test_references_come_from_upstreams_place_where_the_exact_ones_are_of_another_model(changed: Engine, tmp_path: Path) -> None:
    """As after somebody changed the references of a file with upstream's tools."""
    save_engine(changed, tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["model"]["state_dict"]["composition_model.fc.weight"] += 1
    torch.save(content, tmp_path / "edited.pt")
    expected = content["model"]["state_dict"]["composition_model.fc.weight"].double().flatten()
    assert torch.equal(load_engine(tmp_path / "edited.pt").references, expected)


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"update_angle": False}, "update_angle = False, and the engine computes True"),
        ({"atom_fea_dim": 32}, "atom_fea_dim = 32, and the engine computes 64"),
        ({"gMLP_norm": "batch"}, "gMLP_norm = batch, and the engine computes layer or None"),
        ({"is_intensive": False}, "is_intensive = False, and the engine computes True"),
        ({"mlp_first": False}, "mlp_first = False, and the engine computes True"),
        ({"bond_graph_cutoff": 4}, "bond_graph_cutoff = 4, and the engine computes 3.0"),
        ({"atom_graph_cutoff": 7}, "reaches 7 Å, and xfunc's graphs reach 6 Å"),
        *(({"cutoff_coeff": p}, f"cutoff_coeff = {p}, and the engine computes whole numbers from 1") for p in (5.5, 0, -8, None, True, "8")),
        ({"non_linearity": "gelu"}, "non_linearity = gelu, and the engine computes silu"),
    ],
    ids=str,
)
def test_network_that_the_engine_does_not_compute_is_refused(change: dict, sentence: str, tmp_path: Path) -> None:
    content = torch.load(shipped_checkpoint("0.3.0"), map_location="cpu", weights_only=True)
    content["model"]["model_args"] |= change
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=rf"odd\.pt holds a CHGNet .*{sentence}: choose a network like 0\.3\.0"):
        load_engine(tmp_path / "odd.pt")


@pytest.mark.parametrize("change", [{"n_conv": 3}, {"num_radial": 9}, {"atom_graph_cutoff": "6"}], ids=str)
def test_arguments_that_do_not_fit_the_weights_are_refused(change: dict, tmp_path: Path) -> None:
    content = torch.load(shipped_checkpoint("0.3.0"), map_location="cpu", weights_only=True)
    content["model"]["model_args"] |= change
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"odd\.pt is no CHGNet checkpoint"):
        load_engine(tmp_path / "odd.pt")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["site_wise.weight", "composition_model.fc.weight"])
def test_weights_that_are_no_numbers_are_refused(name: str, number: float, tmp_path: Path) -> None:
    content = torch.load(shipped_checkpoint("0.3.0"), map_location="cpu", weights_only=True)
    content["model"]["state_dict"][name][0, 3] = number
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"odd\.pt holds a number that is not finite in (site_wise\.weight|references): choose"):
        load_engine(tmp_path / "odd.pt")


def test_references_of_another_shape_are_refused(tmp_path: Path) -> None:
    content = torch.load(shipped_checkpoint("0.3.0"), map_location="cpu", weights_only=True)
    content["model"]["state_dict"]["composition_model.fc.weight"] = torch.zeros(1, 95)
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"odd\.pt is no CHGNet checkpoint"):
        load_engine(tmp_path / "odd.pt")


@pytest.mark.parametrize("content", [[1, 2], {"model": None}, {"model": {"state_dict": {}, "model_args": {}}}], ids=str)
def test_other_things_that_torch_wrote_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"other\.pt is no CHGNet checkpoint"):
        load_engine(tmp_path / "other.pt")


@pytest.mark.parametrize("keep", [7, 200])  # of the pickle: a number cut in two (struct.error), and more
def test_a_damaged_checkpoint_is_refused(keep: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(shipped_checkpoint("0.3.0")) as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[: keep if name.endswith("data.pkl") else None])
    with pytest.raises(DataError, match=r"^cut\.pt is damaged or holds more than weights"):
        load_engine(tmp_path / "cut.pt")


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
