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

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <optional>
#include <stdexcept>

#include "core/dispatch.hpp"
#include "matrices/ewald.hpp"
#include "matrices/matrix_workspace.hpp"

namespace atomprint {

// The polynomial fit to the energies of free atoms that stands on the diagonal of Coulomb and sine matrices.
inline void set_atomic_diagonal(MatrixWorkspace& w) {
    static const auto table = [] {
        std::array<double, 119> values{};
        for (std::size_t z = 0; z < values.size(); ++z)
            values[z] = 0.5 * std::pow(static_cast<double>(z), 2.4);
        return values;
    }();
    for (std::size_t i = 0; i < w.n; ++i)
        w.matrix[i * w.stride + i] = table[static_cast<std::size_t>(w.charge[i])];
}

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

    void begin(const Structure& structure, std::size_t index, MatrixWorkspace& w) {
        const Lattice lattice(structure);
        const EwaldParameters& parameters = parameters_[index];
        background_ = std::numbers::pi / (lattice.volume * parameters.a * parameters.a);
        if (!std::isfinite(background_))
            throw std::length_error("a is too small for the cell: the energy of the background overflows");
        self_ = parameters.a * std::numbers::inv_sqrtpi;
        a_strain_ = parameters.a_strain;
        w.wrap(lattice);
        sums_.begin(w.n, lattice, parameters);
    }

    // The two lattice sums are for unit charges; here come the charges, the background and the self-energy.
    void fill(MatrixWorkspace& w) {
        sums_.fill(w.atoms(), w.matrix.data());
        for (std::size_t i = 0; i < w.n; ++i) {
            double* row = w.matrix.data() + i * w.stride;
            const double charge = w.charge[i];
            row[i] = charge * charge * (0.5 * (row[i] - background_) - self_);
            for (std::size_t j = i + 1; j < w.n; ++j) {
                row[j] = charge * w.charge[j] * (row[j] - background_);
                w.matrix[j * w.stride + i] = row[j];
            }
        }
    }

    void contract(const MatrixWorkspace& w, double* weights, double* gradient, double* strain) {
        double total = 0.0, of_self = 0.0;
        for (std::size_t i = 0; i < w.n; ++i) {
            double* row = weights + i * w.stride;
            of_self -= a_strain_ * self_ * row[i] * w.charge[i] * w.charge[i];
            row[i] *= 0.5;
            for (std::size_t j = 0; j < w.n; ++j) {
                row[j] *= w.charge[i] * w.charge[j];
                total += row[j];
            }
        }
        sums_.contract(w.atoms(), weights, gradient, strain);
        if (strain) // the background goes with 1 / (V a^2), the self-energy with a
            for (int v = 0; v < 3; ++v)
                strain[v] += total * background_ * (1.0 + 2.0 * a_strain_) + of_self;
    }

    void rows(const MatrixWorkspace& w, const std::int32_t* atoms, std::size_t n, double* vectors, double* strains) {
        if (vectors)
            std::fill_n(vectors, 3 * n * w.stride, 0.0);
        if (strains)
            for (std::size_t r = 0; r < 6 * n; ++r)
                std::fill_n(strains + r * w.stride, w.stride, r % 6 < 3 ? background_ * (1.0 + 2.0 * a_strain_) : 0.0);
        sums_.rows(w.atoms(), atoms, n, vectors, strains);
        for (std::size_t r = 0; r < n; ++r) {
            const auto i = static_cast<std::size_t>(atoms[r]);
            for (std::size_t j = 0; j < w.n; ++j) {
                const double charges = w.charge[i] * w.charge[j];
                if (vectors)
                    for (std::size_t c = 0; c < 3; ++c)
                        vectors[(3 * r + c) * w.stride + j] *= i == j ? 0.0 : charges;
                if (strains)
                    for (std::size_t v = 0; v < 6; ++v)
                        strains[(6 * r + v) * w.stride + j] *= i == j ? 0.5 * charges : charges;
            }
            if (strains)
                for (std::size_t v = 0; v < 3; ++v)
                    strains[(6 * r + v) * w.stride + i] -= a_strain_ * self_ * w.charge[i] * w.charge[i];
        }
    }

private:
    const EwaldParameters* parameters_; // of each structure
    double background_ = 0.0, self_ = 0.0, a_strain_ = 0.0;
    EwaldSums sums_;
};

} // namespace atomprint
