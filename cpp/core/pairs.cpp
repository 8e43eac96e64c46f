#include "core/pairs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "core/dispatch.hpp"
#include "core/interrupt.hpp"

namespace atomprint {

namespace {

// Below this many images or points, or without a cutoff, one run over all of them is faster than boxes.
constexpr std::size_t one_box_limit = 128, few_points = 12;
// Boxes in a cutoff, along x and across.
constexpr double boxes_along_x = 6.0, boxes_across = 1.0;
// More than this is a mistake in the cell or the cutoff.
constexpr double most_images = 5e7;

template <class T>
void permute(std::vector<T>& values, const std::vector<std::int32_t>& order) {
    std::vector<T> sorted(values.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        sorted[i] = values[order[i]];
    values.swap(sorted);
}

} // namespace

NeighbourFinder::NeighbourFinder(const Structure& structure, const double* points, std::size_t n_points, double cutoff)
    : lattice_(structure) {
    const double reach = cutoff * (1.0 - cutoff_margin);
    cutoff_squared_ = reach * reach;

    // What the points span, in Cartesian and in fractional coordinates.
    constexpr double inf = std::numeric_limits<double>::infinity();
    Vec3 low{inf, inf, inf}, high{-inf, -inf, -inf}, low_f = low, high_f = high;
    for (std::size_t p = 0; p < n_points; ++p) {
        Vec3 point{points[3 * p], points[3 * p + 1], points[3 * p + 2]};
        if (!lattice_.reaches(point.data()))
            throw TooFarAway();
        lattice_.wrap(point);
        for (int k = 0; k < 3; ++k) {
            low[k] = std::min(low[k], point[k]);
            high[k] = std::max(high[k], point[k]);
            const double f = dot(lattice_.inverse[k], point);
            low_f[k] = std::min(low_f[k], f);
            high_f[k] = std::max(high_f[k], f);
        }
    }

    const std::size_t n = structure.n_atoms;
    const double limit = cutoff * cutoff;
    for (std::size_t i = 0; i < n; ++i) {
        Vec3 home{structure.positions[3 * i], structure.positions[3 * i + 1], structure.positions[3 * i + 2]};
        const auto wrapped = lattice_.wrap(home);
        std::array<int, 3> from{}, to{};
        double images = 1.0;
        for (int k = 0; k < 3; ++k) {
            if (!lattice_.periodic[k])
                continue;
            const double f = dot(lattice_.inverse[k], home), margin = cutoff / lattice_.height[k] + 1e-9;
            const double first = std::ceil(low_f[k] - margin - f), last = std::floor(high_f[k] + margin - f);
            images *= std::max(last - first + 1.0, 0.0);
            if (!(images * static_cast<double>(n) < most_images))
                throw TooManyImages();
            from[k] = static_cast<int>(first), to[k] = static_cast<int>(last);
        }
        if (i == 0) { // about as many as the others have, some of which are out of reach
            const std::size_t room = n * static_cast<std::size_t>(images);
            x.reserve(room), y.reserve(room), z.reserve(room), atom.reserve(room), shift.reserve(room);
        }
        for (int a = from[0]; a <= to[0]; ++a) {
            poll();
            for (int b = from[1]; b <= to[1]; ++b) {
                Vec3 start;
                for (int c = 0; c < 3; ++c)
                    start[c] = home[c] + a * lattice_.cell[0][c] + b * lattice_.cell[1][c];
                for (int m = from[2]; m <= to[2]; ++m) {
                    const Vec3 image{start[0] + m * lattice_.cell[2][0], start[1] + m * lattice_.cell[2][1],
                                     start[2] + m * lattice_.cell[2][2]};
                    double gap = 0.0; // squared distance from the box that the points span
                    for (int c = 0; c < 3; ++c) {
                        const double d = std::max({low[c] - image[c], image[c] - high[c], 0.0});
                        gap += d * d;
                    }
                    if (gap > limit)
                        continue;
                    x.push_back(image[0]), y.push_back(image[1]), z.push_back(image[2]);
                    atom.push_back(static_cast<std::int32_t>(i));
                    shift.push_back({a - wrapped[0], b - wrapped[1], m - wrapped[2]});
                }
            }
        }
    }
    if (x.size() > one_box_limit && n_points > few_points && std::isfinite(cutoff))
        sort_into_boxes(cutoff);
    else
        first_ = {0, static_cast<std::int32_t>(x.size())};
}

void NeighbourFinder::sort_into_boxes(double cutoff) {
    const std::size_t n = x.size();
    const auto [x0, x1] = std::minmax_element(x.begin(), x.end());
    const auto [y0, y1] = std::minmax_element(y.begin(), y.end());
    const auto [z0, z1] = std::minmax_element(z.begin(), z.end());
    origin_ = {*x0, *y0, *z0};
    const Vec3 span{*x1 - *x0, *y1 - *y0, *z1 - *z0};
    // Small boxes follow the sphere closely, but rows of them, along x, should be long: so the boxes are
    // flat. They are wider where the images are thin, so that there are never many more boxes than images.
    edge_ = {cutoff / boxes_along_x, cutoff / boxes_across, cutoff / boxes_across};
    const auto count = [&](int k) { return std::floor(span[k] / edge_[k]) + 1.0; };
    while (count(0) * count(1) * count(2) > 2.0 * static_cast<double>(n) + 8.0)
        for (double& edge : edge_)
            edge *= 1.3;
    for (int k = 0; k < 3; ++k) {
        boxes_[k] = static_cast<int>(count(k));
        boxes_per_length_[k] = 1.0 / edge_[k];
    }

    const std::size_t n_boxes = static_cast<std::size_t>(boxes_[0]) * boxes_[1] * boxes_[2];
    std::vector<std::int32_t> box(n), order(n);
    first_.assign(n_boxes + 1, 0);
    for (std::size_t i = 0; i < n; ++i) {
        const int a = std::min(static_cast<int>((x[i] - origin_[0]) * boxes_per_length_[0]), boxes_[0] - 1);
        const int b = std::min(static_cast<int>((y[i] - origin_[1]) * boxes_per_length_[1]), boxes_[1] - 1);
        const int c = std::min(static_cast<int>((z[i] - origin_[2]) * boxes_per_length_[2]), boxes_[2] - 1);
        box[i] = (c * boxes_[1] + b) * boxes_[0] + a;
        ++first_[box[i] + 1];
    }
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    std::vector<std::int32_t> next(first_.begin(), first_.end() - 1);
    for (std::size_t i = 0; i < n; ++i)
        order[next[box[i]]++] = static_cast<std::int32_t>(i);
    permute(x, order), permute(y, order), permute(z, order), permute(atom, order), permute(shift, order);
    rank = std::move(order);
}

std::array<int, 3> NeighbourFinder::locate(Vec3& point) const {
    auto shift = lattice_.wrap(point);
    for (int& k : shift)
        k = -k;
    return shift;
}

void NeighbourFinder::query(const Vec3& point, Neighbours& found) const {
    const auto filter = kernels().within_cutoff;
    found.n = 0;
    const auto scan = [&](std::int32_t begin, std::int32_t end) {
        const std::size_t need = found.n + static_cast<std::size_t>(end - begin) + filter_slack;
        if (found.index.size() < need) {
            found.index.resize(2 * need);
            for (auto* values : {&found.x, &found.y, &found.z, &found.r2})
                values->resize(2 * need);
        }
        found.n =
            filter(x.data(), y.data(), z.data(), begin, end, point.data(), cutoff_squared_,
                   {found.index.data(), found.x.data(), found.y.data(), found.z.data(), found.r2.data()}, found.n);
    };
    if (edge_[0] == 0.0)
        return scan(0, static_cast<std::int32_t>(x.size()));

    // A hair wider than the sphere, so that no rounding matters.
    const double limit = cutoff_squared_ * (1.0 + 1e-12), reach = std::sqrt(limit);
    const Vec3 at{point[0] - origin_[0], point[1] - origin_[1], point[2] - origin_[2]};
    const auto box = [&](int k, double place) { // that holds the place
        return static_cast<int>(std::clamp(place * boxes_per_length_[k], 0.0, boxes_[k] - 1.0));
    };
    const auto gap = [&](int k, int slice) { // from the point to a slice of boxes
        const double low = slice * edge_[k] - at[k];
        return std::max({low, -low - edge_[k], 0.0});
    };
    for (int c = box(2, at[2] - reach), c1 = box(2, at[2] + reach); c <= c1; ++c) {
        const double dz = gap(2, c), left_z = limit - dz * dz;
        if (left_z < 0.0)
            continue;
        const double reach_y = std::sqrt(left_z);
        for (int b = box(1, at[1] - reach_y), b1 = box(1, at[1] + reach_y); b <= b1; ++b) {
            const double dy = gap(1, b), left = left_z - dy * dy;
            if (left < 0.0)
                continue;
            const double reach_x = std::sqrt(left);
            const std::size_t row = (static_cast<std::size_t>(c) * boxes_[1] + b) * boxes_[0];
            const std::int32_t begin = first_[row + box(0, at[0] - reach_x)],
                               end = first_[row + box(0, at[0] + reach_x) + 1];
            if (begin < end)
                scan(begin, end);
        }
    }
}

} // namespace atomprint
