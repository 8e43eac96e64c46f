// Sums over centres with weights, made as the features of centres come, and the way back of their
// derivatives.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/centres.hpp"

namespace atomprint {

// What rounding leaves of a sum whose terms cancel is below this share of their size.
inline constexpr double left_of_cancelling = 0x1p-44;

// Make zeros of what rounding has left of zero.
template <class T>
void drop_rounding(T* numbers, std::size_t n, double size) {
    const T least = static_cast<T>(left_of_cancelling * size);
    for (std::size_t k = 0; k < n; ++k)
        numbers[k] = std::abs(numbers[k]) < least ? T(0) : numbers[k];
}

// What rounding leaves in the features of a centre: nothing to speak of; a share of each of them; or, where they are
// sums in which terms cancel, of the size of their block.
enum class Rounding { none, of_each, of_blocks };

// The features [bounds[k], bounds[k + 1]) are block k.
using Bounds = std::vector<std::size_t>;

// The same for each block of the features of a centre, beside its size.
template <class T>
void drop_rounding(T* features, const Bounds& bounds, const double* sizes) {
    for (std::size_t k = 0; k + 1 < bounds.size(); ++k)
        drop_rounding(features + bounds[k], bounds[k + 1] - bounds[k], sizes[k]);
}

// The partial sums of one structure take no more than this together, in bytes.
inline constexpr std::size_t memory_of_parts = std::size_t{16} << 20;

// Calls body(members, n) for all centres of a run: those with the same weights together, `most` at a time,
// and without weights one by one.
template <class Body>
void for_alike(const RowWeights& weights, const CentreRun& run, std::size_t most, std::vector<std::int64_t>& order,
               const Body& body) {
    if (!weights) {
        for (std::int64_t centre = run.begin; centre < run.end; ++centre)
            body(&centre, std::size_t{1});
        return;
    }
    order.resize(static_cast<std::size_t>(run.end - run.begin));
    std::iota(order.begin(), order.end(), run.begin);
    const auto before = [&](std::int64_t a, std::int64_t b) { return weights.compare(a, b) < 0; };
    if (!std::is_sorted(order.begin(), order.end(), before))
        std::stable_sort(order.begin(), order.end(), before);
    for (std::size_t first = 0, last; first < order.size(); first = last) {
        last = first + 1;
        while (last < order.size() && last - first < most && weights.compare(order[first], order[last]) == 0)
            ++last;
        body(order.data() + first, last - first);
    }
}

// For each structure the sums of the features of its centres times their weights, (n_rows, n_features). While they are
// added up, sizes stand behind them: what the terms of a block, or with weights of both signs each number, amount to.
class WeightedSums : public SumsOfRuns {
public:
    using Part = std::vector<double>;

    WeightedSums(std::size_t n_structures, const RowWeights& weights, std::size_t n_features, std::size_t n_centres,
                 Rounding rounding, Bounds bounds = {})
        : SumsOfRuns(n_structures), weights_(weights), n_features_(n_features), rounding_(rounding),
          bounds_(std::move(bounds)) {
        // Sums of one sign cancel no more than what they are made of, which has its zeros already.
        const auto negative = [](double weight) { return weight < 0.0; };
        if (!weights ||
            std::none_of(weights.values + weights.offsets[0], weights.values + weights.offsets[n_centres], negative))
            rounding_ = Rounding::none;
    }

    Part part() const { return Part(weights_.n_rows * (n_features_ + n_sizes()), 0.0); }
    std::size_t most_parts() const {
        const std::size_t size = sizeof(double) * weights_.n_rows * (n_features_ + n_sizes());
        return std::clamp<std::size_t>(memory_of_parts / size, 1, parts_of_sum);
    }

    // Add features, or their sum over several centres with the weights of this one; where they are in blocks, the sizes
    // of these as well.
    template <class T>
    void add(Part& part, std::int64_t centre, const T* features, const double* sizes = nullptr) const {
        for (std::int64_t k = weights_.offsets[centre]; k < weights_.offsets[centre + 1]; ++k) {
            double* const to = part.data() + static_cast<std::size_t>(weights_.rows[k]) * n_features_;
            const double weight = weights_.values[k];
            for (std::size_t f = 0; f < n_features_; ++f)
                to[f] += weight * static_cast<double>(features[f]);
        }
        if (rounding_ != Rounding::none)
            add_sizes(part, centre, features, sizes);
    }

    // The sums of a part that is complete, with zeros for what is nothing but rounding.
    Part finished(Part&& part) const {
        const std::size_t n = weights_.n_rows * n_features_;
        double* const sums = part.data();
        const double* const sizes = sums + n;
        if (rounding_ == Rounding::of_blocks)
            for (std::size_t row = 0; row < weights_.n_rows; ++row)
                drop_rounding(sums + row * n_features_, bounds_, sizes + row * n_sizes());
        if (rounding_ == Rounding::of_each)
            for (std::size_t k = 0; k < n; ++k)
                drop_rounding(sums + k, 1, sizes[k]);
        part.resize(n);
        return std::move(part);
    }

private:
    std::size_t n_sizes() const { // behind each row
        return rounding_ == Rounding::none ? 0 : rounding_ == Rounding::of_each ? n_features_ : bounds_.size() - 1;
    }

    template <class T>
    void add_sizes(Part& part, std::int64_t centre, const T* features, const double* sizes) const {
        double* const to = part.data() + weights_.n_rows * n_features_;
        for (std::int64_t w = weights_.offsets[centre]; w < weights_.offsets[centre + 1]; ++w)
            for (std::size_t k = 0; k < n_sizes(); ++k)
                to[static_cast<std::size_t>(weights_.rows[w]) * n_sizes() + k] +=
                    std::abs(weights_.values[w]) *
                    (rounding_ == Rounding::of_blocks ? sizes[k] : std::abs(static_cast<double>(features[k])));
    }

    RowWeights weights_;
    std::size_t n_features_;
    Rounding rounding_;
    Bounds bounds_;
};

// Write the sums of a structure to the rows of all, or throw where they are not finite numbers.
template <class T>
void write_sums(std::size_t structure, const WeightedSums::Part& sums, T* out) {
    T* const to = out + structure * sums.size();
    constexpr std::size_t lanes = 8;
    T zero[lanes] = {}; // as long as all numbers are finite
    const auto put = [&](std::size_t k, std::size_t lane) {
        const T number = static_cast<T>(sums[k]);
        to[k] = number;
        zero[lane] += number - number;
    };
    std::size_t first = 0;
    for (; first + lanes <= sums.size(); first += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane)
            put(first + lane, lane);
    for (; first < sums.size(); ++first)
        put(first, 0);
    if (!std::all_of(zero, zero + lanes, [](T number) { return number == T(0); }))
        throw StructureError(structure, "features must be finite, and their sum within range");
}

// Weights on the features of centres: as given, or those on the rows of their structures.
template <class T>
class Cotangents {
public:
    // They are (n_cotangents, n_rows, n_features).
    Cotangents(const RowWeights& weights, std::size_t n_rows, std::size_t n_features, const T* given)
        : weights_(weights), n_features_(n_features), given_(given),
          stride_(n_rows * std::max<std::size_t>(weights.n_rows, 1) * n_features) {}

    // Those of one centre, n of them; `rows` may be used to keep them.
    template <class Rows>
    void of(std::size_t n, std::size_t structure, std::int64_t centre, Rows& rows, std::vector<const T*>& own) const {
        own.resize(n);
        if (weights_ && rows.size() < n * n_features_)
            rows.resize(n * n_features_);
        for (std::size_t j = 0; j < n; ++j)
            own[j] = weights_ ? mixed(given_ + j * stride_, structure, centre, rows.data() + j * n_features_)
                              : given_ + j * stride_ + static_cast<std::size_t>(centre) * n_features_;
    }

private:
    const T* mixed(const T* given, std::size_t structure, std::int64_t centre, T* row) const {
        const T* const own = given + structure * weights_.n_rows * n_features_;
        const std::int64_t begin = weights_.offsets[centre], end = weights_.offsets[centre + 1];
        if (begin == end)
            std::fill_n(row, n_features_, T(0));
        for (std::int64_t k = begin; k < end; ++k) {
            const T* const from = own + static_cast<std::size_t>(weights_.rows[k]) * n_features_;
            const T weight = static_cast<T>(weights_.values[k]);
            for (std::size_t f = 0; f < n_features_; ++f)
                row[f] = weight * from[f] + (k == begin ? T(0) : row[f]);
        }
        return row;
    }

    RowWeights weights_;
    std::size_t n_features_;
    const T* given_;
    std::size_t stride_;
};

// The weights of a mean over the centres of each structure.
struct MeanWeights : RowWeights {
    MeanWeights(const Centres& centres, std::size_t n_structures)
        : offsets_(static_cast<std::size_t>(centres.offsets[n_structures]) + 1), rows_(offsets_.size() - 1, 0) {
        std::iota(offsets_.begin(), offsets_.end(), 0);
        for (std::size_t s = 0; s < n_structures; ++s) {
            const auto n = static_cast<std::size_t>(centres.offsets[s + 1] - centres.offsets[s]);
            values_.insert(values_.end(), n, 1.0 / static_cast<double>(n));
        }
        static_cast<RowWeights&>(*this) = {offsets_.data(), rows_.data(), values_.data(), 1};
    }
    MeanWeights(const MeanWeights&) = delete; // it points into itself
    MeanWeights& operator=(const MeanWeights&) = delete;

private:
    std::vector<std::int64_t> offsets_, rows_;
    std::vector<double> values_;
};

} // namespace atomprint
