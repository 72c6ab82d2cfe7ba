"""The kernels of kernels.cpp for a GPU, in Triton and single precision: block by block of edges, in the notation used there.

A program computes a block from one end to the other: what it gathers, multiplies and gates stays in registers, and only what
the next kernel needs is written. Sums into owners are atomic. Programs that add up gradients of parameters take several
blocks each and add their sums once. Of a pair, an edge and its reverse are in the same block, one after the other. Where an
argument is None, what it would hold is left out.
"""

from __future__ import annotations

import triton
import triton.language as tl

from xfunc_core.model.fused.triton_rows import (
    WIDTH,
    add_both,
    add_matrices,
    add_rows,
    add_single,
    at,
    gathered,
    half_of,
    mean,
    norm_slope,
    norm_twice,
    normal,
    owners,
    product,
    row,
    sigmoid,
    silu,
    single,
    store_both,
)


@triton.jit
def forward(
    first, second, at_first, at_second, features, own_weight, linear, bias, scale, shift, weight, own, pre, y, out, n,
    EDGES: tl.constexpr, SIDES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Of n edges, or n pairs where SIDES is 2; EDGES a block."""
    shared = (tl.program_id(0) * EDGES + tl.arange(0, EDGES)).to(tl.int64)
    there = (shared < n)[:, None]
    f = single(features, shared, there)
    own0 = product(f, own_weight, 0, True, PRECISION)
    own1 = product(f, own_weight, 1, True, PRECISION)
    if own is not None:
        store_both(own, shared, there, own0, own1)
    for side in range(SIDES):
        edge = shared + side * n
        i, j = owners(first, second, edge, shared < n)
        y0 = own0 + gathered(at_first, at_second, i, j, there, 0)
        y1 = own1 + gathered(at_first, at_second, i, j, there, 1)
        if pre is not None:
            store_both(pre, edge, there, y0, y1)
        if linear is not None:
            y0 = product(y0 * sigmoid(y0), linear, 0, True, PRECISION) + row(bias, 0)
            y1 = product(y1 * sigmoid(y1), linear, 1, True, PRECISION) + row(bias, 1)
            store_both(y, edge, there, y0, y1)
        x0, _ = normal(y0)
        x1, _ = normal(y1)
        p = x0 * row(scale, 0) + row(shift, 0)
        gated = p * sigmoid(p) * sigmoid(x1 * row(scale, 1) + row(shift, 1))
        if linear is not None:
            add_single(out, i, there, gated * single(weight, shared if SIDES == 2 else j, there))
        else:
            tl.store(at(out, edge, WIDTH, 0), gated, mask=there)


@triton.jit
def pre_of(at_first, at_second, own, pre, i, j, shared, there, half: tl.constexpr):
    """pre of one half: kept, or gathered again for pairs."""
    if pre is None:
        return half_of(own, shared, there, half) + gathered(at_first, at_second, i, j, there, half)
    else:
        return half_of(pre, shared, there, half)


@triton.jit
def backward(
    first, second, at_first, at_second, features, own_weight, linear, scale, shift, weight, own, pre, y, g_out, cot_y, cot_pre,
    g_h, g_first, g_second, g_features, g_weight, g_linear, g_bias, g_scale, g_shift, g_own, n,
    EDGES: tl.constexpr, SIDES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """g_own, (n, 128): the gradient of what features add, which makes that of own_weight. Else as in kernels.cpp."""
    zero = tl.zeros((WIDTH,), tl.float32)
    bias0, bias1, scale0, scale1, shift0, shift1 = zero, zero, zero, zero, zero, zero
    linear0 = tl.zeros((WIDTH, WIDTH), tl.float32)
    linear1 = tl.zeros((WIDTH, WIDTH), tl.float32)
    nothing = tl.zeros((EDGES, WIDTH), tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(n, EDGES), tl.num_programs(0)):
        shared = (block * EDGES + tl.arange(0, EDGES)).to(tl.int64)
        there = (shared < n)[:, None]
        own0, own1, damping = nothing, nothing, nothing
        for side in range(SIDES):
            edge = shared + side * n
            i, j = owners(first, second, edge, shared < n)
            if g_out is None:  # the loss depends on slopes alone
                g0, g1 = nothing, nothing
            else:
                x0, inverse0 = normal(half_of(pre if linear is None else y, edge, there, 0))
                x1, inverse1 = normal(half_of(pre if linear is None else y, edge, there, 1))
                s, ds, _ = silu(x0 * row(scale, 0) + row(shift, 0))
                t = sigmoid(x1 * row(scale, 1) + row(shift, 1))
                g = single(g_out, edge if linear is None else i, there)
                if linear is not None:
                    if SIDES == 2:
                        damping += g * s * t
                    else:
                        add_single(g_weight, j, there, g * s * t)
                    g *= single(weight, shared if SIDES == 2 else j, there)
                g0 = g * t * ds
                g1 = g * s * (t - t * t)
                if g_scale is not None:
                    scale0 += tl.sum(g0 * x0, 0)
                    scale1 += tl.sum(g1 * x1, 0)
                if g_shift is not None:
                    shift0 += tl.sum(g0, 0)
                    shift1 += tl.sum(g1, 0)
                g0 = norm_slope(g0 * row(scale, 0), x0, inverse0)
                g1 = norm_slope(g1 * row(scale, 1), x1, inverse1)
            if cot_y is not None:
                g0 += half_of(cot_y, edge, there, 0)
                g1 += half_of(cot_y, edge, there, 1)
            if g_bias is not None:
                bias0 += tl.sum(g0, 0)
                bias1 += tl.sum(g1, 0)
            if linear is not None:
                h0 = product(g0, linear, 0, False, PRECISION)
                h1 = product(g1, linear, 1, False, PRECISION)
                if g_h is not None:
                    store_both(g_h, edge, there, h0, h1)
                s, ds, _ = silu(pre_of(at_first, at_second, own, pre, i, j, shared, there, 0))
                if g_linear is not None:
                    linear0 = tl.dot(tl.trans(g0), s, linear0, input_precision=PRECISION)
                g0 = h0 * ds
                s, ds, _ = silu(pre_of(at_first, at_second, own, pre, i, j, shared, there, 1))
                if g_linear is not None:
                    linear1 = tl.dot(tl.trans(g1), s, linear1, input_precision=PRECISION)
                g1 = h1 * ds
            if cot_pre is not None:
                g0 += half_of(cot_pre, edge, there, 0)
                g1 += half_of(cot_pre, edge, there, 1)
            add_both(g_first, i, there, g0, g1)
            add_both(g_second, j, there, g0, g1)
            own0 += g0
            own1 += g1
        if SIDES == 2:
            tl.store(at(g_weight, shared, WIDTH, 0), damping, mask=there)
        to_features = product(own0, own_weight, 0, False, PRECISION) + product(own1, own_weight, 1, False, PRECISION)
        tl.store(at(g_features, shared, WIDTH, 0), to_features, mask=there)
        if g_own is not None:
            store_both(g_own, shared, there, own0, own1)
    add_matrices(g_linear, linear0, linear1)
    add_rows(g_bias, bias0, bias1)
    add_rows(g_scale, scale0, scale1)
    add_rows(g_shift, shift0, shift1)


@triton.jit
def double_backward(
    first, second, at_first, at_second, own_weight, linear, scale, shift, weight, own, pre, y, g_out, g_h,
    t_first, t_second, t_features, t_weight, c_out, c_y, c_pre, c_weight, g_linear, g_scale, g_shift, g_own, n,
    EDGES: tl.constexpr, SIDES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """t_: tangents, gradients of what `backward` wrote; c_: gradients of what it read. g_own as there."""
    zero = tl.zeros((WIDTH,), tl.float32)
    scale0, scale1, shift0, shift1 = zero, zero, zero, zero
    linear0 = tl.zeros((WIDTH, WIDTH), tl.float32)
    linear1 = tl.zeros((WIDTH, WIDTH), tl.float32)
    nothing = tl.zeros((EDGES, WIDTH), tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(n, EDGES), tl.num_programs(0)):
        shared = (block * EDGES + tl.arange(0, EDGES)).to(tl.int64)
        there = (shared < n)[:, None]
        own0, own1, damping = nothing, nothing, nothing
        f = single(t_features, shared, there)
        tangent0 = product(f, own_weight, 0, True, PRECISION)
        tangent1 = product(f, own_weight, 1, True, PRECISION)
        for side in range(SIDES):
            edge = shared + side * n
            i, j = owners(first, second, edge, shared < n)
            u0 = tangent0 + gathered(t_first, t_second, i, j, there, 0)
            u1 = tangent1 + gathered(t_first, t_second, i, j, there, 1)
            if linear is not None:
                _, ds, dds = silu(pre_of(at_first, at_second, own, pre, i, j, shared, there, 0))
                gh = half_of(g_h, edge, there, 0)
                c0 = gh * dds * u0
                own0 += gh * ds
                h0 = ds * u0
                u0 = product(h0, linear, 0, True, PRECISION)
                _, ds, dds = silu(pre_of(at_first, at_second, own, pre, i, j, shared, there, 1))
                gh = half_of(g_h, edge, there, 1)
                store_both(c_pre, edge, there, c0, gh * dds * u1)
                own1 += gh * ds
                h1 = ds * u1
                u1 = product(h1, linear, 1, True, PRECISION)
            x0, inverse0 = normal(half_of(pre if linear is None else y, edge, there, 0))
            x1, inverse1 = normal(half_of(pre if linear is None else y, edge, there, 1))
            mean_u0, mean_ux0, mean_u1, mean_ux1 = mean(u0), mean(u0 * x0), mean(u1), mean(u1 * x1)
            dx0 = (u0 - mean_u0 - x0 * mean_ux0) * inverse0
            dx1 = (u1 - mean_u1 - x1 * mean_ux1) * inverse1
            dp, dq = row(scale, 0) * dx0, row(scale, 1) * dx1
            s, ds, dds = silu(x0 * row(scale, 0) + row(shift, 0))
            t = sigmoid(x1 * row(scale, 1) + row(shift, 1))
            dt = t - t * t
            slope = ds * dp * t + s * dt * dq
            g = single(g_out, edge if linear is None else i, there)
            g_p, g_q = nothing, nothing
            if linear is None:
                tl.store(at(c_out, edge, WIDTH, 0), slope, mask=there)
            else:
                w = single(weight, shared if SIDES == 2 else j, there)
                t_w = single(t_weight, shared if SIDES == 2 else j, there)
                add_single(c_out, i, there, w * slope + t_w * s * t)
                if SIDES == 2:
                    damping += g * slope
                else:
                    add_single(c_weight, j, there, g * slope)
                g_p = g * t_w * ds * t
                g_q = g * t_w * s * dt
                g *= w
            g_p += g * (dds * dp * t + ds * dt * dq)
            g_q += g * (ds * dp * dt + s * dt * (1.0 - t - t) * dq)
            g_dp, g_dq = g * ds * t, g * s * dt
            if g_scale is not None:
                scale0 += tl.sum(g_p * x0 + g_dp * dx0, 0)
                scale1 += tl.sum(g_q * x1 + g_dq * dx1, 0)
            if g_shift is not None:
                shift0 += tl.sum(g_p, 0)
                shift1 += tl.sum(g_q, 0)
            c0, g0 = norm_twice(u0, x0, inverse0, mean_u0, mean_ux0, g_p * row(scale, 0), g_dp * row(scale, 0))
            c1, g1 = norm_twice(u1, x1, inverse1, mean_u1, mean_ux1, g_q * row(scale, 1), g_dq * row(scale, 1))
            store_both(c_pre if linear is None else c_y, edge, there, c0, c1)
            if linear is None:
                own0 += g0
                own1 += g1
            if g_linear is not None:
                linear0 = tl.dot(tl.trans(g0), h0, linear0, input_precision=PRECISION)
                linear1 = tl.dot(tl.trans(g1), h1, linear1, input_precision=PRECISION)
        if SIDES == 2:
            tl.store(at(c_weight, shared, WIDTH, 0), damping, mask=there)
        if g_own is not None:
            store_both(g_own, shared, there, own0, own1)
    add_matrices(g_linear, linear0, linear1)
    add_rows(g_scale, scale0, scale1)
    add_rows(g_shift, shift0, shift1)
