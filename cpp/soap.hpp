// SOAP: density expansion around centres, power spectrum, averages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "batch.hpp"
#include "kernels/kernels.hpp"

namespace atomprint {

// Weight of a neighbour's density as a function of its distance.
struct Weighting {
    enum class Kind : int { none, poly, pow, exp, exp_decay };
    Kind kind = Kind::none;
    double c = 1.0, d = 1.0, m = 1.0, r0 = 1.0;
    double own = -1.0;       // weight of an atom on the centre; negative: as any other
    double fade_from = -1.0; // distance from which a cosine takes the density to zero; negative: none
    double fade_to = 0.0;

    double operator()(double r) const;
};

struct SoapParameters {
    std::int32_t n_max, l_max;
    std::int32_t n_species;
    double cutoff; // of the neighbour search, Å
    Weighting weighting;
    std::vector<double> species_weights; // (n_species)
    // Mixes species into channels, (n_species, n_channels); empty: each species is its own channel.
    std::vector<double> embedding;
    std::int32_t n_channels;
    enum class Products : int {
        all,
        diagonal,
        total
    } products; // channel pairs; equal channels; channel and sum
};

// Where to compute: points with the atom each belongs to, or -1.
struct Centres {
    const double* points;        // (n_centres, 3)
    const std::int64_t* atoms;   // (n_centres), index within the structure
    const std::int64_t* offsets; // (n_structures + 1)
};

enum class Average : int { off, inner, outer };

// Radial functions for r in [0, cutoff) as in RadialTable, without padding; zone_of_cell is -1 outside all
// zones.
struct RadialArrays {
    const double *coefficients, *short_coefficients, *zone_basis;
    const std::int32_t* zone_of_cell;
    std::int32_t n_cells, n_zones;
};

template <class T>
class Soap {
public:
    Soap(SoapParameters parameters, const RadialArrays& radial);

    std::size_t n_features() const { return n_features_; }

    // Rows of `out` are centres, or structures where an average is taken; n_features columns, written
    // entirely. The result does not depend on the number of threads.
    void compute(const Batch& batch, const std::int32_t* species, const Centres& centres, Average average,
                 int n_threads, T* out) const;

private:
    struct Workspace;
    struct Site;
    void collect(Workspace& work, const class NeighbourFinder& finder, const std::int32_t* species,
                 const double* point) const;
    void expand(Workspace& work, std::int32_t slot) const;
    void add_total(Workspace& work, std::int32_t n_slots) const;
    void write_power(Workspace& work, std::int32_t n_slots, T* features) const;

    SoapParameters p_;
    AlignedVector<T> table_, short_table_, zone_basis_;
    std::vector<std::int32_t> zone_of_cell_;
    std::int32_t n_zones_;
    std::vector<double> recursion_;
    std::vector<T> prefactor_;
    std::vector<PowerBlock> blocks_;
    std::size_t n_features_ = 0;
    std::int32_t n_groups_, n_columns_, n_pad_;
    ExpansionModel<T> expansion_;
    PowerModel<T> power_;
};

} // namespace atomprint
