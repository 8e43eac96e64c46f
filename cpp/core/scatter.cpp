#include "core/scatter.hpp"

#include <atomic>
#include <cmath>
#include <utility>

#include "core/aligned.hpp"
#include "core/parallel.hpp"

namespace atomprint {

// In the order of atoms and shifts.
auto AtomsAround::by_place(const NeighbourFinder& finder) const {
    const std::int32_t* const rank = finder.rank.empty() ? nullptr : finder.rank.data();
    return [this, rank](std::int32_t a, std::int32_t b) {
        const std::int32_t i = found.index[static_cast<std::size_t>(a)], j = found.index[static_cast<std::size_t>(b)];
        return rank ? rank[i] < rank[j] : i < j;
    };
}

NeighbourList AtomsAround::find(const NeighbourFinder& finder, const double* point, std::int64_t own, bool with_own,
                                bool sorted, const NeighbourRule& rule) {
    Vec3 located{point[0], point[1], point[2]};
    const auto moved = finder.locate(located);
    finder.query(located, found);
    const auto image_of = [&](std::int32_t k) { return static_cast<std::size_t>(found.index[k]); };
    kept.clear();
    for (std::int32_t k = 0; k < static_cast<std::int32_t>(found.n); ++k) {
        const std::size_t i = image_of(k);
        const bool is_own =
            own >= 0 ? finder.atom[i] == own && finder.shift[i] == moved : found.r2[k] < coincidence * coincidence;
        if (with_own || !is_own)
            kept.push_back(k);
    }
    if (!rule.all())
        choose(finder, own, rule);
    const auto before = by_place(finder);
    if (sorted && !std::is_sorted(kept.begin(), kept.end(), before)) // as they are where there are few images
        std::sort(kept.begin(), kept.end(), before);
    const std::vector<double>* const from[3] = {&found.x, &found.y, &found.z};
    grow(image, kept.size());
    for (std::size_t n = 0; n < kept.size(); ++n)
        image[n] = found.index[kept[n]];
    for (std::size_t c = 0; c < 3; ++c) {
        grow(vector[c], kept.size());
        for (std::size_t n = 0; n < kept.size(); ++n)
            vector[c][n] = (*from[c])[kept[n]];
    }
    return {kept.size(), image.data(), vector[0].data(), vector[1].data(), vector[2].data()};
}

void AtomsAround::choose(const NeighbourFinder& finder, std::int64_t own, const NeighbourRule& rule) {
    const auto image_of = [&](std::int32_t k) { return static_cast<std::size_t>(found.index[k]); };
    if (rule.radii) {
        const double radius = rule.radii[own];
        std::erase_if(kept, [&](std::int32_t k) {
            const double reach = (radius + rule.radii[finder.atom[image_of(k)]]) * (1.0 - cutoff_margin);
            return !(found.r2[k] < reach * reach);
        });
    }
    const std::size_t n = rule.n_nearest;
    if (n == 0 || kept.size() <= n)
        return;
    const auto nearer = [&](std::int32_t a, std::int32_t b) { return found.r2[a] < found.r2[b]; };
    const auto nth = kept.begin() + static_cast<std::ptrdiff_t>(n);
    std::nth_element(kept.begin(), nth - 1, kept.end(), nearer);
    const double last = std::sqrt(found.r2[nth[-1]]), beyond = last + rule.tolerance;
    const auto end = std::partition(nth, kept.end(), [&](std::int32_t k) { return found.r2[k] <= beyond * beyond; });
    kept.erase(end, kept.end());
    if (rule.keep_ties || kept.size() == n)
        return;
    // Of those that are as far as the last, the first by atom and shift: which these are does not depend on rounding.
    const double within = std::max(last - rule.tolerance, 0.0);
    const auto tied =
        std::partition(kept.begin(), kept.end(), [&](std::int32_t k) { return found.r2[k] < within * within; });
    std::sort(tied, kept.end(), by_place(finder));
    kept.resize(n);
}

Pairs::Pairs(std::size_t n)
    : n(n), structure(std::make_unique_for_overwrite<std::int64_t[]>(n)),
      centre(std::make_unique_for_overwrite<std::int64_t[]>(n)),
      atom(std::make_unique_for_overwrite<std::int64_t[]>(n)),
      shift(std::make_unique_for_overwrite<std::int64_t[]>(3 * n)),
      vector(std::make_unique_for_overwrite<double[]>(3 * n)), distance(std::make_unique_for_overwrite<double[]>(n)) {}

Pairs neighbour_pairs(const Batch& batch, const Centres& centres, double cutoff, bool with_own,
                      const NeighbourRule& rule, std::int64_t most, int n_threads) {
    struct Pair {
        std::int32_t centre, atom;
        std::array<std::int32_t, 3> shift;
        double vector[3];
    };
    struct Run {
        std::size_t structure = 0, begin = 0;
        std::vector<Pair> pairs;
    };
    struct Worker {
        AtomsAround around;
        std::vector<Pair> pairs;
    };
    std::vector<Run> runs(static_cast<std::size_t>(centres.offsets[batch.n_structures])); // each at its first centre
    std::vector<Worker> workers(static_cast<std::size_t>(std::max(n_threads, 1)));
    std::atomic<std::int64_t> total{0};
    for_centres(
        batch, centres, 0, batch.n_structures, cutoff, std::size_t(-1) / 2, n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int index) {
            Worker& worker = workers[static_cast<std::size_t>(index)];
            worker.pairs.clear();
            NeighbourRule own = rule;
            if (rule.radii)
                own.radii += batch.offsets[run.structure];
            for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                poll();
                const double* const at = centres.points + 3 * centre;
                const NeighbourList found = worker.around.find(finder, at, centres.atoms[centre], with_own, true, own);
                if ((total += static_cast<std::int64_t>(found.n)) > most)
                    throw TooManyPairs(most);
                Vec3 point{at[0], at[1], at[2]};
                const auto moved = finder.locate(point);
                for (std::size_t k = 0; k < found.n; ++k) {
                    const auto image = static_cast<std::size_t>(found.image[k]);
                    const auto& shift = finder.shift[image];
                    worker.pairs.push_back({static_cast<std::int32_t>(centre - centres.offsets[run.structure]),
                                            finder.atom[image],
                                            {shift[0] - moved[0], shift[1] - moved[1], shift[2] - moved[2]},
                                            {found.x[k], found.y[k], found.z[k]}});
                }
            }
            runs[static_cast<std::size_t>(run.begin)] = {run.structure, 0, {worker.pairs.begin(), worker.pairs.end()}};
        },
        [](std::size_t, int) {});
    std::erase_if(runs, [](const Run& run) { return run.pairs.empty(); });
    std::size_t begin = 0;
    for (Run& run : runs)
        run.begin = std::exchange(begin, begin + run.pairs.size());
    Pairs all(begin);
    parallel_for(runs.size(), n_threads, [&](std::size_t index, int) {
        Run& run = runs[index];
        std::size_t to = run.begin;
        for (const Pair& pair : run.pairs) {
            const double* const v = pair.vector;
            all.structure[to] = static_cast<std::int64_t>(run.structure);
            all.centre[to] = pair.centre;
            all.atom[to] = pair.atom;
            std::copy_n(pair.shift.data(), 3, all.shift.get() + 3 * to);
            std::copy_n(v, 3, all.vector.get() + 3 * to);
            all.distance[to] = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            ++to;
        }
        run.pairs = {};
    });
    return all;
}

} // namespace atomprint
