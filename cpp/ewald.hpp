// The lattice sums of the Ewald-sum matrix.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "kernels/kernels.hpp"
#include "lattice.hpp"

namespace atomprint {

// Screening parameter (1 / Å) and cutoffs (Å, 1 / Å) of one structure. Pairs and waves at the cutoff count.
struct EwaldParameters {
    double a, r_cut, g_cut;
};

// Computes one matrix after the other, in memory of its own: one object for each thread.
class EwaldSums {
public:
    // Write to the upper triangle, diagonal included, the sum over lattice vectors T of erfc(a r) / r with
    // r = |r_i - r_j + T|, and 4 pi / V times the sum over reciprocal lattice vectors G of
    // exp(-G^2 / 4 a^2) / G^2 cos(G (r_i - r_j)), without T = 0 for i = j and without G = 0.
    void compute(const MatrixAtoms& atoms, const Lattice& lattice, const EwaldParameters& parameters,
                 double* matrix);

private:
    void find_shifts(const Lattice& lattice, double reach);
    void find_waves(const Lattice& lattice, const EwaldParameters& parameters);

    std::vector<double> x_, y_, z_;         // of lattice vectors
    std::vector<std::int32_t> index_;       // of waves
    std::vector<double> amplitude_;         // of waves
    std::array<std::int32_t, 3> largest_{}; // Miller index
    AlignedVector<double> squares_, tables_, panels_;
    std::vector<std::int32_t> counts_;
};

} // namespace atomprint
