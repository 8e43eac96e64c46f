// Decision trees from the samples that they were grown on: what each node divides says where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "learn/trees.hpp"

namespace atomprint {

// What a tree was grown on: columns (n_features, n_samples); how often each sample counts, 0 for not at all; and its
// target, or with n_classes > 1 the number of its class.
struct Bag {
    const float* columns;
    const double* y;
    const std::int32_t* counts;
    std::size_t n, n_features, n_classes;
};

struct ReplayedTree {
    std::vector<float> threshold;      // -2 for leaves
    std::vector<std::int64_t> n;       // samples
    std::vector<double> weight, value; // of leaves; value (n_nodes, n_classes)
};

// Follow the samples through a tree that is known by the feature that each inner node asks for and by how many of its
// samples go to the left. A threshold is halfway between the last value of the left and the first of the right, as
// scikit-learn has it, rounded down to float32. Throws where the nodes do not fit the samples.
ReplayedTree replay_tree(const TreeShape& shape, const std::int64_t* feature, const std::int64_t* n_left,
                         const Bag& bag);

} // namespace atomprint
