"""CHGNet with its reference energies held apart: E/N = x·w (float64) + network (float32).

The network is upstream's (chgnet 0.4.2), weights and all. Holding w outside it in float64 costs
nothing and keeps eV-sized references from eating the digits of meV-sized differences.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet
from torch import Tensor, nn

from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError
from xfunc_core.model.samples import ATOM_GRAPH_CUTOFF, BOND_GRAPH_CUTOFF
from xfunc_core.model.saved import WRONG_CONTENT, read_saved

PRETRAINED = "chgnet 0.3.0"
"""Trained on MPtrj, GGA and GGA+U (Deng et al. 2023): what M2, M3 and M4 start from."""

_PRETRAINED_FILE = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"


class ReferencedCHGNet(nn.Module):
    """A CHGNet network plus reference energies.

    Attributes:
        network: upstream CHGNet without its composition model.
        references: eV/atom, shape (94,), float64; a parameter if trainable, else a buffer.
    """

    def __init__(self, network: CHGNet, references: np.ndarray, trainable_references: bool = False) -> None:
        super().__init__()
        self.network = network
        w = torch.tensor(np.asarray(references), dtype=torch.float64)
        if trainable_references:
            self.references = nn.Parameter(w)
        else:
            self.register_buffer("references", w)

    def forward(self, graphs: Sequence[CrystalGraph], composition: Tensor, task: str = "efsm") -> dict[str, Tensor]:
        """Predict a batch.

        Args:
            graphs: upstream crystal graphs of B structures with A atoms in all.
            composition: atomic fractions, float64, shape (B, 94).
            task: which of energy, force, stress, magmom to compute.

        Returns:
            ``e`` eV/atom float64 (B,), ``f`` eV/Å (A, 3), ``s`` GPa (B, 3, 3), ``m`` μB (A,), as asked for.
        """
        raw = self.network(graphs, task=task)
        out = {"e": raw["e"].double() + composition @ self.references}
        if "f" in task:
            out["f"] = torch.cat(raw["f"])
        if "s" in task:
            out["s"] = torch.stack(raw["s"])
        if "m" in task:
            out["m"] = torch.cat(raw["m"])
        return out

    def save(self, target: Path | IO[bytes], epoch: int | None = None) -> None:
        """Write a checkpoint that upstream's ``CHGNet.from_file`` loads, references in its AtomRef."""
        state = {k: v.detach().cpu() for k, v in self.network.state_dict().items()}
        state["composition_model.fc.weight"] = self.references.detach().cpu().float().reshape(1, N_REFERENCED)
        model_args = {**self.network.model_args, "composition_model": "MPtrj"}
        torch.save({"model": {"state_dict": state, "model_args": model_args}, "epoch": epoch}, target)


def load_pretrained() -> ReferencedCHGNet:
    """The GGA/GGA+U CHGNet 0.3.0 that ships with chgnet, with its own references."""
    package = find_spec("chgnet")
    assert package is not None and package.submodule_search_locations
    return load_checkpoint(Path(package.submodule_search_locations[0]) / _PRETRAINED_FILE)


def load_checkpoint(path: Path) -> ReferencedCHGNet:
    """Load a CHGNet checkpoint with the cut-offs of 0.3.0, running no code from the file.

    Raises:
        DataError: the file is no CHGNet checkpoint, or its network needs other graphs than xfunc builds.
    """
    saved = read_saved(path)
    try:
        state, model_args = dict(saved["model"]["state_dict"]), dict(saved["model"]["model_args"])
        references = state.pop("composition_model.fc.weight").reshape(N_REFERENCED).double().numpy()
        _check_conventions(path, model_args)
        network = new_network(model_args)
        network.load_state_dict(state)
    except WRONG_CONTENT as error:
        raise DataError(f"{path.name} is no CHGNet checkpoint xfunc can load ({type(error).__name__}): choose a file written by chgnet or xfunc.") from error
    return ReferencedCHGNet(network, references)


def _check_conventions(path: Path, model_args: Mapping[str, Any]) -> None:
    """Refuse a network made for other graphs or energies: with xfunc's it would predict nonsense without a word."""
    for name, ours in {"atom_graph_cutoff": ATOM_GRAPH_CUTOFF, "bond_graph_cutoff": BOND_GRAPH_CUTOFF, "is_intensive": True}.items():
        theirs = model_args.get(name, ours)
        if theirs != ours:
            raise DataError(f"{path.name} was trained with {name} = {theirs}, and xfunc needs {ours}: choose a CHGNet 0.3.0 or one trained from it.")


def scratch(references: np.ndarray, seed: int) -> ReferencedCHGNet:
    """A CHGNet of the same architecture with random weights (paper M1)."""
    torch.manual_seed(seed)
    return ReferencedCHGNet(new_network(load_pretrained().network.model_args), references)


def new_network(model_args: dict[str, Any]) -> CHGNet:
    """An upstream network without composition model; its greeting on stdout is swallowed."""
    with contextlib.redirect_stdout(io.StringIO()):
        network = CHGNet(**{**model_args, "composition_model": None})
    network.model_args = {**network.model_args, **{k: v for k, v in model_args.items() if k != "composition_model"}}
    return network
