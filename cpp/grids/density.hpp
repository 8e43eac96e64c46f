// Densities of Gaussians on grids, and their derivatives.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atomprint {

// Gaussians of the structures of a batch: structure s has those from offsets[s] to offsets[s + 1]. Each is
// weight / norm [exp(-u) - exp(-u_c) (1 + u_c - u)], u = r^2 / 2 sigma^2 up to u_c, where it ends with its slope.
struct Gaussians {
    std::size_t n_structures;
    const std::int64_t* offsets;
    const double *positions, *weights, *sigmas; // (n, 3), (n,), (n,)
    const std::int32_t* channels;
    double cutoff; // in sigmas
};

// The points of a structure are origin + i steps[0] + j steps[1] + k steps[2], and along an axis that wraps a Gaussian
// that leaves the grid on one side comes back on the other.
struct Grids {
    std::size_t shape[3], n_channels;
    const double *origins, *steps; // (n_structures, 3), (n_structures, 3, 3)
    const bool* wraps;             // (n_structures, 3)

    std::size_t size() const { return shape[0] * shape[1] * shape[2]; }
    std::size_t n_features() const { return n_channels * size(); }
};

// Writes the sums of all Gaussians of each channel, (n_structures, n_channels, x, y, z).
template <class T>
void density(const Gaussians& gaussians, const Grids& grids, T* out, int n_threads);

// Writes the derivatives of the sum of cotangents times density by the position of each Gaussian, (n, 3), and by the
// strain in which its position and the points of the grid are taken from r to (1 + e) r, (n, 3, 3).
template <class T>
void density_vjp(const Gaussians& gaussians, const Grids& grids, const T* cotangents, double* gradient, double* strain,
                 int n_threads);

// Adds the derivatives of the density by the position of each Gaussian, times its factor, to the row of out that is
// named, (n_rows, 3, n_features), unless that is negative. Gaussians of different structures have different rows.
template <class T>
void density_slopes(const Gaussians& gaussians, const Grids& grids, const std::int64_t* rows, const double* factors,
                    T* out, int n_threads);

// Adds the derivatives of the density by strain, (n_structures, 3, 3, n_features): of points that move with it where
// there are no arms, else those by positions times the arm of each Gaussian, (n, 3).
template <class T>
void density_strain(const Gaussians& gaussians, const Grids& grids, const double* arms, T* out, int n_threads);

} // namespace atomprint
