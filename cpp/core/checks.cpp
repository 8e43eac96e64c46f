#include "core/checks.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <utility>

#include "core/aligned.hpp"
#include "core/lattice.hpp"
#include "core/pairs.hpp"
#include "core/parallel.hpp"

namespace atomprint {

namespace {

// Up to this many atoms all pairs are compared; above, a neighbour search is faster.
constexpr std::size_t all_pairs_limit = 64;
constexpr std::size_t structures_per_task = 64;

bool usable(const double* values, std::size_t n) {
    bool all = true;
    for (std::size_t i = 0; i < n; ++i)
        all &= std::abs(values[i]) <= farthest; // false for nan
    return all;
}

// The vector from atom i to the image of atom j that rounding finds: the nearest, if that is nearer than half the
// distance of lattice planes.
inline Vec3 to_image(const Structure& s, const Lattice& lattice, std::size_t i, std::size_t j) {
    Vec3 d;
    for (int c = 0; c < 3; ++c)
        d[c] = s.positions[3 * j + c] - s.positions[3 * i + c];
    const Vec3 original = d;
    for (int k = 0; k < 3; ++k)
        if (lattice.periodic[k]) {
            const double n = std::nearbyint(dot(lattice.inverse[k], original));
            for (int c = 0; c < 3; ++c)
                d[c] -= n * lattice.cell[k][c];
        }
    return d;
}

Finding coincident_pair(const Structure& s, const Lattice& lattice) {
    if (s.n_atoms > all_pairs_limit) {
        const NeighbourFinder finder(s, s.positions, s.n_atoms, coincidence);
        Neighbours found;
        for (std::size_t i = 0; i < s.n_atoms; ++i) {
            Vec3 point{s.positions[3 * i], s.positions[3 * i + 1], s.positions[3 * i + 2]};
            finder.locate(point);
            finder.query(point, found);
            for (std::size_t k = 0; k < found.n; ++k)
                if (const auto j = static_cast<std::size_t>(finder.atom[found.index[k]]); j != i)
                    return {Problem::coincident, 0, std::min(i, j), std::max(i, j)};
        }
        return {};
    }
    constexpr double limit = coincidence * coincidence;
    for (std::size_t i = 0; i < s.n_atoms; ++i)
        for (std::size_t j = i + 1; j < s.n_atoms; ++j) {
            const Vec3 d = to_image(s, lattice, i, j); // the nearest, of atoms this close, whatever the cell
            if (dot(d, d) < limit)
                return {Problem::coincident, 0, i, j};
        }
    return {};
}

// Says for most structures, in a fraction of the time of a search, that no two atoms are near each other.
class Screen {
public:
    // Whether no two atoms of a structure with a good cell, nor an atom and its images, are nearer than their limit.
    // What is false may be true, which a search will tell.
    bool all_apart(const Structure& s, const Lattice& lattice, const CloseLimits& limits) {
        const std::size_t n = s.n_atoms;
        if (!place(s, lattice, limits.widest(s)))
            return false;
        const auto far = [&](std::size_t i, std::size_t begin, std::size_t end) {
            const std::uint32_t from[3] = {places_[0][i] - reach_[0], places_[1][i] - reach_[1],
                                           places_[2][i] - reach_[2]};
            const std::uint32_t to[3] = {2 * reach_[0], 2 * reach_[1], 2 * reach_[2]};
            const std::uint32_t *x = places_[0].data(), *y = places_[1].data(), *z = places_[2].data();
            std::uint32_t near = 0;
            for (std::size_t j = begin; j < end; ++j)
                near |= static_cast<std::uint32_t>(x[j] - from[0] <= to[0]) &
                        static_cast<std::uint32_t>(y[j] - from[1] <= to[1]) &
                        static_cast<std::uint32_t>(z[j] - from[2] <= to[2]);
            if (!near)
                return true;
            for (std::size_t j = begin; j < end; ++j)
                if (x[j] - from[0] <= to[0] && y[j] - from[1] <= to[1] && z[j] - from[2] <= to[2]) {
                    const std::size_t a = atoms_[i], b = atoms_[j];
                    const Vec3 d = to_image(s, lattice, a, b);
                    if (const double least = limits(s, a, b); !(dot(d, d) > least * least * (1.0 + 1e-9)))
                        return false;
                }
            return true;
        };
        const std::size_t n_slabs = first_.size() - 1;
        for (std::size_t slab = 0; slab < n_slabs; ++slab)
            for (std::size_t i = first_[slab]; i < first_[slab + 1]; ++i)
                if (!far(i, i + 1, first_[std::min(slab + 2, n_slabs)]))
                    return false;
        if (n_slabs > 1 && around_)
            for (std::size_t i = first_[n_slabs - 1]; i < n; ++i)
                if (!far(i, 0, first_[1]))
                    return false;
        return true;
    }

private:
    // Up to this many atoms slabs are not worth their making.
    static constexpr std::size_t no_slabs = 24;

    // Places between lattice planes, in units in which a lattice vector is 2^32, so that differences are those to the
    // nearest image; where there are no images, the atoms span less than half of that. Sorted by slabs of atoms that
    // only those in the next slab can be near.
    std::vector<std::uint32_t> places_[3], unsorted_;
    std::vector<std::uint32_t> atoms_, slab_;
    std::vector<std::size_t> first_;
    std::uint32_t reach_[3] = {}; // atoms whose places differ by more are further apart than `widest`
    bool around_ = false;         // whether the last slab is beside the first

    bool place(const Structure& s, const Lattice& lattice, double widest) {
        const std::size_t n = s.n_atoms;
        if (lattice.relative_volume < 1e-3 || n > 100000)
            return false;
        constexpr double whole = 4294967296.0; // 2^32
        std::size_t most = 1;
        int along = 0;
        for (int k = 0; k < 3; ++k) {
            auto& places = places_[k];
            grow(places, n);
            const Vec3& inverse = lattice.inverse[k];
            const auto fraction = [&](std::size_t i) {
                return inverse[0] * s.positions[3 * i] + inverse[1] * s.positions[3 * i + 1] +
                       inverse[2] * s.positions[3 * i + 2];
            };
            double low = 0.0, high = 0.0, scale = whole;
            for (std::size_t i = 0; i < n; ++i) {
                const double f = fraction(i);
                low = i ? std::min(low, f) : f, high = i ? std::max(high, f) : f;
            }
            if (lattice.periodic[k]) {
                if (!(lattice.height[k] > 2.1 * widest) || !(std::max(-low, high) < 1e4))
                    return false;
                for (std::size_t i = 0; i < n; ++i) {
                    const double f = fraction(i);
                    places[i] = static_cast<std::uint32_t>(static_cast<std::int64_t>((f - std::floor(f)) * whole));
                }
            } else {
                scale = 0.49 * whole / (high - low + 2.0 * widest / lattice.height[k]);
                for (std::size_t i = 0; i < n; ++i)
                    places[i] = static_cast<std::uint32_t>((fraction(i) - low) * scale);
            }
            // With room for the rounding of places.
            const double reach = widest / lattice.height[k] * scale * (1.0 + 1e-9) + 64.0;
            reach_[k] = static_cast<std::uint32_t>(reach);
            const double slabs = (lattice.periodic[k] ? whole : 0.49 * whole) / reach;
            if (const auto count = static_cast<std::size_t>(slabs); count > most)
                most = count, along = k;
        }
        around_ = lattice.periodic[along];
        grow(atoms_, n);
        const std::size_t n_slabs = n <= no_slabs ? 1 : std::min(most, n);
        if (n_slabs == 1) {
            for (std::size_t i = 0; i < n; ++i)
                atoms_[i] = static_cast<std::uint32_t>(i);
            first_.assign({0, n});
            return true;
        }
        sort(n, n_slabs, along);
        return true;
    }

    void sort(std::size_t n, std::size_t n_slabs, int along) {
        const int bits = around_ ? 32 : 31;
        grow(slab_, n), grow(unsorted_, n);
        first_.assign(n_slabs + 1, 0);
        for (std::size_t i = 0; i < n; ++i) {
            slab_[i] = static_cast<std::uint32_t>((static_cast<std::uint64_t>(places_[along][i]) * n_slabs) >> bits);
            ++first_[slab_[i] + 1];
        }
        for (std::size_t k = 0; k < n_slabs; ++k)
            first_[k + 1] += first_[k];
        for (std::size_t i = n; i-- > 0;) // what is left in first_[k + 1] is where slab k begins
            slab_[i] = static_cast<std::uint32_t>(--first_[slab_[i] + 1]);
        for (std::size_t k = 0; k < n_slabs; ++k)
            first_[k] = first_[k + 1];
        first_[n_slabs] = n;
        for (std::size_t i = 0; i < n; ++i)
            atoms_[slab_[i]] = static_cast<std::uint32_t>(i);
        for (auto& places : places_) {
            for (std::size_t i = 0; i < n; ++i)
                unsorted_[slab_[i]] = places[i];
            places.swap(unsorted_);
        }
    }
};

Close closest(const Structure& s, const Lattice& lattice, const CloseLimits& limits) {
    Close found;
    const double least = limits.least, cutoff = limits.widest(s);
    const auto limit = [&](std::size_t i, std::size_t j) { return limits(s, i, j); };
    bool wide = true; // rounding finds all pairs, and no atom is near its own image
    for (int k = 0; k < 3; ++k)
        if (lattice.periodic[k]) {
            wide &= lattice.height[k] > 2.0 * cutoff;
            if (const double length = norm(lattice.cell[k]); length < least && s.n_atoms > 0)
                found.offer(0, 0, length * length, limit(0, 0));
        }
    if (found.excess < 1.0)
        return found;
    if (wide && s.n_atoms <= all_pairs_limit) {
        for (std::size_t i = 0; i < s.n_atoms; ++i)
            for (std::size_t j = i + 1; j < s.n_atoms; ++j) {
                const Vec3 d = to_image(s, lattice, i, j);
                if (const double r2 = dot(d, d); r2 < cutoff * cutoff)
                    found.offer(i, j, r2, limit(i, j));
            }
        return found;
    }
    const NeighbourFinder finder(s, s.positions, s.n_atoms, cutoff);
    Neighbours near;
    for (std::size_t i = 0; i < s.n_atoms; ++i) {
        Vec3 point{s.positions[3 * i], s.positions[3 * i + 1], s.positions[3 * i + 2]};
        finder.locate(point);
        finder.query(point, near);
        for (std::size_t k = 0; k < near.n; ++k) {
            const auto j = static_cast<std::size_t>(finder.atom[near.index[k]]);
            if (j > i || (j == i && near.r2[k] > coincidence * coincidence))
                found.offer(i, j, near.r2[k], limit(i, j));
        }
    }
    return found;
}

// What is wrong with the numbers themselves, or with the cell.
Finding check(const Structure& s, const Lattice& lattice, bool need_cell) {
    if (s.n_atoms == 0)
        return {Problem::empty, 0, 0, 0};
    if (!usable(s.positions, 3 * s.n_atoms))
        for (std::size_t i = 0; i < s.n_atoms; ++i)
            if (!usable(s.positions + 3 * i, 3))
                return {Problem::position, 0, i, 0};
    for (std::size_t i = 0; i < s.n_atoms; ++i)
        if (s.numbers[i] < 1 || s.numbers[i] > 118)
            return {Problem::number, 0, i, 0};
    if (need_cell || s.periodic()) {
        if (!usable(s.cell, 9))
            return {Problem::cell, 0, 0, 0};
        bool zero = true;
        for (int k = 0; k < 9; ++k)
            zero = zero && s.cell[k] == 0.0;
        if (zero)
            return {need_cell ? Problem::no_cell : Problem::volume, 0, 0, 0};
    }
    for (int k = 0; k < 3; ++k)
        if (lattice.periodic[k] && norm(lattice.cell[k]) < coincidence)
            return {Problem::volume, 0, 0, 0};
    if (!(lattice.relative_volume >= 1e-10))
        return {Problem::volume, 0, 0, 0};
    for (std::size_t i = 0; i < s.n_atoms && s.periodic(); ++i)
        if (!lattice.reaches(s.positions + 3 * i))
            return {Problem::far, 0, i, 0};
    return {};
}

} // namespace

double CloseLimits::widest(const Structure& s) const {
    if (!radii)
        return least;
    double radius = 0.0;
    for (std::size_t i = 0; i < s.n_atoms; ++i)
        radius = std::max(radius, radii[s.numbers[i]]);
    return std::max(least, 2.0 * fraction * radius);
}

void ClosePairs::add(std::size_t i, const Close& pair) {
    structure.push_back(static_cast<std::int64_t>(i));
    atom.push_back(static_cast<std::int64_t>(pair.atom));
    other.push_back(static_cast<std::int64_t>(pair.other));
    distance.push_back(std::sqrt(pair.squared));
    limit.push_back(pair.limit);
}

Inspection inspect(const Batch& batch, bool need_cell, const CloseLimits* limits, int n_threads) {
    // Some structures at a time, each with what was found in them; those after the first problem don't matter.
    struct Found {
        Finding problem;
        std::vector<std::pair<std::size_t, Close>> close;
    };
    const std::size_t n = batch.n_structures, n_tasks = (n + structures_per_task - 1) / structures_per_task;
    std::vector<Found> found(n_tasks);
    std::vector<Screen> screens(static_cast<std::size_t>(std::max(n_threads, 1)));
    std::atomic<std::size_t> first_bad{n_tasks};
    const CloseLimits coincident{nullptr, 0.0, coincidence};
    parallel_for(n_tasks, n_threads, [&](std::size_t task, int worker) {
        const std::size_t begin = task * structures_per_task, end = std::min(n, begin + structures_per_task);
        if (task > first_bad.load(std::memory_order_relaxed))
            return;
        for (std::size_t i = begin; i < end; ++i) {
            const Structure s = batch[i];
            const Lattice lattice(s);
            Finding problem = check(s, lattice, need_cell);
            if (problem.problem == Problem::none) {
                const CloseLimits& apart = limits ? *limits : coincident;
                if (screens[static_cast<std::size_t>(worker)].all_apart(s, lattice, apart))
                    continue;
                problem = coincident_pair(s, lattice);
            }
            if (problem.problem != Problem::none) {
                problem.structure = i;
                found[task].problem = problem;
                std::size_t known = first_bad.load();
                while (task < known && !first_bad.compare_exchange_weak(known, task)) {
                }
                return;
            }
            if (limits)
                if (const Close near = closest(s, lattice, *limits); near.excess < 1.0)
                    found[task].close.emplace_back(i, near);
        }
    });
    Inspection result;
    for (const Found& part : found) {
        if (part.problem.problem != Problem::none) {
            result.problem = part.problem;
            return result;
        }
        for (const auto& [structure, near] : part.close) {
            result.close.add(structure, near);
        }
    }
    return result;
}

ClosePairs close_pairs(const Batch& batch, const CloseLimits& limits) {
    ClosePairs pairs;
    Screen screen;
    for (std::size_t i = 0; i < batch.n_structures; ++i) {
        const Structure s = batch[i];
        const Lattice lattice(s);
        if (screen.all_apart(s, lattice, limits))
            continue;
        if (const Close near = closest(s, lattice, limits); near.excess < 1.0)
            pairs.add(i, near);
    }
    return pairs;
}

} // namespace atomprint
