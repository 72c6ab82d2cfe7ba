"""Upstream's network (chgnet 0.4.2): xfunc takes its parameters, their names and how they are drawn, and computes with `Engine`."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from chgnet.model import CHGNet


def new_network(model_args: dict[str, Any]) -> CHGNet:
    """An upstream network without composition model; its greeting on stdout is swallowed."""
    with contextlib.redirect_stdout(io.StringIO()):
        network = CHGNet(**{**model_args, "composition_model": None})
    network.model_args = {**network.model_args, **{k: v for k, v in model_args.items() if k != "composition_model"}}
    return network
