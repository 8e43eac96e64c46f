// Power spectrum: p_nn'l = prefactor_l sum_m c_nlm c'_n'lm for one pair of species. Included inside the
// namespace of one instruction set. What is nothing but rounding, below `least`, is zero.
#pragma once

template <class T, int W>
inline __attribute__((always_inline)) Vec<T, W> without_rounding(Vec<T, W> p, T least) {
    return (p < least) & (p > -least) ? Vec<T, W>{} : p;
}

// The lanes from Shift on of two vectors side by side.
template <class T, int W, int Shift>
inline __attribute__((always_inline)) Vec<T, W> shifted(Vec<T, W> low, Vec<T, W> high) {
    return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        return __builtin_shufflevector(low, high, (I + Shift)...);
    }(std::make_integer_sequence<int, W>{});
}

// Which columns of R rows n and N vectors of columns n' are written: all; in row r those from r on, moved to the front
// (shift); or, where the columns of W rows are one vector (descend), all to r elements before the row, from the last
// row to the first, so that what lands before a row is overwritten by the one above.
enum class Rows { full, shift, descend };

// Whole vectors are stored where this writes only before `end` what rows that follow write again; with Exact, where
// rows of `row_length` have no other numbers.
template <class T, int W, int N, int R, Rows Kind, bool Exact = false>
inline __attribute__((always_inline)) void product_tile(const T* a, const T* b, std::size_t stride, std::int32_t rows,
                                                        T scale, T least, std::int32_t row_length, T* const* out,
                                                        const T* end) {
    using V = Vec<T, W>;
    // In row r the columns before r are not needed where it is shifted.
    const auto skipped = [](int r) { return Kind == Rows::shift ? r : 0; };
    V p[R][N];
    unroll<R * N>([&](auto k) { p[k / N][k % N] = V{}; });
    for (std::int32_t row = 0; row < rows; ++row) {
        V vb[N];
        unroll<N>([&](auto v) { vb[v] = load<T, W>(b + v * W); });
        unroll<R * N>([&](auto k) {
            if constexpr (k % N >= skipped(k / N) / W)
                p[k / N][k % N] += a[k / N] * vb[k % N];
        });
        a += stride, b += stride;
    }
    unroll<R * N>([&](auto k) { p[k / N][k % N] = without_rounding<T, W>(p[k / N][k % N] * scale, least); });
    if constexpr (Kind == Rows::descend) {
        unroll<R * N>([&](auto k) {
            constexpr int r = R - 1 - k / N, v = k % N;
            store<T, W>(out[r] - r + v * W, p[r][v]);
        });
    } else if (Exact ? row_length >= N * W : out[R - 1] + N * W <= end) {
        unroll<R * N>([&](auto k) {
            constexpr int r = k / N, v = k % N + skipped(r) / W, next = v + 1 < N ? v + 1 : v;
            if constexpr (v < N)
                store<T, W>(out[r] + k % N * W, shifted<T, W, skipped(r) % W>(p[r][v], p[r][next]));
        });
    } else {
        T numbers[R * N * W];
        unroll<R * N>([&](auto k) { store<T, W>(numbers + k * W, p[k / N][k % N]); });
        for (int r = 0; r < R; ++r)
            for (int k = skipped(r); k < row_length && k < N * W; ++k)
                out[r][k - skipped(r)] = numbers[r * N * W + k];
    }
}

// The rows n .. n + R - 1 of one l. Rows that fit into N <= 3 vectors are stored at once; longer ones go piece by
// piece, and all pieces but the first are stored exactly, since the start of the next row is written already.
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
        // In the triangular case the first piece of row r is r numbers shorter than those that follow.
        product_tile<T, W, 2, R, Kind>(a, b, stride, rows, scale, least, 2 * W, row, end);
        for (std::int32_t v = 2 * W; v < length; v += 2 * W) {
            for (int r = 0; r < R; ++r)
                row[r] += 2 * W - (Triangular && v == 2 * W ? r : 0);
            product_tile<T, W, 2, R, Rows::full, true>(a, b + v, stride, rows, scale, least, length - v, row, end);
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
            if (W >= 4 && left >= 8 && (vector_registers > 16 || length <= W))
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

// Where the columns of a row are half a vector: two rows n in each, in alternate lanes.
template <class T, bool Triangular>
void power_of_pairs(const PowerModel<T>& model, const PowerBlock& block, const Coefficients<T>& c,
                    std::int32_t n_centres, LeastPower<T> least, T* features) {
    constexpr int H = zone_rank, W = 2 * H, P = H / 2;
    using V = Vec<T, W>;
    const std::size_t stride = model.n_columns;
    T* out = features + block.first;
    for (std::int32_t l = 0; l <= model.l_max; ++l) {
        const T *a = c.data + c.first[l] + block.a, *b = c.data + c.first[l] + block.b;
        V p[P];
        unroll<P>([&](auto k) { p[k] = V{}; });
        for (std::int32_t row = (2 * l + 1) * n_centres; row > 0; --row) {
            const V both = doubled<T, W>(load<T, H>(b));
            unroll<P>([&](auto k) { p[k] += broadcast_pair<T, W>(a + 2 * k) * both; });
            a += stride, b += stride;
        }
        const T scale = model.prefactor[l], smallest = l == 0 ? least.of_zero : least.of_others;
        unroll<P>([&](auto k) {
            constexpr int n = Triangular ? 2 * (P - 1 - k) : 2 * k;
            const V v = without_rounding<T, W>(p[n / 2] * scale, smallest);
            // In the triangular case from the last row to the first, each n numbers early.
            T* const to = out + n * H - (Triangular ? n * (n + 1) / 2 : 0);
            store<T, H>(to + H - (Triangular ? n + 1 : 0), alternate<T, W, 1>(v));
            store<T, H>(to, alternate<T, W, 0>(v));
        });
        out += Triangular ? H * (H + 1) / 2 : H * H;
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

// The widest vectors, or the narrowest that hold a row: measured for n_max up to 32, whole and triangular blocks.
template <class T>
void power(const PowerModel<T>& model, const PowerBlock& block, const Coefficients<T>& c, std::int32_t n_centres,
           LeastPower<T> least, T* features) {
    constexpr int W = lanes<T>;
    if constexpr (in_pairs<T>)
        if (model.n_max == zone_rank)
            return block.triangular ? power_of_pairs<T, true>(model, block, c, n_centres, least, features)
                                    : power_of_pairs<T, false>(model, block, c, n_centres, least, features);
    if constexpr (vector_bytes > 32)
        if (model.n_max <= W / 4)
            return power_any<T, W / 4>(model, block, c, n_centres, least, features);
    if constexpr (vector_bytes > 16)
        if (model.n_max <= W / 2)
            return power_any<T, W / 2>(model, block, c, n_centres, least, features);
    power_any<T, W>(model, block, c, n_centres, least, features);
}
