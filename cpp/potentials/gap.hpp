// Sparse Gaussian processes on SOAP: the energy of an atom is the sum over sparse points s of its species of
// coefficient_s (x.x_s)^zeta, x being the normalised power spectrum of the atom.
//
// With feature weights w, x is V^T (w p) / |w p|, where V has a few columns or, where there is none, is the identity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "local/soap.hpp"

namespace atomprint {

// The sparse points of a species, which may have none.
struct SparsePoints {
    std::size_t n_points, n_components; // 0 components: those of the features
    std::vector<double> basis;          // V, (n_features, n_components)
    std::vector<double> points;         // (n_points, n_components or n_features)
    std::vector<double> coefficients;   // (n_points), or none, where there are only rows
    std::vector<double> form;           // for zeta = 2 in place of points: the sum of coefficient * x_s x_s^T
};

template <class T>
class Gap {
public:
    // `weights` (n_features) are those of the features, `species` has one entry for each species of `soap`, which has
    // to live longer.
    Gap(const Soap<T>& soap, const double* weights, double zeta, const std::vector<SparsePoints>& species);

    std::size_t n_features() const { return weights_.size(); }
    std::size_t n_functions() const { return n_functions_; } // sparse points of all species

    // Energies of all atoms, (n_atoms), their derivatives by positions (n_atoms, 3), and by the strain of each
    // structure (n_structures, 3, 3), written entirely. No result depends on the number of threads.
    void evaluate(const Batch& batch, int n_threads, double* energies, double* gradient, double* strain) const;

    // For each structure 1 + 3 N + 6 rows of n_functions numbers, `stride` apart: what the energy, the forces and the
    // derivatives by strain (xx yy zz yz xz xy) are for a coefficient 1 of each sparse point. Written entirely.
    void rows(const Batch& batch, int n_threads, T* out, std::size_t stride) const;

    // Of each atom of the batch: x, (n_atoms, n_features), before V.
    void features(const Batch& batch, int n_threads, T* out) const;

private:
    struct Model {
        std::size_t n_points, n_components, first; // the first point among those of all species
        AlignedVector<T> basis, points, form;
        std::vector<T> coefficients;

        std::size_t dimension(std::size_t n_features) const { return n_components ? n_components : n_features; }
    };
    struct Workspace;
    struct Hooks;

    double normalise(T* features) const;
    void evaluate_block(const Model& model, Workspace& work, std::size_t n) const;
    std::size_t find_slopes(Workspace& work, const Site& at) const;

    const Soap<T>& soap_;
    std::vector<T> weights_;
    double zeta_;
    std::vector<Model> models_;
    std::size_t n_functions_ = 0;
};

extern template class Gap<double>;
extern template class Gap<float>;

} // namespace atomprint
