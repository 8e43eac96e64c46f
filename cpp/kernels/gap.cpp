// The kernels of gap.hpp, compiled as those of kernels.cpp.
#include "kernels/gap.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

namespace atomprint::ATOMPRINT_ISA {

#include "kernels/simd.hpp"

namespace {

// R rows and N vectors of columns, kept in registers.
template <int N, int R>
void product_tile(const BlockProduct& p) {
    constexpr int W = lanes<double>;
    using V = Vec<double, W>;
    V c[R][N];
    unroll<R * N>(
        [&](auto k) { c[k / N][k % N] = p.add ? load<double, W>(p.c + k / N * p.c_stride + k % N * W) : V{}; });
    const double *a = p.a, *b = p.b;
    for (std::int32_t k = 0; k < p.depth; ++k) {
        V row[N];
        unroll<N>([&](auto v) { row[v] = load<double, W>(b + v * W); });
        unroll<R>([&](auto r) {
            const double factor = a[r * p.row_stride];
            unroll<N>([&](auto v) { c[r][v] += factor * row[v]; });
        });
        a += p.depth_stride, b += block_columns;
    }
    unroll<R * N>([&](auto k) { store<double, W>(p.c + k / N * p.c_stride + k % N * W, c[k / N][k % N]); });
}

// As many rows as leave registers for a row of b and a factor.
template <int N>
inline constexpr int tile_rows = (vector_registers - N - 2) / N > 12 ? 12 : (vector_registers - N - 2) / N;

template <int N>
void product_rows(BlockProduct p) {
    static constexpr auto tile = []<int... R>(std::integer_sequence<int, R...>) {
        return std::array<void (*)(const BlockProduct&), sizeof...(R)>{product_tile<N, R + 1>...};
    }(std::make_integer_sequence<int, tile_rows<N>>{});
    std::int32_t left = p.rows;
    for (std::int32_t tiles = (left + tile_rows<N> - 1) / tile_rows<N>; tiles > 0; --tiles) {
        const std::int32_t rows = (left + tiles - 1) / tiles;
        tile[static_cast<std::size_t>(rows - 1)](p);
        p.a += rows * p.row_stride, p.c += rows * p.c_stride;
        left -= rows;
    }
}

void multiply(const BlockProduct& product) {
    constexpr int W = lanes<double>, most = vector_registers > 16 ? 4 : 2;
    BlockProduct p = product;
    for (std::int32_t v = product.columns / W; v > 0;) {
        const auto take = [&]<int N>() {
            product_rows<N>(p);
            p.b += N * W, p.c += N * W, v -= N;
        };
        if (most > 2 && v >= 4)
            take.template operator()<most>();
        else if (most > 2 && v == 3)
            take.template operator()<(most > 2 ? 3 : 2)>();
        else if (v >= 2)
            take.template operator()<2>();
        else
            take.template operator()<1>();
    }
}

// The power x^(zeta - 1) for a function that makes it.
template <class F>
inline __attribute__((always_inline)) void powers(std::int32_t rows, std::int32_t columns, double zeta,
                                                  const double* factors, double* u, double* sums, F&& less_one) {
    constexpr int W = lanes<double>;
    using V = Vec<double, W>;
    for (std::int32_t j = 0; j < columns; j += W) {
        V sum{};
        for (std::int32_t i = 0; i < rows; ++i) {
            double* const at = u + i * block_columns + j;
            V x = load<double, W>(at);
            const V scaled = factors[i] * less_one(x);
            sum += scaled * x;
            store<double, W>(at, zeta * scaled);
        }
        for (int k = 0; k < W; ++k)
            sums[j + k] += sum[k];
    }
}

void power(std::int32_t rows, std::int32_t columns, double zeta, const double* factors, double* u, double* sums) {
    constexpr int W = lanes<double>;
    using V = Vec<double, W>;
    const double exponent = zeta - 1.0;
    const auto with = [&](auto&& less_one) { powers(rows, columns, zeta, factors, u, sums, less_one); };
    if (zeta == 1.0)
        with([](V) { return broadcast<double, W>(1.0); });
    else if (zeta == 2.0)
        with([](V x) { return x; });
    else if (zeta == 4.0)
        with([](V x) { return x * x * x; });
    else if (zeta == std::floor(zeta) && zeta <= 64.0)
        with([n = static_cast<int>(zeta) - 1](V x) {
            V result = broadcast<double, W>(1.0);
            for (int k = n; k > 0; k >>= 1) {
                if (k & 1)
                    result *= x;
                x *= x;
            }
            return result;
        });
    else
        with([exponent](V& x) {
            V result{}; // filled lane by lane
            for (int k = 0; k < W; ++k) {
                x[k] = x[k] > 0.0 ? x[k] : 0.0;
                result[k] = std::pow(x[k], exponent);
            }
            return result;
        });
}

void transpose_all(std::int32_t rows, std::int32_t columns, const double* a, std::size_t a_stride, double* out,
                   std::size_t out_stride) {
    constexpr int W = lanes<double>;
    std::int32_t i = 0;
    for (; i + W <= rows; i += W) {
        std::int32_t j = 0;
        for (; j + W <= columns; j += W)
            transpose<double, W>(a + i * a_stride + j, a_stride, out + j * out_stride + i, out_stride);
        for (; j < columns; ++j)
            for (int r = 0; r < W; ++r)
                out[j * out_stride + i + r] = a[(i + r) * a_stride + j];
    }
    for (; i < rows; ++i)
        for (std::int32_t j = 0; j < columns; ++j)
            out[j * out_stride + i] = a[i * a_stride + j];
}

} // namespace

extern const GapKernels gap;
const GapKernels gap{lanes<double>, multiply, power, transpose_all};

} // namespace atomprint::ATOMPRINT_ISA
