#include "local/soap.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <numeric>
#include <span>
#include <stdexcept>

#include "core/pairs.hpp"
#include "local/harmonics.hpp"

namespace atomprint {

namespace {

// Neighbours of a group in a zone from which summing them in the short basis pays.
constexpr std::int32_t fewest_in_zone = 6;
// Atoms nearer than this are on the centre, in Å.
constexpr double on_centre = 1e-6;
constexpr double not_known = std::numeric_limits<double>::infinity();
// Room behind an array for the last, partly used vector.
constexpr std::size_t vector_slack = 16;
// Coefficients of structures that are kept between the passes of an inner average, in bytes.
constexpr std::size_t memory_of_means = std::size_t{32} << 20;

template <class T>
constexpr std::int32_t padding = sizeof(T) == 8 ? 4 : 8;

} // namespace

template <class T>
Soap<T>::Soap(SoapParameters parameters, const RadialArrays& radial)
    : p_(std::move(parameters)), zone_of_cell_(radial.zone_of_cell, radial.zone_of_cell + radial.n_cells),
      n_zones_(radial.n_zones) {
    const std::int32_t n_cells = radial.n_cells;
    const std::int32_t n_max = p_.n_max, l_max = p_.l_max, n_l = l_max + 1;
    if (n_max < 1 || n_max > largest_n || l_max < 0 || l_max > largest_l || p_.species.size() < 1 ||
        p_.n_channels < 1 || n_cells < 1 || !(p_.cutoff > 0.0))
        throw std::invalid_argument("SOAP needs n_max in 1..64, l_max in 0..40, species, a table and a cutoff > 0");
    if (p_.species_weights.size() != static_cast<std::size_t>(p_.species.size()) ||
        (p_.embedding.empty() ? p_.n_channels != p_.species.size()
                              : p_.embedding.size() != static_cast<std::size_t>(p_.species.size()) * p_.n_channels))
        throw std::invalid_argument("species weights and embedding must have one row for each species");
    // With one channel the mixing is a weight for each neighbour, and all species share one density.
    if (p_.n_channels == 1) {
        for (std::int32_t s = 0; s < p_.species.size() && !p_.embedding.empty(); ++s)
            p_.species_weights[s] *= p_.embedding[s];
        p_.embedding.clear();
    }
    one_group_ = p_.n_channels == 1;
    n_pad_ = (n_max + padding<T> - 1) / padding<T> * padding<T>;

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

    const auto add_pair = [&](std::int32_t a, std::int32_t b) {
        const std::size_t n = n_max, first = n_features_;
        n_features_ += (a == b ? n * (n + 1) / 2 : n * n) * n_l;
        pairs_.push_back({a, b, first, n_features_});
    };
    for (std::int32_t a = 0; a < p_.n_channels; ++a)
        switch (p_.products) {
        case SoapParameters::Products::all:
            for (std::int32_t b = a; b < p_.n_channels; ++b)
                add_pair(a, b);
            break;
        case SoapParameters::Products::diagonal:
            add_pair(a, a);
            break;
        case SoapParameters::Products::total:
            add_pair(a, p_.n_channels);
            break;
        }
    largest_product_ = 0.0;
    for (std::int32_t cell = 0; cell < n_cells; ++cell)
        for (std::int32_t l = 1; l <= l_max; ++l) {
            const double* const start =
                radial.coefficients + (static_cast<std::size_t>(cell) * radial_powers * n_l + l) * n_max;
            double squares = 0.0;
            for (std::int32_t n = 0; n < n_max; ++n)
                squares += start[n] * start[n];
            largest_product_ = std::max(largest_product_, prefactor_[l] * (2.0 * l + 1.0) * squares);
        }
    expansion_ = {{table_.data(), short_table_.data(), zone_basis_.data(), zone_transposed_.data(), n_cells, n_zones_,
                   n_pad_, n_cells / p_.cutoff, 1.0 / p_.cutoff},
                  n_max,
                  l_max,
                  recursion_.data(),
                  harmonics_gradient_.data()};
}

// The features of a pair a <= b.
template <class T>
typename Soap<T>::Pair Soap<T>::pair_of(std::int32_t a, std::int32_t b) const {
    return p_.products == SoapParameters::Products::all ? pair_among(p_.n_channels, a, b) : pairs_[a];
}

// The features of a pair a <= b of n channels, of which all pairs have features.
template <class T>
typename Soap<T>::Pair Soap<T>::pair_among(std::int32_t n, std::int32_t a, std::int32_t b) const {
    const std::size_t n_max = p_.n_max, n_l = p_.l_max + 1;
    const std::size_t triangle = n_max * (n_max + 1) / 2 * n_l, square = n_max * n_max * n_l;
    const std::size_t i = a, before = i * n - i * (i + 1) / 2; // pairs of different channels
    const std::size_t first = i * triangle + before * square + (a == b ? 0 : triangle + (b - a - 1) * square);
    return {a, b, first, first + (a == b ? triangle : square)};
}

template <class T>
void Soap<T>::begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t structure) const {
    set_up(work, n_slots, in.members(structure), mixes());
}

template <class T>
void Soap<T>::set_up(Workspace& work, std::int32_t n_slots, std::span<const std::int32_t> members, bool mixes) const {
    static constexpr std::int32_t all[] = {0};
    const std::span<const std::int32_t> groups = one_group_ ? all : members;
    if (work.n_slots == n_slots && work.mixes == mixes &&
        std::equal(groups.begin(), groups.end(), work.groups.begin(), work.groups.end()))
        return;
    work.n_slots = n_slots, work.mixes = mixes;
    work.groups.assign(groups.begin(), groups.end());
    work.channels = work.groups;
    if (mixes) {
        work.channels.resize(static_cast<std::size_t>(p_.n_channels));
        std::iota(work.channels.begin(), work.channels.end(), 0);
    }
    work.place.assign(static_cast<std::size_t>(std::max(p_.n_channels, p_.species.size())), -1);
    for (std::int32_t k = 0; k < work.n_channels(); ++k)
        work.place[work.channels[k]] = k;
    work.n_columns = (work.n_channels() + has_total()) * n_pad_;
    work.present.assign(work.channels.size(), 0);
    work.amount.assign(work.groups.size(), 0.0);
    work.first.clear(), work.mixed_first.clear(), work.columns.clear();
    const std::size_t n_l = static_cast<std::size_t>(p_.l_max) + 1, mixed_columns = work.groups.size() * n_pad_;
    for (std::size_t l = 0; l < n_l; ++l) {
        work.first.push_back(l * l * n_slots * work.n_columns);
        work.mixed_first.push_back(l * l * mixed_columns);
    }
    for (std::int32_t g = 0; g < work.n_groups(); ++g)
        work.columns.push_back(g * n_pad_);
    grow(work.scratch, kernels().soap.of<T>().scratch_size(expansion_) + vector_slack);
    grow(work.coefficients, n_slots * n_l * n_l * work.n_columns + work.present.size() + vector_slack);
    if (mixes)
        grow(work.mixed, n_l * n_l * mixed_columns + vector_slack);
}

template <class T>
void Soap<T>::clear(Workspace& work, std::int32_t) const {
    std::fill(work.present.begin(), work.present.end(), 0u);
    std::fill(work.amount.begin(), work.amount.end(), 0.0);
}

// Neighbours of a point, sorted into segments: by group, and where enough of a group are in one zone, by
// zone.
template <class T>
template <class Place, class Kind>
void Soap<T>::sort_in(Workspace& work, const NeighbourList& found, const double* r2, const Place& place_of,
                      const Kind& kind_of) const {
    const std::size_t n = work.found.n = found.n;
    if (work.x.size() < n + vector_slack) {
        for (auto* values : {&work.bin, &work.rank, &work.image})
            grow(*values, 2 * n + vector_slack);
        for (auto* values : {&work.distance, &work.x, &work.y, &work.z, &work.r, &work.weight})
            grow(*values, 2 * n + vector_slack);
    }
    kernels().distances(r2, static_cast<std::int32_t>(n), expansion_.radial.inverse_step, expansion_.radial.n_cells,
                        work.distance.data(), work.bin.data());

    // Bins are (group, zone), zone 0 being none. Few neighbours in a zone join those that use the full table.
    // Counting is the only loop in which a step waits for the one before, so it is kept apart.
    const std::int32_t bins = n_zones_ + 1;
    const std::int32_t* const index = found.image;
    std::int32_t *const bin = work.bin.data(), *const rank = work.rank.data();
    for (std::size_t k = 0; k < n; ++k)
        bin[k] = zone_of_cell_[bin[k]] + 1;
    if (!one_group_)
        for (std::size_t k = 0; k < n; ++k)
            bin[k] += place_of(index[k]) * bins;
    work.count.assign(work.groups.size() * bins, 0);
    std::int32_t* const filled = work.count.data();
    for (std::size_t k = 0; k < n; ++k)
        rank[k] = filled[bin[k]]++;
    work.segments.clear();
    work.next.resize(work.count.size());
    std::int32_t at = 0;
    for (std::int32_t group = 0; group < work.n_groups(); ++group) {
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
        if (!one_group_)
            std::fill(work.weight.begin() + begin, work.weight.begin() + at, p_.species_weights[work.groups[group]]);
    }
    const std::int32_t* const next = work.next.data();
    double *const x = work.x.data(), *const y = work.y.data(), *const z = work.z.data(), *const r = work.r.data();
    for (std::size_t k = 0; k < n; ++k) {
        const std::int32_t to = next[bin[k]] + rank[k];
        x[to] = found.x[k], y[to] = found.y[k], z[to] = found.z[k];
        r[to] = work.distance[k];
        work.image[to] = index[k];
    }
    if (one_group_)
        for (std::size_t k = 0; k < n; ++k)
            work.weight[k] = p_.species_weights[kind_of(work.image[k])];
    if (!p_.weighting.constant())
        for (std::size_t k = 0; k < n; ++k)
            work.weight[k] *= p_.weighting(work.r[k]);
}

template <class T>
void Soap<T>::collect(Workspace& work, const Site& site) const {
    Vec3 centre{site.point[0], site.point[1], site.point[2]};
    site.finder.locate(centre);
    site.finder.query(centre, work.found);
    const Neighbours& found = work.found;
    const std::int32_t* const atom = site.finder.atom.data();
    sort_in(
        work, {found.n, found.index.data(), found.x.data(), found.y.data(), found.z.data()}, found.r2.data(),
        [&](std::int32_t image) { return site.places[atom[image]]; },
        [&](std::int32_t image) { return site.kinds[atom[image]]; });
}

template <class T>
void Soap<T>::begin(Workspace& work) const {
    std::vector<std::int32_t>& all = work.all_kinds;
    if (all.empty()) {
        all.resize(static_cast<std::size_t>(p_.species.size()));
        std::iota(all.begin(), all.end(), 0);
    }
    set_up(work, 1, all, mixes());
}

template <class T>
void Soap<T>::collect(Workspace& work, const NeighbourList& found, const double* r2, const std::int32_t* kinds) const {
    const auto kind = [=](std::int32_t image) { return kinds[image]; };
    sort_in(work, found, r2, kind, kind);
}

template <class T>
NeighbourList Soap<T>::neighbours(const Workspace& work) const {
    return {work.found.n, work.image.data(), work.x.data(), work.y.data(), work.z.data()};
}

// Density coefficients of the collected neighbours into slot `slot`.
template <class T>
void Soap<T>::expand(Workspace& work, std::int32_t slot) const {
    const Neighbourhood neighbours = work.neighbourhood();
    const auto& kernel = kernels().soap.of<T>();
    const Coefficients<T> out = work.view();
    const std::uint32_t bit = 1u << slot;
    if (p_.weighting.constant()) // then all neighbours weigh as much as an atom on the centre
        std::fill(work.amount.begin(), work.amount.end(), not_known);
    else
        for (const Segment& segment : work.segments)
            for (std::int32_t k = segment.begin; k < segment.end; ++k)
                work.amount[segment.group] += work.r[k] > on_centre ? std::abs(work.weight[k]) : 0.0;
    if (!work.mixes) {
        kernel.expand(expansion_, neighbours, work.scratch.data(), out, slot, work.columns.data());
        for (const Segment& segment : work.segments)
            work.present[segment.group] |= bit;
        return;
    }
    // Species densities side by side, then mixed into channels.
    const std::int32_t n_l = p_.l_max + 1, mixed_columns = work.n_groups() * n_pad_;
    const std::vector<std::size_t>& first = work.mixed_first;
    const Coefficients<T> densities{work.mixed.data(), first.data(), mixed_columns};
    kernel.expand(expansion_, neighbours, work.scratch.data(), densities, 0, work.columns.data());
    for (std::int32_t l = 0; l < n_l; ++l)
        for (std::int32_t m = 0; m < 2 * l + 1; ++m) {
            const T* from = densities.data + first[l] + static_cast<std::size_t>(m) * mixed_columns;
            T* to = out.data + out.first[l] + (static_cast<std::size_t>(slot) * (2 * l + 1) + m) * work.n_columns;
            std::fill(to, to + p_.n_channels * n_pad_, T(0));
            for (std::size_t k = 0; k < work.segments.size(); ++k) {
                const std::int32_t g = work.segments[k].group;
                if (k > 0 && work.segments[k - 1].group == g)
                    continue;
                for (std::int32_t channel = 0; channel < p_.n_channels; ++channel) {
                    const T factor = static_cast<T>(p_.embedding[work.groups[g] * p_.n_channels + channel]);
                    for (std::int32_t c = 0; c < n_pad_; ++c)
                        to[channel * n_pad_ + c] += factor * from[g * n_pad_ + c];
                }
            }
        }
    for (std::uint32_t& slots : work.present)
        slots |= bit;
}

// Zeros for the slots where a channel has no neighbours, as others do.
template <class T>
void Soap<T>::fill_missing(Workspace& work, std::int32_t n_slots) const {
    for (std::int32_t channel = 0; channel < work.n_channels(); ++channel) {
        const std::uint32_t slots = work.present[channel];
        for (std::int32_t slot = 0; slots != 0 && slot < n_slots; ++slot) {
            if (slots >> slot & 1u)
                continue;
            for (std::int32_t l = 0; l <= p_.l_max; ++l)
                for (std::int32_t m = 0; m < 2 * l + 1; ++m) {
                    const std::size_t row = static_cast<std::size_t>(slot) * (2 * l + 1) + m;
                    T* const to = work.coefficients.data() + work.first[l] + row * work.n_columns + channel * n_pad_;
                    std::fill(to, to + n_pad_, T(0));
                }
        }
    }
}

// The sum over channels as one more group of columns, for products with the total density.
template <class T>
void Soap<T>::add_total(Workspace& work, std::int32_t n_slots) const {
    const std::int32_t n_channels = work.n_channels();
    for (std::int32_t l = 0; l <= p_.l_max; ++l)
        for (std::int32_t row = 0; row < n_slots * (2 * l + 1); ++row) {
            T* columns = work.coefficients.data() + work.first[l] + static_cast<std::size_t>(row) * work.n_columns;
            T* total = columns + n_channels * n_pad_;
            std::fill(total, total + n_pad_, T(0));
            for (std::int32_t k = 0; k < n_channels; ++k)
                if (work.present[k])
                    for (std::int32_t c = 0; c < n_pad_; ++c)
                        total[c] += columns[k * n_pad_ + c];
        }
}

// What the terms of each run amount to: numbers are as uncertain as the largest, one of degree 0, is large. An atom
// on the centre makes large ones of degree 0 and nothing of the others, which are then small, but right: they are
// judged by what the other atoms add up to.
template <class T>
void Soap<T>::find_sizes(Workspace& work, std::int32_t n_slots) const {
    const std::int32_t n_channels = work.n_channels();
    std::vector<double>&largest = work.largest, &amount = work.amounts;
    largest.assign(n_channels + 1, 0.0), amount.assign(n_channels + 1, 0.0);
    for (std::int32_t channel = 0; channel < n_channels + has_total(); ++channel) {
        if (channel < n_channels && !work.present[channel])
            continue;
        const T* const columns = work.coefficients.data() + work.first[0] + channel * n_pad_;
        double square = 0.0;
        for (std::int32_t n = 0; n < p_.n_max; ++n) {
            double sum = 0.0;
            for (std::int32_t slot = 0; slot < n_slots; ++slot) {
                const double c = columns[slot * work.n_columns + n];
                sum += c * c;
            }
            square = std::max(square, sum);
        }
        largest[channel] = std::sqrt(prefactor_[0] * square);
    }
    for (std::int32_t channel = 0; channel < n_channels; ++channel) {
        if (!work.mixes)
            amount[channel] = work.amount[channel];
        for (std::int32_t g = 0; work.mixes && g < work.n_groups(); ++g)
            amount[channel] += std::abs(p_.embedding[work.groups[g] * n_channels + channel]) * work.amount[g];
        amount[n_channels] += amount[channel];
    }
    work.sizes.clear();
    for (const PowerBlock& block : work.blocks) {
        const std::int32_t a = block.a / n_pad_, b = block.b / n_pad_;
        const double size = largest[a] * largest[b];
        work.sizes.push_back(size);
        if (p_.l_max > 0)
            work.sizes.push_back(std::min(size, largest_product_ * amount[a] * amount[b]));
    }
}

template <class T>
const std::vector<FeatureRun>& Soap<T>::present(Workspace& work) const {
    work.blocks.clear(), work.there.clear();
    const std::int32_t n = work.n_channels();
    const bool mixed_later = mixes() && !work.mixes; // then features are those of the species of the structure
    const auto add = [&](std::int32_t a, std::int32_t b) {
        const std::int32_t channel_b = b == n ? p_.n_channels : work.channels[b];
        const Pair pair = mixed_later ? pair_among(n, a, b) : pair_of(work.channels[a], channel_b);
        work.blocks.push_back({a * n_pad_, b * n_pad_, a == b, pair.first});
        const std::size_t rest = pair.first + (pair.last - pair.first) / (p_.l_max + 1);
        work.there.push_back({pair.first, rest});
        if (p_.l_max > 0)
            work.there.push_back({rest, pair.last});
    };
    for (std::int32_t a = 0; a < n; ++a) {
        if (!work.present[a])
            continue;
        if (p_.products == SoapParameters::Products::all) {
            for (std::int32_t b = a; b < n; ++b)
                if (work.present[b])
                    add(a, b);
        } else {
            add(a, has_total() ? n : a);
        }
    }
    return work.there;
}

template <class T>
const T* Soap<T>::sum(Workspace& work, std::int32_t n_slots, T* features, bool packed) const {
    fill_missing(work, n_slots);
    if (has_total())
        add_total(work, n_slots);
    const auto& kernel = kernels().soap.of<T>();
    const PowerModel<T> power{p_.n_max, p_.l_max, work.n_columns, prefactor_.data()};
    find_sizes(work, n_slots);
    const double* size = work.sizes.data();
    std::size_t at = 0;
    const std::size_t n = p_.n_max, n_l = p_.l_max + 1;
    for (PowerBlock block : work.blocks) {
        if (packed)
            block.first = at;
        at += (block.triangular ? n * (n + 1) / 2 : n * n) * n_l;
        constexpr double share = left_of_cancelling<T>;
        const T of_zero = static_cast<T>(share * size[0]);
        kernel.power(power, block, work.view(), n_slots,
                     {of_zero, p_.l_max > 0 ? static_cast<T>(share * size[1]) : of_zero}, features);
        size += p_.l_max > 0 ? 2 : 1;
    }
    return features;
}

template <class T>
const double* Soap<T>::sizes(const Workspace& work) const {
    return work.sizes.data();
}

// Derivatives ----------------------------------------------------------------------------------------------

// Derivatives of the weights of the collected neighbours.
template <class T>
template <class Kind>
void Soap<T>::find_slopes(Workspace& work, const Kind& kind_of) const {
    const std::size_t n = work.found.n;
    if (work.slope.size() < n) {
        work.slope.assign(2 * n, 0.0);
        for (auto& component : work.gradient)
            component.resize(2 * n);
    }
    if (p_.weighting.constant())
        return;
    for (std::size_t k = 0; k < n; ++k)
        work.slope[k] =
            p_.species_weights[kind_of(work.image[k])] * p_.weighting.template value_and_slope<true>(work.r[k]).second;
}

// Adjoint of the coefficients in work.coefficients, in the columns of the channels.
template <class T>
void Soap<T>::couple(Workspace& work, const T* cotangent) const {
    if (has_total())
        add_total(work, 1);
    present(work);
    const std::size_t n_lm = n_harmonics();
    work.adjoint.resize(n_lm * work.n_columns + vector_slack, T(0));
    const auto& kernel = kernels().soap.of<T>();
    grow(work.couple_scratch, kernel.couple_scratch(n_pad_));
    const PowerModel<T> power{p_.n_max, p_.l_max, work.n_columns, prefactor_.data()};
    const std::int32_t total = work.n_channels();
    kernel.couple(power, cotangent, cotangent + n_features_, work.blocks.data(),
                  static_cast<std::int32_t>(work.blocks.size()), n_pad_, work.view(), work.adjoint.data(),
                  work.couple_scratch.data());
    if (has_total()) // the total is the sum of the channels
        for (std::size_t row = 0; row < n_lm * work.n_columns; row += work.n_columns)
            for (std::int32_t channel = 0; channel < total; ++channel)
                if (work.present[channel])
                    for (std::int32_t n = 0; n < n_pad_; ++n)
                        work.adjoint[row + channel * n_pad_ + n] += work.adjoint[row + total * n_pad_ + n];
    mix_adjoint(work);
}

// From the adjoint of the channels to that of the species.
template <class T>
void Soap<T>::mix_adjoint(Workspace& work) const {
    if (!mixes())
        return;
    const std::size_t n_lm = n_harmonics();
    const std::int32_t n_groups = work.n_groups();
    work.mixed_adjoint.resize(n_lm * n_groups * n_pad_ + vector_slack, T(0));
    for (std::size_t row = 0; row < n_lm; ++row)
        for (std::int32_t g = 0; g < n_groups; ++g) {
            const T* from = work.adjoint.data() + row * work.n_columns;
            T* to = work.mixed_adjoint.data() + (row * n_groups + g) * n_pad_;
            std::fill(to, to + n_pad_, T(0));
            for (std::int32_t channel = 0; channel < p_.n_channels; ++channel) {
                const T factor = static_cast<T>(p_.embedding[work.groups[g] * p_.n_channels + channel]);
                for (std::int32_t n = 0; n < n_pad_; ++n)
                    to[n] += factor * from[channel * n_pad_ + n];
            }
        }
}

// From the adjoint to work.gradient, for the collected neighbours.
template <class T>
std::array<const double*, 3> Soap<T>::take_back(Workspace& work) const {
    double* const gradient[3] = {work.gradient[0].data(), work.gradient[1].data(), work.gradient[2].data()};
    const Coefficients<T> adjoint =
        mixes() ? Coefficients<T>{work.mixed_adjoint.data(), work.mixed_first.data(), work.n_groups() * n_pad_}
                : work.view(work.adjoint);
    kernels().soap.of<T>().backward(expansion_, work.neighbourhood(), work.scratch.data(), adjoint, work.columns.data(),
                                    gradient);
    return {gradient[0], gradient[1], gradient[2]};
}

template <class T>
void Soap<T>::find_slopes(Workspace& work, const Site& site) const {
    find_slopes(work, [&](std::int32_t image) { return site.kind(image); });
}

template <class T>
std::array<const double*, 3> Soap<T>::backward(Workspace& work, const Site& site, const T* cotangent) const {
    find_slopes(work, site);
    couple(work, cotangent);
    return take_back(work);
}

template <class T>
std::array<const double*, 3> Soap<T>::backward(Workspace& work, const std::int32_t* kinds, const T* cotangent) const {
    find_slopes(work, [=](std::int32_t image) { return kinds[image]; });
    couple(work, cotangent);
    return take_back(work);
}

template <class T>
void Soap<T>::exchange(Workspace& work, Kept& kept) const {
    grow(kept.coefficients, work.coefficients.size());
    kept.present.resize(work.present.size());
    std::swap(work.found.n, kept.n);
    std::swap(work.coefficients, kept.coefficients);
    std::swap(work.present, kept.present);
    std::swap(work.segments, kept.segments);
    std::swap(work.image, kept.image);
    std::swap(work.x, kept.x), std::swap(work.y, kept.y), std::swap(work.z, kept.z);
    std::swap(work.r, kept.r), std::swap(work.weight, kept.weight);
}

// Weight of a species in a channel, or in the total of the channels.
template <class T>
double Soap<T>::weight_in(std::int32_t kind, std::int32_t group) const {
    if (group == p_.n_channels) {
        double total = 0.0;
        for (std::int32_t channel = 0; channel < p_.n_channels; ++channel)
            total += weight_in(kind, channel);
        return total;
    }
    if (mixes())
        return p_.embedding[kind * p_.n_channels + group];
    return p_.n_channels == 1 || kind == group ? 1.0 : 0.0; // a single channel has its weights in the densities
}

template <class T>
std::vector<FeatureRun> Soap<T>::touched(std::int32_t kind) const {
    std::vector<FeatureRun> runs;
    for (const Pair& pair : pairs_) {
        if (weight_in(kind, pair.a) == 0.0 && weight_in(kind, pair.b) == 0.0)
            continue;
        if (!runs.empty() && runs.back().last == pair.first)
            runs.back().last = pair.last;
        else
            runs.push_back({pair.first, pair.last});
    }
    return runs;
}

template <class T>
const std::vector<FeatureRun>& Soap<T>::runs(Workspace& work, std::int32_t kind, bool compact) const {
    work.gradients.clear(), work.runs.clear();
    std::size_t at = 0;
    const auto place = [&](std::int32_t channel) {
        return channel == p_.n_channels ? work.n_channels() : work.place[channel];
    };
    const auto present = [&](std::int32_t place) {
        return place >= 0 && (place == work.n_channels() || work.present[place]);
    };
    for (const Pair& pair : pairs_) {
        const double u_a = weight_in(kind, pair.a), u_b = weight_in(kind, pair.b);
        if (u_a == 0.0 && u_b == 0.0)
            continue;
        const std::int32_t a = place(pair.a), b = place(pair.b);
        // A factor without density contributes nothing, and its columns hold no numbers.
        const T w_a = present(b) ? static_cast<T>(u_a) : T(0), w_b = present(a) ? static_cast<T>(u_b) : T(0);
        if (w_a != T(0) || w_b != T(0)) {
            const std::size_t first = compact ? at : pair.first;
            work.runs.push_back({first, first + pair.last - pair.first});
            work.gradients.push_back({a * n_pad_, b * n_pad_, w_a, w_b, pair.a == pair.b, first});
        }
        at += pair.last - pair.first;
    }
    return work.runs;
}

// Values and slopes of the radial functions and harmonics of all collected neighbours.
template <class T>
void Soap<T>::prepare(Workspace& work, const Site& site, T scale) const {
    find_slopes(work, site);
    if (has_total())
        add_total(work, 1);
    const std::size_t n = work.found.n, n_functions = static_cast<std::size_t>(p_.l_max + 1) * n_pad_;
    const auto enlarge = [](AlignedVector<T>& values, std::size_t size) {
        if (values.size() < size + vector_slack)
            values.resize(2 * size + vector_slack);
    };
    enlarge(work.values, n * n_functions), enlarge(work.slopes, n * n_functions);
    enlarge(work.harmonics, kernels().soap.of<T>().harmonics_size(expansion_, static_cast<std::int32_t>(n)));
    enlarge(work.projections, static_cast<std::size_t>(p_.l_max + 1) * 4 * work.n_columns);
    std::vector<T>& factor = work.factor;
    factor = prefactor_;
    for (T& number : factor)
        number *= scale;
    kernels().soap.of<T>().differentiate(expansion_, work.neighbourhood(), factor.data(), work.scratch.data(),
                                         work.values.data(), work.slopes.data(), work.harmonics.data());
}

template <class T>
void Soap<T>::gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const {
    const auto& kernel = kernels().soap.of<T>();
    const std::size_t n_functions = static_cast<std::size_t>(p_.l_max + 1) * n_pad_;
    kernel.project(expansion_, work.harmonics.data(), static_cast<std::int32_t>(neighbour), work.view(),
                   work.projections.data());
    const double r = work.r[neighbour], inverse = r > 0.0 ? 1.0 / r : 0.0;
    const double unit[3] = {work.x[neighbour] * inverse, work.y[neighbour] * inverse, work.z[neighbour] * inverse};
    const PowerModel<T> power{p_.n_max, p_.l_max, work.n_columns, prefactor_.data()};
    kernel.gradient(power, n_pad_, work.gradients.data(), static_cast<std::int32_t>(work.gradients.size()),
                    work.values.data() + neighbour * n_functions, work.slopes.data() + neighbour * n_functions,
                    work.projections.data(), unit, out, stride);
}

// Inner averages -------------------------------------------------------------------------------------------

// Hooks that do what SOAP's do.
template <class T>
struct Soap<T>::Same {
    using Real = T;
    using Workspace = Soap::Workspace;
    static constexpr std::int32_t slots = 1;
    static constexpr bool keeps_sizes = false;
    const Soap& soap;

    std::size_t n_features() const { return soap.n_features(); }
    const Species& species() const { return soap.species(); }
    double cutoff() const { return soap.cutoff(); }
    auto touched(std::int32_t kind) const { return soap.touched(kind); }
    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t s) const {
        soap.begin(work, n_slots, in, s);
    }
    void collect(Workspace& work, const Site& site) const { soap.collect(work, site); }
    NeighbourList neighbours(const Workspace& work) const { return soap.neighbours(work); }
    void expand(Workspace& work, std::int32_t slot) const { soap.expand(work, slot); }
    void write(Workspace& work, T* features) const { soap.write(work, features); }
    void prepare(Workspace& work, const Site& site, T scale) const { soap.prepare(work, site, scale); }
    auto& runs(Workspace& work, std::int32_t kind, bool compact) const { return soap.runs(work, kind, compact); }
    void gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const {
        soap.gradient(work, neighbour, out, stride);
    }
};

// But with the coefficients as features, and after them which channels hold numbers.
template <class T>
struct Soap<T>::Density : Same {
    Rounding rounding() const { return Rounding::none; }
    const double* sizes(const Workspace&) const { return nullptr; }
    std::size_t n_features() const { // at most
        const auto n = static_cast<std::size_t>(std::max(this->soap.p_.n_channels, this->soap.p_.species.size())) + 1;
        return n * (this->soap.n_harmonics() * this->soap.n_pad_ + 1);
    }
    void clear(Workspace& work, std::int32_t n_slots) const { this->soap.clear(work, n_slots); }
    std::vector<FeatureRun> present(Workspace& work) const { return {{0, n_coefficients(work) + work.present.size()}}; }
    const T* sum(Workspace& work, std::int32_t, T*, bool) const {
        const std::size_t n = n_coefficients(work);
        for (std::size_t channel = 0; channel < work.present.size(); ++channel) {
            work.coefficients[n + channel] = work.present[channel] ? T(1) : T(0);
            for (std::size_t row = 0; !work.present[channel] && row < n; row += work.n_columns)
                std::fill_n(work.coefficients.begin() + row + channel * this->soap.n_pad_, this->soap.n_pad_, T(0));
        }
        return work.coefficients.data();
    }
    // Make a mean of such features the density of the workspace.
    template <class Mean>
    void put(Workspace& work, const Mean& mean) const {
        const std::size_t n = n_coefficients(work);
        for (std::size_t k = 0; k < n; ++k)
            work.coefficients[k] = static_cast<T>(mean[k]);
        for (std::size_t channel = 0; channel < work.present.size(); ++channel)
            work.present[channel] = mean[n + channel] > 0;
        std::fill(work.amount.begin(), work.amount.end(), not_known);
    }

private:
    std::size_t n_coefficients(const Workspace& work) const { return this->soap.n_harmonics() * work.n_columns; }
};

// But for features that are made of the mean density of a structure. Their derivatives follow from means of
// Density, or where `adjoint` from the derivatives of a number with respect to the mean coefficients.
template <class T>
struct Soap<T>::OfMean : Same {
    bool adjoint;
    std::size_t first; // structure
    std::vector<AlignedVector<T>> means{};

    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t s) const {
        this->soap.begin(work, n_slots, in, s);
        if (adjoint)
            work.adjoint = means[s - first], this->soap.mix_adjoint(work);
        else
            Density{{this->soap}}.put(work, means[s - first]);
    }
    void clear(Workspace&, std::int32_t) const {}
    void expand(Workspace&, std::int32_t) const {}
    std::array<const double*, 3> backward(Workspace& work, const Site& site, const T*) const {
        this->soap.find_slopes(work, site);
        return this->soap.take_back(work);
    }
};

// Calls body(hooks, structures) for so many structures at a time that their means fit into memory.
template <class T>
template <class Body>
void Soap<T>::for_means(const Batch& batch, const Centres& centres, int n_threads, const T* const* cotangents,
                        const Body& body) const {
    const MeanWeights weights(centres, batch.n_structures);
    Centres weighted = centres;
    weighted.weights = weights;
    const Density density{{*this}};
    const std::size_t n = density.n_features();
    const std::size_t step = std::clamp<std::size_t>(memory_of_means / (n * sizeof(T)), 1, 1024);
    this->with(batch, weighted, [&](Environments in) {
        for (std::size_t first = 0; first < batch.n_structures; first += step) {
            in.first = first, in.last = std::min(first + step, batch.n_structures);
            OfMean hooks{{*this}, cotangents != nullptr, first};
            hooks.means.resize(in.last - first);
            local::pool(density, in, n_threads, [&](std::size_t s, Workspace& work, const SumOfRuns& sums) {
                const std::vector<double>& mean = sums.numbers;
                if (!cotangents)
                    return hooks.means[s - first].assign(mean.begin(), mean.end());
                density.put(work, mean);
                couple(work, cotangents[s]);
                const T share = T(1) / static_cast<T>(centres.offsets[s + 1] - centres.offsets[s]);
                for (T& number : work.adjoint) // the coefficients of a centre are a share of the mean
                    number *= share;
                hooks.means[s - first] = work.adjoint;
            });
            body(hooks, in);
        }
    });
}

// Whether products of the species of a structure are added up over its centres and mixed into channels then, as takes
// less time where species are few: work is counted in products of numbers.
template <class T>
bool Soap<T>::mixes_sums(const Environments& in, std::size_t structure) const {
    if (!mixes() || p_.products != SoapParameters::Products::all)
        return false;
    const auto pairs = [](double n) { return n * (n + 1.0) / 2.0; };
    const double n_species = static_cast<double>(in.members(structure).size()), n_channels = p_.n_channels;
    if (n_species > n_channels) // a row has room for the products of the channels
        return false;
    const double n_centres = static_cast<double>(in.centres.offsets[structure + 1] - in.centres.offsets[structure]);
    const double of_pair = static_cast<double>(n_harmonics()) * p_.n_max, of_mixing = p_.l_max + 1.0;
    const double saved = (pairs(n_channels) - pairs(n_species)) * of_pair + n_species * n_channels * n_harmonics();
    const double added = n_channels * n_species * n_species + pairs(n_channels) * n_species;
    return n_centres * saved > added * p_.n_max * of_mixing * static_cast<double>(in.centres.weights.n_rows);
}

template <class T>
struct Soap<T>::Sums : Same {
    static constexpr std::int32_t slots = Soap::slots;
    static constexpr bool keeps_sizes = true;

    Rounding rounding() const { return this->soap.rounding(); }
    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t s) const {
        this->soap.set_up(work, n_slots, in.members(s), this->soap.mixes() && !this->soap.mixes_sums(in, s));
    }
    void clear(Workspace& work, std::int32_t n_slots) const { this->soap.clear(work, n_slots); }
    auto& present(Workspace& work) const { return this->soap.present(work); }
    const T* sum(Workspace& work, std::int32_t n_slots, T* features, bool packed) const {
        return this->soap.sum(work, n_slots, features, packed);
    }
    const double* sizes(const Workspace& work) const { return this->soap.sizes(work); }
};

// p^kk' = sum of W_Zk W_Z'k' p^ZZ' over the species Z and Z', for each row of the sums of a structure.
template <class T>
struct Soap<T>::Mixed {
    const Soap& soap;
    Workspace& work;
    const SumOfRuns& sums;

    template <class Body>
    void for_runs(const Body& body) const {
        if (work.mixes || !soap.mixes())
            return sums.for_runs(body);
        for (std::size_t k = 0; k < sums.runs.size();) {
            const std::size_t row = sums.runs[k].first / soap.n_features_;
            k = unpack(k, row);
            mix(row, body);
        }
    }

private:
    // Products of species a and b as matrices [l][n][n'] in `squares`, from the runs of a row, of which the first is k;
    // and what these amount to. Returns the end of the row.
    std::size_t unpack(std::size_t k, std::size_t row) const {
        const std::int32_t n_species = work.n_groups();
        const std::size_t n = soap.p_.n_max, square = n * n * (soap.p_.l_max + 1), start = row * soap.n_features_;
        grow(work.squares, n_species * n_species * square);
        work.square_sizes.assign(2 * n_species * n_species, 0.0);
        for (std::int32_t a = 0; a < n_species; ++a)
            for (std::int32_t b = a; b < n_species; ++b) {
                const Pair pair = soap.pair_among(n_species, a, b);
                double* const to = work.squares.data() + (a * n_species + b) * square;
                double* const other = work.squares.data() + (b * n_species + a) * square;
                std::size_t at = 0; // in these
                for (; k < sums.runs.size() && sums.runs[k].first < start + pair.last; ++k) {
                    const SumOfRuns::Run& run = sums.runs[k];
                    const double* from = sums.numbers.data() + run.at;
                    const double *const end = from + run.length, size = *end;
                    const std::size_t others = at > 0;
                    work.square_sizes[2 * (a * n_species + b) + others] = size;
                    work.square_sizes[2 * (b * n_species + a) + others] = size;
                    for (; from < end; at += n * n)
                        for (std::size_t i = 0; i < n; ++i)
                            for (std::size_t j = a == b ? i : 0; j < n; ++j)
                                to[at + i * n + j] = other[at + j * n + i] = *from++;
                }
                std::fill(to + at, to + square, 0.0); // where there is none, or no run at all
                std::fill(other + at, other + square, 0.0);
            }
        return k;
    }

    template <class Body>
    void mix(std::size_t row, const Body& body) const {
        const auto combine = kernels().vectors.of<double>().combine;
        const std::int32_t n_species = work.n_groups(), n_channels = soap.p_.n_channels;
        const std::size_t n = soap.p_.n_max, n_l = soap.p_.l_max + 1, square = n * n * n_l,
                          row_of_half = n_species * square;
        constexpr std::int32_t together = 4;         // rows, that stay in cache until they are written
        std::vector<double>& weights = work.weights; // (n_species, n_channels)
        weights.clear();
        for (const std::int32_t species : work.groups) {
            const auto own = soap.p_.embedding.begin() + species * n_channels;
            weights.insert(weights.end(), own, own + n_channels);
        }
        grow(work.half, n_channels * row_of_half), grow(work.whole, together * square);
        work.half_sizes.assign(2 * n_channels * n_species, 0.0);
        work.least.assign(2 * n_channels, 0.0);
        double *const half = work.half.data(), *const whole = work.whole.data();
        double *const least = work.least.data(), *const least_of_others = least + n_channels;
        for (std::int32_t b = 0; b < n_species; ++b) {
            combine({square, n_species, n_channels, work.squares.data() + b * square, row_of_half, weights.data(),
                     static_cast<std::size_t>(n_channels), least, half + b * square, row_of_half});
            for (std::int32_t k = 0; k < n_channels; ++k)
                for (std::int32_t a = 0; a < n_species; ++a)
                    for (std::size_t part = 0; part < 2; ++part)
                        work.half_sizes[2 * (k * n_species + b) + part] +=
                            std::abs(weights[a * n_channels + k]) * work.square_sizes[2 * (a * n_species + b) + part];
        }
        for (std::int32_t k = 0; k < n_channels; ++k) {
            constexpr double share = left_of_cancelling<T> / left_of_equals<T>; // sizes are shares already
            for (std::int32_t other = k; other < n_channels; ++other) {
                double sizes[2] = {0.0, 0.0};
                for (std::int32_t b = 0; b < n_species; ++b)
                    for (std::size_t part = 0; part < 2; ++part)
                        sizes[part] += share * std::abs(weights[b * n_channels + other]) *
                                       work.half_sizes[2 * (k * n_species + b) + part];
                least[other] = sizes[0], least_of_others[other] = sizes[1];
            }
            for (std::int32_t first = k; first < n_channels; first += together) {
                const std::int32_t end = std::min(first + together, n_channels);
                const auto combine_part = [&](std::size_t begin, std::size_t length, const double* smallest) {
                    combine({length, n_species, end - first, half + k * row_of_half + begin, square,
                             weights.data() + first, static_cast<std::size_t>(n_channels), smallest + first,
                             whole + begin, square});
                };
                combine_part(0, n * n, least);
                combine_part(n * n, square - n * n, least_of_others);
                double* to = whole; // of a pair of equal channels half is kept
                for (std::size_t l = 0; l < n_l && first == k; ++l)
                    for (std::size_t i = 0; i < n; ++i)
                        for (std::size_t j = i; j < n; ++j)
                            *to++ = whole[(l * n + i) * n + j];
                for (std::int32_t other = first; other < end; ++other) {
                    const Pair pair = soap.pair_of(k, other);
                    const std::size_t start = row * soap.n_features_;
                    body(FeatureRun{start + pair.first, start + pair.last}, whole + (other - first) * square);
                }
            }
        }
    }
};

template <class T>
template <class Out>
void Soap<T>::compute_as(const Batch& batch, const Centres& centres, int n_threads, Out* out) const {
    if (!p_.averages && mixes() && centres.weights)
        return this->with(batch, centres, [&](const Environments& in) {
            const Sums hooks{{*this}};
            local::pool(hooks, in, n_threads, [&](std::size_t s, Workspace& work, const SumOfRuns& sums) {
                write_sums(s, Mixed{*this, work, sums}, centres.weights.n_rows * n_features_, out);
            });
        });
    if (!p_.averages)
        return Base::compute_as(batch, centres, n_threads, out);
    const MeanWeights weights(centres, batch.n_structures);
    Centres weighted = centres;
    weighted.weights = weights;
    const Density density{{*this}};
    this->with(batch, weighted, [&](const Environments& in) {
        local::pool(density, in, n_threads, [&](std::size_t s, Workspace& work, const SumOfRuns& sums) {
            density.put(work, sums.numbers);
            local::write_row(*this, work, work.features, s, out);
        });
    });
}

template <class T>
void Soap<T>::vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                  const CotangentRows<T>& cotangents, double* positions, double* strain, T* features) const {
    if (!p_.averages)
        return Base::vjp(batch, centres, attach, n_threads, cotangents, positions, strain, features);
    if (features)
        compute_as(batch, centres, n_threads, features);
    const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
    for (std::size_t j = 0; j < cotangents.n; ++j) {
        GradientSum gradient(batch, 1, positions + j * 3 * n_atoms,
                             strain ? strain + j * 9 * batch.n_structures : nullptr);
        const auto own = cotangents.first.begin() + static_cast<std::ptrdiff_t>(j * batch.n_structures);
        const CotangentRows<T> one{1, {own, own + static_cast<std::ptrdiff_t>(batch.n_structures)}};
        for_means(batch, centres, n_threads, one.first.data(), [&](const OfMean& hooks, const Environments& in) {
            const Environments plain{batch, centres, in.kinds, in.first, in.last}; // the adjoints hold the weights
            local::contract(hooks, plain, attach, n_threads, one, static_cast<T*>(nullptr), gradient);
        });
    }
}

template <class T>
void Soap<T>::jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                       JacobianOut<T> out) const {
    if (!p_.averages)
        return Base::jacobian(batch, centres, attach, n_threads, out);
    if (out.features)
        compute_as(batch, centres, n_threads, out.features);
    out.features = nullptr;
    for_means(batch, centres, n_threads, nullptr, [&](const OfMean& hooks, const Environments& in) {
        local::differentiate(hooks, in, attach, n_threads, out);
    });
}

template <class T>
void Soap<T>::pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const PairRows<T>& out) const {
    if (!p_.averages)
        return Base::pair_jacobian(batch, centres, n_threads, out);
    for_means(batch, centres, n_threads, nullptr, [&](const OfMean& hooks, const Environments& in) {
        local::differentiate_pairs(hooks, in, n_threads, out);
    });
}

template class Soap<double>;
template class LocalCalculator<Soap<double>, double>;
template class Soap<float>;
template class LocalCalculator<Soap<float>, float>;

} // namespace atomprint
