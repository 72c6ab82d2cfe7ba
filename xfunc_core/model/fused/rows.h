// Arithmetic on rows of 64 features: vectors, exp, layer norm, and a small matrix product. Header of kernels.cpp.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace xfunc {

constexpr int WIDTH = 64;        // features of a row
constexpr int PAIR = 2 * WIDTH;  // core and gate side by side
constexpr double EPSILON = 1e-5;  // of the layer norm

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, TILE_VECTORS = 4;
#else
constexpr int VECTOR_BYTES = 32, TILE_VECTORS = 2;
#endif
constexpr int TILE_ROWS = 6;  // with TILE_VECTORS fills the registers with sums

template <class T> struct Simd { typedef T type __attribute__((vector_size(VECTOR_BYTES))); };
template <class T> using Vec = typename Simd<T>::type;
template <class T> constexpr int LANES = VECTOR_BYTES / sizeof(T);
template <class T> constexpr int VECTORS = WIDTH / LANES<T>;

template <class T> inline Vec<T> load(const T* from) { Vec<T> v; std::memcpy(&v, from, sizeof v); return v; }
template <class T> inline void store(T* to, Vec<T> v) { std::memcpy(to, &v, sizeof v); }

// 64 features in registers.
template <class T> struct Row {
    Vec<T> v[VECTORS<T>];
    Row() = default;
    explicit Row(const T* from) { for (int i = 0; i < VECTORS<T>; i++) v[i] = load(from + i * LANES<T>); }
    void to(T* out) const { for (int i = 0; i < VECTORS<T>; i++) store(out + i * LANES<T>, v[i]); }
    void add_to(T* out) const { for (int i = 0; i < VECTORS<T>; i++) store(out + i * LANES<T>, load(out + i * LANES<T>) + v[i]); }
};
#define ROW_OP(op)                                                                                                              \
    template <class T> inline Row<T> operator op(const Row<T>& a, const Row<T>& b) {                                            \
        Row<T> c; for (int i = 0; i < VECTORS<T>; i++) c.v[i] = a.v[i] op b.v[i]; return c; }                                   \
    template <class T> inline Row<T> operator op(const Row<T>& a, T b) {                                                        \
        Row<T> c; for (int i = 0; i < VECTORS<T>; i++) c.v[i] = a.v[i] op b; return c; }
ROW_OP(+) ROW_OP(-) ROW_OP(*)
#undef ROW_OP
template <class T> inline Row<T> ones() { Row<T> c; for (int i = 0; i < VECTORS<T>; i++) c.v[i] = Vec<T>{} + T(1); return c; }

template <class T> inline T sum(Vec<T> v) {
    typedef T half __attribute__((vector_size(VECTOR_BYTES / 2)));
    typedef T quarter __attribute__((vector_size(VECTOR_BYTES / 4)));
    half h[2]; std::memcpy(h, &v, sizeof v);
    const half a = h[0] + h[1];
    quarter q[2]; std::memcpy(q, &a, sizeof a);
    const quarter b = q[0] + q[1];
    T total = 0;
    for (int i = 0; i < LANES<T> / 4; i++) total += b[i];
    return total;
}
template <class T> inline T mean(const Row<T>& a) {
    Vec<T> total = a.v[0];
    for (int i = 1; i < VECTORS<T>; i++) total += a.v[i];
    return sum<T>(total) * T(1.0 / WIDTH);
}
template <class T> inline T mean(const Row<T>& a, const Row<T>& b) {
    Vec<T> total = a.v[0] * b.v[0];
    for (int i = 1; i < VECTORS<T>; i++) total += a.v[i] * b.v[i];
    return sum<T>(total) * T(1.0 / WIDTH);
}

// exp(x) for x <= 80 in float32: 2^n times a polynomial on half of an octave; relative error 1e-7.
inline Vec<float> exponential(Vec<float> x) {
    typedef int32_t Int __attribute__((vector_size(VECTOR_BYTES)));
    x = x < -87.0f ? Vec<float>{} - 87.0f : x;
    const Vec<float> shifted = x * 1.44269504088896341f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
    const Vec<float> n = shifted - 12582912.0f;
    Vec<float> r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    Int power; std::memcpy(&power, &shifted, sizeof power);  // n sits in the low bits
    Int bits; std::memcpy(&bits, &p, sizeof bits);
    bits += power << 23;
    std::memcpy(&p, &bits, sizeof bits);
    return p;
}
inline Vec<double> exponential(Vec<double> x) {
    for (int i = 0; i < LANES<double>; i++) x[i] = std::exp(x[i]);
    return x;
}
template <class T> inline Vec<T> sigmoid(Vec<T> x) {
    Vec<T> z = -x;
    z = z > T(80) ? Vec<T>{} + T(80) : z;
    return T(1) / (T(1) + exponential(z));
}
template <class T> inline Row<T> sigmoid(const Row<T>& a) {
    Row<T> c; for (int i = 0; i < VECTORS<T>; i++) c.v[i] = sigmoid<T>(a.v[i]); return c;
}

// A layer norm of one row: the row without mean, at unit variance, and what it was divided by.
template <class T> struct Norm {
    Row<T> x;
    T inverse;  // 1 / standard deviation
    explicit Norm(const Row<T>& a) {
        const Row<T> centred = a - mean(a);
        inverse = T(1) / std::sqrt(mean(centred, centred) + T(EPSILON));
        x = centred * inverse;
    }
    // Derivative along u, and, being symmetric, also the gradient from u.
    Row<T> tangent(const Row<T>& u) const { return (u - mean(u) - x * mean(u, x)) * inverse; }
};

// Gradient of a norm's input from that of its output x (gx) and of its tangent dx along u (g_dx).
template <class T> inline Row<T> through_norm(const Norm<T>& norm, const Row<T>& u, const Row<T>& dx, const Row<T>& gx, const Row<T>& g_dx) {
    const Row<T> total = gx - (g_dx * mean(u, norm.x) + u * mean(g_dx, norm.x)) * norm.inverse;
    return (total - mean(total) - norm.x * (mean(total, norm.x) + mean(g_dx, dx))) * norm.inverse;
}

// C[m, 0:64] (+)= sum over k of A(m, k) B[k, 0:64], for `rows` rows; A(m, k) = a[m * am + k * ak]. Starts from `start` if given.
template <class T, int R, bool ADD> inline void tile(const T* a, long am, long ak, int depth, const T* b, long ldb, T* c, long ldc, const T* start) {
    Vec<T> total[R][TILE_VECTORS];
    for (int m = 0; m < R; m++)
        for (int j = 0; j < TILE_VECTORS; j++) total[m][j] = ADD ? load(c + m * ldc + j * LANES<T>) : start ? load(start + j * LANES<T>) : Vec<T>{};
    for (int k = 0; k < depth; k++) {
        Vec<T> row[TILE_VECTORS];
        for (int j = 0; j < TILE_VECTORS; j++) row[j] = load(b + k * ldb + j * LANES<T>);
        for (int m = 0; m < R; m++) {
            const T factor = a[m * am + k * ak];
            for (int j = 0; j < TILE_VECTORS; j++) total[m][j] += factor * row[j];
        }
    }
    for (int m = 0; m < R; m++)
        for (int j = 0; j < TILE_VECTORS; j++) store(c + m * ldc + j * LANES<T>, total[m][j]);
}
template <class T, bool ADD> inline void product(int rows, const T* a, long am, long ak, int depth, const T* b, long ldb, T* c, long ldc, const T* start = nullptr) {
    for (int n = 0; n < WIDTH; n += TILE_VECTORS * LANES<T>) {
        const T* from = start ? start + n : nullptr;
        int m = 0;
        for (; m + TILE_ROWS <= rows; m += TILE_ROWS) tile<T, TILE_ROWS, ADD>(a + m * am, am, ak, depth, b + n, ldb, c + m * ldc + n, ldc, from);
        for (; m + 2 <= rows; m += 2) tile<T, 2, ADD>(a + m * am, am, ak, depth, b + n, ldb, c + m * ldc + n, ldc, from);
        for (; m < rows; m++) tile<T, 1, ADD>(a + m * am, am, ak, depth, b + n, ldb, c + m * ldc + n, ldc, from);
    }
}

}  // namespace xfunc
