// Vectors of W numbers as a plain type with arithmetic operators, through the vector extensions that GCC and
// Clang share. Included inside the namespace of one instruction set.
#pragma once

template <class T, int W>
struct VecOf {
    typedef T type __attribute__((vector_size(W * sizeof(T))));
    typedef T unaligned __attribute__((vector_size(W * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <class T, int W>
using Vec = typename VecOf<T, W>::type;

template <class T, int W>
inline __attribute__((always_inline)) Vec<T, W> load(const T* p) {
    return *reinterpret_cast<const typename VecOf<T, W>::unaligned*>(p);
}
template <class T, int W>
inline __attribute__((always_inline)) void store(T* p, Vec<T, W> v) {
    *reinterpret_cast<typename VecOf<T, W>::unaligned*>(p) = v;
}
template <class T, int W>
inline __attribute__((always_inline)) Vec<T, W> broadcast(T v) {
    return v - Vec<T, W>{};
}

// Every other lane, from First on.
template <class T, int W, int First>
inline __attribute__((always_inline)) Vec<T, W / 2> alternate(Vec<T, W> v) {
    return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        return __builtin_shufflevector(v, v, (2 * I + First)...);
    }(std::make_integer_sequence<int, W / 2>{});
}

// Each lane twice.
template <class T, int W>
inline __attribute__((always_inline)) Vec<T, W> doubled(Vec<T, W / 2> v) {
    return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        return __builtin_shufflevector(v, v, (I / 2)...);
    }(std::make_integer_sequence<int, W>{});
}

// Two numbers that follow each other, again and again.
template <class T, int W>
inline __attribute__((always_inline)) Vec<T, W> broadcast_pair(const T* p) {
    static_assert(sizeof(T) == 4);
    std::int64_t both;
    std::memcpy(&both, p, sizeof(both));
    return reinterpret_cast<Vec<T, W>>(broadcast<std::int64_t, W / 2>(both));
}

// Widest vector of this instruction set, in bytes, and the number of vector registers.
#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64, vector_registers = 32;
#elif defined(__AVX2__)
inline constexpr int vector_bytes = 32, vector_registers = 16;
#elif defined(__aarch64__)
inline constexpr int vector_bytes = 16, vector_registers = 32;
#else
inline constexpr int vector_bytes = 16, vector_registers = 16;
#endif
template <class T>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

// Calls f with vectors no wider than a padded number of radial functions asks for.
template <class T, class F>
inline __attribute__((always_inline)) void with_width(std::int32_t n_pad, F&& f) {
    if (n_pad % lanes<T> == 0)
        return f.template operator()<lanes<T>>();
    if constexpr (vector_bytes > 16) {
        if (n_pad % (lanes<T> / 2) == 0)
            return f.template operator()<lanes<T> / 2>();
        if constexpr (vector_bytes > 32)
            f.template operator()<lanes<T> / 4>();
    }
}

// Calls f with the constants 0 .. N - 1. Loops over arrays of vectors are written with it, since compilers
// keep such an array in registers only where every index is a constant from the start.
template <int N, class F>
inline __attribute__((always_inline)) void unroll(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        (f(std::integral_constant<int, I>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

// Exchanges rows and columns of a W x W matrix held in W vectors: at each step, pairs of vectors exchange
// their odd and even runs of `Run` lanes.
template <class T, int W, int Run = 1>
inline __attribute__((always_inline)) void transpose(Vec<T, W> (&rows)[W]) {
    if constexpr (Run < W) {
        const auto exchange = [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
            unroll<W>([&](auto r) {
                if constexpr ((r & Run) == 0) {
                    const Vec<T, W> low = rows[r], high = rows[r + Run];
                    rows[r] = __builtin_shufflevector(low, high, ((I & Run) == 0 ? I : W + I - Run)...);
                    rows[r + Run] = __builtin_shufflevector(low, high, ((I & Run) == 0 ? I + Run : W + I)...);
                }
            });
        };
        exchange(std::make_integer_sequence<int, W>{});
        transpose<T, W, 2 * Run>(rows);
    }
}

// to[column][row] = from[row][column] of a W x W matrix.
template <class T, int W>
inline __attribute__((always_inline)) void transpose(const T* from, std::size_t from_stride, T* to,
                                                     std::size_t to_stride) {
    Vec<T, W> rows[W];
    unroll<W>([&](auto r) { rows[r] = load<T, W>(from + r * from_stride); });
    transpose<T, W>(rows);
    unroll<W>([&](auto r) { store<T, W>(to + r * to_stride, rows[r]); });
}

template <class V>
inline __attribute__((always_inline)) auto sum_of_lanes(V v) {
    auto sum = v[0];
    for (std::size_t k = 1; k < sizeof(V) / sizeof(sum); ++k)
        sum += v[k];
    return sum;
}
