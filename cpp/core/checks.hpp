// Is a batch physically usable? Asked once, before any descriptor sees it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/batch.hpp"

namespace atomprint {

enum class Problem { none, empty, position, number, cell, no_cell, volume, far, coincident };

struct Finding {
    Problem problem = Problem::none;
    std::size_t structure = 0;
    std::size_t atom = 0;
    std::size_t other = 0; // second atom of a coincident pair
};

// Atoms closer than this, in Å, are taken for the same atom entered twice.
inline constexpr double coincidence = 1e-5;
// Coordinates and lattice vectors beyond this, in Å, are mistakes, and would leave no digits for distances.
inline constexpr double farthest = 1e7;

// Two atoms that are nearer than atoms of matter are: `fraction` of the sum of their radii, but at least `least`.
struct CloseLimits {
    const double* radii; // in Å, by atomic number up to 118; null: there are none
    double fraction, least;

    double operator()(const Structure& s, std::size_t i, std::size_t j) const {
        return radii ? std::max(least, fraction * (radii[s.numbers[i]] + radii[s.numbers[j]])) : least;
    }
    // Of any two atoms of a structure.
    double widest(const Structure& s) const;
};

// Of the atoms of a structure those nearest to each other, relative to their limit.
struct Close {
    double excess = 1.0; // distance over limit, squared
    std::size_t atom = 0, other = 0;
    double squared = 0.0, limit = 0.0;

    void offer(std::size_t i, std::size_t j, double r2, double bound) {
        if (const double ratio = r2 / (bound * bound); ratio < excess)
            *this = {ratio, i, j, r2, bound};
    }
};

// For each structure that has atoms that close those nearest, relative to the limit of their elements, of which the
// second may be an image of the first.
struct ClosePairs {
    std::vector<std::int64_t> structure, atom, other;
    std::vector<double> distance, limit; // Å

    void add(std::size_t i, const Close& pair);
};

struct Inspection {
    Finding problem;  // the first in the batch
    ClosePairs close; // if there is no problem
};

// Lattice vectors along periodic boundaries must be linearly independent; with `need_cell`, every structure must have a
// cell. Atoms may not be further than 2.5e8 lattice vectors from the cell (`far`). Without `limits` no close pairs are
// looked for.
Inspection inspect(const Batch& batch, bool need_cell, const CloseLimits* limits, int n_threads);

// The close pairs of structures without any problem but coincident atoms.
ClosePairs close_pairs(const Batch& batch, const CloseLimits& limits);

} // namespace atomprint
