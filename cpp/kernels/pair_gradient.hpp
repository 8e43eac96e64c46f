// Derivatives of the power spectrum of one centre with respect to the vector to one neighbour. Included
// inside the namespace of one instruction set.
//
// With c_nlm the coefficients, R_nl and Y_lm those of the neighbour, e the direction to it and r its
// distance,
//
//     grad c_nlm = R_nl grad Y_lm + R_nl' e Y_lm,
//     grad sum_m c_nlm c'_n'lm = R_nl E_n'l + R_nl' e D_n'l + the same with n and n' exchanged,
//
// where E_n'l = sum_m grad Y_lm c'_n'lm and D_n'l = sum_m Y_lm c'_n'lm: two outer products instead of a sum
// over m.
#pragma once

// Radial functions of the neighbours [begin, end) of a zone, from the short basis: the same functions as in
// the expansion and backwards, so that all derivatives agree to rounding.
template <class T, int W>
void zone_functions(const ExpansionModel<T>& model, const Neighbourhood& nb, std::int32_t zone, std::int32_t begin,
                    std::int32_t end, T* scratch, T* values, T* slopes) {
    constexpr int Z = lanes<T> < zone_rank ? lanes<T> : zone_rank;
    const std::int32_t n_pad = model.radial.n_pad, n_functions = n_pad * (model.l_max + 1);
    T* const short_slopes = scratch + expansion_chunk * zone_rank;
    std::int32_t q_first[zone_rank];
    for (std::int32_t q = 0; q < zone_rank; ++q)
        q_first[q] = q;
    for (std::int32_t i = begin; i < end; i += expansion_chunk) {
        const std::int32_t n = end - i < expansion_chunk ? end - i : expansion_chunk;
        radial_functions<T, Z, true>(model.radial, model.radial.short_coefficients, zone_rank, zone_rank, nb.r + i,
                                     nb.weight + i, nb.slope + i, n, scratch, short_slopes);
        const std::size_t first = static_cast<std::size_t>(i) * n_functions;
        Product<T> p{nullptr, static_cast<std::size_t>(n_pad),       nullptr, zone_rank, q_first, zone_rank,
                     nullptr, static_cast<std::size_t>(n_functions), false};
        for (std::int32_t l = 0; l <= model.l_max; ++l) {
            p.radial =
                model.radial.zone_basis + static_cast<std::size_t>(l * model.radial.n_zones + zone) * zone_rank * n_pad;
            p.harmonics = scratch, p.out = values + first + l * n_pad;
            multiply<T, W>(p, n, n_pad);
            p.harmonics = short_slopes, p.out = slopes + first + l * n_pad;
            multiply<T, W>(p, n, n_pad);
        }
    }
}

template <class T>
std::size_t pair_scratch(const ExpansionModel<T>& model) {
    const std::size_t n_lm = static_cast<std::size_t>(model.l_max + 1) * (model.l_max + 1);
    const std::size_t plain = n_lm * 2 * lanes<T>, zone = 2 * expansion_chunk * zone_rank;
    return plain > zone ? plain : zone;
}

template <class T, int W>
void differentiate_with(const ExpansionModel<T>& model, const Neighbourhood& nb, const T* factor, T* scratch, T* values,
                        T* slopes, T* harmonics) {
    const std::int32_t n_functions = model.radial.n_pad * (model.l_max + 1);
    for (std::int32_t k = 0; k < nb.n_segments; ++k) {
        const Segment& s = nb.segments[k];
        const std::size_t first = static_cast<std::size_t>(s.begin) * n_functions;
        if (s.zone < 0)
            radial_functions<T, W, true>(model.radial, model.radial.coefficients, n_functions, n_functions,
                                         nb.r + s.begin, nb.weight + s.begin, nb.slope + s.begin, s.end - s.begin,
                                         values + first, slopes + first);
        else
            zone_functions<T, W>(model, nb, s.zone, s.begin, s.end, scratch, values, slopes);
    }
    T *value = values, *slope = slopes;
    for (std::int32_t i = 0; i < nb.n; ++i)
        for (std::int32_t l = 0; l <= model.l_max; ++l)
            for (std::int32_t n = 0; n < model.radial.n_pad; n += W, value += W, slope += W) {
                store<T, W>(value, load<T, W>(value) * factor[l]);
                store<T, W>(slope, load<T, W>(slope) * factor[l]);
            }
    harmonics_with_gradients<T, lanes<T>>(model, nb.x, nb.y, nb.z, nb.n, scratch, harmonics);
}

template <class T>
std::size_t harmonics_size(const ExpansionModel<T>& model, std::int32_t n) {
    constexpr std::int32_t Y = lanes<T>;
    return static_cast<std::size_t>((n + Y - 1) / Y * Y) * 4 * (model.l_max + 1) * (model.l_max + 1);
}

template <class T, int W>
void project_with(const ExpansionModel<T>& model, const T* harmonics, std::int32_t i, const Coefficients<T>& c,
                  T* out) {
    constexpr int Y = lanes<T>;
    const std::int32_t n_lm = (model.l_max + 1) * (model.l_max + 1);
    std::int32_t y_first[2 * largest_l + 1];
    for (std::int32_t k = 0; k < 2 * model.l_max + 1; ++k)
        y_first[k] = k * 4 * Y;
    Product<T> p{nullptr,
                 static_cast<std::size_t>(c.n_columns),
                 harmonics + static_cast<std::size_t>(i / Y) * n_lm * 4 * Y + i % Y,
                 Y,
                 y_first,
                 0,
                 out,
                 static_cast<std::size_t>(c.n_columns),
                 false};
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        p.radial = c.data + c.first[l], p.n = 2 * l + 1;
        multiply<T, W>(p, 4, c.n_columns);
        p.harmonics += (2 * l + 1) * 4 * Y;
        p.out += 4 * c.n_columns;
    }
}

// Write the first n lanes of v (all W where n is more); a full vector where that stays inside the block,
// since what it writes too much is written again by the rows that follow.
template <class T, int W>
inline __attribute__((always_inline)) void store_row(T* out, Vec<T, W> v, std::int32_t n, const T* end) {
    if (out + W <= end) {
        store<T, W>(out, v);
    } else {
        T values[W];
        store<T, W>(values, v);
        for (std::int32_t k = 0; k < W && k < n; ++k)
            out[k] = values[k];
    }
}

// Rows n of the sum over k < K of s_k[n] v_k[n'], n' >= n only where Triangular; returns what follows them.
template <class T, int W, int K, bool Triangular>
inline __attribute__((always_inline)) T* outer_products(std::int32_t n_max, const T* const (&s)[K],
                                                        const T (&v)[K][largest_n + W], T* out, const T* end) {
    const auto piece = [&](std::int32_t n, std::int32_t column) __attribute__((always_inline)) {
        Vec<T, W> row{};
        unroll<K>([&](auto k) { row += s[k][n] * load<T, W>(v[k] + column); });
        return row;
    };
    if (Triangular && n_max % W == 0) {
        // Whole vectors, from the last row to the first: what lands before the start of a row is overwritten
        // by the row above.
        for (std::int32_t n = n_max - 1; n >= 0; --n) {
            T* const row = out + n * n_max - n * (n - 1) / 2 - n;
            for (std::int32_t column = n / W * W; column < n_max; column += W)
                store<T, W>(row + column, piece(n, column));
        }
        return out + n_max * (n_max + 1) / 2;
    }
    for (std::int32_t n = 0; n < n_max; ++n) {
        const std::int32_t first = Triangular ? n : 0, length = n_max - first;
        for (std::int32_t start = 0; start < length; start += W)
            store_row<T, W>(out + start, piece(n, first + start), length - start, end);
        out += length;
    }
    return out;
}

// Which of the two outer products there are: the neighbour is in the density of the rows, of the columns, of
// both.
enum class Touched { rows, columns, both };

template <class T, int W, bool Triangular, Touched Which>
void gradient_block(const PowerModel<T>& model, std::int32_t n_pad, const GradientBlock<T>& block, const T* values,
                    const T* slopes, const T* projections, const double* unit, T* out, std::size_t stride) {
    const std::int32_t n_max = model.n_max;
    const std::size_t n_columns = model.n_columns;
    const std::size_t per_l =
        Triangular ? static_cast<std::size_t>(n_max) * (n_max + 1) / 2 : static_cast<std::size_t>(n_max) * n_max;
    for (int component = 0; component < 3; ++component) {
        T* to = out + component * stride + block.first;
        const T* const end = to + per_l * (model.l_max + 1);
        for (std::int32_t l = 0; l <= model.l_max; ++l) {
            const T* const f = values + static_cast<std::size_t>(l) * n_pad;
            const T* const df = slopes + static_cast<std::size_t>(l) * n_pad;
            const T* const p = projections + static_cast<std::size_t>(l) * 4 * n_columns;
            const T *const gradient = p + component * n_columns, *const value = p + 3 * n_columns;
            const auto scaled = [&](const T* from, T factor, T* scaled) __attribute__((always_inline)) {
                for (std::int32_t n = 0; n < n_max; n += W)
                    store<T, W>(scaled + n, load<T, W>(from + n) * factor);
            };
            const T e = static_cast<T>(unit[component]);
            if constexpr (Which == Touched::both) {
                T v[4][largest_n + W];
                scaled(gradient + block.b, block.u_a, v[0]), scaled(value + block.b, block.u_a * e, v[1]);
                scaled(f, block.u_b, v[2]), scaled(df, block.u_b * e, v[3]);
                to = outer_products<T, W, 4, Triangular>(n_max, {f, df, gradient + block.a, value + block.a}, v, to,
                                                         end);
            } else {
                T v[2][largest_n + W];
                constexpr bool rows = Which == Touched::rows;
                scaled(rows ? gradient + block.b : f, rows ? block.u_a : block.u_b, v[0]);
                scaled(rows ? value + block.b : df, (rows ? block.u_a : block.u_b) * e, v[1]);
                to = outer_products<T, W, 2, Triangular>(
                    n_max, {rows ? f : gradient + block.a, rows ? df : value + block.a}, v, to, end);
            }
        }
    }
}

template <class T, int W>
void gradient_with(const PowerModel<T>& model, std::int32_t n_pad, const GradientBlock<T>* blocks,
                   std::int32_t n_blocks, const T* values, const T* slopes, const T* projections, const double* unit,
                   T* out, std::size_t stride) {
    for (std::int32_t k = 0; k < n_blocks; ++k) {
        const GradientBlock<T>& block = blocks[k];
        const auto write = [&]<bool Triangular, Touched Which>() {
            gradient_block<T, W, Triangular, Which>(model, n_pad, block, values, slopes, projections, unit, out,
                                                    stride);
        };
        if (block.triangular)
            write.template operator()<true, Touched::both>();
        else if (block.u_b == T(0))
            write.template operator()<false, Touched::rows>();
        else if (block.u_a == T(0))
            write.template operator()<false, Touched::columns>();
        else
            write.template operator()<false, Touched::both>();
    }
}

template <class T>
void add_scaled(std::size_t n, T factor, const T* x, T* y) {
    for (std::size_t k = 0; k < n; ++k)
        y[k] += factor * x[k];
}
