#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/dispatch.hpp"
#include "matrices/ewald.hpp"

namespace atomprint {

void EwaldSums::find_slopes() {
    const auto basis = reciprocal();
    const std::size_t n = amplitude_.size();
    slope_.assign(wave_slopes * (n + wave_group), 0.0);
    for (std::size_t w = 0; w < n; ++w) {
        double* slope = slope_.data() + wave_slopes * w;
        for (int c = 0; c < 3; ++c)
            for (int k = 0; k < 3; ++k)
                slope[c] += index_[3 * w + k] * basis[k][c];
        const double square = slope[0] * slope[0] + slope[1] * slope[1] + slope[2] * slope[2];
        // The square changes by -2 G_a G_b, the volume by its own size times the trace.
        const double width = 0.5 / (parameters_.a * parameters_.a), factor = width + 2.0 / square;
        const double diagonal = parameters_.a_strain * width * square - 1.0;
        for (int v = 0; v < 6; ++v)
            slope[3 + v] = factor * slope[voigt[v][0]] * slope[voigt[v][1]] + (v < 3 ? diagonal : 0.0);
    }
}

RealSum EwaldSums::real_sum(std::size_t n_atoms) {
    const std::size_t room = ewald_run + x_.size() + filter_slack;
    grow(found_, 5 * room), grow(image_, room), grow(counts_, n_atoms);
    double* found = found_.data();
    return {lattice_->cell.front().data(),
            {x_.data(), y_.data(), z_.data(), x_.size()},
            parameters_.r_cut,
            parameters_.a,
            parameters_.a_strain,
            {image_.data(), found, found + room, found + 2 * room, found + 3 * room},
            found + 4 * room,
            counts_.data()};
}

void EwaldSums::contract(const MatrixAtoms& atoms, const double* weights, double* gradient, double* strain) {
    find_slopes();
    kernels().matrices.ewald_real_contract(atoms, real_sum(atoms.n), weights, gradient, strain);
    make_room_for_waves(atoms.stride);
    kernels().matrices.ewald_reciprocal_contract(atoms, waves(), slope_.data(), weights, tables_.data(),
                                                 panels_.data(), gradient, strain);
}

void EwaldSums::rows(const MatrixAtoms& atoms, const std::int32_t* of, std::size_t n, double* vectors,
                     double* strains) {
    find_slopes();
    const RealSum real = real_sum(atoms.n);
    for (std::size_t r = 0; r < n; ++r)
        kernels().matrices.ewald_real_row(atoms, real, static_cast<std::size_t>(of[r]),
                                          vectors ? vectors + 3 * atoms.stride * r : nullptr,
                                          strains ? strains + 6 * atoms.stride * r : nullptr);
    make_room_for_waves(atoms.stride);
    for (std::size_t begin = 0; begin < amplitude_.size(); begin += ewald_block)
        add_wave_rows(atoms, of, n, begin, vectors, strains);
}

// One block of waves, as products of matrices: each row of the result is a sum over cosines and sines of the
// atoms j, weighted with numbers that belong to i.
void EwaldSums::add_wave_rows(const MatrixAtoms& atoms, const std::int32_t* of, std::size_t n,
                              std::size_t begin, double* vectors, double* strains) {
    const std::size_t n_waves = std::min(ewald_block, amplitude_.size() - begin);
    const std::size_t panel = 2 * matrix_tile * ewald_block;
    kernels().matrices.wave_panels(atoms, waves(), begin, n_waves, tables_.data(), panels_.data());

    // weigh(slope, component, cosine, sine) gives the weights of the cosine and of the sine of j.
    const auto add = [&](std::size_t n_components, double* out, const auto& weigh) {
        const std::size_t n_rows = n_components * n;
        grow(left_, panel);
        double tile[matrix_tile * matrix_tile];
        for (std::size_t first = 0; first < n_rows; first += matrix_tile) {
            const std::size_t in_tile = std::min(matrix_tile, n_rows - first);
            std::fill_n(left_.begin(), 2 * matrix_tile * n_waves, 0.0);
            for (std::size_t r = 0; r < in_tile; ++r) {
                const auto i = static_cast<std::size_t>(of[(first + r) / n_components]);
                const double* of_i = panels_.data() + panel * (i / matrix_tile) + i % matrix_tile;
                for (std::size_t w = 0; w < n_waves; ++w) {
                    const double* wave = of_i + 2 * matrix_tile * w;
                    double* to = left_.data() + 2 * matrix_tile * w + r;
                    weigh(slope_.data() + wave_slopes * (begin + w), (first + r) % n_components, wave[0],
                          wave[matrix_tile], to[0], to[matrix_tile]);
                }
            }
            for (std::size_t j = 0; j < atoms.stride; j += matrix_tile) {
                std::fill_n(tile, matrix_tile * matrix_tile, 0.0);
                kernels().matrices.add_product(left_.data(), matrix_tile,
                                               panels_.data() + panel * (j / matrix_tile), matrix_tile,
                                               2 * n_waves, tile, matrix_tile);
                for (std::size_t r = 0; r < in_tile; ++r)
                    for (std::size_t k = 0; k < matrix_tile; ++k)
                        out[(first + r) * atoms.stride + j + k] += tile[matrix_tile * r + k];
            }
        }
    };
    if (vectors)
        add(3, vectors,
            [](const double* slope, std::size_t c, double cosine, double sine, double& of_cosine,
               double& of_sine) {
                of_cosine = -slope[c] * sine;
                of_sine = slope[c] * cosine;
            });
    if (strains)
        add(6, strains,
            [](const double* slope, std::size_t v, double cosine, double sine, double& of_cosine,
               double& of_sine) {
                of_cosine = slope[3 + v] * cosine;
                of_sine = slope[3 + v] * sine;
            });
}

} // namespace atomprint
