// Many-body tensor representation (Huo & Rupp, Mach. Learn.: Sci. Technol. 3 (2022) 045017) of structures,
// and its local form around centres: Gaussians of one geometry function of one, two or three atoms on a grid.
//
// Each unordered pair, and each unordered pair of neighbours of an atom, counts once for each home cell,
// whichever images of them one starts from. The computation is in double precision; results are rounded once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "core/centres.hpp"
#include "core/scatter.hpp"
#include "core/species.hpp"
#include "kernels/kernels.hpp"

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
    double cutoff; // of distances in Å, infinite without weights; for angles with exponential weights
                   // the perimeter is below twice as much
    double sharpness;

    int order() const { return geometry == Geometry::atomic_number ? 1 : geometry < Geometry::angle ? 2 : 3; }
};

// Rows of one term, in arrays whose rows have `width` features, of which this term's start at `first`.
struct MbtrColumns {
    std::size_t width, first;
};

// As for the other descriptors; derivatives are added to the arrays. Null means not asked for.
template <class T>
struct MbtrGradient {
    const T* cotangents; // (n_rows, width)
    double* positions;   // (n_atoms, 3)
    double* strain;      // (n_structures, 3, 3), or null
    T* features;         // (n_rows, width), or null
};
template <class T>
struct MbtrJacobian {
    const std::int64_t* slots;       // (n_atoms)
    const std::int64_t* row_offsets; // (n_structures + 1)
    T* positions;                    // (n_out, 3, width), or null
    T* strain;                       // (n_rows, 3, 3, width), or null
    T* features;                     // (n_rows, width), or null
};

// Immutable. `species` are indices of the atoms' species from 0, `centres` the rows of the local form.
class Mbtr {
public:
    explicit Mbtr(const MbtrParameters& parameters);
    Mbtr(const Mbtr&) = delete; // the table points into it
    Mbtr& operator=(const Mbtr&) = delete;

    std::size_t n_slots() const; // combinations of species
    std::size_t n_features() const { return n_slots() * static_cast<std::size_t>(p_.n); }
    bool local() const { return p_.local; }
    const Species& species() const { return p_.species; }

    template <class T>
    void compute(const Batch& batch, const Centres& centres, int n_threads, const MbtrColumns& columns,
                 T* out) const;
    template <class T>
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads,
             const MbtrColumns& columns, const MbtrGradient<T>& out) const;
    template <class T>
    void jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                  const MbtrColumns& columns, const MbtrJacobian<T>& out) const;

    // Of the local form: atoms around centres, what a species touches, and derivatives by the vectors to the
    // atoms, as those of Acsf.
    PairList pairs(const Batch& batch, const Centres& centres, int n_threads) const;
    std::vector<std::array<std::size_t, 2>> touched(std::int32_t kind) const;
    template <class T>
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const std::int64_t* first,
                       const std::int64_t* value_offsets, T* values) const;

private:
    double reach() const;
    std::vector<std::size_t> touched_slots(std::int32_t kind) const;

    MbtrParameters p_;
    AlignedVector<double> coefficients_;
    BroadeningTable table_;
    TripleRule rule_;

    friend struct MbtrWorker;
};

} // namespace atomprint
