// The atomic cluster expansion: invariant functions of the density around centres, and their derivatives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "local/ace_basis.hpp"
#include "local/ace_neighbours.hpp"
#include "local/local.hpp"

namespace atomprint {

template <class T>
class Ace : public LocalCalculator<Ace<T>, T> {
public:
    static constexpr std::int32_t slots = ace_lanes<T>, block = ace_lanes<T>;

    explicit Ace(const AceBasis& basis);

    std::size_t n_features() const { return static_cast<std::size_t>(model_.program().n_functions); }
    const Species& species() const { return basis_.species(); }
    double cutoff() const { return basis_.arrays().cutoff; }
    Rounding rounding() const { return Rounding::of_runs; }

    // Features that depend on atoms of a species, as [first, last) runs.
    const std::vector<FeatureRun>& touched(std::int32_t kind) const { return touched_[static_cast<std::size_t>(kind)]; }

    // The hooks of local.hpp.
    struct Workspace;
    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t structure) const;
    void clear(Workspace& work, std::int32_t n_slots) const;
    void collect(Workspace& work, const Site& site) const;
    NeighbourList neighbours(const Workspace& work) const;
    void expand(Workspace& work, std::int32_t slot) const;
    void choose(Workspace& work, std::int32_t slot) const;
    const std::vector<FeatureRun>& present(Workspace& work) const;
    const T* sum(Workspace& work, std::int32_t n_slots, T* features, bool packed) const;
    const double* sizes(const Workspace& work) const;
    void couple(Workspace& work, const T* const* cotangents) const;
    std::array<const double*, 3> backward(Workspace& work, const Site& site, const T* cotangent) const;
    void prepare(Workspace& work, const Site& site, T scale) const;
    const std::vector<FeatureRun>& runs(Workspace& work, std::int32_t kind, bool compact) const;
    void gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const;

private:
    // Features next to each other that are products of as many densities, of the same channels.
    struct Family {
        FeatureRun run;
        AceBasis::Channels channels;
        std::int32_t order;
    };

    void pack(Workspace& work) const;
    void evaluate(Workspace& work) const;

    AceBasis basis_;
    AceModel<T> model_;
    AceGradients<T> gradients_;
    std::vector<Family> families_;
    std::vector<std::int32_t> family_first_; // feature of each, and of the end
    std::vector<std::vector<FeatureRun>> touched_;
};

extern template class LocalCalculator<Ace<double>, double>;
extern template class LocalCalculator<Ace<float>, float>;

} // namespace atomprint
