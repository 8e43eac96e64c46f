// Sums of arrays with weights. Included inside the namespace of one instruction set.
#pragma once

// R rows and N vectors of W columns, kept in registers.
template <class T, int W, int N, int R>
inline __attribute__((always_inline)) void combine_tile(const Combination<T>& c, std::size_t at, std::int32_t row) {
    Vec<T, W> sum[R][N];
    unroll<R * N>([&](auto k) { sum[k / N][k % N] = Vec<T, W>{}; });
    const T *from = c.terms + at, *weight = c.weights + row;
    for (std::int32_t term = 0; term < c.n_terms; ++term, from += c.term_stride, weight += c.weight_stride) {
        Vec<T, W> numbers[N];
        unroll<N>([&](auto v) { numbers[v] = load<T, W>(from + v * W); });
        unroll<R * N>([&](auto k) { sum[k / N][k % N] += weight[k / N] * numbers[k % N]; });
    }
    T* const out = c.out + row * c.out_stride + at;
    unroll<R * N>([&](auto k) {
        store<T, W>(out + k / N * c.out_stride + k % N * W,
                    without_rounding<T, W>(sum[k / N][k % N], c.least[row + k / N]));
    });
}

template <class T, int W, int N>
inline void combine_columns(const Combination<T>& c, std::size_t at) {
    std::int32_t row = 0;
    for (; row + 4 <= c.n_rows; row += 4)
        combine_tile<T, W, N, 4>(c, at, row);
    for (; row < c.n_rows; ++row)
        combine_tile<T, W, N, 1>(c, at, row);
}

template <class T>
void combine(const Combination<T>& c) {
    constexpr int W = lanes<T>, N = 2;
    std::size_t at = 0;
    for (; at + N * W <= c.n; at += N * W)
        combine_columns<T, W, N>(c, at);
    for (; at + W <= c.n; at += W)
        combine_columns<T, W, 1>(c, at);
    for (; at < c.n; ++at)
        combine_columns<T, 1, 1>(c, at);
}

template <class T>
bool round_finite(std::size_t n, const double* from, T* to) {
    constexpr std::size_t W = lanes<T>;
    T zero[W] = {}; // as long as all numbers are finite
    std::size_t at = 0;
    for (; at + W <= n; at += W)
        for (std::size_t lane = 0; lane < W; ++lane) {
            const T number = static_cast<T>(from[at + lane]);
            to[at + lane] = number;
            zero[lane] += number - number;
        }
    for (; at < n; ++at) {
        to[at] = static_cast<T>(from[at]);
        zero[0] += to[at] - to[at];
    }
    T sum = 0;
    for (const T number : zero)
        sum += number;
    return sum == T(0);
}
