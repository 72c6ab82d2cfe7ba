"""The models that training starts from."""

from __future__ import annotations

import numpy as np
import torch

from xfunc_core.model.chgnet import new_network
from xfunc_core.model.named import shipped_checkpoint
from xfunc_core.model.network import Engine
from xfunc_core.model.weights import load_engine

PRETRAINED_TITLE = "chgnet 0.3.0"
"""Trained on MPtrj, GGA and GGA+U (Deng et al. 2023): what M2, M3 and M4 start from."""


def load_pretrained() -> Engine:
    """The GGA/GGA+U CHGNet 0.3.0 that ships with chgnet, with its own references."""
    return load_engine(shipped_checkpoint("0.3.0"))


def scratch(references: np.ndarray, seed: int) -> Engine:
    """A CHGNet of the same architecture with random weights (paper M1), as chgnet draws them."""
    torch.manual_seed(seed)
    model_args = load_pretrained().network.model_args  # draws weights, too: older runs of the same seed start from the second draw
    return Engine(new_network(model_args), references)
