// From derivatives by the vectors from centres to neighbours to those by atoms and strain, and lists of these
// pairs: what every local descriptor shares.
//
// With r' = (1 + e) r a vector d changes by e d, so that the strain derivative is the sum of gradient (x) d.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/centres.hpp"
#include "core/checks.hpp"

namespace atomprint {

// The neighbours of one centre, in the descriptor's own order: images and the vectors to them.
struct NeighbourList {
    std::size_t n;
    const std::int32_t* image;
    const double *x, *y, *z;
};

// Adds the derivatives of a number by the vectors to the neighbours of a centre, which are images of `atoms`, to those
// by the atoms (n, 3) and by strain (3, 3); `own` is the atom that moves the centre, or -1.
inline void add_gradient(const std::int32_t* atoms, std::int64_t own, const NeighbourList& found,
                         const std::array<const double*, 3>& by, double* positions, double* strain) {
    const double* const d[3] = {found.x, found.y, found.z};
    double total[3] = {}, strains[3][3] = {}; // not in memory, where each step would wait for the last
    for (std::size_t k = 0; k < found.n; ++k) {
        double* const to = positions + 3 * static_cast<std::size_t>(atoms[found.image[k]]);
        for (int a = 0; a < 3; ++a) {
            const double g = by[a][k];
            to[a] += g;
            total[a] += g;
            for (int b = 0; b < 3; ++b)
                strains[a][b] += g * d[b][k];
        }
    }
    for (int a = 0; a < 3; ++a) {
        if (own >= 0)
            positions[3 * own + a] -= total[a];
        for (int b = 0; b < 3; ++b)
            strain[3 * a + b] += strains[a][b];
    }
}

// Derivatives of sums over centres, one or several: (n_sums, n_atoms, 3) by positions and unless null
// (n_sums, n_structures, 3, 3) by strain.
class GradientSum {
public:
    GradientSum(const Batch& batch, std::size_t n_sums, double* positions, double* strain)
        : batch_(batch), n_sums_(n_sums), positions_(positions), strain_(strain), sums_(batch.n_structures) {
        std::fill_n(positions, n_sums * n_of_positions(), 0.0);
        if (strain)
            std::fill_n(strain, n_sums * strain_numbers * batch.n_structures, 0.0);
    }

    std::size_t size() const { return n_sums_; }

    // What a run of centres adds to one structure.
    class Part {
    public:
        Part(std::size_t n_sums, std::size_t n_atoms)
            : width_(3 * n_atoms + strain_numbers), numbers_(n_sums * width_, 0.0) {}

        // The derivatives of one sum by the vectors to the neighbours of a centre, which are images of `atoms`; `own`
        // is the atom that moves the centre, or -1.
        void add(std::size_t sum, const std::int32_t* atoms, std::int64_t own, const NeighbourList& found,
                 const std::array<const double*, 3>& by) {
            double* const numbers = numbers_.data() + sum * width_;
            add_gradient(atoms, own, found, by, numbers, numbers + width_ - strain_numbers);
        }

    private:
        friend GradientSum;
        std::size_t width_;
        std::vector<double> numbers_; // of each sum those of the atoms, then of the strain
    };

    Part part(std::size_t structure) const {
        return {n_sums_, static_cast<std::size_t>(batch_.offsets[structure + 1] - batch_.offsets[structure])};
    }

    void put(const CentreRun& run, Part&& part) { sums_.put(run, std::move(part.numbers_)); }

    // After the last run of a structure.
    void finish(std::size_t s) {
        const auto begin = static_cast<std::size_t>(3 * batch_.offsets[s]),
                   n = static_cast<std::size_t>(3 * batch_.offsets[s + 1]) - begin;
        const std::vector<double> sums = sums_.take(s);
        for (std::size_t sum = 0; sum < n_sums_; ++sum) {
            const double* const from = sums.data() + sum * (n + strain_numbers);
            double* const positions = positions_ + sum * n_of_positions() + begin;
            for (std::size_t k = 0; k < n; ++k)
                positions[k] += from[k];
            for (std::size_t k = 0; strain_ && k < strain_numbers; ++k)
                strain_[strain_numbers * (sum * batch_.n_structures + s) + k] += from[n + k];
        }
    }

private:
    static constexpr std::size_t strain_numbers = 9;

    std::size_t n_of_positions() const { return static_cast<std::size_t>(3 * batch_.offsets[batch_.n_structures]); }

    Batch batch_;
    std::size_t n_sums_;
    double *positions_, *strain_;
    SumsOfRuns<std::vector<double>> sums_;
};

// All pairs of a centre and an atom within reach of it, sorted by species of the atom, then by centre.
struct PairList {
    std::vector<std::int64_t> kind_offsets; // (n_species + 1)
    std::vector<std::int64_t> centre, atom; // index in the batch's centres; index within the structure
    std::vector<std::int64_t> shift;        // (n, 3), lattice translation added to the atom's position
    std::vector<double> vector;             // (n, 3), from the centre to the atom, Å
    std::vector<std::int64_t> first;        // (n_centres, n_species), where a centre's pairs start among their species'
};

// Which of the atoms within the cutoff of an atom are its neighbours.
struct NeighbourRule {
    const double* radii = nullptr; // (n_atoms of the structure), Å: those closer than the sum of both; null for all
    std::size_t n_nearest = 0;     // of these the nearest; 0 for all
    bool keep_ties = true;         // and all that are as far as the last of them; else the first of those
    double tolerance = 0.0;        // Å, within which atoms are equally far

    bool all() const { return radii == nullptr && n_nearest == 0; }
};

// Pairs do not fit into memory.
struct TooManyPairs : std::length_error {
    explicit TooManyPairs(std::int64_t n)
        : std::length_error("there are more than " + std::to_string(n) + " pairs of atoms") {}
};

// What is found around a point, but unless `with_own` without the atom `own` that it stands for, or where
// that is -1 an atom that it is on top of; sorted by atoms and shifts if that is asked for.
struct AtomsAround {
    Neighbours found;
    std::vector<std::int32_t> kept, image;
    std::vector<double> vector[3];

    NeighbourList find(const NeighbourFinder& finder, const double* point, std::int64_t own, bool with_own = false,
                       bool sorted = false, const NeighbourRule& rule = {});

private:
    auto by_place(const NeighbourFinder& finder) const;
    void choose(const NeighbourFinder& finder, std::int64_t own, const NeighbourRule& rule);
};

// List all pairs; collect(worker, finder, structure, centre) returns the neighbours of a centre. Within a
// species the pairs of a centre keep their order.
template <class Collect>
PairList list_pairs(const Batch& batch, const std::int32_t* species, std::size_t n_kinds, const Centres& centres,
                    double cutoff, int n_threads, const Collect& collect) {
    const auto n_centres = static_cast<std::size_t>(centres.offsets[batch.n_structures]);
    PairList list;
    list.first.assign(n_centres * n_kinds, 0);
    // First the numbers of pairs, then the pairs themselves.
    const auto for_all = [&](const auto& body) {
        for_centres(
            batch, centres, 0, batch.n_structures, cutoff, std::size_t(-1) / 2, n_threads,
            [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
                const std::int32_t* kinds = species + batch.offsets[run.structure];
                for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                    poll();
                    body(collect(worker, finder, run.structure, centre), static_cast<std::size_t>(centre), finder,
                         kinds);
                }
            },
            [](std::size_t, int) {});
    };
    for_all(
        [&](const NeighbourList& found, std::size_t centre, const NeighbourFinder& finder, const std::int32_t* kinds) {
            for (std::size_t k = 0; k < found.n; ++k)
                ++list.first[centre * n_kinds + kinds[finder.atom[found.image[k]]]];
        });
    std::int64_t total = 0;
    for (std::size_t kind = 0; kind < n_kinds; ++kind) {
        list.kind_offsets.push_back(total);
        std::int64_t of_kind = 0;
        for (std::size_t centre = 0; centre < n_centres; ++centre) {
            std::int64_t& first = list.first[centre * n_kinds + kind];
            const std::int64_t count = first;
            first = of_kind;
            of_kind += count;
        }
        total += of_kind;
    }
    list.kind_offsets.push_back(total);
    const auto n = static_cast<std::size_t>(total);
    list.centre.resize(n), list.atom.resize(n), list.shift.resize(3 * n), list.vector.resize(3 * n);
    for_all(
        [&](const NeighbourList& found, std::size_t centre, const NeighbourFinder& finder, const std::int32_t* kinds) {
            const auto own = list.first.begin() + static_cast<std::ptrdiff_t>(centre * n_kinds);
            std::vector<std::int64_t> at(own, own + static_cast<std::ptrdiff_t>(n_kinds));
            Vec3 point{centres.points[3 * centre], centres.points[3 * centre + 1], centres.points[3 * centre + 2]};
            const auto moved = finder.locate(point);
            for (std::size_t k = 0; k < found.n; ++k) {
                const auto image = static_cast<std::size_t>(found.image[k]);
                const std::int32_t kind = kinds[finder.atom[image]];
                const auto to = static_cast<std::size_t>(list.kind_offsets[kind] + at[kind]++);
                list.centre[to] = static_cast<std::int64_t>(centre);
                list.atom[to] = finder.atom[image];
                const double d[3] = {found.x[k], found.y[k], found.z[k]};
                for (int c = 0; c < 3; ++c) {
                    list.shift[3 * to + c] = finder.shift[image][c] - moved[c];
                    list.vector[3 * to + c] = d[c];
                }
            }
        });
    return list;
}

// Pairs of a centre and an atom, sorted so.
struct Pairs {
    explicit Pairs(std::size_t n);

    std::size_t n;
    std::unique_ptr<std::int64_t[]> structure, centre, atom; // (n); the latter two within the structure
    std::unique_ptr<std::int64_t[]> shift;                   // (n, 3), lattice translation of the atom
    std::unique_ptr<double[]> vector, distance;              // (n, 3) and (n), from the centre to the atom, Å
};

// All pairs of a centre and an atom within the cutoff, sorted by centre, atom and shift. Radii of the rule are those of
// all atoms of the batch; throws TooManyPairs if there are more than `most`.
Pairs neighbour_pairs(const Batch& batch, const Centres& centres, double cutoff, bool with_own,
                      const NeighbourRule& rule, std::int64_t most, int n_threads);

} // namespace atomprint
