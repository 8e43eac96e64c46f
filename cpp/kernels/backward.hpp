// The power spectrum and the density expansion run backwards: from weights on features to weights on
// coefficients, and from these to the vectors to the neighbours. Included inside the namespace of one
// instruction set.
#pragma once

// The block of cotangents of one coupling and one l as matrix[n of the partner][n of the group], n_pad
// columns.
template <class T, int W>
inline void coupling_matrix(const T* g, const Coupling& coupling, std::int32_t n_max, std::int32_t n_pad, T* matrix) {
    if (coupling.triangular) {
        for (std::int32_t n = 0; n < n_max; ++n) {
            matrix[n * n_pad + n] = *g + *g;
            ++g;
            for (std::int32_t m = n + 1; m < n_max; ++m)
                matrix[n * n_pad + m] = matrix[m * n_pad + n] = *g++;
        }
    } else if (coupling.transposed && n_max % W == 0) {
        for (std::int32_t n = 0; n < n_max; n += W)
            for (std::int32_t m = 0; m < n_max; m += W)
                transpose<T, W>(g + n * n_max + m, n_max, matrix + m * n_pad + n, n_pad);
    } else {
        const std::int32_t row = coupling.transposed ? 1 : n_pad, column = coupling.transposed ? n_pad : 1;
        for (std::int32_t n = 0; n < n_max; ++n)
            for (std::int32_t m = 0; m < n_max; ++m)
                matrix[n * row + m * column] = *g++;
    }
    for (std::int32_t n = 0; n < n_max; ++n)
        for (std::int32_t m = n_max; m < n_pad; ++m)
            matrix[n * n_pad + m] = T(0);
}

template <class T, int W>
void couple_with(const PowerModel<T>& model, const T* cotangent, const Coupling* couplings, std::int32_t n_couplings,
                 std::int32_t n_pad, const Coefficients<T>& c, const Coefficients<T>& adjoint, std::int32_t column,
                 T* scratch) {
    const std::int32_t n_max = model.n_max;
    const std::size_t triangle = static_cast<std::size_t>(n_max) * (n_max + 1) / 2;
    const std::size_t square = static_cast<std::size_t>(n_max) * n_max;
    std::int32_t columns[largest_n];
    for (std::int32_t n = 0; n < n_max; ++n)
        columns[n] = n;
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        Product<T> p{scratch,
                     static_cast<std::size_t>(n_pad),
                     nullptr,
                     c.n_columns,
                     columns,
                     n_max,
                     adjoint.data + adjoint.first[l] + column,
                     static_cast<std::size_t>(adjoint.n_columns),
                     false};
        for (std::int32_t k = 0; k < n_couplings; ++k) {
            const Coupling& coupling = couplings[k];
            const T* g = cotangent + coupling.first + l * (coupling.triangular ? triangle : square);
            // Cotangents that have the form of the matrix are used where they are.
            const bool ready = !coupling.triangular && !coupling.transposed && n_max == n_pad;
            if (!ready)
                coupling_matrix<T, W>(g, coupling, n_max, n_pad, scratch);
            p.radial = ready ? g : scratch;
            p.harmonics = c.data + c.first[l] + coupling.partner;
            multiply<T, W>(p, 2 * l + 1, n_pad);
            p.add = true;
        }
        for (std::int32_t m = 0; m < 2 * l + 1; ++m) {
            T* const row = p.out + static_cast<std::size_t>(m) * p.out_stride;
            for (std::int32_t n = 0; n < n_pad; ++n)
                row[n] = p.add ? row[n] * model.prefactor[l] : T(0);
        }
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
    const T* coefficient = model.harmonics_gradient;
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        const T* const f = block.values + l * block.per_l * Y;
        const T* const df = block.slopes + l * block.per_l * Y;
        const T* const middle = rows(l) + l * stride;
        const T* const here = block.harmonics + static_cast<std::size_t>(l * l + l) * Y;
        const T* const below = block.harmonics + static_cast<std::size_t>(l * l - l) * Y; // m = 0 of l - 1
        const auto h = [&](std::int32_t m) __attribute__((always_inline)) { return load<T, Y>(below + m * Y); };
        {
            V u{}, du{};
            for (std::int32_t k = 0; k < n; ++k) {
                u += middle[k] * load<T, Y>(f + k * Y);
                du += middle[k] * load<T, Y>(df + k * Y);
            }
            sums[3] += du * load<T, Y>(here);
            if (l > 0) {
                sums[2] += coefficient[0] * (u * h(0));
                if (l > 1) {
                    u *= coefficient[1];
                    sums[0] -= u * h(1);
                    sums[1] -= u * h(-1);
                }
                coefficient += 3;
            }
        }
        for (std::int32_t m = 1; m <= l; ++m, coefficient += 3) {
            const T *const up = middle + m * stride, *const down = middle - m * stride;
            V c{}, s{}, dc{}, ds{};
            for (std::int32_t k = 0; k < n; ++k) {
                const V value = load<T, Y>(f + k * Y), slope = load<T, Y>(df + k * Y);
                c += up[k] * value, dc += up[k] * slope;
                s += down[k] * value, ds += down[k] * slope;
            }
            sums[3] += dc * load<T, Y>(here + m * Y) + ds * load<T, Y>(here - m * Y);
            if (m < l)
                sums[2] += coefficient[0] * (c * h(m) + s * h(-m));
            if (m + 1 < l) {
                const V hc = h(m + 1), hs = h(-(m + 1));
                sums[0] -= coefficient[1] * (c * hc + s * hs);
                sums[1] += coefficient[1] * (s * hc - c * hs);
            }
            const V hc = h(m - 1);
            if (m > 1) {
                const V hs = h(-(m - 1));
                sums[0] += coefficient[2] * (c * hc + s * hs);
                sums[1] += coefficient[2] * (s * hc - c * hs);
            } else {
                sums[0] += coefficient[2] * (c * hc);
                sums[1] += coefficient[2] * (s * hc);
            }
        }
    }
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
