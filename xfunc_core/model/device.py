"""The device that somebody names, or one sentence on why it cannot be used."""

from __future__ import annotations

import torch

from xfunc_core.errors import ConfigError, RunError
from xfunc_core.quantities import counted


def usable_device(name: str) -> torch.device:
    """The device: ``cpu``, ``cuda`` or ``cuda:0``.

    Raises:
        ConfigError: it is another one.
        RunError: it is a GPU that is not there.
    """
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise ConfigError(f"{name[:40]!r} is no device that CHGNet runs on here: choose cpu, cuda, or cuda:0 and so on.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise RunError("This machine offers no CUDA GPU to PyTorch: choose the CPU, or install the CUDA build of torch.")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise RunError(f"This machine offers {counted(torch.cuda.device_count(), 'GPU')} to PyTorch, counted from cuda:0, so there is no {name}.")
    return torch.device(name)
