// Power spectrum: p_nn'l = prefactor_l sum_m c_nlm c'_n'lm for one pair of species. Included inside the
// namespace of one instruction set. What is nothing but rounding, below `least`, is zero.
#pragma once

template <class T, int W>
inline __attribute__((always_inline)) Vec<T, W> without_rounding(Vec<T, W> p, T least) {
    return (p < least) & (p > -least) ? Vec<T, W>{} : p;
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

// R rows n, N vectors of columns n'. In the triangular case row r starts at column r: either the vectors are
// loaded from there (Shift), or, where the columns fill the vectors exactly (Descend), rows are stored from
// the last to the first, each r elements early: what lands before its start is overwritten by the row above.
enum class Rows { full, shift, descend };

template <class T, int W, int N, int R, Rows Kind>
inline __attribute__((always_inline)) void product_tile(const T* a, const T* b, std::size_t stride, std::int32_t rows,
                                                        T scale, T least, std::int32_t row_length, T* const* out,
                                                        const T* end) {
    using V = Vec<T, W>;
    V p[R][N];
    unroll<R * N>([&](auto k) { p[k / N][k % N] = V{}; });
    for (std::int32_t row = 0; row < rows; ++row) {
        V vb[N];
        if constexpr (Kind != Rows::shift)
            unroll<N>([&](auto v) { vb[v] = load<T, W>(b + v * W); });
        unroll<R * N>([&](auto k) {
            constexpr int r = k / N, v = k % N;
            if constexpr (Kind == Rows::shift)
                p[r][v] += a[r] * load<T, W>(b + r + v * W);
            else
                p[r][v] += a[r] * vb[v];
        });
        a += stride, b += stride;
    }
    unroll<R * N>([&](auto k) {
        constexpr int r = Kind == Rows::descend ? R - 1 - k / N : k / N, v = k % N;
        if constexpr (Kind == Rows::descend) {
            store<T, W>(out[r] - r + v * W, without_rounding<T, W>(p[r][v] * scale, least));
        } else {
            const std::int32_t left = row_length - (Kind == Rows::shift ? r : 0) - v * W;
            if (left > 0)
                store_row<T, W>(out[r] + v * W, without_rounding<T, W>(p[r][v] * scale, least), left, end);
        }
    });
}

// The rows n .. n + R - 1 of one l. Whole rows are stored at once where they fit into N <= 3 vectors; longer
// ones go piece by piece and are then stored exactly (no `end`), since the start of the next row is written
// already.
template <class T, int W, int R, bool Triangular>
inline void product_rows(const T* a, const T* b, std::size_t stride, std::int32_t rows, T scale, T least,
                         std::int32_t length, T* out, const T* end) {
    constexpr Rows Kind = Triangular ? Rows::shift : Rows::full;
    T* row[R];
    for (int r = 0; r < R; ++r) {
        row[r] = out;
        out += Triangular ? length - r : length;
    }
    if (Triangular && R == W && length == W) {
        product_tile<T, W, 1, R, Rows::descend>(a, b, stride, rows, scale, least, length, row, end);
    } else if (length <= W) {
        product_tile<T, W, 1, R, Kind>(a, b, stride, rows, scale, least, length, row, end);
    } else if (length <= 2 * W) {
        product_tile<T, W, 2, R, Kind>(a, b, stride, rows, scale, least, length, row, end);
    } else if (length <= 3 * W) {
        product_tile<T, W, 3, R, Kind>(a, b, stride, rows, scale, least, length, row, end);
    } else {
        for (std::int32_t v = 0; v < length; v += 2 * W) {
            product_tile<T, W, 2, R, Kind>(a, b + v, stride, rows, scale, least, length - v, row, nullptr);
            for (int r = 0; r < R; ++r)
                row[r] += 2 * W;
        }
    }
}

template <class T, int W, bool Triangular>
void power_with(const PowerModel<T>& model, const PowerBlock& block, const Coefficients<T>& c, std::int32_t n_centres,
                LeastPower<T> least, T* features) {
    const std::int32_t n_max = model.n_max;
    const std::size_t stride = model.n_columns;
    const std::size_t per_l =
        Triangular ? static_cast<std::size_t>(n_max) * (n_max + 1) / 2 : static_cast<std::size_t>(n_max) * n_max;
    T* out = features + block.first;
    const T* const end = out + per_l * (model.l_max + 1);
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        const T* matrix = c.data + c.first[l];
        const std::int32_t rows = (2 * l + 1) * n_centres;
        for (std::int32_t n = 0; n < n_max;) {
            const std::int32_t length = Triangular ? n_max - n : n_max;
            const auto strip = [&]<int R>() {
                product_rows<T, W, R, Triangular>(matrix + block.a + n, matrix + block.b + (Triangular ? n : 0), stride,
                                                  rows, model.prefactor[l], l == 0 ? least.of_zero : least.of_others,
                                                  length, out, end);
                out += Triangular ? R * length - R * (R - 1) / 2 : R * length;
                n += R;
            };
            const std::int32_t left = n_max - n;
            if (left >= 8 && (vector_registers > 16 || length <= W))
                strip.template operator()<8>();
            else if (left >= 4)
                strip.template operator()<4>();
            else if (left >= 2)
                strip.template operator()<2>();
            else
                strip.template operator()<1>();
        }
    }
}

template <class T, int W>
void power_any(const PowerModel<T>& model, const PowerBlock& block, const Coefficients<T>& c, std::int32_t n_centres,
               LeastPower<T> least, T* features) {
    if (block.triangular)
        power_with<T, W, true>(model, block, c, n_centres, least, features);
    else
        power_with<T, W, false>(model, block, c, n_centres, least, features);
}

// Vectors no wider than the number of radial functions asks for, as in the expansion.
template <class T>
void power(const PowerModel<T>& model, const PowerBlock& block, const Coefficients<T>& c, std::int32_t n_centres,
           LeastPower<T> least, T* features) {
    constexpr int W = lanes<T>;
    const auto padded = [&](std::int32_t w) { return (model.n_max + w - 1) / w * w; };
    if constexpr (vector_bytes > 32)
        if (padded(W / 4) < padded(W / 2) && padded(W / 4) < padded(W))
            return power_any<T, W / 4>(model, block, c, n_centres, least, features);
    if constexpr (vector_bytes > 16)
        if (padded(W / 2) < padded(W))
            return power_any<T, W / 2>(model, block, c, n_centres, least, features);
    power_any<T, W>(model, block, c, n_centres, least, features);
}
