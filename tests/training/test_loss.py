"""The loss against a hand formula, absent labels, and its gradient against finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from xfunc_core.model.samples import Sample
from xfunc_core.training.loss import ErrorSums, Targets, teaches, weighted_huber, weights
from xfunc_core.training.settings import FinetuneSettings

PAPER = {"e": 3.0, "f": 1.0, "s": 0.1, "m": 1.0}
NAN = math.nan


def huber(difference: float, delta: float = 0.1) -> float:
    """Square up to delta, linear beyond."""
    return 0.5 * difference**2 if abs(difference) <= delta else delta * (abs(difference) - 0.5 * delta)


def targets(e, f, s, m) -> Targets:
    return Targets(*(torch.tensor(x, dtype=torch.float64) for x in (e, f, s, m)))


def zeros(like: Targets) -> dict[str, torch.Tensor]:
    return {key: torch.zeros_like(getattr(like, key), requires_grad=True) for key in "efsm"}


def test_weights_are_the_papers() -> None:
    assert weights(FinetuneSettings("few")) == PAPER


def test_loss_is_the_papers_weighted_huber() -> None:
    labels = targets([0.05, -4.0], [[0.02, -0.3, 0.0]], [[[2.0, 0.0, 0.0], [0.0, 0.05, 0.0], [0.0, 0.0, 0.0]]] * 2, [0.09, 0.5])
    expected = (
        3.0 * (huber(0.05) + huber(4.0)) / 2
        + 1.0 * (huber(0.02) + huber(0.3) + 0) / 3
        + 0.1 * (huber(2.0) + huber(0.05)) / 9
        + 1.0 * (huber(0.09) + huber(0.5)) / 2
    )
    assert float(weighted_huber(zeros(labels), labels, PAPER, 0.1)) == pytest.approx(expected, rel=1e-12)
    assert float(weighted_huber(zeros(labels), labels, PAPER | {"e": 0.0, "f": 0.0, "s": 0.0}, 0.1)) == pytest.approx((huber(0.09) + huber(0.5)) / 2)


def test_each_quantity_is_averaged_over_the_labels_it_has() -> None:
    labels = targets([0.05, NAN, NAN], [[0.02, NAN, 0.3]], [[[NAN] * 3] * 3], [NAN])
    predicted = zeros(labels)
    loss = weighted_huber(predicted, labels, PAPER, 0.1)
    assert float(loss) == pytest.approx(3 * huber(0.05) + (huber(0.02) + huber(0.3)) / 2)
    loss.backward()
    np.testing.assert_allclose(predicted["e"].grad, [-3 * 0.05, 0, 0])
    np.testing.assert_allclose(predicted["f"].grad, [[-0.02 / 2, 0, -0.1 / 2]])  # linear beyond δ
    assert predicted["s"].grad is None and predicted["m"].grad is None


def test_batch_without_labels_has_no_loss_and_no_gradient() -> None:
    labels = targets([NAN], [[NAN] * 3], [[[NAN] * 3] * 3], [NAN])
    loss = weighted_huber(zeros(labels), labels, PAPER, 0.1)
    assert float(loss) == 0.0
    assert not loss.requires_grad


def test_frames_without_energy_add_nothing_to_the_energys_gradient(fresh, samples: dict[str, list[Sample]], unlabelled) -> None:
    model, labelled = fresh(), samples["train"][:2]
    blank = [unlabelled(s, "energy", "forces", "stress") for s in samples["train"][2:4]]

    def gradient(batch: list[Sample]) -> np.ndarray:
        out = model([s.graph for s in batch], torch.stack([s.composition for s in batch]))
        loss = weighted_huber(out, Targets.of(batch, torch.device("cpu")), PAPER, 0.1)
        parameters = list(model.network.mlp.parameters())
        return np.concatenate([g.numpy().ravel() for g in torch.autograd.grad(loss, parameters)])

    alone = gradient(labelled)
    # float32, the forward pass sums over more atoms
    np.testing.assert_allclose(gradient([*labelled, *blank]), alone, atol=1e-5 * np.abs(alone).max())


def test_parameter_gradients_agree_with_finite_differences(fresh, samples: dict[str, list[Sample]]) -> None:
    """Through forces and stress, too: the double backward is where mistakes hide."""
    model, batch = fresh().double(), samples["train"][:3]
    graphs = [doubled(s.graph) for s in batch]
    labels = Targets(*(getattr(Targets.of(batch, torch.device("cpu")), key).double() for key in "efsm"))
    labels = replace(labels, e=labels.e + 2.0, m=torch.full_like(labels.m, 0.3))
    composition = torch.stack([s.composition for s in batch])

    def loss() -> torch.Tensor:
        return weighted_huber(model(graphs, composition), labels, PAPER, 0.1)

    net = model.network
    parameters = [net.atom_embedding.embedding.weight, net.bond_embedding.weight, net.angle_embedding.weight, net.atom_conv_layers[0].mlp_out.layers[1].weight, net.site_wise.weight, net.mlp.layers[0].weight]
    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        place = np.unravel_index(int(gradient.abs().argmax()), gradient.shape)
        h, value = 1e-6, float(parameter[place])
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[place] = value + sign * h
            sides.append(float(loss()))
        with torch.no_grad():
            parameter[place] = value
        slope = (sides[0] - sides[1]) / (2 * h)
        # float64 rounding of a loss of order 1 over 2h is 1e-10, the third derivative adds h² = 1e-12 times it
        assert float(gradient[place]) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        assert abs(slope) > 1e-4  # so that there is something to compare


def doubled(graph):
    """A graph with its geometry in float64."""
    import copy

    graph = copy.copy(graph)
    for name in ("atom_frac_coord", "lattice", "neighbor_image"):
        setattr(graph, name, getattr(graph, name).detach().double())
    graph.atom_frac_coord.requires_grad_()
    return graph


def test_targets_keep_the_order_of_the_samples(samples: dict[str, list[Sample]]) -> None:
    batch = samples["train"][:3]
    labels = Targets.of(batch, torch.device("cpu"))
    assert labels.e.tolist() == [s.energy for s in batch]
    assert labels.e.dtype == torch.float64
    first = batch[0].n_atoms
    assert torch.equal(labels.f[first : first + batch[1].n_atoms], batch[1].forces)
    assert labels.s.shape == (3, 3, 3)
    assert labels.m.shape == (sum(s.n_atoms for s in batch),)


def test_errors_are_counted_label_by_label() -> None:
    sums = ErrorSums()
    assert sums.mae() == {}
    for e, f in (([1.0, NAN], [[1.0, NAN, 2.0]]), ([4.0], [[0.0, 0.0, 0.0]])):
        labels = targets(e, f, [[[NAN] * 3] * 3], [NAN])
        sums.add(zeros(labels), labels)
    assert sums.mae() == {"energy": 2.5, "force": 3.0 / 5}


def test_labels_that_do_not_count_teach_nothing(samples: dict[str, list[Sample]], unlabelled) -> None:
    settings = FinetuneSettings("few")
    batch = samples["train"][:2]
    assert teaches(batch, settings)
    only_energies = [unlabelled(s, "forces", "stress") for s in batch]
    assert teaches(only_energies, settings)
    assert not teaches(only_energies, replace(settings, energy_weight=0.0))
    assert not teaches([unlabelled(s, "energy", "forces", "stress") for s in batch], settings)
