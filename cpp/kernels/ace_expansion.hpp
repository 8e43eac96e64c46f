// Densities whose radial functions do not depend on l, and their derivatives. Included inside the namespace of one
// instruction set.
//
// With u = d / r the direction to a neighbour, H_lm a solid harmonic and v = grad H_lm at u,
//
//     grad R_n(r) Y_lm(u) = R_n (v - (v . u) u) / r + R_n' Y_lm u.
#pragma once

// Whole vectors of neighbours.
template <class T>
inline std::int32_t ace_blocks(std::int32_t n) {
    return (n + lanes<T> - 1) / lanes<T>;
}

// Radial functions to a multiple of lanes, for blocks of neighbours.
template <class T>
inline std::int32_t ace_padded(const AceShape<T>& shape) {
    return ace_blocks<T>(shape.n_pad) * lanes<T>;
}

template <class T>
std::size_t ace_scratch(const AceShape<T>& shape, std::int32_t n) {
    constexpr std::size_t Y = lanes<T>;
    const std::size_t n_lm = shape.n_lm(), padded = ace_padded(shape);
    const std::size_t forward = expansion_chunk * n_lm + (expansion_chunk + 2) * padded;
    const std::size_t backward = 2 * Y * n_lm + 6 * Y * padded;
    const std::size_t slopes = (2 + 4 * ace_blocks<T>(n) + 4) * Y * n_lm + 4 * Y * padded;
    return forward > backward ? (forward > slopes ? forward : slopes) : (backward > slopes ? backward : slopes);
}

// R_n of n neighbours to values[i * stride + n], with their derivatives if asked for.
template <class T, int W, bool with_slopes>
inline void ace_radial(const AceShape<T>& shape, const T* table, const double* r, std::int32_t n, std::int32_t stride,
                       T* values, T* slopes) {
    using V = Vec<T, W>;
    const std::int32_t n_pad = shape.n_pad;
    const T per_step = static_cast<T>(shape.inverse_step);
    for (std::int32_t i = 0; i < n; ++i) {
        const double s = r[i] * shape.inverse_step;
        std::int32_t cell = static_cast<std::int32_t>(s);
        cell = cell < shape.n_cells ? cell : shape.n_cells - 1;
        const T t = static_cast<T>(s - cell);
        const T* c = table + static_cast<std::size_t>(cell) * radial_powers * n_pad;
        const std::size_t row = static_cast<std::size_t>(i) * stride;
        for (std::int32_t f = 0; f < n_pad; f += W) {
            V v = load<T, W>(c + 5 * n_pad + f), d = v;
            unroll<4>([&](auto k) {
                v = v * t + load<T, W>(c + (4 - k) * n_pad + f);
                if constexpr (with_slopes)
                    d = d * t + v;
            });
            store<T, W>(values + row + f, v * t + load<T, W>(c + f));
            if constexpr (with_slopes)
                store<T, W>(slopes + row + f, d * per_step);
        }
    }
}

inline constexpr auto ace_ones = [] {
    std::array<double, 2 * ace_slack> ones{};
    for (double& one : ones)
        one = 1.0;
    return ones;
}();

template <class T, int W>
void ace_expand_with(const AceShape<T>& shape, const AceNeighbours<T>& nb, T* scratch, T* out) {
    constexpr int Y = lanes<T>;
    constexpr bool pairs = in_pairs<T> && W == zone_rank;
    const std::int32_t n_pad = shape.n_pad, n_lm = shape.n_lm();
    const std::size_t n_columns = static_cast<std::size_t>(nb.n_groups) * n_pad;
    T* const harmonics = scratch;
    T* const radial = harmonics + static_cast<std::size_t>(expansion_chunk) * n_lm;
    std::int32_t y_first[expansion_chunk];
    for (std::int32_t k = 0; k < expansion_chunk; ++k)
        y_first[k] = (k / Y) * n_lm * Y + k % Y;

    const AceSegment<T>* segment = nb.segments;
    const AceSegment<T>* const end_of_segments = nb.segments + nb.n_segments;
    for (std::int32_t group = 0; group < nb.n_groups; ++group) {
        if (segment != end_of_segments && segment->group == group) {
            ++segment;
            continue;
        }
        for (std::int32_t lm = 0; lm < n_lm; ++lm)
            for (std::int32_t f = 0; f < n_pad; f += W)
                store<T, W>(out + lm * n_columns + static_cast<std::size_t>(group) * n_pad + f, Vec<T, W>{});
    }
    segment = nb.segments;
    for (std::int32_t start = 0; start < nb.n; start += expansion_chunk) {
        const std::int32_t stop = start + expansion_chunk < nb.n ? start + expansion_chunk : nb.n;
        solid_harmonics<T, Y>(shape.l_max, shape.recursion, 1.0, nb.x + start, nb.y + start, nb.z + start,
                              ace_ones.data(), stop - start, harmonics);
        for (std::int32_t i = start; i < stop;) {
            const std::int32_t end = segment->end < stop ? segment->end : stop, n = end - i, k = i - start;
            const std::int32_t before = pairs ? k % 2 : 0, after = pairs ? (k + n) % 2 : 0;
            ace_radial<T, W, false>(shape, segment->table, nb.r + i, n, n_pad, radial + before * n_pad, nullptr);
            if (before)
                std::memset(radial, 0, n_pad * sizeof(T));
            if (after)
                std::memset(radial + static_cast<std::size_t>(before + n) * n_pad, 0, n_pad * sizeof(T));
            Product<T> p{radial,
                         static_cast<std::size_t>(n_pad),
                         harmonics,
                         Y,
                         y_first + (k - before),
                         before + n + after,
                         out + static_cast<std::size_t>(segment->group) * n_pad,
                         n_columns,
                         segment->begin < i};
            multiply<T, W, pairs>(p, n_lm, n_pad);
            segment += end == segment->end;
            i = end;
        }
    }
}

template <class T>
void ace_expand(const AceShape<T>& shape, const AceNeighbours<T>& nb, T* scratch, T* out) {
    with_width<T>(shape.n_pad, [&]<int W>() { ace_expand_with<T, W>(shape, nb, scratch, out); });
}

// With U_lm = sum over n < N of R_n adjoint_nlm and U'_lm the same with the slopes, the sum over U'_lm Y_lm, and by the
// formulas in harmonics.hpp that over U_lm grad H_lm, for one neighbour in each lane.
template <class T, int N>
inline void ace_contract(const AceShape<T>& shape, const T* values, const T* slopes, const T* harmonics,
                         const T* adjoint, std::size_t stride, std::int32_t n, Vec<T, lanes<T>> (&sums)[4]) {
    constexpr int Y = lanes<T>;
    using V = Vec<T, Y>;
    V f[N > 0 ? N : 1], df[N > 0 ? N : 1];
    if constexpr (N > 0)
        unroll<N>([&](auto k) { f[k] = load<T, Y>(values + k * Y), df[k] = load<T, Y>(slopes + k * Y); });
    const auto contract = [&](const T* row, V& u, V& du) __attribute__((always_inline)) {
        if constexpr (N > 0)
            unroll<N>([&](auto k) {
                const T factor = row[k];
                u += factor * f[k], du += factor * df[k];
            });
        else
            for (std::int32_t k = 0; k < n; ++k) {
                const T factor = row[k];
                u += factor * load<T, Y>(values + k * Y), du += factor * load<T, Y>(slopes + k * Y);
            }
    };
    const auto middle = [&](std::int32_t l) { return adjoint + static_cast<std::size_t>(l * l + l) * stride; };
    add_gradients<T>(
        shape.l_max, shape.harmonics_gradient, harmonics, sums,
        [&](std::int32_t l, V& u, V& du) __attribute__((always_inline)) { contract(middle(l), u, du); },
        [&](std::int32_t l, std::int32_t m, V& c, V& s, V& dc, V& ds) __attribute__((always_inline)) {
            contract(middle(l) + m * stride, c, dc);
            contract(middle(l) - m * stride, s, ds);
        });
}

template <class T>
inline __attribute__((always_inline)) Vec<T, lanes<T>> ace_read(const double* from) {
    return __builtin_convertvector((load<double, lanes<T>>(from)), Vec<T, lanes<T>>);
}

template <class T, int W, int N>
void ace_backward_with(const AceShape<T>& shape, const AceNeighbours<T>& nb, T* scratch, const T* adjoint,
                       double* const* gradient) {
    constexpr int Y = lanes<T>;
    using V = Vec<T, Y>;
    const std::int32_t n_lm = shape.n_lm(), n_pad = shape.n_pad, padded = ace_padded(shape);
    const std::size_t n_columns = static_cast<std::size_t>(nb.n_groups) * n_pad;
    T* const harmonics = scratch; // of two blocks
    T* const by_neighbour = harmonics + static_cast<std::size_t>(2 * n_lm) * Y;
    T* const slopes_by_neighbour = by_neighbour + static_cast<std::size_t>(2 * padded) * Y;
    T* const values = slopes_by_neighbour + static_cast<std::size_t>(2 * padded) * Y;
    T* const slopes = values + static_cast<std::size_t>(padded) * Y;
    for (const AceSegment<T>* segment = nb.segments; segment != nb.segments + nb.n_segments; ++segment) {
        const T* const own = adjoint + static_cast<std::size_t>(segment->group) * n_pad;
        for (std::int32_t start = segment->begin; start < segment->end; start += 2 * Y) {
            const std::int32_t n = segment->end - start < 2 * Y ? segment->end - start : 2 * Y;
            solid_harmonics<T, Y>(shape.l_max, shape.recursion, 1.0, nb.x + start, nb.y + start, nb.z + start,
                                  ace_ones.data(), n, harmonics);
            ace_radial<T, W, true>(shape, segment->table, nb.r + start, n, padded, by_neighbour, slopes_by_neighbour);
            for (std::int32_t block = 0; block < n; block += Y) {
                const std::int32_t i = start + block;
                // Lanes without a neighbour hold what was there before and are not read in the end.
                for (std::int32_t f = 0; f < padded; f += Y) {
                    transpose<T, Y>(by_neighbour + block * padded + f, padded, values + f * Y, Y);
                    transpose<T, Y>(slopes_by_neighbour + block * padded + f, padded, slopes + f * Y, Y);
                }
                V sums[4] = {};
                ace_contract<T, N>(shape, values, slopes, harmonics + block * n_lm, own, n_columns, shape.n_max, sums);
                const V x = ace_read<T>(nb.x + i), y = ace_read<T>(nb.y + i), z = ace_read<T>(nb.z + i);
                const V inverse_r = ace_read<T>(nb.inverse_r + i);
                const V along = sums[3] - inverse_r * (sums[0] * x + sums[1] * y + sums[2] * z);
                const auto put = [&](double* to, V value) __attribute__((always_inline)) {
                    store<double, Y>(to + i, __builtin_convertvector(value, Vec<double, Y>));
                };
                put(gradient[0], inverse_r * sums[0] + along * x);
                put(gradient[1], inverse_r * sums[1] + along * y);
                put(gradient[2], inverse_r * sums[2] + along * z);
            }
        }
    }
}

template <class T>
void ace_backward(const AceShape<T>& shape, const AceNeighbours<T>& nb, T* scratch, const T* adjoint,
                  double* const* gradient) {
    with_width<T>(shape.n_pad, [&]<int W>() {
        const auto with = [&]<int N>() { ace_backward_with<T, W, N>(shape, nb, scratch, adjoint, gradient); };
        switch ((shape.n_max + 1) / 2) { // the padding of both is zero
        case 1:
        case 2:
            return with.template operator()<4>();
        case 3:
            return with.template operator()<6>();
        case 4:
            return with.template operator()<8>();
        case 5:
            return with.template operator()<10>();
        case 6:
            return with.template operator()<12>();
        default:
            return with.template operator()<0>();
        }
    });
}

template <class T, int W>
void ace_slopes_with(const AceShape<T>& shape, const AceNeighbours<T>& nb, T* scratch, std::size_t stride, T* out) {
    constexpr int Y = lanes<T>, L = ace_lanes<T>;
    using V = Vec<T, Y>;
    const std::int32_t n_lm = shape.n_lm(), padded = ace_padded(shape);
    T* const plain = scratch; // harmonics of two blocks
    T* const harmonics = plain + static_cast<std::size_t>(2 * n_lm) * Y;
    T* const by_neighbour = harmonics + static_cast<std::size_t>(4 * ace_blocks<T>(nb.n) + 4) * Y * n_lm;
    T* const slopes_by_neighbour = by_neighbour + static_cast<std::size_t>(padded) * Y;
    T* const values = slopes_by_neighbour + static_cast<std::size_t>(padded) * Y;
    T* const slopes = values + static_cast<std::size_t>(padded) * Y;
    ExpansionModel<T> model{};
    model.l_max = shape.l_max, model.recursion = shape.recursion, model.harmonics_gradient = shape.harmonics_gradient;
    model.radial.inverse_r_max = 1.0;
    harmonics_with_gradients<T, Y>(model, nb.x, nb.y, nb.z, nb.n, plain, harmonics);
    const AceSegment<T>* segment = nb.segments;
    for (std::int32_t start = 0; start < nb.n; start += Y) {
        const std::int32_t stop = start + Y < nb.n ? start + Y : nb.n;
        for (std::size_t k = (stop - start) * padded; k < static_cast<std::size_t>(Y) * padded; k += Y)
            store<T, Y>(by_neighbour + k, V{}), store<T, Y>(slopes_by_neighbour + k, V{});
        for (std::int32_t i = start; i < stop;) {
            const std::int32_t end = segment->end < stop ? segment->end : stop;
            ace_radial<T, W, true>(shape, segment->table, nb.r + i, end - i, padded,
                                   by_neighbour + static_cast<std::size_t>(i - start) * padded,
                                   slopes_by_neighbour + static_cast<std::size_t>(i - start) * padded);
            segment += end == segment->end;
            i = end;
        }
        for (std::int32_t f = 0; f < padded; f += Y) {
            transpose<T, Y>(by_neighbour + f, padded, values + f * Y, Y);
            transpose<T, Y>(slopes_by_neighbour + f, padded, slopes + f * Y, Y);
        }
        const V x = ace_read<T>(nb.x + start), y = ace_read<T>(nb.y + start), z = ace_read<T>(nb.z + start);
        const V inverse_r = ace_read<T>(nb.inverse_r + start);
        if constexpr (L > Y) // the rest of the last block
            for (std::int32_t i = start + Y; stop == nb.n && i % L > 0; i += Y)
                for (std::int32_t row = 0; row < shape.n_max * n_lm; ++row)
                    for (std::int32_t a = 0; a < 3; ++a)
                        store<T, Y>(out + static_cast<std::size_t>(row) * stride + i / L * 3 * L + a * L + i % L, V{});
        for (std::int32_t lm = 0; lm < n_lm; ++lm) {
            const T* const h = harmonics + (static_cast<std::size_t>(start / Y) * n_lm + lm) * 4 * Y;
            const V gx = load<T, Y>(h), gy = load<T, Y>(h + Y), gz = load<T, Y>(h + 2 * Y),
                    y_lm = load<T, Y>(h + 3 * Y);
            const V along = gx * x + gy * y + gz * z;
            const V across[3] = {inverse_r * (gx - along * x), inverse_r * (gy - along * y),
                                 inverse_r * (gz - along * z)};
            const V radial[3] = {y_lm * x, y_lm * y, y_lm * z};
            T* to = out + static_cast<std::size_t>(lm) * stride + start / L * 3 * L + start % L;
            for (std::int32_t n = 0; n < shape.n_max; ++n, to += static_cast<std::size_t>(n_lm) * stride) {
                const V value = load<T, Y>(values + n * Y), slope = load<T, Y>(slopes + n * Y);
                unroll<3>([&](auto a) { store<T, Y>(to + a * L, value * across[a] + slope * radial[a]); });
            }
        }
    }
}

template <class T>
void ace_slopes(const AceShape<T>& shape, const AceNeighbours<T>& nb, T* scratch, std::size_t stride, T* out) {
    with_width<T>(shape.n_pad, [&]<int W>() { ace_slopes_with<T, W>(shape, nb, scratch, stride, out); });
}

// From rows of centres to lanes, and back: tiles of W centres and W radial functions.
template <class T, int W>
void ace_pack_with(const AceShape<T>& shape, const AceMixing<T>& channels, std::int32_t n_groups,
                   const T* const* densities, std::int32_t used, T* x) {
    using V = Vec<T, W>;
    constexpr std::int32_t L = ace_lanes<T>;
    const std::int32_t n_pad = shape.n_pad, n_lm = shape.n_lm(), n_max = shape.n_max;
    const std::size_t n_columns = static_cast<std::size_t>(n_groups) * n_pad;
    for (std::int32_t lane = 0; lane < L; ++lane)
        x[lane] = T(1);
    for (std::int32_t c = 0; c < channels.n_outputs; ++c) {
        T* const own = x + (1 + static_cast<std::size_t>(c) * n_max * n_lm) * L;
        const std::int32_t first = channels.first[c], last = channels.first[c + 1];
        for (std::int32_t lm = 0; lm < n_lm; ++lm)
            for (std::int32_t n = 0; n < n_max; n += W)
                for (std::int32_t lane = 0; lane < L; lane += W) {
                    V rows[W];
                    unroll<W>([&](auto k) {
                        V sum{};
                        if (lane + k < used) {
                            const T* const from = densities[lane + k] + lm * n_columns + n;
                            for (std::int32_t j = first; j < last; ++j)
                                sum += channels.weight[j] * load<T, W>(from + channels.input[j] * n_pad);
                        }
                        rows[k] = sum;
                    });
                    transpose<T, W>(rows);
                    unroll<W>([&](auto k) {
                        if (n + k < n_max)
                            store<T, W>(own + static_cast<std::size_t>((n + k) * n_lm + lm) * L + lane, rows[k]);
                    });
                }
    }
}

template <class T>
void ace_pack(const AceShape<T>& shape, const AceMixing<T>& channels, std::int32_t n_groups, const T* const* densities,
              std::int32_t used, T* x) {
    with_width<T>(shape.n_pad, [&]<int W>() { ace_pack_with<T, W>(shape, channels, n_groups, densities, used, x); });
}

template <class T, int W>
void ace_unpack_with(const AceShape<T>& shape, const AceMixing<T>& groups, const T* adjoint, std::int32_t used,
                     T* const* densities) {
    using V = Vec<T, W>;
    constexpr std::int32_t L = ace_lanes<T>;
    const std::int32_t n_pad = shape.n_pad, n_lm = shape.n_lm(), n_max = shape.n_max;
    const std::size_t n_columns = static_cast<std::size_t>(groups.n_outputs) * n_pad;
    for (std::int32_t g = 0; g < groups.n_outputs; ++g) {
        const std::int32_t first = groups.first[g], last = groups.first[g + 1];
        for (std::int32_t lm = 0; lm < n_lm; ++lm)
            for (std::int32_t n = 0; n < n_pad; n += W)
                for (std::int32_t lane = 0; lane < used; lane += W) {
                    V columns[W];
                    unroll<W>([&](auto k) {
                        V sum{};
                        if (n + k < n_max)
                            for (std::int32_t j = first; j < last; ++j) {
                                const auto a = static_cast<std::size_t>((groups.input[j] * n_max + n + k) * n_lm + lm);
                                sum += groups.weight[j] * load<T, W>(adjoint + (1 + a) * L + lane);
                            }
                        columns[k] = sum;
                    });
                    transpose<T, W>(columns);
                    unroll<W>([&](auto k) {
                        if (lane + k < used)
                            store<T, W>(densities[lane + k] + lm * n_columns + static_cast<std::size_t>(g) * n_pad + n,
                                        columns[k]);
                    });
                }
    }
}

template <class T>
void ace_unpack(const AceShape<T>& shape, const AceMixing<T>& groups, const T* adjoint, std::int32_t used,
                T* const* densities) {
    with_width<T>(shape.n_pad, [&]<int W>() { ace_unpack_with<T, W>(shape, groups, adjoint, used, densities); });
}
