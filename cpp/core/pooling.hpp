// Sums over centres with weights, made as the features of centres come, and the way back of their
// derivatives.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/aligned.hpp"
#include "core/centres.hpp"
#include "core/dispatch.hpp"
#include "core/sparse.hpp"

namespace atomprint {

// What rounding leaves of a sum whose terms cancel, computed in T, is below this share of their size. In single
// precision that is at most 2^-27 of the features of a centre; these have errors of 2^-21 themselves, seldom 2^-19,
// which is what is left where those of equal centres cancel.
template <class T>
inline constexpr double left_of_cancelling = sizeof(T) == 8 ? 0x1p-44 : 0x1p-22;
template <class T>
inline constexpr double left_of_equals = sizeof(T) == 8 ? 0x1p-44 : 0x1p-18;

// Make zeros of what rounding has left of zero.
inline void drop_rounding(double* numbers, std::size_t n, double least) {
    for (std::size_t k = 0; k < n; ++k)
        numbers[k] = std::abs(numbers[k]) < least ? 0.0 : numbers[k];
}

// What rounding leaves in the features of a centre: nothing to speak of; a share of each of them; or, where they are
// sums in which terms cancel, of the size of their run.
enum class Rounding { none, of_each, of_runs };

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

// Sums of features of one structure, of those runs alone that came, whose row and place in it make one long row. Behind
// the numbers of a run stand sizes: what rounding may leave of the run, or of each number.
struct SumOfRuns {
    struct Run {
        std::size_t first, length; // in the long row
        std::size_t at, n_sizes;   // of the first number, and of the sizes behind the last one
    };
    std::vector<Run> runs; // ascending; two are the same, or have nothing in common
    std::vector<double> numbers;

    // The place of a run, made if it is not there, at or after place k; with so many sizes.
    std::size_t find(std::size_t k, std::size_t first, std::size_t length, std::size_t n_sizes) {
        while (k < runs.size() && runs[k].first < first)
            ++k;
        if (k == runs.size() || runs[k].first != first) {
            runs.insert(runs.begin() + static_cast<std::ptrdiff_t>(k), {first, length, numbers.size(), n_sizes});
            numbers.resize(numbers.size() + length + n_sizes, 0.0);
        }
        return k;
    }
    // The first place of a run that does not start before `first`.
    std::size_t lower_bound(std::size_t first) const {
        const auto before = [](const Run& run, std::size_t value) { return run.first < value; };
        return static_cast<std::size_t>(std::lower_bound(runs.begin(), runs.end(), first, before) - runs.begin());
    }
    // Calls body(run, its numbers) in order.
    template <class Body>
    void for_runs(const Body& body) const {
        for (const Run& run : runs)
            body(FeatureRun{run.first, run.first + run.length}, numbers.data() + run.at);
    }
};

inline void add_part(SumOfRuns& sum, const SumOfRuns& part) {
    std::size_t k = 0;
    for (const SumOfRuns::Run& run : part.runs) {
        k = sum.find(k, run.first, run.length, run.n_sizes);
        for (std::size_t i = 0; i < run.length + run.n_sizes; ++i)
            sum.numbers[sum.runs[k].at + i] += part.numbers[run.at + i];
    }
}

// For each structure the sums of the features of its centres times their weights.
class WeightedSums : public SumsOfRuns<SumOfRuns> {
public:
    using Part = SumOfRuns;

    // With `keep_sizes` they are there in any case, for sums that are added up further.
    WeightedSums(std::size_t n_structures, const RowWeights& weights, std::size_t n_features, std::size_t n_centres,
                 Rounding rounding, bool keep_sizes = false)
        : SumsOfRuns(n_structures), weights_(weights), n_features_(n_features), rounding_(rounding) {
        // Sums of one sign cancel no more than what they are made of, which has its zeros already.
        const auto negative = [](double weight) { return weight < 0.0; };
        drops_ = weights && std::any_of(weights.values + weights.offsets[0],
                                        weights.values + weights.offsets[n_centres], negative);
        if (!drops_ && !keep_sizes)
            rounding_ = Rounding::none;
    }

    std::size_t most_parts() const {
        const std::size_t size = sizeof(double) * weights_.n_rows * n_features_;
        return std::clamp<std::size_t>(memory_of_parts / std::max<std::size_t>(size, 1), 1, parts_of_sum);
    }

    // Add the features of some runs, one after the other, or their sum over several centres with the weights of this
    // one; where rounding is of runs, the sizes of these as well.
    template <class T>
    void add(Part& part, std::int64_t centre, const std::vector<FeatureRun>& runs, const T* features,
             const double* sizes = nullptr) const {
        for (std::int64_t w = weights_.offsets[centre]; w < weights_.offsets[centre + 1]; ++w) {
            const std::size_t row = static_cast<std::size_t>(weights_.rows[w]) * n_features_;
            const double weight = weights_.values[w], amount = std::abs(weight);
            const T* from = features;
            std::size_t k = runs.empty() ? 0 : part.lower_bound(row + runs[0].first);
            for (std::size_t r = 0; r < runs.size(); ++r) {
                const std::size_t n = runs[r].length();
                k = part.find(k, row + runs[r].first, n, sizes_of(n));
                double* const to = part.numbers.data() + part.runs[k].at;
                for (std::size_t f = 0; f < n; ++f)
                    to[f] += weight * static_cast<double>(from[f]);
                if (rounding_ == Rounding::of_runs)
                    to[n] += amount * (left_of_equals<T> * sizes[r]);
                for (std::size_t f = 0; rounding_ == Rounding::of_each && f < n; ++f)
                    to[n + f] += amount * (left_of_cancelling<double> * std::abs(static_cast<double>(from[f])));
                from += n;
            }
        }
    }

    // The sums of a part that is complete, with zeros for what is nothing but rounding.
    Part finished(Part&& part) const {
        if (!drops_)
            return std::move(part);
        for (const SumOfRuns::Run& run : part.runs) {
            double* const sums = part.numbers.data() + run.at;
            if (rounding_ == Rounding::of_runs)
                drop_rounding(sums, run.length, sums[run.length]);
            for (std::size_t k = 0; rounding_ == Rounding::of_each && k < run.length; ++k)
                drop_rounding(sums + k, 1, sums[run.length + k]);
        }
        return std::move(part);
    }

private:
    std::size_t sizes_of(std::size_t length) const {
        return rounding_ == Rounding::none ? 0 : rounding_ == Rounding::of_each ? length : 1;
    }

    RowWeights weights_;
    std::size_t n_features_;
    Rounding rounding_;
    bool drops_; // what is nothing but rounding
};

inline void check_sums(bool finite, std::size_t structure) {
    if (!finite)
        throw StructureError(structure, "features must be finite, and their sum within range");
}

// Write the sums of a structure to its row of n_features numbers, of all rows. `sums` calls body(run, numbers) for
// ascending runs.
template <class Sums, class T>
void write_sums(std::size_t structure, const Sums& sums, std::size_t n_features, T* out) {
    const auto round_finite = kernels().vectors.of<T>().round_finite;
    T* const to = out + structure * n_features;
    std::size_t at = 0;
    bool finite = true;
    sums.for_runs([&](const FeatureRun& run, const double* numbers) {
        std::fill(to + at, to + run.first, T(0));
        finite &= round_finite(run.length(), numbers, to + run.first);
        at = run.last;
    });
    std::fill(to + at, to + n_features, T(0));
    check_sums(finite, structure);
}

// The same for a sparse matrix.
template <class Sums, class T>
void write_sums(std::size_t structure, const Sums& sums, std::size_t n_features, ZeroRows<T>* out) {
    const auto round_finite = kernels().vectors.of<T>().round_finite;
    T* const to = out->data + structure * n_features;
    bool finite = true;
    sums.for_runs([&](const FeatureRun& run, const double* numbers) {
        finite &= round_finite(run.length(), numbers, to + run.first);
    });
    check_sums(finite, structure);
}
template <class Sums, class T>
void write_sums(std::size_t structure, const Sums& sums, std::size_t, SparseRows<T>* out) {
    const auto round_finite = kernels().vectors.of<T>().round_finite;
    std::vector<T> rounded;
    bool finite = true;
    out->write(static_cast<std::int64_t>(structure), [&](SparsePart<T>& part) {
        sums.for_runs([&](const FeatureRun& run, const double* numbers) {
            grow(rounded, run.length());
            finite &= round_finite(run.length(), numbers, rounded.data());
            part.add(run, rounded.data());
        });
        part.end_row();
    });
    check_sums(finite, structure);
}

// Weights on features, n for each: where the rows of each structure start, (n, n_structures).
template <class T>
struct CotangentRows {
    std::size_t n;
    std::vector<const T*> first;
};

// Weights on the features of centres: as given, or those on the rows of their structures.
template <class T>
class Cotangents {
public:
    // Rows are those of the centres from offsets[structure] on, or where it is null one for each structure.
    Cotangents(const RowWeights& weights, const std::int64_t* offsets, std::size_t n_features,
               const CotangentRows<T>& given)
        : weights_(weights), offsets_(offsets), n_features_(n_features), given_(given),
          n_structures_(given.first.size() / given.n) {}

    // Those of one centre; `rows` may be used to keep them.
    template <class Rows>
    void of(std::size_t structure, std::int64_t centre, Rows& rows, std::vector<const T*>& own) const {
        own.resize(given_.n);
        if (weights_ && rows.size() < given_.n * n_features_)
            rows.resize(given_.n * n_features_);
        const std::int64_t row = offsets_ ? centre - offsets_[structure] : 0;
        for (std::size_t j = 0; j < given_.n; ++j) {
            const T* const first = given_.first[j * n_structures_ + structure];
            own[j] = weights_ ? mixed(first, centre, rows.data() + j * n_features_)
                              : first + static_cast<std::size_t>(row) * n_features_;
        }
    }

private:
    const T* mixed(const T* own, std::int64_t centre, T* row) const {
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
    const std::int64_t* offsets_;
    std::size_t n_features_;
    const CotangentRows<T>& given_;
    std::size_t n_structures_;
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
