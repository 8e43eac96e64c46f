#include "soap.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <numbers>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "dispatch.hpp"
#include "pairs.hpp"
#include "parallel.hpp"

namespace atomprint {

namespace {

constexpr std::size_t centres_per_task = 32;
// Partial sums of one structure; fixed, so that an average does not depend on the number of threads.
constexpr std::size_t parts_of_average = 16;
// And no more than this together, in bytes.
constexpr std::size_t memory_of_parts = std::size_t{16} << 20;
// Centres whose power spectra are summed in one pass.
constexpr std::int32_t slots_of_average = 8;
// Neighbours of a group in a zone from which summing them in the short basis pays.
constexpr std::int32_t fewest_in_zone = 6;
// Room behind an array for the last, partly used vector.
constexpr std::size_t vector_slack = 16;

template <class T>
constexpr std::int32_t padding = sizeof(T) == 8 ? 4 : 8;

template <class T>
const SoapKernels<T>& soap_kernels();
template <>
const SoapKernels<double>& soap_kernels<double>() {
    return kernels().soap_f64;
}
template <>
const SoapKernels<float>& soap_kernels<float>() {
    return kernels().soap_f32;
}

// Coefficients of the recursion in kernels/harmonics.hpp.
std::vector<double> harmonics_recursion(std::int32_t l_max) {
    std::vector<double> values;
    double d = std::sqrt(0.25 / std::numbers::pi);
    for (int m = 0; m <= l_max; ++m) {
        if (m > 0)
            d *= std::sqrt((2.0 * m + 1.0) / (2.0 * m)) * (m == 1 ? std::numbers::sqrt2 : 1.0);
        values.push_back(d);
    }
    for (int m = 0; m <= l_max; ++m)
        for (int l = m + 1; l <= l_max; ++l) {
            const double l2 = double(l) * l, m2 = double(m) * m, k2 = (l - 1.0) * (l - 1.0);
            const double a = std::sqrt((4.0 * l2 - 1.0) / (l2 - m2));
            values.push_back(a);
            values.push_back(l == m + 1 ? 0.0 : a * std::sqrt((k2 - m2) / (4.0 * k2 - 1.0)));
        }
    return values;
}

} // namespace

double Weighting::operator()(double r) const {
    if (own >= 0.0 && r < coincidence)
        return own;
    double w = 1.0;
    const double x = r / r0;
    switch (kind) {
    case Kind::none:
        break;
    case Kind::poly:
        w = x < 1.0 ? c * std::pow(1.0 + x * x * (2.0 * x - 3.0), m) : 0.0;
        break;
    case Kind::pow:
        w = c / (d + std::pow(x, m));
        break;
    case Kind::exp:
        w = c / (d + std::exp(-x));
        break;
    case Kind::exp_decay:
        w = c / (d + std::exp(x));
        break;
    }
    if (fade_from >= 0.0 && r > fade_from)
        w *= r < fade_to ? 0.5 * (1.0 + std::cos(std::numbers::pi * (r - fade_from) / (fade_to - fade_from)))
                         : 0.0;
    return w;
}

template <class T>
struct Soap<T>::Workspace {
    Neighbours found;
    std::vector<std::int32_t> bin, kind, count, next;
    std::vector<double> distance;           // as found
    std::vector<double> x, y, z, r, weight; // sorted into segments
    std::vector<Segment> segments;
    AlignedVector<T> scratch, coefficients, mixed, features;
    std::vector<std::size_t> first, mixed_first; // of each l in `coefficients` and `mixed`
    std::vector<char> present;                   // which column groups hold numbers, for any of the slots
    std::vector<std::int32_t> columns;

    Coefficients<T> view(std::int32_t n_columns) { return {coefficients.data(), first.data(), n_columns}; }
};

// What the tasks of one structure share.
template <class T>
struct Soap<T>::Site {
    std::once_flag once;
    std::unique_ptr<NeighbourFinder> finder;
    std::atomic<int> left{0};
    std::vector<AlignedVector<T>> parts;
    std::vector<std::vector<char>> present;
};

template <class T>
Soap<T>::Soap(SoapParameters parameters, const RadialArrays& radial)
    : p_(std::move(parameters)), zone_of_cell_(radial.zone_of_cell, radial.zone_of_cell + radial.n_cells),
      n_zones_(radial.n_zones) {
    const std::int32_t n_cells = radial.n_cells;
    const std::int32_t n_max = p_.n_max, l_max = p_.l_max, n_l = l_max + 1;
    if (n_max < 1 || l_max < 0 || p_.n_species < 1 || p_.n_channels < 1 || n_cells < 1 || !(p_.cutoff > 0.0))
        throw std::invalid_argument("SOAP needs n_max >= 1, l_max >= 0, species, a table and a cutoff > 0");
    if (p_.species_weights.size() != static_cast<std::size_t>(p_.n_species) ||
        (p_.embedding.empty()
             ? p_.n_channels != p_.n_species
             : p_.embedding.size() != static_cast<std::size_t>(p_.n_species) * p_.n_channels))
        throw std::invalid_argument("species weights and embedding must have one row for each species");
    // With one channel the mixing is a weight for each neighbour, and all species share one density.
    if (p_.n_channels == 1) {
        for (std::int32_t s = 0; s < p_.n_species && !p_.embedding.empty(); ++s)
            p_.species_weights[s] *= p_.embedding[s];
        p_.embedding.clear();
    }
    n_groups_ = p_.n_channels == 1 ? 1 : p_.n_species;
    n_pad_ = (n_max + padding<T> - 1) / padding<T> * padding<T>;
    n_columns_ = (p_.n_channels + (p_.products == SoapParameters::Products::total)) * n_pad_;

    const auto pad = [&](const double* values, std::size_t rows) {
        AlignedVector<T> padded(rows * n_pad_, T(0));
        for (std::size_t row = 0; row < rows; ++row)
            for (std::int32_t n = 0; n < n_max; ++n)
                padded[row * n_pad_ + n] = static_cast<T>(values[row * n_max + n]);
        return padded;
    };
    const std::size_t cell_rows = static_cast<std::size_t>(n_cells) * radial_powers;
    table_ = pad(radial.coefficients, cell_rows * n_l);
    zone_basis_ = pad(radial.zone_basis, static_cast<std::size_t>(n_zones_) * n_l * zone_rank);
    short_table_.assign(radial.short_coefficients, radial.short_coefficients + cell_rows * zone_rank);
    recursion_ = harmonics_recursion(l_max);
    for (std::int32_t l = 0; l <= l_max; ++l)
        prefactor_.push_back(static_cast<T>(std::numbers::pi * std::sqrt(8.0 / (2.0 * l + 1.0))));

    const auto add_block = [&](std::int32_t a, std::int32_t b) {
        const std::size_t n = n_max;
        blocks_.push_back({a * n_pad_, b * n_pad_, a == b, n_features_});
        n_features_ += (a == b ? n * (n + 1) / 2 : n * n) * n_l;
    };
    for (std::int32_t a = 0; a < p_.n_channels; ++a)
        switch (p_.products) {
        case SoapParameters::Products::all:
            for (std::int32_t b = a; b < p_.n_channels; ++b)
                add_block(a, b);
            break;
        case SoapParameters::Products::diagonal:
            add_block(a, a);
            break;
        case SoapParameters::Products::total:
            add_block(a, p_.n_channels);
            break;
        }
    expansion_ = {{table_.data(), short_table_.data(), zone_basis_.data(), n_cells, n_zones_, n_pad_,
                   n_cells / p_.cutoff, 1.0 / p_.cutoff},
                  n_max,
                  l_max,
                  recursion_.data()};
    power_ = {n_max, l_max, n_columns_, prefactor_.data()};
}

// Neighbours of a point, sorted into segments: by group, and where enough of a group are in one zone, by
// zone.
template <class T>
void Soap<T>::collect(Workspace& work, const NeighbourFinder& finder, const std::int32_t* species,
                      const double* point) const {
    Vec3 centre{point[0], point[1], point[2]};
    finder.locate(centre);
    finder.query(centre, work.found);
    const Neighbours& found = work.found;
    const std::size_t n = found.n;
    if (work.x.size() < n + vector_slack) {
        work.bin.resize(2 * n + vector_slack);
        work.kind.resize(2 * n + vector_slack);
        for (auto* values : {&work.distance, &work.x, &work.y, &work.z, &work.r, &work.weight})
            values->resize(2 * n + vector_slack);
    }
    kernels().distances(found.r2.data(), static_cast<std::int32_t>(n), expansion_.radial.inverse_step,
                        expansion_.radial.n_cells, work.distance.data(), work.bin.data());

    // Bins are (group, zone), zone 0 being none. Few neighbours in a zone join those that use the full table.
    const std::int32_t bins = n_zones_ + 1;
    work.count.assign(static_cast<std::size_t>(n_groups_) * bins, 0);
    for (std::size_t k = 0; k < n; ++k) {
        work.kind[k] = species[finder.atom[found.index[k]]];
        const std::int32_t group = n_groups_ == 1 ? 0 : work.kind[k];
        work.bin[k] = group * bins + zone_of_cell_[work.bin[k]] + 1;
        ++work.count[work.bin[k]];
    }
    work.segments.clear();
    work.next.resize(work.count.size());
    std::int32_t at = 0;
    for (std::int32_t group = 0; group < n_groups_; ++group) {
        std::int32_t* count = work.count.data() + static_cast<std::size_t>(group) * bins;
        std::int32_t* next = work.next.data() + static_cast<std::size_t>(group) * bins;
        const std::int32_t begin = at;
        for (std::int32_t bin = 0; bin < bins; ++bin)
            if (bin == 0 || count[bin] < fewest_in_zone) {
                next[bin] = at;
                at += count[bin];
            }
        if (at > begin)
            work.segments.push_back({begin, at, group, -1});
        for (std::int32_t bin = 1; bin < bins; ++bin)
            if (count[bin] >= fewest_in_zone) {
                next[bin] = at;
                at += count[bin];
                work.segments.push_back({next[bin], at, group, bin - 1});
            }
    }
    for (std::size_t k = 0; k < n; ++k) {
        const auto to = static_cast<std::size_t>(work.next[work.bin[k]]++);
        work.x[to] = found.x[k];
        work.y[to] = found.y[k];
        work.z[to] = found.z[k];
        work.r[to] = work.distance[k];
        work.weight[to] = p_.species_weights[work.kind[k]];
    }
    if (p_.weighting.kind != Weighting::Kind::none || p_.weighting.own >= 0.0 ||
        p_.weighting.fade_from >= 0.0)
        for (std::size_t k = 0; k < n; ++k)
            work.weight[k] *= p_.weighting(work.r[k]);
}

// Density coefficients of the collected neighbours into slot `slot`.
template <class T>
void Soap<T>::expand(Workspace& work, std::int32_t slot) const {
    const Neighbourhood neighbours{static_cast<std::int32_t>(work.found.n),
                                   static_cast<std::int32_t>(work.segments.size()),
                                   work.x.data(),
                                   work.y.data(),
                                   work.z.data(),
                                   work.r.data(),
                                   work.weight.data(),
                                   work.segments.data()};
    const auto& kernel = soap_kernels<T>();
    const Coefficients<T> out = work.view(n_columns_);
    if (p_.embedding.empty()) {
        kernel.expand(expansion_, neighbours, work.scratch.data(), out, slot, work.columns.data());
        for (const Segment& segment : work.segments)
            work.present[segment.group] = 1;
        return;
    }
    // Species densities side by side, then mixed into channels.
    const std::int32_t n_l = p_.l_max + 1, mixed_columns = n_groups_ * n_pad_;
    const std::vector<std::size_t>& first = work.mixed_first;
    const Coefficients<T> densities{work.mixed.data(), first.data(), mixed_columns};
    kernel.expand(expansion_, neighbours, work.scratch.data(), densities, 0, work.columns.data());
    for (std::int32_t l = 0; l < n_l; ++l)
        for (std::int32_t m = 0; m < 2 * l + 1; ++m) {
            const T* from = densities.data + first[l] + static_cast<std::size_t>(m) * mixed_columns;
            T* to = out.data + out.first[l] + (static_cast<std::size_t>(slot) * (2 * l + 1) + m) * n_columns_;
            std::fill(to, to + p_.n_channels * n_pad_, T(0));
            for (std::size_t k = 0; k < work.segments.size(); ++k) {
                const std::int32_t g = work.segments[k].group;
                if (k > 0 && work.segments[k - 1].group == g)
                    continue;
                for (std::int32_t channel = 0; channel < p_.n_channels; ++channel) {
                    const T factor = static_cast<T>(p_.embedding[g * p_.n_channels + channel]);
                    for (std::int32_t c = 0; c < n_pad_; ++c)
                        to[channel * n_pad_ + c] += factor * from[g * n_pad_ + c];
                }
            }
        }
    std::fill(work.present.begin(), work.present.end(), char(1));
}

// The sum over channels as one more group of columns, for products with the total density.
template <class T>
void Soap<T>::add_total(Workspace& work, std::int32_t n_slots) const {
    const std::int32_t n_channels = p_.n_channels;
    for (std::int32_t l = 0; l <= p_.l_max; ++l)
        for (std::int32_t row = 0; row < n_slots * (2 * l + 1); ++row) {
            T* columns =
                work.coefficients.data() + work.first[l] + static_cast<std::size_t>(row) * n_columns_;
            T* total = columns + n_channels * n_pad_;
            std::fill(total, total + n_pad_, T(0));
            for (std::int32_t k = 0; k < n_channels; ++k)
                if (work.present[k])
                    for (std::int32_t c = 0; c < n_pad_; ++c)
                        total[c] += columns[k * n_pad_ + c];
        }
}

template <class T>
void Soap<T>::write_power(Workspace& work, std::int32_t n_slots, T* features) const {
    if (p_.products == SoapParameters::Products::total)
        add_total(work, n_slots);
    const auto& kernel = soap_kernels<T>();
    const Coefficients<T> c = work.view(n_columns_);
    const std::size_t total = static_cast<std::size_t>(p_.n_channels) * n_pad_;
    for (std::size_t k = 0; k < blocks_.size(); ++k) {
        const PowerBlock& block = blocks_[k];
        const bool there = work.present[block.a / n_pad_] &&
                           (static_cast<std::size_t>(block.b) == total || work.present[block.b / n_pad_]);
        if (there) {
            kernel.power(power_, block, c, n_slots, features);
        } else {
            const std::size_t end = k + 1 < blocks_.size() ? blocks_[k + 1].first : n_features_;
            std::memset(features + block.first, 0, (end - block.first) * sizeof(T));
        }
    }
}

template <class T>
void Soap<T>::compute(const Batch& batch, const std::int32_t* species, const Centres& centres,
                      Average average, int n_threads, T* out) const {
    struct Task {
        std::size_t structure;
        std::int64_t begin, end; // centres
        int part;
    };
    std::vector<Task> tasks;
    const std::size_t most_parts =
        std::clamp<std::size_t>(memory_of_parts / (n_features_ * sizeof(T)), 1, parts_of_average);
    const auto sites = std::make_unique<Site[]>(batch.n_structures);
    for (std::size_t s = 0; s < batch.n_structures; ++s) {
        const std::int64_t first = centres.offsets[s], n = centres.offsets[s + 1] - first;
        if (n == 0)
            continue;
        std::int64_t parts = (n + centres_per_task - 1) / centres_per_task;
        if (average != Average::off)
            parts = std::min<std::int64_t>(parts, most_parts);
        for (std::int64_t k = 0; k < parts; ++k)
            tasks.push_back({s, first + n * k / parts, first + n * (k + 1) / parts, static_cast<int>(k)});
        sites[s].left = static_cast<int>(parts);
    }

    const std::int32_t n_l = p_.l_max + 1, n_slots = average == Average::outer ? slots_of_average : 1;
    const std::size_t n_coefficients = static_cast<std::size_t>(n_l) * n_l * n_columns_;
    std::vector<Workspace> workspaces(
        std::clamp<std::size_t>(n_threads, 1, std::max<std::size_t>(tasks.size(), 1)));
    const auto prepare = [&](Workspace& work) {
        work.scratch.resize(soap_kernels<T>().scratch_size(expansion_) + vector_slack);
        work.coefficients.assign(n_slots * n_coefficients + vector_slack, T(0));
        work.present.assign(std::max(p_.n_channels, n_groups_), 0);
        for (std::int32_t l = 0; l < n_l; ++l) {
            work.first.push_back(static_cast<std::size_t>(l) * l * n_columns_ * n_slots);
            work.mixed_first.push_back(static_cast<std::size_t>(l) * l * n_groups_ * n_pad_);
        }
        for (std::int32_t g = 0; g < n_groups_; ++g)
            work.columns.push_back(g * n_pad_);
        if (!p_.embedding.empty())
            work.mixed.resize(static_cast<std::size_t>(n_l) * n_l * n_groups_ * n_pad_ + vector_slack);
        if (average == Average::outer)
            work.features.resize(n_features_ + vector_slack);
    };

    parallel_for(tasks.size(), n_threads, [&](std::size_t index, int worker) {
        const Task& task = tasks[index];
        Workspace& work = workspaces[worker];
        if (work.first.empty())
            prepare(work);
        Site& site = sites[task.structure];
        const std::int32_t* kinds = species + batch.offsets[task.structure];
        std::call_once(site.once, [&] {
            const std::int64_t first = centres.offsets[task.structure];
            const std::size_t n = static_cast<std::size_t>(centres.offsets[task.structure + 1] - first);
            try {
                site.finder = std::make_unique<NeighbourFinder>(batch[task.structure],
                                                                centres.points + 3 * first, n, p_.cutoff);
            } catch (const TooManyImages& error) {
                throw std::invalid_argument("structure " + std::to_string(task.structure) + ": " +
                                            error.what() + ": r_cut is too large for this cell");
            }
            site.parts.resize(average == Average::off ? 0 : most_parts);
            site.present.resize(site.parts.size());
        });
        const auto expand_centre = [&](std::int64_t centre, std::int32_t slot) {
            collect(work, *site.finder, kinds, centres.points + 3 * centre);
            expand(work, slot);
        };
        const auto reset = [&] { std::fill(work.present.begin(), work.present.end(), char(0)); };
        const auto clear = [&] {
            reset();
            std::fill(work.coefficients.begin(), work.coefficients.end(), T(0));
        };

        if (average == Average::off) {
            for (std::int64_t centre = task.begin; centre < task.end; ++centre) {
                reset();
                expand_centre(centre, 0);
                write_power(work, 1, out + static_cast<std::size_t>(centre) * n_features_);
            }
            if (--site.left == 0)
                site.finder.reset();
            return;
        }

        AlignedVector<T>& sum = site.parts[task.part];
        if (average == Average::outer) {
            sum.assign(n_features_, T(0));
            for (std::int64_t centre = task.begin; centre < task.end; centre += n_slots) {
                clear();
                const auto used =
                    static_cast<std::int32_t>(std::min<std::int64_t>(n_slots, task.end - centre));
                for (std::int32_t slot = 0; slot < used; ++slot)
                    expand_centre(centre + slot, slot);
                write_power(work, used, work.features.data());
                for (std::size_t f = 0; f < n_features_; ++f)
                    sum[f] += work.features[f];
            }
        } else {
            sum.assign(n_coefficients, T(0));
            std::vector<char> seen(work.present.size(), 0);
            for (std::int64_t centre = task.begin; centre < task.end; ++centre) {
                clear();
                expand_centre(centre, 0);
                for (std::size_t k = 0; k < n_coefficients; ++k)
                    sum[k] += work.coefficients[k];
                for (std::size_t g = 0; g < seen.size(); ++g)
                    seen[g] |= work.present[g];
            }
            site.present[task.part] = std::move(seen);
        }
        if (--site.left > 0)
            return;

        // The last task of a structure adds the parts up, in their order.
        site.finder.reset();
        const T scale =
            T(1) / static_cast<T>(centres.offsets[task.structure + 1] - centres.offsets[task.structure]);
        AlignedVector<T>& total = site.parts[0];
        for (std::size_t part = 1; part < site.parts.size(); ++part) {
            for (std::size_t k = 0; k < site.parts[part].size(); ++k)
                total[k] += site.parts[part][k];
            for (std::size_t g = 0; g < site.present[part].size(); ++g)
                site.present[0][g] |= site.present[part][g];
        }
        T* row = out + task.structure * n_features_;
        if (average == Average::outer) {
            for (std::size_t f = 0; f < n_features_; ++f)
                row[f] = total[f] * scale;
        } else {
            for (std::size_t k = 0; k < n_coefficients; ++k)
                work.coefficients[k] = total[k] * scale;
            work.present = site.present[0];
            write_power(work, 1, row);
        }
        site.parts.clear();
        site.parts.shrink_to_fit();
    });
}

template class Soap<double>;
template class Soap<float>;

} // namespace atomprint
