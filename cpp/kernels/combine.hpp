// Sums of arrays with weights. Included inside the namespace of one instruction set.
#pragma once

template <class T, int W, int N>
inline __attribute__((always_inline)) void combine_tile(std::int32_t n_terms, const T* const* terms, const T* weights,
                                                        T least, std::size_t at, T* out) {
    Vec<T, W> sum[N];
    unroll<N>([&](auto v) { sum[v] = Vec<T, W>{}; });
    for (std::int32_t k = 0; k < n_terms; ++k)
        unroll<N>([&](auto v) { sum[v] += weights[k] * load<T, W>(terms[k] + at + v * W); });
    unroll<N>([&](auto v) { store<T, W>(out + at + v * W, without_rounding<T, W>(sum[v], least)); });
}

template <class T>
void combine(std::size_t n, std::int32_t n_terms, const T* const* terms, const T* weights, T least, T* out) {
    constexpr int W = lanes<T>, N = 4;
    std::size_t at = 0;
    for (; at + N * W <= n; at += N * W)
        combine_tile<T, W, N>(n_terms, terms, weights, least, at, out);
    for (; at + W <= n; at += W)
        combine_tile<T, W, 1>(n_terms, terms, weights, least, at, out);
    for (; at < n; ++at)
        combine_tile<T, 1, 1>(n_terms, terms, weights, least, at, out);
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
