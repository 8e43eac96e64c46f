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

    struct Workspace;
    // The same for atoms whose neighbours, with the atom itself among them, have been found by others: kinds are those
    // of the images. `begin` is for structures of any species.
    void begin(Workspace& work) const;
    void collect(Workspace& work, const NeighbourList& found, const double* r2, const std::int32_t* kinds) const;
    std::array<const double*, 3> backward(Workspace& work, const std::int32_t* kinds, const T* cotangent) const;

    // What `backward` needs of a centre that has been expanded: exchanged with what a workspace holds, it waits until
    // others have been.
    struct Kept {
        std::size_t n = 0;
        AlignedVector<T> coefficients;
        std::vector<std::uint32_t> present;
        std::vector<Segment> segments;
        std::vector<std::int32_t> image;
        std::vector<double> x, y, z, r, weight;
    };
    void exchange(Workspace& work, Kept& kept) const;

    // The hooks of local.hpp.
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
    template <class Kind>
    void find_slopes(Workspace& work, const Kind& kind_of) const;
    template <class Place, class Kind>
    void sort_in(Workspace& work, const NeighbourList& found, const double* r2, const Place& place_of,
                 const Kind& kind_of) const;
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

// The memory of a thread.
template <class T>
struct Soap<T>::Workspace {
    Neighbours found;
    // As found: where each neighbour goes, and how many went there before it.
    std::vector<std::int32_t> bin, rank, count, next;
    std::vector<double> distance;
    // Sorted into segments: the vector to the neighbour, its length and weight, and the index of the image.
    std::vector<double> x, y, z, r, weight;
    std::vector<std::int32_t> image;
    std::vector<Segment> segments;
    AlignedVector<T> scratch, coefficients, mixed, features;
    // The densities are those of the species that the structure has, its groups, or one of all; channels are these,
    // unless they are mixed, and a last one is the total where there is one. Columns are those of the channels.
    std::int32_t n_slots = 0, n_columns = 0;
    bool mixes = false;
    std::vector<std::int32_t> groups, channels; // which ones they are, ascending
    std::vector<std::int32_t> place;            // of each channel among these, or -1
    std::vector<std::int32_t> all_kinds;
    std::vector<std::size_t> first, mixed_first; // of each l in `coefficients` and `mixed`
    std::vector<std::uint32_t> present;          // slots for which each channel holds numbers, as bits
    std::vector<std::int32_t> columns;
    std::vector<double> amount;     // weights of neighbours off the centre, by group, for all slots
    std::vector<PowerBlock> blocks; // of the pairs of channels that are present, ascending
    std::vector<FeatureRun> there;  // of these: degree 0, then all others
    std::vector<double> sizes, largest, amounts;
    // For the mixing of sums.
    std::vector<double> squares, half, whole, square_sizes, half_sizes, weights, least;

    // For derivatives.
    AlignedVector<T> adjoint, mixed_adjoint, couple_scratch;
    std::vector<double> slope, gradient[3];
    AlignedVector<T> values, slopes, harmonics, projections;
    std::vector<GradientBlock<T>> gradients;
    std::vector<FeatureRun> runs;
    std::vector<T> factor;

    std::int32_t n_groups() const { return static_cast<std::int32_t>(groups.size()); }
    std::int32_t n_channels() const { return static_cast<std::int32_t>(channels.size()); }
    Coefficients<T> view() { return {coefficients.data(), first.data(), n_columns}; }
    Coefficients<T> view(AlignedVector<T>& numbers) { return {numbers.data(), first.data(), n_columns}; }
    Neighbourhood neighbourhood() const {
        return {static_cast<std::int32_t>(found.n),
                static_cast<std::int32_t>(segments.size()),
                x.data(),
                y.data(),
                z.data(),
                r.data(),
                weight.data(),
                segments.data(),
                slope.data()};
    }
};

extern template class LocalCalculator<Soap<double>, double>;
extern template class LocalCalculator<Soap<float>, float>;

} // namespace atomprint
