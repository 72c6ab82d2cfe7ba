"""CHGNet's expansions of bond lengths and angles, as functions of its learned frequencies.

The same expressions as upstream's `chgnet.model.basis`, on flat arrays of all bonds of a batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from xfunc_core.model.products import linear

COLUMNS = 8
"""Bases are widened by zeros to a multiple of it: products of 31 columns take almost twice as long as of 32."""
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
        Shape (n, m), and zeros to a multiple of `COLUMNS`.
    """
    scaled = length / cutoff
    frequencies = pad(frequencies, (0, -len(frequencies) % COLUMNS))  # sin 0 = 0
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
        A constant, sines and cosines, shape (n, 1 + 2 m), and zeros to a multiple of `COLUMNS`.
    """
    phase = torch.outer(torch.acos(cosine * COSINE_MARGIN), frequencies)
    constant = phase.new_full((len(phase), 1), FOURIER_CONSTANT)
    zeros = phase.new_zeros(len(phase), -(1 + 2 * len(frequencies)) % COLUMNS)
    return torch.cat([constant, torch.sin(phase), torch.cos(phase), zeros], dim=1) * (1 / math.sqrt(math.pi))


def expanded(basis: Tensor, weight: Tensor) -> Tensor:
    """A linear layer (n_out, m) on a widened basis: shape (n, n_out)."""
    return linear(basis, pad(weight, (0, basis.shape[1] - weight.shape[1])))
