"""What the Triton kernels are made of: rows of core and gate, small matrix products, the norm and its derivatives.

A tile is a block of edges by 64 features, of core (half 0) or gate (half 1). Tiles of edges that are not there hold zeros.
"""

from __future__ import annotations

import triton
import triton.language as tl

from xfunc_core.model import operations

WIDTH = tl.constexpr(operations.WIDTH)
PAIR = tl.constexpr(2 * operations.WIDTH)
EPSILON = tl.constexpr(operations.NORM_EPSILON)
PART = tl.constexpr(operations.WIDTH // 4)


@triton.jit
def row(pointer, half: tl.constexpr):
    """What all edges share: one row of (2, 64)."""
    return tl.load(pointer + half * WIDTH + tl.arange(0, WIDTH))[None, :]


@triton.jit
def at(pointer, rows, wide: tl.constexpr, half: tl.constexpr):
    return pointer + rows[:, None] * wide + (half * WIDTH + tl.arange(0, WIDTH)[None, :])


@triton.jit
def single(pointer, rows, there):
    """Rows of a (., 64) tensor."""
    return tl.load(at(pointer, rows, WIDTH, 0), mask=there, other=0.0)


@triton.jit
def half_of(pointer, rows, there, half: tl.constexpr):
    """Rows of one half of a (., 128) tensor."""
    return tl.load(at(pointer, rows, PAIR, half), mask=there, other=0.0)


@triton.jit
def owners(first, second, edges, there):
    """First and second owner of each edge."""
    return tl.load(first + edges, mask=there, other=0), tl.load(second + edges, mask=there, other=0)


@triton.jit
def gathered(at_first, at_second, i, j, there, half: tl.constexpr):
    return half_of(at_first, i, there, half) + half_of(at_second, j, there, half)


@triton.jit
def store_both(pointer, rows, there, core, gate):
    tl.store(at(pointer, rows, PAIR, 0), core, mask=there)
    tl.store(at(pointer, rows, PAIR, 1), gate, mask=there)


@triton.jit
def add_both(pointer, rows, there, core, gate):
    """Sum into rows that other edges add to as well."""
    tl.atomic_add(at(pointer, rows, PAIR, 0), core, mask=there, sem="relaxed")
    tl.atomic_add(at(pointer, rows, PAIR, 1), gate, mask=there, sem="relaxed")


@triton.jit
def add_single(pointer, rows, there, tile):
    tl.atomic_add(at(pointer, rows, WIDTH, 0), tile, mask=there, sem="relaxed")


@triton.jit
def add_rows(into, core, gate):
    """A program's share in the gradient of a (2, 64) parameter, if that is asked for."""
    if into is not None:
        tl.atomic_add(into + tl.arange(0, WIDTH), core, sem="relaxed")
        tl.atomic_add(into + WIDTH + tl.arange(0, WIDTH), gate, sem="relaxed")


@triton.jit
def add_matrices(into, core, gate):
    """The same of a (2, 64, 64) parameter."""
    if into is not None:
        place = into + tl.arange(0, WIDTH)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
        tl.atomic_add(place, core, sem="relaxed")
        tl.atomic_add(place + WIDTH * WIDTH, gate, sem="relaxed")


# --- products ---------------------------------------------------------------------------------


@triton.jit
def every_fourth(matrix, start: tl.constexpr, transposed: tl.constexpr):
    k, columns = start + 4 * tl.arange(0, PART)[:, None], tl.arange(0, WIDTH)[None, :]
    place = columns * WIDTH + k if transposed else k * WIDTH + columns
    return tl.load(matrix + place, eviction_policy="evict_last")


@triton.jit
def product(tile, matrices, half: tl.constexpr, transposed: tl.constexpr, precision: tl.constexpr):
    """A tile times one matrix of (2, 64, 64), or its transpose.

    In four parts of 16 columns each: as one, its operands alone would fill the registers.
    """
    matrix = matrices + half * WIDTH * WIDTH
    even, odd = tl.split(tl.reshape(tile, (tile.shape[0], 2 * PART, 2)))
    part0, part2 = tl.split(tl.reshape(even, (tile.shape[0], PART, 2)))
    part1, part3 = tl.split(tl.reshape(odd, (tile.shape[0], PART, 2)))
    total = tl.dot(part0, every_fourth(matrix, 0, transposed), input_precision=precision)
    total = tl.dot(part1, every_fourth(matrix, 1, transposed), total, input_precision=precision)
    total = tl.dot(part2, every_fourth(matrix, 2, transposed), total, input_precision=precision)
    return tl.dot(part3, every_fourth(matrix, 3, transposed), total, input_precision=precision)


# --- activations and norms --------------------------------------------------------------------


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def silu(x):
    """silu and its first two derivatives."""
    sigma = sigmoid(x)
    s = x * sigma
    return s, sigma + s - s * sigma, (sigma - sigma * sigma) * (2.0 + x - s - s)


@triton.jit
def mean(tile):
    return (tl.sum(tile, 1) * (1.0 / WIDTH))[:, None]


@triton.jit
def normal(y):
    """Normal rows and their inverse deviation."""
    centred = y - mean(y)
    inverse = 1.0 / tl.sqrt_rn(mean(centred * centred) + EPSILON)
    return centred * inverse, inverse


@triton.jit
def norm_slope(g, x, inverse):
    """Gradient of y from that of its normal rows."""
    return (g - mean(g) - x * mean(g * x)) * inverse


@triton.jit
def norm_twice(u, x, inverse, mean_u, mean_ux, g_x, g_dx):
    """Gradient of y through x and through the tangent of x, and what `norm_slope` gave for y; u is the tangent of y."""
    mean_d, mean_dx, mean_du = mean(g_dx), mean(g_dx * x), mean(g_dx * u)
    total = g_x - (g_dx * mean_ux + u * mean_dx) * inverse
    along_x = mean(total * x) + (mean_du - mean_u * mean_d - mean_ux * mean_dx) * inverse
    return (total - mean(total) - x * along_x) * inverse, (g_dx - mean_d - x * mean_dx) * inverse
