#include "core/scatter.hpp"

#include <cmath>
#include <tuple>

#include "core/aligned.hpp"

namespace atomprint {

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
    const auto before = [&](std::int32_t a, std::int32_t b) {
        const std::size_t i = image_of(a), j = image_of(b);
        return std::tie(finder.atom[i], finder.shift[i]) < std::tie(finder.atom[j], finder.shift[j]);
    };
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
    std::sort(tied, kept.end(), [&](std::int32_t a, std::int32_t b) {
        const std::size_t i = image_of(a), j = image_of(b);
        return std::tie(finder.atom[i], finder.shift[i]) < std::tie(finder.atom[j], finder.shift[j]);
    });
    kept.resize(n);
}

PairList neighbour_pairs(const Batch& batch, const Centres& centres, double cutoff, bool with_own,
                         const NeighbourRule& rule, std::int64_t most, int n_threads) {
    const std::vector<std::int32_t> one_kind(static_cast<std::size_t>(batch.offsets[batch.n_structures]), 0);
    std::vector<AtomsAround> around(static_cast<std::size_t>(std::max(n_threads, 1)));
    return list_pairs(
        batch, one_kind.data(), 1, centres, cutoff, n_threads,
        [&](int worker, const NeighbourFinder& finder, std::size_t structure, std::int64_t centre) {
            NeighbourRule own = rule;
            if (rule.radii)
                own.radii += batch.offsets[structure];
            return around[static_cast<std::size_t>(worker)].find(finder, centres.points + 3 * centre,
                                                                 centres.atoms[centre], with_own, true, own);
        },
        most);
}

} // namespace atomprint
