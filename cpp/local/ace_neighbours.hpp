// The neighbours of one centre as the kernels of the atomic cluster expansion want them.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned.hpp"
#include "core/checks.hpp"
#include "core/pairs.hpp"
#include "core/scatter.hpp"
#include "local/ace_basis.hpp"
#include "local/local.hpp"

namespace atomprint {

// Atoms nearer than this to a centre have no direction, in Å.
inline constexpr double ace_nearest = 1e-10;

template <class T>
struct AceAround {
    std::size_t n = 0;
    std::vector<std::int32_t> image;
    std::vector<double> x, y, z; // vectors to the neighbours, Å
    std::vector<double> unit[3], r, inverse_r;
    std::vector<AceSegment<T>> segments;

    AceNeighbours<T> view(std::int32_t n_groups) const {
        return {static_cast<std::int32_t>(n),
                static_cast<std::int32_t>(segments.size()),
                n_groups,
                unit[0].data(),
                unit[1].data(),
                unit[2].data(),
                r.data(),
                inverse_r.data(),
                segments.data()};
    }
    NeighbourList list() const { return {n, image.data(), x.data(), y.data(), z.data()}; }

    void reserve(std::size_t size) {
        if (r.size() >= size + ace_slack)
            return;
        image.resize(2 * size + ace_slack);
        for (auto* values : {&x, &y, &z, &unit[0], &unit[1], &unit[2], &r, &inverse_r})
            values->resize(2 * size + ace_slack);
    }
    // Directions and distances from the vectors.
    void measure() {
        for (std::size_t k = 0; k < n; ++k) {
            const double d = std::sqrt(x[k] * x[k] + y[k] * y[k] + z[k] * z[k]),
                         inverse = d > ace_nearest ? 1.0 / d : 0.0;
            r[k] = d, inverse_r[k] = inverse;
            unit[0][k] = inverse * x[k], unit[1][k] = inverse * y[k], unit[2][k] = inverse * z[k];
        }
    }
};

// Finds the neighbours of centres, with memory for one at a time.
class AceFinder {
public:
    // The atom that a centre belongs to is no neighbour of it; nor is an atom that sits on a centre which is a point.
    template <class T>
    void collect(const Site& site, const AceModel<T>& model, const AceGroups<T>& groups, AceAround<T>& around) {
        Vec3 point{site.point[0], site.point[1], site.point[2]};
        const auto moved = site.finder.locate(point);
        site.finder.query(point, found_);
        const Neighbours& found = found_;
        around.reserve(found.n);
        grow(group_, found.n);
        next_.assign(static_cast<std::size_t>(groups.size()) + 1, 0);
        std::int32_t* const next = next_.data();
        for (std::size_t k = 0; k < found.n; ++k) {
            const auto image = static_cast<std::size_t>(found.index[k]);
            const std::int32_t atom = site.finder.atom[image];
            const bool is_centre = site.atom >= 0 ? atom == site.atom && site.finder.shift[image] == moved
                                                  : found.r2[k] < coincidence * coincidence;
            group_[k] = is_centre ? -1 : site.places[atom];
            if (!is_centre)
                ++next[site.places[atom] + 1];
        }
        const std::int32_t own = site.atom >= 0 ? site.kinds[site.atom] : -1;
        around.segments.clear();
        for (std::int32_t g = 0; g < groups.size(); ++g) {
            if (next[g + 1] > 0)
                around.segments.push_back({next[g], next[g] + next[g + 1], g, model.table(own, groups.kinds()[g])});
            next[g + 1] += next[g];
        }
        around.n = static_cast<std::size_t>(next[groups.size()]);
        for (std::size_t k = 0; k < found.n; ++k) {
            if (group_[k] < 0)
                continue;
            const auto to = static_cast<std::size_t>(next[group_[k]]++);
            around.image[to] = found.index[k];
            around.x[to] = found.x[k], around.y[to] = found.y[k], around.z[to] = found.z[k];
        }
        around.measure();
    }

private:
    Neighbours found_;
    std::vector<std::int32_t> group_, next_;
};

} // namespace atomprint
