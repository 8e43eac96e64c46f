// Derivatives of the features of Coulomb, sine and Ewald-sum matrices, by positions and by strain.
//
// Under a strain e every position and lattice vector becomes (1 + e) times itself. Derivatives of sorted
// matrices are those at fixed order; those of eigenvalues are v^T dM v, so that among equal eigenvalues only
// their sum has a meaning. Those of Ewald-sum matrices are at fixed a, r_cut and g_cut, and at fixed sets of
// pairs and waves within the cutoffs. The permutation is not `random`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/batch.hpp"
#include "matrices/matrices.hpp"

namespace atomprint {

// Derivatives of the sum of cotangents * features of each structure.
template <class T>
struct MatrixGradient {
    const T* cotangents; // (n_structures, n_features)
    double* positions;   // (n_atoms, 3)
    double* strain;      // (n_structures, 3, 3), or null
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

// The features are written too, unless features.data is null.
template <class T>
void coulomb_vjp(const Batch& batch, const MatrixFeatures<T>& features, const MatrixGradient<T>& gradient,
                 int n_threads);
template <class T>
void coulomb_jacobian(const Batch& batch, const MatrixFeatures<T>& features,
                      const MatrixJacobian<T>& jacobian, int n_threads);
template <class T>
void sine_vjp(const Batch& batch, const MatrixFeatures<T>& features, const MatrixGradient<T>& gradient,
              int n_threads);
template <class T>
void sine_jacobian(const Batch& batch, const MatrixFeatures<T>& features, const MatrixJacobian<T>& jacobian,
                   int n_threads);
template <class T>
void ewald_vjp(const Batch& batch, const EwaldParameters* parameters, const MatrixFeatures<T>& features,
               const MatrixGradient<T>& gradient, int n_threads);
template <class T>
void ewald_jacobian(const Batch& batch, const EwaldParameters* parameters, const MatrixFeatures<T>& features,
                    const MatrixJacobian<T>& jacobian, int n_threads);

} // namespace atomprint
