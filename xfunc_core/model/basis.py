"""CHGNet's expansions of bond lengths and angles, as functions of its learned frequencies.

The same expressions as upstream's `chgnet.model.basis`, on flat arrays of all bonds of a batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COSINE_MARGIN = 1 - 1e-6
"""Upstream shrinks cosines by it, so that the slope of acos stays finite for atoms in line."""

FOURIER_CONSTANT = 0.7071067690849304
"""1/√2 as upstream has it: rounded to float32 whatever the precision of the model."""


def radial_basis(length: Tensor, frequencies: Tensor, cutoff: float, exponent: int) -> Tensor:
    """Spherical Bessel functions under a smooth cut-off (Deng et al. 2023, Methods).

    Args:
        length: bond lengths in Å, shape (n, 1).
        frequencies: shape (m,).
        cutoff: where the basis ends, in Å; longer bonds get zeros.
        exponent: p of the polynomial cut-off; 0 means none.

    Returns:
        Shape (n, m).
    """
    scaled = length / cutoff
    waves = math.sqrt(2 / cutoff) * torch.sin(scaled * frequencies)
    return waves * (_envelope(scaled, exponent) / length)


def _envelope(scaled: Tensor, p: int) -> Tensor:
    """Polynomial that falls from 1 to 0 with two vanishing derivatives (Gasteiger et al. 2020, equation 8)."""
    if p == 0:
        return torch.ones_like(scaled)
    polynomial = 1 - scaled**p * ((p + 1) * (p + 2) / 2 - scaled * (p * (p + 2) - scaled * (p * (p + 1) / 2)))
    return torch.where(scaled < 1, polynomial, torch.zeros_like(scaled))


def angle_basis(cosine: Tensor, frequencies: Tensor) -> Tensor:
    """Fourier series of the angles between bonds.

    Args:
        cosine: cosines of the angles, shape (n,).
        frequencies: shape (m,).

    Returns:
        A constant, sines and cosines, shape (n, 1 + 2 m).
    """
    phase = torch.outer(torch.acos(cosine * COSINE_MARGIN), frequencies)
    constant = phase.new_full((len(phase), 1), FOURIER_CONSTANT)
    return torch.cat([constant, torch.sin(phase), torch.cos(phase)], dim=1) * (1 / math.sqrt(math.pi))
