// Elementary functions of vectors, mostly of doubles. Included inside the namespace of one instruction set.
// The coefficients are Chebyshev expansions of the exact functions, computed with 60 digits and cut where the
// rest is below the rounding of a double, or of a float.
#pragma once

using Double = Vec<double, lanes<double>>;
using Integer = Vec<std::int64_t, lanes<double>>;
using Float = Vec<float, lanes<float>>;
using Integer32 = Vec<std::int32_t, lanes<float>>;

#define ATOMPRINT_INLINE inline __attribute__((always_inline))

ATOMPRINT_INLINE Double square_root(Double v) {
    for (int k = 0; k < lanes<double>; ++k) // becomes one instruction
        v[k] = __builtin_sqrt(v[k]);
    return v;
}

// Adding this number moves the integer part of |x| < 2^51 to the lowest bits of the mantissa.
inline constexpr double round_shift = 6755399441055744.0; // 1.5 * 2^52

ATOMPRINT_INLINE Double nearest_integer(Double x) {
    return (x + round_shift) - round_shift;
}

// Even and odd powers apart, so that two chains of multiply-adds run at once.
template <class T, int N, class V>
ATOMPRINT_INLINE V polynomial(const T (&c)[N], V x) {
    static_assert(N >= 4);
    const V x2 = x * x;
    V high = c[N - 1] - V{}, low = c[N - 2] - V{};
    for (int k = N - 3; k > 0; k -= 2) {
        high = high * x2 + c[k];
        low = low * x2 + c[k - 1];
    }
    return N % 2 ? (high * x2 + low * x) + c[0] : high * x + low;
}

// e^x for -708 <= x <= 709, and e^-708, which is nothing, below. Relative error 2e-16.
ATOMPRINT_INLINE Double exponential(Double x) {
    constexpr double c[] = {1.0,
                            1.0,
                            0.5000000000000019,
                            0.16666666666666702,
                            0.04166666666648808,
                            0.008333333333309526,
                            0.0013888888952318045,
                            0.00019841269909219843,
                            2.480148547921643e-05,
                            2.755722495611072e-06,
                            2.7632640675430235e-07,
                            2.5114870219497476e-08};
    constexpr double log2_e = 1.4426950408889634;
    // ln 2 in two parts, of which the first times k is exact.
    constexpr double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    x = x < -708.0 ? broadcast<double, lanes<double>>(-708.0) : x;
    const Double shifted = x * log2_e + round_shift;
    const Double k = shifted - round_shift;
    const Double p = polynomial(c, (x - k * ln2_high) - k * ln2_low);
    const Integer exponent = (__builtin_bit_cast(Integer, shifted) << 52) + (std::int64_t{1023} << 52);
    return p * __builtin_bit_cast(Double, exponent);
}

// The same for -87 <= x <= 88. Relative error 1e-7.
ATOMPRINT_INLINE Float exponential(Float x) {
    constexpr float c[] = {0.9999999999595482f,  1.0000000377274485f,   0.5000000107749384f,   0.16666415477235322f,
                           0.04166621827440191f, 0.008375128890467473f, 0.0013948580818093912f};
    constexpr float log2_e = 1.4426950408889634f, shift = 12582912.0f; // 1.5 * 2^23
    constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.428606820309417e-06f;
    x = x < -87.0f ? broadcast<float, lanes<float>>(-87.0f) : x;
    const Float shifted = x * log2_e + shift;
    const Float k = shifted - shift;
    const Float p = polynomial(c, (x - k * ln2_high) - k * ln2_low);
    const Integer32 exponent = (__builtin_bit_cast(Integer32, shifted) << 23) + (127 << 23);
    return p * __builtin_bit_cast(Float, exponent);
}

// Natural logarithm of normal positive numbers x = 2^e m with sqrt(1/2) <= m < sqrt(2), where log(m) / z is
// even in z = (m - 1) / (m + 1). Absolute error of one rounding.
ATOMPRINT_INLINE Double logarithm(Double x) {
    constexpr double c[] = {2.0,
                            0.6666666666666666,
                            0.40000000000007524,
                            0.28571428568810603,
                            0.22222222678066658,
                            0.18181773655672318,
                            0.15387164229097103,
                            0.13248694101574124,
                            0.13262688909216844};
    const Integer bits = __builtin_bit_cast(Integer, x), e = (bits - 0x3fe6a09e667f3bcd) >> 52;
    const Double m = __builtin_bit_cast(Double, bits - (e << 52)), z = (m - 1.0) / (m + 1.0);
    return __builtin_convertvector(e, Double) * 0.6931471805599453 + z * polynomial(c, z * z);
}
ATOMPRINT_INLINE Float logarithm(Float x) {
    constexpr float c[] = {1.9999999986229533f, 0.6666681585046943f, 0.39974804113549556f, 0.29925440514971435f};
    const Integer32 bits = __builtin_bit_cast(Integer32, x), e = (bits - 0x3f3504f3) >> 23;
    const Float m = __builtin_bit_cast(Float, bits - (e << 23)), z = (m - 1.0f) / (m + 1.0f);
    return __builtin_convertvector(e, Float) * 0.6931471805599453f + z * polynomial(c, z * z);
}

// sin(pi x) for |x| <= 1/2; odd to the last bit.
ATOMPRINT_INLINE Double sin_pi(Double x) {
    constexpr double c[] = {3.141592653589793,      -5.167712780049969,      2.5501640398773007,
                            -0.599264529318946,     0.08214588657312355,     -0.007370430506093225,
                            0.00046629981702308817, -2.1903499125519212e-05, 7.697847275590284e-07};
    return x * polynomial(c, x * x);
}

// cos(pi x), and sin(pi x) in `sine`, for any x.
ATOMPRINT_INLINE Double cos_pi(Double x, Double& sine) {
    const Double n = nearest_integer(x), t = x - n;        // |t| <= 1/2
    const Double odd = n - 2.0 * nearest_integer(0.5 * n); // 0 for even n, else 1 or -1
    const Double sign = 1.0 - 2.0 * (odd * odd);
    sine = sign * sin_pi(t);
    return sign * sin_pi(0.5 - (t < 0.0 ? -t : t));
}

// erfc(a r) / r from the square of r > 0. (1 + 2x) e^(x^2) erfc(x) is a polynomial of t = (x - s) / (x + s),
// which maps [0, inf) to [-1, 1) (Shepherd & Laframboise, Math. Comp. 36 (1981) 249). Relative error 1e-15
// for a r < 3; it grows with (a r)^2, as the function vanishes.
// `gaussian` becomes exp(-a^2 r^2).
ATOMPRINT_INLINE Double erfc_over_r(Double r_squared, double a, Double& gaussian) {
    constexpr double c[] = {
        1.2375126308378275,     -0.14024059858554525,    0.0035854154854790257,   0.08227673848999506,
        -0.10880393014244462,   0.09230432116428125,     -0.05869339857664934,    0.02836227737211114,
        -0.009746579683265262,  0.0017556261651970652,   0.000293714378044958,    -0.00029015535246077655,
        5.164652974177416e-05,  2.2387565714911816e-05,  -1.1438048033346894e-05, -9.792625707303523e-07,
        1.7419821586224816e-06, -5.084465378687302e-08,  -2.4857126248016745e-07, 1.879082322370048e-08,
        3.197926671666804e-08,  -1.9551358868985616e-09, -2.623107347133476e-09};
    constexpr double s = 3.75;
    const Double r = square_root(r_squared), x = a * r;
    const Double scale = 1.0 + 2.0 * x, scale_r = scale * r;
    const Double inverse = 1.0 / (scale_r * (x + s)); // one division serves both quotients
    const Double t = (x - s) * scale_r * inverse;
    gaussian = exponential(-(a * a) * r_squared);
    return gaussian * polynomial(c, t) * ((x + s) * inverse);
}
