// Coulomb, sine and Ewald-sum matrices of a batch of structures, and their derivatives by positions and
// strain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/batch.hpp"
#include "matrices/ewald.hpp"

namespace atomprint {

// How a matrix becomes features that do not depend on the order of the atoms.
enum class Permutation {
    none,
    sorted_l2,     // rows and columns by descending norm of the rows, equal ones in a canonical order
    eigenspectrum, // eigenvalues by descending magnitude
    random,        // as sorted_l2, with noise added to the norms
};

// Where the features go: for each structure n_max * n_max numbers, or n_max with `eigenspectrum`; those
// beyond the size of the structure are zero.
template <class T>
struct MatrixFeatures {
    T* data;
    std::size_t n_max;
    Permutation permutation;
    const double* noise; // (n_structures, n_max); read with `random` only

    std::size_t n_features() const { return permutation == Permutation::eigenspectrum ? n_max : n_max * n_max; }
};

// Where row norms differ by less than this fraction, the matrix as a whole tells which row comes first, in which
// elements that differ by less than this fraction of the largest are the same. It is far above rounding, so that the
// order of equivalent atoms does not depend on how the structure lies in space.
inline constexpr double equal_rows = 1e-7;

// Throws std::invalid_argument if a structure has more than n_max atoms.
void check_sizes(const Batch& batch, std::size_t n_max);

// Derivatives of the sum of cotangents * features of each structure, for each of so many cotangents.
template <class T>
struct MatrixGradient {
    std::size_t n_cotangents;
    const T* cotangents; // (n_cotangents, n_structures, n_features)
    double* positions;   // (n_cotangents, n_atoms, 3)
    double* strain;      // (n_cotangents, n_structures, 3, 3), or null
};

// Derivatives of every feature, in arrays that are zero where they are not written. The row for a selected
// atom of structure s is row_offsets[s] plus its slot; atoms that are not selected have slot -1.
template <class T>
struct MatrixJacobian {
    const std::int64_t* slots;       // (n_atoms)
    const std::int64_t* row_offsets; // (n_structures + 1)
    T* positions;                    // (n_rows, 3, n_features), or null
    T* strain;                       // (n_structures, 3, 3, n_features), or null
};

enum class MatrixKind {
    // Z_i Z_j / |r_i - r_j|, diagonal Z_i^2.4 / 2 (Rupp et al., Phys. Rev. Lett. 108 (2012) 058301). No cell.
    coulomb,
    // Z_i Z_j / |B sin^2(pi B^-1 (r_i - r_j))|, diagonal as above (Faber et al., Int. J. Quantum Chem. 115
    // (2015) 1094). Every structure has a cell with volume that repeats along all three vectors.
    sine,
    // Electrostatic energy (e^2 / Å) of each pair of nuclei and all their images in a neutralising
    // background,
    // each lattice sum cut off (Faber et al. 2015; Toukmaji & Board, Comput. Phys. Commun. 95 (1996) 73). The
    // diagonal is halved, so that the upper triangle sums to the energy of the cell. Cells as for `sine`.
    ewald,
};

struct MatrixInput {
    const Batch& batch;
    MatrixKind kind;
    std::vector<EwaldParameters> ewald; // of each structure, for that kind
};

template <class T>
void matrix_features(const MatrixInput& in, const MatrixFeatures<T>& out, int n_threads);

// Under a strain e every position and lattice vector becomes (1 + e) times itself. Derivatives of sorted
// matrices are those at fixed order; those of eigenvalues are v^T dM v, so that among equal eigenvalues only
// their sum has a meaning. Those of Ewald-sum matrices are at fixed a, r_cut and g_cut, and at fixed sets of
// pairs and waves within the cutoffs. The permutation is not `random`. The features are written too, unless
// features.data is null.
template <class T>
void matrix_vjp(const MatrixInput& in, const MatrixFeatures<T>& features, const MatrixGradient<T>& gradient,
                int n_threads);
template <class T>
void matrix_jacobian(const MatrixInput& in, const MatrixFeatures<T>& features, const MatrixJacobian<T>& jacobian,
                     int n_threads);

} // namespace atomprint
