// SOAP's derivatives, contracted with weights on the features (vjp) and for each feature (jacobian, pairs).
//
// All of them are derivatives with respect to the vectors from centres to neighbours, taken to atoms and
// strain as in scatter.hpp.
#include <array>
#include <cmath>
#include <cstring>

#include "local/soap.hpp"
#include "local/soap_work.hpp"

namespace atomprint {

namespace {

// Coefficients of structures that are kept between the passes of an inner average, in bytes.
constexpr std::size_t memory_of_means = std::size_t{32} << 20;

} // namespace

template <class T>
void Soap<T>::prepare_gradients(Workspace& work) const {
    if (work.ready())
        return;
    prepare(work, 1);
    work.adjoint.assign(n_coefficients() + vector_slack, T(0));
    if (mixes())
        work.mixed_adjoint.assign(
            static_cast<std::size_t>(p_.l_max + 1) * (p_.l_max + 1) * n_groups_ * n_pad_ + vector_slack,
            T(0));
    work.couple_scratch.resize(static_cast<std::size_t>(p_.n_max) * n_pad_ + vector_slack);
}

// Derivatives of the weights of the collected neighbours.
template <class T>
void Soap<T>::find_slopes(Workspace& work, const NeighbourFinder& finder, const std::int32_t* species) const {
    const std::size_t n = work.found.n;
    if (work.slope.size() < n) {
        work.slope.assign(2 * n, 0.0);
        for (auto& component : work.gradient)
            component.resize(2 * n);
    }
    if (p_.weighting.constant())
        return;
    for (std::size_t k = 0; k < n; ++k)
        work.slope[k] = p_.species_weights[species[finder.atom[work.image[k]]]] *
                        p_.weighting.template value_and_slope<true>(work.r[k]).second;
}

// Adjoint of the coefficients in work.coefficients, in the columns of the channels.
template <class T>
void Soap<T>::couple(Workspace& work, const T* cotangent) const {
    const Coefficients<T> c = work.view(n_columns_),
                          adjoint{work.adjoint.data(), work.first.data(), n_columns_};
    const std::int32_t total = p_.n_channels;
    const auto present = [&](std::int32_t group) { return group == total || work.present[group]; };
    for (std::int32_t group = 0; group < total + has_total(); ++group) {
        if (!present(group))
            continue;
        work.couplings.clear();
        for (const Coupling& coupling : couplings_[group])
            if (present(coupling.partner / n_pad_))
                work.couplings.push_back(coupling);
        soap_kernels<T>().couple(power_, cotangent, work.couplings.data(),
                                 static_cast<std::int32_t>(work.couplings.size()), n_pad_, c, adjoint,
                                 group * n_pad_, work.couple_scratch.data());
    }
    if (has_total()) // the total is the sum of the channels
        for (std::size_t row = 0; row < n_coefficients(); row += n_columns_)
            for (std::int32_t group = 0; group < total; ++group)
                if (work.present[group])
                    for (std::int32_t n = 0; n < n_pad_; ++n)
                        work.adjoint[row + group * n_pad_ + n] += work.adjoint[row + total * n_pad_ + n];
    mix_adjoint(work);
}

// From the adjoint of the channels to that of the species.
template <class T>
void Soap<T>::mix_adjoint(Workspace& work) const {
    if (!mixes())
        return;
    const std::size_t n_lm = static_cast<std::size_t>(p_.l_max + 1) * (p_.l_max + 1);
    for (std::size_t row = 0; row < n_lm; ++row)
        for (std::int32_t g = 0; g < n_groups_; ++g) {
            const T* from = work.adjoint.data() + row * n_columns_;
            T* to = work.mixed_adjoint.data() + (row * n_groups_ + g) * n_pad_;
            std::fill(to, to + n_pad_, T(0));
            for (std::int32_t channel = 0; channel < p_.n_channels; ++channel) {
                const T factor = static_cast<T>(p_.embedding[g * p_.n_channels + channel]);
                for (std::int32_t n = 0; n < n_pad_; ++n)
                    to[n] += factor * from[channel * n_pad_ + n];
            }
        }
}

// From the adjoint to work.gradient, for the collected neighbours.
template <class T>
void Soap<T>::backward(Workspace& work) const {
    double* const gradient[3] = {work.gradient[0].data(), work.gradient[1].data(), work.gradient[2].data()};
    const Coefficients<T> adjoint =
        mixes() ? Coefficients<T>{work.mixed_adjoint.data(), work.mixed_first.data(), n_groups_ * n_pad_}
                : Coefficients<T>{work.adjoint.data(), work.first.data(), n_columns_};
    soap_kernels<T>().backward(expansion_, work.neighbourhood(), work.scratch.data(), adjoint,
                               work.columns.data(), gradient);
}

template <class T>
void Soap<T>::vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const T* cotangents,
                  double* positions, double* strain, T* features) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    GradientSum gradient(batch, positions, strain);
    if (features && p_.average != Average::off)
        compute(batch, centres, n_threads, features);

    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    // For an inner average: the adjoint of the mean coefficients, for a run of structures at a time.
    std::vector<AlignedVector<T>> adjoints;
    std::size_t first = 0;

    const auto run_centres = [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
        Workspace& work = workspaces[worker];
        prepare_gradients(work);
        const std::size_t s = run.structure;
        const std::int32_t* kinds = species.data() + batch.offsets[s];
        GradientSum::Part sum = gradient.part(s);
        const double scale = p_.average == Average::off
                                 ? 1.0
                                 : 1.0 / static_cast<double>(centres.offsets[s + 1] - centres.offsets[s]);
        if (p_.average == Average::inner) {
            work.adjoint = adjoints[s - first];
            mix_adjoint(work);
        }
        for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
            collect(work, finder, kinds, centres.points + 3 * centre);
            find_slopes(work, finder, kinds);
            if (p_.average != Average::inner) {
                const auto row = p_.average == Average::off ? static_cast<std::size_t>(centre) : s;
                std::fill(work.present.begin(), work.present.end(), char(0));
                expand(work, 0);
                if (features && p_.average == Average::off)
                    write_power(work, 1, features + row * n_features_);
                else if (has_total())
                    add_total(work, 1);
                couple(work, cotangents + row * n_features_);
            }
            backward(work);
            const std::int64_t own = attach ? centres.atoms[centre] : -1;
            for (std::size_t k = 0; k < work.found.n; ++k) {
                const double g[3] = {work.gradient[0][k], work.gradient[1][k], work.gradient[2][k]};
                const double d[3] = {work.x[k], work.y[k], work.z[k]};
                sum.add(finder.atom[work.image[k]], own, g, d);
            }
        }
        gradient.put(run, std::move(sum), scale);
    };
    const auto finish = [&](std::size_t s, int) { gradient.finish(s); };

    if (p_.average != Average::inner) {
        for_centres(batch, centres, 0, batch.n_structures, p_.cutoff, parts_of_sum, n_threads, run_centres,
                    finish);
        return;
    }
    const std::size_t run =
        std::clamp<std::size_t>(memory_of_means / (n_coefficients() * sizeof(T)), 1, 1024);
    std::vector<Workspace> coupling(workspaces.size());
    for (; first < batch.n_structures; first += run) {
        const std::size_t last = std::min(first + run, batch.n_structures);
        adjoints.assign(last - first, {});
        sum_coefficients(batch, centres, first, last, n_threads,
                         [&](std::size_t s, int worker, const T* mean, const std::vector<char>& present) {
                             Workspace& work = coupling[worker];
                             prepare_gradients(work);
                             std::copy(mean, mean + n_coefficients(), work.coefficients.begin());
                             work.present = present;
                             if (has_total())
                                 add_total(work, 1);
                             couple(work, cotangents + s * n_features_);
                             adjoints[s - first] = work.adjoint;
                         });
        for_centres(batch, centres, first, last, p_.cutoff, parts_of_sum, n_threads, run_centres, finish);
    }
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
    return p_.n_channels == 1 || kind == group ? 1.0
                                               : 0.0; // a single channel has its weights in the densities
}

template <class T>
std::vector<std::array<std::size_t, 2>> Soap<T>::touched(std::int32_t kind) const {
    std::vector<std::array<std::size_t, 2>> runs;
    for (std::size_t k = 0; k < blocks_.size(); ++k) {
        const std::size_t end = k + 1 < blocks_.size() ? blocks_[k + 1].first : n_features_;
        if (weight_in(kind, blocks_[k].a / n_pad_) == 0.0 && weight_in(kind, blocks_[k].b / n_pad_) == 0.0)
            continue;
        if (!runs.empty() && runs.back()[1] == blocks_[k].first)
            runs.back()[1] = end;
        else
            runs.push_back({blocks_[k].first, end});
    }
    return runs;
}

// The feature blocks to write for a neighbour of this species; `compact` numbers them without those that no
// atom of the species touches.
template <class T>
void Soap<T>::choose_blocks(Workspace& work, std::int32_t kind, bool compact) const {
    work.blocks.clear();
    std::size_t at = 0;
    const auto present = [&](std::int32_t group) { return group == p_.n_channels || work.present[group]; };
    for (std::size_t k = 0; k < blocks_.size(); ++k) {
        const PowerBlock& block = blocks_[k];
        const std::int32_t a = block.a / n_pad_, b = block.b / n_pad_;
        const double u_a = weight_in(kind, a), u_b = weight_in(kind, b);
        if (u_a == 0.0 && u_b == 0.0)
            continue;
        const std::size_t end = k + 1 < blocks_.size() ? blocks_[k + 1].first : n_features_;
        // A factor without density contributes nothing, and its columns hold no numbers.
        const T w_a = present(b) ? static_cast<T>(u_a) : T(0), w_b = present(a) ? static_cast<T>(u_b) : T(0);
        if (w_a != T(0) || w_b != T(0))
            work.blocks.push_back({block.a, block.b, w_a, w_b, block.triangular, compact ? at : block.first});
        at += end - block.first;
    }
}

// Values and slopes of the radial functions and harmonics of all collected neighbours; `scale` goes into
// them.
template <class T>
void Soap<T>::differentiate(Workspace& work, T scale) const {
    const std::size_t n = work.found.n, n_functions = static_cast<std::size_t>(p_.l_max + 1) * n_pad_;
    const auto grow = [](AlignedVector<T>& values, std::size_t size) {
        if (values.size() < size + vector_slack)
            values.resize(2 * size + vector_slack);
    };
    grow(work.values, n * n_functions), grow(work.slopes, n * n_functions);
    grow(work.harmonics, soap_kernels<T>().harmonics_size(expansion_, static_cast<std::int32_t>(n)));
    grow(work.projections, static_cast<std::size_t>(p_.l_max + 1) * 4 * n_columns_);
    std::vector<T> factor(prefactor_);
    for (T& number : factor)
        number *= scale;
    soap_kernels<T>().differentiate(expansion_, work.neighbourhood(), factor.data(), work.scratch.data(),
                                    work.values.data(), work.slopes.data(), work.harmonics.data());
}

// The chosen blocks of the derivative with respect to the vector to one neighbour.
template <class T>
void Soap<T>::write_gradient(Workspace& work, std::int32_t neighbour, T* out, std::size_t stride) const {
    const auto& kernel = soap_kernels<T>();
    const std::size_t n_functions = static_cast<std::size_t>(p_.l_max + 1) * n_pad_;
    kernel.project(expansion_, work.harmonics.data(), neighbour, work.view(n_columns_),
                   work.projections.data());
    const double r = work.r[neighbour], inverse = r > 0.0 ? 1.0 / r : 0.0;
    const double unit[3] = {work.x[neighbour] * inverse, work.y[neighbour] * inverse,
                            work.z[neighbour] * inverse};
    kernel.gradient(power_, n_pad_, work.blocks.data(), static_cast<std::int32_t>(work.blocks.size()),
                    work.values.data() + neighbour * n_functions,
                    work.slopes.data() + neighbour * n_functions, work.projections.data(), unit, out, stride);
}

// Calls body for each centre that is needed, with its neighbours collected, their slopes, and in
// work.coefficients those that the features of its row are made of. Features are written too unless null.
// With `one_run` one thread does all centres of a structure, one after the other.
template <class T>
void Soap<T>::for_rows(const Batch& batch, const Centres& centres, bool one_run, int n_threads, T* features,
                       const Needs& needs, const Site& body) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    if (features && p_.average != Average::off)
        compute(batch, centres, n_threads, features);
    struct Mean {
        AlignedVector<T> coefficients;
        std::vector<char> present;
    };
    std::vector<Mean> means;
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    const std::size_t step =
        p_.average == Average::inner
            ? std::clamp<std::size_t>(memory_of_means / (n_coefficients() * sizeof(T)), 1, 1024)
            : std::max<std::size_t>(batch.n_structures, 1);
    for (std::size_t first = 0; first < batch.n_structures; first += step) {
        const std::size_t last = std::min(first + step, batch.n_structures);
        if (p_.average == Average::inner) {
            means.assign(last - first, {});
            sum_coefficients(batch, centres, first, last, n_threads,
                             [&](std::size_t s, int, const T* mean, const std::vector<char>& present) {
                                 means[s - first].coefficients.assign(mean, mean + n_coefficients());
                                 means[s - first].present = present;
                             });
        }
        for_centres(
            batch, centres, first, last, p_.cutoff, one_run ? 1 : std::size_t(-1) / 2, n_threads,
            [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
                Workspace& work = workspaces[worker];
                prepare_gradients(work);
                const std::int32_t* kinds = species.data() + batch.offsets[run.structure];
                if (p_.average == Average::inner) {
                    const Mean& mean = means[run.structure - first];
                    std::copy(mean.coefficients.begin(), mean.coefficients.end(), work.coefficients.begin());
                    work.present = mean.present;
                    if (has_total())
                        add_total(work, 1);
                }
                const double n_centres =
                    static_cast<double>(centres.offsets[run.structure + 1] - centres.offsets[run.structure]);
                const T scale = p_.average == Average::off ? T(1) : static_cast<T>(1.0 / n_centres);
                for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                    collect(work, finder, kinds, centres.points + 3 * centre);
                    const bool needed = needs(work, run.structure, centre, finder);
                    if (!needed && (!features || p_.average != Average::off))
                        continue;
                    find_slopes(work, finder, kinds);
                    if (p_.average != Average::inner) {
                        std::fill(work.present.begin(), work.present.end(), char(0));
                        expand(work, 0);
                        if (features && p_.average == Average::off)
                            write_power(work, 1, features + static_cast<std::size_t>(centre) * n_features_);
                        else if (has_total())
                            add_total(work, 1);
                    }
                    if (!needed)
                        continue;
                    differentiate(work, scale);
                    body(work, run.structure, centre, finder);
                }
            },
            [](std::size_t, int) {});
    }
}

template <class T>
void Soap<T>::jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                       const JacobianOut<T>& out) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    const auto add_scaled = soap_kernels<T>().add_scaled;
    const std::size_t slab = 3 * n_features_;
    const bool averages = p_.average != Average::off;
    std::vector<std::int64_t> selected(batch.n_structures, 0);
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        for (std::int64_t atom = batch.offsets[s]; atom < batch.offsets[s + 1]; ++atom)
            selected[s] += out.slots[atom] >= 0;

    const Site body = [&](Workspace& work, std::size_t s, std::int64_t centre,
                          const NeighbourFinder& finder) {
        const std::int32_t* kinds = species.data() + batch.offsets[s];
        const std::int64_t* slots = out.slots + batch.offsets[s];
        const std::int64_t row = averages ? 0 : centre - centres.offsets[s];
        T* const rows =
            out.positions ? out.positions + (out.row_offsets[s] + row * selected[s]) * slab : nullptr;
        T* const strain =
            out.strain ? out.strain + (averages ? s : static_cast<std::size_t>(centre)) * 3 * slab : nullptr;
        if (work.slab.size() < slab + vector_slack)
            work.slab.resize(slab + vector_slack);
        const std::int64_t own = attach ? centres.atoms[centre] : -1;
        const std::int64_t own_slot = own >= 0 && rows ? slots[own] : -1;
        std::int32_t last_kind = -1;
        for (std::size_t k = 0; k < work.found.n; ++k) {
            const std::int32_t atom = finder.atom[work.image[k]];
            // What moves with the centre does not change it.
            const std::int64_t slot = rows && atom != own ? slots[atom] : -1;
            const bool pulls = own_slot >= 0 && atom != own;
            if (slot < 0 && !pulls && !strain)
                continue;
            const std::int32_t kind = kinds[atom];
            if (kind != last_kind)
                choose_blocks(work, kind, false);
            last_kind = kind;
            // Atoms that no other image or centre has written to take the derivative as it comes.
            T* const target = slot >= 0 ? rows + slot * slab : nullptr;
            bool fresh = target && !averages;
            for (std::size_t before = 0; fresh && before < k; ++before)
                fresh = finder.atom[work.image[before]] != atom;
            fresh = fresh && slot != own_slot;
            T* const to = fresh ? target : work.slab.data();
            write_gradient(work, static_cast<std::int32_t>(k), to, n_features_);
            const double d[3] = {work.x[k], work.y[k], work.z[k]};
            for (const GradientBlock<T>& block : work.blocks) {
                const std::size_t length = block_length(block);
                for (int a = 0; a < 3; ++a) {
                    const T* from = to + a * n_features_ + block.first;
                    if (target && !fresh)
                        add_scaled(length, T(1), from, target + a * n_features_ + block.first);
                    if (pulls)
                        add_scaled(length, T(-1), from,
                                   rows + own_slot * slab + a * n_features_ + block.first);
                    // The sum over all neighbours is symmetric, as the features are invariant to rotations.
                    for (int b = a; strain && b < 3; ++b)
                        add_scaled(length, static_cast<T>(d[b]), from,
                                   strain + (3 * a + b) * n_features_ + block.first);
                }
            }
        }
    };
    // Centres that no selected atom is near cost no more than their neighbours, and their features.
    const Needs needs = [&](const Workspace& work, std::size_t s, std::int64_t,
                            const NeighbourFinder& finder) {
        const std::int64_t* slots = out.slots + batch.offsets[s];
        bool near = out.strain != nullptr;
        for (std::size_t k = 0; out.positions && !near && k < work.found.n; ++k)
            near = slots[finder.atom[work.image[k]]] >= 0;
        return near;
    };
    for_rows(batch, centres, averages, n_threads, out.features, needs, body);
    if (!out.strain)
        return;
    const std::size_t n_rows =
        averages ? batch.n_structures : static_cast<std::size_t>(centres.offsets[batch.n_structures]);
    for (std::size_t row = 0; row < n_rows; ++row)
        for (int a = 0; a < 3; ++a)
            for (int b = 0; b < a; ++b) {
                T* const strain = out.strain + row * 3 * slab;
                std::copy_n(strain + (3 * b + a) * n_features_, n_features_,
                            strain + (3 * a + b) * n_features_);
            }
}

template <class T>
PairList Soap<T>::pairs(const Batch& batch, const Centres& centres, int n_threads) const {
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    return list_pairs(batch, p_.species.of(batch).data(), static_cast<std::size_t>(p_.species.size()),
                      centres, p_.cutoff, n_threads,
                      [&](int worker, const NeighbourFinder& finder, const std::int32_t* kinds,
                          std::int64_t centre) -> NeighbourList {
                          Workspace& work = workspaces[worker];
                          collect(work, finder, kinds, centres.points + 3 * centre);
                          return {work.found.n, work.image.data(), work.x.data(), work.y.data(),
                                  work.z.data()};
                      });
}

template <class T>
void Soap<T>::pair_jacobian(const Batch& batch, const Centres& centres, int n_threads,
                            const std::int64_t* first, const std::int64_t* value_offsets, T* values) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    std::vector<std::size_t> n_touched;
    for (std::int32_t kind = 0; kind < p_.species.size(); ++kind) {
        std::size_t n = 0;
        for (const auto& [begin, end] : touched(kind))
            n += end - begin;
        n_touched.push_back(n);
    }
    const Site body = [&](Workspace& work, std::size_t s, std::int64_t centre,
                          const NeighbourFinder& finder) {
        const std::int32_t* kinds = species.data() + batch.offsets[s];
        std::vector<std::int64_t> at(first + centre * p_.species.size(),
                                     first + (centre + 1) * p_.species.size());
        std::int32_t last_kind = -1;
        for (std::size_t k = 0; k < work.found.n; ++k) {
            const std::int32_t kind = kinds[finder.atom[work.image[k]]];
            const std::size_t width = n_touched[kind];
            T* const to = values + value_offsets[kind] + static_cast<std::size_t>(at[kind]++) * 3 * width;
            if (kind != last_kind)
                choose_blocks(work, kind, true);
            last_kind = kind;
            std::size_t written = 0;
            for (const GradientBlock<T>& block : work.blocks)
                written += block_length(block);
            if (written < width) // with species that are not there
                std::memset(to, 0, 3 * width * sizeof(T));
            write_gradient(work, static_cast<std::int32_t>(k), to, width);
        }
    };
    const Needs all = [](const Workspace&, std::size_t, std::int64_t, const NeighbourFinder&) {
        return true;
    };
    for_rows(batch, centres, false, n_threads, nullptr, all, body);
}

template void Soap<double>::vjp(const Batch&, const Centres&, bool, int, const double*, double*, double*,
                                double*) const;
template void Soap<double>::jacobian(const Batch&, const Centres&, bool, int,
                                     const JacobianOut<double>&) const;
template PairList Soap<double>::pairs(const Batch&, const Centres&, int) const;
template std::vector<std::array<std::size_t, 2>> Soap<double>::touched(std::int32_t) const;
template void Soap<double>::pair_jacobian(const Batch&, const Centres&, int, const std::int64_t*,
                                          const std::int64_t*, double*) const;
template void Soap<float>::vjp(const Batch&, const Centres&, bool, int, const float*, double*, double*,
                               float*) const;
template void Soap<float>::jacobian(const Batch&, const Centres&, bool, int, const JacobianOut<float>&) const;
template PairList Soap<float>::pairs(const Batch&, const Centres&, int) const;
template std::vector<std::array<std::size_t, 2>> Soap<float>::touched(std::int32_t) const;
template void Soap<float>::pair_jacobian(const Batch&, const Centres&, int, const std::int64_t*,
                                         const std::int64_t*, float*) const;

} // namespace atomprint
