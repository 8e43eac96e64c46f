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
// lanes beyond the last neighbour hold what happens to be there, and nobody looks at their values.
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
void solid_harmonics(std::int32_t l_max, const double* recursion, double scale, const double* x,
                     const double* y, const double* z, const double* weight, std::int32_t n, T* values) {
    const std::size_t block = static_cast<std::size_t>(l_max + 1) * (l_max + 1) * W;
    for (; n > W; n -= 2 * W) {
        solid_harmonics_blocks<T, W, 2>(l_max, recursion, scale, x, y, z, weight, values);
        x += 2 * W, y += 2 * W, z += 2 * W, weight += 2 * W;
        values += 2 * block;
    }
    if (n > 0)
        solid_harmonics_blocks<T, W, 1>(l_max, recursion, scale, x, y, z, weight, values);
}
