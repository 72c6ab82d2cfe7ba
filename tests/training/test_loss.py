"""The loss against a hand formula, absent labels, and its gradient against finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from xfunc_core.model.graph_batch import collate
from xfunc_core.model.samples import Sample
from xfunc_core.training.loss import QUANTITY_OF, ErrorSums, Targets, label_counts, teaches, weighted_huber, weights
from xfunc_core.training.settings import FinetuneSettings

PAPER = {"e": 3.0, "f": 1.0, "s": 0.1, "m": 1.0}
NAN = math.nan


def huber(difference: float, delta: float = 0.1) -> float:
    """Square up to delta, linear beyond."""
    return 0.5 * difference**2 if abs(difference) <= delta else delta * (abs(difference) - 0.5 * delta)


def targets(e, f, s, m) -> Targets:
    return Targets(*(torch.tensor(x, dtype=torch.float64) for x in (e, f, s, m)))


def counted(labels: Targets) -> dict[str, int]:
    return {key: int(torch.isfinite(getattr(labels, key)).sum()) for key in QUANTITY_OF}


def loss_of(predicted: dict[str, torch.Tensor], labels: Targets, weight: dict[str, float] = PAPER) -> torch.Tensor:
    return weighted_huber(predicted, labels, weight, 0.1, counted(labels))


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
    assert float(loss_of(zeros(labels), labels)) == pytest.approx(expected, rel=1e-12)
    assert float(loss_of(zeros(labels), labels, PAPER | {"e": 0.0, "f": 0.0, "s": 0.0})) == pytest.approx((huber(0.09) + huber(0.5)) / 2)


def test_each_quantity_is_averaged_over_the_labels_it_has() -> None:
    labels = targets([0.05, NAN, NAN], [[0.02, NAN, 0.3]], [[[NAN] * 3] * 3], [NAN])
    predicted = zeros(labels)
    loss = loss_of(predicted, labels)
    assert float(loss) == pytest.approx(3 * huber(0.05) + (huber(0.02) + huber(0.3)) / 2)
    loss.backward()
    np.testing.assert_allclose(predicted["e"].grad, [-3 * 0.05, 0, 0])
    np.testing.assert_allclose(predicted["f"].grad, [[-0.02 / 2, 0, -0.1 / 2]])  # linear beyond δ
    assert predicted["s"].grad is None and predicted["m"].grad is None


def test_batch_without_labels_has_no_loss_and_no_gradient() -> None:
    labels = targets([NAN], [[NAN] * 3], [[[NAN] * 3] * 3], [NAN])
    loss = loss_of(zeros(labels), labels)
    assert float(loss) == 0.0
    assert not loss.requires_grad


def test_loss_is_torchs_huber_loss_of_the_labels_that_are_there() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = {"e": (7,), "f": (30, 3), "s": (7, 3, 3), "m": (30,)}
    predicted, labels = ({key: torch.randn(shape, generator=generator) * 0.2 for key, shape in shapes.items()} for _ in range(2))
    for label in labels.values():
        label[torch.rand(label.shape, generator=generator) < 0.3] = NAN
    expected = 0.0
    for key, factor in PAPER.items():
        there = torch.isfinite(labels[key])
        expected += factor * float(torch.nn.functional.huber_loss(predicted[key][there], labels[key][there], delta=0.1))
    assert float(loss_of(predicted, Targets(**labels))) == pytest.approx(expected, rel=1e-6)  # float32


def test_parts_of_a_batch_add_up_to_its_loss(samples: dict[str, list[Sample]], unlabelled) -> None:
    batch = [unlabelled(samples["train"][0], "energy"), *samples["train"][1:4], unlabelled(samples["train"][4], "forces", "stress")]
    counts = dict(zip("efsm", label_counts(batch).sum(0).tolist(), strict=True))
    assert counts == {"e": 4, "f": 3 * sum(s.n_atoms for s in batch[:4]), "s": 36, "m": 0}

    def loss(part: list[Sample]) -> float:
        labels = Targets.of(part, torch.device("cpu"))
        return float(weighted_huber(zeros(labels), labels, PAPER, 0.1, counts))

    assert loss(batch[:2]) + loss(batch[2:3]) + loss(batch[3:]) == pytest.approx(loss(batch), rel=1e-6)
    assert loss(batch) == pytest.approx(float(loss_of(zeros(t := Targets.of(batch, torch.device("cpu"))), t)), rel=1e-12)


def test_frames_without_energy_add_nothing_to_the_energys_gradient(fresh, samples: dict[str, list[Sample]], unlabelled) -> None:
    model, labelled = fresh(), samples["train"][:2]
    blank = [unlabelled(s, "energy", "forces", "stress") for s in samples["train"][2:4]]

    def gradient(batch: list[Sample]) -> np.ndarray:
        loss = loss_of(model(collate([s.graph for s in batch])), Targets.of(batch, torch.device("cpu")))
        parameters = list(model.network.mlp.parameters())
        return np.concatenate([g.numpy().ravel() for g in torch.autograd.grad(loss, parameters)])

    alone = gradient(labelled)
    # float32, the forward pass sums over more atoms
    np.testing.assert_allclose(gradient([*labelled, *blank]), alone, atol=1e-5 * np.abs(alone).max())


def test_parameter_gradients_agree_with_finite_differences(fresh, samples: dict[str, list[Sample]]) -> None:
    """Through forces and stress, too: the double backward is where mistakes hide."""
    model, batch = fresh().double(), samples["train"][:3]
    graphs = collate([s.graph for s in batch], torch.float64)
    labels = Targets(*(getattr(Targets.of(batch, torch.device("cpu")), key).double() for key in "efsm"))
    labels = replace(labels, e=labels.e + 2.0, m=torch.full_like(labels.m, 0.3))

    def loss() -> torch.Tensor:
        return loss_of(model(graphs), labels)

    net = model.network
    parameters = [
        net.atom_embedding.embedding.weight,
        net.bond_embedding.weight,
        net.angle_embedding.weight,
        net.atom_conv_layers[0].mlp_out.layers[1].weight,
        net.site_wise.weight,
        net.mlp.layers[0].weight,
    ]
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
