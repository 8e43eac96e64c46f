// SOAP's features: density expansion, power spectrum, averages.
#include "local/soap.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

#include "core/checks.hpp"
#include "local/soap_work.hpp"

namespace atomprint {

namespace {

// Centres whose power spectra are summed in one pass.
constexpr std::int32_t slots_of_average = 8;
// Neighbours of a group in a zone from which summing them in the short basis pays.
constexpr std::int32_t fewest_in_zone = 6;

template <class T>
constexpr std::int32_t padding = sizeof(T) == 8 ? 4 : 8;

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

// Coefficients of kernels/harmonics_gradient.hpp, for coordinates scaled by `scale`.
std::vector<double> harmonics_gradient(std::int32_t l_max, double scale) {
    std::vector<double> values;
    for (int l = 1; l <= l_max; ++l) {
        const double k = scale * std::sqrt((2.0 * l + 1.0) / (2.0 * l - 1.0));
        for (int m = 0; m <= l; ++m) {
            values.push_back(k * std::sqrt(double(l - m) * (l + m)));
            values.push_back(0.5 * k * std::sqrt(double(l - m) * (l - m - 1)) *
                             (m == 0 ? std::numbers::sqrt2 : 1.0));
            values.push_back(0.5 * k * std::sqrt(double(l + m) * (l + m - 1)) *
                             (m == 1 ? std::numbers::sqrt2 : 1.0));
        }
    }
    return values;
}

} // namespace

template <class T>
Soap<T>::Soap(SoapParameters parameters, const RadialArrays& radial)
    : p_(std::move(parameters)), zone_of_cell_(radial.zone_of_cell, radial.zone_of_cell + radial.n_cells),
      n_zones_(radial.n_zones) {
    const std::int32_t n_cells = radial.n_cells;
    const std::int32_t n_max = p_.n_max, l_max = p_.l_max, n_l = l_max + 1;
    if (n_max < 1 || n_max > largest_n || l_max < 0 || l_max > largest_l || p_.species.size() < 1 ||
        p_.n_channels < 1 || n_cells < 1 || !(p_.cutoff > 0.0))
        throw std::invalid_argument(
            "SOAP needs n_max in 1..64, l_max in 0..40, species, a table and a cutoff > 0");
    if (p_.species_weights.size() != static_cast<std::size_t>(p_.species.size()) ||
        (p_.embedding.empty()
             ? p_.n_channels != p_.species.size()
             : p_.embedding.size() != static_cast<std::size_t>(p_.species.size()) * p_.n_channels))
        throw std::invalid_argument("species weights and embedding must have one row for each species");
    // With one channel the mixing is a weight for each neighbour, and all species share one density.
    if (p_.n_channels == 1) {
        for (std::int32_t s = 0; s < p_.species.size() && !p_.embedding.empty(); ++s)
            p_.species_weights[s] *= p_.embedding[s];
        p_.embedding.clear();
    }
    n_groups_ = p_.n_channels == 1 ? 1 : p_.species.size();
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
    zone_transposed_.resize(static_cast<std::size_t>(n_l) * n_zones_ * n_max * zone_rank);
    for (std::size_t k = 0; k < static_cast<std::size_t>(n_l) * n_zones_; ++k)
        for (std::int32_t q = 0; q < zone_rank; ++q)
            for (std::int32_t n = 0; n < n_max; ++n)
                zone_transposed_[(k * n_max + n) * zone_rank + q] =
                    static_cast<T>(radial.zone_basis[(k * zone_rank + q) * n_max + n]);
    recursion_ = harmonics_recursion(l_max);
    for (const double value : harmonics_gradient(l_max, 1.0 / p_.cutoff))
        harmonics_gradient_.push_back(static_cast<T>(value));
    for (std::int32_t l = 0; l <= l_max; ++l)
        prefactor_.push_back(static_cast<T>(std::numbers::pi * std::sqrt(8.0 / (2.0 * l + 1.0))));

    couplings_.resize(p_.n_channels + 1);
    const auto add_block = [&](std::int32_t a, std::int32_t b) {
        const std::size_t n = n_max;
        blocks_.push_back({a * n_pad_, b * n_pad_, a == b, n_features_});
        couplings_[a].push_back({b * n_pad_, true, a == b, n_features_});
        if (a != b)
            couplings_[b].push_back({a * n_pad_, false, false, n_features_});
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
    expansion_ = {{table_.data(), short_table_.data(), zone_basis_.data(), zone_transposed_.data(), n_cells,
                   n_zones_, n_pad_, n_cells / p_.cutoff, 1.0 / p_.cutoff},
                  n_max,
                  l_max,
                  recursion_.data(),
                  harmonics_gradient_.data()};
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
        for (auto* values : {&work.bin, &work.rank, &work.image})
            values->resize(2 * n + vector_slack);
        for (auto* values : {&work.distance, &work.x, &work.y, &work.z, &work.r, &work.weight})
            values->resize(2 * n + vector_slack);
    }
    kernels().distances(found.r2.data(), static_cast<std::int32_t>(n), expansion_.radial.inverse_step,
                        expansion_.radial.n_cells, work.distance.data(), work.bin.data());

    // Bins are (group, zone), zone 0 being none. Few neighbours in a zone join those that use the full table.
    // Counting is the only loop in which a step waits for the one before, so it is kept apart.
    const std::int32_t bins = n_zones_ + 1;
    const std::int32_t *const index = found.index.data(), *const atom = finder.atom.data();
    std::int32_t *const bin = work.bin.data(), *const rank = work.rank.data();
    for (std::size_t k = 0; k < n; ++k)
        bin[k] = zone_of_cell_[bin[k]] + 1;
    if (n_groups_ > 1)
        for (std::size_t k = 0; k < n; ++k)
            bin[k] += species[atom[index[k]]] * bins;
    work.count.assign(static_cast<std::size_t>(n_groups_) * bins, 0);
    std::int32_t* const filled = work.count.data();
    for (std::size_t k = 0; k < n; ++k)
        rank[k] = filled[bin[k]]++;
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
        if (n_groups_ > 1)
            std::fill(work.weight.begin() + begin, work.weight.begin() + at, p_.species_weights[group]);
    }
    const std::int32_t* const next = work.next.data();
    double *const x = work.x.data(), *const y = work.y.data(), *const z = work.z.data(),
                  *const r = work.r.data();
    for (std::size_t k = 0; k < n; ++k) {
        const std::int32_t to = next[bin[k]] + rank[k];
        x[to] = found.x[k], y[to] = found.y[k], z[to] = found.z[k];
        r[to] = work.distance[k];
        work.image[to] = index[k];
    }
    if (n_groups_ == 1)
        for (std::size_t k = 0; k < n; ++k)
            work.weight[k] = p_.species_weights[species[atom[work.image[k]]]];
    if (!p_.weighting.constant())
        for (std::size_t k = 0; k < n; ++k)
            work.weight[k] *= p_.weighting(work.r[k]);
}

// Density coefficients of the collected neighbours into slot `slot`.
template <class T>
void Soap<T>::expand(Workspace& work, std::int32_t slot) const {
    const Neighbourhood neighbours = work.neighbourhood();
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

// Set up the memory of a thread for `n_slots` centres at a time.
template <class T>
void Soap<T>::prepare(Workspace& work, std::int32_t n_slots) const {
    const std::int32_t n_l = p_.l_max + 1;
    work.scratch.resize(soap_kernels<T>().scratch_size(expansion_) + vector_slack);
    work.coefficients.assign(n_slots * n_coefficients() + vector_slack, T(0));
    work.present.assign(std::max(p_.n_channels, n_groups_), 0);
    for (std::int32_t l = 0; l < n_l; ++l) {
        work.first.push_back(static_cast<std::size_t>(l) * l * n_columns_ * n_slots);
        work.mixed_first.push_back(static_cast<std::size_t>(l) * l * n_groups_ * n_pad_);
    }
    for (std::int32_t g = 0; g < n_groups_; ++g)
        work.columns.push_back(g * n_pad_);
    if (!p_.embedding.empty())
        work.mixed.resize(static_cast<std::size_t>(n_l) * n_l * n_groups_ * n_pad_ + vector_slack);
}

template <class T>
std::size_t Soap<T>::most_parts(std::size_t numbers) const {
    return std::clamp<std::size_t>(memory_of_parts / (numbers * sizeof(T)), 1, parts_of_sum);
}

template <class T>
void Soap<T>::compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    const auto workspace = [&](int worker, std::int32_t n_slots) -> Workspace& {
        Workspace& work = workspaces[worker];
        if (!work.ready()) {
            prepare(work, n_slots);
            work.features.resize(p_.average == Average::outer ? n_features_ + vector_slack : 0);
        }
        return work;
    };
    const auto kinds = [&](std::size_t structure) { return species.data() + batch.offsets[structure]; };

    if (p_.average == Average::off) {
        for_centres(
            batch, centres, 0, batch.n_structures, p_.cutoff, std::size_t(-1) / 2, n_threads,
            [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
                Workspace& work = workspace(worker, 1);
                for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                    std::fill(work.present.begin(), work.present.end(), char(0));
                    collect(work, finder, kinds(run.structure), centres.points + 3 * centre);
                    expand(work, 0);
                    write_power(work, 1, out + static_cast<std::size_t>(centre) * n_features_);
                }
            },
            [](std::size_t, int) {});
        return;
    }
    if (p_.average == Average::inner) {
        sum_coefficients(batch, centres, 0, batch.n_structures, n_threads,
                         [&](std::size_t s, int worker, const T* mean, const std::vector<char>& present) {
                             Workspace& work = workspace(worker, 1);
                             std::copy(mean, mean + n_coefficients(), work.coefficients.begin());
                             work.present = present;
                             write_power(work, 1, out + s * n_features_);
                         });
        return;
    }
    std::vector<std::vector<AlignedVector<T>>> parts(batch.n_structures);
    std::mutex mutex;
    const std::size_t most = most_parts(n_features_);
    for_centres(
        batch, centres, 0, batch.n_structures, p_.cutoff, most, n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
            Workspace& work = workspace(worker, slots_of_average);
            AlignedVector<T> sum(n_features_, T(0));
            for (std::int64_t centre = run.begin; centre < run.end; centre += slots_of_average) {
                std::fill(work.present.begin(), work.present.end(), char(0));
                std::fill(work.coefficients.begin(), work.coefficients.end(), T(0));
                const auto used =
                    static_cast<std::int32_t>(std::min<std::int64_t>(slots_of_average, run.end - centre));
                for (std::int32_t slot = 0; slot < used; ++slot) {
                    collect(work, finder, kinds(run.structure), centres.points + 3 * (centre + slot));
                    expand(work, slot);
                }
                write_power(work, used, work.features.data());
                for (std::size_t f = 0; f < n_features_; ++f)
                    sum[f] += work.features[f];
            }
            const std::scoped_lock lock(mutex);
            parts[run.structure].resize(std::max(parts[run.structure].size(), run.part + 1));
            parts[run.structure][run.part] = std::move(sum);
        },
        [&](std::size_t s, int) {
            // The last run of a structure adds the parts up, in their order.
            const T scale = T(1) / static_cast<T>(centres.offsets[s + 1] - centres.offsets[s]);
            AlignedVector<T>& total = parts[s][0];
            for (std::size_t part = 1; part < parts[s].size(); ++part)
                for (std::size_t f = 0; f < n_features_; ++f)
                    total[f] += parts[s][part][f];
            for (std::size_t f = 0; f < n_features_; ++f)
                out[s * n_features_ + f] = total[f] * scale;
            std::vector<AlignedVector<T>>().swap(parts[s]);
        });
}

// Calls done(structure, worker, mean, present) with the mean of the coefficients over the centres of each of
// the structures [first, last), and the column groups that hold numbers.
template <class T>
void Soap<T>::sum_coefficients(const Batch& batch, const Centres& centres, std::size_t first,
                               std::size_t last, int n_threads, const MeanDone& done) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    struct Sum {
        AlignedVector<T> values;
        std::vector<char> present;
    };
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    std::vector<std::vector<Sum>> sums(last - first);
    std::mutex mutex;
    const std::size_t n = n_coefficients();
    for_centres(
        batch, centres, first, last, p_.cutoff, most_parts(n), n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
            Workspace& work = workspaces[worker];
            if (!work.ready())
                prepare(work, 1);
            Sum sum{AlignedVector<T>(n, T(0)), std::vector<char>(work.present.size(), 0)};
            for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                std::fill(work.present.begin(), work.present.end(), char(0));
                std::fill(work.coefficients.begin(), work.coefficients.end(), T(0));
                collect(work, finder, species.data() + batch.offsets[run.structure],
                        centres.points + 3 * centre);
                expand(work, 0);
                for (std::size_t k = 0; k < n; ++k)
                    sum.values[k] += work.coefficients[k];
                for (std::size_t g = 0; g < sum.present.size(); ++g)
                    sum.present[g] |= work.present[g];
            }
            auto& parts = sums[run.structure - first];
            const std::scoped_lock lock(mutex);
            parts.resize(std::max(parts.size(), run.part + 1));
            parts[run.part] = std::move(sum);
        },
        [&](std::size_t s, int worker) {
            auto& parts = sums[s - first];
            const T scale = T(1) / static_cast<T>(centres.offsets[s + 1] - centres.offsets[s]);
            Sum& total = parts[0];
            for (std::size_t part = 1; part < parts.size(); ++part) {
                for (std::size_t k = 0; k < n; ++k)
                    total.values[k] += parts[part].values[k];
                for (std::size_t g = 0; g < total.present.size(); ++g)
                    total.present[g] |= parts[part].present[g];
            }
            for (std::size_t k = 0; k < n; ++k)
                total.values[k] *= scale;
            done(s, worker, total.values.data(), total.present);
            std::vector<Sum>().swap(parts);
        });
}

template class Soap<double>;
template class Soap<float>;

} // namespace atomprint
