#include "matrices/ewald.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "core/dispatch.hpp"
#include "core/interrupt.hpp"

namespace atomprint {

namespace {

// More lattice points than this are taken for a mistake in the cutoff.
constexpr double points_limit = 1e8;

// Calls found(indices, point) for the lattice points i basis[0] + j basis[1] + k basis[2] within the radius,
// in runs of the same i and j, and for one only of each point and its opposite; never for zero. The basis is
// orthogonalised, last vector first, so that the range of each index is exact, however skew the lattice.
template <class Found>
void half_sphere(const std::array<Vec3, 3>& basis, double radius, const char* name, const Found& found) {
    std::array<Vec3, 3> axis{};                       // orthonormal
    std::array<std::array<double, 3>, 3> component{}; // of basis[m] along axis[k], zero for m > k
    double estimate = 1.0;
    for (int m = 2; m >= 0; --m) {
        Vec3 rest = basis[m];
        for (int k = 2; k > m; --k) {
            component[m][k] = dot(basis[m], axis[k]);
            for (int c = 0; c < 3; ++c)
                rest[c] -= component[m][k] * axis[k][c];
        }
        component[m][m] = norm(rest);
        for (int c = 0; c < 3; ++c)
            axis[m][c] = rest[c] / component[m][m];
        estimate *= 2.0 * radius / component[m][m] + 1.0;
    }
    if (!(estimate < points_limit))
        throw std::length_error(std::string(name) + " is too large for the cell: more than 1e8 lattice points");

    // The range of index m in which (offset + index * step)^2 <= rest.
    const auto range = [](double offset, double step, double rest) {
        const double half = std::sqrt(std::max(rest, 0.0));
        return std::array{static_cast<std::int32_t>(std::ceil((-half - offset) / step)),
                          static_cast<std::int32_t>(std::floor((half - offset) / step))};
    };
    const double limit = radius * radius;
    const auto last_i = range(0.0, component[0][0], limit)[1];
    for (std::int32_t i = 0; i <= last_i; ++i) {
        const double u = i * component[0][0], left_u = limit - u * u;
        const auto [first_j, last_j] = range(i * component[0][1], component[1][1], left_u);
        poll();
        for (std::int32_t j = i == 0 ? 0 : first_j; j <= last_j; ++j) {
            const double v = i * component[0][1] + j * component[1][1];
            const auto [first_k, last_k] =
                range(i * component[0][2] + j * component[1][2], component[2][2], left_u - v * v);
            for (std::int32_t k = i == 0 && j == 0 ? 1 : first_k; k <= last_k; ++k) {
                Vec3 point;
                for (int c = 0; c < 3; ++c)
                    point[c] = i * basis[0][c] + j * basis[1][c] + k * basis[2][c];
                found(std::array{i, j, k}, point);
            }
        }
    }
}

// The longest difference of two atoms whose fractional coordinates differ by at most one half.
double longest_difference(const Lattice& lattice) {
    double longest = 0.0;
    for (int corner = 0; corner < 4; ++corner) {
        Vec3 d;
        for (int c = 0; c < 3; ++c)
            d[c] = 0.5 * (lattice.cell[0][c] + (corner & 1 ? -1 : 1) * lattice.cell[1][c] +
                          (corner & 2 ? -1 : 1) * lattice.cell[2][c]);
        longest = std::max(longest, norm(d));
    }
    return longest;
}

} // namespace

void EwaldSums::find_shifts(double reach) {
    x_.assign(1, 0.0), y_.assign(1, 0.0), z_.assign(1, 0.0);
    half_sphere(lattice_->cell, reach, "r_cut", [&](const auto&, const Vec3& point) {
        for (const double sign : {1.0, -1.0})
            x_.push_back(sign * point[0]), y_.push_back(sign * point[1]), z_.push_back(sign * point[2]);
    });
}

std::array<Vec3, 3> EwaldSums::reciprocal() const {
    std::array<Vec3, 3> vectors = lattice_->inverse;
    for (Vec3& vector : vectors)
        for (double& component : vector)
            component *= 2.0 * std::numbers::pi;
    return vectors;
}

void EwaldSums::find_waves() {
    index_.clear(), amplitude_.clear();
    largest_ = {};
    const double width = -0.25 / (parameters_.a * parameters_.a);
    // One wave stands for itself and its opposite, hence 8 and not 4.
    const double prefactor = 8.0 * std::numbers::pi / lattice_->volume;
    half_sphere(reciprocal(), parameters_.g_cut * (1.0 + ewald_margin), "g_cut",
                [&](const std::array<std::int32_t, 3>& hkl, const Vec3& point) {
                    const double square = dot(point, point);
                    amplitude_.push_back(std::sqrt(prefactor * std::exp(width * square) / square));
                    for (int k = 0; k < 3; ++k) {
                        index_.push_back(hkl[k]);
                        largest_[k] = std::max(largest_[k], std::abs(hkl[k]));
                    }
                });
}

void EwaldSums::begin(std::size_t n_atoms, const Lattice& lattice, const EwaldParameters& parameters) {
    lattice_ = lattice;
    parameters_ = parameters;
    const double spread = n_atoms > 1 ? longest_difference(lattice) : 0.0;
    find_shifts((parameters.r_cut + spread) * (1.0 + 1e-9));
    find_waves();
}

Waves EwaldSums::waves() const {
    return {index_.data(), amplitude_.data(), amplitude_.size(), {largest_[0], largest_[1], largest_[2]}};
}

void EwaldSums::make_room_for_waves(std::size_t stride) {
    const auto tables = static_cast<std::size_t>(3 + largest_[0] + largest_[1] + largest_[2]);
    grow(tables_, 2 * matrix_tile * tables), grow(panels_, 2 * ewald_block * stride);
}

void EwaldSums::fill(const MatrixAtoms& atoms, double* matrix) {
    grow(squares_, ewald_run + x_.size() + 64), grow(counts_, atoms.n);
    kernels().matrices.ewald_real(atoms, lattice_->cell.front().data(), {x_.data(), y_.data(), z_.data(), x_.size()},
                                  parameters_.r_cut, parameters_.a, squares_.data(), counts_.data(), matrix);
    make_room_for_waves(atoms.stride);
    kernels().matrices.ewald_reciprocal(atoms, waves(), tables_.data(), panels_.data(), matrix);
}

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
    kernels().matrices.ewald_reciprocal_contract(atoms, waves(), slope_.data(), weights, tables_.data(), panels_.data(),
                                                 gradient, strain);
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
void EwaldSums::add_wave_rows(const MatrixAtoms& atoms, const std::int32_t* of, std::size_t n, std::size_t begin,
                              double* vectors, double* strains) {
    const std::size_t n_waves = std::min(ewald_block, amplitude_.size() - begin);
    const std::size_t panel = 2 * matrix_tile * ewald_block;
    kernels().matrices.wave_panels(atoms, waves(), begin, n_waves, tables_.data(), panels_.data());

    // weigh(slope, component, cosine, sine) gives the weights of the cosine and of the sine of j.
    const auto add = [&](std::size_t n_components, double* out, const auto& weigh) {
        const std::size_t n_rows = n_components * n;
        grow(left_, panel);
        double tile[matrix_tile * matrix_tile];
        for (std::size_t first = 0; first < n_rows; first += matrix_tile) {
            poll();
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
                kernels().matrices.add_product(left_.data(), matrix_tile, panels_.data() + panel * (j / matrix_tile),
                                               matrix_tile, 2 * n_waves, tile, matrix_tile);
                for (std::size_t r = 0; r < in_tile; ++r)
                    for (std::size_t k = 0; k < matrix_tile; ++k)
                        out[(first + r) * atoms.stride + j + k] += tile[matrix_tile * r + k];
            }
        }
    };
    if (vectors)
        add(3, vectors,
            [](const double* slope, std::size_t c, double cosine, double sine, double& of_cosine, double& of_sine) {
                of_cosine = -slope[c] * sine;
                of_sine = slope[c] * cosine;
            });
    if (strains)
        add(6, strains,
            [](const double* slope, std::size_t v, double cosine, double sine, double& of_cosine, double& of_sine) {
                of_cosine = slope[3 + v] * cosine;
                of_sine = slope[3 + v] * sine;
            });
}

} // namespace atomprint
