// Coulomb and sine matrices. Included inside the namespace of one instruction set.
#pragma once

// Rows of all kernels here are padded to whole tiles; what they write to the padding has no meaning.
static_assert(matrix_tile % lanes<double> == 0);

inline void coulomb_matrix(const MatrixAtoms& atoms, double* matrix) {
    const std::size_t ld = atoms.stride;
    const double *x = atoms.position, *y = x + ld, *z = y + ld;
    for (std::size_t i = 0; i < atoms.n; ++i)
        for (std::size_t j = 0; j < ld; j += lanes<double>) {
            const Double dx = load<double, lanes<double>>(x + j) - x[i];
            const Double dy = load<double, lanes<double>>(y + j) - y[i];
            const Double dz = load<double, lanes<double>>(z + j) - z[i];
            const Double charges = load<double, lanes<double>>(atoms.charge + j) * atoms.charge[i];
            store<double, lanes<double>>(matrix + i * ld + j,
                                         charges / square_root(dx * dx + dy * dy + dz * dz));
        }
}

inline void sine_matrix(const MatrixAtoms& atoms, const double* cell, double* matrix) {
    const std::size_t ld = atoms.stride;
    for (std::size_t i = 0; i < atoms.n; ++i)
        for (std::size_t j = 0; j < ld; j += lanes<double>) {
            Double v[3]{};
            for (int k = 0; k < 3; ++k) {
                const double* f = atoms.fractional + k * ld;
                const Double d = load<double, lanes<double>>(f + j) - f[i];
                const Double s = sin_pi(d - nearest_integer(d)), s2 = s * s;
                for (int c = 0; c < 3; ++c)
                    v[c] += s2 * cell[3 * k + c];
            }
            const Double charges = load<double, lanes<double>>(atoms.charge + j) * atoms.charge[i];
            const Double square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
            store<double, lanes<double>>(matrix + i * ld + j, charges / square_root(square));
        }
}
