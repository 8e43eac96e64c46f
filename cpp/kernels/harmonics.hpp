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
// through the recursion together, since each waits for its own previous step.
template <class T, int W, int U>
inline void solid_harmonics_blocks(std::int32_t l_max, const double* recursion, double scale, const double* x,
                                   const double* y, const double* z, const double* weight, std::int32_t n,
                                   T* values) {
    using V = Vec<T, W>;
    const std::size_t block = static_cast<std::size_t>(l_max + 1) * (l_max + 1) * W;
    T bx[U * W] = {}, by[U * W] = {}, bz[U * W] = {}, bw[U * W] = {};
    for (std::int32_t k = 0; k < n; ++k) {
        bx[k] = static_cast<T>(x[k] * scale);
        by[k] = static_cast<T>(y[k] * scale);
        bz[k] = static_cast<T>(z[k] * scale);
        bw[k] = static_cast<T>(weight[k]);
    }
    V vx[U], vy[U], vz[U], s2[U], c[U], s[U], q[U], before[U];
    unroll<U>([&](auto u) {
        vx[u] = load<T, W>(bx + u * W), vy[u] = load<T, W>(by + u * W), vz[u] = load<T, W>(bz + u * W);
        s2[u] = vx[u] * vx[u] + vy[u] * vy[u] + vz[u] * vz[u];
        c[u] = load<T, W>(bw + u * W), s[u] = V{};
    });
    const double* ab = recursion + l_max + 1;
    for (std::int32_t m = 0; m <= l_max; ++m) {
        unroll<U>([&](auto u) { before[u] = V{}, q[u] = V{} + static_cast<T>(recursion[m]); });
        for (std::int32_t l = m;; ++l) {
            T* row = values + (l * l + l) * W;
            unroll<U>([&](auto u) { store<T, W>(row + u * block + m * W, q[u] * c[u]); });
            if (m > 0)
                unroll<U>([&](auto u) { store<T, W>(row + u * block - m * W, q[u] * s[u]); });
            if (l == l_max)
                break;
            const T a = static_cast<T>(ab[0]), b = static_cast<T>(ab[1]);
            unroll<U>([&](auto u) {
                const V next = (vz[u] * q[u]) * a - (s2[u] * before[u]) * b;
                before[u] = q[u];
                q[u] = next;
            });
            ab += 2;
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
    while (n > 0) {
        const std::int32_t taken = n > W ? (n < 2 * W ? n : 2 * W) : n;
        if (n > W)
            solid_harmonics_blocks<T, W, 2>(l_max, recursion, scale, x, y, z, weight, taken, values);
        else
            solid_harmonics_blocks<T, W, 1>(l_max, recursion, scale, x, y, z, weight, taken, values);
        n -= taken, x += taken, y += taken, z += taken, weight += taken;
        values += 2 * block;
    }
}
