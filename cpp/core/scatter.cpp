#include "core/scatter.hpp"

#include <numeric>
#include <tuple>

namespace atomprint {

PairList neighbour_pairs(const Batch& batch, double cutoff, int n_threads) {
    const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
    std::vector<std::int64_t> atoms(n_atoms);
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        std::iota(atoms.begin() + batch.offsets[s], atoms.begin() + batch.offsets[s + 1], 0);
    const std::vector<std::int32_t> one_kind(n_atoms, 0);

    struct Workspace {
        OtherAtoms found, sorted;
        std::vector<std::int32_t> order;
    };
    std::vector<Workspace> workspaces(static_cast<std::size_t>(std::max(n_threads, 1)));
    const auto collect = [&](int worker, const NeighbourFinder& finder, const std::int32_t*,
                             std::int64_t centre) {
        auto& [found, sorted, order] = workspaces[static_cast<std::size_t>(worker)];
        const NeighbourList list =
            found.around(finder, {batch.positions, atoms.data(), batch.offsets}, centre);
        order.resize(list.n);
        std::iota(order.begin(), order.end(), 0);
        const auto before = [&](std::int32_t a, std::int32_t b) {
            const auto i = static_cast<std::size_t>(list.image[a]),
                       j = static_cast<std::size_t>(list.image[b]);
            return std::tie(finder.atom[i], finder.shift[i]) < std::tie(finder.atom[j], finder.shift[j]);
        };
        if (std::is_sorted(order.begin(), order.end(), before)) // as it is where there are few images
            return list;
        std::sort(order.begin(), order.end(), before);
        sorted.image.resize(list.n);
        for (auto* values : {&sorted.found.x, &sorted.found.y, &sorted.found.z})
            values->resize(list.n);
        for (std::size_t k = 0; k < list.n; ++k) {
            const auto from = static_cast<std::size_t>(order[k]);
            sorted.image[k] = list.image[from];
            sorted.found.x[k] = list.x[from], sorted.found.y[k] = list.y[from],
            sorted.found.z[k] = list.z[from];
        }
        return NeighbourList{list.n, sorted.image.data(), sorted.found.x.data(), sorted.found.y.data(),
                             sorted.found.z.data()};
    };
    return list_pairs(batch, one_kind.data(), 1, {batch.positions, atoms.data(), batch.offsets}, cutoff,
                      n_threads, collect);
}

} // namespace atomprint
