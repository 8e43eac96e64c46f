// Angles between the neighbours of an atom, with their weights. Included inside the namespace of one
// instruction set.
#pragma once

// asin(x) for |x| <= 1/2, relative error 2e-16.
ATOMPRINT_INLINE Double arc_sine(Double x) {
    constexpr double c[] = {1.0,
                            0.1666666666666484,
                            0.07500000000404858,
                            0.044642856791215726,
                            0.03038196027149515,
                            0.02237173660319574,
                            0.017359969965541983,
                            0.013883027829435166,
                            0.0121816790888421,
                            0.006480855348779324,
                            0.01964239671205795,
                            -0.016384436448802192,
                            0.032011340323281685};
    return x * polynomial(c, x * x);
}

inline constexpr double degrees = 57.29577951308232; // in a radian

// One neighbour p, and a vector of others q.
struct Legs {
    double unit_p[3];
    Double unit_q[3], cosine, third[3], length; // from q to p and its length, read only if the rule asks

    ATOMPRINT_INLINE Legs(const Star& star, const TripleRule& rule, std::size_t p, std::size_t q) {
        constexpr int L = lanes<double>;
        cosine = length = Double{};
        for (int c = 0; c < 3; ++c) {
            unit_p[c] = star.unit[c][p];
            unit_q[c] = load<double, L>(star.unit[c] + q);
            cosine += unit_q[c] * unit_p[c];
        }
        if (rule.third_side) {
            for (int c = 0; c < 3; ++c) {
                third[c] = star.vector[c][p] - load<double, L>(star.vector[c] + q);
                length += third[c] * third[c];
            }
            length = square_root(length);
        }
    }
};

inline void triples(const Star& star, const TripleRule& rule, std::size_t p, std::size_t first, double* value,
                    double* weight) {
    constexpr int L = lanes<double>;
    for (std::size_t q = first; q < star.n; q += L) {
        const Legs legs(star, rule, p, q);
        Double w = load<double, L>(star.factor + q) * star.factor[p], x = legs.cosine;
        if (rule.third_side) {
            const Double perimeter = load<double, L>(star.r + q) + star.r[p] + legs.length;
            w = perimeter < rule.perimeter ? w * exponential(-rule.scale * legs.length) : Double{};
        }
        if (rule.angle) {
            // From the sine of half the angle, or half its supplement, where the cosine has few digits of it.
            Double half{};
            for (int c = 0; c < 3; ++c) {
                const Double d = legs.unit_q[c] - (x < 0.0 ? Double{} - legs.unit_p[c] : Double{} + legs.unit_p[c]);
                half += d * d;
            }
            const Double magnitude = x < 0.0 ? -x : x;
            const auto steep = magnitude > 0.5;
            const Double a = arc_sine(steep ? 0.5 * square_root(half) : x) * degrees;
            x = steep ? (x < 0.0 ? 180.0 - 2.0 * a : 2.0 * a) : 90.0 - a;
        }
        store<double, L>(value + q, x);
        store<double, L>(weight + q, w);
    }
}

// Derivatives of the value, and of the logarithm of the weight, by the vectors to p and to q.
struct TripleSlopes {
    Double value_p[3], value_q[3], weight_p[3], weight_q[3];

    ATOMPRINT_INLINE TripleSlopes(const Star& star, const TripleRule& rule, std::size_t p, std::size_t q) {
        constexpr int L = lanes<double>;
        const Legs legs(star, rule, p, q);
        // The parts of each unit vector across the other; as long as the sine of the angle.
        Double square{};
        for (int c = 0; c < 3; ++c) {
            value_p[c] = legs.unit_q[c] - legs.cosine * legs.unit_p[c];
            value_q[c] = legs.unit_p[c] - legs.cosine * legs.unit_q[c];
            square += value_p[c] * value_p[c];
        }
        Double scale = Double{} + 1.0;
        if (rule.angle) {
            const auto straight = square < 1e-20; // where the angle has a kink: the mean of all directions
            const Double inverse = -degrees / square_root(straight ? scale : square);
            scale = straight ? Double{} : inverse;
        }
        const Double scale_p = scale / star.r[p], scale_q = scale / load<double, L>(star.r + q);
        const double growth_p = star.growth[p];
        const Double growth_q = load<double, L>(star.growth + q);
        const Double decay = rule.third_side ? rule.scale / legs.length : Double{};
        for (int c = 0; c < 3; ++c) {
            value_p[c] *= scale_p;
            value_q[c] *= scale_q;
            weight_p[c] = Double{} + growth_p * legs.unit_p[c];
            weight_q[c] = growth_q * legs.unit_q[c];
            if (rule.third_side) {
                weight_p[c] -= decay * legs.third[c];
                weight_q[c] += decay * legs.third[c];
            }
        }
    }
};

inline void triple_contract(const Star& star, const TripleRule& rule, std::size_t p, std::size_t first,
                            const double* weight, const double* sum, const double* slope, double* const* gradient) {
    constexpr int L = lanes<double>;
    Double total[3]{};
    for (std::size_t q = first; q < star.n; q += L) {
        const TripleSlopes s(star, rule, p, q);
        const Double w = load<double, L>(weight + q);
        const Double by_weight = w * load<double, L>(sum + q), by_value = w * load<double, L>(slope + q);
        for (int c = 0; c < 3; ++c) {
            total[c] += by_weight * s.weight_p[c] + by_value * s.value_p[c];
            double* to = gradient[c] + q;
            store<double, L>(to, load<double, L>(to) + by_weight * s.weight_q[c] + by_value * s.value_q[c]);
        }
    }
    for (int c = 0; c < 3; ++c)
        gradient[c][p] += sum_of_lanes(total[c]);
}

inline void triple_slopes(const Star& star, const TripleRule& rule, std::size_t p, std::size_t first,
                          double* const* out) {
    constexpr int L = lanes<double>;
    for (std::size_t q = first; q < star.n; q += L) {
        const TripleSlopes s(star, rule, p, q);
        for (int c = 0; c < 3; ++c) {
            store<double, L>(out[c] + q, s.value_p[c]);
            store<double, L>(out[3 + c] + q, s.value_q[c]);
            store<double, L>(out[6 + c] + q, s.weight_p[c]);
            store<double, L>(out[9 + c] + q, s.weight_q[c]);
        }
    }
}
