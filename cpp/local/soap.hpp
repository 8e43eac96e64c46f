// SOAP: density expansion around centres, power spectrum, averages, and their derivatives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.hpp"
#include "core/species.hpp"
#include "kernels/kernels.hpp"
#include "local/local.hpp"
#include "local/weighting.hpp"

namespace atomprint {

struct SoapParameters {
    enum class Products : int { all, diagonal, total }; // channel pairs; equal channels; channel and sum

    std::int32_t n_max, l_max;
    Species species;
    double cutoff; // of the neighbour search, Å
    Weighting weighting;
    std::vector<double> species_weights; // (n_species)
    // Mixes species into channels, (n_species, n_channels); empty: each species is its own channel.
    std::vector<double> embedding;
    std::int32_t n_channels;
    Products products;
    bool averages; // whether features are those of the mean of the coefficients over the centres of a
                   // structure
};

// Radial functions for r in [0, cutoff) as in RadialTable, without padding; zone_of_cell is -1 outside all
// zones.
struct RadialArrays {
    const double *coefficients, *short_coefficients, *zone_basis;
    const std::int32_t* zone_of_cell;
    std::int32_t n_cells, n_zones;
};

template <class T>
class Soap : public LocalCalculator<Soap<T>, T> {
    using Base = LocalCalculator<Soap<T>, T>;

public:
    static constexpr std::int32_t slots = 8;

    Soap(SoapParameters parameters, const RadialArrays& radial);

    std::size_t n_features() const { return n_features_; }
    const Species& species() const { return p_.species; }
    double cutoff() const { return p_.cutoff; }
    bool averages() const { return p_.averages; }
    Rounding rounding() const { return Rounding::of_runs; } // of sums over m, and over neighbours

    // As those of LocalCalculator; averages are taken over the coefficients of the density.
    template <class Out>
    void compute_as(const Batch& batch, const Centres& centres, int n_threads, Out* out) const;
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const CotangentRows<T>& cotangents,
             double* positions, double* strain, T* features) const;
    void jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads, JacobianOut<T> out) const;
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const PairRows<T>& out) const;

    // Features that depend on atoms of a species, as [first, last) runs.
    std::vector<FeatureRun> touched(std::int32_t kind) const;

    // The hooks of local.hpp.
    struct Workspace;
    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t structure) const;
    void clear(Workspace& work, std::int32_t n_slots) const;
    void collect(Workspace& work, const Site& site) const;
    NeighbourList neighbours(const Workspace& work) const;
    void expand(Workspace& work, std::int32_t slot) const;
    const std::vector<FeatureRun>& present(Workspace& work) const;
    const T* sum(Workspace& work, std::int32_t n_slots, T* features, bool packed) const;
    const double* sizes(const Workspace& work) const;
    std::array<const double*, 3> backward(Workspace& work, const Site& site, const T* cotangent) const;
    void prepare(Workspace& work, const Site& site, T scale) const;
    const std::vector<FeatureRun>& runs(Workspace& work, std::int32_t kind, bool compact) const;
    void gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const;

private:
    struct Same;    // hooks that forward
    struct Density; // hooks for the coefficients as features
    struct OfMean;  // hooks for the derivatives of the features of a mean density
    struct Sums;    // hooks for sums over centres of products of species
    struct Mixed;   // such sums, mixed into channels
    std::size_t n_harmonics() const { return static_cast<std::size_t>(p_.l_max + 1) * (p_.l_max + 1); }
    // Set up the memory of a thread for the species of a structure, whose densities are mixed or not.
    void set_up(Workspace& work, std::int32_t n_slots, std::span<const std::int32_t> members, bool mixes) const;
    bool mixes_sums(const Environments& in, std::size_t structure) const;
    bool mixes() const { return !p_.embedding.empty(); }
    bool has_total() const { return p_.products == SoapParameters::Products::total; }
    double weight_in(std::int32_t kind, std::int32_t group) const;

    // Features of a pair of channels, or of a channel and the total, which is called n_channels.
    struct Pair {
        std::int32_t a, b;
        std::size_t first, last;
    };
    Pair pair_of(std::int32_t a, std::int32_t b) const;
    Pair pair_among(std::int32_t n, std::int32_t a, std::int32_t b) const;

    void fill_missing(Workspace& work, std::int32_t n_slots) const;
    void find_sizes(Workspace& work, std::int32_t n_slots) const;
    void add_total(Workspace& work, std::int32_t n_slots) const;
    void find_slopes(Workspace& work, const Site& site) const;
    void couple(Workspace& work, const T* cotangent) const;
    void mix_adjoint(Workspace& work) const;
    std::array<const double*, 3> take_back(Workspace& work) const;
    template <class Body>
    void for_means(const Batch& batch, const Centres& centres, int n_threads, const T* const* cotangents,
                   const Body& body) const;

    SoapParameters p_;
    AlignedVector<T> table_, short_table_, zone_basis_, zone_transposed_;
    std::vector<std::int32_t> zone_of_cell_;
    std::int32_t n_zones_;
    std::vector<double> recursion_;
    std::vector<T> harmonics_gradient_, prefactor_;
    std::vector<Pair> pairs_; // ascending
    double largest_product_;  // of radial functions of other degrees, times prefactors
    std::size_t n_features_ = 0;
    std::int32_t n_pad_;
    bool one_group_; // all species share a density
    ExpansionModel<T> expansion_;
};

extern template class LocalCalculator<Soap<double>, double>;
extern template class LocalCalculator<Soap<float>, float>;

} // namespace atomprint
