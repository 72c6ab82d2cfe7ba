"""Checkpoints of chgnet in and out of the engine, running no code from a file.

What is written here loads in upstream's ``CHGNet.from_file`` and in its ASE calculator as it is. Upstream keeps references
in float32; ours are float64, so a file holds them a second time, where upstream does not look.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from chgnet.model import CHGNet
from torch import Tensor

from xfunc_core.elements import N_REFERENCED
from xfunc_core.errors import DataError
from xfunc_core.model.chgnet import new_network
from xfunc_core.model.network import Engine
from xfunc_core.model.operations import WIDTH
from xfunc_core.model.samples import ATOM_GRAPH_CUTOFF, BOND_GRAPH_CUTOFF
from xfunc_core.model.saved import WRONG_CONTENT, read_saved

_ARCHITECTURE: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("atom_fea_dim", "bond_fea_dim", "angle_fea_dim", "atom_conv_hidden_dim", "bond_conv_hidden_dim"), (WIDTH,)),
    "angle_layer_hidden_dim": (0, None),
    "update_bond": (True,),
    "update_angle": (True,),
    "conv_dropout": (0,),
    "mlp_dropout": (0,),
    "mlp_first": (True,),
    "is_intensive": (True,),
    "non_linearity": ("silu",),
    "gMLP_norm": ("layer", None),
    "readout_norm": ("layer", None),
    "conv_norm": (None,),
    "final_mlp": ("MLP", "normal"),
    "learnable_rbf": (True,),
    "bond_graph_cutoff": (BOND_GRAPH_CUTOFF,),
}
"""What the engine computes: for each of CHGNet's arguments the values it takes."""
_REFERENCES = "composition_model.fc.weight"
_OUTPUT_BIAS = "atom_conv_layers.0.mlp_out.layers.1.bias"


def load_engine(path: Path, trainable_references: bool = False) -> Engine:
    """The engine with the weights and references of a checkpoint that chgnet or xfunc wrote.

    Raises:
        DataError: the file cannot be read, is no CHGNet checkpoint, or holds a network that the engine does not compute.
    """
    saved = read_saved(path)
    try:
        state, model_args = dict(saved["model"]["state_dict"]), dict(saved["model"]["model_args"])
        references = _references(saved, state.pop(_REFERENCES))
        _check_architecture(path, model_args)
        network = new_network({**model_args, "mlp_out_bias": _OUTPUT_BIAS in state})
        network.load_state_dict(state)
        engine = Engine(network, references, trainable_references)
    except WRONG_CONTENT as error:
        raise DataError(
            f"{path.name} is no CHGNet checkpoint xfunc can load ({type(error).__name__}): choose a file written by chgnet or xfunc."
        ) from error
    _check_finite(path, engine)
    return engine


def save_engine(engine: Engine, target: Path | IO[bytes], epoch: int | None = None) -> None:
    """Write a checkpoint that upstream's ``CHGNet.from_file`` and `load_engine` load, both in single precision whatever it holds."""
    references = engine.references.detach().cpu()
    state = {name: tensor.detach().cpu() for name, tensor in engine.network.state_dict().items()}
    state[_REFERENCES] = references.float().reshape(1, N_REFERENCED)
    model_args = {**engine.network.model_args, "composition_model": "MPtrj"}  # any name: the weights above replace its own
    torch.save({"model": {"state_dict": state, "model_args": model_args}, "epoch": epoch, "references": references}, target)


def _references(saved: Mapping[str, Any], rounded: Tensor) -> np.ndarray:
    """eV/atom, shape (94,): the file's float64 ones if it has any that agree with upstream's place for them."""
    rounded = rounded.reshape(N_REFERENCED)
    exact = saved.get("references")
    if isinstance(exact, Tensor) and exact.dtype == torch.float64 and torch.equal(exact.float(), rounded.float()):
        return exact.numpy()
    return rounded.double().numpy()


def _check_architecture(path: Path, model_args: Mapping[str, Any]) -> None:
    """Refuse a network that the engine would compute wrongly without a word."""
    defaults = {name: p.default for name, p in inspect.signature(CHGNet.__init__).parameters.items() if p.default is not p.empty}
    given = {**defaults, **model_args}
    for name, ours in _ARCHITECTURE.items():
        if given.get(name, ours[0]) not in ours:
            raise DataError(
                f"{path.name} holds a CHGNet with {name} = {given[name]}, and the engine computes {' or '.join(map(str, ours))}: choose a network like 0.3.0."
            )
    exponent = given["cutoff_coeff"]
    if type(exponent) is not int or exponent < 1:
        raise DataError(
            f"{path.name} holds a CHGNet with cutoff_coeff = {exponent}, and the engine computes whole numbers from 1: choose a network like 0.3.0."
        )
    if not 0 < given["atom_graph_cutoff"] <= ATOM_GRAPH_CUTOFF:  # bonds that are too long weigh nothing, missing ones would
        raise DataError(
            f"{path.name} holds a CHGNet that reaches {given['atom_graph_cutoff']} Å, and xfunc's graphs reach {ATOM_GRAPH_CUTOFF:g} Å: choose a network like 0.3.0."
        )


def _check_finite(path: Path, engine: Engine) -> None:
    """Refuse weights whose every prediction would be NaN."""
    for name, tensor in engine.state_dict().items():
        if not tensor.isfinite().all():
            raise DataError(
                f"{path.name} holds a number that is not finite in {name.removeprefix('network.')}: choose a checkpoint from before its training diverged."
            )
