// Messages along edges and gates on angles, with their first and second derivatives, block by block of edges.
//
// One block's hidden features never leave the cache. Each kernel is a loop over blocks: gather what the owners of the edges
// add, multiply by small matrices, gate, sum into the owners. Threads take consecutive blocks and have sums of their own,
// which are added in the order of threads: for a given number of threads results are the same to the last bit.
//
// Position p of an edge is p itself or, where an edge and its reverse share a bond ("paired"), bond p / 2 in direction p % 2.
// Notation: first and second are the owners of an edge; own is what it adds itself, or features times own weights;
//   pre = at_first + at_second + own,  h = silu(pre),  y = linear h + bias,  out = silu(norm y_core) * sigmoid(norm y_gate),
//   sum over the first owner of out * weight. Without a linear layer y = pre, and out is not summed.
// Derivatives of out follow from x = norm's output, p = scale x + shift (q for the gate), s = silu(p), t = sigmoid(q).
#include <algorithm>
#include <vector>
#include "rows.h"

namespace xfunc {

constexpr int BLOCK = 48;  // positions at a time; even, and a multiple of TILE_ROWS

// What a kernel reads and writes; what it does not need is null. M positions, n owners; matrices are rows of [out][in],
// and those that end in _t of [in][out].
template <class T> struct Args {
    int64_t positions, n_first, n_second, n_weight, paired, threads;
    const int64_t *first, *second;
    const T *at_first, *at_second, *own, *features, *weight;
    const T *own_weight, *own_weight_t;         // (128, 64) and (64, 128)
    const T *linear, *linear_t, *bias;          // (2, 64, 64), (2, 64, 64), (2, 64)
    const T *scale, *shift;                     // (2, 64)
    T *pre, *y, *out;                           // forward: (M, 128) or null if it is gathered again, (M, 128), sums or rows
    const T *g_out, *cot_y, *cot_pre;           // backward: gradient of out; of y and pre from elsewhere
    T *g_h, *g_first, *g_second, *g_own, *g_features, *g_weight;
    T *g_linear, *g_bias, *g_scale, *g_shift, *g_own_weight;
    const T *t_first, *t_second, *t_own, *t_features, *t_weight;  // double backward: gradients of the gradients
    T *c_out, *c_y, *c_pre, *c_weight;          // gradients of g_out, y, pre, weight
};

// Sums that several threads add to: the first into the result, the others into copies, but for rows that only one writes.
template <class T> class Shared {
    T* result;
    int64_t size;
    std::vector<T> copies;

  public:
    Shared(T* result, int64_t size, int64_t threads, bool one_writer = false)
        : result(result), size(result ? size : 0), copies(result && !one_writer ? size * (threads - 1) : 0) {
        if (result) std::fill(result, result + size, T(0));
    }
    T* of(int64_t thread) { return thread == 0 || copies.empty() ? result : copies.data() + (thread - 1) * size; }
    void reduce() {
        const int64_t others = size ? static_cast<int64_t>(copies.size()) / size : 0;
        for (int64_t i = 0; i < others; i++) {
            const T* from = copies.data() + i * size;
            for (int64_t k = 0; k < size; k++) result[k] += from[k];
        }
    }
};

template <class T> struct Edge { int64_t first, second, shared; };

template <class T> inline Edge<T> edge(const Args<T>& a, int64_t p) {
    const int64_t member = a.paired ? (p >> 1) + (p & 1) * (a.positions >> 1) : p;
    return {a.first[member], a.second[member], a.paired ? p >> 1 : a.second[member]};  // shared: whose weight damps the message
}
template <class T> inline const T* own_row(const Args<T>& a, const T* rows, int64_t p) { return rows + (a.paired ? p >> 1 : p) * PAIR; }

// Calls body(thread, blocks) on each thread; blocks(block) there calls block(first position, number of positions) for its share.
template <class T, class Body> void on_threads(const Args<T>& a, const Body& body) {
    const int64_t blocks = (a.positions + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(a.threads)) if (a.threads > 1)
    for (int64_t thread = 0; thread < a.threads; thread++)
        body(thread, [&](auto&& block) {
            for (int64_t b = blocks * thread / a.threads; b < blocks * (thread + 1) / a.threads; b++)
                block(b * BLOCK, static_cast<int>(std::min<int64_t>(BLOCK, a.positions - b * BLOCK)));
        });
}

// Two products side by side: core and gate, each with its own 64 x 64 matrix.
template <class T> inline void both(int n, const T* a, const T* matrices, T* c, const T* start = nullptr) {
    for (int half = 0; half < 2; half++)
        product<T, false>(n, a + half * WIDTH, PAIR, 1, WIDTH, matrices + half * WIDTH * WIDTH, WIDTH, c + half * WIDTH, PAIR, start ? start + half * WIDTH : nullptr);
}
// Gradient of these matrices: sums over positions of gradient times input.
template <class T> inline void both_gradients(int n, const T* gradient, const T* input, T* into) {
    for (int half = 0; half < 2; half++)
        product<T, true>(WIDTH, gradient + half * WIDTH, 1, PAIR, n, input + half * WIDTH, PAIR, into + half * WIDTH * WIDTH, WIDTH);
}
// What features add to pre: (n, 64) to (n, 128).
template <class T> inline void own_products(const Args<T>& a, int n, const T* features, T* c) {
    for (int half = 0; half < 2; half++) product<T, false>(n, features, WIDTH, 1, WIDTH, a.own_weight_t + half * WIDTH, PAIR, c + half * WIDTH, PAIR);
}

// pre of one half of a position: saved, or gathered again.
template <class T> inline Row<T> pre_of(const Args<T>& a, const Edge<T>& e, int64_t p, int half) {
    if (a.pre) return Row<T>(a.pre + p * PAIR + half);
    return Row<T>(a.at_first + e.first * PAIR + half) + Row<T>(a.at_second + e.second * PAIR + half) + Row<T>(own_row(a, a.own, p) + half);
}

// The gate of one position with what its derivatives need.
template <class T> struct Gate {
    Norm<T> core, gate;
    Row<T> scale0, scale1, p, sp, s, t;
    Gate(const Args<T>& a, const T* y)
        : core(Row<T>(y)), gate(Row<T>(y + WIDTH)), scale0(a.scale), scale1(a.scale + WIDTH), p(core.x * scale0 + Row<T>(a.shift)), sp(sigmoid(p)), s(p * sp),
          t(sigmoid(gate.x * scale1 + Row<T>(a.shift + WIDTH))) {}
    Row<T> ds() const { return sp + s - s * sp; }  // silu'(p)
    Row<T> dt() const { return t - t * t; }        // sigmoid'(q)
};

template <class T, bool LINEAR> void forward(Args<T>& a) {
    Shared<T> sums(LINEAR ? a.out : nullptr, a.n_first * WIDTH, a.threads);
    on_threads(a, [&](int64_t thread, auto&& blocks) {
        alignas(64) T h[BLOCK * PAIR], local[BLOCK * PAIR];
        T* into = LINEAR ? sums.of(thread) : nullptr;
        blocks([&](int64_t start, int n) {
            T* pre = a.pre ? a.pre + start * PAIR : local;
            if (a.features) own_products(a, n, a.features + start * WIDTH, pre);
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                for (int half = 0; half < PAIR; half += WIDTH) {
                    const Row<T> own(a.features ? pre + r * PAIR + half : own_row(a, a.own, start + r) + half);
                    const Row<T> sum = own + Row<T>(a.at_first + e.first * PAIR + half) + Row<T>(a.at_second + e.second * PAIR + half);
                    if (a.pre || !LINEAR) sum.to(pre + r * PAIR + half);
                    if (LINEAR) (sum * sigmoid(sum)).to(h + r * PAIR + half);
                }
            }
            T* y = LINEAR ? a.y + start * PAIR : pre;
            if (LINEAR) both(n, h, a.linear_t, y, a.bias);
            for (int r = 0; r < n; r++) {
                const Gate<T> gate(a, y + r * PAIR);
                const Row<T> out = gate.s * gate.t;
                if (LINEAR) {
                    const Edge<T> e = edge(a, start + r);
                    (out * Row<T>(a.weight + e.shared * WIDTH)).add_to(into + e.first * WIDTH);
                } else {
                    out.to(a.out + (start + r) * WIDTH);
                }
            }
        });
    });
    sums.reduce();
}

// Gradients of everything forward reads. `c_y` and `c_pre` of the double backward come in as cot_y and cot_pre.
template <class T, bool LINEAR> void backward(Args<T>& a) {
    Shared<T> firsts(a.g_first, a.n_first * PAIR, a.threads), seconds(a.g_second, a.n_second * PAIR, a.threads), weights(LINEAR ? a.g_weight : nullptr, a.n_weight * WIDTH, a.threads, a.paired);
    Shared<T> linear(a.g_linear, PAIR * WIDTH, a.threads), bias(a.g_bias, PAIR, a.threads), scale(a.g_scale, PAIR, a.threads), shift(a.g_shift, PAIR, a.threads);
    Shared<T> own_weight(a.g_own_weight, PAIR * WIDTH, a.threads);
    on_threads(a, [&](int64_t thread, auto&& blocks) {
        alignas(64) T gy[BLOCK * PAIR], h[BLOCK * PAIR], gpre[BLOCK * PAIR], local[BLOCK * PAIR];
        T *to_first = firsts.of(thread), *to_second = seconds.of(thread), *to_weight = weights.of(thread);
        T *to_linear = linear.of(thread), *to_bias = bias.of(thread), *to_scale = scale.of(thread), *to_shift = shift.of(thread), *to_own_weight = own_weight.of(thread);
        blocks([&](int64_t start, int n) {
            const T* y = (LINEAR ? a.y : a.pre) + start * PAIR;
            const T* cotangent = LINEAR ? a.cot_y : a.cot_pre;
            T* g_of_y = LINEAR ? gy : gpre;
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                Row<T> into[2];
                if (a.g_out) {
                    const Gate<T> gate(a, y + r * PAIR);
                    Row<T> g(a.g_out + (LINEAR ? e.first : start + r) * WIDTH);
                    if (LINEAR) {
                        (g * gate.s * gate.t).add_to(to_weight + e.shared * WIDTH);
                        g = g * Row<T>(a.weight + e.shared * WIDTH);
                    }
                    const Row<T> gp = g * gate.t * gate.ds(), gq = g * gate.s * gate.dt();
                    if (to_scale) {
                        (gp * gate.core.x).add_to(to_scale), (gq * gate.gate.x).add_to(to_scale + WIDTH);
                        gp.add_to(to_shift), gq.add_to(to_shift + WIDTH);
                    }
                    into[0] = gate.core.tangent(gp * gate.scale0), into[1] = gate.gate.tangent(gq * gate.scale1);
                } else {
                    std::memset(into, 0, sizeof into);
                }
                for (int half = 0; half < 2; half++) {
                    if (cotangent) into[half] = into[half] + Row<T>(cotangent + (start + r) * PAIR + half * WIDTH);
                    into[half].to(g_of_y + r * PAIR + half * WIDTH);
                    if (to_bias) into[half].add_to(to_bias + half * WIDTH);
                }
            }
            if (LINEAR) {
                T* gh = a.g_h ? a.g_h + start * PAIR : local;
                both(n, gy, a.linear, gh);
                for (int r = 0; r < n; r++) {
                    const Edge<T> e = edge(a, start + r);
                    for (int half = 0; half < PAIR; half += WIDTH) {
                        const Row<T> pre = pre_of(a, e, start + r, half), sp = sigmoid(pre), s = pre * sp;
                        if (to_linear) s.to(h + r * PAIR + half);
                        Row<T> g = Row<T>(gh + r * PAIR + half) * (sp + s - s * sp);
                        if (a.cot_pre) g = g + Row<T>(a.cot_pre + (start + r) * PAIR + half);
                        g.to(gpre + r * PAIR + half);
                    }
                }
                if (to_linear) both_gradients(n, gy, h, to_linear);
            }
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                for (int half = 0; half < PAIR; half += WIDTH) {
                    const Row<T> g(gpre + r * PAIR + half);
                    g.add_to(to_first + e.first * PAIR + half);
                    g.add_to(to_second + e.second * PAIR + half);
                    if (a.g_own) {
                        T* own = a.g_own + (a.paired ? (start + r) >> 1 : start + r) * PAIR + half;
                        if (a.paired && (r & 1)) g.add_to(own);
                        else g.to(own);
                    }
                }
            }
            if (a.g_features) {
                T* to = a.g_features + start * WIDTH;
                product<T, false>(n, gpre, PAIR, 1, WIDTH, a.own_weight, WIDTH, to, WIDTH);
                product<T, true>(n, gpre + WIDTH, PAIR, 1, WIDTH, a.own_weight + WIDTH * WIDTH, WIDTH, to, WIDTH);
            }
            if (to_own_weight) product<T, true>(PAIR, gpre, 1, PAIR, n, a.features + start * WIDTH, WIDTH, to_own_weight, WIDTH);
        });
    });
    for (Shared<T>* shared : {&firsts, &seconds, &weights, &linear, &bias, &scale, &shift, &own_weight}) shared->reduce();
}

// Gradients of what backward (without cot_y, cot_pre and gradients of parameters) reads, from gradients t_ of what it writes.
//
// Backward is linear in g_out, so what is differentiated is the derivative of out along t_, times g_out: tangents go forward
// (ẋ = norm's tangent, ṗ = scale ẋ, …), then gradients come back through both the tangents and the values.
template <class T, bool LINEAR> void double_backward(Args<T>& a) {
    Shared<T> outs(LINEAR ? a.c_out : nullptr, a.n_first * WIDTH, a.threads), weights(LINEAR ? a.c_weight : nullptr, a.n_weight * WIDTH, a.threads, a.paired);
    Shared<T> linear(a.g_linear, PAIR * WIDTH, a.threads), scale(a.g_scale, PAIR, a.threads), shift(a.g_shift, PAIR, a.threads);
    Shared<T> own_weight(a.g_own_weight, PAIR * WIDTH, a.threads);
    on_threads(a, [&](int64_t thread, auto&& blocks) {
        alignas(64) T tangent[BLOCK * PAIR], hidden[BLOCK * PAIR], gy[BLOCK * PAIR], gpre[BLOCK * PAIR];
        T *to_out = outs.of(thread), *to_weight = weights.of(thread);
        T *to_linear = linear.of(thread), *to_scale = scale.of(thread), *to_shift = shift.of(thread), *to_own_weight = own_weight.of(thread);
        blocks([&](int64_t start, int n) {
            if (a.features) own_products(a, n, a.t_features + start * WIDTH, tangent);
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                for (int half = 0; half < PAIR; half += WIDTH) {
                    const Row<T> own(a.features ? tangent + r * PAIR + half : own_row(a, a.t_own, start + r) + half);
                    const Row<T> dot = own + Row<T>(a.t_first + e.first * PAIR + half) + Row<T>(a.t_second + e.second * PAIR + half);
                    if (!LINEAR) {
                        dot.to(tangent + r * PAIR + half);
                        continue;
                    }
                    const Row<T> pre = pre_of(a, e, start + r, half), sp = sigmoid(pre), s = pre * sp;
                    const Row<T> ds = sp + s - s * sp, dds = (sp - sp * sp) * (ones<T>() * T(2) + pre - s - s);
                    const Row<T> gh(a.g_h + (start + r) * PAIR + half);
                    (ds * dot).to(hidden + r * PAIR + half);
                    (gh * dds * dot).to(a.c_pre + (start + r) * PAIR + half);
                    (gh * ds).to(gpre + r * PAIR + half);
                }
            }
            if (LINEAR) both(n, hidden, a.linear_t, tangent);
            const T* y = (LINEAR ? a.y : a.pre) + start * PAIR;
            T* c_y = (LINEAR ? a.c_y : a.c_pre) + start * PAIR;
            T* g_of_y = LINEAR ? gy : gpre;
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                const Gate<T> gate(a, y + r * PAIR);
                const Row<T> dx0 = gate.core.tangent(Row<T>(tangent + r * PAIR)), dx1 = gate.gate.tangent(Row<T>(tangent + r * PAIR + WIDTH));
                const Row<T> dp = gate.scale0 * dx0, dq = gate.scale1 * dx1;
                const Row<T> ds = gate.ds(), dt = gate.dt();
                const Row<T> dds = (gate.sp - gate.sp * gate.sp) * (ones<T>() * T(2) + gate.p - gate.s - gate.s), ddt = dt * (ones<T>() - gate.t - gate.t);
                const Row<T> along = ds * dp * gate.t + gate.s * dt * dq;  // derivative of s t
                const Row<T> g(a.g_out + (LINEAR ? e.first : start + r) * WIDTH);
                Row<T> gw = g, gp, gq;
                if (LINEAR) {
                    const Row<T> weight(a.weight + e.shared * WIDTH), t_weight(a.t_weight + e.shared * WIDTH);
                    (weight * along + t_weight * gate.s * gate.t).add_to(to_out + e.first * WIDTH);
                    (g * along).add_to(to_weight + e.shared * WIDTH);
                    gw = g * weight;
                    gp = g * t_weight * ds * gate.t, gq = g * t_weight * gate.s * dt;
                } else {
                    along.to(a.c_out + (start + r) * WIDTH);
                    std::memset(&gp, 0, sizeof gp), std::memset(&gq, 0, sizeof gq);
                }
                gp = gp + gw * (dds * dp * gate.t + ds * dt * dq), gq = gq + gw * (ds * dp * dt + gate.s * ddt * dq);
                const Row<T> g_dp = gw * ds * gate.t, g_dq = gw * gate.s * dt;
                if (to_scale) {
                    (gp * gate.core.x + g_dp * dx0).add_to(to_scale), (gq * gate.gate.x + g_dq * dx1).add_to(to_scale + WIDTH);
                    gp.add_to(to_shift), gq.add_to(to_shift + WIDTH);
                }
                through_norm(gate.core, Row<T>(tangent + r * PAIR), dx0, gp * gate.scale0, g_dp * gate.scale0).to(c_y + r * PAIR);
                through_norm(gate.gate, Row<T>(tangent + r * PAIR + WIDTH), dx1, gq * gate.scale1, g_dq * gate.scale1).to(c_y + r * PAIR + WIDTH);
                gate.core.tangent(g_dp * gate.scale0).to(g_of_y + r * PAIR), gate.gate.tangent(g_dq * gate.scale1).to(g_of_y + r * PAIR + WIDTH);
            }
            if (LINEAR && to_linear) both_gradients(n, gy, hidden, to_linear);
            if (to_own_weight) product<T, true>(PAIR, gpre, 1, PAIR, n, a.t_features + start * WIDTH, WIDTH, to_own_weight, WIDTH);
        });
    });
    for (Shared<T>* shared : {&outs, &weights, &linear, &scale, &shift, &own_weight}) shared->reduce();
}

}  // namespace xfunc

#define EXPORT(name, T)                                                                                \
    extern "C" void name##_##T(xfunc::Args<T>* a, int linear) {                                        \
        if (linear) xfunc::name<T, true>(*a); else xfunc::name<T, false>(*a); }
EXPORT(forward, float) EXPORT(forward, double)
EXPORT(backward, float) EXPORT(backward, double)
EXPORT(double_backward, float) EXPORT(double_backward, double)
extern "C" long args_size() { return sizeof(xfunc::Args<float>); }
