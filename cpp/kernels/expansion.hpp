// Density expansion: c_nlm = sum over neighbours of R_nl Y_lm, as small matrix products with the coefficients
// in registers. Included inside the namespace of one instruction set.
#pragma once

// Neighbours whose radial functions and harmonics are held in cache together.
inline constexpr std::int32_t expansion_chunk = 48;

// out[m][v] (+)= sum_i Y_i[m] R_i[v]: operands of a small matrix product, and where row m of the result goes.
template <class T>
struct Product {
    const T* radial; // (n, radial_stride)
    std::size_t radial_stride;
    const T* harmonics; // element m of neighbour i at harmonics[y_first[i] + m * y_stride]
    std::int32_t y_stride;
    const std::int32_t* y_first;
    std::int32_t n;
    T* out;
    std::size_t out_stride;
    bool add; // to what is in `out`
};

// M rows and N vectors of W columns, kept in registers.
template <class T, int W, int N, int M>
void accumulate(const Product<T>& p) {
    using V = Vec<T, W>;
    V c[M][N];
    unroll<M * N>(
        [&](auto k) { c[k / N][k % N] = p.add ? load<T, W>(p.out + k / N * p.out_stride + k % N * W) : V{}; });
    const T* radial = p.radial;
    for (std::int32_t i = 0; i < p.n; ++i) {
        const T* y = p.harmonics + p.y_first[i];
        V r[N];
        unroll<N>([&](auto v) { r[v] = load<T, W>(radial + v * W); });
        unroll<M * N>([&](auto k) { c[k / N][k % N] += y[k / N * p.y_stride] * r[k % N]; });
        radial += p.radial_stride;
    }
    unroll<M * N>([&](auto k) { store<T, W>(p.out + k / N * p.out_stride + k % N * W, c[k / N][k % N]); });
}

// Where zone_rank numbers are half a vector, such as floats of AVX-512, neighbours are taken two by two: their radial
// functions lie in alternate lanes, and so do their harmonics, which follow each other. The first has an even index.
template <class T>
inline constexpr bool in_pairs = lanes<T> == 2 * zone_rank;

// As accumulate, for zone_rank columns and an even number n of neighbours.
template <class T, int M>
void accumulate_pairs(const Product<T>& p) {
    constexpr int H = zone_rank, W = 2 * H;
    using V = Vec<T, W>;
    using Half = Vec<T, H>;
    const auto shuffled = []<int... I>(Half a, Half b, std::integer_sequence<int, I...>) {
        return __builtin_shufflevector(a, b, (I % 2 * H + I / 2)...);
    };
    V c[M];
    unroll<M>([&](auto m) { c[m] = V{}; });
    const T* radial = p.radial;
    for (std::int32_t i = 0; i < p.n; i += 2) {
        const T* y = p.harmonics + p.y_first[i];
        const V r =
            shuffled(load<T, H>(radial), load<T, H>(radial + p.radial_stride), std::make_integer_sequence<int, W>{});
        unroll<M>([&](auto m) { c[m] += broadcast_pair<T, W>(y + m * p.y_stride) * r; });
        radial += 2 * p.radial_stride;
    }
    unroll<M>([&](auto m) {
        T* const out = p.out + m * p.out_stride;
        const Half sum = alternate<T, W, 0>(c[m]) + alternate<T, W, 1>(c[m]);
        store<T, H>(out, p.add ? load<T, H>(out) + sum : sum);
    });
}

// As many rows as leave registers for the radial functions and one harmonic; 25 cut (l_max + 1)^2 rows well.
template <int N>
inline constexpr int row_tile = (vector_registers - N - 2) / N > 25 ? 25 : (vector_registers - N - 2) / N;

// `rows` rows in tiles of equal size, N vectors of columns. Inlined, so that the operands are never copied.
template <class T, int W, int N, bool Pairs>
inline __attribute__((always_inline)) void accumulate_rows(Product<T>& p, std::int32_t rows) {
    static constexpr auto tile = []<int... M>(std::integer_sequence<int, M...>) {
        if constexpr (Pairs)
            return std::array<void (*)(const Product<T>&), sizeof...(M)>{accumulate_pairs<T, M + 1>...};
        else
            return std::array<void (*)(const Product<T>&), sizeof...(M)>{accumulate<T, W, N, M + 1>...};
    }(std::make_integer_sequence<int, row_tile<N>>{});
    const T* const harmonics = p.harmonics;
    T* const out = p.out;
    for (std::int32_t tiles = (rows + row_tile<N> - 1) / row_tile<N>; tiles > 0; --tiles) {
        const std::int32_t m = (rows + tiles - 1) / tiles;
        tile[m - 1](p);
        p.harmonics += m * p.y_stride;
        p.out += m * p.out_stride;
        rows -= m;
    }
    p.harmonics = harmonics;
    p.out = out;
}

// All rows and columns; n_columns a multiple of W.
template <class T, int W, bool Pairs = false>
inline __attribute__((always_inline)) void multiply(Product<T>& p, std::int32_t rows, std::int32_t n_columns) {
    const T* const radial = p.radial;
    T* const out = p.out;
    for (std::int32_t v = n_columns / W; v > 0;) {
        const auto columns = [&]<int N>() __attribute__((always_inline)) {
            accumulate_rows<T, W, N, Pairs>(p, rows);
            v -= N, p.radial += N * W, p.out += N * W;
        };
        if (!Pairs && v >= 3 && v != 4)
            columns.template operator()<3>();
        else if (!Pairs && v >= 2)
            columns.template operator()<2>();
        else
            columns.template operator()<1>();
    }
    p.radial = radial;
    p.out = out;
}

// Zones of one group that are taken to the full basis together.
inline constexpr std::int32_t merged_zones = 6;

template <class T>
std::size_t expansion_scratch(const ExpansionModel<T>& model) {
    const std::size_t n_lm = static_cast<std::size_t>(model.l_max + 1) * (model.l_max + 1);
    const std::size_t n_functions = static_cast<std::size_t>(model.radial.n_pad) * (model.l_max + 1);
    return (expansion_chunk + 2) * n_functions + expansion_chunk * n_lm + merged_zones * n_lm * zone_rank;
}

template <class T, int W>
void expand_with(const ExpansionModel<T>& model, const Neighbourhood& nb, T* scratch, const Coefficients<T>& out,
                 std::int32_t centre, const std::int32_t* column) {
    constexpr int Y = lanes<T>;
    constexpr int Z = lanes<T> < zone_rank ? lanes<T> : zone_rank; // lanes of the short basis
    const std::int32_t n_pad = model.radial.n_pad, n_functions = n_pad * (model.l_max + 1);
    const std::int32_t n_lm = (model.l_max + 1) * (model.l_max + 1);
    T* radial = scratch;
    T* harmonics = radial + static_cast<std::size_t>(expansion_chunk + 2) * n_functions;
    T* zone_sums = harmonics + static_cast<std::size_t>(expansion_chunk) * n_lm; // [zone][l, m][q]
    std::int32_t y_first[expansion_chunk], q_first[merged_zones * zone_rank];
    for (std::int32_t k = 0; k < expansion_chunk; ++k)
        y_first[k] = (k / Y) * n_lm * Y + k % Y;
    for (std::int32_t k = 0; k < merged_zones * zone_rank; ++k)
        q_first[k] = (k / zone_rank) * n_lm * zone_rank + k % zone_rank;

    const Segment* segment = nb.segments;
    const Segment* const last = nb.segments + nb.n_segments - 1;
    const auto rows_of = [&](std::int32_t l) {
        return out.data + out.first[l] + static_cast<std::size_t>(centre) * (2 * l + 1) * out.n_columns +
               column[segment->group];
    };
    // Radial functions of the neighbours [k, k + n) of the chunk, and their product with the harmonics.
    const auto add_up = [&]<int V, bool Pairs>(const T* coefficients, std::int32_t stride, std::int32_t start,
                                               std::int32_t k, std::int32_t n, bool add) {
        const std::int32_t before = Pairs ? k % 2 : 0, after = Pairs ? (k + n) % 2 : 0;
        radial_functions<T, V, false>(model.radial, coefficients, stride, stride, nb.r + start + k, nullptr, nullptr, n,
                                      radial + before * stride, nullptr);
        if (before)
            std::memset(radial, 0, stride * sizeof(T));
        if (after)
            std::memset(radial + static_cast<std::size_t>(before + n) * stride, 0, stride * sizeof(T));
        return Product<T>{radial,
                          static_cast<std::size_t>(stride),
                          harmonics,
                          Y,
                          y_first + (k - before),
                          before + n + after,
                          nullptr,
                          0,
                          add};
    };
    bool written = false;    // whether the rows of this group hold something
    std::int32_t merged = 0; // zones summed but not taken to the full basis yet
    for (std::int32_t start = 0; start < nb.n; start += expansion_chunk) {
        const std::int32_t stop = start + expansion_chunk < nb.n ? start + expansion_chunk : nb.n;
        solid_harmonics<T, Y>(model.l_max, model.recursion, model.radial.inverse_r_max, nb.x + start, nb.y + start,
                              nb.z + start, nb.weight + start, stop - start, harmonics);
        for (std::int32_t i = start; i < stop;) {
            const std::int32_t end = segment->end < stop ? segment->end : stop, n = end - i;
            const bool begun = segment->begin < i, complete = end == segment->end;
            if (segment->zone < 0) {
                constexpr bool pairs = in_pairs<T> && W == zone_rank;
                Product<T> p = add_up.template operator()<W, pairs>(model.radial.coefficients, n_functions, start,
                                                                    i - start, n, begun);
                p.out_stride = static_cast<std::size_t>(out.n_columns);
                for (std::int32_t l = 0; l <= model.l_max; ++l) {
                    p.out = rows_of(l);
                    multiply<T, W, pairs>(p, 2 * l + 1, n_pad);
                    p.radial += n_pad;
                    p.harmonics += (2 * l + 1) * Y;
                }
                written = true;
            } else {
                Product<T> p = add_up.template operator()<Z, in_pairs<T>>(model.radial.short_coefficients, zone_rank,
                                                                          start, i - start, n, begun);
                p.out = zone_sums + static_cast<std::size_t>(merged) * n_lm * zone_rank;
                p.out_stride = zone_rank;
                multiply<T, Z, in_pairs<T>>(p, n_lm, zone_rank);
                merged += complete;
                const bool more = segment != last && segment[1].group == segment->group &&
                                  segment[1].zone == segment->zone + 1 && merged < merged_zones;
                if (complete && !more) {
                    const std::int32_t zone = segment->zone - merged + 1;
                    Product<T> q{nullptr,   static_cast<std::size_t>(n_pad),
                                 zone_sums, zone_rank,
                                 q_first,   merged * zone_rank,
                                 nullptr,   static_cast<std::size_t>(out.n_columns),
                                 written};
                    for (std::int32_t l = 0; l <= model.l_max; ++l) {
                        q.radial = model.radial.zone_basis +
                                   static_cast<std::size_t>(l * model.radial.n_zones + zone) * zone_rank * n_pad;
                        q.out = rows_of(l);
                        multiply<T, W, in_pairs<T> && W == zone_rank>(q, 2 * l + 1, n_pad);
                        q.harmonics += (2 * l + 1) * zone_rank;
                    }
                    merged = 0;
                    written = true;
                }
            }
            if (complete) {
                if (segment != last && segment[1].group != segment->group)
                    written = false;
                ++segment;
            }
            i = end;
        }
    }
}

// Vectors no wider than the padded number of radial functions asks for.
template <class T>
void expand(const ExpansionModel<T>& model, const Neighbourhood& nb, T* scratch, const Coefficients<T>& out,
            std::int32_t centre, const std::int32_t* column) {
    if (nb.n == 0) // then there are no segments either
        return;
    with_width<T>(model.radial.n_pad, [&]<int W>() { expand_with<T, W>(model, nb, scratch, out, centre, column); });
}
