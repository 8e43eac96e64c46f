// The two lattice sums of the Ewald matrix, for unit charges. Included inside the namespace of one
// instruction set.
#pragma once

// Squares of |shift + d| below the limit; may write one vector beyond the last.
ATOMPRINT_INLINE std::size_t squares_below(const LatticePoints& shifts, double dx, double dy, double dz,
                                           double limit, double* squares) {
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
ATOMPRINT_INLINE void nearest_image(const MatrixAtoms& atoms, const double* cell, std::size_t i,
                                    std::size_t j, double* d) {
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
inline void ewald_real(const MatrixAtoms& atoms, const double* cell, const LatticePoints& shifts,
                       double r_cut, double a, double* squares, std::int32_t* counts, double* matrix) {
    const std::size_t n = atoms.n, ld = atoms.stride;
    const double limit = r_cut * r_cut * (1.0 + 2.0 * ewald_margin);
    const LatticePoints others{shifts.x + 1, shifts.y + 1, shifts.z + 1, shifts.n - 1};
    for (std::size_t i = 0; i < n; ++i) {
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
                store<double, lanes<double>>(
                    squares + k, erfc_over_r(load<double, lanes<double>>(squares + k), a, gaussian));
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
inline void wave_panels(const MatrixAtoms& atoms, const Waves& waves, std::size_t begin, std::size_t n,
                        double* tables, double* panels) {
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
ATOMPRINT_INLINE void add_tile(const double* left, std::size_t left_ld, const double* right,
                               std::size_t right_ld, std::size_t depth, double* matrix, std::size_t ld) {
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
        for (std::size_t t = 0; t < n_tiles; ++t)
            for (std::size_t u = t; u < n_tiles; ++u)
                add_tile(panels + 2 * matrix_tile * ewald_block * t, matrix_tile,
                         panels + 2 * matrix_tile * ewald_block * u, matrix_tile, 2 * n,
                         matrix + matrix_tile * (t * ld + u), ld);
    }
}
