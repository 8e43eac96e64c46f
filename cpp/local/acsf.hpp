// Atom-centred symmetry functions, and their derivatives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/species.hpp"
#include "kernels/kernels.hpp"
#include "local/local.hpp"

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
class Acsf : public LocalCalculator<Acsf<T>, T> {
public:
    explicit Acsf(AcsfParameters parameters);
    Acsf(const Acsf&) = delete; // `model_` points into it
    Acsf& operator=(const Acsf&) = delete;

    std::size_t n_features() const { return n_features_; }
    const Species& species() const { return p_.species; }
    double cutoff() const { return p_.cutoff; }

    // Features that depend on atoms of a species, as [first, last) runs.
    std::vector<FeatureRun> touched(std::int32_t kind) const;

    // The hooks of local.hpp.
    struct Workspace;
    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t structure) const;
    void collect(Workspace& work, const Site& site) const;
    NeighbourList neighbours(const Workspace& work) const;
    void expand(Workspace& work, std::int32_t slot) const;
    const std::vector<FeatureRun>& present(Workspace& work) const;
    const T* sum(Workspace& work, std::int32_t n_slots, T* features, bool packed) const;
    std::array<const double*, 3> backward(Workspace& work, const Site& site, const T* cotangent) const;
    void prepare(Workspace& work, const Site& site, T scale) const;
    const std::vector<FeatureRun>& runs(Workspace& work, std::int32_t kind, bool compact) const;
    void gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const;

private:
    // Features that a species touches.
    std::size_t width() const {
        return static_cast<std::size_t>(model_.n_radial() + p_.species.size() * model_.n_functions);
    }

    AcsfParameters p_;
    std::vector<double> etas_;
    std::vector<AcsfPower<T>> powers_;
    std::vector<AcsfTerm<T>> terms_;
    std::vector<AcsfFunction> functions_;
    AcsfModel<T> model_;
    std::size_t n_features_;
};

extern template class LocalCalculator<Acsf<double>, double>;
extern template class LocalCalculator<Acsf<float>, float>;

} // namespace atomprint
