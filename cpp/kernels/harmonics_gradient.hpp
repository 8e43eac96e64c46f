// Real solid harmonics with their gradients. Included inside the namespace of one instruction set.
//
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
#pragma once

// Layout of the coefficients: (z, p, q) for l = 1 .. L, m = 0 .. l, with the factors sqrt(2) and the scale of
// the coordinates in them. Values go to out[block][l * l + l + m][component][lane], the components being the
// gradient and the harmonic itself; `scratch` has room for two blocks of harmonics.
template <class T, int W>
void harmonics_with_gradients(const ExpansionModel<T>& model, const double* x, const double* y,
                              const double* z, std::int32_t n, T* scratch, T* out) {
    using V = Vec<T, W>;
    const std::int32_t l_max = model.l_max;
    const std::size_t n_lm = static_cast<std::size_t>(l_max + 1) * (l_max + 1);
    double ones[2 * W];
    for (double& one : ones)
        one = 1.0;
    for (std::int32_t start = 0; start < n; start += 2 * W) {
        const std::int32_t taken = n - start < 2 * W ? n - start : 2 * W;
        solid_harmonics<T, W>(l_max, model.recursion, model.radial.inverse_r_max, x + start, y + start,
                              z + start, ones, taken, scratch);
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
