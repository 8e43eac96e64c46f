// Sparse Gaussian processes on SOAP: the energy of an atom is the sum over sparse points s of its species of
// coefficient_s (x.x_s)^zeta, x being the normalised power spectrum of the atom.
//
// With feature weights w, x is V^T (w p) / |w p|, where V has a few columns or, where there is none, is the identity.
//
// Kernels of many points nearly cancel: all but the power spectrum is in double precision, whatever that is in.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "kernels/gap.hpp"
#include "local/soap.hpp"
#include "potentials/evaluate.hpp"

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

    // For potentials/evaluate.hpp.
    struct Workspace;
    static constexpr int group = block_columns;
    const Species& species() const { return soap_.species(); }
    double cutoff() const { return soap_.cutoff(); }
    void add(Workspace& work, const KeptPairs& pairs, std::int32_t kind, const std::int32_t* atoms, int n,
             double* energies, GradientPart& part) const;

    // For each structure 1 + 3 N + 6 rows of n_functions numbers, `stride` apart: what the energy, the forces and the
    // derivatives by strain (xx yy zz yz xz xy) are for a coefficient 1 of each sparse point. Written entirely.
    void rows(const Batch& batch, int n_threads, double* out, std::size_t stride) const
        requires std::same_as<T, double>;

    // Of each atom of the batch: x, (n_atoms, n_features), before V.
    void features(const Batch& batch, int n_threads, double* out) const;

private:
    struct Model {
        std::size_t n_points, n_components, first; // the first point among those of all species
        AlignedVector<double> basis, points, form;
        std::vector<double> coefficients;

        std::size_t dimension(std::size_t n_features) const { return n_components ? n_components : n_features; }
    };
    struct Hooks;

    // Weighted features of length 1 from those of the expanded centre; returns 1 / length, or zero where that is zero.
    double read_features(Workspace& work, double* features) const;
    void evaluate_block(const Model& model, Workspace& work, std::size_t n) const;
    std::size_t find_slopes(Workspace& work, const Site& at) const
        requires std::same_as<T, double>;

    const Soap<T>& soap_;
    std::vector<double> weights_;
    double zeta_;
    std::vector<Model> models_;
    std::size_t n_functions_ = 0;
};

// The memory of a thread.
template <class T>
struct Gap<T>::Workspace {
    typename Soap<T>::Workspace soap;
    std::vector<typename Soap<T>::Kept> kept;
    AtomNeighbours found;
    AlignedVector<T> raw, cotangents;
    // Of a block of centres: features and their transpose, x and the derivatives by it, kernels with sparse points.
    AlignedVector<double> features, transposed, x, by_x, kernel, by_features;
    std::vector<double> scale;
    double sums[block_columns];
    // For rows: derivatives of the features of a centre, by neighbour and by distinct atom and strain.
    AlignedVector<double> of_neighbour, slopes, projected;
    std::vector<std::int32_t> place, atoms; // of each atom of the structure among the distinct ones, and these
};

extern template class Gap<double>;
extern template class Gap<float>;

} // namespace atomprint
