"""Predictions of a model over many frames, as flat arrays, with memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from xfunc_core.data.frame import matrix_to_voigt
from xfunc_core.model.graph_batch import collate
from xfunc_core.model.graphs import StructureGraph
from xfunc_core.model.network import Engine
from xfunc_core.model.packing import split, structure_costs
from xfunc_core.model.samples import Sample

BATCH_COST = {"cpu": 1e5, "cuda": 1e6}
"""Of structures predicted together, in units of a directed edge: enough to keep two threads of a processor busy. For a GPU it is an
estimate: nobody has run this on one."""
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictions:
    """What a model says about F frames with A atoms.

    Attributes:
        energy: eV/atom, references included, shape (F,).
        forces: eV/Å, shape (A, 3).
        stress: GPa, Voigt, shape (F, 6).
        magmoms: |μB|, shape (A,).
    """

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    magmoms: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Those of several lists of frames, at least one, as of one list."""
        return cls(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)})


def _silent(done: int, total: int) -> None: ...


def predict(model: Engine, samples: Sequence[Sample], tell: Tell = _silent) -> Predictions:
    """Predict energy, forces, stress and magnetic moments of every sample, in order.

    Args:
        model: on the device that is to compute.
        samples: any number.
        tell: called with the number of frames done and of all, after each batch.
    """
    return predict_graphs(model, [sample.graph for sample in samples], "efsm", tell)


def predict_graphs(model: Engine, graphs: Sequence[StructureGraph], task: str, tell: Tell = _silent) -> Predictions:
    """Predict what ``task`` asks for, of energy, forces, stress and magnetic moments the letters; the rest is NaN. See `predict`."""
    n_frames, n_atoms = len(graphs), sum(graph.n_atoms for graph in graphs)
    absent = {"e": np.full(n_frames, np.nan), "f": np.full((n_atoms, 3), np.nan), "s": np.full((n_frames, 3, 3), np.nan), "m": np.full(n_atoms, np.nan)}
    out = absent | (_outputs(model, graphs, task, tell) if graphs else {})
    return Predictions(out["e"], out["f"], matrix_to_voigt(out["s"]), out["m"])


def predict_energies(model: Engine, graphs: Sequence[StructureGraph], tell: Tell = _silent) -> np.ndarray:
    """Energies alone in eV/atom, references included, shape (F,): several times faster than `predict`, whose arguments it takes."""
    return _outputs(model, graphs, "e", tell)["e"]


def _outputs(model: Engine, graphs: Sequence[StructureGraph], task: str, tell: Tell) -> dict[str, np.ndarray]:
    """What the model gives for consecutive structures, as many at once as the budget allows.

    Outputs are read after the last batch: to read one would have a GPU wait for the next. So a GPU may be a few batches behind what is told.
    """
    device, dtype = model.references.device, next(model.network.parameters()).dtype
    parts: list[dict[str, torch.Tensor]] = []
    done = 0
    for batch in split(np.arange(len(graphs)), structure_costs(graphs), BATCH_COST[device.type]):
        with torch.no_grad():
            parts.append(model(collate([graphs[i] for i in batch], dtype).to(device), task))
        done += len(batch)
        tell(done, len(graphs))
    return {key: torch.cat([part[key] for part in parts]).cpu().numpy() if parts else np.empty(0) for key in task}
