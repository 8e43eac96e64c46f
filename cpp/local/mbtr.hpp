// Many-body tensor representation (Huo & Rupp, Mach. Learn.: Sci. Technol. 3 (2022) 045017) of structures,
// and its local form around centres: Gaussians of one geometry function of one, two or three atoms on a grid.
//
// Each unordered pair, and each unordered pair of neighbours of an atom, counts once for each home cell,
// whichever images of them one starts from. The computation is in double precision; results are rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <vector>

#include "core/broadening.hpp"
#include "kernels/kernels.hpp"
#include "local/local.hpp"

namespace atomprint {

struct MbtrParameters {
    enum class Geometry : int { atomic_number, distance, inverse_distance, angle, cosine };
    enum class Weighting : int { unity, exponential, inverse_square, smooth_cutoff };
    enum class Normalization : int { none, l2, n_atoms, valle_oganov };

    Geometry geometry;
    Weighting weighting;
    Normalization normalization;
    bool local;              // rows are centres, which are a species of their own, the first one
    Species species;         // without that of the centres
    std::int32_t n;          // grid points
    double minimum, spacing; // of the grid
    double sigma, height;    // of the Gaussians: width, and area
    double scale;            // of the exponential, 1/Å
    double cutoff;           // of distances in Å, infinite without weights; for angles with exponential weights
                             // the perimeter is below twice as much
    double sharpness;

    int order() const { return geometry == Geometry::atomic_number ? 1 : geometry < Geometry::angle ? 2 : 3; }
};

// Rows of one term, in arrays whose rows have `width` features, of which this term's start at `first`.
struct MbtrColumns {
    std::size_t width, first;
};

// One term, immutable; `centres` are the rows of the local form. Derivatives are added to the arrays.
class Mbtr {
public:
    explicit Mbtr(const MbtrParameters& parameters);
    Mbtr(const Mbtr&) = delete; // `table_` is part of it
    Mbtr& operator=(const Mbtr&) = delete;

    std::size_t n_slots() const; // combinations of species
    std::size_t n_features() const { return n_slots() * static_cast<std::size_t>(p_.n); }
    bool local() const { return p_.local; }
    const Species& species() const { return p_.species; }

    template <class Out> // numbers, or a sparse matrix
    void compute(const Batch& batch, const Centres& centres, int n_threads, const MbtrColumns& columns, Out* out) const;
    template <class T>
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const MbtrColumns& columns,
             const CotangentRows<T>& cotangents, double* positions, double* strain, T* features) const;
    template <class T>
    void jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads, const MbtrColumns& columns,
                  const JacobianOut<T>& out) const;

    // Of the local form: atoms around centres, what a species touches, and derivatives by the vectors to the
    // atoms, as those of Acsf.
    PairList pairs(const Batch& batch, const Centres& centres, int n_threads) const;
    std::vector<FeatureRun> touched(std::int32_t kind) const;
    template <class T>
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const PairRows<T>& out) const;

private:
    double reach() const;
    std::vector<std::size_t> touched_slots(std::int32_t kind) const;

    MbtrParameters p_;
    Broadening broadening_;
    const BroadeningTable& table_;
    TripleRule rule_;

    friend struct MbtrWorker;
};

// The terms of MBTR side by side, or that of LMBTR, with what LocalCalculator has. Without the local form
// rows are structures, and centres are not read.
template <class T>
class MbtrTerms {
public:
    using Real = T;

    explicit MbtrTerms(const std::vector<MbtrParameters>& terms) {
        for (const MbtrParameters& parameters : terms)
            n_features_ += terms_.emplace_back(parameters).n_features();
    }
    MbtrTerms(const MbtrTerms&) = delete;
    MbtrTerms& operator=(const MbtrTerms&) = delete;

    std::size_t n_features() const { return n_features_; }
    const Species& species() const { return terms_.front().species(); }
    bool local() const { return terms_.front().local(); }
    bool averages() const { return !local(); }
    std::vector<FeatureRun> touched(std::int32_t kind) const { return terms_.front().touched(kind); }

    void compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const {
        for_terms([&](const Mbtr& term, const MbtrColumns& columns) {
            term.compute(batch, centres, n_threads, columns, out);
        });
    }
    void compute(const Batch& batch, const Centres& centres, int n_threads, ZeroRows<T>* out) const {
        for_terms([&](const Mbtr& term, const MbtrColumns& columns) {
            term.compute(batch, centres, n_threads, columns, out);
        });
    }
    void compute(const Batch& batch, const Centres& centres, int n_threads, SparseRows<T>* out) const {
        if (terms_.size() == 1)
            return terms_.front().compute(batch, centres, n_threads, {n_features_, 0}, out);
        std::deque<SparseRows<T>> parts;
        for_terms([&](const Mbtr& term, const MbtrColumns& columns) {
            term.compute(batch, centres, n_threads, columns, &parts.emplace_back(n_features_));
        });
        out->add_beside(parts);
    }
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const CotangentRows<T>& cotangents,
             double* positions, double* strain, T* features) const {
        for_terms([&](const Mbtr& term, const MbtrColumns& columns) {
            term.vjp(batch, centres, attach, n_threads, columns, cotangents, positions, strain, features);
        });
    }
    void jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                  const JacobianOut<T>& out) const {
        if (centres.weights)
            throw std::invalid_argument("dense derivatives are those of single centres");
        for_terms([&](const Mbtr& term, const MbtrColumns& columns) {
            term.jacobian(batch, centres, attach, n_threads, columns, out);
        });
    }
    PairList pairs(const Batch& batch, const Centres& centres, int n_threads) const {
        return terms_.front().pairs(batch, centres, n_threads);
    }
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const PairRows<T>& out) const {
        terms_.front().pair_jacobian(batch, centres, n_threads, out);
    }

private:
    template <class Call>
    void for_terms(const Call& call) const {
        MbtrColumns columns{n_features_, 0};
        for (const Mbtr& term : terms_) {
            call(term, columns);
            columns.first += term.n_features();
        }
    }

    std::deque<Mbtr> terms_; // which do not move
    std::size_t n_features_ = 0;
};

} // namespace atomprint
