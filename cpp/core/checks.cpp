#include "core/checks.hpp"

#include <array>
#include <cmath>

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

Finding coincident_pair(const Structure& s, const Lattice& lattice) {
    const bool periodic = s.periodic();
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
            Vec3 d;
            for (int c = 0; c < 3; ++c)
                d[c] = s.positions[3 * j + c] - s.positions[3 * i + c];
            if (periodic) { // rounding finds the nearest image of atoms this close, whatever the cell
                const Vec3 original = d;
                for (int k = 0; k < 3; ++k)
                    if (lattice.periodic[k]) {
                        const double n = std::nearbyint(dot(lattice.inverse[k], original));
                        for (int c = 0; c < 3; ++c)
                            d[c] -= n * lattice.cell[k][c];
                    }
            }
            if (dot(d, d) < limit)
                return {Problem::coincident, 0, i, j};
        }
    return {};
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
    return coincident_pair(s, lattice);
}

} // namespace

Finding check_batch(const Batch& batch, bool need_cell) {
    for (std::size_t i = 0; i < batch.n_structures; ++i) {
        Finding finding = check(batch[i], need_cell);
        if (finding.problem != Problem::none) {
            finding.structure = i;
            return finding;
        }
    }
    return {};
}

} // namespace atomprint
