// SOAP: density expansion around centres, power spectrum, averages, and their derivatives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "core/centres.hpp"
#include "core/scatter.hpp"
#include "core/species.hpp"
#include "kernels/kernels.hpp"
#include "local/weighting.hpp"

namespace atomprint {

enum class Average : int { off, inner, outer };

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
    Average average;
};

// Radial functions for r in [0, cutoff) as in RadialTable, without padding; zone_of_cell is -1 outside all
// zones.
struct RadialArrays {
    const double *coefficients, *short_coefficients, *zone_basis;
    const std::int32_t* zone_of_cell;
    std::int32_t n_cells, n_zones;
};

// Which derivatives to write, and where. Rows of `positions` are numbered as follows: row r of structure s (a
// centre, or the structure itself where an average is taken) and the atom with slot k have row_offsets[s] + r
// * n + k, n being the number of atoms of s with a slot.
template <class T>
struct JacobianOut {
    const std::int64_t* slots;       // (n_atoms), -1: no derivative with respect to this atom
    const std::int64_t* row_offsets; // (n_structures + 1)
    T* positions;                    // (n_out, 3, n_features), zero; or null
    T* strain;                       // (n_rows, 3, 3, n_features), zero; or null
    T* features;                     // (n_rows, n_features), or null
};

template <class T>
class Soap {
public:
    using Real = T;
    using Dense = JacobianOut<T>;

    Soap(SoapParameters parameters, const RadialArrays& radial);

    std::size_t n_features() const { return n_features_; }
    std::int32_t n_species() const { return p_.species.size(); }
    bool averages() const { return p_.average != Average::off; }

    // Rows of `out` are centres, or structures where an average is taken; n_features columns, written
    // entirely. The result does not depend on the number of threads; nor do those of the derivatives.
    void compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const;

    // Derivatives of the sum of cotangents * features with respect to the position of each atom, (n_atoms,
    // 3), and unless null to the strain of each structure, (n_structures, 3, 3), written entirely. With
    // `attach` a centre with an atom moves with it. Features are written too unless null.
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const T* cotangents,
             double* positions, double* strain, T* features) const;

    // Dense derivatives of each feature.
    void jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                  const JacobianOut<T>& out) const;

    PairList pairs(const Batch& batch, const Centres& centres, int n_threads) const;

    // Features that depend on atoms of a species, as [first, last) runs.
    std::vector<std::array<std::size_t, 2>> touched(std::int32_t kind) const;

    // Derivatives with respect to the vectors of a PairList: pair p of species k has the numbers values +
    // value_offsets[k] + 3 * n_touched * p, component after component.
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const std::int64_t* first,
                       const std::int64_t* value_offsets, T* values) const;

private:
    struct Workspace;
    using MeanDone = std::function<void(std::size_t structure, int worker, const T* mean,
                                        const std::vector<char>& present)>;
    using Needs = std::function<bool(const Workspace&, std::size_t structure, std::int64_t centre,
                                     const NeighbourFinder&)>;
    using Site =
        std::function<void(Workspace&, std::size_t structure, std::int64_t centre, const NeighbourFinder&)>;

    std::size_t n_coefficients() const {
        return static_cast<std::size_t>(p_.l_max + 1) * (p_.l_max + 1) * n_columns_;
    }
    std::size_t most_parts(std::size_t numbers) const;
    void prepare(Workspace& work, std::int32_t n_slots) const;
    void collect(Workspace& work, const NeighbourFinder& finder, const std::int32_t* species,
                 const double* point) const;
    void expand(Workspace& work, std::int32_t slot) const;
    void add_total(Workspace& work, std::int32_t n_slots) const;
    void write_power(Workspace& work, std::int32_t n_slots, T* features) const;
    void sum_coefficients(const Batch& batch, const Centres& centres, std::size_t first, std::size_t last,
                          int n_threads, const MeanDone& done) const;

    void prepare_gradients(Workspace& work) const;
    void find_slopes(Workspace& work, const NeighbourFinder& finder, const std::int32_t* species) const;
    void couple(Workspace& work, const T* cotangent) const;
    void mix_adjoint(Workspace& work) const;
    void backward(Workspace& work) const;
    std::size_t block_length(const GradientBlock<T>& block) const {
        const std::size_t n = p_.n_max;
        return (block.triangular ? n * (n + 1) / 2 : n * n) * (p_.l_max + 1);
    }
    bool mixes() const { return !p_.embedding.empty(); }
    bool has_total() const { return p_.products == SoapParameters::Products::total; }
    double weight_in(std::int32_t kind, std::int32_t group) const;
    void choose_blocks(Workspace& work, std::int32_t kind, bool compact) const;
    void differentiate(Workspace& work, T scale) const;
    void write_gradient(Workspace& work, std::int32_t neighbour, T* out, std::size_t stride) const;
    void for_rows(const Batch& batch, const Centres& centres, bool one_run, int n_threads, T* features,
                  const Needs& needs, const Site& body) const;

    SoapParameters p_;
    AlignedVector<T> table_, short_table_, zone_basis_, zone_transposed_;
    std::vector<std::int32_t> zone_of_cell_;
    std::int32_t n_zones_;
    std::vector<double> recursion_;
    std::vector<T> harmonics_gradient_, prefactor_;
    std::vector<PowerBlock> blocks_;
    std::vector<std::vector<Coupling>> couplings_; // of each channel, and of their total
    std::size_t n_features_ = 0;
    std::int32_t n_groups_, n_columns_, n_pad_;
    ExpansionModel<T> expansion_;
    PowerModel<T> power_;
};

} // namespace atomprint
