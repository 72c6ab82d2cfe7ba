"""The engine against upstream's network, against finite differences, and against itself: outputs and every parameter gradient."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from chgnet.graph import CrystalGraphConverter
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet
from pymatgen.core import Structure
from torch import Tensor

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.fused import calls as compiled
from xfunc_core.model.fused import plain
from xfunc_core.model.fused.library import kernels
from xfunc_core.model.graph_batch import GraphBatch, collate
from xfunc_core.model.graphs import build_graph
from xfunc_core.model.initial import load_pretrained, scratch
from xfunc_core.model.named import SHIPPED, shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.samples import Sample
from xfunc_core.model.weights import load_engine

needs_kernels = pytest.mark.skipif(kernels().library is None, reason=kernels().reason)
GPA = 160.21766208
"""eV/Å³ in GPa."""
WEIGHTS = {"e": 2.0, "f": 1.0, "s": 0.1, "m": 0.1}
Outputs = dict[str, Tensor]


@pytest.fixture(scope="module")
def structures(mixed: list[Sample], elements: Dataset, few: Dataset) -> list[Structure]:
    """One atom that is its own neighbour, crystals without a bond below 3 Å, magnetic iron, and blocks off equilibrium."""
    formulas = elements.table["formula"].tolist()
    bundled = [few.structure(0), few.structure(len(few) - 1)] + [elements.structure(formulas.index(f)) for f in ("Cu", "Na", "Fe", "Cl")]
    return bundled + [block(3, (2, 1, 1)), block(4, (2, 2, 1)), block(5, (2, 2, 2))]


def block(seed: int, cells: tuple[int, int, int]) -> Structure:
    """A sheared, shaken simple cubic block of oxygen and metals, as dense as an oxide."""
    rng = np.random.default_rng(seed)
    points = np.array(list(np.ndindex(*cells))) / cells
    lattice = np.diag(cells) * 2.25 @ (np.eye(3) + rng.normal(0, 0.05, (3, 3)))
    positions = points @ lattice + rng.normal(0, 0.15, points.shape)
    return Structure(lattice, rng.choice([3, 8, 8, 12, 22, 26, 29], len(points)), positions, coords_are_cartesian=True)


@pytest.fixture(scope="module")
def graphs_of(doubled) -> Callable[..., list[CrystalGraph]]:
    """Upstream's graphs with their geometry in float64."""

    def of(structures: Sequence[Structure], cutoff: float = 6) -> list[CrystalGraph]:
        converter = CrystalGraphConverter(atom_graph_cutoff=cutoff, bond_graph_cutoff=3)
        return [exact(doubled(converter(s)), s) for s in structures]

    return of


def exact(graph: CrystalGraph, structure: Structure) -> CrystalGraph:
    """With the digits that upstream drops when it makes a graph."""
    graph.lattice = torch.tensor(structure.lattice.matrix.copy())
    graph.atom_frac_coord = torch.tensor(structure.frac_coords.copy(), requires_grad=True)
    return graph


@pytest.fixture(scope="module", params=list(SHIPPED))
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def upstream(version: str, monkeypatch: pytest.MonkeyPatch) -> CHGNet:
    """Upstream's model in double precision, volumes included, without its float32 references."""
    with contextlib.redirect_stdout(io.StringIO()):
        model = CHGNet.load(model_name=version, use_device="cpu", verbose=False).double()
    model.composition_model = None
    monkeypatch.setitem(CHGNet._compute.__globals__, "TORCH_DTYPE", torch.float64)
    return model


@pytest.fixture
def engine(version: str) -> Engine:
    """The same checkpoint in double precision, without references."""
    engine = load_engine(shipped_checkpoint(version)).double()
    engine.references.zero_()
    return engine


def upstream_outputs(model: CHGNet, graphs: Sequence[CrystalGraph]) -> Outputs:
    out = model(graphs, task="efsm")
    return {"e": out["e"], "f": torch.cat(out["f"]), "s": torch.stack(out["s"]), "m": torch.cat(out["m"])}


def loss_of(out: Outputs) -> Tensor:
    """Squared distance from made-up labels, the same for every model."""
    rng = np.random.default_rng(0)
    labels = {key: torch.tensor(rng.normal(size=out[key].shape), dtype=out[key].dtype) for key in WEIGHTS}
    return sum(weight * ((out[key] - labels[key]) ** 2).mean() for key, weight in WEIGHTS.items())


def gradients_of(model: CHGNet, out: Outputs) -> dict[str, np.ndarray]:
    """Gradient of the loss by parameter; parameters that do not matter are left out."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss_of(out), parameters, allow_unused=True)
    return {name: gradient.double().numpy() for name, gradient in zip(names, found, strict=True) if gradient is not None}


def arrays(out: Outputs) -> dict[str, np.ndarray]:
    return {key: value.detach().double().numpy() for key, value in out.items()}


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


# --- the same as upstream ---------------------------------------------------------------------


def test_double_precision_gives_what_upstream_gives(structures, engine: Engine, upstream: CHGNet, graphs_of, batch_of) -> None:
    graphs = graphs_of(structures, engine.atom_graph_cutoff)
    ours, theirs = engine(batch_of(graphs)), upstream_outputs(upstream, graphs)
    for key in "efsm":
        assert relative(arrays(ours)[key], arrays(theirs)[key]) < 1e-11, key
    gradients, expected = gradients_of(engine.network, ours), gradients_of(upstream, theirs)
    assert set(gradients) == set(expected)  # of the last angle layer there are none
    assert max(relative(gradients[name], expected[name]) for name in expected) < 1e-9


@pytest.mark.parametrize("uses_kernels", [True, False])
def test_single_precision_errs_no_more_than_upstream_does(
    structures, version: str, upstream: CHGNet, engine: Engine, graphs_of, batch_of, uses_kernels: bool
) -> None:
    graphs = graphs_of(structures, engine.atom_graph_cutoff)
    truth = engine(batch_of(graphs))
    single, theirs = load_engine(shipped_checkpoint(version)), copy.deepcopy(upstream).float()
    single.uses_kernels = uses_kernels
    single.references.zero_()
    ours = single(batch_of(graphs, torch.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHGNet._compute.__globals__, "TORCH_DTYPE", torch.float32)
        upstreams = upstream_outputs(theirs, [as_single(graph) for graph in graphs])
    exact = arrays(truth)
    for key in "efsm":
        # Magnetic moments and 0.2.0 err by a few roundings (3e-7), where chance decides who errs more.
        assert relative(arrays(ours)[key], exact[key]) < max(1.2 * relative(arrays(upstreams)[key], exact[key]), 1e-6), key
    wanted = gradients_of(engine.network, truth)
    errors = [
        np.array([relative(found[name], wanted[name]) for name in wanted])
        for found in (gradients_of(single.network, ours), gradients_of(theirs, upstreams))
    ]
    assert np.median(errors[0]) < 1.2 * np.median(errors[1])
    assert errors[0].max() < 1.2 * errors[1].max()


def as_single(graph: CrystalGraph) -> CrystalGraph:
    graph = copy.copy(graph)
    for name in ("atom_frac_coord", "lattice", "neighbor_image"):
        setattr(graph, name, getattr(graph, name).detach().float())
    graph.atom_frac_coord.requires_grad_()
    return graph


@needs_kernels
@pytest.mark.parametrize("version", ["0.3.0", "r2scan"], indirect=True)
def test_kernels_give_in_double_precision_what_plain_torch_gives(structures, engine: Engine) -> None:
    """Where the network itself would not use them: what is left are roundings, some amplified where a gradient nearly cancels."""
    found = []
    for call in (compiled.call, plain.call):
        engine._call = lambda vectors, call=call: call
        out = engine(our_batch(structures))
        found.append((arrays(out), gradients_of(engine.network, out)))
    for ours, theirs, largest in zip(*found, (1e-13, 1e-12), strict=True):
        assert ours.keys() == theirs.keys()
        assert max(relative(ours[name], theirs[name]) for name in theirs) < largest


@pytest.fixture
def kernels_run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The compiled kernels that have run so far, by name."""
    names, call = [], compiled.call
    monkeypatch.setattr(compiled, "call", lambda kernel, *args, **tensors: (names.append(kernel), call(kernel, *args, **tensors)))
    return names


@needs_kernels
@pytest.mark.parametrize("made", [lambda: load_pretrained(), lambda: scratch(np.zeros(94), 0), lambda: load_engine(shipped_checkpoint("r2scan"))])
def test_single_precision_on_a_processor_runs_the_compiled_kernels(made: Callable[[], Engine], structures, kernels_run: list[str]) -> None:
    engine = made()
    assert engine.kernels.library is not None and engine.kernels.reason == ""
    gradients_of(engine.network, engine(our_batch(structures[:2], torch.float32)))
    assert set(kernels_run) == {"forward", "backward", "double_backward"}


def test_everything_else_runs_in_plain_torch(structures, kernels_run: list[str]) -> None:
    plainly, without_norm = load_pretrained(), load_engine(shipped_checkpoint("0.2.0"))
    plainly.uses_kernels = False
    assert without_norm.kernels.library is None and "no norm in its gates" in without_norm.kernels.reason
    for engine, dtype in ((plainly, torch.float32), (without_norm, torch.float32), (double(), torch.float64)):
        gradients_of(engine.network, engine(our_batch(structures[:2], dtype)))
    assert kernels_run == []


def test_engine_reads_the_graphs_of_xfunc(structures, graphs_of, batch_of) -> None:
    engine = double()
    ours, theirs = engine(our_batch(structures)), engine(batch_of(graphs_of(structures)))
    for key in "efsm":
        assert relative(arrays(ours)[key], arrays(theirs)[key]) < 1e-12, key


def test_bonds_beyond_the_reach_of_a_network_change_nothing(structures, graphs_of, batch_of) -> None:
    engine = double("0.2.0")  # reaches 5 Å
    near, far = engine(batch_of(graphs_of(structures, 5))), engine(batch_of(graphs_of(structures, 6)))
    for key in "efsm":
        assert relative(arrays(far)[key], arrays(near)[key]) < 1e-12, key


def double(version: str = "0.3.0") -> Engine:
    return load_engine(shipped_checkpoint(version)).double()


def our_batch(structures: Sequence[Structure], dtype: torch.dtype = torch.float64) -> GraphBatch:
    return collate([build_graph(np.array(s.atomic_numbers), s.lattice.matrix, s.cart_coords) for s in structures], dtype)


# --- finite differences -----------------------------------------------------------------------


def total_energies(engine: Engine, structures: Sequence[Structure]) -> np.ndarray:
    """eV, shape (S,)."""
    with torch.no_grad():
        return engine(our_batch(structures), "e")["e"].numpy() * [len(s) for s in structures]


def test_forces_are_the_slope_of_the_energy(structures) -> None:
    engine, h = double(), 1e-5
    first = np.cumsum([0, *(len(s) for s in structures[:-1])])
    forces = engine(our_batch(structures))["f"].detach().numpy()[first]
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            moved = [s.copy() for s in structures]
            for s in moved:
                s.translate_sites([0], sign * h * np.eye(3)[axis], frac_coords=False, to_unit_cell=False)
            energies.append(total_energies(engine, moved))
        np.testing.assert_allclose(forces[:, axis], (energies[1] - energies[0]) / (2 * h), atol=2e-7, rtol=0)


def test_stress_is_the_slope_of_the_energy_under_strain(structures) -> None:
    engine, h = double(), 1e-5
    stress = engine(our_batch(structures))["s"].detach().numpy()
    volume = np.array([s.volume for s in structures])
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[i, j] = h
        strained = [
            [Structure(s.lattice.matrix @ (np.eye(3) + sign * strain), s.species, s.frac_coords) for s in structures] for sign in (1, -1)
        ]
        slope = (total_energies(engine, strained[0]) - total_energies(engine, strained[1])) / (2 * h) / volume * GPA
        np.testing.assert_allclose(stress[:, i, j], slope, atol=5e-6, rtol=0)  # h² times third derivatives of 1e4 GPa


# --- batches, tasks and what is kept ----------------------------------------------------------


def test_a_batch_predicts_what_its_structures_do_alone(structures) -> None:
    engine = double()
    together, alone = engine(our_batch(structures)), [engine(our_batch([s])) for s in structures]
    assert any(our_batch([s]).n_short == 0 for s in structures)
    for key in "efsm":
        np.testing.assert_allclose(np.concatenate([arrays(out)[key] for out in alone]), arrays(together)[key], atol=1e-10, rtol=0)


def test_energies_are_read_off_the_references(structures) -> None:
    engine, batch = double(), our_batch(structures)
    before = arrays(engine(batch))
    shift = np.linspace(-70, 0, 94)
    engine.references += torch.tensor(shift)
    after = arrays(engine(batch))
    fractions = [[s.composition.get_atomic_fraction(z) for z in range(1, 95)] for s in structures]
    np.testing.assert_allclose(after["e"] - before["e"], np.array(fractions) @ shift, atol=1e-12)
    np.testing.assert_array_equal(after["f"], before["f"])


@pytest.mark.parametrize("task", ["e", "ef", "em", "efs", "efsm"])
def test_without_gradients_the_same_is_computed_and_nothing_kept(structures, task: str) -> None:
    engine, batch = double(), our_batch(structures)
    kept = engine(batch)
    with torch.no_grad():
        out = engine(batch, task)
    assert set(out) == set(task)
    for key in task:
        assert kept[key].requires_grad and not out[key].requires_grad
        np.testing.assert_allclose(out[key].numpy(), kept[key].detach().numpy(), rtol=1e-12, atol=1e-12)
    assert engine.training and batch.bond_vector.requires_grad is False


def test_references_learn_only_if_asked_to(structures) -> None:
    for trains in (False, True):
        engine = load_engine(shipped_checkpoint("0.3.0"), trainable_references=trains)
        assert ("references" in dict(engine.named_parameters())) is trains
    batch = our_batch(structures, torch.float32)
    [gradient] = torch.autograd.grad(engine(batch, "e")["e"].sum(), engine.references)
    np.testing.assert_allclose(gradient.numpy(), batch.composition.sum(0).numpy(), rtol=1e-12)


@pytest.mark.parametrize("task", ["", "x", "energy", "efx"])
def test_a_task_that_is_none_is_refused(structures, task: str) -> None:
    with pytest.raises(ValueError, match=f"the engine computes e, f, s and m, not '{task}'"):
        double()(our_batch(structures[:1]), task)


@pytest.mark.parametrize("trains", [False, True])
def test_references_stay_exact_whatever_the_network_is_brought_to(trains: bool, structures) -> None:
    exact = np.linspace(-70, 0, 94) / 3
    engine = Engine(load_pretrained().network, exact, trains)
    if trains:
        engine(our_batch(structures[:2], torch.float32), "e")["e"].sum().backward(inputs=[engine.references])
    for change in (lambda e: e.half(), lambda e: e.double(), lambda e: e.float(), lambda e: e.to("cpu", torch.float32)):
        change(engine)
        np.testing.assert_array_equal(engine.references.detach().numpy(), exact)
        assert not trains or engine.references.grad.dtype == torch.float64
    assert next(engine.network.parameters()).dtype == torch.float32
    assert engine.to("meta").references.device.type == "meta"


def test_a_step_waits_for_no_value() -> None:
    """On torch's device without values anything that waits for one, as indexing by a mask does, is an error."""
    engine = load_engine(shipped_checkpoint("0.3.0")).to("meta")
    out = engine(our_batch([block(3, (2, 1, 1)), block(4, (2, 2, 1))], torch.float32).to("meta"))
    sum(value.double().sum() for value in out.values()).backward(
        inputs=[p for n, p in engine.network.named_parameters() if "angle_layers.2" not in n]
    )
    assert {key: tuple(value.shape) for key, value in out.items()} == {"e": (2,), "f": (6, 3), "s": (2, 3, 3), "m": (6,)}
