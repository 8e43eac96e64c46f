// A potential that is linear in the invariants of an atomic cluster expansion, in one pass: the densities of a block of
// atoms, their energies as one bilinear form, and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/aligned.hpp"
#include "local/ace_neighbours.hpp"
#include "potentials/ace_limit.hpp"
#include "potentials/evaluate.hpp"

namespace atomprint {

// The sum of functions times weights as one symmetric bilinear form, whose runs of consecutive indices that share a
// coefficient stay together.
template <class T>
class AceEnergyForm {
public:
    AceEnergyForm(const AceBasis& basis, const double* weights);

    AceForm<T> view() const { return {static_cast<std::int32_t>(runs_.size()), runs_.data(), terms_.data()}; }

private:
    std::vector<AceRun> runs_;
    std::vector<AceRunTerm<T>> terms_;
};

template <class T>
class AcePotential {
public:
    // Weights (n_species, n_functions), by the species of the centre, in eV.
    AcePotential(const AceBasis& basis, const double* weights, AceLimit limit);

    static constexpr std::int64_t group = ace_lanes<T>;
    struct Workspace;
    const Species& species() const { return basis_.species(); }
    double cutoff() const { return basis_.arrays().cutoff; }
    void add(Workspace& work, const KeptPairs& pairs, std::int32_t kind, const std::int32_t* atoms, int n,
             double* energies, GradientPart& part) const;

private:
    AceBasis basis_;
    std::unique_ptr<AceModel<T>> model_;
    std::vector<AceEnergyForm<T>> forms_; // by the kind of the centre
    AceLimit limit_;
};

template <class T>
struct AcePotential<T>::Workspace {
    struct Lane {
        AtomNeighbours found;
        AceAround<T> around;
        AlignedVector<T> density;
        AlignedVector<T> scaled; // the density, where it is beyond the limit
        AceLimit::Factor factor;
    };
    Lane lanes[ace_lanes<T>];
    AceGroups<T> groups; // of the structure
    AlignedVector<T> scratch, x, adjoint;
    std::vector<double> gradient[3];
};

} // namespace atomprint
