// The loops over the centres of a batch, written once for all local descriptors: features and their sums with
// weights, derivatives contracted with cotangents, of each feature, and by the vectors to neighbours.
//
// A descriptor derives from LocalCalculator and gives hooks, which work on one centre at a time in the memory
// of a thread, its Workspace. They are called in this order, `site` being the centre; begin, clear, present and
// write are there already:
//
//   void begin(Workspace&, std::int32_t n_slots, const Environments&, std::size_t structure) const;
//       Before the first of a run of centres of a structure, with room for n_slots centres.
//   void clear(Workspace&, std::int32_t n_slots) const;
//       Before the next n_slots centres (at most `slots`, or one), whose features are written as one sum.
//   void collect(Workspace&, const Site& site) const;
//       Find the neighbours. All numbers about neighbours are in the order of neighbours(work).
//   NeighbourList neighbours(const Workspace&) const;
//   void expand(Workspace&, std::int32_t slot) const;
//       What the features are made of, for the centre that was collected.
//   const std::vector<FeatureRun>& present(Workspace&) const;
//       The features that can be other than zero, ascending; if it is not given, all. Runs of several centres are the
//       same, or have no feature in common.
//   const T* sum(Workspace&, std::int32_t n_slots, T* features, bool packed) const;
//       Features of the expanded centres, added up, with zeros for what is nothing but rounding: those that are
//       present, at their places in `features` or, packed, one run after the other; wherever that is.
//   const double* sizes(const Workspace&) const;
//       What the terms of each run of the features that were summed amount to, where rounding() is of_runs.
//   void write(Workspace&, T* features) const;
//       All features of one centre, from these.
//
// A descriptor may have a number `block`, of centres that go through this together, each for itself: they are collected
// and expanded one after the other, in so many slots, and
//
//   void choose(Workspace&, std::int32_t slot) const;
//       says which of them all calls are about from then on.
//   void couple(Workspace&, const T* const* cotangents) const;
//       The cotangents of all of them, before `backward` of each, which is given none.
//
// For derivatives, after the features of one centre if they are asked for:
//
//   std::array<const double*, 3> backward(Workspace&, const Site& site, const T* cotangent) const;
//       Derivatives of cotangent * features by the vector to each neighbour.
//   void prepare(Workspace&, const Site& site, T scale) const;
//       What the derivatives by all neighbours have in common; they are multiplied by scale.
//   const std::vector<FeatureRun>& runs(Workspace&, std::int32_t kind, bool compact) const;
//       The features that `gradient` writes for neighbours of a species: among all, or with `compact` among
//       those that the species touches.
//   void gradient(Workspace&, std::size_t neighbour, T* out, std::size_t stride) const;
//       Derivatives of these by the vector to one neighbour: numbers from out + component * stride on.
//
// and cutoff(), n_features(), species() and touched(kind), the features that a species touches. Features have
// to be invariant to rotations, and all derivatives are zero by what is not a neighbour.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <span>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "core/centres.hpp"
#include "core/dispatch.hpp"
#include "core/pooling.hpp"
#include "core/scatter.hpp"
#include "core/sparse.hpp"
#include "core/species.hpp"

namespace atomprint {

inline constexpr auto any_number_of_parts = std::size_t(-1) / 2;

// Centres of the structures [first, last) of a batch, and the species of its atoms.
struct Environments {
    const Batch& batch;
    const Centres& centres;
    const Kinds& kinds;
    std::size_t first, last;

    // The species that a structure has.
    std::span<const std::int32_t> members(std::size_t s) const {
        return {kinds.members.data() + kinds.first[s], kinds.first[s + 1] - kinds.first[s]};
    }
};

// One centre, and where to look for its neighbours.
struct Site {
    const NeighbourFinder& finder;
    const std::int32_t* kinds;  // of the atoms of the structure
    const std::int32_t* places; // of these among those that the structure has
    const double* point;
    std::int64_t atom; // that the centre stands for, or -1
    std::int64_t centre;
    std::size_t structure;

    std::int32_t kind(std::int32_t image) const { return kinds[finder.atom[image]]; }
};

// Which derivatives to write, and where. Rows of `positions` are numbered as follows: row r of structure s (a
// centre, or the structure itself where centres have weights) and the atom with slot k have row_offsets[s] +
// r
// * n + k, n being the number of atoms of s with a slot. With weights n_features is that of all rows of a
// structure, one after the other.
template <class T>
struct JacobianOut {
    const std::int64_t* slots;       // (n_atoms), -1: no derivative with respect to this atom
    const std::int64_t* row_offsets; // (n_structures + 1)
    T* positions;                    // (n_out, 3, n_features), zero; or null
    T* strain;                       // (n_rows, 3, 3, n_features), zero; or null
    T* features;                     // (n_rows, n_features), or null
};

// Where derivatives by the vectors of a PairList go.
template <class T>
struct PairRows {
    const std::int64_t* first; // (n_centres, n_kinds), a centre's first pair of each species, among all pairs
    const std::int64_t* to;    // (n_pairs), place in `values`, or -1: not asked for
    T* values;                 // for each pair (3, features that its species touches)
};

namespace local {

template <class H>
inline constexpr std::int32_t block_of = 1;
template <class H>
    requires requires { H::block; }
inline constexpr std::int32_t block_of<H> = H::block;

// Memory of a thread: that of the hooks, room for the features of a centre, and an order of centres.
template <class H>
struct Memory {
    typename H::Workspace work;
    AlignedVector<typename H::Real> row;
    std::vector<const typename H::Real*> cotangents;
    std::vector<std::int64_t> order;
};

inline Site site_of(const Environments& in, const NeighbourFinder& finder, std::size_t structure, std::int64_t c) {
    const std::int64_t first = in.batch.offsets[structure];
    return {finder,
            in.kinds.of_atom.data() + first,
            in.kinds.place.data() + first,
            in.centres.points + 3 * c,
            in.centres.atoms[c],
            c,
            structure};
}

// Calls body(run, memory, site) for each run of centres and finish(structure, work) after the last one of a
// structure; site(c) is centre c.
template <class H, class Body, class Finish>
void for_runs(const H& hooks, const Environments& in, std::int32_t n_slots, std::size_t most_parts, int n_threads,
              const Body& body, const Finish& finish) {
    std::vector<Memory<H>> memories(static_cast<std::size_t>(std::max(n_threads, 1)));
    for_centres(
        in.batch, in.centres, in.first, in.last, hooks.cutoff(), most_parts, n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
            Memory<H>& memory = memories[static_cast<std::size_t>(worker)];
            hooks.begin(memory.work, n_slots, in, run.structure);
            body(run, memory, [&](std::int64_t c) {
                poll();
                return site_of(in, finder, run.structure, c);
            });
        },
        [&](std::size_t s, int worker) { finish(s, memories[static_cast<std::size_t>(worker)].work); });
}

// Writes the features of the expanded centre to a row of all, of numbers or of a sparse matrix, for which there is
// `room`.
template <class H, class Row>
void write_row(const H& hooks, typename H::Workspace& work, Row&, std::size_t row, typename H::Real* out) {
    hooks.write(work, out + row * hooks.n_features());
}

// The same where all is zero already.
template <class H, class Row>
void write_row(const H& hooks, typename H::Workspace& work, Row&, std::size_t row, ZeroRows<typename H::Real>* out) {
    hooks.present(work);
    hooks.sum(work, 1, out->data + row * hooks.n_features(), false);
}

// The same for a sparse matrix.
template <class H, class Row, class Out>
void add_row(const H& hooks, typename H::Workspace& work, Row& room, SparsePart<Out>& to) {
    const auto& runs = hooks.present(work);
    grow(room, length_of(runs));
    to.add(runs, hooks.sum(work, 1, room.data(), true));
    to.end_row();
}
template <class H, class Row, class Out>
void write_row(const H& hooks, typename H::Workspace& work, Row& room, std::size_t row, SparseRows<Out>* out) {
    out->write(static_cast<std::int64_t>(row), [&](SparsePart<Out>& part) { add_row(hooks, work, room, part); });
}

// Expands the next centres from `first` on, as many as go together; returns how many these are.
template <class H, class SiteOf>
std::int32_t expand_block(const H& hooks, typename H::Workspace& work, std::int64_t first, std::int64_t last,
                          const SiteOf& site) {
    const auto used = static_cast<std::int32_t>(std::min<std::int64_t>(block_of<H>, last - first));
    hooks.clear(work, used);
    for (std::int32_t slot = 0; slot < used; ++slot) {
        hooks.collect(work, site(first + slot));
        hooks.expand(work, slot);
    }
    return used;
}

// Features of all centres, as numbers or as a sparse matrix.
template <class H, class Out>
void write_features(const H& hooks, const Environments& in, int n_threads, Out* out) {
    for_runs(
        hooks, in, 1, any_number_of_parts, n_threads,
        [&](const CentreRun& run, Memory<H>& memory, const auto& site) {
            const auto for_all = [&](const auto& put) {
                for (std::int64_t first = run.begin; first < run.end; first += block_of<H>) {
                    const std::int32_t used = expand_block(hooks, memory.work, first, run.end, site);
                    for (std::int32_t slot = 0; slot < used; ++slot) {
                        if constexpr (block_of<H> > 1)
                            hooks.choose(memory.work, slot);
                        put(static_cast<std::size_t>(first + slot));
                    }
                }
            };
            if constexpr (is_sparse<Out>)
                out->write(run.begin, [&](auto& part) {
                    for_all([&](std::size_t) { add_row(hooks, memory.work, memory.row, part); });
                });
            else
                for_all([&](std::size_t c) { write_row(hooks, memory.work, memory.row, c, out); });
        },
        [](std::size_t, auto&) {});
}

// Calls done(structure, work, sums) with the weighted sums over the centres of each structure.
template <class H, class Done>
void pool(const H& hooks, const Environments& in, int n_threads, const Done& done) {
    WeightedSums sums(in.last, in.centres.weights, hooks.n_features(),
                      static_cast<std::size_t>(in.centres.offsets[in.batch.n_structures]), hooks.rounding(),
                      H::keeps_sizes);
    for_runs(
        hooks, in, H::slots, sums.most_parts(), n_threads,
        [&](const CentreRun& run, Memory<H>& memory, const auto& site) {
            WeightedSums::Part part;
            for_alike(in.centres.weights, run, H::slots, memory.order,
                      [&](const std::int64_t* members, std::size_t used) {
                          hooks.clear(memory.work, H::slots);
                          for (std::size_t slot = 0; slot < used; ++slot) {
                              hooks.collect(memory.work, site(members[slot]));
                              hooks.expand(memory.work, static_cast<std::int32_t>(slot));
                          }
                          const auto& runs = hooks.present(memory.work);
                          grow(memory.row, length_of(runs));
                          const auto* const features =
                              hooks.sum(memory.work, static_cast<std::int32_t>(used), memory.row.data(), true);
                          sums.add(part, members[0], runs, features, hooks.sizes(memory.work));
                      });
            sums.put(run, std::move(part));
        },
        [&](std::size_t s, auto& work) { done(s, work, sums.finished(sums.take(s))); });
}

// Derivatives of cotangents * features, for as many cotangents as there are sums; rows are centres, or those
// of structures where centres have weights. Features of centres are written too unless null.
template <class H>
void contract(const H& hooks, const Environments& in, bool attach, int n_threads,
              const CotangentRows<typename H::Real>& cotangents, typename H::Real* features, GradientSum& gradient) {
    using T = typename H::Real;
    const std::size_t n = hooks.n_features(), n_sums = gradient.size();
    const Cotangents<T> weights(in.centres.weights, in.centres.offsets, n, cotangents);
    for_runs(
        hooks, in, 1, parts_of_sum, n_threads,
        [&](const CentreRun& run, Memory<H>& memory, const auto& site) {
            GradientSum::Part sum = gradient.part(run.structure);
            std::vector<Site> sites; // of a block that is filled up, with their cotangents
            std::vector<const T*> own(n_sums * block_of<H>);
            const auto add_block = [&] {
                const auto used = static_cast<std::int32_t>(sites.size());
                hooks.clear(memory.work, used);
                for (std::int32_t slot = 0; slot < used; ++slot) {
                    hooks.collect(memory.work, sites[static_cast<std::size_t>(slot)]);
                    hooks.expand(memory.work, slot);
                }
                const auto for_slots = [&](const auto& body) {
                    for (std::int32_t slot = 0; slot < used; ++slot) {
                        if constexpr (block_of<H> > 1)
                            hooks.choose(memory.work, slot);
                        body(sites[static_cast<std::size_t>(slot)], slot);
                    }
                };
                if (features)
                    for_slots([&](const Site& at, std::int32_t) {
                        hooks.write(memory.work, features + static_cast<std::size_t>(at.centre) * n);
                    });
                for (std::size_t j = 0; j < n_sums; ++j) {
                    const T* const* const cotangents_of_slots = own.data() + j * block_of<H>;
                    if constexpr (block_of<H> > 1)
                        hooks.couple(memory.work, cotangents_of_slots);
                    for_slots([&](const Site& at, std::int32_t slot) {
                        const auto by = hooks.backward(memory.work, at, cotangents_of_slots[slot]);
                        sum.add(j, at.finder.atom.data(), attach ? at.atom : -1, hooks.neighbours(memory.work), by);
                    });
                }
                sites.clear();
            };
            for_alike(in.centres.weights, run, any_number_of_parts, memory.order,
                      [&](const std::int64_t* members, std::size_t used) {
                          weights.of(run.structure, members[0], memory.row, memory.cotangents);
                          for (std::size_t k = 0; k < used; ++k) {
                              for (std::size_t j = 0; j < n_sums; ++j)
                                  own[j * block_of<H> + sites.size()] = memory.cotangents[j];
                              sites.push_back(site(members[k]));
                              if (sites.size() == block_of<H>)
                                  add_block();
                          }
                          if (in.centres.weights && !sites.empty()) // whose cotangents are overwritten by the next
                              add_block();
                      });
            if (!sites.empty())
                add_block();
            gradient.put(run, std::move(sum));
        },
        [&](std::size_t s, auto&) { gradient.finish(s); });
}

// A weight that is the only one of its centre goes into all derivatives from the start.
template <class T>
T scale_of(const RowWeights& weights, std::int64_t centre) {
    return weights.is_single(centre) ? static_cast<T>(weights.values[weights.offsets[centre]]) : T(1);
}

// Dense derivatives of each feature. Where centres have weights one thread does all those of a structure, and
// `out` has no features.
template <class H>
void differentiate(const H& hooks, const Environments& in, bool attach, int n_threads,
                   const JacobianOut<typename H::Real>& out) {
    using T = typename H::Real;
    const RowWeights& weights = in.centres.weights;
    const bool together = static_cast<bool>(weights);
    const std::size_t n = hooks.n_features(), width = n * (together ? weights.n_rows : 1), slab = 3 * width;
    const auto add_scaled = kernels().vectors.of<T>().add_scaled;
    std::vector<std::int64_t> selected(in.batch.n_structures, 0);
    for (std::size_t s = 0; s < in.batch.n_structures; ++s)
        for (std::int64_t atom = in.batch.offsets[s]; atom < in.batch.offsets[s + 1]; ++atom)
            selected[s] += out.slots[atom] >= 0;

    // Where the features of a centre go in a row, and the weights that they still need.
    const auto for_places = [&](std::int64_t centre, const auto& body) {
        if (!together)
            return body(std::size_t{0}, T(1));
        for (std::int64_t k = weights.offsets[centre]; k < weights.offsets[centre + 1]; ++k)
            body(static_cast<std::size_t>(weights.rows[k]) * n,
                 weights.is_single(centre) ? T(1) : static_cast<T>(weights.values[k]));
    };
    const auto add_centre = [&](auto& work, const NeighbourList& found, const Site& at, T* slab_of_one) {
        const std::int64_t* slots = out.slots + in.batch.offsets[at.structure];
        const std::int64_t row = together ? 0 : at.centre - in.centres.offsets[at.structure];
        const auto of_strain = together ? at.structure : static_cast<std::size_t>(at.centre);
        T* const rows =
            out.positions
                ? out.positions +
                      static_cast<std::size_t>(out.row_offsets[at.structure] + row * selected[at.structure]) * slab
                : nullptr;
        T* const strain = out.strain ? out.strain + of_strain * 3 * slab : nullptr;
        const std::int64_t own = attach ? at.atom : -1;
        const std::int64_t own_slot = own >= 0 && rows ? slots[own] : -1;
        std::int32_t last_kind = -1;
        const std::vector<FeatureRun>* runs = nullptr;
        for (std::size_t k = 0; k < found.n; ++k) {
            if (k % 16 == 15)
                poll();
            const std::int32_t atom = at.finder.atom[found.image[k]];
            // What moves with the centre does not change it.
            const std::int64_t slot = rows && atom != own ? slots[atom] : -1;
            const bool pulls = own_slot >= 0 && atom != own;
            if (slot < 0 && !pulls && !strain)
                continue;
            if (at.kinds[atom] != last_kind)
                runs = &hooks.runs(work, at.kinds[atom], false);
            last_kind = at.kinds[atom];
            // Atoms that no other image or centre has written to take the derivative as it comes.
            T* const target = slot >= 0 ? rows + static_cast<std::size_t>(slot) * slab : nullptr;
            bool fresh = target && !together && slot != own_slot;
            for (std::size_t before = 0; fresh && before < k; ++before)
                fresh = at.finder.atom[found.image[before]] != atom;
            T* const to = fresh ? target : slab_of_one;
            hooks.gradient(work, k, to, n);
            const double d[3] = {found.x[k], found.y[k], found.z[k]};
            for (const FeatureRun& features : *runs)
                for (std::size_t a = 0; a < 3; ++a) {
                    const T* const from = to + a * n + features.first;
                    for_places(at.centre, [&](std::size_t place, T weight) {
                        const std::size_t first = place + features.first;
                        if (target && !fresh)
                            add_scaled(features.length(), weight, from, target + a * width + first);
                        if (pulls)
                            add_scaled(features.length(), -weight, from,
                                       rows + static_cast<std::size_t>(own_slot) * slab + a * width + first);
                        // The sum over all neighbours is symmetric, as the features are invariant to
                        // rotations.
                        for (std::size_t b = a; strain && b < 3; ++b)
                            add_scaled(features.length(), weight * static_cast<T>(d[b]), from,
                                       strain + (3 * a + b) * width + first);
                    });
                }
        }
    };
    for_runs(
        hooks, in, 1, together ? 1 : any_number_of_parts, n_threads,
        [&](const CentreRun& run, Memory<H>& memory, const auto& site) {
            auto& work = memory.work;
            grow(memory.row, 3 * n);
            const std::int64_t* slots = out.slots + in.batch.offsets[run.structure];
            for (std::int64_t c = run.begin; c < run.end; ++c) {
                const Site at = site(c);
                hooks.clear(work, 1);
                hooks.collect(work, at);
                const NeighbourList found = hooks.neighbours(work);
                // Centres that no selected atom is near or moves cost no more than their neighbours, and
                // features.
                bool needed = out.strain || (out.positions && attach && at.atom >= 0 && slots[at.atom] >= 0);
                for (std::size_t k = 0; out.positions && !needed && k < found.n; ++k)
                    needed = slots[at.finder.atom[found.image[k]]] >= 0;
                if (needed || out.features)
                    hooks.expand(work, 0);
                if (out.features)
                    hooks.write(work, out.features + static_cast<std::size_t>(c) * n);
                if (!needed)
                    continue;
                hooks.prepare(work, at, scale_of<T>(weights, c));
                add_centre(work, found, at, memory.row.data());
            }
        },
        [](std::size_t, auto&) {});
    if (!out.strain)
        return;
    const auto row_of = [&](std::size_t s) { return together ? s : static_cast<std::size_t>(in.centres.offsets[s]); };
    for (std::size_t row = row_of(in.first); row < row_of(in.last); ++row)
        for (std::size_t a = 0; a < 3; ++a)
            for (std::size_t b = 0; b < a; ++b) {
                T* const strain = out.strain + row * 3 * slab;
                std::copy_n(strain + (3 * b + a) * width, width, strain + (3 * a + b) * width);
            }
}

template <class H>
PairList pairs(const H& hooks, const Environments& in, int n_threads) {
    std::vector<typename H::Workspace> workspaces(static_cast<std::size_t>(std::max(n_threads, 1)));
    return list_pairs(in.batch, in.kinds.of_atom.data(), static_cast<std::size_t>(hooks.species().size()), in.centres,
                      hooks.cutoff(), n_threads,
                      [&](int worker, const NeighbourFinder& finder, std::size_t structure, std::int64_t c) {
                          auto& work = workspaces[static_cast<std::size_t>(worker)];
                          hooks.begin(work, 1, in, structure);
                          hooks.collect(work, site_of(in, finder, structure, c));
                          return hooks.neighbours(work);
                      });
}

// These derivatives, times the weight of the centre if it has one only.
template <class H>
void differentiate_pairs(const H& hooks, const Environments& in, int n_threads, const PairRows<typename H::Real>& out) {
    using T = typename H::Real;
    const std::int32_t n_kinds = hooks.species().size();
    std::vector<std::size_t> widths;
    for (std::int32_t kind = 0; kind < n_kinds; ++kind) {
        std::size_t n = 0;
        for (const auto& [begin, end] : hooks.touched(kind))
            n += end - begin;
        widths.push_back(n);
    }
    for_runs(
        hooks, in, 1, any_number_of_parts, n_threads,
        [&](const CentreRun& run, Memory<H>& memory, const auto& site) {
            auto& work = memory.work;
            std::vector<std::int64_t> places; // of the neighbours
            for (std::int64_t c = run.begin; c < run.end; ++c) {
                const Site at = site(c);
                hooks.clear(work, 1);
                hooks.collect(work, at);
                const NeighbourList found = hooks.neighbours(work);
                std::vector<std::int64_t> next(out.first + c * n_kinds, out.first + (c + 1) * n_kinds);
                places.clear();
                for (std::size_t k = 0; k < found.n; ++k)
                    places.push_back(out.to[next[static_cast<std::size_t>(at.kind(found.image[k]))]++]);
                if (std::all_of(places.begin(), places.end(), [](std::int64_t place) { return place < 0; }))
                    continue;
                hooks.expand(work, 0);
                hooks.prepare(work, at, scale_of<T>(in.centres.weights, c));
                std::int32_t last_kind = -1;
                std::size_t written = 0; // less than the width where species are not there
                for (std::size_t k = 0; k < found.n; ++k) {
                    if (places[k] < 0)
                        continue;
                    if (k % 16 == 15)
                        poll();
                    const std::int32_t kind = at.kind(found.image[k]);
                    const std::size_t width = widths[static_cast<std::size_t>(kind)];
                    T* const to = out.values + places[k];
                    if (kind != last_kind) {
                        written = 0;
                        for (const FeatureRun& features : hooks.runs(work, kind, true))
                            written += features.length();
                    }
                    last_kind = kind;
                    if (written < width)
                        std::memset(to, 0, 3 * width * sizeof(T));
                    hooks.gradient(work, k, to, width);
                }
            }
        },
        [](std::size_t, auto&) {});
}

} // namespace local

// What is called from outside. Rows are centres, or structures where centres have weights. A descriptor D
// that can average over the centres of a structure by itself has `averages()`, and rows are structures then.
template <class D, class T>
class LocalCalculator {
public:
    using Real = T;
    // Centres whose features can be added up faster together.
    static constexpr std::int32_t slots = 1;
    static constexpr bool keeps_sizes = false; // of sums, as WeightedSums has them

    bool averages() const { return false; }
    // Sums of terms of one sign are right to the last digits, if not weighted with both signs.
    Rounding rounding() const { return Rounding::of_each; }
    template <class Workspace>
    const double* sizes(const Workspace&) const {
        return nullptr;
    }

    template <class Workspace>
    void begin(Workspace&, std::int32_t, const Environments&, std::size_t) const {}
    template <class Workspace>
    void clear(Workspace&, std::int32_t) const {}
    template <class Workspace>
    std::vector<FeatureRun> present(Workspace&) const {
        return {{0, self().n_features()}};
    }
    template <class Workspace>
    void write(Workspace& work, T* features) const {
        const auto& runs = self().present(work);
        fill_gaps(runs, self().n_features(), features);
        self().sum(work, 1, features, false);
    }

    // The features, written entirely. No result depends on the number of threads.
    void compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const;
    // The same, to rows that are zero, or behind the rows of a sparse matrix.
    void compute(const Batch& batch, const Centres& centres, int n_threads, ZeroRows<T>* out) const;
    void compute(const Batch& batch, const Centres& centres, int n_threads, SparseRows<T>* out) const;

    // The same, rounded to the type of the numbers of `out`.
    template <class Out>
    void compute_as(const Batch& batch, const Centres& centres, int n_threads, Out* out) const;

    // Derivatives of the sum of cotangents * features, for each of these, with respect to the position of each
    // atom, (n_cotangents, n_atoms, 3), and unless null to the strain of each structure, (n_cotangents,
    // n_structures, 3, 3), written entirely. With `attach` a centre with an atom moves with it. Features are
    // written too unless null.
    void vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const CotangentRows<T>& cotangents,
             double* positions, double* strain, T* features) const;

    // Dense derivatives of each feature.
    void jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads, JacobianOut<T> out) const;

    PairList pairs(const Batch& batch, const Centres& centres, int n_threads) const;

    // Derivatives with respect to the vectors of pairs, see local::differentiate_pairs.
    void pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const PairRows<T>& out) const;

protected:
    const D& self() const { return static_cast<const D&>(*this); }

    template <class Body>
    auto with(const Batch& batch, const Centres& centres, const Body& body) const {
        const Kinds kinds = self().species().by_structure(batch);
        return body(Environments{batch, centres, kinds, 0, batch.n_structures});
    }
};

template <class D, class T>
void LocalCalculator<D, T>::compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const {
    self().compute_as(batch, centres, n_threads, out);
}

template <class D, class T>
void LocalCalculator<D, T>::compute(const Batch& batch, const Centres& centres, int n_threads, ZeroRows<T>* out) const {
    self().compute_as(batch, centres, n_threads, out);
}

template <class D, class T>
void LocalCalculator<D, T>::compute(const Batch& batch, const Centres& centres, int n_threads,
                                    SparseRows<T>* out) const {
    self().compute_as(batch, centres, n_threads, out);
}

template <class D, class T>
template <class Out>
void LocalCalculator<D, T>::compute_as(const Batch& batch, const Centres& centres, int n_threads, Out* out) const {
    with(batch, centres, [&](const Environments& in) {
        if (!centres.weights)
            return local::write_features(self(), in, n_threads, out);
        const std::size_t n = centres.weights.n_rows * self().n_features();
        local::pool(self(), in, n_threads,
                    [&](std::size_t s, auto&, const SumOfRuns& sums) { write_sums(s, sums, n, out); });
    });
}

template <class D, class T>
void LocalCalculator<D, T>::vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                                const CotangentRows<T>& cotangents, double* positions, double* strain,
                                T* features) const {
    if (features && centres.weights) {
        compute(batch, centres, n_threads, features);
        features = nullptr;
    }
    GradientSum gradient(batch, cotangents.n, positions, strain);
    with(batch, centres, [&](const Environments& in) {
        local::contract(self(), in, attach, n_threads, cotangents, features, gradient);
    });
}

template <class D, class T>
void LocalCalculator<D, T>::jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads,
                                     JacobianOut<T> out) const {
    if (out.features && centres.weights) {
        compute(batch, centres, n_threads, out.features);
        out.features = nullptr;
    }
    with(batch, centres, [&](const Environments& in) { local::differentiate(self(), in, attach, n_threads, out); });
}

template <class D, class T>
PairList LocalCalculator<D, T>::pairs(const Batch& batch, const Centres& centres, int n_threads) const {
    return with(batch, centres, [&](const Environments& in) { return local::pairs(self(), in, n_threads); });
}

template <class D, class T>
void LocalCalculator<D, T>::pair_jacobian(const Batch& batch, const Centres& centres, int n_threads,
                                          const PairRows<T>& out) const {
    with(batch, centres, [&](const Environments& in) { local::differentiate_pairs(self(), in, n_threads, out); });
}

} // namespace atomprint
