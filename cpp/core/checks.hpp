// Is a batch physically usable? Asked once, before any descriptor sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/batch.hpp"

namespace atomprint {

enum class Problem { none, position, number, cell, no_cell, volume, far, coincident };

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

// Atoms may not be further than 2.5e8 lattice vectors from the cell (`far`).
//
// The first problem in the batch. Lattice vectors along periodic boundaries must be linearly independent;
// with `need_cell`, every structure must have a cell.
Finding check_batch(const Batch& batch, bool need_cell);

// Two atoms that are nearer than atoms of matter are, for each structure that has some: those nearest, relative to the
// limit of their elements, of which the second may be an image of the first.
struct ClosePairs {
    std::vector<std::int64_t> structure, atom, other;
    std::vector<double> distance, limit; // Å
};

// The limit of two elements is `fraction` of the sum of their radii, but at least `least`. Structures must have passed
// check_batch; `radii`, in Å, has an entry for each atomic number up to 118.
ClosePairs close_pairs(const Batch& batch, const double* radii, double fraction, double least);

} // namespace atomprint
