#include "core/scatter.hpp"

#include <tuple>

#include "core/aligned.hpp"

namespace atomprint {

NeighbourList AtomsAround::find(const NeighbourFinder& finder, const double* point, std::int64_t own, bool with_own,
                                bool sorted) {
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

PairList neighbour_pairs(const Batch& batch, const Centres& centres, double cutoff, bool with_own, int n_threads) {
    const std::vector<std::int32_t> one_kind(static_cast<std::size_t>(batch.offsets[batch.n_structures]), 0);
    std::vector<AtomsAround> around(static_cast<std::size_t>(std::max(n_threads, 1)));
    return list_pairs(batch, one_kind.data(), 1, centres, cutoff, n_threads,
                      [&](int worker, const NeighbourFinder& finder, std::size_t, std::int64_t centre) {
                          return around[static_cast<std::size_t>(worker)].find(finder, centres.points + 3 * centre,
                                                                               centres.atoms[centre], with_own, true);
                      });
}

} // namespace atomprint
