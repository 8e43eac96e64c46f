// What is around the atoms of a structure: nearest neighbours, how many there are, and on which side.
#pragma once

#include "core/batch.hpp"

namespace atomprint {

// All distances are measured in sums of the radii of two atoms. A neighbour at up to `near` of them counts as one, at
// `far` as none, and smoothly less between. On which side neighbours are is told with weights of ratio^-6, which end
// at `beyond`. Where the cutoff is nearer than `far` or `beyond`, they end there.
struct Reach {
    double cutoff; // Å
    double near, far, beyond;
};

struct Surroundings {
    double coordination = 0.0; // mean number of neighbours
    double around = 0.0;   // mean number of atoms within the cutoff, with weights (1 - (r / cutoff)^2)^2, and itself
    double lopsided = 0.0; // mean over atoms: 0 if neighbours are all around, 1 if they are all on one side
};

// `distance` (Å, nan) and `partner` (atomic number, 0) of each atom are those of its nearest neighbour by the sum of
// their radii; of several as near, that of the lightest element.
Surroundings surroundings(const Structure& structure, const double* radii, const Reach& reach, double* distance,
                          std::int64_t* partner);

} // namespace atomprint
