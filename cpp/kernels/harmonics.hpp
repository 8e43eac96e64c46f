// Real solid harmonics s^l Y_lm, orthonormal on the unit sphere, for many vectors at once. Included inside
// the namespace of one instruction set.
//
// With C_m + i S_m = (x + i y)^m, the harmonics are q_lm(z, s^2) C_m for m >= 0 and q_l|m| S_|m| for m < 0;
// the q obey q_mm = d_m, q_lm = a_lm z q_(l-1)m - b_lm s^2 q_(l-2)m (the recursion of normalised associated
// Legendre functions, homogenised). They are polynomials of x, y, z: nothing is singular at the origin or on
// the z axis.
#pragma once

// Layout of the recursion coefficients: d_0 .. d_L, then (a_lm, b_lm) for m = 0 .. L, l = m + 1 .. L.
// The values, weighted, go to values[block][l * l + l + m][lane]: W neighbours side by side.
template <class T, int W>
void solid_harmonics(std::int32_t l_max, const double* recursion, double scale, const double* x,
                     const double* y, const double* z, const double* weight, std::int32_t n, T* values) {
    using V = Vec<T, W>;
    const std::int32_t n_lm = (l_max + 1) * (l_max + 1);
    for (std::int32_t first = 0; first < n; first += W) {
        const std::int32_t left = n - first < W ? n - first : W;
        T bx[W] = {}, by[W] = {}, bz[W] = {}, bw[W] = {};
        for (std::int32_t k = 0; k < left; ++k) {
            bx[k] = static_cast<T>(x[first + k] * scale);
            by[k] = static_cast<T>(y[first + k] * scale);
            bz[k] = static_cast<T>(z[first + k] * scale);
            bw[k] = static_cast<T>(weight[first + k]);
        }
        const V vx = load<T, W>(bx), vy = load<T, W>(by), vz = load<T, W>(bz);
        const V s2 = vx * vx + vy * vy + vz * vz;
        T* out = values + static_cast<std::size_t>(first / W) * n_lm * W;
        V c = load<T, W>(bw), s = V{};
        const double* ab = recursion + l_max + 1;
        for (std::int32_t m = 0; m <= l_max; ++m) {
            V before = V{}, q = V{} + static_cast<T>(recursion[m]);
            for (std::int32_t l = m;; ++l) {
                T* row = out + (l * l + l) * W;
                store<T, W>(row + m * W, q * c);
                if (m > 0)
                    store<T, W>(row - m * W, q * s);
                if (l == l_max)
                    break;
                const V next = (vz * q) * static_cast<T>(ab[0]) - (s2 * before) * static_cast<T>(ab[1]);
                ab += 2;
                before = q;
                q = next;
            }
            const V cx = vx * c - vy * s;
            s = vx * s + vy * c;
            c = cx;
        }
    }
}
