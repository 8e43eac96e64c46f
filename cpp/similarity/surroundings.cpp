#include "similarity/surroundings.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/interrupt.hpp"
#include "core/pairs.hpp"

namespace atomprint {

namespace {

constexpr double own = 1e-12;  // Å^2: an atom is no neighbour of itself, but of its images
constexpr double tie = 1e-12;  // of ratios, which rounding may have made different
constexpr double least = 1e-3; // of weights by which sides are told, so that without any there is no side

} // namespace

Surroundings surroundings(const Structure& s, const double* radii, const Reach& reach, double* distance,
                          std::int64_t* partner) {
    const NeighbourFinder finder(s, s.positions, s.n_atoms, reach.cutoff);
    Neighbours near;
    Surroundings sum;
    for (std::size_t i = 0; i < s.n_atoms; ++i) {
        poll();
        Vec3 point{s.positions[3 * i], s.positions[3 * i + 1], s.positions[3 * i + 2]};
        finder.locate(point);
        finder.query(point, near);
        double around = 1.0, neighbours = 0.0, pull = least, best = std::numeric_limits<double>::infinity();
        Vec3 side{};
        distance[i] = std::numeric_limits<double>::quiet_NaN();
        partner[i] = 0;
        for (std::size_t j = 0; j < near.n; ++j) {
            const auto atom = static_cast<std::size_t>(finder.atom[static_cast<std::size_t>(near.index[j])]);
            if (atom == i && near.r2[j] <= own)
                continue;
            const double r = std::sqrt(near.r2[j]), inside = 1.0 - (r / reach.cutoff) * (r / reach.cutoff);
            around += inside * inside;
            const std::int32_t z = s.numbers[atom];
            const double radius = radii[s.numbers[i]] + radii[z], ratio = r / radius;
            if (ratio < best * (1.0 + tie) && (ratio < best * (1.0 - tie) || z < partner[i])) {
                best = std::min(best, ratio);
                distance[i] = r;
                partner[i] = z;
            }
            if (ratio >= reach.beyond)
                continue;
            const double end = reach.cutoff / radius, far = std::min(reach.far, end);
            const double w = std::clamp((far - ratio) / (reach.far - reach.near), 0.0, 1.0);
            neighbours += w * w * (3.0 - 2.0 * w);
            const double sixth = 1.0 / (ratio * ratio * ratio);
            const double v = sixth * sixth *
                             std::clamp((std::min(reach.beyond, end) - ratio) / (reach.beyond - reach.far), 0.0, 1.0);
            pull += v;
            side[0] += v * near.x[j] / r;
            side[1] += v * near.y[j] / r;
            side[2] += v * near.z[j] / r;
        }
        sum.around += around;
        sum.coordination += neighbours;
        sum.lopsided += norm(side) / pull;
    }
    const auto n = static_cast<double>(s.n_atoms);
    return {sum.coordination / n, sum.around / n, sum.lopsided / n};
}

} // namespace atomprint
