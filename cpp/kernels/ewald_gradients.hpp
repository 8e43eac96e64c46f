// Derivatives of the two lattice sums of the Ewald matrix, for unit charges. Included inside the namespace of
// one instruction set.
#pragma once

// -(1/r) d/dr of erfc(a r) / r, and -a d/da of the same.
ATOMPRINT_INLINE Double erfc_slope(Double r2, double a, Double& of_a) {
    constexpr double two_over_root_pi = 1.1283791670955126;
    Double gaussian;
    const Double value = erfc_over_r(r2, a, gaussian);
    of_a = a * two_over_root_pi * gaussian;
    return (value + of_a) / r2;
}

// Append to sum.found, which holds n already, the images of atom j within the cutoff of atom i, without i
// itself; returns how many it holds then.
ATOMPRINT_INLINE std::size_t find_images(const MatrixAtoms& atoms, const RealSum& sum, std::size_t i,
                                         std::size_t j, std::size_t n) {
    const double limit = sum.r_cut * sum.r_cut * (1.0 + 2.0 * ewald_margin);
    double d[3];
    nearest_image(atoms, sum.cell, i, j, d);
    const double point[3] = {-d[0], -d[1], -d[2]};
    return within_cutoff(sum.shifts.x, sum.shifts.y, sum.shifts.z, i == j,
                         static_cast<std::int32_t>(sum.shifts.n), point, limit, sum.found, n);
}

// Calls visit(k, x, y, z, s, t) for vectors of the first n images from k on: their distance vectors, and the
// slopes by distance and by screening, with zeros beyond the last.
template <class Visit>
ATOMPRINT_INLINE void for_each_image(const RealSum& sum, std::size_t n, const Visit& visit) {
    constexpr int L = lanes<double>;
    const Found& found = sum.found;
    for (int k = 0; k < L; ++k) {
        found.x[n + k] = found.y[n + k] = found.z[n + k] = 0.0;
        found.r2[n + k] = 700.0 / (sum.a * sum.a); // where nothing is left of the Gaussian
    }
    for (std::size_t k = 0; k < n; k += L) {
        Double of_a;
        const Double slope = erfc_slope(load<double, L>(found.r2 + k), sum.a, of_a);
        visit(k, load<double, L>(found.x + k), load<double, L>(found.y + k), load<double, L>(found.z + k),
              slope, of_a);
    }
}

// Add the derivatives of the sum of weights * sum over all elements.
template <bool with_strain>
inline void contract_images(const MatrixAtoms& atoms, const RealSum& sum, const double* weights,
                            double* gradient, double* strain) {
    constexpr int L = lanes<double>;
    const std::size_t n = atoms.n, ld = atoms.stride;
    Double total[6]{}, total_a{};
    for (std::size_t i = 0; i < n; ++i) {
        double own[3]{};
        std::size_t filled = 0, first = with_strain ? i : i + 1; // images of atoms [first, j] wait
        for (std::size_t j = first; j < n; ++j) {
            const std::size_t end = find_images(atoms, sum, i, j, filled);
            const Double weight = broadcast<double, L>(weights[i * ld + j] * (i == j ? 1.0 : 2.0));
            for (std::size_t k = filled; k < end; k += L)
                store<double, L>(sum.weight + k, weight);
            sum.counts[j] = static_cast<std::int32_t>(end - filled);
            filled = end;
            if (filled < ewald_run && j + 1 < n)
                continue;
            for_each_image(sum, filled,
                           [&](std::size_t k, Double x, Double y, Double z, Double s, Double of_a) {
                               const Double weight_k = load<double, L>(sum.weight + k);
                               s *= weight_k;
                               const Double px = s * x, py = s * y, pz = s * z;
                               if constexpr (with_strain) {
                                   total_a += weight_k * of_a;
                                   total[0] += px * x, total[1] += py * y, total[2] += pz * z;
                                   total[3] += py * z, total[4] += px * z, total[5] += px * y;
                               }
                               store<double, L>(sum.found.x + k, px);
                               store<double, L>(sum.found.y + k, py);
                               store<double, L>(sum.found.z + k, pz);
                           });
            for (std::size_t k = 0; first <= j; ++first) {
                double pull[3]{};
                for (const std::size_t last = k + static_cast<std::size_t>(sum.counts[first]); k < last; ++k)
                    pull[0] += sum.found.x[k], pull[1] += sum.found.y[k], pull[2] += sum.found.z[k];
                if (first == i)
                    continue; // an atom and its images move together
                for (int c = 0; c < 3; ++c) {
                    own[c] += pull[c];
                    gradient[c * ld + first] -= pull[c];
                }
            }
            filled = 0;
        }
        for (int c = 0; c < 3; ++c)
            gradient[c * ld + i] += own[c];
    }
    if constexpr (with_strain)
        for (int v = 0; v < 6; ++v)
            strain[v] -= sum_of_lanes(total[v]) + (v < 3 ? sum.a_strain * sum_of_lanes(total_a) : 0.0);
}

inline void ewald_real_contract(const MatrixAtoms& atoms, const RealSum& sum, const double* weights,
                                double* gradient, double* strain) {
    if (strain)
        contract_images<true>(atoms, sum, weights, gradient, strain);
    else
        contract_images<false>(atoms, sum, weights, gradient, strain);
}

inline void ewald_real_row(const MatrixAtoms& atoms, const RealSum& sum, std::size_t i, double* vectors,
                           double* strains) {
    const std::size_t ld = atoms.stride;
    for (std::size_t j = 0; j < atoms.n; ++j) {
        Double g[3]{}, total[6]{}, total_a{};
        const std::size_t n = find_images(atoms, sum, i, j, 0);
        for_each_image(sum, n, [&](std::size_t, Double x, Double y, Double z, Double s, Double of_a) {
            const Double d[3] = {x, y, z};
            total_a += of_a;
            for (int c = 0; c < 3; ++c)
                g[c] += s * d[c];
            if (strains)
                for (int v = 0; v < 6; ++v)
                    total[v] += s * d[voigt[v][0]] * d[voigt[v][1]];
        });
        if (vectors)
            for (int c = 0; c < 3; ++c)
                vectors[c * ld + j] += i == j ? 0.0 : sum_of_lanes(g[c]);
        if (strains)
            for (int v = 0; v < 6; ++v)
                strains[v * ld + j] -=
                    sum_of_lanes(total[v]) + (v < 3 ? sum.a_strain * sum_of_lanes(total_a) : 0.0);
    }
}

// One tile of atoms i. For each wave, the products of the weights with the cosines and sines of all atoms j
// stay in registers until they have met those of i.
template <bool with_strain>
inline void contract_waves(const MatrixAtoms& atoms, const double* weights, const double* panels,
                           std::size_t tile, std::size_t n_waves, const double* slope, double* gradient,
                           Double* total) {
    constexpr int L = lanes<double>, columns = matrix_tile / L, together = L < 8 ? L / 2 : 4;
    static_assert(wave_group % together == 0);
    constexpr std::size_t panel_size = 2 * matrix_tile * ewald_block;
    const std::size_t ld = atoms.stride, first = matrix_tile * tile;
    Double g[3][columns]{};
    for (std::size_t w = 0; w < n_waves; w += together) {
        Double sum[2 * together][columns]{};
        for (std::size_t j = 0; j < atoms.n; ++j) {
            const double* wave =
                panels + panel_size * (j / matrix_tile) + 2 * matrix_tile * w + j % matrix_tile;
            Double b[columns];
            for (int c = 0; c < columns; ++c)
                b[c] = load<double, L>(weights + j * ld + first + L * c);
            for (int r = 0; r < 2 * together; ++r)
                for (int c = 0; c < columns; ++c)
                    sum[r][c] += wave[matrix_tile * r] * b[c];
        }
        for (int k = 0; k < together; ++k) {
            const double* wave = panels + panel_size * tile + 2 * matrix_tile * (w + k);
            const double* s = slope + wave_slopes * (w + k);
            for (int c = 0; c < columns; ++c) {
                const Double cosine = load<double, L>(wave + L * c);
                const Double sine = load<double, L>(wave + matrix_tile + L * c);
                const Double turn = sine * sum[2 * k][c] - cosine * sum[2 * k + 1][c];
                for (int x = 0; x < 3; ++x)
                    g[x][c] += s[x] * turn;
                if constexpr (with_strain) {
                    const Double energy = cosine * sum[2 * k][c] + sine * sum[2 * k + 1][c];
                    for (int v = 0; v < 6; ++v)
                        total[v] += s[3 + v] * energy;
                }
            }
        }
    }
    for (int x = 0; x < 3; ++x)
        for (int c = 0; c < columns; ++c) {
            double* to = gradient + x * ld + first + L * c;
            store<double, L>(to, load<double, L>(to) - 2.0 * g[x][c]);
        }
}

// Add the derivatives of the sum of weights * sum over all elements. Weights are zero in the padding.
inline void ewald_reciprocal_contract(const MatrixAtoms& atoms, const Waves& waves, const double* slope,
                                      const double* weights, double* tables, double* panels, double* gradient,
                                      double* strain) {
    const std::size_t n_tiles = atoms.stride / matrix_tile;
    Double total[6]{};
    for (std::size_t begin = 0; begin < waves.n; begin += ewald_block) {
        const std::size_t n = waves.n - begin < ewald_block ? waves.n - begin : ewald_block;
        wave_panels(atoms, waves, begin, n, tables, panels);
        const std::size_t whole = (n + wave_group - 1) / wave_group * wave_group;
        for (std::size_t t = 0; t < n_tiles; ++t)
            for (std::size_t k = 2 * matrix_tile * n; k < 2 * matrix_tile * whole; ++k)
                panels[2 * matrix_tile * ewald_block * t + k] = 0.0;
        for (std::size_t t = 0; t < n_tiles; ++t)
            if (strain)
                contract_waves<true>(atoms, weights, panels, t, n, slope + wave_slopes * begin, gradient,
                                     total);
            else
                contract_waves<false>(atoms, weights, panels, t, n, slope + wave_slopes * begin, gradient,
                                      total);
    }
    if (strain)
        for (int v = 0; v < 6; ++v)
            strain[v] += sum_of_lanes(total[v]);
}
