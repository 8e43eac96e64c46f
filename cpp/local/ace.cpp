#include "local/ace.hpp"

#include <algorithm>

namespace atomprint {

// The memory of a thread. Centres are collected one after the other into the lanes of a block.
template <class T>
struct Ace<T>::Workspace {
    AceFinder finder;
    AceAround<T> around[ace_lanes<T>];
    AceGroups<T> groups; // the species of the structure
    AlignedVector<T> scratch, densities, x, values, features, adjoint;
    AlignedVector<T> family_sizes; // of the features of each lane
    std::vector<double> sizes;     // of runs of what was summed
    T* density[ace_lanes<T>];
    std::int32_t used = 0, chosen = 0; // lanes that are expanded; the centre that hooks are about
    bool packed = false, evaluated = false;
    std::vector<char> has_channel, has_group;
    std::vector<FeatureRun> there, runs, compact_runs;
    std::vector<double> gradient[3];
    // For the derivatives of each feature: by A, and of the density by the vectors to some neighbours, in the form of
    // AceKernels::slopes.
    bool compact = false;
    AlignedVector<T> slot_values, slopes, mixed, block;
    std::size_t stride = 0;
    std::int64_t in_block = -1; // neighbours that `block` holds, by ace_lanes

    AceAround<T>& own() { return around[chosen]; }
    const AceAround<T>& own() const { return around[chosen]; }
};

template <class T>
Ace<T>::Ace(const AceBasis& basis) : basis_(basis), model_(basis_), gradients_(basis_) {
    for (std::int32_t k = 0; k < basis_.n_functions(); ++k) {
        const auto feature = static_cast<std::size_t>(k);
        auto channels = basis_.channels_of(k);
        const std::int32_t order = basis_.order_of(k);
        if (families_.empty() || families_.back().channels != channels || families_.back().order != order)
            families_.push_back({{feature, feature + 1}, std::move(channels), order});
        else
            families_.back().run.last = feature + 1;
    }
    for (const Family& family : families_)
        family_first_.push_back(static_cast<std::int32_t>(family.run.first));
    family_first_.push_back(basis_.n_functions());
    for (std::int32_t kind = 0; kind < species().size(); ++kind) {
        std::vector<FeatureRun>& runs = touched_.emplace_back();
        for (const auto& [run, channels, order] : families_) {
            if (std::none_of(channels.all.begin(), channels.all.end(),
                             [&](std::int32_t c) { return basis_.has(c, kind); }))
                continue;
            if (!runs.empty() && runs.back().last == run.first)
                runs.back().last = run.last;
            else
                runs.push_back(run);
        }
    }
}

template <class T>
void Ace<T>::begin(Workspace& work, std::int32_t, const Environments& in, std::size_t structure) const {
    work.used = work.chosen = 0;
    work.groups.set(basis_, in.members(structure));
    const AceShape<T>& shape = model_.shape();
    const std::size_t n_columns = static_cast<std::size_t>(work.groups.size()) * shape.n_pad;
    const std::size_t size = (n_columns * shape.n_lm() + 63) / 64 * 64;
    grow(work.densities, size * ace_lanes<T>);
    for (std::int32_t lane = 0; lane < ace_lanes<T>; ++lane)
        work.density[lane] = work.densities.data() + lane * size;
    grow(work.x, static_cast<std::size_t>(model_.program().size()) * ace_lanes<T>);
    clear(work, 0);
}

template <class T>
void Ace<T>::clear(Workspace& work, std::int32_t) const {
    work.used = 0;
    work.packed = work.evaluated = false;
}

template <class T>
void Ace<T>::collect(Workspace& work, const Site& site) const {
    work.chosen = work.used;
    work.finder.collect(site, model_, work.groups, work.own());
}

template <class T>
NeighbourList Ace<T>::neighbours(const Workspace& work) const {
    return work.own().list();
}

template <class T>
void Ace<T>::expand(Workspace& work, std::int32_t slot) const {
    const auto& kernel = ace_kernels<T>();
    const AceNeighbours<T> around = work.around[slot].view(work.groups.size());
    grow(work.scratch, kernel.scratch_size(model_.shape(), around.n));
    kernel.expand(model_.shape(), around, work.scratch.data(), work.density[slot]);
    work.used = slot + 1;
}

template <class T>
void Ace<T>::choose(Workspace& work, std::int32_t slot) const {
    work.chosen = slot;
}

// From the densities to X.
template <class T>
void Ace<T>::pack(Workspace& work) const {
    if (work.packed)
        return;
    const auto& kernel = ace_kernels<T>();
    kernel.pack(model_.shape(), work.groups.channels(), work.groups.size(), work.density, work.used, work.x.data());
    kernel.products(model_.program(), work.x.data());
    work.packed = true;
}

// All functions of all centres, to rows.
template <class T>
void Ace<T>::evaluate(Workspace& work) const {
    if (work.evaluated)
        return;
    pack(work);
    const auto& kernel = ace_kernels<T>();
    const std::size_t n = n_features();
    grow(work.values, n * ace_lanes<T>), grow(work.features, n * ace_lanes<T>);
    kernel.functions(model_.program(), work.x.data(), work.values.data());
    // What symmetry forbids is nothing but rounding.
    grow(work.family_sizes, families_.size() * ace_lanes<T>);
    kernel.drop_rounding(static_cast<std::int32_t>(families_.size()), family_first_.data(),
                         static_cast<T>(left_of_cancelling<T>), work.values.data(), work.family_sizes.data());
    T* rows[ace_lanes<T>];
    for (std::int32_t lane = 0; lane < ace_lanes<T>; ++lane)
        rows[lane] = work.features.data() + lane * n;
    kernel.transpose(work.values.data(), static_cast<std::int32_t>(n), work.used, rows);
    work.evaluated = true;
}

// Those that lack no channel.
template <class T>
const std::vector<FeatureRun>& Ace<T>::present(Workspace& work) const {
    work.has_group.assign(static_cast<std::size_t>(work.groups.size()), 0);
    for (std::int32_t slot = 0; slot < work.used; ++slot)
        for (const AceSegment<T>& segment : work.around[slot].segments)
            work.has_group[segment.group] = 1;
    const AceMixing<T> mixing = work.groups.channels();
    work.has_channel.assign(static_cast<std::size_t>(mixing.n_outputs), 0);
    for (std::int32_t c = 0; c < mixing.n_outputs; ++c)
        for (std::int32_t j = mixing.first[c]; j < mixing.first[c + 1]; ++j)
            work.has_channel[c] |= work.has_group[mixing.input[j]];
    work.there.clear();
    for (const auto& [run, channels, order] : families_)
        if (std::all_of(channels.needed.begin(), channels.needed.end(),
                        [&](std::int32_t c) { return work.has_channel[c]; }))
            work.there.push_back(run);
    return work.there;
}

// Of one centre, or of all.
template <class T>
const T* Ace<T>::sum(Workspace& work, std::int32_t n_slots, T* features, bool packed) const {
    evaluate(work);
    const std::size_t n = n_features();
    T* to = features;
    for (const FeatureRun& run : work.there) {
        if (!packed)
            to = features + run.first;
        std::copy_n(work.features.data() + (n_slots > 1 ? 0 : work.chosen) * n + run.first, run.length(), to);
        for (std::int32_t slot = 1; slot < n_slots; ++slot) {
            const T* const from = work.features.data() + slot * n + run.first;
            for (std::size_t f = 0; f < run.length(); ++f)
                to[f] += from[f];
        }
        to += run.length();
    }
    work.sizes.clear();
    for (std::size_t k = 0, at = 0; at < work.there.size(); ++k) {
        if (families_[k].run.first != work.there[at].first)
            continue;
        double size = 0.0;
        for (std::int32_t slot = n_slots > 1 ? 0 : work.chosen, left = n_slots; left > 0; ++slot, --left)
            size += static_cast<double>(work.family_sizes[k * ace_lanes<T> + static_cast<std::size_t>(slot)]);
        work.sizes.push_back(size), ++at;
    }
    return features;
}

template <class T>
const double* Ace<T>::sizes(const Workspace& work) const {
    return work.sizes.data();
}

template <class T>
void Ace<T>::couple(Workspace& work, const T* const* cotangents) const {
    pack(work);
    const auto& kernel = ace_kernels<T>();
    grow(work.adjoint, static_cast<std::size_t>(model_.program().size()) * ace_lanes<T>);
    kernel.couple(model_.program(), work.x.data(), cotangents, work.used, work.adjoint.data());
    kernel.products_backward(model_.program(), work.x.data(), work.adjoint.data());
    // In place of the densities, which are not needed any more.
    kernel.unpack(model_.shape(), work.groups.groups(), work.adjoint.data(), work.used, work.density);
}

// After `couple`, which has seen the cotangents of all centres.
template <class T>
std::array<const double*, 3> Ace<T>::backward(Workspace& work, const Site&, const T*) const {
    for (auto& component : work.gradient)
        grow(component, work.own().n + ace_slack);
    double* const to[3] = {work.gradient[0].data(), work.gradient[1].data(), work.gradient[2].data()};
    ace_kernels<T>().backward(model_.shape(), work.own().view(work.groups.size()), work.scratch.data(),
                              work.density[work.chosen], to);
    return {to[0], to[1], to[2]};
}

template <class T>
void Ace<T>::prepare(Workspace& work, const Site&, T scale) const {
    pack(work);
    const auto& kernel = ace_kernels<T>();
    const AceGradientList<T> list = gradients_.list();
    grow(work.slot_values, static_cast<std::size_t>(list.n_slots));
    kernel.gradients(list, work.x.data(), 1, work.slot_values.data(), 0); // one centre at a time is expanded
    for (std::int32_t s = 0; scale != T(1) && s < list.n_slots; ++s)
        work.slot_values[s] *= scale;
    const AceAround<T>& around = work.own();
    work.stride = (around.n + ace_lanes<T> - 1) / ace_lanes<T> * 3 * ace_lanes<T>;
    grow(work.slopes, work.stride * static_cast<std::size_t>(model_.shape().n_max * model_.shape().n_lm()));
    kernel.slopes(model_.shape(), around.view(work.groups.size()), work.scratch.data(), work.stride,
                  work.slopes.data());
    work.in_block = -1;
}

template <class T>
const std::vector<FeatureRun>& Ace<T>::runs(Workspace& work, std::int32_t kind, bool compact) const {
    work.compact = compact;
    work.runs = touched(kind);
    if (!compact)
        return work.runs;
    work.compact_runs.assign(1, {0, length_of(work.runs)});
    return work.compact_runs;
}

template <class T>
void Ace<T>::gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const {
    constexpr std::size_t L = ace_lanes<T>, width = 3 * L;
    const std::size_t n_padded = (n_features() + L - 1) / L * L;
    if (const auto block = static_cast<std::int64_t>(neighbour / L); work.in_block != block) {
        // The density of each channel by these neighbours, in which they count with the weight of their species.
        const AceMixing<T> groups = work.groups.groups();
        const auto n_own = static_cast<std::size_t>(model_.shape().n_max * model_.shape().n_lm());
        const auto n_a = static_cast<std::size_t>(model_.program().n_a);
        grow(work.mixed, n_a * width), grow(work.block, width * n_padded);
        std::fill_n(work.mixed.begin(), n_a * width, T(0));
        for (const AceSegment<T>& segment : work.own().segments) {
            const auto begin = std::max<std::int64_t>(segment.begin, block * L),
                       end = std::min<std::int64_t>(segment.end, (block + 1) * L);
            for (std::int32_t j = groups.first[segment.group]; begin < end && j < groups.first[segment.group + 1]; ++j)
                for (std::size_t a = 0; a < n_own; ++a) {
                    const T* const from = work.slopes.data() + a * work.stride + block * width;
                    T* const to = work.mixed.data() + (groups.input[j] * n_own + a) * width;
                    for (std::size_t c = 0; c < 3; ++c)
                        for (std::int64_t i = begin - block * L; i < static_cast<std::int64_t>(end - block * L); ++i)
                            to[c * L + i] = groups.weight[j] * from[c * L + i];
                }
        }
        T* rows[width];
        for (std::size_t column = 0; column < width; ++column)
            rows[column] = work.block.data() + column * n_padded;
        ace_kernels<T>().jacobian(gradients_.list(), work.slot_values.data(), work.mixed.data(), width, width, false,
                                  rows);
        work.in_block = block;
    }
    for (std::size_t c = 0; c < 3; ++c) {
        const T* const from = work.block.data() + (c * L + neighbour % L) * n_padded;
        T* to = out + c * stride;
        for (const FeatureRun& run : work.runs) {
            std::copy_n(from + run.first, run.length(), work.compact ? to : out + c * stride + run.first);
            to += run.length();
        }
    }
}

template class Ace<double>;
template class LocalCalculator<Ace<double>, double>;
template class Ace<float>;
template class LocalCalculator<Ace<float>, float>;

} // namespace atomprint
