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

} // namespace atomprint
