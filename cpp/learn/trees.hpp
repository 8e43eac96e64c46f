// Decision trees as arrays: who is whose child, what inner nodes are the sum of, and the ends of large trees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace atomprint {

struct TreeShape {
    std::vector<std::int64_t> left, right; // -1 for leaves
    std::int64_t depth = 0;
};

// The children of the nodes of a tree in preorder (a node, all of its left side, all of its right side).
TreeShape tree_shape(const std::uint8_t* is_leaf, std::size_t n);

enum class Impurity : int { variance = 0, gini = 1, entropy = 2 };

// Fill in what inner nodes are of their children: n, weight, value (n_nodes, n_outputs, n_classes) and impurity.
void sum_up_tree(const TreeShape& shape, std::size_t n_outputs, std::size_t n_classes, Impurity kind, std::int64_t* n,
                 double* weight, double* value, double* impurity);

// What trees grow on: rows (n_samples, n_features), the same turned round, and targets; ranks are targets as whole
// numbers of at most 2^18, by which splits are compared: exactly, and so in the same way everywhere.
struct Samples {
    const float* rows;
    const float* columns;
    const double* y;
    const std::int32_t* ranks;
    std::size_t n, n_features;
};

struct Crown {
    const std::int64_t* left; // -1 for leaves
    const std::int64_t* right;
    const std::int64_t* feature;
    const float* threshold;
    std::size_t n;
};

struct GrownTree {
    std::vector<std::uint8_t> is_leaf;
    std::vector<std::int64_t> feature, n; // -2 and the number of samples for leaves, 0 for others
    std::vector<float> threshold;
    std::vector<double> value, impurity;
};

constexpr std::size_t twig_samples = 16;

// A tree whose leaves of at most 16 samples are grown on to the end as extremely randomised trees are: of features
// drawn at random (with a chance in 2^32) that one whose random threshold leaves the least variance. What is random
// comes from the seed alone. Throws where the crown does not fit the samples.
GrownTree grow_twigs(const Crown& crown, const Samples& samples, std::uint64_t seed, std::uint32_t chance);

} // namespace atomprint
