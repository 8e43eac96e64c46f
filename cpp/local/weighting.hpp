// Weight of a neighbour's density as a function of its distance.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "core/checks.hpp"

namespace atomprint {

struct Weighting {
    enum class Kind : int { none, poly, pow, exp, exp_decay };
    Kind kind = Kind::none;
    double c = 1.0, d = 1.0, m = 1.0, r0 = 1.0;
    std::optional<double> own;                     // weight of an atom on the centre; none: as any other
    std::optional<std::pair<double, double>> fade; // where a cosine begins to take the density to zero, and has

    bool constant() const { return kind == Kind::none && !own && !fade; }
    double operator()(double r) const { return value_and_slope<false>(r).first; }

    // The weight, and where it is asked for its derivative with respect to r.
    template <bool with_slope>
    std::pair<double, double> value_and_slope(double r) const {
        if (own && r < coincidence)
            return {*own, 0.0};
        double w = 1.0, dw = 0.0;
        const double x = r / r0;
        switch (kind) {
        case Kind::none:
            break;
        case Kind::poly: {
            const double base = x < 1.0 ? std::max(1.0 + x * x * (2.0 * x - 3.0), 0.0) : 0.0;
            w = x < 1.0 ? c * std::pow(base, m) : 0.0;
            if (with_slope && base > 0.0) // with m < 1 a power of nothing would be infinite
                dw = c * m * std::pow(base, m - 1.0) * 6.0 * x * (x - 1.0) / r0;
            break;
        }
        case Kind::pow: {
            const double bottom = d + std::pow(x, m);
            w = c / bottom;
            if (with_slope && w > 0.0 && (x > 0.0 || m >= 1.0)) // the power may be infinite
                dw = -w * m * std::pow(x, m - 1.0) / (bottom * r0);
            break;
        }
        case Kind::exp:
        case Kind::exp_decay: {
            const double sign = kind == Kind::exp ? -1.0 : 1.0, e = std::exp(sign * x), bottom = d + e;
            w = c / bottom;
            if (with_slope && w > 0.0) // the exponential may be infinite
                dw = -sign * w * e / (bottom * r0);
            break;
        }
        }
        if (fade && r > fade->first) {
            const auto [from, to] = *fade;
            const double k = std::numbers::pi / (to - from), phase = k * (r - from);
            const double faded = r < to ? 0.5 * (1.0 + std::cos(phase)) : 0.0;
            if (with_slope)
                dw = dw * faded + w * (r < to ? -0.5 * k * std::sin(phase) : 0.0);
            w *= faded;
        }
        return {w, dw};
    }
};

} // namespace atomprint
