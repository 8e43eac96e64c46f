// The loop over the centres of a batch, which every local descriptor shares.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/batch.hpp"
#include "core/interrupt.hpp"
#include "core/pairs.hpp"
#include "core/parallel.hpp"

namespace atomprint {

// Which rows of its structure a centre's features go to, with which weights: a sparse matrix, by centres.
struct RowWeights {
    const std::int64_t* offsets = nullptr; // (n_centres + 1)
    const std::int64_t* rows = nullptr;    // (offsets[n_centres]), below n_rows
    const double* values = nullptr;
    std::size_t n_rows = 0; // of each structure; 0: every centre has a row of its own

    explicit operator bool() const { return n_rows > 0; }
    // Whether a centre goes to one row only.
    bool is_single(std::int64_t centre) const { return n_rows > 0 && offsets[centre + 1] - offsets[centre] == 1; }

    // Negative, zero or positive: some order of centres in which those with the same weights are equal.
    int compare(std::int64_t a, std::int64_t b) const {
        const std::int64_t i = offsets[a], j = offsets[b], n = offsets[a + 1] - i, m = offsets[b + 1] - j;
        if (n != m)
            return n < m ? -1 : 1;
        for (std::int64_t k = 0; k < n; ++k) {
            if (rows[i + k] != rows[j + k])
                return rows[i + k] < rows[j + k] ? -1 : 1;
            if (values[i + k] != values[j + k])
                return values[i + k] < values[j + k] ? -1 : 1;
        }
        return 0;
    }
};

// Where to compute: points with the atom each belongs to, or -1.
struct Centres {
    const double* points;        // (n_centres, 3)
    const std::int64_t* atoms;   // (n_centres), index within the structure
    const std::int64_t* offsets; // (n_structures + 1)
    RowWeights weights{};
};

// All atoms as centres.
struct AllAtoms : Centres {
    explicit AllAtoms(const Batch& batch)
        : Centres{batch.positions, nullptr, batch.offsets}, own(batch.offsets[batch.n_structures]) {
        for (std::size_t s = 0; s < batch.n_structures; ++s)
            for (std::int64_t i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i)
                own[static_cast<std::size_t>(i)] = i - batch.offsets[s];
        atoms = own.data();
    }
    AllAtoms(const AllAtoms&) = delete;
    AllAtoms& operator=(const AllAtoms&) = delete;

    std::vector<std::int64_t> own;
};

inline constexpr std::size_t centres_per_task = 32;
// Partial sums of one structure; fixed, so that a sum does not depend on the number of threads.
inline constexpr std::size_t parts_of_sum = 16;

// A run of centres of one structure; `part` counts the runs of the structure.
struct CentreRun {
    std::size_t structure;
    std::int64_t begin, end;
    std::size_t part;
};

// Shares the centres of the structures [first, last) out over threads, in runs that do not depend on the
// number of threads, at most `most_parts` for each structure. Calls body(run, finder, worker) for each run,
// and finish(structure, worker) after the last run of a structure; structures without centres are left out.
template <class Body, class Finish>
void for_centres(const Batch& batch, const Centres& centres, std::size_t first, std::size_t last, double cutoff,
                 std::size_t most_parts, int n_threads, const Body& body, const Finish& finish) {
    struct Site {
        std::once_flag once;
        std::unique_ptr<NeighbourFinder> finder;
        std::atomic<int> left{0};
    };
    std::vector<CentreRun> runs;
    const auto sites = std::make_unique<Site[]>(last - first);
    for (std::size_t s = first; s < last; ++s) {
        const std::int64_t begin = centres.offsets[s], n = centres.offsets[s + 1] - begin;
        if (n == 0)
            continue;
        const auto parts = std::min<std::int64_t>((n + centres_per_task - 1) / centres_per_task,
                                                  static_cast<std::int64_t>(most_parts));
        for (std::int64_t k = 0; k < parts; ++k)
            runs.push_back({s, begin + n * k / parts, begin + n * (k + 1) / parts, static_cast<std::size_t>(k)});
        sites[s - first].left = static_cast<int>(parts);
    }
    parallel_for(runs.size(), n_threads, [&](std::size_t index, int worker) {
        const CentreRun& run = runs[index];
        Site& site = sites[run.structure - first];
        std::call_once(site.once, [&] {
            const std::int64_t begin = centres.offsets[run.structure];
            const auto n = static_cast<std::size_t>(centres.offsets[run.structure + 1] - begin);
            try {
                site.finder =
                    std::make_unique<NeighbourFinder>(batch[run.structure], centres.points + 3 * begin, n, cutoff);
            } catch (const TooManyImages& error) {
                throw StructureError(run.structure, std::string(error.what()) + ": r_cut is too large for this cell");
            } catch (const TooFarAway& error) {
                throw StructureError(run.structure, error.what());
            }
        });
        body(run, *site.finder, worker);
        if (--site.left > 0)
            return;
        site.finder.reset();
        finish(run.structure, worker);
    });
}

inline void add_part(std::vector<double>& sum, const std::vector<double>& part) {
    for (std::size_t k = 0; k < sum.size(); ++k)
        sum[k] += part[k];
}

// What runs of centres add up apart. The parts of a structure are added in their order, by add_part(sum, part), so
// that the sum does not depend on the number of threads.
template <class Part>
class SumsOfRuns {
public:
    explicit SumsOfRuns(std::size_t n_structures) : parts_(n_structures) {}

    void put(const CentreRun& run, Part&& part) {
        const std::scoped_lock lock(mutex_);
        auto& parts = parts_[run.structure];
        parts.resize(std::max(parts.size(), run.part + 1));
        parts[run.part] = std::move(part);
    }

    // The sum of a structure, after its last run.
    Part take(std::size_t structure) {
        std::vector<Part> parts;
        parts.swap(parts_[structure]);
        for (std::size_t part = 1; part < parts.size(); ++part)
            add_part(parts[0], parts[part]);
        return std::move(parts[0]);
    }

private:
    std::vector<std::vector<Part>> parts_; // of each structure
    std::mutex mutex_;
};

} // namespace atomprint
