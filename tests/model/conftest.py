"""The network in double precision, and structures that mix what can go wrong in a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from chgnet.graph.crystalgraph import CrystalGraph

from xfunc_core.data.dataset import Dataset
from xfunc_core.model.samples import Sample, build_samples

MIXED = ("Cu", "Na", "Fe", "Cl")
"""Elements whose crystals in the bundled set have one, several, magnetic and no close atoms."""


@pytest.fixture(scope="session")
def mixed(few: Dataset, elements: Dataset, one_thread: None) -> list[Sample]:
    """Cells of 1 to 8 atoms: compounds off equilibrium, a copper atom that is its own neighbour, magnetic iron."""
    formulas = elements.table["formula"].tolist()
    samples = build_samples(few, [0, len(few) - 1])[0] + build_samples(elements, [formulas.index(symbol) for symbol in MIXED])[0]
    assert {sample.n_atoms for sample in samples} >= {1, 2}
    assert any(len(sample.graph.bond_graph) == 0 for sample in samples)  # no bond below 3 Å: no angles
    return samples


def as_double(graph: CrystalGraph) -> CrystalGraph:
    """The same graph with its geometry in float64; its topology is shared."""
    graph = copy.copy(graph)
    for name in ("atom_frac_coord", "lattice", "neighbor_image"):
        setattr(graph, name, getattr(graph, name).detach().double())
    graph.atom_frac_coord.requires_grad_()
    return graph


def compositions(samples: Sequence[Sample]) -> torch.Tensor:
    return torch.stack([sample.composition for sample in samples])


@pytest.fixture(scope="session")
def doubled() -> Callable[[CrystalGraph], CrystalGraph]:
    """See `as_double`."""
    return as_double


@pytest.fixture(scope="session")
def forward() -> Callable[..., dict[str, np.ndarray]]:
    """Predictions of a model for samples as one batch, as arrays."""

    def of(model, samples: Sequence[Sample], graphs: Sequence[CrystalGraph] | None = None) -> dict[str, np.ndarray]:
        out = model(graphs or [sample.graph for sample in samples], compositions(samples))
        return {key: value.detach().numpy() for key, value in out.items()}

    return of
