// Atom-centred symmetry functions, and their derivatives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "core/centres.hpp"
#include "core/scatter.hpp"
#include "core/species.hpp"
#include "kernels/kernels.hpp"

namespace atomprint {

struct AcsfParameters {
    Species species;
    double cutoff;                             // Å
    std::vector<std::array<double, 2>> g2;     // eta, centre
    std::vector<double> g3;                    // kappa
    std::vector<std::array<double, 3>> g4, g5; // eta, zeta, lambda
};

// The atom that a centre belongs to is no neighbour of it; nor is an atom that sits on a centre which is a
// point.
template <class T>
class Acsf {
public:
    using Real = T;

    explicit Acsf(AcsfParameters parameters);
    Acsf(const Acsf&) = delete; // `model_` points into it
    Acsf& operator=(const Acsf&) = delete;

    std::size_t n_features() const { return n_features_; }
    std::int32_t n_species() const { return p_.species.size(); }
    bool averages() const { return false; }

    // One row for each centre, written entirely. No result depends on the number of threads.
    void compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const;

    // Derivatives of the sum of cotangents * features with respect to the position of each atom, (n_atoms,
    // 3), and unless null to the strain of each structure, (n_structures, 3, 3), written entirely. With
    // `attach` a centre with an atom moves with it. Features are written too unless null.
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const T* cotangents,
             double* positions, double* strain, T* features) const;

    PairList pairs(const Batch& batch, const Centres& centres, int n_threads) const;

    // Features that depend on atoms of a species, as [first, last) runs.
    std::vector<std::array<std::size_t, 2>> touched(std::int32_t kind) const;

    // Derivatives with respect to the vectors of a PairList: pair p of species k has the numbers values +
    // value_offsets[k] + 3 * n_touched * p, component after component.
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const std::int64_t* first,
                       const std::int64_t* value_offsets, T* values) const;

private:
    struct Workspace;

    void collect(Workspace& work, const NeighbourFinder& finder, const std::int32_t* species,
                 const Centres& centres, std::int64_t centre) const;
    AcsfNeighbours<T> arrange(Workspace& work) const;
    void write_features(Workspace& work, const AcsfNeighbours<T>& neighbours, T* features) const;
    void make_room_for_slopes(Workspace& work) const;

    AcsfParameters p_;
    std::vector<double> etas_;
    std::vector<AcsfPower<T>> powers_;
    std::vector<AcsfTerm<T>> terms_;
    std::vector<AcsfFunction> functions_;
    AcsfModel<T> model_;
    std::size_t n_features_;
};

} // namespace atomprint
