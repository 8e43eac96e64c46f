#include "learn/trees.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace atomprint {

TreeShape tree_shape(const std::uint8_t* is_leaf, std::size_t n) {
    TreeShape shape;
    shape.left.assign(n, -1);
    shape.right.assign(n, -1);
    struct Open {
        std::size_t node;
        std::int64_t depth;
    };
    std::vector<Open> open; // inner nodes that still want a right child
    std::int64_t depth = 0;
    for (std::size_t k = 0; k < n; ++k) {
        shape.depth = std::max(shape.depth, depth);
        if (!is_leaf[k]) {
            if (k + 1 >= n)
                throw std::invalid_argument("a tree ends with a node that has no children");
            shape.left[k] = static_cast<std::int64_t>(k + 1);
            open.push_back({k, depth});
            ++depth;
        } else if (open.empty()) {
            if (k + 1 != n)
                throw std::invalid_argument("a tree has nodes that are nobody's child");
        } else {
            const Open above = open.back();
            open.pop_back();
            if (k + 1 >= n)
                throw std::invalid_argument("a tree has a node with one child");
            shape.right[above.node] = static_cast<std::int64_t>(k + 1);
            depth = above.depth + 1;
        }
    }
    if (!open.empty() || n == 0)
        throw std::invalid_argument("a tree has a node with one child");
    return shape;
}

void sum_up_tree(const TreeShape& shape, std::size_t n_outputs, std::size_t n_classes, Impurity kind, std::int64_t* n,
                 double* weight, double* value, double* impurity) {
    const std::size_t width = n_outputs * n_classes;
    for (std::size_t k = shape.left.size(); k-- > 0;) {
        if (shape.left[k] < 0)
            continue;
        const auto a = static_cast<std::size_t>(shape.left[k]), b = static_cast<std::size_t>(shape.right[k]);
        n[k] = n[a] + n[b];
        weight[k] = weight[a] + weight[b];
        const double share = weight[k] > 0 ? weight[a] / weight[k] : 0.5;
        double between = 0, found = 0;
        for (std::size_t j = 0; j < width; ++j) {
            const double u = value[a * width + j], v = value[b * width + j], mean = share * u + (1 - share) * v;
            value[k * width + j] = mean;
            between += share * (1 - share) * (u - v) * (u - v);
            if (kind == Impurity::gini)
                found -= mean * mean;
            else if (kind == Impurity::entropy && mean > 0)
                found -= mean * std::log2(mean);
        }
        const auto outputs = static_cast<double>(n_outputs);
        if (kind == Impurity::variance)
            impurity[k] = share * impurity[a] + (1 - share) * impurity[b] + between / outputs;
        else
            impurity[k] = std::max(0.0, found / outputs + (kind == Impurity::gini ? 1.0 : 0.0));
    }
}

// Wider vectors where the processor has them; sums of whole numbers and single roundings are the same in all of them.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) &&                           \
    !defined(__SANITIZE_ADDRESS__)
#define ATOMPRINT_WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define ATOMPRINT_WIDE
#endif

namespace {

std::uint64_t mixed(std::uint64_t x) { // splitmix64
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

std::uint32_t mixed(std::uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return x ^ (x >> 16);
}

ATOMPRINT_WIDE void find_ranges(const float* const* own, std::size_t n, std::size_t n_features, float* low,
                                float* high) {
    std::copy_n(own[0], n_features, low);
    std::copy_n(own[0], n_features, high);
    for (std::size_t k = 1; k < n; ++k) {
        const float* row = own[k];
        for (std::size_t f = 0; f < n_features; ++f) {
            low[f] = row[f] < low[f] ? row[f] : low[f];
            high[f] = row[f] > high[f] ? row[f] : high[f];
        }
    }
}

ATOMPRINT_WIDE void draw_keys(std::uint32_t seed, std::size_t n_features, std::uint32_t* key) {
    for (std::size_t f = 0; f < n_features; ++f)
        key[f] = mixed(seed ^ static_cast<std::uint32_t>(f) * 0x9E3779B9u);
}

inline float place_of(float low, float high, std::uint32_t seed, std::size_t f) {
    const float u = static_cast<float>(mixed(seed ^ static_cast<std::uint32_t>(f) * 0x9E3779B9u) >> 8) * 0x1p-24f;
    const float t = low + (high - low) * u;
    return t < high ? t : low;
}

ATOMPRINT_WIDE void draw_thresholds(const float* low, const float* high, std::uint32_t seed, std::size_t n_features,
                                    float* threshold) {
    for (std::size_t f = 0; f < n_features; ++f)
        threshold[f] = place_of(low[f], high[f], seed, f);
}

ATOMPRINT_WIDE void sum_left_sides(const float* const* own, const std::int32_t* ranks, std::size_t n,
                                   std::size_t n_features, const float* threshold, std::int32_t* n_left,
                                   std::int32_t* sum_left) {
    std::fill_n(n_left, n_features, 0);
    std::fill_n(sum_left, n_features, 0);
    for (std::size_t k = 0; k < n; ++k) {
        const float* row = own[k];
        const std::int32_t rank = ranks[k];
        for (std::size_t f = 0; f < n_features; ++f) {
            const bool left = row[f] <= threshold[f];
            n_left[f] += left ? 1 : 0;
            sum_left[f] += left ? rank : 0;
        }
    }
}

class Grower {
public:
    Grower(const Samples& samples, std::uint32_t chance)
        : samples_(samples), chance_(chance), order_(samples.n), right_(samples.n),
          rows_(twig_samples * samples.n_features), low_(samples.n_features), high_(samples.n_features),
          threshold_(samples.n_features), key_(samples.n_features), n_left_(samples.n_features),
          sum_left_(samples.n_features) {
        std::iota(order_.begin(), order_.end(), std::size_t{0});
    }

    GrownTree grow(const Crown& crown, std::uint64_t seed) {
        std::vector<Part> waiting{{0, 0, samples_.n, mixed(std::uint64_t{seed}), false}};
        while (!waiting.empty()) {
            Part part = waiting.back();
            waiting.pop_back();
            if (part.begin >= part.end)
                throw std::invalid_argument("a tree has a node without samples");
            if (!part.in_twig) {
                if (part.node >= crown.n)
                    throw std::invalid_argument("a tree has a child outside of it");
                if (crown.left[part.node] >= 0) {
                    const std::int64_t feature = crown.feature[part.node];
                    if (feature < 0 || feature >= static_cast<std::int64_t>(samples_.n_features))
                        throw std::invalid_argument("a tree asks for a feature that is not there");
                    const float threshold = crown.threshold[part.node];
                    const float* column = samples_.columns + static_cast<std::size_t>(feature) * samples_.n;
                    const std::size_t middle =
                        divide(part, [&](std::size_t sample) { return column[sample] <= threshold; });
                    add_inner(feature, threshold);
                    const auto right = static_cast<std::size_t>(crown.right[part.node]);
                    waiting.push_back({right, middle, part.end, part.seed, false});
                    waiting.push_back(
                        {static_cast<std::size_t>(crown.left[part.node]), part.begin, middle, part.seed, false});
                    continue;
                }
                part.in_twig = true;
                part.seed = mixed(part.seed ^ (part.node * 2 + 1));
                if (part.end - part.begin <= twig_samples)
                    gather(part);
            }
            const std::int64_t feature = part.end - part.begin <= twig_samples ? choose(part) : -1;
            if (feature < 0) {
                add_leaf(part);
                continue;
            }
            const auto f = static_cast<std::size_t>(feature);
            const float threshold = threshold_[f];
            const float* column = samples_.columns + f * samples_.n;
            const std::size_t middle = divide(part, [&](std::size_t sample) { return column[sample] <= threshold; });
            add_inner(feature, threshold);
            waiting.push_back({0, middle, part.end, mixed(part.seed ^ 0xA5A5A5A5u), true});
            waiting.push_back({0, part.begin, middle, mixed(part.seed ^ 0x5A5A5A5Au), true});
        }
        return std::move(tree_);
    }

private:
    struct Part {
        std::size_t node, begin, end;
        std::uint64_t seed;
        bool in_twig;
    };

    const Samples& samples_;
    std::uint32_t chance_;
    std::vector<std::size_t> order_, right_; // samples stay in their order within each part
    std::vector<float> rows_, low_, high_, threshold_;
    std::vector<std::uint32_t> key_;
    std::vector<std::int32_t> n_left_, sum_left_;
    std::vector<std::size_t> gathered_; // samples of the rows
    GrownTree tree_;

    template <class Goes>
    std::size_t divide(const Part& part, Goes goes_left) {
        std::size_t middle = part.begin, others = 0;
        for (std::size_t k = part.begin; k < part.end; ++k) {
            const std::size_t sample = order_[k];
            if (goes_left(sample))
                order_[middle++] = sample;
            else
                right_[others++] = sample;
        }
        std::copy_n(right_.begin(), others, order_.begin() + static_cast<std::ptrdiff_t>(middle));
        return middle;
    }

    void gather(const Part& part) {
        gathered_.assign(order_.begin() + static_cast<std::ptrdiff_t>(part.begin),
                         order_.begin() + static_cast<std::ptrdiff_t>(part.end));
        for (std::size_t k = 0; k < gathered_.size(); ++k)
            std::copy_n(samples_.rows + gathered_[k] * samples_.n_features, samples_.n_features,
                        rows_.data() + k * samples_.n_features);
    }

    // Return the feature to split by, with its threshold in threshold_; -1 if there is nothing to split.
    std::int64_t choose(const Part& part) {
        const std::size_t n = part.end - part.begin, n_features = samples_.n_features;
        const double first = samples_.y[order_[part.begin]];
        if (std::all_of(order_.begin() + static_cast<std::ptrdiff_t>(part.begin),
                        order_.begin() + static_cast<std::ptrdiff_t>(part.end),
                        [&](std::size_t sample) { return samples_.y[sample] == first; }))
            return -1;
        const float* own[twig_samples];
        std::int32_t ranks[twig_samples], total = 0;
        for (std::size_t k = 0, at = 0; k < n; ++k) {
            while (gathered_[at] != order_[part.begin + k])
                ++at;
            own[k] = rows_.data() + at * n_features;
            total += ranks[k] = samples_.ranks[order_[part.begin + k]];
        }
        const auto seed = static_cast<std::uint32_t>(part.seed), other = static_cast<std::uint32_t>(part.seed >> 32);
        find_ranges(own, n, n_features, low_.data(), high_.data());
        draw_keys(seed, n_features, key_.data());
        if (n > 2) {
            draw_thresholds(low_.data(), high_.data(), other, n_features, threshold_.data());
            sum_left_sides(own, ranks, n, n_features, threshold_.data(), n_left_.data(), sum_left_.data());
        }
        std::int64_t best = -1, spare = -1; // spare: should all features that are drawn be constant
        std::int64_t best_gain = 0, best_size = 1;
        for (std::size_t f = 0; f < n_features; ++f) {
            if (high_[f] - low_[f] <= 1e-7f)
                continue;
            const auto place = static_cast<std::int64_t>(f);
            if (spare < 0 || key_[f] < key_[static_cast<std::size_t>(spare)])
                spare = place;
            if (n == 2 || key_[f] >= chance_) // of two samples every feature makes the same of them
                continue;
            const std::int64_t n_left = n_left_[f], n_right = static_cast<std::int64_t>(n) - n_left;
            const std::int64_t left = sum_left_[f], right = total - left;
            const std::int64_t gain = left * left * n_right + right * right * n_left, size = n_left * n_right;
            const std::int64_t ahead = gain * best_size - best_gain * size;
            if (best < 0 || ahead > 0 || (ahead == 0 && key_[f] < key_[static_cast<std::size_t>(best)])) {
                best = place;
                best_gain = gain;
                best_size = size;
            }
        }
        if (best < 0 && spare >= 0) {
            const auto f = static_cast<std::size_t>(spare);
            threshold_[f] = place_of(low_[f], high_[f], other, f);
            best = spare;
        }
        return best;
    }

    void add_inner(std::int64_t feature, float threshold) {
        tree_.is_leaf.push_back(0);
        tree_.feature.push_back(feature);
        tree_.threshold.push_back(threshold);
        tree_.n.push_back(0);
        tree_.value.push_back(0);
        tree_.impurity.push_back(0);
    }

    void add_leaf(const Part& part) {
        double sum = 0, squares = 0;
        const auto n = static_cast<double>(part.end - part.begin);
        for (std::size_t k = part.begin; k < part.end; ++k)
            sum += samples_.y[order_[k]];
        const double mean = sum / n;
        for (std::size_t k = part.begin; k < part.end; ++k) {
            const double off = samples_.y[order_[k]] - mean;
            squares += off * off;
        }
        tree_.is_leaf.push_back(1);
        tree_.feature.push_back(-2);
        tree_.threshold.push_back(-2);
        tree_.n.push_back(static_cast<std::int64_t>(part.end - part.begin));
        tree_.value.push_back(mean);
        tree_.impurity.push_back(squares / n);
    }
};

} // namespace

GrownTree grow_twigs(const Crown& crown, const Samples& samples, std::uint64_t seed, std::uint32_t chance) {
    if (samples.n == 0 || crown.n == 0)
        throw std::invalid_argument("a tree needs samples and nodes");
    return Grower(samples, chance).grow(crown, seed);
}

} // namespace atomprint
