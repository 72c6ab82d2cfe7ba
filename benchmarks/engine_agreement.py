"""What `benchmarks.engine` measures on: structures, upstream's model, a loss; and how far the engine and upstream agree."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet
from pymatgen.core import Lattice, Structure
from torch import Tensor

from xfunc_core.data.library import install_bundled, list_datasets
from xfunc_core.model.graph_batch import GraphBatch, collate
from xfunc_core.model.graphs import StructureGraph, build_graph
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.weights import load_engine

SIZES = (2, 40, 12, 24, 6, 32, 4, 20, 8, 16)
WEIGHTS = {"e": 2.0, "f": 1.0, "s": 0.1, "m": 0.1}
NAMES = {"e": "energy", "f": "force", "s": "stress", "m": "magmom", "gradients": "all parameter gradients"}
OXIDES = (  # space group, cell parameters in Å and °, elements, fractional coordinates: as measured
    ("Pm-3m", (3.905, 3.905, 3.905, 90, 90, 90), "Sr Ti O", ((0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0))),
    ("Fm-3m", (4.211, 4.211, 4.211, 90, 90, 90), "Mg O", ((0, 0, 0), (0.5, 0.5, 0.5))),
    ("P4_2/mnm", (4.594, 4.594, 2.959, 90, 90, 90), "Ti O", ((0, 0, 0), (0.305, 0.305, 0))),
    ("Fd-3m", (8.083, 8.083, 8.083, 90, 90, 90), "Mg Al O", ((0, 0, 0), (0.625, 0.625, 0.625), (0.3874, 0.3874, 0.3874))),
    ("R-3m", (2.816, 2.816, 14.054, 90, 90, 120), "Li Co O", ((0, 0, 0.5), (0, 0, 0), (0, 0, 0.2605))),
    ("R-3c", (5.038, 5.038, 13.772, 90, 90, 120), "Fe O", ((0, 0, 0.3553), (0.3059, 0, 0.25))),
    ("P6_3mc", (3.250, 3.250, 5.207, 90, 90, 120), "Zn O", ((1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.3817))),
)
RATTLE, STRAIN = 0.1, 0.03  # Å and 1, standard deviations
Outputs = dict[str, Tensor]


def varied(n: int, seed: int) -> list[Structure]:
    """Supercells of oxides and bundled crystals in turn, with up to 2 to 40 atoms in turn, strained and rattled."""
    rng = np.random.default_rng(seed)
    kinds = [_oxides(), _bundled()]
    found = []
    for number in range(n):
        target, crystals = SIZES[number // 2 % len(SIZES)], kinds[number % 2]
        fitting = [crystal for crystal in crystals if len(crystal) <= target]
        structure = fitting[rng.integers(len(fitting))].copy()
        while 2 * len(structure) <= target:
            structure.make_supercell([2 if axis == np.argmin(structure.lattice.abc) else 1 for axis in range(3)])
        lattice = structure.lattice.matrix @ (np.eye(3) + rng.normal(0, STRAIN, (3, 3)))
        positions = structure.frac_coords @ lattice + rng.normal(0, RATTLE, (len(structure), 3))
        found.append(Structure(lattice, structure.species, positions, coords_are_cartesian=True))
    return found


def _oxides() -> list[Structure]:
    made = [
        Structure.from_spacegroup(group, Lattice.from_parameters(*cell), elements.split(), places)
        for group, cell, elements, places in OXIDES
    ]
    return [structure.get_primitive_structure() for structure in made]


def _bundled() -> list[Structure]:
    with tempfile.TemporaryDirectory(prefix="xfunc-benchmark-") as home:
        install_bundled(Path(home))
        return [dataset.structure(row) for dataset in list_datasets(Path(home)) for row in range(len(dataset))]


def geometry(structure: Structure) -> StructureGraph:
    return build_graph(np.array(structure.atomic_numbers), structure.lattice.matrix, structure.cart_coords)


def upstream_model(version: str = "0.3.0") -> CHGNet:
    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNet.load(model_name=version, use_device="cpu", verbose=False)


def upstream_outputs(model: CHGNet, graphs: Sequence[CrystalGraph]) -> Outputs:
    out = model(graphs, task="efsm")
    return {"e": out["e"], "f": torch.cat(out["f"]), "s": torch.stack(out["s"]), "m": torch.cat(out["m"])}


def labels_for(out: Outputs) -> Outputs:
    """Made-up labels in double precision, the same for everybody."""
    rng = np.random.default_rng(0)
    return {key: torch.tensor(rng.normal(size=out[key].shape), device=out[key].device) for key in WEIGHTS}


def loss_of(out: Outputs, labels: Outputs | None = None) -> Tensor:
    """The paper's kind of loss, on `labels_for` the outputs unless they are given."""
    labels = labels_for(out) if labels is None else labels
    return sum(weight * torch.nn.functional.huber_loss(out[key], labels[key].to(out[key].dtype), delta=0.1) for key, weight in WEIGHTS.items())


# --- agreement --------------------------------------------------------------------------------


def agreement(version: str, structures: Sequence[Structure], size: int = 10) -> Iterator[dict[str, Any]]:
    """A row each quantity: largest relative difference in float64 over batches, errors of float32 against float64."""
    exact = load_engine(shipped_checkpoint(version)).double()
    single, theirs = load_engine(shipped_checkpoint(version)), upstream_model(version)
    theirs.composition_model = None
    exact.references.zero_(), single.references.zero_()
    double = copy.deepcopy(theirs).double()
    worst = dict.fromkeys(NAMES, 0.0)
    errors: dict[str, list[list[float]]] = {key: [[], []] for key in worst}
    for start in range(0, len(structures), size):
        part = structures[start : start + size]
        truth = _everything(exact, collate([geometry(s) for s in part], torch.float64))
        graphs = [theirs.graph_converter(s) for s in part]
        ours, upstreams = _everything(single, collate([geometry(s) for s in part])), _everything(theirs, graphs)
        expected = _everything(double, [_as_double(g, s) for g, s in zip(graphs, part, strict=True)])
        for key in worst:
            worst[key] = max(worst[key], _relative(truth[key], expected[key]))
            for place, found in enumerate((ours, upstreams)):
                errors[key][place].append(_relative(found[key], truth[key]))
    for key, name in NAMES.items():
        ours, upstreams = map(np.median, errors[key])
        yield {
            "checkpoint": version,
            "relative, of": name,
            "batches": len(errors[key][0]),
            "largest difference, both in float64": f"{worst[key]:.0e}",
            "error of the engine in float32, median": f"{ours:.1e}",
            "of upstream": f"{upstreams:.1e}",
        }


def _everything(model: Engine | CHGNet, batch: GraphBatch | Sequence[CrystalGraph]) -> dict[str, np.ndarray]:
    """Outputs, and the gradient of the loss with respect to all parameters as one vector; in upstream float64 is volumes too."""
    module = CHGNet._compute.__globals__
    dtype, module["TORCH_DTYPE"] = module["TORCH_DTYPE"], next(model.parameters()).dtype
    out = model(batch) if isinstance(model, Engine) else upstream_outputs(model, batch)
    module["TORCH_DTYPE"] = dtype
    network = model.network if isinstance(model, Engine) else model
    found = torch.autograd.grad(loss_of(out), list(network.parameters()), allow_unused=True)
    vector = torch.cat([g.flatten() for g in found if g is not None])
    return {key: value.detach().double().numpy() for key, value in (out | {"gradients": vector}).items()}


def _as_double(graph: CrystalGraph, structure: Structure) -> CrystalGraph:
    graph = copy.copy(graph)
    graph.lattice, graph.neighbor_image = torch.tensor(structure.lattice.matrix.copy()), graph.neighbor_image.double()
    graph.atom_frac_coord = torch.tensor(structure.frac_coords.copy(), requires_grad=True)
    return graph


def _relative(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))
