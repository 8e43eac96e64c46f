#include "grids/density.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"

namespace atomprint {

namespace {

using Vector = std::array<double, 3>;

double dot(const Vector& a, const Vector& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// The points of a row, from begin on, that are within the reach of a Gaussian: exp(-u), u and, from the centre of the
// Gaussian, the first of them; the others follow by the last step.
struct Row {
    std::int64_t begin, n;
    const double *exponential, *u;
    Vector first;
};

// Goes over the points that are within the reach of a Gaussian, row by row. Of Gaussians with the same width and grid,
// exponentials along a row are those of a table times the powers of a number.
class Points {
public:
    void set_grid(const Grids& grids, std::size_t s) {
        wraps_ = grids.wraps + 3 * s;
        for (int c = 0; c < 3; ++c) {
            n_[c] = static_cast<std::int64_t>(grids.shape[c]);
            origin_[c] = grids.origins[3 * s + c];
            for (int k = 0; k < 3; ++k)
                steps_[k][c] = grids.steps[9 * s + 3 * k + c];
        }
        const auto cross = [](const Vector& a, const Vector& b) {
            return Vector{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
        };
        const double volume = dot(steps_[0], cross(steps_[1], steps_[2]));
        for (int k = 0; k < 3; ++k) {
            reciprocal_[k] = cross(steps_[(k + 1) % 3], steps_[(k + 2) % 3]);
            for (double& value : reciprocal_[k])
                value /= volume;
        }
        square_ = dot(steps_[2], steps_[2]);
        for (int k = 0; k < 2; ++k) {
            along_[k] = dot(steps_[k], steps_[2]) / square_;
            for (int c = 0; c < 3; ++c)
                across_[k][c] = steps_[k][c] - along_[k] * steps_[2][c];
        }
        sigma_ = 0;
    }

    // Calls visit(i, j, row) for each row, of which the first index is in [first, last).
    template <class Visit>
    void visit(const double* position, double sigma, double cutoff, std::int64_t first, std::int64_t last,
               Visit&& visit) {
        set_width(sigma, cutoff);
        const double reach = sigma * cutoff, half = 0.5 / (sigma * sigma);
        Vector from{}, place{};
        for (int c = 0; c < 3; ++c)
            from[c] = position[c] - origin_[c];
        for (int k = 0; k < 3; ++k)
            place[k] = dot(reciprocal_[k], from); // in steps
        const auto range = [&](int k) {
            const double width = reach * std::sqrt(dot(reciprocal_[k], reciprocal_[k]));
            std::array<std::int64_t, 2> found{static_cast<std::int64_t>(std::ceil(place[k] - width)),
                                              static_cast<std::int64_t>(std::floor(place[k] + width)) + 1};
            if (!wraps_[k])
                found = {std::max<std::int64_t>(found[0], 0), std::min(found[1], n_[k])};
            return found;
        };
        const auto [i_begin, i_end] = range(0);
        const auto [j_begin, j_end] = range(1);
        for (std::int64_t i = i_begin; i < i_end; ++i) {
            const std::int64_t own = wrapped(i, 0);
            if (own < first || own >= last)
                continue;
            for (std::int64_t j = j_begin; j < j_end; ++j) {
                const double x = static_cast<double>(i) - place[0], y = static_cast<double>(j) - place[1];
                Vector apart{};
                for (int c = 0; c < 3; ++c)
                    apart[c] = x * across_[0][c] + y * across_[1][c];
                const double nearest = dot(apart, apart), left = reach * reach - nearest;
                if (left <= 0)
                    continue;
                const double width = std::sqrt(left / square_);
                const double centre = place[2] - x * along_[0] - y * along_[1]; // where the row is nearest
                std::int64_t begin = static_cast<std::int64_t>(std::ceil(centre - width));
                std::int64_t end = static_cast<std::int64_t>(std::floor(centre + width)) + 1;
                if (!wraps_[2]) {
                    begin = std::max<std::int64_t>(begin, 0);
                    end = std::min(end, n_[2]);
                }
                if (begin >= end)
                    continue;
                const Row row = fill(begin, end - begin, centre, nearest * half, apart);
                visit(own, wrapped(j, 1), row);
            }
        }
    }

    // Calls each(k, n, offset) for the runs of a row that are next to each other on the grid.
    template <class Each>
    void runs(const Row& row, Each&& each) const {
        for (std::int64_t done = 0; done < row.n;) {
            const std::int64_t k = wrapped(row.begin + done, 2), n = std::min(row.n - done, n_[2] - k);
            each(k, n, done);
            done += n;
        }
    }

    Vector step() const { return steps_[2]; }

private:
    static constexpr int lanes = 4;

    std::int64_t wrapped(std::int64_t index, int axis) const {
        if (!wraps_[axis] || (index >= 0 && index < n_[axis]))
            return index;
        const std::int64_t rest = index % n_[axis];
        return rest < 0 ? rest + n_[axis] : rest;
    }

    void set_width(double sigma, double cutoff) {
        if (sigma == sigma_ && cutoff == cutoff_)
            return;
        sigma_ = sigma;
        cutoff_ = cutoff;
        curvature_ = 0.5 * square_ / (sigma * sigma);
        most_ = static_cast<std::int64_t>(sigma * cutoff / std::sqrt(square_)) + 2;
        table_.resize(2 * most_ + 1 + lanes);
        for (std::int64_t m = -most_; m <= most_ + lanes; ++m)
            table_[m + most_] = std::exp(-curvature_ * static_cast<double>(m * m));
        exponential_.resize(table_.size());
        u_.resize(table_.size());
    }

    // With k - centre = m - f, |f| <= 1/2: exp(-A (m - f)^2 - u) = exp(-A m^2) exp(2 A f)^m exp(-A f^2 - u).
    Row fill(std::int64_t begin, std::int64_t n, double centre, double u, const Vector& apart) {
        const double middle = std::nearbyint(centre), f = centre - middle;
        const std::int64_t m = begin - static_cast<std::int64_t>(middle);
        const double slope = 2 * curvature_ * f, growth = std::exp(slope);
        const double start = std::exp(slope * static_cast<double>(m) - curvature_ * f * f - u);
        double power[lanes] = {start, start * growth, start * growth * growth, start * growth * growth * growth};
        const double stride = (growth * growth) * (growth * growth), from = static_cast<double>(m) - f;
        const double* table = table_.data() + (m + most_);
        for (std::int64_t k = 0; k < n; k += lanes)
            for (int l = 0; l < lanes; ++l) {
                const double d = from + static_cast<double>(k + l);
                exponential_[k + l] = power[l] * table[k + l];
                u_[k + l] = u + curvature_ * d * d;
                power[l] *= stride;
            }
        Row row{begin, n, exponential_.data(), u_.data(), apart};
        for (int c = 0; c < 3; ++c)
            row.first[c] += from * steps_[2][c];
        return row;
    }

    const bool* wraps_ = nullptr;
    std::int64_t n_[3]{};
    Vector origin_{}, steps_[3]{}, reciprocal_[3]{}, across_[2]{};
    double along_[2]{}, square_ = 0;
    double sigma_ = 0, cutoff_ = 0, curvature_ = 0;
    std::int64_t most_ = 0;
    std::vector<double> table_, exponential_, u_;
};

// The integral over space of exp(-u) - exp(-u_c) (1 + u_c - u) within the cutoff.
double norm_of(double sigma, double cutoff) {
    const double x = cutoff, u = 0.5 * x * x, pi = 3.14159265358979323846;
    const double gaussian =
        std::pow(2 * pi, 1.5) * (std::erf(x / std::sqrt(2.0)) - std::sqrt(2 / pi) * x * std::exp(-u));
    const double rest = std::exp(-u) * 4 * pi * (x * x * x / 3 * (1 + u) - 0.1 * std::pow(x, 5));
    return sigma * sigma * sigma * (gaussian - rest);
}

// Gaussians and points of one structure after the other, for one thread.
struct Worker {
    Points points;
    std::size_t structure = SIZE_MAX;
    double sigma = 0, norm = 1;

    void enter(const Grids& grids, std::size_t s) {
        if (structure != s)
            points.set_grid(grids, s);
        structure = s;
    }
    double height(double weight, double width, double cutoff) {
        if (width != sigma)
            norm = norm_of(width, cutoff);
        sigma = width;
        return weight / norm;
    }
};

std::vector<Worker> workers(int n_threads) {
    return std::vector<Worker>(std::max(1, n_threads));
}

// The factor of d_a in the slope along a, 1 / sigma^2 [exp(-u) - exp(-u_c)], is written for each point of a row.
struct Slope {
    double height, end;
    double operator()(double exponential) const { return height * (exponential - end); }
};

} // namespace

template <class T>
void density(const Gaussians& gaussians, const Grids& grids, T* out, int n_threads) {
    const std::size_t nx = grids.shape[0], ny = grids.shape[1], nz = grids.shape[2], size = grids.size();
    const auto threads = static_cast<std::size_t>(std::max(1, n_threads));
    // Few structures are cut into slabs, so that no two threads write to the same point.
    const std::size_t slabs =
        std::min(nx, (threads + gaussians.n_structures - 1) / std::max<std::size_t>(1, gaussians.n_structures));
    auto own = workers(n_threads);
    const double u = 0.5 * gaussians.cutoff * gaussians.cutoff, end = std::exp(-u);
    parallel_for(gaussians.n_structures * slabs, n_threads, [&](std::size_t task, int thread) {
        const std::size_t s = task / slabs, slab = task % slabs;
        const std::size_t first = nx * slab / slabs, last = nx * (slab + 1) / slabs;
        Worker& worker = own[thread];
        worker.enter(grids, s);
        T* const rows = out + s * grids.n_features();
        for (std::size_t c = 0; c < grids.n_channels; ++c)
            std::fill(rows + c * size + first * ny * nz, rows + c * size + last * ny * nz, T(0));
        for (auto p = gaussians.offsets[s]; p < gaussians.offsets[s + 1]; ++p) {
            if ((p & 255) == 0)
                poll();
            const double height = worker.height(gaussians.weights[p], gaussians.sigmas[p], gaussians.cutoff);
            const double slope = height * end, shift = slope * (1 + u);
            T* const channel = rows + gaussians.channels[p] * size;
            worker.points.visit(gaussians.positions + 3 * p, gaussians.sigmas[p], gaussians.cutoff, first, last,
                                [&](std::int64_t i, std::int64_t j, const Row& row) {
                                    T* const line = channel + (i * ny + j) * nz;
                                    worker.points.runs(row, [&](std::int64_t k, std::int64_t n, std::int64_t at) {
                                        const double *e = row.exponential + at, *v = row.u + at;
                                        T* const to = line + k;
                                        for (std::int64_t m = 0; m < n; ++m)
                                            to[m] += static_cast<T>(height * e[m] - shift + slope * v[m]);
                                    });
                                });
        }
    });
}

template <class T>
void density_vjp(const Gaussians& gaussians, const Grids& grids, const T* cotangents, double* gradient, double* strain,
                 int n_threads) {
    const std::size_t ny = grids.shape[1], nz = grids.shape[2], size = grids.size();
    auto own = workers(n_threads);
    const double end = std::exp(-0.5 * gaussians.cutoff * gaussians.cutoff);
    const auto n = static_cast<std::size_t>(gaussians.offsets[gaussians.n_structures]);
    parallel_for(n, n_threads, [&](std::size_t p, int thread) {
        if ((p & 63) == 0)
            poll();
        const auto* after = std::upper_bound(gaussians.offsets, gaussians.offsets + gaussians.n_structures + 1,
                                             static_cast<std::int64_t>(p));
        const auto s = static_cast<std::size_t>(after - gaussians.offsets) - 1;
        Worker& worker = own[thread];
        worker.enter(grids, s);
        const double sigma = gaussians.sigmas[p], height = worker.height(gaussians.weights[p], sigma, gaussians.cutoff);
        const Slope factor{height / (sigma * sigma), end};
        const T* const channel = cotangents + s * grids.n_features() + gaussians.channels[p] * size;
        const Vector step = worker.points.step();
        double sum[3]{}, virial[3][3]{};
        worker.points.visit(gaussians.positions + 3 * p, sigma, gaussians.cutoff, 0,
                            static_cast<std::int64_t>(grids.shape[0]),
                            [&](std::int64_t i, std::int64_t j, const Row& row) {
                                const T* const line = channel + (i * ny + j) * nz;
                                // Moments of the weights along the row: points are first + m step.
                                double zeroth = 0, linear = 0, quadratic = 0;
                                worker.points.runs(row, [&](std::int64_t k, std::int64_t count, std::int64_t at) {
                                    for (std::int64_t m = 0; m < count; ++m) {
                                        const double weight = factor(row.exponential[at + m]) * line[k + m];
                                        const auto place = static_cast<double>(at + m);
                                        zeroth += weight;
                                        linear += weight * place;
                                        quadratic += weight * place * place;
                                    }
                                });
                                for (int a = 0; a < 3; ++a) {
                                    sum[a] += zeroth * row.first[a] + linear * step[a];
                                    for (int b = 0; b < 3; ++b)
                                        virial[a][b] -= zeroth * row.first[a] * row.first[b] +
                                                        linear * (row.first[a] * step[b] + step[a] * row.first[b]) +
                                                        quadratic * step[a] * step[b];
                                }
                            });
        std::copy(sum, sum + 3, gradient + 3 * p);
        std::copy(&virial[0][0], &virial[0][0] + 9, strain + 9 * p);
    });
}

template <class T>
void density_slopes(const Gaussians& gaussians, const Grids& grids, const std::int64_t* rows, const double* factors,
                    T* out, int n_threads) {
    const std::size_t ny = grids.shape[1], nz = grids.shape[2], size = grids.size(), n_features = grids.n_features();
    auto own = workers(n_threads);
    const double end = std::exp(-0.5 * gaussians.cutoff * gaussians.cutoff);
    parallel_for(gaussians.n_structures, n_threads, [&](std::size_t s, int thread) {
        Worker& worker = own[thread];
        worker.enter(grids, s);
        const Vector step = worker.points.step();
        for (auto p = gaussians.offsets[s]; p < gaussians.offsets[s + 1]; ++p) {
            poll();
            if (rows[p] < 0)
                continue;
            const double sigma = gaussians.sigmas[p];
            const double height = worker.height(gaussians.weights[p], sigma, gaussians.cutoff);
            const Slope factor{factors[p] * height / (sigma * sigma), end};
            T* const channel = out + 3 * rows[p] * n_features + gaussians.channels[p] * size;
            worker.points.visit(
                gaussians.positions + 3 * p, sigma, gaussians.cutoff, 0, static_cast<std::int64_t>(grids.shape[0]),
                [&](std::int64_t i, std::int64_t j, const Row& row) {
                    T* const line = channel + (i * ny + j) * nz;
                    worker.points.runs(row, [&](std::int64_t k, std::int64_t n, std::int64_t at) {
                        for (int a = 0; a < 3; ++a)
                            for (std::int64_t m = 0; m < n; ++m)
                                line[a * n_features + k + m] +=
                                    static_cast<T>(factor(row.exponential[at + m]) *
                                                   (row.first[a] + static_cast<double>(at + m) * step[a]));
                    });
                });
        }
    });
}

template <class T>
void density_strain(const Gaussians& gaussians, const Grids& grids, const double* arms, T* out, int n_threads) {
    const std::size_t ny = grids.shape[1], nz = grids.shape[2], size = grids.size(), n_features = grids.n_features();
    auto own = workers(n_threads);
    const double end = std::exp(-0.5 * gaussians.cutoff * gaussians.cutoff);
    parallel_for(gaussians.n_structures, n_threads, [&](std::size_t s, int thread) {
        Worker& worker = own[thread];
        worker.enter(grids, s);
        const Vector step = worker.points.step();
        for (auto p = gaussians.offsets[s]; p < gaussians.offsets[s + 1]; ++p) {
            poll();
            const double sigma = gaussians.sigmas[p];
            const double height = worker.height(gaussians.weights[p], sigma, gaussians.cutoff);
            const Slope factor{height / (sigma * sigma), end};
            T* const channel = out + 9 * s * n_features + gaussians.channels[p] * size;
            worker.points.visit(gaussians.positions + 3 * p, sigma, gaussians.cutoff, 0,
                                static_cast<std::int64_t>(grids.shape[0]),
                                [&](std::int64_t i, std::int64_t j, const Row& row) {
                                    T* const line = channel + (i * ny + j) * nz;
                                    worker.points.runs(row, [&](std::int64_t k, std::int64_t n, std::int64_t at) {
                                        for (std::int64_t m = 0; m < n; ++m) {
                                            const double slope = factor(row.exponential[at + m]);
                                            Vector d{};
                                            for (int c = 0; c < 3; ++c)
                                                d[c] = row.first[c] + static_cast<double>(at + m) * step[c];
                                            for (int a = 0; a < 3; ++a)
                                                for (int b = 0; b < 3; ++b)
                                                    line[(3 * a + b) * n_features + k + m] +=
                                                        static_cast<T>(slope * d[a] * (arms ? arms[3 * p + b] : -d[b]));
                                        }
                                    });
                                });
        }
    });
}

template void density(const Gaussians&, const Grids&, double*, int);
template void density(const Gaussians&, const Grids&, float*, int);
template void density_vjp(const Gaussians&, const Grids&, const double*, double*, double*, int);
template void density_vjp(const Gaussians&, const Grids&, const float*, double*, double*, int);
template void density_slopes(const Gaussians&, const Grids&, const std::int64_t*, const double*, double*, int);
template void density_slopes(const Gaussians&, const Grids&, const std::int64_t*, const double*, float*, int);
template void density_strain(const Gaussians&, const Grids&, const double*, double*, int);
template void density_strain(const Gaussians&, const Grids&, const double*, float*, int);

} // namespace atomprint
