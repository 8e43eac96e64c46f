// Gaussians integrated over the cells of a regular grid. Included inside the namespace of one instruction
// set.
#pragma once

// The grid points that one value reaches, and where their polynomials are: that of power p of point k stands
// at coefficient[p * stride + k - begin].
struct Window {
    std::int32_t begin, end;
    const double* coefficient;
    double t;
};

ATOMPRINT_INLINE bool find_window(const BroadeningTable& table, double value, Window& window) {
    const double u = (value - table.origin) * table.inverse_spacing;
    const std::int32_t reach = table.reach;
    if (!(u > -1.0 - reach && u < static_cast<double>(table.n) + reach)) // also where it is not a number
        return false;
    const double floor = __builtin_floor(u), place = (u - floor) * table.n_cells;
    std::int32_t cell = static_cast<std::int32_t>(place);
    cell = cell < table.n_cells ? cell : table.n_cells - 1;
    window.t = place - cell - 0.5;
    const std::int32_t first = static_cast<std::int32_t>(floor) - reach, last = first + 2 * reach + 1;
    window.begin = first > 0 ? first : 0;
    window.end = last < table.n ? last : table.n;
    window.coefficient =
        table.coefficients + static_cast<std::size_t>(cell) * broadening_powers * table.stride + (window.begin - first);
    return true;
}

// Value and derivative by t of the polynomials of one vector of points. Beyond the window they are zero.
ATOMPRINT_INLINE Double window_values(const double* c, std::size_t stride, double t) {
    constexpr int L = lanes<double>;
    Double v = load<double, L>(c + (broadening_powers - 1) * stride);
    unroll<broadening_powers - 1>(
        [&](auto p) { v = v * t + load<double, L>(c + (broadening_powers - 2 - p) * stride); });
    return v;
}
ATOMPRINT_INLINE Double window_values(const double* c, std::size_t stride, double t, Double& slope) {
    constexpr int L = lanes<double>;
    Double v = load<double, L>(c + (broadening_powers - 1) * stride);
    slope = Double{};
    unroll<broadening_powers - 1>([&](auto p) {
        slope = slope * t + v;
        v = v * t + load<double, L>(c + (broadening_powers - 2 - p) * stride);
    });
    return v;
}

inline void broaden(const BroadeningTable& table, std::size_t n, const double* value, const double* weight,
                    const std::int32_t* row, double* rows) {
    constexpr int L = lanes<double>;
    for (std::size_t i = 0; i < n; ++i) {
        Window w;
        if (weight[i] == 0.0 || !find_window(table, value[i], w))
            continue;
        double* to = rows + static_cast<std::size_t>(row[i]) * table.row_stride;
        const double* c = w.coefficient;
        for (std::int32_t k = w.begin; k < w.end; k += L, c += L)
            store<double, L>(to + k, load<double, L>(to + k) + weight[i] * window_values(c, table.stride, w.t));
    }
}

inline void broaden_adjoint(const BroadeningTable& table, std::size_t n, const double* value, const double* weight,
                            const std::int32_t* row, const double* rows, double* sum, double* slope) {
    constexpr int L = lanes<double>;
    for (std::size_t i = 0; i < n; ++i) {
        sum[i] = slope[i] = 0.0;
        Window w;
        if (weight[i] == 0.0 || !find_window(table, value[i], w))
            continue;
        const double* from = rows + static_cast<std::size_t>(row[i]) * table.row_stride;
        const double* c = w.coefficient;
        Double sums{}, slopes{};
        for (std::int32_t k = w.begin; k < w.end; k += L, c += L) {
            Double derivative;
            const Double v = window_values(c, table.stride, w.t, derivative), weights = load<double, L>(from + k);
            sums += weights * v;
            slopes += weights * derivative;
        }
        sum[i] = sum_of_lanes(sums);
        slope[i] = sum_of_lanes(slopes) * table.inverse_cell;
    }
}

inline bool broaden_one(const BroadeningTable& table, double value, std::int32_t* begin, std::int32_t* end,
                        double* values, double* slopes) {
    constexpr int L = lanes<double>;
    Window w;
    if (!find_window(table, value, w))
        return false;
    const double* c = w.coefficient;
    for (std::int32_t k = 0; k < w.end - w.begin; k += L, c += L) {
        Double derivative;
        store<double, L>(values + k, window_values(c, table.stride, w.t, derivative));
        store<double, L>(slopes + k, derivative * table.inverse_cell);
    }
    *begin = w.begin, *end = w.end;
    return true;
}
