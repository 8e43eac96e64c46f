// The two lattice sums of the Ewald matrix, for unit charges. Included inside the namespace of one
// instruction set.
#pragma once

// Squares of |shift + d| below the limit; may write one vector beyond the last.
ATOMPRINT_INLINE std::size_t squares_below(const LatticePoints& shifts, double dx, double dy, double dz, double limit,
                                           double* squares) {
    const std::size_t n = shifts.n;
    std::size_t found = 0, k = 0;
#if defined(__AVX512F__)
    for (; k < n; k += 8) {
        const __mmask8 valid = n - k >= 8 ? 0xff : static_cast<__mmask8>((1u << (n - k)) - 1u);
        const __m512d x = _mm512_add_pd(_mm512_maskz_loadu_pd(valid, shifts.x + k), _mm512_set1_pd(dx));
        const __m512d y = _mm512_add_pd(_mm512_maskz_loadu_pd(valid, shifts.y + k), _mm512_set1_pd(dy));
        const __m512d z = _mm512_add_pd(_mm512_maskz_loadu_pd(valid, shifts.z + k), _mm512_set1_pd(dz));
        const __m512d r2 = _mm512_fmadd_pd(x, x, _mm512_fmadd_pd(y, y, _mm512_mul_pd(z, z)));
        const __mmask8 hit = _mm512_mask_cmp_pd_mask(valid, r2, _mm512_set1_pd(limit), _CMP_LT_OQ);
        _mm512_storeu_pd(squares + found, _mm512_maskz_compress_pd(hit, r2));
        found += static_cast<std::size_t>(__builtin_popcount(hit));
    }
#else
    for (; k < n; ++k) {
        const double x = shifts.x[k] + dx, y = shifts.y[k] + dy, z = shifts.z[k] + dz;
        squares[found] = x * x + y * y + z * z; // no branch: a miss is overwritten by the next candidate
        found += squares[found] < limit;
    }
#endif
    return found;
}

// Vector from atom i to the nearest image of atom j, or nearly.
ATOMPRINT_INLINE void nearest_image(const MatrixAtoms& atoms, const double* cell, std::size_t i, std::size_t j,
                                    double* d) {
    const std::size_t ld = atoms.stride;
    const double *x = atoms.position, *y = x + ld, *z = y + ld;
    const double *fa = atoms.fractional, *fb = fa + ld, *fc = fb + ld;
    const double p = __builtin_rint(fa[j] - fa[i]), q = __builtin_rint(fb[j] - fb[i]),
                 s = __builtin_rint(fc[j] - fc[i]);
    d[0] = x[j] - x[i] - p * cell[0] - q * cell[3] - s * cell[6];
    d[1] = y[j] - y[i] - p * cell[1] - q * cell[4] - s * cell[7];
    d[2] = z[j] - z[i] - p * cell[2] - q * cell[5] - s * cell[8];
}

// Upper triangle of sum over shifts T of erfc(a r) / r with r = |r_j - r_i + T| <= r_cut; T = 0 is left out
// where i = j. `shifts` hold all that can matter, zero first.
inline void ewald_real(const MatrixAtoms& atoms, const double* cell, const LatticePoints& shifts, double r_cut,
                       double a, double* squares, std::int32_t* counts, double* matrix) {
    const std::size_t n = atoms.n, ld = atoms.stride;
    const double limit = r_cut * r_cut * (1.0 + 2.0 * ewald_margin);
    const LatticePoints others{shifts.x + 1, shifts.y + 1, shifts.z + 1, shifts.n - 1};
    for (std::size_t i = 0; i < n; ++i) {
        poll();
        std::size_t filled = 0, first = i; // distances from i to atoms [first, j] wait in `squares`
        for (std::size_t j = i; j < n; ++j) {
            std::size_t found;
            if (j == i) {
                found = squares_below(others, 0.0, 0.0, 0.0, limit, squares);
            } else {
                double d[3];
                nearest_image(atoms, cell, i, j, d);
                found = squares_below(shifts, d[0], d[1], d[2], limit, squares + filled);
            }
            counts[j] = static_cast<std::int32_t>(found);
            filled += found;
            if (filled < ewald_run && j + 1 < n)
                continue;
            for (int k = 0; k < lanes<double>; ++k)
                squares[filled + k] = 1.0; // so that the last vector is whole
            Double gaussian;
            for (std::size_t k = 0; k < filled; k += lanes<double>)
                store<double, lanes<double>>(squares + k,
                                             erfc_over_r(load<double, lanes<double>>(squares + k), a, gaussian));
            for (const double* term = squares; first <= j; ++first) {
                double sum = 0.0;
                for (const double* end = term + counts[first]; term < end; ++term)
                    sum += *term;
                matrix[i * ld + first] = sum;
            }
            filled = 0;
        }
    }
}

// Tables of exp(2 pi i h f) for h = 0..h_max and one tile of atoms: [h][real, imaginary][atom].
inline void phase_table(const double* fractional, std::int32_t h_max, double* table) {
    constexpr int L = lanes<double>;
    for (std::size_t v = 0; v < matrix_tile; v += L) {
        const Double f = load<double, L>(fractional + v), d = f - nearest_integer(f);
        const Double magnitude = d < 0.0 ? -d : d, s = sin_pi(d), c = sin_pi(0.5 - magnitude);
        const Double re = 1.0 - 2.0 * (s * s), im = 2.0 * (s * c);
        Double power_re = broadcast<double, L>(1.0), power_im = broadcast<double, L>(0.0);
        for (std::int32_t h = 0; h <= h_max; ++h) {
            store<double, L>(table + 2 * matrix_tile * h + v, power_re);
            store<double, L>(table + 2 * matrix_tile * h + matrix_tile + v, power_im);
            const Double next = power_re * re - power_im * im;
            power_im = power_re * im + power_im * re;
            power_re = next;
        }
    }
}

// amplitude * (cos, sin)(G r) of one tile of atoms for a run of waves: [wave][cos, sin][atom].
inline void wave_panel(const double* const* tables, const std::int32_t* index, const double* amplitude,
                       std::size_t n_waves, double* panel) {
    constexpr int L = lanes<double>;
    for (std::size_t v = 0; v < matrix_tile; v += L) {
        const auto phase = [&](int direction, std::int32_t h, Double& re, Double& im) {
            const double* entry = tables[direction] + 2 * matrix_tile * (h < 0 ? -h : h) + v;
            re = load<double, L>(entry);
            im = load<double, L>(entry + matrix_tile) * (h < 0 ? -1.0 : 1.0);
        };
        Double plane_re{}, plane_im{};
        for (std::size_t w = 0; w < n_waves; ++w) {
            const std::int32_t* hkl = index + 3 * w;
            if (w == 0 || hkl[0] != hkl[-3] || hkl[1] != hkl[-2]) { // waves come in runs of the same h and k
                Double ar, ai, br, bi;
                phase(0, hkl[0], ar, ai), phase(1, hkl[1], br, bi);
                plane_re = ar * br - ai * bi;
                plane_im = ar * bi + ai * br;
            }
            Double re, im;
            phase(2, hkl[2], re, im);
            store<double, L>(panel + 2 * matrix_tile * w + v, amplitude[w] * (plane_re * re - plane_im * im));
            store<double, L>(panel + 2 * matrix_tile * w + matrix_tile + v,
                             amplitude[w] * (plane_re * im + plane_im * re));
        }
    }
}

// Panels of a block of waves, for all tiles of atoms. `tables` has room for one tile.
inline void wave_panels(const MatrixAtoms& atoms, const Waves& waves, std::size_t begin, std::size_t n, double* tables,
                        double* panels) {
    const std::size_t ld = atoms.stride, n_tiles = ld / matrix_tile;
    for (std::size_t t = 0; t < n_tiles; ++t) {
        const double* table[3];
        double* next = tables;
        for (int k = 0; k < 3; ++k) {
            table[k] = next;
            phase_table(atoms.fractional + k * ld + matrix_tile * t, waves.largest[k], next);
            next += 2 * matrix_tile * (waves.largest[k] + 1);
        }
        wave_panel(table, waves.index + 3 * begin, waves.amplitude + begin, n,
                   panels + 2 * matrix_tile * ewald_block * t);
    }
}

// Add left^T right, of two arrays with `depth` rows, to one tile of a matrix.
ATOMPRINT_INLINE void add_tile(const double* left, std::size_t left_ld, const double* right, std::size_t right_ld,
                               std::size_t depth, double* matrix, std::size_t ld) {
    constexpr int L = lanes<double>, columns = matrix_tile / L, rows = L; // eight sums in registers
    for (std::size_t r0 = 0; r0 < matrix_tile; r0 += rows) {
        Double sum[rows][columns]{};
        for (std::size_t k = 0; k < depth; ++k) {
            Double b[columns];
            for (int c = 0; c < columns; ++c)
                b[c] = load<double, L>(right + right_ld * k + L * c);
            for (int r = 0; r < rows; ++r)
                for (int c = 0; c < columns; ++c)
                    sum[r][c] += left[left_ld * k + r0 + r] * b[c];
        }
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) {
                double* to = matrix + (r0 + r) * ld + L * c;
                store<double, L>(to, load<double, L>(to) + sum[r][c]);
            }
    }
}

inline void add_product(const double* left, std::size_t left_ld, const double* right, std::size_t right_ld,
                        std::size_t depth, double* matrix, std::size_t ld) {
    add_tile(left, left_ld, right, right_ld, depth, matrix, ld);
}

// Add sum over waves of amplitude^2 cos(G (r_i - r_j)) to the upper triangle, as the product of the (waves x
// atoms) matrix of cosines and sines with its transpose. `tables` has room for one tile of atoms, `panels`
// for ewald_block waves of all atoms.
inline void ewald_reciprocal(const MatrixAtoms& atoms, const Waves& waves, double* tables, double* panels,
                             double* matrix) {
    const std::size_t ld = atoms.stride, n_tiles = ld / matrix_tile;
    for (std::size_t begin = 0; begin < waves.n; begin += ewald_block) {
        const std::size_t n = waves.n - begin < ewald_block ? waves.n - begin : ewald_block;
        wave_panels(atoms, waves, begin, n, tables, panels);
        for (std::size_t t = 0; t < n_tiles; ++t) {
            poll();
            for (std::size_t u = t; u < n_tiles; ++u)
                add_tile(panels + 2 * matrix_tile * ewald_block * t, matrix_tile,
                         panels + 2 * matrix_tile * ewald_block * u, matrix_tile, 2 * n,
                         matrix + matrix_tile * (t * ld + u), ld);
        }
    }
}

// Derivatives.

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
ATOMPRINT_INLINE std::size_t find_images(const MatrixAtoms& atoms, const RealSum& sum, std::size_t i, std::size_t j,
                                         std::size_t n) {
    const double limit = sum.r_cut * sum.r_cut * (1.0 + 2.0 * ewald_margin);
    double d[3];
    nearest_image(atoms, sum.cell, i, j, d);
    const double point[3] = {-d[0], -d[1], -d[2]};
    return within_cutoff(sum.shifts.x, sum.shifts.y, sum.shifts.z, i == j, static_cast<std::int32_t>(sum.shifts.n),
                         point, limit, sum.found, n);
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
        visit(k, load<double, L>(found.x + k), load<double, L>(found.y + k), load<double, L>(found.z + k), slope, of_a);
    }
}

// Add the derivatives of the sum of weights * sum over all elements.
template <bool with_strain>
inline void contract_images(const MatrixAtoms& atoms, const RealSum& sum, const double* weights, double* gradient,
                            double* strain) {
    constexpr int L = lanes<double>;
    const std::size_t n = atoms.n, ld = atoms.stride;
    Double total[6]{}, total_a{};
    for (std::size_t i = 0; i < n; ++i) {
        poll();
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
            for_each_image(sum, filled, [&](std::size_t k, Double x, Double y, Double z, Double s, Double of_a) {
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

inline void ewald_real_contract(const MatrixAtoms& atoms, const RealSum& sum, const double* weights, double* gradient,
                                double* strain) {
    if (strain)
        contract_images<true>(atoms, sum, weights, gradient, strain);
    else
        contract_images<false>(atoms, sum, weights, gradient, strain);
}

inline void ewald_real_row(const MatrixAtoms& atoms, const RealSum& sum, std::size_t i, double* vectors,
                           double* strains) {
    const std::size_t ld = atoms.stride;
    for (std::size_t j = 0; j < atoms.n; ++j) {
        if (j % 16 == 0)
            poll();
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
                strains[v * ld + j] -= sum_of_lanes(total[v]) + (v < 3 ? sum.a_strain * sum_of_lanes(total_a) : 0.0);
    }
}

// One tile of atoms i. For each wave, the products of the weights with the cosines and sines of all atoms j
// stay in registers until they have met those of i.
template <bool with_strain>
inline void contract_waves(const MatrixAtoms& atoms, const double* weights, const double* panels, std::size_t tile,
                           std::size_t n_waves, const double* slope, double* gradient, Double* total) {
    constexpr int L = lanes<double>, columns = matrix_tile / L, together = L < 8 ? L / 2 : 4;
    static_assert(wave_group % together == 0);
    constexpr std::size_t panel_size = 2 * matrix_tile * ewald_block;
    const std::size_t ld = atoms.stride, first = matrix_tile * tile;
    Double g[3][columns]{};
    for (std::size_t w = 0; w < n_waves; w += together) {
        Double sum[2 * together][columns]{};
        for (std::size_t j = 0; j < atoms.n; ++j) {
            const double* wave = panels + panel_size * (j / matrix_tile) + 2 * matrix_tile * w + j % matrix_tile;
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
        for (std::size_t t = 0; t < n_tiles; ++t) {
            poll();
            if (strain)
                contract_waves<true>(atoms, weights, panels, t, n, slope + wave_slopes * begin, gradient, total);
            else
                contract_waves<false>(atoms, weights, panels, t, n, slope + wave_slopes * begin, gradient, total);
        }
    }
    if (strain)
        for (int v = 0; v < 6; ++v)
            strain[v] += sum_of_lanes(total[v]);
}
