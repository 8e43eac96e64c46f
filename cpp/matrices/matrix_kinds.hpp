// The three matrices, one class each with the same members, so that features and derivatives are written once
// for all of them. An object is the memory of one thread:
//   begin(structure, index, w)           take the structure that is loaded in the workspace
//   fill(w)                              write its matrix to w.matrix
//   contract(w, weights, gradient, strain)
//       add the derivatives of sum_ij weights_ij M_ij, by positions to (3, stride) and by strain to (6)
//       unless that is null; weights are symmetric, zero in the padding, and lost
//   rows(w, atoms, n, vectors, strains)
//       write the derivatives of row i of the matrix for n atoms i: by the position of i to (n, 3, stride),
//       and by strain to (n, 6, stride), each unless null. The diagonal depends on strain only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/dispatch.hpp"
#include "matrices/ewald.hpp"
#include "matrices/matrix_workspace.hpp"

namespace atomprint {

// The polynomial fit to the energies of free atoms that stands on the diagonal of Coulomb and sine matrices.
void set_atomic_diagonal(MatrixWorkspace& w);

class CoulombKind {
public:
    void begin(const Structure&, std::size_t, MatrixWorkspace&) {}

    void fill(MatrixWorkspace& w) const {
        kernels().matrices.coulomb(w.atoms(), w.matrix.data());
        set_atomic_diagonal(w);
    }

    void contract(const MatrixWorkspace& w, double* weights, double* gradient, double* strain) const {
        kernels().matrices.coulomb_contract(w.atoms(), weights, gradient, strain);
    }

    void rows(const MatrixWorkspace& w, const std::int32_t* atoms, std::size_t n, double* vectors,
              double* strains) const {
        for (std::size_t r = 0; r < n; ++r)
            kernels().matrices.coulomb_row(w.atoms(), static_cast<std::size_t>(atoms[r]),
                                           vectors ? vectors + 3 * w.stride * r : nullptr,
                                           strains ? strains + 6 * w.stride * r : nullptr);
    }
};

class SineKind {
public:
    void begin(const Structure& structure, std::size_t, MatrixWorkspace& w) {
        lattice_.emplace(structure);
        w.wrap(*lattice_);
    }

    void fill(MatrixWorkspace& w) const {
        kernels().matrices.sine(w.atoms(), cell(), w.matrix.data());
        set_atomic_diagonal(w);
    }

    void contract(const MatrixWorkspace& w, double* weights, double* gradient, double* strain) const {
        kernels().matrices.sine_contract(w.atoms(), cell(), inverse(), weights, gradient, strain);
    }

    void rows(const MatrixWorkspace& w, const std::int32_t* atoms, std::size_t n, double* vectors,
              double* strains) const {
        for (std::size_t r = 0; r < n; ++r)
            kernels().matrices.sine_row(w.atoms(), cell(), inverse(), static_cast<std::size_t>(atoms[r]),
                                        vectors ? vectors + 3 * w.stride * r : nullptr,
                                        strains ? strains + 6 * w.stride * r : nullptr);
    }

private:
    const double* cell() const { return lattice_->cell.front().data(); }
    const double* inverse() const { return lattice_->inverse.front().data(); }

    std::optional<Lattice> lattice_;
};

class EwaldKind {
public:
    explicit EwaldKind(const EwaldParameters* parameters) : parameters_(parameters) {}

    void begin(const Structure& structure, std::size_t index, MatrixWorkspace& w);
    void fill(MatrixWorkspace& w);
    void contract(const MatrixWorkspace& w, double* weights, double* gradient, double* strain);
    void rows(const MatrixWorkspace& w, const std::int32_t* atoms, std::size_t n, double* vectors,
              double* strains);

private:
    const EwaldParameters* parameters_; // of each structure
    double background_ = 0.0, self_ = 0.0, a_strain_ = 0.0;
    EwaldSums sums_;
};

} // namespace atomprint
