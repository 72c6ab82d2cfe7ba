"""The device that somebody names, or one sentence on why it cannot be used."""

from __future__ import annotations

import re

import torch

from xfunc_core.errors import ConfigError, RunError
from xfunc_core.quantities import counted


def usable_device(name: str) -> torch.device:
    """The device: ``cpu``, ``cuda`` or ``cuda:0``.

    Raises:
        ConfigError: it is another one.
        RunError: it is a GPU that is not there.
    """
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]?))?", name):
        raise ConfigError(f"{name[:40]!r} is no device that CHGNet runs on here: choose cpu, cuda, or cuda:0 and so on.")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RunError("This machine offers no CUDA GPU to PyTorch: choose the CPU, or install the CUDA build of torch.")
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise RunError(f"This machine offers {counted(torch.cuda.device_count(), 'GPU')} to PyTorch, counted from cuda:0, so there is no {name}.")
    return device
