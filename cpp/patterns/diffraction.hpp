// Powder diffraction patterns, and their derivatives by positions and strain.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/batch.hpp"
#include "core/broadening.hpp"

namespace atomprint {

// The scattering factor of an element at s = sin(theta) / wavelength in 1/Å is
// (sum over i of a[i] exp(-b[i] s^2) + c) exp(-damping s^2).
struct ScatteringFactor {
    std::array<double, 4> a, b;
    double c, damping;
};

struct DiffractionParameters {
    enum class Normalization : int { none, max, area };

    double wavelength;       // Å
    bool lorentz, polarized; // whether intensities have the Lorentz factor of a powder, and that of unpolarised X-rays
    std::int32_t n;          // angles, in degrees
    double minimum, spacing, sigma;
    Normalization normalization;
    std::vector<ScatteringFactor> factors; // by atomic number
};

// Where the lines of one structure are, between two angles; -G is left out where there is G.
struct DiffractionLines {
    std::vector<std::int32_t> hkl; // (n, 3)
    std::vector<double> angles, intensities;
};

// The highest point of a pattern, or its area, is this with the normalization `max` and `area`.
inline constexpr double highest_point = 100.0;

// Immutable. All structures repeat along three vectors that span a volume, whatever their pbc, and all their elements
// have factors. A line of the reciprocal lattice vector G is at sin(theta) = wavelength |G| / 4 pi with the intensity
// |sum of f exp(i G r)|^2 times the Lorentz and polarization factors over the volume squared.
class Diffraction {
public:
    explicit Diffraction(const DiffractionParameters& parameters);

    std::size_t n_features() const { return static_cast<std::size_t>(p_.n); }

    // Lines at angles in [low, high] degrees, in no order.
    DiffractionLines lines(const Structure& structure, double low, double high) const;

    template <class T>
    void compute(const Batch& batch, int n_threads, T* out) const;
    // Adds derivatives of cotangents * features, (n_cotangents, n_structures, n_features), to those by positions
    // (n_cotangents, n_atoms, 3) and, unless null, strain (n_cotangents, n_structures, 3, 3); writes features unless
    // null.
    template <class T>
    void vjp(const Batch& batch, int n_threads, std::size_t n_cotangents, const T* cotangents, double* positions,
             double* strain, T* features) const;
    // Adds derivatives of all features, to rows of selected atoms: see MatrixJacobian.
    template <class T>
    void jacobian(const Batch& batch, int n_threads, const std::int64_t* slots, const std::int64_t* row_offsets,
                  T* positions, T* strain, T* features) const;

private:
    class Worker;

    DiffractionParameters p_;
    Broadening broadening_;
};

} // namespace atomprint
