// Real solid harmonics s^l Y_lm, orthonormal on the unit sphere, for many vectors at once. Included inside
// the namespace of one instruction set.
//
// With C_m + i S_m = (x + i y)^m, the harmonics are q_lm(z, s^2) C_m for m >= 0 and q_l|m| S_|m| for m < 0;
// the q obey q_mm = d_m, q_lm = a_lm z q_(l-1)m - b_lm s^2 q_(l-2)m (the recursion of normalised associated
// Legendre functions, homogenised). They are polynomials of x, y, z: nothing is singular at the origin or on
// the z axis.
#pragma once

// Layout of the recursion coefficients: d_0 .. d_L, then (a_lm, b_lm) for m = 0 .. L, l = m + 1 .. L.
// The values, weighted, go to values[block][l * l + l + m][lane]: W neighbours side by side. U blocks run
// through the recursion together, since each waits for its own previous step. Whole vectors are read: the
// lanes beyond the last neighbour hold what happens to be there, zeros or neighbours of centres before. Nobody looks
// at their values, but they are multiplied by zero (see in_pairs), and so have to be finite.
template <class T, int W, int U>
inline void solid_harmonics_blocks(std::int32_t l_max, const double* recursion, double scale, const double* x,
                                   const double* y, const double* z, const double* weight, T* values) {
    using V = Vec<T, W>;
    const std::size_t block = static_cast<std::size_t>(l_max + 1) * (l_max + 1) * W;
    const auto read = [](const double* from) { return __builtin_convertvector((load<double, W>(from)), V); };
    const T factor = static_cast<T>(scale);
    V vx[U], vy[U], vz[U], s2[U], c[U], s[U];
    unroll<U>([&](auto u) {
        vx[u] = read(x + u * W) * factor, vy[u] = read(y + u * W) * factor, vz[u] = read(z + u * W) * factor;
        s2[u] = vx[u] * vx[u] + vy[u] * vy[u] + vz[u] * vz[u];
        c[u] = read(weight + u * W), s[u] = V{};
    });
    const double* ab = recursion + l_max + 1;
    for (std::int32_t m = 0; m <= l_max; ++m) {
        const auto put = [&](T* row, const V(&q)[U]) __attribute__((always_inline)) {
            unroll<U>([&](auto u) { store<T, W>(row + u * block + m * W, q[u] * c[u]); });
            if (m > 0)
                unroll<U>([&](auto u) { store<T, W>(row + u * block - m * W, q[u] * s[u]); });
        };
        // The first two steps start from a constant.
        const T d = static_cast<T>(recursion[m]);
        V before[U], q[U];
        T* row = values + (m * m + m) * W;
        unroll<U>([&](auto u) { before[u] = V{} + d; });
        put(row, before);
        if (m == l_max)
            break;
        const T slope = d * static_cast<T>(ab[0]);
        unroll<U>([&](auto u) { q[u] = vz[u] * slope; });
        ab += 2, row += 2 * (m + 1) * W;
        put(row, q);
        for (std::int32_t l = m + 2; l <= l_max; ++l, ab += 2) {
            const T a = static_cast<T>(ab[0]), b = static_cast<T>(ab[1]);
            unroll<U>([&](auto u) {
                const V next = (vz[u] * q[u]) * a - (s2[u] * before[u]) * b;
                before[u] = q[u];
                q[u] = next;
            });
            row += 2 * l * W;
            put(row, q);
        }
        unroll<U>([&](auto u) {
            const V cx = vx[u] * c[u] - vy[u] * s[u];
            s[u] = vx[u] * s[u] + vy[u] * c[u];
            c[u] = cx;
        });
    }
}

template <class T, int W>
void solid_harmonics(std::int32_t l_max, const double* recursion, double scale, const double* x, const double* y,
                     const double* z, const double* weight, std::int32_t n, T* values) {
    const std::size_t block = static_cast<std::size_t>(l_max + 1) * (l_max + 1) * W;
    for (; n > W; n -= 2 * W) {
        solid_harmonics_blocks<T, W, 2>(l_max, recursion, scale, x, y, z, weight, values);
        x += 2 * W, y += 2 * W, z += 2 * W, weight += 2 * W;
        values += 2 * block;
    }
    if (n > 0)
        solid_harmonics_blocks<T, W, 1>(l_max, recursion, scale, x, y, z, weight, values);
}

// The gradient of a solid harmonic of degree l is a combination of those of degree l - 1. With K^2 =
// (2 l + 1) / (2 l - 1), z_lm = K sqrt(l^2 - m^2), p_lm = K / 2 sqrt((l - m) (l - m - 1)), q_lm = K / 2
// sqrt((l + m) (l + m - 1)), and H_m for the harmonics of degree l - 1 (H_m = 0 for |m| > l - 1):
//
//     d/dz H_lm = z_lm H_m
//     d/dx H_lm =  q_lm H_(m-1) - p_lm H_(m+1),    d/dx H_l-m = q_lm H_-(m-1) - p_lm H_-(m+1)
//     d/dy H_lm = -q_lm H_-(m-1) - p_lm H_-(m+1),  d/dy H_l-m = q_lm H_(m-1) + p_lm H_(m+1)
//
// for m > 0, where for m = 1 the term with H_0 counts sqrt(2) times and that with H_-0 not at all; and
// d/dx H_l0 = -sqrt(2) p_l0 H_1, d/dy H_l0 = -sqrt(2) p_l0 H_-1. (From the ladder operators of angular
// momentum; Varshalovich et al., Quantum Theory of Angular Momentum, sec. 5.8.)

// Layout of the coefficients: (z, p, q) for l = 1 .. L, m = 0 .. l, with the factors sqrt(2) and the scale of
// the coordinates in them. Values go to out[block][l * l + l + m][component][lane], the components being the
// gradient and the harmonic itself; `scratch` has room for two blocks of harmonics.
template <class T, int W>
void harmonics_with_gradients(const ExpansionModel<T>& model, const double* x, const double* y, const double* z,
                              std::int32_t n, T* scratch, T* out) {
    using V = Vec<T, W>;
    const std::int32_t l_max = model.l_max;
    const std::size_t n_lm = static_cast<std::size_t>(l_max + 1) * (l_max + 1);
    double ones[2 * W];
    for (double& one : ones)
        one = 1.0;
    for (std::int32_t start = 0; start < n; start += 2 * W) {
        const std::int32_t taken = n - start < 2 * W ? n - start : 2 * W;
        solid_harmonics<T, W>(l_max, model.recursion, model.radial.inverse_r_max, x + start, y + start, z + start, ones,
                              taken, scratch);
        for (std::int32_t done = 0; done < taken; done += W) {
            const T* const plain = scratch + static_cast<std::size_t>(done / W) * n_lm * W;
            T* const block = out + static_cast<std::size_t>((start + done) / W) * n_lm * 4 * W;
            const auto put = [&](std::int32_t row, V dx, V dy, V dz) __attribute__((always_inline)) {
                T* const to = block + static_cast<std::size_t>(row) * 4 * W;
                store<T, W>(to, dx), store<T, W>(to + W, dy), store<T, W>(to + 2 * W, dz);
                store<T, W>(to + 3 * W, load<T, W>(plain + static_cast<std::size_t>(row) * W));
            };
            put(0, V{}, V{}, V{});
            const T* coefficient = model.harmonics_gradient;
            for (std::int32_t l = 1; l <= l_max; ++l) {
                const std::int32_t centre = l * l + l, below = (l - 1) * (l - 1) + l - 1;
                const auto h = [&](std::int32_t m) __attribute__((always_inline)) {
                    return load<T, W>(plain + static_cast<std::size_t>(below + m) * W);
                };
                const auto term = [&](bool there, T factor, std::int32_t m)
                                      __attribute__((always_inline)) { return there ? h(m) * factor : V{}; };
                for (std::int32_t m = 0; m <= l; ++m, coefficient += 3) {
                    const T cz = coefficient[0], p = coefficient[1], q = coefficient[2];
                    const bool level = m < l, up = m + 1 < l;
                    if (m == 0) {
                        put(centre, -term(up, p, 1), -term(up, p, -1), term(level, cz, 0));
                        continue;
                    }
                    const V up_c = term(up, p, m + 1), up_s = term(up, p, -(m + 1));
                    const V down_c = term(true, q, m - 1), down_s = term(m > 1, q, -(m - 1));
                    put(centre + m, down_c - up_c, -down_s - up_s, term(level, cz, m));
                    put(centre - m, down_s - up_s, down_c + up_c, term(level, cz, -m));
                }
            }
        }
    }
}

// Adds the sum over U'_lm H_lm to the last of the sums and the sum over U_lm grad H_lm to the others, for harmonics
// [l, m][lane]: level(l, u, du) adds U_l0 and U'_l0, and both(l, m, c, s, dc, ds) those of m and of -m.
template <class T, class Level, class Both>
inline __attribute__((always_inline)) void add_gradients(std::int32_t l_max, const T* coefficient, const T* harmonics,
                                                         Vec<T, lanes<T>> (&sums)[4], const Level& level,
                                                         const Both& both) {
    constexpr int Y = lanes<T>;
    using V = Vec<T, Y>;
    for (std::int32_t l = 0; l <= l_max; ++l) {
        const T* const here = harmonics + static_cast<std::size_t>(l * l + l) * Y;
        const T* const below = harmonics + static_cast<std::size_t>(l * l - l) * Y; // m = 0 of l - 1
        const auto h = [&](std::int32_t m) __attribute__((always_inline)) { return load<T, Y>(below + m * Y); };
        {
            V u{}, du{};
            level(l, u, du);
            sums[3] += du * load<T, Y>(here);
            if (l > 0) {
                sums[2] += coefficient[0] * (u * h(0));
                if (l > 1) {
                    u *= coefficient[1];
                    sums[0] -= u * h(1);
                    sums[1] -= u * h(-1);
                }
                coefficient += 3;
            }
        }
        for (std::int32_t m = 1; m <= l; ++m, coefficient += 3) {
            V c{}, s{}, dc{}, ds{};
            both(l, m, c, s, dc, ds);
            sums[3] += dc * load<T, Y>(here + m * Y) + ds * load<T, Y>(here - m * Y);
            if (m < l)
                sums[2] += coefficient[0] * (c * h(m) + s * h(-m));
            if (m + 1 < l) {
                const V hc = h(m + 1), hs = h(-(m + 1));
                sums[0] -= coefficient[1] * (c * hc + s * hs);
                sums[1] += coefficient[1] * (s * hc - c * hs);
            }
            const V hc = h(m - 1);
            if (m > 1) {
                const V hs = h(-(m - 1));
                sums[0] += coefficient[2] * (c * hc + s * hs);
                sums[1] += coefficient[2] * (s * hc - c * hs);
            } else {
                sums[0] += coefficient[2] * (c * hc);
                sums[1] += coefficient[2] * (s * hc);
            }
        }
    }
}
