// Energies, forces and strain derivatives of potentials that are sums over the atoms of functions of the vectors to
// their neighbours: the loop over structures and atoms, which all of them share.
#pragma once

#include <algorithm>
#include <any>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/centres.hpp"
#include "core/parallel.hpp"
#include "core/scatter.hpp"
#include "core/species.hpp"
#include "potentials/kept_pairs.hpp"

namespace atomprint {

// What is written, entirely: energies in eV, derivatives by positions in eV/Å, and by strain in eV.
struct PotentialOut {
    double* energies; // (n_atoms)
    double* gradient; // (n_atoms, 3)
    double* strain;   // (n_structures, 3, 3)
};

// Where a run of atoms adds the derivatives of its energies.
struct GradientPart {
    std::vector<double> numbers;                              // of the atoms of the structure, then of the strain
    double nearest = std::numeric_limits<double>::infinity(); // of what a potential may look for

    explicit GradientPart(std::size_t n_atoms) : numbers(3 * n_atoms + 9, 0.0) {}

    // The derivatives of the energy of an atom by the vectors to its neighbours.
    void add(std::int32_t atom, const std::int32_t* atom_of_image, const AtomNeighbours& found,
             const double* const (&by)[3]) {
        add(atom, atom_of_image, {found.n, found.image.data(), found.x.data(), found.y.data(), found.z.data()}, by);
    }
    void add(std::int32_t atom, const std::int32_t* atom_of_image, const NeighbourList& found,
             const double* const (&by)[3]) {
        add_gradient(atom_of_image, atom, found, {by[0], by[1], by[2]}, numbers.data(),
                     numbers.data() + numbers.size() - 9);
    }
};

// The structures that a potential is asked about again and again: their pairs, kept with a skin.
struct KeptPairsOfBatch {
    KeptPairsOfBatch(std::size_t n_structures, double cutoff, double skin)
        : cutoff(cutoff), pairs(n_structures, KeptPairs(cutoff, skin)) {}

    double cutoff;
    std::vector<KeptPairs> pairs;
    std::size_t n_lists = 0; // how often pairs of a structure were listed
    std::any memory;         // of the threads of the last call: for a few atoms making it takes longer than its use
};

// A potential M has species() and cutoff(); M::Workspace, the memory of a thread; M::group, how many atoms of one kind
// it takes best together; and add(workspace, pairs, kind, atoms, n, energies, part), which writes the energies of
// atoms of one kind and adds their derivatives. No result depends on the number of threads. Returns the smallest
// GradientPart::nearest.
template <class M>
double evaluate(const M& model, const Batch& batch, KeptPairsOfBatch* kept, int n_threads, const PotentialOut& out) {
    struct Site {
        std::once_flag once;
        std::unique_ptr<KeptPairs> own;
        KeptPairs* pairs = nullptr;
        std::atomic<int> left{0};
    };
    const std::vector<std::int32_t> kinds = model.species().of(batch);
    const auto sites = std::make_unique<Site[]>(batch.n_structures);
    std::vector<double> nearest; // of each run
    std::vector<CentreRun> runs; // from `begin` to `end` in the order of the pairs
    for (std::size_t s = 0; s < batch.n_structures; ++s) {
        const std::int64_t n = batch.offsets[s + 1] - batch.offsets[s];
        if (n == 0)
            std::fill_n(out.strain + 9 * s, 9, 0.0);
        const auto parts = std::min<std::int64_t>((n + centres_per_task - 1) / centres_per_task,
                                                  static_cast<std::int64_t>(parts_of_sum));
        // Whole groups, where all are of one kind.
        const auto cut = [&](std::int64_t k) { return k == parts ? n : n * k / parts / M::group * M::group; };
        for (std::int64_t k = 0; k < parts; ++k)
            runs.push_back({s, cut(k), cut(k + 1), static_cast<std::size_t>(k)});
        sites[s].left = static_cast<int>(parts);
    }
    nearest.resize(runs.size());
    using Memory = std::shared_ptr<std::vector<typename M::Workspace>>;
    const Memory* const before = kept ? std::any_cast<Memory>(&kept->memory) : nullptr;
    const Memory memory = before ? *before : std::make_shared<typename Memory::element_type>();
    if (kept)
        kept->memory.reset(); // what a call leaves that fails is not used again
    std::vector<typename M::Workspace>& workspaces = *memory;
    workspaces.resize(std::max(workspaces.size(), static_cast<std::size_t>(std::max(n_threads, 1))));
    SumsOfRuns<std::vector<double>> sums(batch.n_structures);
    std::atomic<std::size_t> n_lists{0};
    parallel_for(runs.size(), n_threads, [&](std::size_t index, int worker) {
        const CentreRun& run = runs[index];
        const std::size_t s = run.structure;
        const Structure structure = batch[s];
        const std::int32_t* const kind = kinds.data() + batch.offsets[s];
        Site& site = sites[s];
        std::call_once(site.once, [&] {
            if (kept) {
                site.pairs = &kept->pairs[s];
            } else {
                site.own = std::make_unique<KeptPairs>(model.cutoff(), 0.0);
                site.pairs = site.own.get();
            }
            if (structure.periodic() && Lattice(structure).volume == 0.0)
                throw StructureError(s, "cell must have a non-zero volume");
            try {
                n_lists += site.pairs->update(structure, kind);
            } catch (const TooManyImages& error) {
                throw StructureError(s, std::string(error.what()) + ": r_cut is too large for this cell");
            } catch (const TooFarAway& error) {
                throw StructureError(s, error.what());
            }
        });
        GradientPart part(structure.n_atoms);
        const std::vector<std::int32_t>& order = site.pairs->order();
        for (std::int64_t first = run.begin; first < run.end;) {
            std::int64_t last = first + 1;
            while (last < run.end && last - first < M::group && kind[order[last]] == kind[order[first]])
                ++last;
            poll();
            model.add(workspaces[static_cast<std::size_t>(worker)], *site.pairs, kind[order[first]],
                      order.data() + first, static_cast<int>(last - first), out.energies + batch.offsets[s], part);
            first = last;
        }
        nearest[index] = part.nearest;
        sums.put(run, std::move(part.numbers));
        if (--site.left > 0)
            return;
        site.own.reset();
        const std::vector<double> sum = sums.take(s);
        std::copy_n(sum.begin(), 3 * structure.n_atoms, out.gradient + 3 * batch.offsets[s]);
        std::copy_n(sum.end() - 9, 9, out.strain + 9 * s);
    });
    if (kept) {
        kept->n_lists += n_lists;
        kept->memory = memory;
    }
    return nearest.empty() ? GradientPart(0).nearest : *std::min_element(nearest.begin(), nearest.end());
}

} // namespace atomprint
