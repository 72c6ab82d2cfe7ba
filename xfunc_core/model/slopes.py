"""Forces and stresses are slopes of an energy, which need no gradient of a parameter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

_SLOPES_ONLY: ContextVar[bool] = ContextVar("slopes_only", default=False)


@contextlib.contextmanager
def slopes_only() -> Iterator[None]:
    """Within it a gradient that is to be differentiated again leaves out those of the parameters."""
    token = _SLOPES_ONLY.set(True)
    try:
        with torch.autograd.set_multithreading_enabled(False):  # torch has a thread of its own for a GPU's gradients, which would not see this
            yield
    finally:
        _SLOPES_ONLY.reset(token)


def are_slopes_only() -> bool:
    """Whether this is within `slopes_only`."""
    return _SLOPES_ONLY.get()
