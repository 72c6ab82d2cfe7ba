// Messages along edges and gates on angles, with their first and second derivatives, block by block of edges.
//
// One block's hidden features never leave the cache. Each kernel is a loop over blocks: gather what the owners of the edges
// add, multiply by small matrices, gate, sum into the owners. Threads take consecutive blocks and have sums of their own,
// which are added in the order of threads: for a given number of threads results are the same to the last bit.
//
// Position p of an edge is p itself or, where an edge and its reverse share a bond ("paired"), bond p / 2 in direction p % 2.
// Notation: first and second are the owners of an edge; own is what its features add, by own weights;
//   pre = at_first + at_second + own,  h = silu(pre),  y = linear h + bias,  out = silu(norm y_core) * sigmoid(norm y_gate),
//   sum over the first owner of out * weight. Without a linear layer y = pre, and out is not summed.
// Derivatives of out follow from x = norm's output, p = scale x + shift (q for the gate), s = silu(p), t = sigmoid(q).
#include "blocks.h"

namespace xfunc {

template <class T, bool LINEAR> void forward(Args<T>& a) {
    Shared<T> sums(LINEAR ? a.out : nullptr, a.n_first * WIDTH, a.threads);
    on_threads(a, [&](int64_t thread, auto&& blocks) {
        alignas(64) T h[BLOCK * PAIR];
        Norms<T> norms;
        T* into = LINEAR ? sums.of(thread) : nullptr;
        blocks([&](int64_t start, int n) {
            T *pre = a.pre + start * PAIR, *own = a.paired ? a.own + (start >> 1) * PAIR : pre;
            own_products(a, start, n, a.features, own);
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                for (int half = 0; half < PAIR; half += WIDTH) {
                    const Row<T> with_first = Row<T>(own + shared_row(a, r) * PAIR + half) + Row<T>(a.at_first + e.first * PAIR + half);
                    const Row<T> sum = with_first + Row<T>(a.at_second + e.second * PAIR + half);
                    if (!a.paired) sum.to(pre + r * PAIR + half);
                    if (LINEAR) (sum * sigmoid(sum)).to(h + r * PAIR + half);
                }
            }
            T* y = LINEAR ? a.y + start * PAIR : pre;
            if (LINEAR) both(n, h, a.linear_t, y, a.bias);
            norms.take(n, y);
            for (int r = 0; r < n; r++) {
                const Edge<T> e = edge(a, start + r);
                for (int c = 0; c < WIDTH; c += LANES<T>) {
                    const Gate<T> gate(a, norms, r, c);
                    if (LINEAR) add(into + e.first * WIDTH + c, gate.s * gate.t * load(a.weight + e.shared * WIDTH + c));
                    else store(a.out + (start + r) * WIDTH + c, gate.s * gate.t);
                }
            }
        });
    });
    reduce(a, {&sums});
}

// Gradients of everything forward reads. `c_y` and `c_pre` of the double backward come in as cot_y and cot_pre.
template <class T, bool LINEAR> void backward(Args<T>& a) {
    Shared<T> firsts(a.g_first, a.n_first * PAIR, a.threads), seconds(a.g_second, a.n_second * PAIR, a.threads);
    Shared<T> weights(LINEAR && !a.paired ? a.g_weight : nullptr, a.n_weight * WIDTH, a.threads);
    Shared<T> linear(a.g_linear, PAIR * WIDTH, a.threads), bias(a.g_bias, PAIR, a.threads);
    Shared<T> scale(a.g_scale, PAIR, a.threads), shift(a.g_shift, PAIR, a.threads), own_weight(a.g_own_weight, PAIR * WIDTH, a.threads);
    on_threads(a, [&](int64_t thread, auto&& blocks) {
        alignas(64) T gy[BLOCK * PAIR], h[BLOCK * PAIR], gpre[BLOCK * PAIR], local[BLOCK * PAIR];
        Norms<T> norms;
        T *to_first = firsts.of(thread), *to_second = seconds.of(thread), *to_weight = a.paired ? a.g_weight : weights.of(thread);
        T *to_linear = linear.of(thread), *all_bias = bias.of(thread), *all_scale = scale.of(thread), *all_shift = shift.of(thread);
        T* to_own_weight = own_weight.of(thread);
        blocks([&](int64_t start, int n) {
            BlockSum<T> to_bias(all_bias), to_scale(all_scale), to_shift(all_shift);
            const T* y = (LINEAR ? a.y : a.pre) + start * PAIR;
            const T* cotangent = LINEAR ? a.cot_y : a.cot_pre;
            T* g_of_y = LINEAR ? gy : gpre;
            norms.take(n, y);
            if (!a.g_out) {  // the loss depends on slopes alone
                std::fill(g_of_y, g_of_y + n * PAIR, T(0));
                if (LINEAR && a.paired) std::fill(to_weight + (start >> 1) * WIDTH, to_weight + ((start + n) >> 1) * WIDTH, T(0));
            }
            for (int r = 0; r < n && a.g_out; r++) {
                const Edge<T> e = edge(a, start + r);
                const T* g_row = a.g_out + (LINEAR ? e.first : start + r) * WIDTH;
                for (int c = 0; c < WIDTH; c += LANES<T>) {
                    const Gate<T> gate(a, norms, r, c);
                    Vec<T> g = load(g_row + c);
                    if (LINEAR) {
                        add_shared(a, r, to_weight + e.shared * WIDTH + c, g * gate.s * gate.t);
                        g *= load(a.weight + e.shared * WIDTH + c);
                    }
                    const Vec<T> gp = g * gate.t * gate.ds(), gq = g * gate.s * gate.dt();
                    if (all_scale) add(to_scale.block + c, gp * gate.x0), add(to_scale.block + WIDTH + c, gq * gate.x1);
                    if (all_shift) add(to_shift.block + c, gp), add(to_shift.block + WIDTH + c, gq);
                    store(g_of_y + r * PAIR + c, gp * gate.scale0), store(g_of_y + r * PAIR + WIDTH + c, gq * gate.scale1);
                }
            }
            norms.back(n, g_of_y, cotangent ? cotangent + start * PAIR : nullptr, all_bias ? to_bias.block : nullptr);
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
                }
            }
            add_pairs(a, n, gpre);
            T* to = a.g_features + shared_row(a, start) * WIDTH;
            product<T, false>(shared_rows(a, n), gpre, PAIR, 1, WIDTH, a.own_weight, WIDTH, to, WIDTH);
            product<T, true>(shared_rows(a, n), gpre + WIDTH, PAIR, 1, WIDTH, a.own_weight + WIDTH * WIDTH, WIDTH, to, WIDTH);
            own_gradients(a, start, n, gpre, a.features, to_own_weight);
        });
    });
    reduce(a, {&firsts, &seconds, &weights, &linear, &bias, &scale, &shift, &own_weight});
}

// Gradients of a norm's input y from those of its output x (g_x) and of its tangent (g_dx): of y through x and through the
// tangent, in place of g_x; and of what backward gave for y, in place of g_dx. u is the tangent of y.
template <class T> inline void back_twice(const Norms<T>& norms, int k, const Row<T>& u, T mean_u, T mean_ux, T* g_x, T* g_dx) {
    const T inverse = norms.inverse[k];
    const Row<T> x = norms.x(k), gx(g_x), gd(g_dx);
    const T mean_d = mean(gd), mean_dx = mean(gd, x), mean_du = mean(gd, u);
    const Row<T> total = gx - (gd * mean_ux + u * mean_dx) * inverse;
    const T mean_total = mean(gx) - (mean_d * mean_ux + mean_u * mean_dx) * inverse;
    const T along_x = mean(gx, x) - 2 * mean_dx * mean_ux * inverse + (mean_du - mean_u * mean_d - mean_ux * mean_dx) * inverse;
    ((total - mean_total - x * along_x) * inverse).to(g_x);
    ((gd - mean_d - x * mean_dx) * inverse).to(g_dx);
}

// Tangents of y along t_, and what they leave in the hidden layer: hidden, its tangent; c_pre, without what comes through y; and
// gpre, what backward gave for h times silu'. Without a linear layer the tangents are those of pre, and nothing else is written.
template <class T, bool LINEAR>
inline void tangents_of_y(const Args<T>& a, int64_t start, int n, const T* own, T* tangent, T* hidden, T* gpre) {
    for (int r = 0; r < n; r++) {
        const Edge<T> e = edge(a, start + r);
        for (int half = 0; half < PAIR; half += WIDTH) {
            const Row<T> with_first = Row<T>(own + shared_row(a, r) * PAIR + half) + Row<T>(a.t_first + e.first * PAIR + half);
            const Row<T> dot = with_first + Row<T>(a.t_second + e.second * PAIR + half);
            if (!LINEAR) {
                dot.to(tangent + r * PAIR + half);
                continue;
            }
            const Row<T> pre = pre_of(a, e, start + r, half), sp = sigmoid(pre), s = pre * sp;
            const Row<T> ds = sp + s - s * sp, dds = (sp - sp * sp) * (pre - s - s + T(2));
            const Row<T> gh(a.g_h + (start + r) * PAIR + half);
            (ds * dot).to(hidden + r * PAIR + half);
            (gh * dds * dot).to(a.c_pre + (start + r) * PAIR + half);
            (gh * ds).to(gpre + r * PAIR + half);
        }
    }
    if (LINEAR) both(n, hidden, a.linear_t, tangent);
}

// Means of a block's tangents, and of them times the norms' outputs.
template <class T> struct Along {
    T one[2 * BLOCK], x[2 * BLOCK];
    Along(int n, const Norms<T>& norms, const T* tangent) {
        for (int k = 0; k < 2 * n; k++) {
            const Row<T> u(tangent + k * WIDTH);
            one[k] = mean(u), x[k] = mean(u, norms.x(k));
        }
    }
};

// Through the gates of a block: gradients of the norms' outputs into g_x, of their tangents into g_dx, and of what is summed over
// edges into the rest.
template <class T, bool LINEAR>
inline void gates_twice(const Args<T>& a, int64_t start, int n, const Norms<T>& norms, const T* tangent, const Along<T>& along,
                        T* to_out, T* to_weight, BlockSum<T>& to_scale, BlockSum<T>& to_shift, T* g_x, T* g_dx) {
    for (int r = 0; r < n; r++) {
        const Edge<T> e = edge(a, start + r);
        const T* g_row = a.g_out + (LINEAR ? e.first : start + r) * WIDTH;
        const int k = 2 * r;
        for (int c = 0; c < WIDTH; c += LANES<T>) {
            const Gate<T> gate(a, norms, r, c);
            const Vec<T> u0 = load(tangent + k * WIDTH + c), u1 = load(tangent + (k + 1) * WIDTH + c);
            const Vec<T> dx0 = (u0 - along.one[k] - gate.x0 * along.x[k]) * norms.inverse[k];
            const Vec<T> dx1 = (u1 - along.one[k + 1] - gate.x1 * along.x[k + 1]) * norms.inverse[k + 1];
            const Vec<T> dp = gate.scale0 * dx0, dq = gate.scale1 * dx1, ds = gate.ds(), dt = gate.dt();
            const Vec<T> slope = ds * dp * gate.t + gate.s * dt * dq;  // derivative of s t
            const Vec<T> g = load(g_row + c);
            Vec<T> gw = g, gp{}, gq{};
            if (LINEAR) {
                const Vec<T> weight = load(a.weight + e.shared * WIDTH + c), t_weight = load(a.t_weight + e.shared * WIDTH + c);
                add(to_out + e.first * WIDTH + c, weight * slope + t_weight * gate.s * gate.t);
                add_shared(a, r, to_weight + e.shared * WIDTH + c, g * slope);
                gw = g * weight;
                gp = g * t_weight * ds * gate.t, gq = g * t_weight * gate.s * dt;
            } else {
                store(a.c_out + (start + r) * WIDTH + c, slope);
            }
            gp += gw * (gate.dds() * dp * gate.t + ds * dt * dq), gq += gw * (ds * dp * dt + gate.s * gate.ddt() * dq);
            const Vec<T> g_dp = gw * ds * gate.t, g_dq = gw * gate.s * dt;
            if (to_scale.into) {
                add(to_scale.block + c, gp * gate.x0 + g_dp * dx0);
                add(to_scale.block + WIDTH + c, gq * gate.x1 + g_dq * dx1);
            }
            if (to_shift.into) add(to_shift.block + c, gp), add(to_shift.block + WIDTH + c, gq);
            store(g_x + k * WIDTH + c, gp * gate.scale0), store(g_x + (k + 1) * WIDTH + c, gq * gate.scale1);
            store(g_dx + k * WIDTH + c, g_dp * gate.scale0), store(g_dx + (k + 1) * WIDTH + c, g_dq * gate.scale1);
        }
    }
}

// Gradients of what backward (without cot_y, cot_pre and gradients of parameters) reads, from gradients t_ of what it writes.
//
// Backward is linear in g_out, so what is differentiated is the derivative of out along t_, times g_out: tangents go forward
// (ẋ = norm's tangent, ṗ = scale ẋ, …), then gradients come back through both the tangents and the values.
template <class T, bool LINEAR> void double_backward(Args<T>& a) {
    Shared<T> outs(LINEAR ? a.c_out : nullptr, a.n_first * WIDTH, a.threads);
    Shared<T> weights(LINEAR && !a.paired ? a.c_weight : nullptr, a.n_weight * WIDTH, a.threads);
    Shared<T> linear(a.g_linear, PAIR * WIDTH, a.threads), scale(a.g_scale, PAIR, a.threads), shift(a.g_shift, PAIR, a.threads);
    Shared<T> own_weight(a.g_own_weight, PAIR * WIDTH, a.threads);
    on_threads(a, [&](int64_t thread, auto&& blocks) {
        alignas(64) T own[BLOCK * PAIR], tangent[BLOCK * PAIR], hidden[BLOCK * PAIR], gy[BLOCK * PAIR], gpre[BLOCK * PAIR];
        Norms<T> norms;
        T *to_out = outs.of(thread), *to_weight = a.paired ? a.c_weight : weights.of(thread);
        T *to_linear = linear.of(thread), *all_scale = scale.of(thread), *all_shift = shift.of(thread);
        T* to_own_weight = own_weight.of(thread);
        blocks([&](int64_t start, int n) {
            BlockSum<T> to_scale(all_scale), to_shift(all_shift);
            own_products(a, start, n, a.t_features, own);
            tangents_of_y<T, LINEAR>(a, start, n, own, tangent, hidden, gpre);
            T* c_y = (LINEAR ? a.c_y : a.c_pre) + start * PAIR;
            T* g_of_y = LINEAR ? gy : gpre;
            norms.take(n, (LINEAR ? a.y : a.pre) + start * PAIR);
            const Along<T> along(n, norms, tangent);
            gates_twice<T, LINEAR>(a, start, n, norms, tangent, along, to_out, to_weight, to_scale, to_shift, c_y, g_of_y);
            for (int k = 0; k < 2 * n; k++)
                back_twice(norms, k, Row<T>(tangent + k * WIDTH), along.one[k], along.x[k], c_y + k * WIDTH, g_of_y + k * WIDTH);
            if (LINEAR && to_linear) both_gradients(n, gy, hidden, to_linear);
            add_pairs(a, n, gpre);
            own_gradients(a, start, n, gpre, a.t_features, to_own_weight);
        });
    });
    reduce(a, {&outs, &weights, &linear, &scale, &shift, &own_weight});
}

}  // namespace xfunc

#define EXPORT(name, T)                                                                                \
    extern "C" void name##_##T(xfunc::Args<T>* a, int linear) {                                        \
        if (linear) xfunc::name<T, true>(*a); else xfunc::name<T, false>(*a); }
EXPORT(forward, float) EXPORT(forward, double)
EXPORT(backward, float) EXPORT(backward, double)
EXPORT(double_backward, float) EXPORT(double_backward, double)
