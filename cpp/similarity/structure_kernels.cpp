#include "similarity/structure_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "core/aligned.hpp"
#include "core/dispatch.hpp"
#include "core/parallel.hpp"

namespace atomprint {

namespace {

// Pairs that one thread takes at a time: most are so small that asking for work would cost more.
constexpr std::size_t run = 16;

} // namespace

Mismatch compare_structures(const Comparison& comparison, const LocalKernel& kernel, std::optional<double> alpha,
                            double threshold, double* out, int n_threads) {
    const SimilarityKernels& kernels = atomprint::kernels().similarities;
    struct Scratch {
        AlignedVector<double> c, rest;
    };
    std::vector<Scratch> scratch(static_cast<std::size_t>(std::max(n_threads, 1)));
    std::mutex mutex;
    Mismatch worst{Match::found, comparison.n_pairs};
    const auto compare = [&](std::size_t p, Scratch& own) {
        const StructurePair& pair = comparison.pairs[p];
        const auto n = static_cast<std::size_t>(pair.n), m = static_cast<std::size_t>(pair.m);
        const std::size_t stride = kernels.padded(m);
        grow(own.c, n * stride);
        const bool squares = kernel.kind == LocalKernel::rbf;
        kernels.local(kernel, comparison.products + pair.first, static_cast<std::size_t>(pair.ld), n, m,
                      squares ? comparison.x_squares + pair.x : nullptr,
                      squares ? comparison.y_squares + pair.y : nullptr, own.c.data(), stride);
        if (!alpha) {
            out[p] = kernels.sum(own.c.data(), n, m, stride) / (static_cast<double>(n) * static_cast<double>(m));
            return std::isfinite(out[p]) ? Match::found : Match::not_finite;
        }
        grow(own.rest, kernels.scratch_size(n, m));
        return kernels.match(own.c.data(), n, m, *alpha, threshold, own.rest.data(), out + p);
    };
    parallel_for((comparison.n_pairs + run - 1) / run, n_threads, [&](std::size_t k, int worker) {
        const std::size_t end = std::min((k + 1) * run, comparison.n_pairs);
        for (std::size_t p = k * run; p < end; ++p) {
            const Match match = compare(p, scratch[static_cast<std::size_t>(worker)]);
            if (match == Match::found)
                continue;
            const std::scoped_lock lock(mutex);
            if (p < worst.pair)
                worst = {match, p};
        }
    });
    return worst;
}

} // namespace atomprint
