// The power spectrum and the density expansion run backwards: from weights on features to weights on
// coefficients, and from these to the vectors to the neighbours. Included inside the namespace of one
// instruction set.
#pragma once

// out[m] += sum over k < K of c[m][k] r[k] for each of some rows, `stride` apart.
template <class T, int W, int K>
inline __attribute__((always_inline)) void add_rows(const Vec<T, W> (&r)[K], const T* c, std::size_t stride,
                                                    std::int32_t rows, T* out) {
    for (std::int32_t m = 0; m < rows; ++m, c += stride, out += stride) {
        Vec<T, W> even = load<T, W>(out), odd{};
        unroll<K / 2>([&](auto k) {
            even += c[2 * k] * r[2 * k];
            odd += c[2 * k + 1] * r[2 * k + 1];
        });
        store<T, W>(out, even + odd);
    }
}

// out[m][n'] += sum over n of c[m][n] g[n][n'], or with Transposed of c[m][n'] g[n'][n], for a matrix of n_max rows of
// which whole vectors can be read: W columns of the result at a time, with K rows of the matrix in registers. Rows
// beyond the last are the last again; columns of c beyond n_max are zero.
template <class T, int W, bool Transposed>
void add_product_with(const T* g, std::size_t g_stride, std::int32_t n_max, std::int32_t n_pad, const T* c,
                      std::size_t stride, std::int32_t rows, T* out) {
    const auto row = [&](std::int32_t n) { return g + (n < n_max ? n : n_max - 1) * g_stride; };
    for (std::int32_t v = 0; v < n_pad; v += W)
        for (std::int32_t n = 0; n < n_max;) {
            const auto strip = [&]<int K>() __attribute__((always_inline)) {
                Vec<T, W> r[K];
                if constexpr (Transposed)
                    unroll<(K + W - 1) / W>([&](auto tile) {
                        Vec<T, W> columns[W];
                        unroll<W>([&](auto k) { columns[k] = load<T, W>(row(v + k) + n + tile * W); });
                        transpose<T, W>(columns);
                        unroll<(K < W ? K : W)>([&](auto k) { r[tile * W + k] = columns[k]; });
                    });
                else
                    unroll<K>([&](auto k) { r[k] = load<T, W>(row(n + k) + v); });
                add_rows<T, W, K>(r, c + n, stride, rows, out + v);
                n += K;
            };
            constexpr int most = W > 8 ? W : 8;
            const std::int32_t left = n_max - n;
            if (left > most / 2 && n_pad - n >= most)
                strip.template operator()<most>();
            else if (left > most / 4 && n_pad - n >= most / 2)
                strip.template operator()<most / 2>();
            else
                strip.template operator()<most / 4>();
        }
}

// From the upper triangle of G, row by row, to G + G^T in n_pad columns.
template <class T, int W>
void symmetric_matrix(const T* g, std::int32_t n_max, std::int32_t n_pad, T* matrix) {
    using V = Vec<T, W>;
    T numbers[W];
    for (int k = 0; k < W; ++k)
        numbers[k] = static_cast<T>(k);
    const V lane = load<T, W>(numbers);
    for (std::int32_t i = 0; i < n_pad; i += W)
        for (std::int32_t j = i; j < n_pad; j += W) {
            V tile[W];
            unroll<W>([&](auto k) {
                const std::int32_t n = i + k < n_max ? i + k : n_max - 1;
                tile[k] = load<T, W>(g + n * n_max - n * (n - 1) / 2 - n + j);
                if (i == j) // what stands before the start of the row is part of the one before
                    tile[k] = lane >= static_cast<T>(int(k)) ? tile[k] : V{};
            });
            const auto put = [&](std::int32_t row, std::int32_t column,
                                 const V(&rows)[W]) __attribute__((always_inline)) {
                unroll<W>([&](auto k) { store<T, W>(matrix + (row + k) * n_pad + column, rows[k]); });
            };
            V other[W];
            unroll<W>([&](auto k) { other[k] = tile[k]; });
            transpose<T, W>(other);
            if (i == j) {
                unroll<W>([&](auto k) { tile[k] += other[k]; });
                put(i, i, tile);
            } else {
                put(i, j, tile);
                put(j, i, other);
            }
        }
}

template <class T>
std::size_t couple_scratch(std::int32_t n_pad) {
    return static_cast<std::size_t>(2 * n_pad + 1) * (n_pad + 1) + lanes<T>;
}

// Each block of cotangents G is read once, for both of its groups: adjoint_a = G c_b and adjoint_b = G^T c_a.
template <class T, int W>
void couple_with(const PowerModel<T>& model, const T* cotangent, const T* next, const PowerBlock* blocks,
                 std::int32_t n_blocks, std::int32_t n_pad, const Coefficients<T>& c, T* adjoint, T* scratch) {
    const std::int32_t n_max = model.n_max;
    const std::size_t n_columns = c.n_columns;
    const std::size_t n_numbers = n_columns * (model.l_max + 1) * (model.l_max + 1);
    for (std::size_t k = 0; k < n_numbers; ++k)
        adjoint[k] = T(0);
    T* const last = scratch + n_pad * n_pad;
    for (std::int32_t k = 0; k < n_blocks; ++k) {
        const PowerBlock& block = blocks[k];
        const std::int32_t per_l = block.triangular ? n_max * (n_max + 1) / 2 : n_max * n_max;
        const T *g = cotangent + block.first, *const behind = k + 1 < n_blocks ? cotangent + blocks[k + 1].first
                                                                               : next + blocks[0].first;
        for (std::int32_t l = 0; l <= model.l_max; ++l, g += per_l) {
            // Meanwhile the block after this one comes from memory.
            for (std::int32_t f = 0; f < per_l; f += static_cast<std::int32_t>(64 / sizeof(T)))
                __builtin_prefetch(behind + l * per_l + f);
            const T* matrix = g;
            if ((model.l_max - l) * per_l < n_pad - n_max) { // the last row would be read beyond the end of all
                for (std::int32_t f = 0; f < per_l; ++f)
                    last[f] = g[f];
                matrix = last;
            }
            const T* const own = c.data + c.first[l];
            T* const to = adjoint + c.first[l];
            const std::int32_t rows = 2 * l + 1;
            if (block.triangular) {
                symmetric_matrix<T, W>(matrix, n_max, n_pad, scratch);
                add_product_with<T, W, false>(scratch, n_pad, n_max, n_pad, own + block.a, n_columns, rows,
                                              to + block.a);
            } else {
                add_product_with<T, W, false>(matrix, n_max, n_max, n_pad, own + block.a, n_columns, rows,
                                              to + block.b);
                add_product_with<T, W, true>(matrix, n_max, n_max, n_pad, own + block.b, n_columns, rows, to + block.a);
            }
        }
    }
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        T* const to = adjoint + c.first[l];
        for (std::size_t f = 0; f < (2 * l + 1) * n_columns; ++f)
            to[f] *= model.prefactor[l];
    }
}

template <class T>
std::size_t backward_scratch(const ExpansionModel<T>& model) {
    constexpr std::size_t Y = lanes<T>;
    const std::size_t n_lm = static_cast<std::size_t>(model.l_max + 1) * (model.l_max + 1);
    const std::size_t n_functions = static_cast<std::size_t>(model.radial.n_pad) * (model.l_max + 1) + Y;
    return n_lm * (Y + zone_rank) + 4 * Y * (n_functions + zone_rank);
}

// What a block of neighbours, one in each lane, has at hand.
template <class T>
struct BackwardBlock {
    const T *values, *slopes; // [function][lane], weighted radial functions and their derivatives
    std::size_t per_l;        // functions from one l to the next
    std::int32_t n;           // functions of one l
    const T* harmonics;       // [l, m][lane]
};

// With U_lm = sum_n R_n adjoint_nlm and U'_lm the same with the slopes, adds up the radial sum over U'_lm
// Y_lm and, by the formulas in harmonics.hpp, the sum over U_lm grad Y_lm. rows(l) gives the
// adjoint's row of m = -l, from which the others follow `stride` apart. N is the number of functions, 0 where
// it is not known.
template <class T, int N, class Rows>
inline void contract(const ExpansionModel<T>& model, const BackwardBlock<T>& block, const Rows& rows,
                     std::size_t stride, Vec<T, lanes<T>> (&sums)[4]) {
    constexpr int Y = lanes<T>;
    using V = Vec<T, Y>;
    const std::int32_t n = N > 0 ? N : block.n;
    const auto radial = [&](std::int32_t l) { return block.values + l * block.per_l * Y; };
    const auto slopes = [&](std::int32_t l) { return block.slopes + l * block.per_l * Y; };
    add_gradients<T>(
        model.l_max, model.harmonics_gradient, block.harmonics, sums,
        [&](std::int32_t l, V& u, V& du) __attribute__((always_inline)) {
            const T *const f = radial(l), *const df = slopes(l), *const middle = rows(l) + l * stride;
            for (std::int32_t k = 0; k < n; ++k) {
                u += middle[k] * load<T, Y>(f + k * Y);
                du += middle[k] * load<T, Y>(df + k * Y);
            }
        },
        [&](std::int32_t l, std::int32_t m, V& c, V& s, V& dc, V& ds) __attribute__((always_inline)) {
            const T *const f = radial(l), *const df = slopes(l), *const middle = rows(l) + l * stride;
            const T *const up = middle + m * stride, *const down = middle - m * stride;
            for (std::int32_t k = 0; k < n; ++k) {
                const V value = load<T, Y>(f + k * Y), slope = load<T, Y>(df + k * Y);
                c += up[k] * value, dc += up[k] * slope;
                s += down[k] * value, ds += down[k] * slope;
            }
        });
}

template <class T, int W>
void backward_with(const ExpansionModel<T>& model, const Neighbourhood& nb, T* scratch, const Coefficients<T>& adjoint,
                   const std::int32_t* column, double* const* gradient) {
    constexpr int Y = lanes<T>;
    constexpr int Z = lanes<T> < zone_rank ? lanes<T> : zone_rank;
    const std::int32_t n_l = model.l_max + 1, n_lm = n_l * n_l, n_pad = model.radial.n_pad;
    T* const short_adjoint = scratch; // [l, m][q] of one zone
    T* const harmonics = short_adjoint + static_cast<std::size_t>(n_lm) * zone_rank;
    T* const by_neighbour = harmonics + static_cast<std::size_t>(n_lm) * Y;
    double ones[Y];
    std::int32_t n_first[largest_n];
    for (double& one : ones)
        one = 1.0;
    for (std::int32_t n = 0; n < model.n_max; ++n)
        n_first[n] = n;

    for (std::int32_t k = 0; k < nb.n_segments; ++k) {
        const Segment& segment = nb.segments[k];
        const T* const rows = adjoint.data + column[segment.group];
        const bool zone = segment.zone >= 0;
        if (zone) {
            Product<T> p{nullptr,       zone_rank, nullptr, adjoint.n_columns, n_first, model.n_max,
                         short_adjoint, zone_rank, false};
            for (std::int32_t l = 0; l < n_l; ++l) {
                p.radial = model.radial.zone_transposed +
                           static_cast<std::size_t>(l * model.radial.n_zones + segment.zone) * model.n_max * zone_rank;
                p.harmonics = rows + adjoint.first[l];
                multiply<T, Z>(p, 2 * l + 1, zone_rank);
                p.out += (2 * l + 1) * zone_rank;
            }
        }
        const std::int32_t n_functions = zone ? zone_rank : n_pad * n_l;
        const std::int32_t padded = (n_functions + Y - 1) / Y * Y;
        T* const slopes_by_neighbour = by_neighbour + static_cast<std::size_t>(padded) * Y;
        T* const values = slopes_by_neighbour + static_cast<std::size_t>(padded) * Y;
        T* const slopes = values + static_cast<std::size_t>(padded) * Y;
        for (std::int32_t i = segment.begin; i < segment.end; i += Y) {
            const std::int32_t n = segment.end - i < Y ? segment.end - i : Y;
            solid_harmonics<T, Y>(model.l_max, model.recursion, model.radial.inverse_r_max, nb.x + i, nb.y + i,
                                  nb.z + i, ones, n, harmonics);
            if (zone)
                radial_functions<T, Z, true>(model.radial, model.radial.short_coefficients, n_functions, padded,
                                             nb.r + i, nb.weight + i, nb.slope + i, n, by_neighbour,
                                             slopes_by_neighbour);
            else
                radial_functions<T, W, true>(model.radial, model.radial.coefficients, n_functions, padded, nb.r + i,
                                             nb.weight + i, nb.slope + i, n, by_neighbour, slopes_by_neighbour);
            // Lanes without a neighbour hold what was there before and are not read in the end.
            for (std::int32_t f = 0; f < padded; f += Y) {
                transpose<T, Y>(by_neighbour + f, padded, values + f * Y, Y);
                transpose<T, Y>(slopes_by_neighbour + f, padded, slopes + f * Y, Y);
            }
            Vec<T, Y> sums[4] = {};
            const BackwardBlock<T> block{values, slopes, static_cast<std::size_t>(zone ? 0 : n_pad),
                                         zone ? zone_rank : model.n_max, harmonics};
            if (zone)
                contract<T, zone_rank>(
                    model, block, [&](std::int32_t l) { return short_adjoint + l * l * zone_rank; }, zone_rank, sums);
            else if (model.n_max == 8)
                contract<T, 8>(
                    model, block, [&](std::int32_t l) { return rows + adjoint.first[l]; }, adjoint.n_columns, sums);
            else
                contract<T, 0>(
                    model, block, [&](std::int32_t l) { return rows + adjoint.first[l]; }, adjoint.n_columns, sums);
            T lane[4][Y];
            unroll<4>([&](auto a) { store<T, Y>(lane[a], sums[a]); });
            for (std::int32_t j = 0; j < n; ++j) {
                const double r = nb.r[i + j], radial = r > 0.0 ? static_cast<double>(lane[3][j]) / r : 0.0;
                gradient[0][i + j] = static_cast<double>(lane[0][j]) + radial * nb.x[i + j];
                gradient[1][i + j] = static_cast<double>(lane[1][j]) + radial * nb.y[i + j];
                gradient[2][i + j] = static_cast<double>(lane[2][j]) + radial * nb.z[i + j];
            }
        }
    }
}
