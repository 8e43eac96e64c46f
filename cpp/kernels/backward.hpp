// The power spectrum and the density expansion run backwards: from weights on features to weights on
// coefficients, and from these to the vectors to the neighbours. Included inside the namespace of one
// instruction set.
#pragma once

template <class T, int W>
void couple_with(const PowerModel<T>& model, const T* cotangent, const Coupling* couplings,
                 std::int32_t n_couplings, std::int32_t n_pad, const Coefficients<T>& c,
                 const Coefficients<T>& adjoint, std::int32_t column, T* scratch) {
    const std::int32_t n_max = model.n_max;
    const std::size_t triangle = static_cast<std::size_t>(n_max) * (n_max + 1) / 2;
    const std::size_t square = static_cast<std::size_t>(n_max) * n_max;
    std::int32_t columns[largest_n];
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        const T factor = model.prefactor[l];
        for (std::int32_t k = 0; k < n_couplings; ++k) {
            const Coupling& coupling = couplings[k];
            const T* g = cotangent + coupling.first + l * (coupling.triangular ? triangle : square);
            // matrix[n of the partner][n of the group]
            T* const matrix = scratch;
            const auto at = [&](std::int32_t row, std::int32_t col) -> T& {
                return matrix[row * n_pad + col];
            };
            if (coupling.triangular) {
                for (std::int32_t n = 0; n < n_max; ++n) {
                    at(n, n) = *g++ * (factor + factor);
                    for (std::int32_t m = n + 1; m < n_max; ++m)
                        at(n, m) = at(m, n) = *g++ * factor;
                }
            } else if (coupling.transposed) {
                for (std::int32_t n = 0; n < n_max; ++n)
                    for (std::int32_t m = 0; m < n_max; ++m)
                        at(m, n) = *g++ * factor;
            } else {
                for (std::int32_t n = 0; n < n_max; ++n)
                    for (std::int32_t m = 0; m < n_max; ++m)
                        at(n, m) = *g++ * factor;
            }
            for (std::int32_t n = 0; n < n_max; ++n) {
                columns[n] = n;
                for (std::int32_t m = n_max; m < n_pad; ++m)
                    at(n, m) = T(0);
            }
            Product<T> p{matrix,
                         static_cast<std::size_t>(n_pad),
                         c.data + c.first[l] + coupling.partner,
                         c.n_columns,
                         columns,
                         n_max,
                         adjoint.data + adjoint.first[l] + column,
                         static_cast<std::size_t>(adjoint.n_columns),
                         k > 0};
            multiply<T, W>(p, 2 * l + 1, n_pad);
        }
    }
}

template <class T>
std::size_t backward_scratch(const ExpansionModel<T>& model) {
    const std::size_t n_lm = static_cast<std::size_t>(model.l_max + 1) * (model.l_max + 1);
    const std::size_t n_pad = model.radial.n_pad, n_functions = n_pad * (model.l_max + 1);
    return expansion_chunk * (2 * n_functions + 4 * n_lm) + n_lm * (2 * lanes<T> + zone_rank) + 4 * n_pad +
           4 * zone_rank;
}

template <class T, int W>
inline __attribute__((always_inline)) T sum(Vec<T, W> v) {
    T lane[W];
    store<T, W>(lane, v);
    T total = T(0);
    for (int k = 0; k < W; ++k)
        total += lane[k];
    return total;
}

template <class T, int W>
void backward_with(const ExpansionModel<T>& model, const Neighbourhood& nb, T* scratch,
                   const Coefficients<T>& adjoint, const std::int32_t* column, double* const* gradient) {
    constexpr int Y = lanes<T>;
    constexpr int Z = lanes<T> < zone_rank ? lanes<T> : zone_rank;
    const std::int32_t n_pad = model.radial.n_pad, n_functions = n_pad * (model.l_max + 1);
    const std::int32_t n_lm = (model.l_max + 1) * (model.l_max + 1);
    T* values = scratch;
    T* slopes = values + static_cast<std::size_t>(expansion_chunk) * n_functions;
    T* harmonics = slopes + static_cast<std::size_t>(expansion_chunk) * n_functions;
    T* plain = harmonics + static_cast<std::size_t>(expansion_chunk) * n_lm * 4;
    T* short_adjoint = plain + static_cast<std::size_t>(n_lm) * 2 * Y; // [l, m][q] of one zone
    T* projection = short_adjoint + static_cast<std::size_t>(n_lm) * zone_rank;
    std::int32_t y_first[(largest_l + 1) * (largest_l + 1)], n_first[largest_n];
    for (std::int32_t k = 0; k < n_lm; ++k)
        y_first[k] = k * 4 * Y;
    for (std::int32_t n = 0; n < model.n_max; ++n)
        n_first[n] = n;

    const Segment* segment = nb.segments;
    for (std::int32_t start = 0; start < nb.n; start += expansion_chunk) {
        const std::int32_t stop = start + expansion_chunk < nb.n ? start + expansion_chunk : nb.n;
        harmonics_with_gradients<T, Y>(model, nb.x + start, nb.y + start, nb.z + start, stop - start, plain,
                                       harmonics);
        for (std::int32_t i = start; i < stop;) {
            const std::int32_t end = segment->end < stop ? segment->end : stop, n = end - i;
            const auto finish = [&]<int L>(std::int32_t k,
                                           const Vec<T, L>(&sums)[4]) __attribute__((always_inline)) {
                const double radial = nb.r[k] > 0.0 ? static_cast<double>(sum<T, L>(sums[3])) / nb.r[k] : 0.0;
                gradient[0][k] = static_cast<double>(sum<T, L>(sums[0])) + radial * nb.x[k];
                gradient[1][k] = static_cast<double>(sum<T, L>(sums[1])) + radial * nb.y[k];
                gradient[2][k] = static_cast<double>(sum<T, L>(sums[2])) + radial * nb.z[k];
            };
            const auto lane = [&](std::int32_t k) {
                return harmonics + static_cast<std::size_t>((k - start) / Y) * n_lm * 4 * Y + (k - start) % Y;
            };
            const T* rows = adjoint.data + column[segment->group];
            if (segment->zone < 0) {
                radial_slopes<T, W>(model.radial, model.radial.coefficients, n_functions, nb.r + i,
                                    nb.weight + i, nb.slope + i, n, values, slopes);
                for (std::int32_t k = i; k < end; ++k) {
                    Vec<T, W> sums[4] = {};
                    const T* value = values + static_cast<std::size_t>(k - i) * n_functions;
                    const T* slope = slopes + static_cast<std::size_t>(k - i) * n_functions;
                    Product<T> p{nullptr,    static_cast<std::size_t>(adjoint.n_columns),
                                 lane(k),    Y,
                                 y_first,    0,
                                 projection, static_cast<std::size_t>(n_pad),
                                 false};
                    for (std::int32_t l = 0; l <= model.l_max; ++l) {
                        p.radial = rows + adjoint.first[l], p.n = 2 * l + 1;
                        multiply<T, W>(p, 4, n_pad);
                        for (std::int32_t v = 0; v < n_pad; v += W) {
                            const Vec<T, W> f = load<T, W>(value + v), df = load<T, W>(slope + v);
                            unroll<3>([&](auto a) { sums[a] += f * load<T, W>(projection + a * n_pad + v); });
                            sums[3] += df * load<T, W>(projection + 3 * n_pad + v);
                        }
                        p.harmonics += (2 * l + 1) * 4 * Y;
                        value += n_pad, slope += n_pad;
                    }
                    finish.template operator()<W>(k, sums);
                }
            } else {
                if (segment->begin >= i) {
                    Product<T> p{nullptr,       zone_rank, nullptr, adjoint.n_columns, n_first, model.n_max,
                                 short_adjoint, zone_rank, false};
                    for (std::int32_t l = 0; l <= model.l_max; ++l) {
                        p.radial = model.radial.zone_transposed +
                                   static_cast<std::size_t>(l * model.radial.n_zones + segment->zone) *
                                       model.n_max * zone_rank;
                        p.harmonics = rows + adjoint.first[l];
                        multiply<T, Z>(p, 2 * l + 1, zone_rank);
                        p.out += (2 * l + 1) * zone_rank;
                    }
                }
                radial_slopes<T, Z>(model.radial, model.radial.short_coefficients, zone_rank, nb.r + i,
                                    nb.weight + i, nb.slope + i, n, values, slopes);
                for (std::int32_t k = i; k < end; ++k) {
                    Product<T> p{short_adjoint, zone_rank,  lane(k),   Y,    y_first,
                                 n_lm,          projection, zone_rank, false};
                    multiply<T, Z>(p, 4, zone_rank);
                    Vec<T, Z> sums[4] = {};
                    for (std::int32_t v = 0; v < zone_rank; v += Z) {
                        const Vec<T, Z> f = load<T, Z>(values + (k - i) * zone_rank + v);
                        const Vec<T, Z> df = load<T, Z>(slopes + (k - i) * zone_rank + v);
                        unroll<3>([&](auto a) { sums[a] += f * load<T, Z>(projection + a * zone_rank + v); });
                        sums[3] += df * load<T, Z>(projection + 3 * zone_rank + v);
                    }
                    finish.template operator()<Z>(k, sums);
                }
            }
            if (end == segment->end)
                ++segment;
            i = end;
        }
    }
}
