// Coulomb and sine matrices, and their derivatives. Included inside the namespace of one instruction set.
#pragma once

// Rows of all kernels here are padded to whole tiles; what they write to the padding has no meaning.
static_assert(matrix_tile % lanes<double> == 0);

// The elements of atom i with the atoms in one vector: their charges over the root of `square`. They change
// by factor * direction where those atoms move, and by factor * stretch_a * stretch_b under the strain ab.
// What is not asked for is not computed, as all of this is inlined.
struct Pair {
    Double charges, square, direction[3], stretch[3];

    // Zero for i itself and in the padding, where the length or the charges are zero.
    ATOMPRINT_INLINE Double factor() const {
        const Double one = broadcast<double, lanes<double>>(1.0);
        Double s = square == 0.0 ? one : square;
        s = charges == 0.0 ? one : s;
        return -charges / (s * square_root(s));
    }
};

struct CoulombPairs {
    const MatrixAtoms& atoms;

    ATOMPRINT_INLINE Pair operator()(std::size_t i, std::size_t j) const {
        constexpr int L = lanes<double>;
        Pair pair{};
        for (int c = 0; c < 3; ++c) {
            const double* x = atoms.position + c * atoms.stride;
            const Double d = load<double, L>(x + j) - x[i];
            pair.direction[c] = pair.stretch[c] = d;
            pair.square += d * d;
        }
        pair.charges = load<double, L>(atoms.charge + j) * atoms.charge[i];
        return pair;
    }
};

// The fractional coordinates stay under strain, so that the vector of sines stretches as the cell does.
template <bool with_slopes>
struct SinePairs {
    const MatrixAtoms& atoms;
    const double *cell, *inverse;

    ATOMPRINT_INLINE Pair operator()(std::size_t i, std::size_t j) const {
        constexpr int L = lanes<double>;
        constexpr double two_pi = 6.283185307179586;
        Double turn[3], v[3]{};
        for (int k = 0; k < 3; ++k) {
            const double* f = atoms.fractional + k * atoms.stride;
            const Double whole = load<double, L>(f + j) - f[i], d = whole - nearest_integer(whole);
            const Double s = sin_pi(d), s2 = s * s;
            if constexpr (with_slopes)
                turn[k] = two_pi * (s * sin_pi(0.5 - (d < 0.0 ? -d : d)));
            for (int c = 0; c < 3; ++c)
                v[c] += s2 * cell[3 * k + c];
        }
        Pair pair{};
        for (int c = 0; c < 3; ++c) {
            pair.stretch[c] = v[c];
            pair.square += v[c] * v[c];
        }
        for (int k = 0; with_slopes && k < 3; ++k) {
            const Double along = turn[k] * (v[0] * cell[3 * k] + v[1] * cell[3 * k + 1] + v[2] * cell[3 * k + 2]);
            for (int c = 0; c < 3; ++c)
                pair.direction[c] += along * inverse[3 * k + c];
        }
        pair.charges = load<double, L>(atoms.charge + j) * atoms.charge[i];
        return pair;
    }
};

template <class Pairs>
inline void fill_matrix(const MatrixAtoms& atoms, const Pairs& pairs, double* matrix) {
    for (std::size_t i = 0; i < atoms.n; ++i)
        for (std::size_t j = 0; j < atoms.stride; j += lanes<double>) {
            const Pair pair = pairs(i, j);
            store<double, lanes<double>>(matrix + i * atoms.stride + j, pair.charges / square_root(pair.square));
        }
}

// Add the derivatives of the sum of weights * matrix over all elements.
template <bool with_strain, class Pairs>
inline void contract_pairs(const MatrixAtoms& atoms, const Pairs& pairs, const double* weights, double* gradient,
                           double* strain) {
    constexpr int L = lanes<double>;
    const std::size_t ld = atoms.stride;
    Double total[6]{};
    for (std::size_t j = 0; j < ld; j += L) { // the atoms that move are in the lanes
        Double g[3]{};
        for (std::size_t i = 0; i < atoms.n; ++i) {
            const Pair s = pairs(i, j);
            const Double factor = load<double, L>(weights + i * ld + j) * s.factor();
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

template <class Pairs>
inline void pair_row(const MatrixAtoms& atoms, const Pairs& pairs, std::size_t i, double* vectors, double* strains) {
    constexpr int L = lanes<double>;
    const std::size_t ld = atoms.stride;
    for (std::size_t j = 0; j < ld; j += L) {
        const Pair s = pairs(i, j);
        const Double factor = s.factor();
        if (vectors)
            for (int c = 0; c < 3; ++c)
                store<double, L>(vectors + c * ld + j, -factor * s.direction[c]);
        if (strains)
            for (int v = 0; v < 6; ++v)
                store<double, L>(strains + v * ld + j, factor * s.stretch[voigt[v][0]] * s.stretch[voigt[v][1]]);
    }
}

inline void coulomb_matrix(const MatrixAtoms& atoms, double* matrix) {
    fill_matrix(atoms, CoulombPairs{atoms}, matrix);
}

inline void sine_matrix(const MatrixAtoms& atoms, const double* cell, double* matrix) {
    fill_matrix(atoms, SinePairs<false>{atoms, cell, nullptr}, matrix);
}

inline void coulomb_contract(const MatrixAtoms& atoms, const double* weights, double* gradient, double* strain) {
    const auto contract = strain ? contract_pairs<true, CoulombPairs> : contract_pairs<false, CoulombPairs>;
    contract(atoms, {atoms}, weights, gradient, strain);
}

inline void coulomb_row(const MatrixAtoms& atoms, std::size_t i, double* vectors, double* strains) {
    pair_row(atoms, CoulombPairs{atoms}, i, vectors, strains);
}

inline void sine_contract(const MatrixAtoms& atoms, const double* cell, const double* inverse, const double* weights,
                          double* gradient, double* strain) {
    const auto contract = strain ? contract_pairs<true, SinePairs<true>> : contract_pairs<false, SinePairs<true>>;
    contract(atoms, {atoms, cell, inverse}, weights, gradient, strain);
}

inline void sine_row(const MatrixAtoms& atoms, const double* cell, const double* inverse, std::size_t i,
                     double* vectors, double* strains) {
    pair_row(atoms, SinePairs<true>{atoms, cell, inverse}, i, vectors, strains);
}
