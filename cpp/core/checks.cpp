#include "core/checks.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/interrupt.hpp"
#include "core/lattice.hpp"
#include "core/pairs.hpp"

namespace atomprint {

namespace {

// Up to this many atoms all pairs are compared; above, a neighbour search is faster.
constexpr std::size_t all_pairs_limit = 64;

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

struct Close {
    double excess = 1.0; // distance over limit, squared
    std::size_t atom = 0, other = 0;
    double squared = 0.0, limit = 0.0;

    void offer(std::size_t i, std::size_t j, double r2, double bound) {
        if (const double ratio = r2 / (bound * bound); ratio < excess)
            *this = {ratio, i, j, r2, bound};
    }
};

Close closest(const Structure& s, const double* radii, double fraction, double least) {
    Close found;
    const auto limit = [&](std::size_t i, std::size_t j) {
        return std::max(least, fraction * (radii[s.numbers[i]] + radii[s.numbers[j]]));
    };
    double widest = 0.0;
    for (std::size_t i = 0; i < s.n_atoms; ++i)
        widest = std::max(widest, radii[s.numbers[i]]);
    const double cutoff = std::max(least, 2.0 * fraction * widest);
    const Lattice lattice(s);
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

Finding check(const Structure& s, bool need_cell) {
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
    const Lattice lattice(s);
    for (int k = 0; k < 3; ++k)
        if (lattice.periodic[k] && norm(lattice.cell[k]) < coincidence)
            return {Problem::volume, 0, 0, 0};
    if (!(lattice.relative_volume >= 1e-10))
        return {Problem::volume, 0, 0, 0};
    for (std::size_t i = 0; i < s.n_atoms; ++i)
        if (!lattice.reaches(s.positions + 3 * i))
            return {Problem::far, 0, i, 0};
    return coincident_pair(s, lattice);
}

} // namespace

Finding check_batch(const Batch& batch, bool need_cell) {
    for (std::size_t i = 0; i < batch.n_structures; ++i) {
        poll();
        Finding finding = check(batch[i], need_cell);
        if (finding.problem != Problem::none) {
            finding.structure = i;
            return finding;
        }
    }
    return {};
}

ClosePairs close_pairs(const Batch& batch, const double* radii, double fraction, double least) {
    ClosePairs pairs;
    for (std::size_t i = 0; i < batch.n_structures; ++i) {
        const Close found = closest(batch[i], radii, fraction, least);
        if (found.excess >= 1.0)
            continue;
        pairs.structure.push_back(static_cast<std::int64_t>(i));
        pairs.atom.push_back(static_cast<std::int64_t>(found.atom));
        pairs.other.push_back(static_cast<std::int64_t>(found.other));
        pairs.distance.push_back(std::sqrt(found.squared));
        pairs.limit.push_back(found.limit);
    }
    return pairs;
}

} // namespace atomprint
