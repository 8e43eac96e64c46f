#include "matrices/matrices.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/parallel.hpp"
#include "matrices/matrix_kinds.hpp"

namespace atomprint {

namespace {

template <class T, class Kind>
void features(const Batch& batch, const Kind& kind, const MatrixFeatures<T>& out, int n_threads) {
    check_sizes(batch, out.n_max);
    const auto n_workers = static_cast<std::size_t>(std::max(n_threads, 1));
    std::vector<MatrixWorkspace> workspaces(n_workers);
    std::vector<Kind> kinds(n_workers, kind);
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int worker) {
        MatrixWorkspace& w = workspaces[static_cast<std::size_t>(worker)];
        Kind& of_thread = kinds[static_cast<std::size_t>(worker)];
        const Structure structure = batch[s];
        w.load(structure);
        of_thread.begin(structure, s, w);
        of_thread.fill(w);
        w.arrange(out.permutation, out.noise ? out.noise + s * out.n_max : nullptr, false, s);
        w.write(out, s);
    });
}

} // namespace

void check_sizes(const Batch& batch, std::size_t n_max) {
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        if (batch[s].n_atoms > n_max)
            throw std::invalid_argument("structure " + std::to_string(s) +
                                        " has more atoms than n_atoms_max");
}

template <class T>
void coulomb_features(const Batch& batch, const MatrixFeatures<T>& out, int n_threads) {
    features(batch, CoulombKind(), out, n_threads);
}

template <class T>
void sine_features(const Batch& batch, const MatrixFeatures<T>& out, int n_threads) {
    features(batch, SineKind(), out, n_threads);
}

template <class T>
void ewald_features(const Batch& batch, const EwaldParameters* parameters, const MatrixFeatures<T>& out,
                    int n_threads) {
    features(batch, EwaldKind(parameters), out, n_threads);
}

template void coulomb_features(const Batch&, const MatrixFeatures<double>&, int);
template void coulomb_features(const Batch&, const MatrixFeatures<float>&, int);
template void sine_features(const Batch&, const MatrixFeatures<double>&, int);
template void sine_features(const Batch&, const MatrixFeatures<float>&, int);
template void ewald_features(const Batch&, const EwaldParameters*, const MatrixFeatures<double>&, int);
template void ewald_features(const Batch&, const EwaldParameters*, const MatrixFeatures<float>&, int);

} // namespace atomprint
