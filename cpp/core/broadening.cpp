#include "core/broadening.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace atomprint {

namespace {

// Beyond this many standard deviations the normal distribution is 0 or 1 to all digits.
constexpr double gaussian_reach = 8.3;
// Short cells of the table in a standard deviation: with the powers of the table the error is below 1e-16.
constexpr double cells_in_sigma = 8.0;

// Integral of the normal distribution from a to b, without cancellation.
double normal_between(double a, double b) {
    constexpr double s = 0.7071067811865476;
    if (a + b < 0.0)
        return 0.5 * (std::erfc(-b * s) - std::erfc(-a * s));
    return 0.5 * (std::erfc(a * s) - std::erfc(b * s));
}

} // namespace

Broadening::Broadening(std::int32_t n, double minimum, double spacing, double sigma, double area) {
    const double dx = spacing;
    table_.n = n;
    table_.reach = static_cast<std::int32_t>(std::ceil(gaussian_reach * sigma / dx));
    table_.n_cells = std::max(1, static_cast<std::int32_t>(std::ceil(cells_in_sigma * dx / sigma)));
    table_.stride = 2 * static_cast<std::size_t>(table_.reach) + 1 + row_slack;
    table_.row_stride = static_cast<std::size_t>(n) + row_slack;
    table_.origin = minimum - 0.5 * dx;
    table_.inverse_spacing = 1.0 / dx;
    table_.inverse_cell = table_.n_cells / dx;
    coefficients_.assign(static_cast<std::size_t>(table_.n_cells) * broadening_powers * table_.stride, 0.0);
    const double step = dx / (table_.n_cells * sigma); // of a short cell, in standard deviations
    for (std::int32_t cell = 0; cell < table_.n_cells; ++cell)
        for (std::int32_t o = 0; o <= 2 * table_.reach; ++o) {
            // Taylor series about the middle of the short cell: the derivatives of the normal distribution
            // are Hermite polynomials He_k times its density.
            const double middle = (cell + 0.5) * step;
            const double edge[2] = {(o - table_.reach) * dx / sigma - middle,
                                    (o - table_.reach + 1) * dx / sigma - middle};
            double* c = coefficients_.data() + static_cast<std::size_t>(cell) * broadening_powers * table_.stride +
                        static_cast<std::size_t>(o);
            const double scale = area / dx;
            c[0] = scale * normal_between(edge[0], edge[1]);
            for (int side = 0; side < 2; ++side) {
                const double z = edge[side];
                const double density = 0.3989422804014327 * std::exp(-0.5 * z * z) * (side ? scale : -scale);
                double he = 1.0, before = 0.0, power = 1.0;
                for (int k = 1; k < broadening_powers; ++k) {
                    power *= step / k;
                    c[static_cast<std::size_t>(k) * table_.stride] -= density * he * power;
                    const double next = z * he - (k - 1) * before;
                    before = he, he = next;
                }
            }
        }
    table_.coefficients = coefficients_.data();
}

} // namespace atomprint
