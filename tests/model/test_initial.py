"""The models that training starts from, against upstream's."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet

from xfunc_core.model.initial import load_pretrained, scratch
from xfunc_core.model.network import Engine
from xfunc_core.model.predict import predict
from xfunc_core.model.samples import Sample


def test_pretrained_predicts_what_upstream_does(fresh, mixed: list[Sample], upstream_graphs: list[CrystalGraph]) -> None:
    ours, theirs = predict(fresh(), mixed), CHGNet.load(use_device="cpu", verbose=False).predict_graph(upstream_graphs)
    # Upstream holds references of up to 10 eV in float32 (1e-6 eV apart); angles near 180° amplify the rounding of forces.
    np.testing.assert_allclose(ours.energy, [t["e"] for t in theirs], atol=3e-6, rtol=0)
    np.testing.assert_allclose(ours.forces, np.concatenate([t["f"] for t in theirs]), atol=5e-5, rtol=0)
    assert ours.energy.dtype == np.float64


def test_references_are_a_parameter_only_if_they_train(fresh) -> None:
    network = fresh().network
    frozen, trains = (Engine(network, np.zeros(94), flag) for flag in (False, True))
    assert {name for name, _ in trains.named_parameters()} - {name for name, _ in frozen.named_parameters()} == {"references"}
    assert sum(p.numel() for p in trains.parameters()) == 412_525  # as published, references included


@pytest.mark.parametrize("seed", [0, 7])
def test_scratch_is_what_chgnet_draws(seed: int) -> None:
    ours = scratch(np.zeros(94), seed).network.state_dict()
    shape = {name: value for name, value in load_pretrained().network.model_args.items() if name not in ("composition_model", "version")}
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        _, theirs = (CHGNet(**shape, composition_model=None).state_dict() for _ in range(2))  # the second draw, as it has always been
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_scratch_depends_on_its_seed() -> None:
    first, other = (scratch(np.zeros(94), seed).network.state_dict() for seed in (1, 2))
    assert not torch.equal(first["atom_embedding.embedding.weight"], other["atom_embedding.embedding.weight"])
