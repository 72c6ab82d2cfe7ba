"""ReferencedCHGNet against upstream's CHGNet, against finite differences, and its checkpoints."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from chgnet.model import CHGNet

from xfunc_core.errors import DataError
from xfunc_core.model.chgnet import ReferencedCHGNet, load_checkpoint, load_pretrained, scratch
from xfunc_core.model.samples import Sample

PRETRAINED = Path(CHGNet.load.__globals__["module_dir"]).parent / "pretrained"
GPA = 160.21766208
"""eV/Å³ in GPa."""


@pytest.fixture(scope="module")
def upstream() -> CHGNet:
    return CHGNet.load(use_device="cpu", verbose=False)


def upstream_predictions(model: CHGNet, graphs) -> dict[str, np.ndarray]:
    out = model(graphs, task="efsm")
    joined = {"e": out["e"], "f": torch.cat(out["f"]), "s": torch.stack(out["s"]), "m": torch.cat(out["m"])}
    return {key: value.detach().numpy() for key, value in joined.items()}


# --- the same as upstream ---------------------------------------------------------------------


def test_pretrained_predicts_what_upstream_does_in_single_precision(fresh, mixed: list[Sample], upstream: CHGNet, forward) -> None:
    ours, theirs = forward(fresh(), mixed), upstream_predictions(upstream, [s.graph for s in mixed])
    # The same float32 network in the same order: only the energy differs, by upstream's float32 references of up
    # to 10 eV (spacing 1e-6 eV).
    np.testing.assert_allclose(ours["e"], theirs["e"], atol=3e-6, rtol=0)
    for key in "fsm":
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-6, rtol=0)
    assert ours["e"].dtype == np.float64


def test_pretrained_predicts_what_upstream_does_in_double_precision(fresh, mixed: list[Sample], upstream: CHGNet, forward, doubled) -> None:
    graphs = [doubled(s.graph) for s in mixed]
    theirs = copy.deepcopy(upstream).double()
    theirs.composition_model.float()  # upstream casts compositions to float32 whatever the model is
    ours, theirs = forward(fresh().double(), mixed, graphs), upstream_predictions(theirs, graphs)
    np.testing.assert_allclose(ours["e"], theirs["e"], atol=1e-6, rtol=0)  # limited by those float32 references
    for key in "fsm":
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-12, rtol=0)


def test_a_batch_predicts_what_its_structures_do_alone(fresh, mixed: list[Sample], forward, doubled) -> None:
    model = fresh().double()
    graphs = [doubled(s.graph) for s in mixed]
    together = forward(model, mixed, graphs)
    alone = [forward(model, [s], [g]) for s, g in zip(mixed, graphs, strict=True)]
    for key in "efsm":  # float64: sums in another order
        np.testing.assert_allclose(np.concatenate([a[key] for a in alone]), together[key], atol=1e-10, rtol=0)


def test_energies_are_read_off_the_references(fresh, mixed: list[Sample], forward) -> None:
    model = fresh()
    before = forward(model, mixed)
    shift = np.linspace(-70, 0, 94)
    model.references += torch.tensor(shift)
    after = forward(model, mixed)
    np.testing.assert_allclose(after["e"] - before["e"], np.array([s.composition.numpy() for s in mixed]) @ shift, atol=1e-12)
    np.testing.assert_array_equal(after["f"], before["f"])


@pytest.mark.parametrize(("task", "keys"), [("e", "e"), ("ef", "ef"), ("em", "em"), ("efs", "efs")])
def test_only_what_is_asked_for_is_computed(fresh, mixed: list[Sample], task: str, keys: str) -> None:
    composition = torch.stack([s.composition for s in mixed])
    assert set(fresh()([s.graph for s in mixed], composition, task)) == set(keys)


def test_references_are_a_parameter_only_if_they_train(fresh) -> None:
    network = fresh().network
    frozen, trains = (ReferencedCHGNet(network, np.zeros(94), flag) for flag in (False, True))
    assert {name for name, _ in trains.named_parameters()} - {name for name, _ in frozen.named_parameters()} == {"references"}
    assert sum(p.numel() for p in trains.parameters()) == 412_525  # as published, references included


def test_scratch_depends_on_its_seed_only() -> None:
    first, again, other = (scratch(np.zeros(94), seed).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["atom_embedding.embedding.weight"], other["atom_embedding.embedding.weight"])
    pretrained = load_pretrained().network.state_dict()
    assert {name: value.shape for name, value in first.items()} == {name: value.shape for name, value in pretrained.items()}


# --- finite differences -----------------------------------------------------------------------


def total_energies(model: ReferencedCHGNet, samples: list[Sample], graphs) -> np.ndarray:
    """eV, shape (B,)."""
    composition = torch.stack([s.composition for s in samples])
    return model(graphs, composition, "e")["e"].detach().numpy() * [s.n_atoms for s in samples]


def test_forces_are_the_slope_of_the_energy(fresh, mixed: list[Sample], forward, doubled) -> None:
    model, h = fresh().double(), 1e-5
    graphs = [doubled(s.graph) for s in mixed]
    predicted = np.split(forward(model, mixed, graphs)["f"], np.cumsum([s.n_atoms for s in mixed])[:-1])
    for axis in range(3):
        energy = []
        for sign in (1, -1):
            moved = [doubled(s.graph) for s in mixed]
            for graph in moved:
                step = torch.zeros(3, dtype=torch.float64)
                step[axis] = sign * h
                with torch.no_grad():
                    graph.atom_frac_coord[0] += step @ torch.linalg.inv(graph.lattice)
            energy.append(total_energies(model, mixed, moved))
        slope = -(energy[0] - energy[1]) / (2 * h)
        # Central differences err by h² times the third derivative, up to 1e3 eV/Å³ where three atoms are in line.
        np.testing.assert_allclose([f[0, axis] for f in predicted], slope, atol=1e-7, rtol=0)


def test_stress_is_the_slope_of_the_energy_under_strain(fresh, mixed: list[Sample], forward, doubled) -> None:
    model, h = fresh().double(), 1e-5
    graphs = [doubled(s.graph) for s in mixed]
    predicted = forward(model, mixed, graphs)["s"]
    volume = np.array([abs(np.linalg.det(g.lattice.detach().numpy())) for g in graphs])
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        energy = []
        for sign in (1, -1):
            strain = torch.eye(3, dtype=torch.float64)
            strain[i, j] += sign * h
            strained = [doubled(s.graph) for s in mixed]
            for graph in strained:
                graph.lattice = graph.lattice @ strain
            energy.append(total_energies(model, mixed, strained))
        slope = (energy[0] - energy[1]) / (2 * h) / volume * GPA
        # Central differences err by h² times the third derivative, up to 1e4 GPa where three atoms are in line
        # (bcc iron: the error falls with h²); upstream's float32 volume adds 6e-8 of 10 GPa.
        np.testing.assert_allclose(predicted[:, i, j], slope, atol=2e-6, rtol=0)


# --- checkpoints ------------------------------------------------------------------------------


@pytest.fixture
def saved(fresh, tmp_path: Path) -> tuple[ReferencedCHGNet, Path]:
    """A model unlike the pretrained one, and its file."""
    model = fresh()
    model.references += torch.linspace(-70, 3, 94, dtype=torch.float64)
    with torch.no_grad():
        model.network.mlp.layers[0].weight += 0.01
    model.save(tmp_path / "model.pt", epoch=3)
    return model, tmp_path / "model.pt"


def test_upstream_loads_what_was_saved_and_predicts_the_same(saved, mixed: list[Sample], forward) -> None:
    model, path = saved
    theirs = CHGNet.from_file(str(path))
    ours, theirs = forward(model, mixed), upstream_predictions(theirs, [s.graph for s in mixed])
    np.testing.assert_allclose(ours["e"], theirs["e"], atol=2e-5, rtol=0)  # float32 at 80 eV is 8e-6 eV apart
    for key in "fsm":
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-6, rtol=0)


def test_saved_model_is_loaded_again(saved, mixed: list[Sample], forward) -> None:
    model, path = saved
    again = load_checkpoint(path)
    state, loaded = model.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(state[name], loaded[name]) for name in state)
    np.testing.assert_allclose(again.references.numpy(), model.references.numpy(), rtol=6e-8)  # float32 in the file
    assert again.references.dtype == torch.float64


def test_upstreams_r2scan_checkpoint_is_loaded(mixed: list[Sample], forward) -> None:
    [path] = (PRETRAINED / "r2scan").glob("*.tar")
    theirs = CHGNet.load(model_name="r2scan", use_device="cpu", verbose=False)
    ours, theirs = forward(load_checkpoint(path), mixed), upstream_predictions(theirs, [s.graph for s in mixed])
    np.testing.assert_allclose(ours["e"], theirs["e"], atol=1e-5, rtol=0)  # float32 references of up to 70 eV
    np.testing.assert_allclose(ours["f"], theirs["f"], atol=1e-6, rtol=0)


def test_network_made_for_other_graphs_is_refused() -> None:
    [path] = (PRETRAINED / "0.2.0").glob("*.tar")  # reaches 5 Å; on graphs of 6 Å it would predict nonsense
    with pytest.raises(DataError, match=r"trained with atom_graph_cutoff = 5, and xfunc needs 6\.0"):
        load_checkpoint(path)


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
            load_checkpoint(tmp_path / name)
    assert not mark.exists()
    torch.load(tmp_path / "zip.pt", weights_only=False)
    assert mark.exists()  # the trap works


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_truncated_file_is_refused(saved, tmp_path: Path, share: float) -> None:
    content = saved[1].read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut\.pt was not written by torch, or is truncated"):
        load_checkpoint(tmp_path / "cut.pt")


@pytest.mark.parametrize("content", [[1, 2], {"weights": torch.ones(3)}, {"model": {"state_dict": {}, "model_args": {}}}, {"model": None}, torch.ones(2)], ids=str)
def test_other_things_that_torch_wrote_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"other\.pt is no CHGNet checkpoint"):
        load_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize("change", [{"n_conv": 3}, {"no_such_layer": "x", "non_linearity": "none"}, {"atom_fea_dim": "64"}], ids=str)
def test_arguments_that_do_not_fit_the_weights_are_refused(saved, tmp_path: Path, change: dict) -> None:
    content = torch.load(saved[1], weights_only=True)
    content["model"]["model_args"] |= change
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"odd\.pt is no CHGNet checkpoint"):
        load_checkpoint(tmp_path / "odd.pt")


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
            load_checkpoint(small)


def test_text_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("energies\n")
    with pytest.raises(DataError, match=r"notes\.txt was not written by torch"):
        load_checkpoint(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="No such file or directory.*check the path"):
        load_checkpoint(tmp_path / "missing.pt")
    with pytest.raises(DataError, match="Is a directory"):
        load_checkpoint(tmp_path)
