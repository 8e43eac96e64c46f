// Atom-centred symmetry functions of one centre, and their derivatives. Included inside the namespace of one
// instruction set.
//
// Slopes of functions of a length r are (1 / r) d / dr, so that the gradient is the slope times the vector.
// The angular functions depend on the unit vectors u to two neighbours j and k, and on the distance s between
// these. Functions of one neighbour are computed in double precision; the pairs, of which there are many
// more, in that of the result.
#pragma once

// The cutoff function (1 + cos(pi r / r_cut)) / 2 = cos(pi r / (2 r_cut))^2 of u = (r / r_cut)^2 in [0, 1],
// and its derivative by u. The cosine is an entire function of u; its root at 1 is split off, so that the
// relative error stays small there.
ATOMPRINT_INLINE Double cutoff_function(Double u, Double& slope) {
    constexpr double cosine[] = {1.0,
                                 -0.23370055013616783,
                                 0.019968957764836173,
                                 -0.0008945229981384011,
                                 2.473727504180939e-05,
                                 -4.6476318193697227e-07,
                                 6.318120398963926e-09,
                                 -6.306190369412005e-11};
    constexpr double sine[] = {-2.4674011002723395,    1.014678031604192,      -0.12518088458011556,
                               0.007354082198692758,   -0.0002520204236140092, 5.653049397396626e-06,
                               -8.941187008850089e-08, 1.0499858389380129e-09, -9.225273303776033e-12};
    const Double c = (1.0 - u) * polynomial(cosine, u);
    slope = c * polynomial(sine, u);
    return c * c;
}
ATOMPRINT_INLINE Float cutoff_function(Float u, Float& slope) {
    constexpr float cosine[] = {0.9999999991255941f, -0.23370050635000808f, 0.019968606683529573f,
                                -0.0008935362638850763f, 2.3601070669035426e-05f};
    constexpr float sine[] = {-2.467401089701598f, 1.014677502139394f, -0.12517663770336385f, 0.007342138701600825f,
                              -0.0002382507178761011f};
    const Float c = (1.0f - u) * polynomial(cosine, u);
    slope = c * polynomial(sine, u);
    return c * c;
}

// Sum of the lanes, halves first: there are few neighbours to a sum, so that this is much of the work.
template <class T, int W>
ATOMPRINT_INLINE T fold_lanes(Vec<T, W> v) {
    if constexpr (W == 2) {
        return v[0] + v[1];
    } else {
        const auto half = [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
            return __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + W / 2)...);
        };
        return fold_lanes<T, W / 2>(half(std::make_integer_sequence<int, W / 2>{}));
    }
}
template <class V>
ATOMPRINT_INLINE auto fold(V v) {
    using T = std::remove_cvref_t<decltype(v[0])>;
    return fold_lanes<T, static_cast<int>(sizeof(V) / sizeof(T))>(v);
}

template <class T>
std::size_t acsf_scratch(const AcsfModel<T>& model) {
    return static_cast<std::size_t>(lanes<T>) * (2 * model.n_powers + 4 * model.n_functions);
}

// The end of a segment, filled up.
template <class T>
ATOMPRINT_INLINE std::int32_t filled(std::int32_t end) {
    return (end + lanes<T> - 1) / lanes<T> * lanes<T>;
}

// Functions of one neighbour
// ------------------------------------------------------------------------------------

template <class T>
ATOMPRINT_INLINE void store_as(T* to, Double v) {
    store<T, lanes<double>>(to, __builtin_convertvector(v, Vec<T, lanes<double>>));
}

template <class T, bool with_slopes>
inline void acsf_radial_with(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, double* features) {
    constexpr int W = lanes<double>;
    const auto get = [](const double* p) { return load<double, W>(p); };
    const double per_square = 1.0 / (model.cutoff * model.cutoff);
    const std::size_t ld = neighbours.stride;
    const std::int32_t n_gaussians = model.n_gaussians, n_cosines = model.n_cosines;
    for (std::int32_t part = 0; part < neighbours.n_segments; ++part) {
        const AcsfSegment& segment = neighbours.segments[part];
        double* const sums = with_slopes ? nullptr : features + segment.kind * model.n_radial();
        for (std::int32_t i = segment.begin, end = filled<T>(segment.end); i < end; i += W) {
            const Double s = get(neighbours.r2 + i), r = square_root(s), inverse = 1.0 / r;
            const double* const from[3] = {neighbours.x + i, neighbours.y + i, neighbours.z + i};
            for (int c = 0; c < 3; ++c) {
                const Double d = get(from[c]);
                store_as(neighbours.vector + c * ld + i, d);
                store_as(neighbours.unit + c * ld + i, d * inverse);
            }
            store_as(neighbours.inverse_r + i, inverse);

            Double slope;
            const Double fade = cutoff_function(s * per_square, slope);
            slope *= 2.0 * per_square;
            const auto put = [&](std::int32_t f, Double value, Double value_slope) {
                if constexpr (with_slopes)
                    store<double, W>(neighbours.radial_slope + f * ld + i, value_slope);
                else
                    sums[f] += fold(value);
            };
            put(0, fade, slope);
            for (std::int32_t g = 0; g < n_gaussians; ++g) {
                const double eta = model.gaussians[2 * g];
                const Double x = r - model.gaussians[2 * g + 1], e = exponential(-eta * (x * x));
                put(1 + g, e * fade, e * (slope - (2.0 * eta) * (x * inverse) * fade));
            }
            for (std::int32_t g = 0; g < n_cosines; ++g) {
                const double kappa = model.cosines[g];
                Double sine;
                const Double cosine = cos_pi((kappa * 0.3183098861837907) * r, sine);
                put(1 + n_gaussians + g, cosine * fade, cosine * slope - kappa * (sine * inverse) * fade);
            }
            for (std::int32_t k = 0; k < model.n_etas; ++k) {
                const double eta = model.etas[k];
                const Double e = exponential(-eta * s);
                store_as(neighbours.damping + k * ld + i, e * fade);
                if constexpr (with_slopes)
                    store_as(neighbours.damping_slope + k * ld + i, e * (slope - (2.0 * eta) * fade));
            }
        }
    }
}

template <class T>
void acsf_radial(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, double* features) {
    if (features)
        acsf_radial_with<T, false>(model, neighbours, features);
    else
        acsf_radial_with<T, true>(model, neighbours, nullptr);
}

// Functions of two neighbours
// -----------------------------------------------------------------------------------

// Lanes to keep of a vector of neighbours: the first n, or all but one.
template <class T>
struct Lanes {
    T first[2 * lanes<T>]{}, hole[2 * lanes<T>]{};
    constexpr Lanes() {
        for (int k = 0; k < 2 * lanes<T>; ++k) {
            first[k] = k < lanes<T> ? T(1) : T(0);
            hole[k] = k == lanes<T> ? T(0) : T(1);
        }
    }
    ATOMPRINT_INLINE Vec<T, lanes<T>> below(std::int32_t n) const {
        return load<T, lanes<T>>(first + (n < lanes<T> ? lanes<T> - n : 0));
    }
    ATOMPRINT_INLINE Vec<T, lanes<T>> without(std::int32_t k) const {
        return load<T, lanes<T>>(hole + (0 <= k && k < lanes<T> ? lanes<T> - k : 0));
    }
};
template <class T>
constexpr Lanes<T> lanes_to_keep;

// Which of two segments is gone through one by one, and which in vectors: as takes fewer vectors.
template <class T>
struct SegmentOrder {
    const AcsfSegment *one, *other;
    ATOMPRINT_INLINE SegmentOrder(const AcsfSegment* a, const AcsfSegment* b) {
        const auto product = [](std::int64_t n, std::int64_t m) { return n * m; };
        const std::int64_t ab = product(a->end - a->begin, filled<T>(b->end) - b->begin),
                           ba = product(b->end - b->begin, filled<T>(a->end) - a->begin);
        one = ba < ab ? b : a;
        other = ba < ab ? a : b;
    }
};

// x^n for a small n.
template <class V>
ATOMPRINT_INLINE V integer_power(V x, std::int32_t n) {
    using T = std::remove_cvref_t<decltype(x[0])>;
    V result = T(1) - V{};
    for (;;) {
        if (n & 1)
            result *= x;
        n >>= 1;
        if (n == 0)
            return result;
        x *= x;
    }
}

// What the functions of neighbour j with a vector of others, from k on, have in common. The powers of
// (1 + lambda cos) / 2 go to `powers`, and behind them their derivatives by the cosine.
template <class T, bool with_slopes>
struct AcsfPairs {
    static constexpr int W = lanes<T>;
    using V = Vec<T, W>;

    V cosine;           // of the angle at the centre
    V s;                // squared distance of the neighbours
    V near, near_slope; // its cutoff function
    V dj[3], dk[3];     // vectors from the centre

    ATOMPRINT_INLINE AcsfPairs(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, std::int32_t j,
                               std::int32_t k, T* powers) {
        const std::size_t ld = neighbours.stride;
        V plus{}, minus{};
        s = V{}, cosine = V{};
        unroll<3>([&](auto c) {
            const V uj = broadcast<T, W>(neighbours.unit[c * ld + j]), uk = load<T, W>(neighbours.unit + c * ld + k);
            dj[c] = broadcast<T, W>(neighbours.vector[c * ld + j]);
            dk[c] = load<T, W>(neighbours.vector + c * ld + k);
            // 1 + cos and 1 - cos, without cancellation.
            plus += (uj + uk) * (uj + uk);
            minus += (uj - uk) * (uj - uk);
            cosine += uj * uk;
            s += (dj[c] - dk[c]) * (dj[c] - dk[c]);
        });
        const T per_square = static_cast<T>(1.0 / (model.cutoff * model.cutoff));
        V u = s * per_square;
        u = u < T(1) ? u : T(1) - V{};
        near = cutoff_function(u, near_slope);
        near_slope *= T(2) * per_square;
        for (std::int32_t p = 0; p < model.n_powers; ++p) {
            const AcsfPower<T>& power = model.powers[p];
            const V half = power.base + power.scale * (power.sign > 0 ? plus : minus);
            V q;
            if (power.n_minus_one >= 0) {
                q = integer_power(half, power.n_minus_one);
            } else {
                constexpr T tiny = sizeof(T) == 8 ? T(1e-300) : T(1e-37f);
                const V normal = half > tiny ? half : tiny - V{};
                q = exponential(power.zeta_minus_one * logarithm(normal));
            }
            store<T, W>(powers + p * W, half * q);
            if constexpr (with_slopes)
                store<T, W>(powers + (model.n_powers + p) * W, T(0.5) * power.slope * q);
        }
    }

    // What a term has of the distance s.
    ATOMPRINT_INLINE V damping(const AcsfTerm<T>& term) const {
        return term.eta == T(0) ? T(1) - V{} : exponential(-term.eta * s);
    }
};

template <class T>
void acsf_angular(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, T* scratch, double* features) {
    constexpr int W = lanes<T>;
    constexpr std::int32_t most_added = 128; // vectors, before they lose digits in float
    using V = Vec<T, W>;
    const std::size_t ld = neighbours.stride;
    T *const powers = scratch, *const sums = scratch + 2 * W * model.n_powers;
    for (std::int32_t a = 0; a < neighbours.n_segments; ++a)
        for (std::int32_t b = 0; b <= a; ++b) {
            const auto [one, other] = SegmentOrder<T>(neighbours.segments + a, neighbours.segments + b);
            double* const out = features + model.first_of(one->kind, other->kind);
            for (std::int32_t f = 0; f < W * model.n_functions; ++f)
                sums[f] = T(0);
            std::int32_t n_added = 0;
            const auto add_to_features = [&] {
                for (std::int32_t f = 0; f < model.n_functions; ++f) {
                    out[model.functions[f].feature] += 2.0 * static_cast<double>(fold(load<T, W>(sums + f * W)));
                    store<T, W>(sums + f * W, V{});
                }
                n_added = 0;
            };
            for (std::int32_t j = one->begin; j < one->end; ++j) {
                const std::int32_t end = a == b ? j : other->end;
                for (std::int32_t k = other->begin; k < end; k += W) {
                    const AcsfPairs<T, false> pairs(model, neighbours, j, k, powers);
                    const V keep = lanes_to_keep<T>.below(end - k);
                    for (std::int32_t t = 0; t < model.n_terms; ++t) {
                        const AcsfTerm<T>& term = model.terms[t];
                        const T* const damping = neighbours.damping + term.index * ld;
                        V value = damping[j] * load<T, W>(damping + k) * keep;
                        if (term.near)
                            value *= pairs.near * pairs.damping(term);
                        for (std::int32_t f = term.begin; f < term.end; ++f)
                            store<T, W>(sums + f * W, load<T, W>(sums + f * W) +
                                                          load<T, W>(powers + model.functions[f].power * W) * value);
                    }
                }
                n_added += (end - other->begin) / W + 1;
                if (n_added >= most_added) {
                    add_to_features();
                    poll();
                }
            }
            add_to_features();
        }
}

// The derivative by the vector to j has a part along d_j itself, for each pair with the slope of the damping
// of j, with `by_s` and `turn`, and the part `cross` d_k; and likewise that by the vector to k.
template <class T>
void acsf_backward(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, const T* cotangents, T* scratch,
                   double* const* gradient) {
    constexpr int W = lanes<T>;
    using V = Vec<T, W>;
    const std::size_t ld = neighbours.stride;
    T *const powers = scratch, *const slopes = scratch + W * model.n_powers;
    // Of each neighbour: the factor of its own vector, and the sum of other vectors.
    T* const sums = neighbours.sums;
    for (std::size_t i = 0; i < 4 * ld; ++i)
        sums[i] = T(0);
    const auto add = [](T* to, V v) { store<T, W>(to, load<T, W>(to) + v); };
    for (std::int32_t a = 0; a < neighbours.n_segments && model.n_functions > 0; ++a)
        for (std::int32_t b = 0; b <= a; ++b) {
            const auto [one, other] = SegmentOrder<T>(neighbours.segments + a, neighbours.segments + b);
            const T* const weights = cotangents + model.first_of(one->kind, other->kind);
            for (std::int32_t j = one->begin; j < one->end; ++j) {
                const std::int32_t end = a == b ? j : other->end;
                const T inverse_j = neighbours.inverse_r[j];
                if (j % 16 == 15)
                    poll();
                V sum_j{}, cross_j[3]{};
                for (std::int32_t k = other->begin; k < end; k += W) {
                    const AcsfPairs<T, true> pairs(model, neighbours, j, k, powers);
                    const V keep = lanes_to_keep<T>.below(end - k);
                    V by_cosine{}, by_j{}, by_k{}, by_s{};
                    for (std::int32_t t = 0; t < model.n_terms; ++t) {
                        const AcsfTerm<T>& term = model.terms[t];
                        V value{}, slope{};
                        for (std::int32_t f = term.begin; f < term.end; ++f) {
                            const T weight = weights[model.functions[f].feature];
                            value += weight * load<T, W>(powers + model.functions[f].power * W);
                            slope += weight * load<T, W>(slopes + model.functions[f].power * W);
                        }
                        const T *const damping = neighbours.damping + term.index * ld, *const damping_slope =
                                                                                           neighbours.damping_slope +
                                                                                           term.index * ld;
                        V p_k = load<T, W>(damping + k) * keep, dp_k = load<T, W>(damping_slope + k) * keep;
                        if (term.near) {
                            const V e = pairs.damping(term), q = e * pairs.near;
                            by_s +=
                                value * (damping[j] * p_k) * (e * (pairs.near_slope - (T(2) * term.eta) * pairs.near));
                            p_k *= q, dp_k *= q;
                        }
                        by_cosine += slope * (damping[j] * p_k);
                        by_j += value * (damping_slope[j] * p_k);
                        by_k += value * (damping[j] * dp_k);
                    }
                    const V inverse_k = load<T, W>(neighbours.inverse_r + k);
                    const V cross = by_cosine * inverse_j * inverse_k - by_s;
                    const V turn = by_cosine * pairs.cosine;
                    sum_j += by_j + by_s - turn * (inverse_j * inverse_j);
                    add(sums + k, by_k + by_s - turn * (inverse_k * inverse_k));
                    unroll<3>([&](auto c) {
                        cross_j[c] += cross * pairs.dk[c];
                        add(sums + (c + 1) * ld + k, cross * pairs.dj[c]);
                    });
                }
                sums[j] += fold(sum_j);
                unroll<3>([&](auto c) { sums[(c + 1) * ld + j] += fold(cross_j[c]); });
            }
        }
    const std::int32_t n_radial = model.n_radial();
    for (std::int32_t part = 0; part < neighbours.n_segments; ++part) {
        const AcsfSegment& segment = neighbours.segments[part];
        const T* const weights = cotangents + segment.kind * n_radial;
        for (std::int32_t i = segment.begin; i < segment.end; ++i) {
            double own = 2.0 * static_cast<double>(sums[i]);
            for (std::int32_t f = 0; f < n_radial; ++f)
                own += static_cast<double>(weights[f]) * neighbours.radial_slope[f * ld + i];
            const double d[3] = {neighbours.x[i], neighbours.y[i], neighbours.z[i]};
            for (int c = 0; c < 3; ++c)
                gradient[c][i] = own * d[c] + 2.0 * static_cast<double>(sums[(c + 1) * ld + i]);
        }
    }
}

template <class T>
void acsf_gradient(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, std::int32_t i, std::int32_t segment,
                   T* scratch, T* out, std::size_t width) {
    constexpr int W = lanes<T>;
    using V = Vec<T, W>;
    const std::size_t ld = neighbours.stride;
    const std::int32_t n_radial = model.n_radial(), n_functions = model.n_functions;
    const double d[3] = {neighbours.x[i], neighbours.y[i], neighbours.z[i]};
    for (int c = 0; c < 3; ++c) {
        for (std::int32_t f = 0; f < n_radial; ++f)
            out[c * width + f] = static_cast<T>(neighbours.radial_slope[f * ld + i] * d[c]);
        for (std::size_t f = n_radial; f < width; ++f)
            out[c * width + f] = T(0);
    }
    T *const powers = scratch, *const slopes = scratch + W * model.n_powers,
             *const sums = scratch + 2 * W * model.n_powers; // of each function as in `backward`
    const auto add = [](T* to, V v) { store<T, W>(to, load<T, W>(to) + v); };
    const T inverse_i = neighbours.inverse_r[i];
    for (std::int32_t part = 0; part < neighbours.n_segments && n_functions > 0; ++part) {
        const AcsfSegment& others = neighbours.segments[part];
        for (std::int32_t f = 0; f < 4 * W * n_functions; ++f)
            sums[f] = T(0);
        for (std::int32_t k = others.begin; k < others.end; k += W) {
            const AcsfPairs<T, true> pairs(model, neighbours, i, k, powers);
            const V keep = part == segment ? lanes_to_keep<T>.without(i - k) : T(1) - V{};
            const V inverse_k = load<T, W>(neighbours.inverse_r + k);
            for (std::int32_t t = 0; t < model.n_terms; ++t) {
                const AcsfTerm<T>& term = model.terms[t];
                const T* const damping = neighbours.damping + term.index * ld;
                V p_k = load<T, W>(damping + k) * keep, by_s{};
                if (term.near) {
                    const V e = pairs.damping(term);
                    by_s = (damping[i] * p_k) * (e * (pairs.near_slope - (T(2) * term.eta) * pairs.near));
                    p_k *= e * pairs.near;
                }
                const V both = damping[i] * p_k, by_i = neighbours.damping_slope[term.index * ld + i] * p_k;
                for (std::int32_t f = term.begin; f < term.end; ++f) {
                    const V value = load<T, W>(powers + model.functions[f].power * W),
                            by_cosine = load<T, W>(slopes + model.functions[f].power * W) * both;
                    const V cross = by_cosine * inverse_i * inverse_k - value * by_s;
                    T* const to = sums + 4 * W * f;
                    add(to, value * (by_i + by_s) - by_cosine * pairs.cosine * (inverse_i * inverse_i));
                    unroll<3>([&](auto c) { add(to + (c + 1) * W, cross * pairs.dk[c]); });
                }
            }
        }
        T* const to = out + n_radial + others.kind * n_functions;
        for (std::int32_t f = 0; f < n_functions; ++f) {
            const T* const sum = sums + 4 * W * f;
            const T own = T(2) * fold(load<T, W>(sum));
            for (int c = 0; c < 3; ++c)
                to[c * width + model.functions[f].feature] =
                    own * static_cast<T>(d[c]) + T(2) * fold(load<T, W>(sum + (c + 1) * W));
        }
    }
}
