// One matrix at a time: its atoms, its elements, and how these become features.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "core/lattice.hpp"
#include "kernels/kernels.hpp"
#include "matrices/matrices.hpp"

namespace atomprint {

// Memory of one thread.
struct MatrixWorkspace {
    std::size_t n = 0, stride = 0;
    AlignedVector<double> charge, position, fractional; // padded to `stride`; see MatrixAtoms
    AlignedVector<double> matrix;                       // (stride, stride), both triangles
    std::vector<std::int32_t> order;                    // atom that row p of the features stands for
    AlignedVector<double> values, vectors;              // (n) eigenvalues and (n, stride) eigenvectors
    AlignedVector<double> norms, scratch;

    void load(const Structure& structure);

    // Move all atoms into the cell, and find their fractional coordinates.
    void wrap(const Lattice& lattice);

    MatrixAtoms atoms() const { return {n, stride, charge.data(), position.data(), fractional.data()}; }

    // Find the order of the rows, or the eigenvalues in the order of the features, and if asked the
    // eigenvectors; the eigenvalues destroy the matrix. `noise` (n_max) is for `random`.
    void arrange(Permutation permutation, const double* noise, bool eigenvectors, std::size_t structure);

    // Write the features of one structure, which is arranged.
    template <class T>
    void write(const MatrixFeatures<T>& out, std::size_t structure) const;

private:
    void sort_rows(const double* noise);
    void diagonalise(bool eigenvectors, std::size_t structure);
};

} // namespace atomprint
