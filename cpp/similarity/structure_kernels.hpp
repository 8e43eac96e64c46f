// Similarities of structures from those of their centres.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/kernels.hpp"

namespace atomprint {

// Two structures: where their block of scalar products starts, the length of its rows, the numbers of
// centres, and the index of the first centre of each.
struct StructurePair {
    std::int64_t first, ld, n, m, x, y;
};

struct Comparison {
    const double* products;  // of the features of centres
    const double* x_squares; // squared lengths of the features of centres, for LocalKernel::rbf
    const double* y_squares; // with similarity_tile numbers more
    const StructurePair* pairs;
    std::size_t n_pairs;
};

// The first pair without a value, and why.
struct Mismatch {
    Match match = Match::found;
    std::size_t pair = 0;
};

// Write one number for each pair: the mean of the local similarities, or with alpha that of the best match.
Mismatch compare_structures(const Comparison& comparison, const LocalKernel& kernel, std::optional<double> alpha,
                            double threshold, double* out, int n_threads);

} // namespace atomprint
