// Coefficients of the real harmonics in kernels/harmonics.hpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

namespace atomprint {

// Of the recursion.
inline std::vector<double> harmonics_recursion(std::int32_t l_max) {
    std::vector<double> values;
    double d = std::sqrt(0.25 / std::numbers::pi);
    for (int m = 0; m <= l_max; ++m) {
        if (m > 0)
            d *= std::sqrt((2.0 * m + 1.0) / (2.0 * m)) * (m == 1 ? std::numbers::sqrt2 : 1.0);
        values.push_back(d);
    }
    for (int m = 0; m <= l_max; ++m)
        for (int l = m + 1; l <= l_max; ++l) {
            const double l2 = double(l) * l, m2 = double(m) * m, k2 = (l - 1.0) * (l - 1.0);
            const double a = std::sqrt((4.0 * l2 - 1.0) / (l2 - m2));
            values.push_back(a);
            values.push_back(l == m + 1 ? 0.0 : a * std::sqrt((k2 - m2) / (4.0 * k2 - 1.0)));
        }
    return values;
}

// Of the gradients, for coordinates scaled by `scale`.
inline std::vector<double> harmonics_gradient(std::int32_t l_max, double scale) {
    std::vector<double> values;
    for (int l = 1; l <= l_max; ++l) {
        const double k = scale * std::sqrt((2.0 * l + 1.0) / (2.0 * l - 1.0));
        for (int m = 0; m <= l; ++m) {
            values.push_back(k * std::sqrt(double(l - m) * (l + m)));
            values.push_back(0.5 * k * std::sqrt(double(l - m) * (l - m - 1)) * (m == 0 ? std::numbers::sqrt2 : 1.0));
            values.push_back(0.5 * k * std::sqrt(double(l + m) * (l + m - 1)) * (m == 1 ? std::numbers::sqrt2 : 1.0));
        }
    }
    return values;
}

} // namespace atomprint
