// What the kernels are made of: their arguments, threads and the sums they share, and what is done block by block.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <memory>
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#include "rows.h"

namespace xfunc {

constexpr int BLOCK = 96;  // positions at a time; even, and a multiple of TILE_ROWS

// What a kernel reads and writes; what it does not need is null. M positions, n owners; matrices are rows of [out][in],
// and those that end in _t of [in][out].
template <class T> struct Args {
    int64_t positions, n_first, n_second, n_weight, paired, threads;
    const int64_t *first, *second;
    const T *at_first, *at_second, *features, *weight;
    T* own;                                     // (M / 2, 128), paired: forward writes it, derivatives read it
    const T *own_weight, *own_weight_t;         // (128, 64) and (64, 128)
    const T *linear, *linear_t, *bias;          // (2, 64, 64), (2, 64, 64), (2, 64)
    const T *scale, *shift;                     // (2, 64)
    T *pre, *y, *out;                           // forward: (M, 128) or null if paired, (M, 128), sums or rows
    const T *g_out, *cot_y, *cot_pre;           // backward: gradient of out; of y and pre from elsewhere
    T *g_h, *g_first, *g_second, *g_features, *g_weight;
    T *g_linear, *g_bias, *g_scale, *g_shift, *g_own_weight;
    const T *t_first, *t_second, *t_features, *t_weight;  // double backward: gradients of the gradients
    T *c_out, *c_y, *c_pre, *c_weight;          // gradients of g_out, y, pre, weight
};

// Sums that several threads add to: the first into the result, the others into copies.
template <class T> class Shared {
    T* result;
    int64_t size, threads;
    std::unique_ptr<T[]> copies;

  public:
    Shared(T* result, int64_t size, int64_t threads)
        : result(result), size(result ? size : 0), threads(threads),
          copies(result && threads > 1 ? new T[size * (threads - 1)] : nullptr) {}
    // Where a thread adds, at zero; to be asked for by each thread once.
    T* of(int64_t thread) {
        T* mine = thread == 0 || !result ? result : copies.get() + (thread - 1) * size;
        std::fill(mine, mine + size, T(0));
        return mine;
    }
    // Adds up a share of what the threads have.
    void reduce(int64_t thread) {
        for (int64_t from = 1; from < threads; from++)
            for (int64_t k = size * thread / threads; k < size * (thread + 1) / threads; k++) result[k] += copies[(from - 1) * size + k];
    }
};
// Adds up all shares of several sums.
template <class T> void reduce(const Args<T>& a, std::initializer_list<Shared<T>*> all) {
    if (a.threads == 1) return;
#pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(a.threads))
    for (int64_t thread = 0; thread < a.threads; thread++)
        for (Shared<T>* shared : all) shared->reduce(thread);
}
// The part of one block in sums over all positions: added up first, so that rounding errors do not grow with their number.
template <class T> struct BlockSum {
    T* into;
    alignas(64) T block[PAIR] = {};
    explicit BlockSum(T* into) : into(into) {}
    ~BlockSum() {
        if (into)
            for (int k = 0; k < PAIR; k++) into[k] += block[k];
    }
};
// Adds to the row of what a pair shares; its first position is the first to write there.
template <class T> inline void add_shared(const Args<T>& a, int r, T* to, Vec<T> v) { store(to, a.paired && !(r & 1) ? v : load(to) + v); }

template <class T> struct Edge { int64_t first, second, shared; };

template <class T> inline Edge<T> edge(const Args<T>& a, int64_t p) {
    const int64_t member = a.paired ? (p >> 1) + (p & 1) * (a.positions >> 1) : p;
    return {a.first[member], a.second[member], a.paired ? p >> 1 : a.second[member]};  // shared: whose weight damps the message
}
// Rows that n positions have of what a pair shares, and which of them is that of position r in a block.
template <class T> inline int shared_rows(const Args<T>& a, int n) { return a.paired ? n / 2 : n; }
template <class T> inline int64_t shared_row(const Args<T>& a, int64_t p) { return a.paired ? p >> 1 : p; }

// While it lives its thread takes denormal numbers for zero, which some processors are a hundred times slower with.
class FlushedDenormals {
#if defined(__SSE2__)
    const unsigned before = _mm_getcsr();

  public:
    FlushedDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushedDenormals() { _mm_setcsr(before); }
#else
  public:
    ~FlushedDenormals() {}  // not on this processor
#endif
};

// Calls body(thread, blocks) on each thread; blocks(block) there calls block(first position, number of positions) for its share.
template <class T, class Body> void on_threads(const Args<T>& a, const Body& body) {
    const int64_t blocks = (a.positions + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(a.threads)) if (a.threads > 1)
    for (int64_t thread = 0; thread < a.threads; thread++) {
        const FlushedDenormals flushed;
        body(thread, [&](auto&& block) {
            for (int64_t b = blocks * thread / a.threads; b < blocks * (thread + 1) / a.threads; b++)
                block(b * BLOCK, static_cast<int>(std::min<int64_t>(BLOCK, a.positions - b * BLOCK)));
        });
    }
}

// Two products side by side: core and gate, each with its own 64 x 64 matrix.
template <class T> inline void both(int n, const T* a, const T* matrices, T* c, const T* start = nullptr) {
    for (int half = 0; half < 2; half++)
        product<T, false>(n, a + half * WIDTH, PAIR, 1, WIDTH, matrices + half * WIDTH * WIDTH, WIDTH, c + half * WIDTH, PAIR,
                          start ? start + half * WIDTH : nullptr);
}
// Gradient of these matrices: sums over positions of gradient times input.
template <class T> inline void both_gradients(int n, const T* gradient, const T* input, T* into) {
    for (int half = 0; half < 2; half++)
        product<T, true>(WIDTH, gradient + half * WIDTH, 1, PAIR, n, input + half * WIDTH, PAIR, into + half * WIDTH * WIDTH, WIDTH);
}
// What features add to pre, (., 64) to (., 128), for the positions of a block.
template <class T> inline void own_products(const Args<T>& a, int64_t start, int n, const T* features, T* c) {
    const T* from = features + shared_row(a, start) * WIDTH;
    for (int half = 0; half < 2; half++)
        product<T, false>(shared_rows(a, n), from, WIDTH, 1, WIDTH, a.own_weight_t + half * WIDTH, PAIR, c + half * WIDTH, PAIR);
}
// Gradient of own weights from that of what they added.
template <class T> inline void own_gradients(const Args<T>& a, int64_t start, int n, const T* gradient, const T* features, T* into) {
    if (into) product<T, true>(PAIR, gradient, 1, PAIR, shared_rows(a, n), features + shared_row(a, start) * WIDTH, WIDTH, into, WIDTH);
}
// Adds up what the two positions of each pair have in a block, (n, 128) to (n / 2, 128) in place.
template <class T> inline void add_pairs(const Args<T>& a, int n, T* rows) {
    if (a.paired)
        for (int r = 0; r < n; r += 2)
            for (int half = 0; half < PAIR; half += WIDTH) {
                const T* pair = rows + r * PAIR + half;
                (Row<T>(pair) + Row<T>(pair + PAIR)).to(rows + (r >> 1) * PAIR + half);
            }
}

// pre of one half of a position: saved, or gathered again.
template <class T> inline Row<T> pre_of(const Args<T>& a, const Edge<T>& e, int64_t p, int half) {
    if (a.pre) return Row<T>(a.pre + p * PAIR + half);
    const Row<T> own(a.own + (p >> 1) * PAIR + half);
    return own + Row<T>(a.at_first + e.first * PAIR + half) + Row<T>(a.at_second + e.second * PAIR + half);
}

// Mean and 1 / standard deviation of core and gate of each position in a block. These sums have loops of their own, because a
// long loop around them would wait for each.
template <class T> struct Norms {
    const T* y;
    T mean[2 * BLOCK], inverse[2 * BLOCK];
    void take(int n, const T* rows) {
        y = rows;
        for (int k = 0; k < 2 * n; k++) {
            const Row<T> a(y + k * WIDTH);
            mean[k] = xfunc::mean(a);
            const Row<T> centred = a - mean[k];
            inverse[k] = T(1) / std::sqrt(xfunc::mean(centred, centred) + T(EPSILON));
        }
    }
    Row<T> x(int k) const { return (Row<T>(y + k * WIDTH) - mean[k]) * inverse[k]; }
    Vec<T> x(int k, int column) const { return (load(y + k * WIDTH + column) - mean[k]) * inverse[k]; }
    // Gradients of the norms' inputs, in place of those of their outputs; what comes from elsewhere is added.
    void back(int n, T* g, const T* elsewhere, T* bias) const {
        for (int k = 0; k < 2 * n; k++) {
            const Row<T> from(g + k * WIDTH), normal = x(k);
            Row<T> into = (from - xfunc::mean(from) - normal * xfunc::mean(from, normal)) * inverse[k];
            if (elsewhere) into = into + Row<T>(elsewhere + k * WIDTH);
            into.to(g + k * WIDTH);
            if (bias) into.add_to(bias + (k & 1) * WIDTH);
        }
    }
};

// A vector of columns of one position's gate, with its derivatives.
template <class T> struct Gate {
    Vec<T> x0, x1, scale0, scale1, p, sp, s, t;
    Gate(const Args<T>& a, const Norms<T>& norms, int r, int column)
        : x0(norms.x(2 * r, column)), x1(norms.x(2 * r + 1, column)),
          scale0(load(a.scale + column)), scale1(load(a.scale + WIDTH + column)),
          p(x0 * scale0 + load(a.shift + column)), sp(sigmoid(p)), s(p * sp), t(sigmoid(x1 * scale1 + load(a.shift + WIDTH + column))) {}
    Vec<T> ds() const { return sp + s - s * sp; }                        // silu'(p)
    Vec<T> dds() const { return (sp - sp * sp) * (T(2) + p - s - s); }   // silu''(p)
    Vec<T> dt() const { return t - t * t; }                              // sigmoid'(q)
    Vec<T> ddt() const { return dt() * (T(1) - t - t); }                 // sigmoid''(q)
};

}  // namespace xfunc
