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
template <class T> inline void add(T* to, Vec<T> v) { store(to, load(to) + v); }

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

template <class T> inline T sum(Vec<T> v) {
    typedef T Half __attribute__((vector_size(VECTOR_BYTES / 2)));
    typedef T Quarter __attribute__((vector_size(VECTOR_BYTES / 4)));
    Half h[2];
    std::memcpy(h, &v, sizeof v);
    const Half a = h[0] + h[1];
    Quarter q[2];
    std::memcpy(q, &a, sizeof a);
    const Quarter b = q[0] + q[1];
    if constexpr (LANES<T> == 16) return (b[0] + b[1]) + (b[2] + b[3]);
    else if constexpr (LANES<T> == 8) return b[0] + b[1];
    else return b[0];
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

// 1 / (1 + exp(-x)), to a relative error of 2e-7 in float32; exp is 2^n times a polynomial on half of an octave.
inline Vec<float> sigmoid(Vec<float> x) {
    typedef int32_t Int __attribute__((vector_size(VECTOR_BYTES)));
    Vec<float> z = -x;
    z = z > 80.0f ? Vec<float>{} + 80.0f : z;
    z = z < -80.0f ? Vec<float>{} - 80.0f : z;
    const Vec<float> shifted = z * 1.44269504088896341f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
    const Vec<float> n = shifted - 12582912.0f;
    Vec<float> r = z - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    Int power, bits;
    std::memcpy(&power, &shifted, sizeof power);  // n sits in the low bits
    std::memcpy(&bits, &p, sizeof bits);
    bits += power << 23;
    std::memcpy(&p, &bits, sizeof bits);
    return x != x ? x : 1.0f / (p + 1.0f);  // the low bits of a NaN may have made a number of it
}
inline Vec<double> sigmoid(Vec<double> x) {
    for (int i = 0; i < LANES<double>; i++) x[i] = 1 / (1 + std::exp(-x[i]));
    return x;
}
template <class T> inline Row<T> sigmoid(const Row<T>& a) {
    Row<T> c; for (int i = 0; i < VECTORS<T>; i++) c.v[i] = sigmoid(a.v[i]); return c;
}

// C[m, 0:64] (+)= sum over k of A(m, k) B[k, 0:64], for `rows` rows; A(m, k) = a[m * am + k * ak]. Starts from `start` if given.
template <class T, int R, bool ADD>
inline void tile(const T* a, long am, long ak, int depth, const T* b, long ldb, T* c, long ldc, const T* start) {
    Vec<T> total[R][TILE_VECTORS];
    for (int m = 0; m < R; m++)
        for (int j = 0; j < TILE_VECTORS; j++) total[m][j] = start ? load(start + j * LANES<T>) : Vec<T>{};
    for (int k = 0; k < depth; k++) {
        Vec<T> row[TILE_VECTORS];
        for (int j = 0; j < TILE_VECTORS; j++) row[j] = load(b + k * ldb + j * LANES<T>);
        for (int m = 0; m < R; m++) {
            const T factor = a[m * am + k * ak];
            for (int j = 0; j < TILE_VECTORS; j++) total[m][j] += factor * row[j];
        }
    }
    for (int m = 0; m < R; m++)
        for (int j = 0; j < TILE_VECTORS; j++) {
            T* to = c + m * ldc + j * LANES<T>;
            store(to, ADD ? load(to) + total[m][j] : total[m][j]);
        }
}
template <class T, bool ADD>
inline void product(int rows, const T* a, long am, long ak, int depth, const T* b, long ldb, T* c, long ldc, const T* start = nullptr) {
    for (int n = 0; n < WIDTH; n += TILE_VECTORS * LANES<T>) {
        const T* from = start ? start + n : nullptr;
        int m = 0;
        for (; m + TILE_ROWS <= rows; m += TILE_ROWS)
            tile<T, TILE_ROWS, ADD>(a + m * am, am, ak, depth, b + n, ldb, c + m * ldc + n, ldc, from);
        for (; m + 2 <= rows; m += 2) tile<T, 2, ADD>(a + m * am, am, ak, depth, b + n, ldb, c + m * ldc + n, ldc, from);
        for (; m < rows; m++) tile<T, 1, ADD>(a + m * am, am, ak, depth, b + n, ldb, c + m * ldc + n, ldc, from);
    }
}

}  // namespace xfunc
