// Sorted distances from atoms to their neighbours: what structures are recognised by, however they are written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "core/batch.hpp"

namespace atomprint {

// Of one structure. Rows are its atoms, by species; columns the distances, in Å, to the nearest atoms of the first
// species, of the second and so on. Within a species each column is sorted.
struct NeighbourDistances {
    std::vector<std::int32_t> species;     // atomic numbers, ascending
    std::vector<std::size_t> first_row;    // (n_species + 1)
    std::vector<std::size_t> first_column; // (n_species + 1)
    std::vector<double> columns;           // (n_atoms, n_columns)

    std::size_t n_species() const { return species.size(); }
    std::size_t n_columns() const { return first_column.back(); }
    // The greatest number of equal parts, by formula.
    std::int64_t n_units() const;
    // Of each column of each species the mean, least and largest: (3, n_species, n_columns).
    void summarise(double* out) const;
};

// Some atoms have too few neighbours in reach.
struct NeighboursTooFar : std::length_error {
    NeighboursTooFar() : std::length_error("neighbours are beyond 5e6 periodic images of the atoms") {}
};

// With n_neighbours in all, shared among the species by their amounts, rounded up. Where a molecule has fewer, the
// last distances are 0. Throws NeighboursTooFar where a cell is far longer than wide, and TooFarAway.
NeighbourDistances neighbour_distances(const Structure& structure, std::size_t n_neighbours);

// Two structures of one reduced formula, described with as many neighbours.
struct Described {
    const double* columns;      // (n_atoms, n_columns)
    const std::int64_t* counts; // (n_species), atoms of each
    double scale;               // distances are multiplied by it
};

// The largest difference of their distances, in order, those of the smaller structure repeated.
double largest_difference(const Described& one, const Described& other, std::size_t n_species, std::size_t n_columns);

} // namespace atomprint
