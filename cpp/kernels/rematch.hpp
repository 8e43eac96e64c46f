// Similarities of the centres of two structures, and their best match. Included inside the namespace of one
// instruction set.
#pragma once

// Lanes from n on become `other`.
ATOMPRINT_INLINE Double keep_first(Double v, std::size_t n, double other) {
    Integer lane;
    for (int k = 0; k < lanes<double>; ++k)
        lane[k] = k;
    return lane < static_cast<std::int64_t>(n) ? v : other - Double{};
}

ATOMPRINT_INLINE Double power_of(Double base, double exponent) {
    if (exponent == __builtin_floor(exponent) && exponent >= 0.0 && exponent <= 64.0) {
        Double result = broadcast<double, lanes<double>>(1.0);
        for (auto k = static_cast<int>(exponent); k > 0; k >>= 1) {
            if (k & 1)
                result *= base;
            base *= base;
        }
        return result;
    }
    for (int k = 0; k < lanes<double>; ++k)
        base[k] = std::pow(base[k], exponent);
    return base;
}

template <class F>
ATOMPRINT_INLINE void map_products(const double* products, std::size_t ld, std::size_t n, std::size_t m, double* out,
                                   std::size_t stride, F&& f) {
    constexpr std::size_t W = lanes<double>;
    for (std::size_t i = 0; i < n; ++i) {
        const double* from = products + i * ld;
        double* to = out + i * stride;
        std::size_t j = 0;
        for (; j + W <= m; j += W)
            store<double, W>(to + j, f(load<double, W>(from + j), i, j));
        if (j < m) { // nothing beyond the row is read
            Double last{};
            for (std::size_t k = 0; j + k < m; ++k)
                last[k] = from[j + k];
            store<double, W>(to + j, keep_first(f(last, i, j), m - j, 0.0));
        }
    }
}

void local_similarities(const LocalKernel& kernel, const double* products, std::size_t ld, std::size_t n, std::size_t m,
                        const double* x_squares, const double* y_squares, double* out, std::size_t stride) {
    constexpr std::size_t W = lanes<double>;
    const double gamma = kernel.gamma, coef0 = kernel.coef0, degree = kernel.degree;
    switch (kernel.kind) {
    case LocalKernel::given:
        return map_products(products, ld, n, m, out, stride, [](Double p, auto...) { return p; });
    case LocalKernel::polynomial:
        return map_products(products, ld, n, m, out, stride,
                            [=](Double p, auto...) { return power_of(gamma * p + coef0, degree); });
    case LocalKernel::rbf:
        return map_products(products, ld, n, m, out, stride, [=](Double p, std::size_t i, std::size_t j) {
            const Double d2 = (x_squares[i] + load<double, W>(y_squares + j)) - 2.0 * p;
            return exponential(d2 > 0.0 ? -gamma * d2 : Double{}); // rounding may make d2 negative
        });
    }
}

double sum_of_similarities(const double* c, std::size_t n, std::size_t m, std::size_t stride) {
    constexpr std::size_t W = lanes<double>;
    Double sum{};
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < m; j += W) // zero beyond m
            sum += load<double, W>(c + i * stride + j);
    return sum_of_lanes(sum);
}

// How much a vector of factors changed: the squared change, and its squared length.
struct Change {
    Double change{}, size{};
};

// N vectors of columns of out[j] = 1 / (m sum_i weights[i] matrix[i][j]).
template <int N>
ATOMPRINT_INLINE void balance_columns(const double* matrix, std::size_t n, std::size_t m, std::size_t stride,
                                      const double* weights, double* out, std::size_t j, Change& total) {
    constexpr std::size_t W = lanes<double>;
    Double even[N] = {}, odd[N] = {}; // two chains of multiply-adds
    const double* row = matrix + j;
    std::size_t i = 0;
    for (; i + 2 <= n; i += 2, row += 2 * stride)
        unroll<N>([&](auto k) {
            even[k] += weights[i] * load<double, W>(row + k * W);
            odd[k] += weights[i + 1] * load<double, W>(row + stride + k * W);
        });
    if (i < n)
        unroll<N>([&](auto k) { even[k] += weights[i] * load<double, W>(row + k * W); });
    unroll<N>([&](auto k) {
        const std::size_t at = j + k * W;
        Double factor = 1.0 / (static_cast<double>(m) * (even[k] + odd[k]));
        if (at + W > m)
            factor = keep_first(factor, m - at, 0.0);
        const Double difference = factor - load<double, W>(out + at);
        total.change += difference * difference;
        total.size += factor * factor;
        store<double, W>(out + at, factor);
    });
}

// Returns the squared relative change.
ATOMPRINT_INLINE double balance(const double* matrix, std::size_t n, std::size_t m, std::size_t stride,
                                const double* weights, double* out) {
    constexpr std::size_t W = lanes<double>;
    Change total;
    std::size_t j = 0;
    for (; j + 4 * W <= stride; j += 4 * W)
        balance_columns<4>(matrix, n, m, stride, weights, out, j, total);
    for (; j < stride; j += W)
        balance_columns<1>(matrix, n, m, stride, weights, out, j, total);
    return sum_of_lanes(total.change) / sum_of_lanes(total.size);
}

std::size_t padded_length(std::size_t m) {
    constexpr std::size_t W = lanes<double>;
    return (m + W - 1) / W * W;
}

std::size_t match_scratch(std::size_t n, std::size_t m) {
    const std::size_t n_pad = padded_length(n), m_pad = padded_length(m);
    return n * m_pad + m * n_pad + n_pad + m_pad;
}

Match best_match(const double* c, std::size_t n, std::size_t m, double alpha, double threshold, double* scratch,
                 double* value) {
    constexpr std::size_t W = lanes<double>;
    const std::size_t n_pad = padded_length(n), m_pad = padded_length(m);
    double *k = scratch, *transposed = k + n * m_pad, *u = transposed + m * n_pad, *v = u + n_pad;

    constexpr double low = -__builtin_inf();
    Double top = low - Double{}, sum{};
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < m; j += W) {
            const Double entry = load<double, W>(c + i * m_pad + j);
            const Double own = j + W > m ? keep_first(entry, m - j, low) : entry;
            top = own > top ? own : top;
            sum += entry;
        }
    double largest = low;
    for (std::size_t lane = 0; lane < W; ++lane)
        largest = top[lane] > largest ? top[lane] : largest;
    if (!__builtin_isfinite(sum_of_lanes(sum)) || !__builtin_isfinite(largest))
        return Match::not_finite;

    // Relative to the largest: a factor of K changes neither u nor the result, and nothing overflows.
    const double inverse = 1.0 / alpha;
    for (std::size_t j = 0; j < m * n_pad; ++j)
        transposed[j] = 0.0;
    double lowest_row = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        Double best = low - Double{};
        for (std::size_t j = 0; j < m_pad; j += W) {
            const Double exponent = (load<double, W>(c + i * m_pad + j) - largest) * inverse;
            Double entry = exponential(exponent), own = exponent;
            if (j + W > m)
                entry = keep_first(entry, m - j, 0.0), own = keep_first(own, m - j, low);
            best = own > best ? own : best;
            store<double, W>(k + i * m_pad + j, entry);
            for (std::size_t lane = 0; lane < W && j + lane < m; ++lane)
                transposed[(j + lane) * n_pad + i] = entry[lane];
        }
        double row = low;
        for (std::size_t lane = 0; lane < W; ++lane)
            row = best[lane] > row ? best[lane] : row;
        lowest_row = row < lowest_row ? row : lowest_row;
    }
    // Below, the squares of u or v overflow: a centre of one structure is like none of the other.
    constexpr double limit = -340.0;
    if (!(lowest_row > limit))
        return Match::out_of_range;
    const double tiny = std::exp(limit);
    for (std::size_t j = 0; j < m; ++j) {
        bool found = false;
        for (std::size_t i = 0; i < n && !found; ++i)
            found = transposed[j * n_pad + i] > tiny;
        if (!found)
            return Match::out_of_range;
    }

    for (std::size_t i = 0; i < n_pad; ++i)
        u[i] = i < n ? 1.0 / static_cast<double>(n) : 0.0;
    for (std::size_t j = 0; j < m_pad; ++j)
        v[j] = 0.0;
    for (std::size_t iteration = 0;; ++iteration) {
        if (iteration == most_iterations)
            return Match::not_converged;
        if (n * m > 4096)
            poll();
        const double by_v = balance(k, n, m, m_pad, u, v), by_u = balance(transposed, m, n, n_pad, v, u);
        if (!__builtin_isfinite(by_u) || !__builtin_isfinite(by_v))
            return Match::out_of_range;
        // With a loose threshold the result depends on when the change is looked at: as in DScribe, not after
        // the first iteration and every fifth from there.
        if (iteration % 5 != 0 && by_u + by_v <= threshold)
            break;
    }

    double total = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        Double row{};
        for (std::size_t j = 0; j < m_pad; j += W)
            row += load<double, W>(k + i * m_pad + j) * load<double, W>(c + i * m_pad + j) * load<double, W>(v + j);
        total += u[i] * sum_of_lanes(row);
    }
    *value = total;
    return __builtin_isfinite(total) ? Match::found : Match::out_of_range;
}
