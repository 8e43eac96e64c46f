// The lattice sums of the Ewald-sum matrix, and their derivatives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/aligned.hpp"
#include "core/lattice.hpp"
#include "kernels/kernels.hpp"

namespace atomprint {

// Screening parameter (1 / Å) and cutoffs (Å, 1 / Å) of one structure. Pairs and waves at the cutoff count.
// Under a strain e, `a` grows by the fraction a_strain times the trace of e: by -1/3 where it follows the
// volume, by nothing where it is a fixed number.
struct EwaldParameters {
    double a, r_cut, g_cut, a_strain;
};

// Computes one matrix after the other, in memory of its own: one object for each thread. An element is the
// sum over lattice vectors T of erfc(a r) / r with r = |r_i - r_j + T|, and 4 pi / V times the sum over
// reciprocal lattice vectors G of exp(-G^2 / 4 a^2) / G^2 cos(G (r_i - r_j)), without T = 0 for i = j and
// without G = 0.
class EwaldSums {
public:
    // Find what the sums run over; the atoms that the other members take are those of this structure.
    void begin(std::size_t n_atoms, const Lattice& lattice, const EwaldParameters& parameters);

    // Write the upper triangle, diagonal included.
    void fill(const MatrixAtoms& atoms, double* matrix);

    // Derivatives: as the members of the same name in matrix_kinds.hpp, but always added. Under strain, T
    // stretches with the cell, G with its inverse; the sums run over the same T and G.
    void contract(const MatrixAtoms& atoms, const double* weights, double* gradient, double* strain);
    void rows(const MatrixAtoms& atoms, const std::int32_t* of, std::size_t n, double* vectors, double* strains);

private:
    std::array<Vec3, 3> reciprocal() const;
    void find_shifts(double reach);
    void find_waves();
    void find_slopes();
    Waves waves() const;
    RealSum real_sum(std::size_t n_atoms);
    void make_room_for_waves(std::size_t stride);
    void add_wave_rows(const MatrixAtoms& atoms, const std::int32_t* of, std::size_t n, std::size_t begin,
                       double* vectors, double* strains);

    std::optional<Lattice> lattice_;
    EwaldParameters parameters_{};
    std::vector<double> x_, y_, z_;         // of lattice vectors
    std::vector<std::int32_t> index_;       // of waves
    std::vector<double> amplitude_, slope_; // of waves
    std::array<std::int32_t, 3> largest_{}; // Miller index
    AlignedVector<double> squares_, tables_, panels_, found_, left_;
    std::vector<std::int32_t> counts_, image_;
};

} // namespace atomprint
