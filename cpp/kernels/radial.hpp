// Evaluation of tabulated radial functions and their slopes. Included inside the namespace of one instruction
// set.
#pragma once

inline void distances(const double* r2, std::int32_t n, double inverse_step, std::int32_t n_cells, double* r,
                      std::int32_t* cell) {
    for (std::int32_t i = 0; i < n; ++i) {
        r[i] = __builtin_sqrt(r2[i]);
        const auto k = static_cast<std::int32_t>(r[i] * inverse_step);
        cell[i] = k < n_cells ? k : n_cells - 1;
    }
}

// For n neighbours at distance r: R_f(r) to values[i][f], or with slopes w R_f(r) and d/dr of it, for a
// weight w with its derivative. Rows are `stride` apart: one row of coefficients for each neighbour, the
// functions in lanes.
template <class T, int W, bool with_slopes>
inline void radial_functions(const RadialTable<T>& table, const T* coefficients, std::int32_t n_functions,
                             std::int32_t stride, const double* r, const double* weight, const double* weight_slope,
                             std::int32_t n, T* values, T* slopes) {
    using V = Vec<T, W>;
    for (std::int32_t i = 0; i < n; ++i) {
        const double s = r[i] * table.inverse_step;
        std::int32_t cell = static_cast<std::int32_t>(s);
        cell = cell < table.n_cells ? cell : table.n_cells - 1;
        const T t = static_cast<T>(s - cell);
        const T* c = coefficients + static_cast<std::size_t>(cell) * radial_powers * n_functions;
        T* const value = values + static_cast<std::size_t>(i) * stride;
        for (std::int32_t f = 0; f < n_functions; f += W) {
            V v = load<T, W>(c + 5 * n_functions + f), d = v;
            for (int power = 4; power > 0; --power) {
                v = v * t + load<T, W>(c + power * n_functions + f);
                if constexpr (with_slopes)
                    d = d * t + v;
            }
            v = v * t + load<T, W>(c + f);
            if constexpr (with_slopes) {
                const T w = static_cast<T>(weight[i]), dw = static_cast<T>(weight_slope[i]);
                const T per_step = static_cast<T>(weight[i] * table.inverse_step);
                store<T, W>(value + f, v * w);
                store<T, W>(slopes + static_cast<std::size_t>(i) * stride + f, d * per_step + v * dw);
            } else {
                store<T, W>(value + f, v);
            }
        }
    }
}
