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

// Derivatives.

// How the elements of atom i with the atoms in one vector change: by factor * direction where those atoms
// move, and by factor * stretch_a * stretch_b under the strain ab. Zero for i itself and in the padding.
struct PairSlope {
    Double factor, direction[3], stretch[3];
};

// Charges over the cube of a length; `charges` are zero in the padding and the length is zero for i itself.
ATOMPRINT_INLINE Double inverse_cube(Double charges, Double square) {
    const Double one = broadcast<double, lanes<double>>(1.0);
    square = square == 0.0 ? one : square;
    square = charges == 0.0 ? one : square;
    return charges / (square * square_root(square));
}

struct CoulombSlope {
    const MatrixAtoms& atoms;

    ATOMPRINT_INLINE PairSlope operator()(std::size_t i, std::size_t j) const {
        constexpr int L = lanes<double>;
        PairSlope slope;
        Double square{};
        for (int c = 0; c < 3; ++c) {
            const double* x = atoms.position + c * atoms.stride;
            const Double d = load<double, L>(x + j) - x[i];
            slope.direction[c] = slope.stretch[c] = d;
            square += d * d;
        }
        const Double charges = load<double, L>(atoms.charge + j) * atoms.charge[i];
        slope.factor = -inverse_cube(charges, square);
        return slope;
    }
};

// The fractional coordinates stay under strain, so that the vector of sines stretches as the cell does.
struct SineSlope {
    const MatrixAtoms& atoms;
    const double *cell, *inverse;

    ATOMPRINT_INLINE PairSlope operator()(std::size_t i, std::size_t j) const {
        constexpr int L = lanes<double>;
        constexpr double two_pi = 6.283185307179586;
        Double turn[3], v[3]{};
        for (int k = 0; k < 3; ++k) {
            const double* f = atoms.fractional + k * atoms.stride;
            const Double whole = load<double, L>(f + j) - f[i], d = whole - nearest_integer(whole);
            const Double magnitude = d < 0.0 ? -d : d, s = sin_pi(d), cosine = sin_pi(0.5 - magnitude);
            turn[k] = two_pi * (s * cosine);
            const Double s2 = s * s;
            for (int c = 0; c < 3; ++c)
                v[c] += s2 * cell[3 * k + c];
        }
        PairSlope slope{};
        Double square{};
        for (int c = 0; c < 3; ++c) {
            slope.stretch[c] = v[c];
            square += v[c] * v[c];
        }
        for (int k = 0; k < 3; ++k) {
            const Double along =
                turn[k] * (v[0] * cell[3 * k] + v[1] * cell[3 * k + 1] + v[2] * cell[3 * k + 2]);
            for (int c = 0; c < 3; ++c)
                slope.direction[c] += along * inverse[3 * k + c];
        }
        const Double charges = load<double, L>(atoms.charge + j) * atoms.charge[i];
        slope.factor = -inverse_cube(charges, square);
        return slope;
    }
};

// Add the derivatives of the sum of weights * matrix over all elements.
template <bool with_strain, class Slope>
inline void contract_pairs(const MatrixAtoms& atoms, const Slope& slope, const double* weights,
                           double* gradient, double* strain) {
    constexpr int L = lanes<double>;
    const std::size_t ld = atoms.stride;
    Double total[6]{};
    for (std::size_t j = 0; j < ld; j += L) { // the atoms that move are in the lanes
        Double g[3]{};
        for (std::size_t i = 0; i < atoms.n; ++i) {
            const PairSlope s = slope(i, j);
            const Double factor = load<double, L>(weights + i * ld + j) * s.factor;
            for (int c = 0; c < 3; ++c)
                g[c] += factor * s.direction[c];
            if constexpr (with_strain) {
                Double v[3];
                for (int c = 0; c < 3; ++c)
                    v[c] = factor * s.stretch[c];
                for (int c = 0; c < 6; ++c)
                    total[c] += v[voigt[c][0]] * s.stretch[voigt[c][1]];
            }
        }
        for (int c = 0; c < 3; ++c) { // twice, as the element stands on either side of the diagonal
            double* to = gradient + c * ld + j;
            store<double, L>(to, load<double, L>(to) + 2.0 * g[c]);
        }
    }
    if constexpr (with_strain)
        for (int v = 0; v < 6; ++v)
            strain[v] += sum_of_lanes(total[v]);
}

template <class Slope>
inline void pair_row(const MatrixAtoms& atoms, const Slope& slope, std::size_t i, double* vectors,
                     double* strains) {
    constexpr int L = lanes<double>;
    const std::size_t ld = atoms.stride;
    for (std::size_t j = 0; j < ld; j += L) {
        const PairSlope s = slope(i, j);
        if (vectors)
            for (int c = 0; c < 3; ++c)
                store<double, L>(vectors + c * ld + j, -s.factor * s.direction[c]);
        if (strains)
            for (int v = 0; v < 6; ++v)
                store<double, L>(strains + v * ld + j,
                                 s.factor * s.stretch[voigt[v][0]] * s.stretch[voigt[v][1]]);
    }
}

inline void coulomb_contract(const MatrixAtoms& atoms, const double* weights, double* gradient,
                             double* strain) {
    if (strain)
        contract_pairs<true>(atoms, CoulombSlope{atoms}, weights, gradient, strain);
    else
        contract_pairs<false>(atoms, CoulombSlope{atoms}, weights, gradient, strain);
}

inline void coulomb_row(const MatrixAtoms& atoms, std::size_t i, double* vectors, double* strains) {
    pair_row(atoms, CoulombSlope{atoms}, i, vectors, strains);
}

inline void sine_contract(const MatrixAtoms& atoms, const double* cell, const double* inverse,
                          const double* weights, double* gradient, double* strain) {
    if (strain)
        contract_pairs<true>(atoms, SineSlope{atoms, cell, inverse}, weights, gradient, strain);
    else
        contract_pairs<false>(atoms, SineSlope{atoms, cell, inverse}, weights, gradient, strain);
}

inline void sine_row(const MatrixAtoms& atoms, const double* cell, const double* inverse, std::size_t i,
                     double* vectors, double* strains) {
    pair_row(atoms, SineSlope{atoms, cell, inverse}, i, vectors, strains);
}
