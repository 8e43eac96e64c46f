#include "learn/replay.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace atomprint {

namespace {

float rounded_down(double threshold) {
    const auto near = static_cast<float>(threshold);
    return static_cast<double>(near) > threshold ? std::nextafter(near, -std::numeric_limits<float>::infinity()) : near;
}

float between(float low, float high) {
    const double middle = static_cast<double>(low) / 2.0 + static_cast<double>(high) / 2.0;
    if (middle == static_cast<double>(high) || std::isinf(middle))
        return low;
    return rounded_down(middle);
}

} // namespace

ReplayedTree replay_tree(const TreeShape& shape, const std::int64_t* feature, const std::int64_t* n_left,
                         const Bag& bag) {
    struct Part {
        std::size_t node, begin, end;
    };
    const std::size_t nodes = shape.left.size();
    ReplayedTree tree;
    tree.threshold.assign(nodes, -2.0F);
    tree.n.assign(nodes, 0);
    tree.weight.assign(nodes, 0.0);
    tree.value.assign(nodes * bag.n_classes, 0.0);
    std::vector<std::uint32_t> order;
    for (std::size_t i = 0; i < bag.n; ++i)
        if (bag.counts[i] > 0)
            order.push_back(static_cast<std::uint32_t>(i));
    if (order.empty())
        throw std::invalid_argument("a tree needs samples");
    std::vector<Part> open{{0, 0, order.size()}};
    while (!open.empty()) {
        const auto [node, begin, end] = open.back();
        open.pop_back();
        tree.n[node] = static_cast<std::int64_t>(end - begin);
        if (shape.left[node] < 0) {
            std::sort(order.begin() + static_cast<std::ptrdiff_t>(begin),
                      order.begin() + static_cast<std::ptrdiff_t>(end));
            double weight = 0, sum = 0;
            double* value = tree.value.data() + node * bag.n_classes;
            for (std::size_t k = begin; k < end; ++k) {
                const double count = bag.counts[order[k]], y = bag.y[order[k]];
                weight += count;
                if (bag.n_classes == 1)
                    sum += count * y;
                else
                    value[static_cast<std::size_t>(y)] += count;
            }
            if (bag.n_classes == 1)
                value[0] = sum;
            for (std::size_t j = 0; j < bag.n_classes; ++j)
                value[j] /= weight;
            tree.weight[node] = weight;
            continue;
        }
        const std::int64_t f = feature[node], left = n_left[node];
        if (f < 0 || static_cast<std::size_t>(f) >= bag.n_features || left < 1 ||
            static_cast<std::size_t>(left) >= end - begin)
            throw std::invalid_argument("a node of a tree does not divide its samples");
        const float* column = bag.columns + static_cast<std::size_t>(f) * bag.n;
        const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin),
                   last = order.begin() + static_cast<std::ptrdiff_t>(end), middle = first + left;
        const auto smaller = [column](std::uint32_t a, std::uint32_t b) { return column[a] < column[b]; };
        std::nth_element(first, middle, last, smaller);
        const float high = column[*middle], low = column[*std::max_element(first, middle, smaller)];
        if (!(low < high))
            throw std::invalid_argument("a node of a tree divides samples that are alike");
        tree.threshold[node] = between(low, high);
        const std::size_t cut = begin + static_cast<std::size_t>(left);
        open.push_back({static_cast<std::size_t>(shape.right[node]), cut, end});
        open.push_back({static_cast<std::size_t>(shape.left[node]), begin, cut});
    }
    return tree;
}

} // namespace atomprint
