// Coulomb, sine and Ewald-sum matrices of a batch of structures.
#pragma once

#include <cstddef>

#include "core/batch.hpp"
#include "matrices/ewald.hpp"

namespace atomprint {

// How a matrix becomes features that do not depend on the order of the atoms.
enum class Permutation {
    none,
    sorted_l2,     // rows and columns by descending norm of the rows
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

    std::size_t n_features() const {
        return permutation == Permutation::eigenspectrum ? n_max : n_max * n_max;
    }
};

// Where row norms differ by less than this fraction the rows count as equal and keep their order. It is far
// above rounding, so that the order of equivalent atoms does not depend on how the structure lies in space.
inline constexpr double equal_norms = 1e-10;

// Throws std::invalid_argument if a structure has more than n_max atoms.
void check_sizes(const Batch& batch, std::size_t n_max);

// Z_i Z_j / |r_i - r_j|, diagonal Z_i^2.4 / 2 (Rupp et al., Phys. Rev. Lett. 108 (2012) 058301). No cell.
template <class T>
void coulomb_features(const Batch& batch, const MatrixFeatures<T>& out, int n_threads);

// Z_i Z_j / |B sin^2(pi B^-1 (r_i - r_j))|, diagonal as above (Faber et al., Int. J. Quantum Chem. 115 (2015)
// 1094). Every structure has a cell with volume that repeats along all three vectors.
template <class T>
void sine_features(const Batch& batch, const MatrixFeatures<T>& out, int n_threads);

// Electrostatic energy (e^2 / Å) of each pair of nuclei and all their images in a neutralising background,
// each lattice sum cut off (Faber et al. 2015; Toukmaji & Board, Comput. Phys. Commun. 95 (1996) 73). The
// diagonal is halved, so that the upper triangle sums to the energy of the cell. Cells as for the sine
// matrix.
template <class T>
void ewald_features(const Batch& batch, const EwaldParameters* parameters, const MatrixFeatures<T>& out,
                    int n_threads);

} // namespace atomprint
