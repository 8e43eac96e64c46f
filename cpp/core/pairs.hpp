// Neighbour search in one structure: any cell, any cutoff, any combination of periodic directions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/batch.hpp"
#include "core/lattice.hpp"

namespace atomprint {

// A pair counts if its distance is below cutoff * (1 - cutoff_margin). The margin is far above rounding, so
// that a pair exactly at the cutoff is left out wherever the structure lies in space.
inline constexpr double cutoff_margin = 1e-10;

// What is wrong with one structure of a batch; in Python it is a StructureError, too.
struct StructureError : std::invalid_argument {
    StructureError(std::size_t index, const std::string& rule) : std::invalid_argument(rule), index(index) {}
    std::size_t index;
};

// The cutoff reaches far more periodic images than fit into memory.
struct TooManyImages : std::length_error {
    TooManyImages() : std::length_error("the cutoff reaches more than 5e7 periodic images of the atoms") {}
};

// A point so far from the cell that integers do not count the lattice vectors between.
struct TooFarAway : std::length_error {
    TooFarAway() : std::length_error("centres must be within 2.5e8 lattice vectors of the cell") {}
};

// The result of a query: index of the image, vector from the point to it, squared distance. Arrays are longer
// than n.
struct Neighbours {
    std::size_t n = 0;
    std::vector<std::int32_t> index;
    std::vector<double> x, y, z, r2;
};

// Finds the atoms around points. All images of atoms that can be within the cutoff of any of the points are
// laid out once, sorted into boxes, so that a query is a few runs over contiguous coordinates.
class NeighbourFinder {
public:
    // `points` are the (n_points, 3) places that will be asked about.
    NeighbourFinder(const Structure& structure, const double* points, std::size_t n_points, double cutoff);

    // Image j of an atom: position, index of the atom, and the lattice translation that was added to the
    // atom's position as given.
    std::vector<double> x, y, z;
    std::vector<std::int32_t> atom;
    std::vector<std::array<std::int32_t, 3>> shift;
    // Where the image comes in the order of atoms and shifts; empty where that is the order of the images.
    std::vector<std::int32_t> rank;

    // Move a point into the home cell, as the constructor did with the atoms; returns the translation added.
    std::array<int, 3> locate(Vec3& point) const;

    // Find all images within the cutoff of a located point. The order depends on the structure and
    // on the points that were named.
    void query(const Vec3& point, Neighbours& found) const;

private:
    void sort_into_boxes(double cutoff);

    Lattice lattice_;
    double cutoff_squared_;
    Vec3 origin_{};
    Vec3 edge_{};             // of a box; 0 means one box for everything
    Vec3 boxes_per_length_{}; // 1 / edge_
    std::array<int, 3> boxes_{1, 1, 1};
    std::vector<std::int32_t> first_; // first image of each box, x fastest; one more than boxes
};

} // namespace atomprint
