#include "matrices/matrices.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

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

// Atoms whose rows of derivatives are in memory at once.
constexpr std::size_t rows_together = 32;

// Memory of one thread.
template <class Kind>
struct Worker {
    explicit Worker(const Kind& like) : kind(like) {}

    Kind kind;
    MatrixWorkspace w;
    AlignedVector<double> weights;  // (stride, stride), of the elements
    AlignedVector<double> gradient; // (3, stride)
    AlignedVector<double> scaled;   // (n, stride), eigenvectors
    AlignedVector<double> rows, turned, product;
    std::vector<std::int32_t> atoms;
};

// Load a structure, and write its features if asked. Afterwards the order of its rows is known, or its
// eigenvectors.
template <class T, class Kind>
void prepare(Worker<Kind>& worker, const Structure& structure, std::size_t s, const MatrixFeatures<T>& out) {
    MatrixWorkspace& w = worker.w;
    w.load(structure);
    worker.kind.begin(structure, s, w);
    if (out.data || out.permutation != Permutation::none)
        worker.kind.fill(w);
    w.arrange(out.permutation, nullptr, true, s);
    if (out.data)
        w.write(out, s);
}

// Add left^T right, of arrays with `depth` rows and whole tiles, to out; the upper triangle only if asked.
void add_product(const double* left, std::size_t n_left, const double* right, std::size_t n_right, std::size_t depth,
                 double* out, bool upper = false) {
    for (std::size_t i = 0; i < n_left; i += matrix_tile)
        for (std::size_t j = upper ? i : 0; j < n_right; j += matrix_tile)
            kernels().matrices.add_product(left + i, n_left, right + j, n_right, depth, out + i * n_right + j, n_right);
}

// Calls visit(i, j) for all j > i, in an order that reads both triangles along cache lines.
template <class Visit>
void for_upper_triangle(std::size_t n, const Visit& visit) {
    for (std::size_t a = 0; a < n; a += matrix_tile)
        for (std::size_t b = a; b < n; b += matrix_tile)
            for (std::size_t i = a; i < std::min(a + matrix_tile, n); ++i)
                for (std::size_t j = std::max(b, i + 1); j < std::min(b + matrix_tile, n); ++j)
                    visit(i, j);
}

// Symmetric weights of the elements such that sum_ij weights_ij dM_ij is the change of the features times
// their cotangents.
template <class T, class Kind>
void weigh_elements(Worker<Kind>& worker, const MatrixFeatures<T>& features, const T* cotangents) {
    const MatrixWorkspace& w = worker.w;
    const std::size_t n = w.n, ld = w.stride;
    grow(worker.weights, ld * ld);
    double* weights = worker.weights.data();
    std::fill_n(weights, ld * ld, 0.0);
    if (features.permutation == Permutation::eigenspectrum) {
        grow(worker.scaled, n * ld);
        for (std::size_t k = 0; k < n; ++k) {
            const auto from = static_cast<std::size_t>(w.order[k]) * ld;
            for (std::size_t i = 0; i < ld; ++i)
                worker.scaled[from + i] = static_cast<double>(cotangents[k]) * w.vectors[from + i];
        }
        add_product(worker.scaled.data(), ld, w.vectors.data(), ld, n, weights, true);
        for_upper_triangle(n, [&](std::size_t i, std::size_t j) { weights[j * ld + i] = weights[i * ld + j]; });
        return;
    }
    for (std::size_t p = 0; p < n; ++p) {
        double* row = weights + static_cast<std::size_t>(w.order[p]) * ld;
        for (std::size_t q = 0; q < n; ++q)
            row[w.order[q]] = static_cast<double>(cotangents[p * features.n_max + q]);
    }
    for_upper_triangle(n, [&](std::size_t i, std::size_t j) {
        weights[i * ld + j] = weights[j * ld + i] = 0.5 * (weights[i * ld + j] + weights[j * ld + i]);
    });
}

template <class T, class Kind>
std::vector<Worker<Kind>> make_workers(const Batch& batch, const Kind& kind, const MatrixFeatures<T>& features,
                                       int n_threads) {
    check_sizes(batch, features.n_max);
    return {static_cast<std::size_t>(std::max(n_threads, 1)), Worker<Kind>(kind)};
}

template <class T, class Kind>
void vjp(const Batch& batch, const Kind& kind, const MatrixFeatures<T>& features, const MatrixGradient<T>& out,
         int n_threads) {
    const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
    auto workers = make_workers(batch, kind, features, n_threads);
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int index) {
        Worker<Kind>& worker = workers[static_cast<std::size_t>(index)];
        const MatrixWorkspace& w = worker.w;
        prepare(worker, batch[s], s, features);
        for (std::size_t j = 0; j < out.n_cotangents; ++j) {
            const std::size_t place = j * batch.n_structures + s;
            weigh_elements(worker, features, out.cotangents + place * features.n_features());

            grow(worker.gradient, 3 * w.stride);
            std::fill_n(worker.gradient.begin(), 3 * w.stride, 0.0);
            double strain[6]{};
            worker.kind.contract(w, worker.weights.data(), worker.gradient.data(), out.strain ? strain : nullptr);

            double* to = out.positions + 3 * (j * n_atoms + static_cast<std::size_t>(batch.offsets[s]));
            for (std::size_t i = 0; i < w.n; ++i)
                for (std::size_t c = 0; c < 3; ++c)
                    to[3 * i + c] = worker.gradient[c * w.stride + i];
            if (out.strain)
                for (int v = 0; v < 6; ++v) {
                    const auto [a, b] = voigt[v];
                    double* const of_one = out.strain + 9 * place;
                    of_one[3 * a + b] = of_one[3 * b + a] = strain[v];
                }
        }
    });
}

// Calls visit(first, n, rows) with the derivatives of the rows of worker.atoms[first] and the next, up to
// rows_together of them: (n, 3, stride) by their positions, or (n, 6, stride) by strain.
template <class Kind, class Visit>
void for_rows(Worker<Kind>& worker, bool by_strain, const Visit& visit) {
    const std::size_t components = by_strain ? 6 : 3, ld = worker.w.stride;
    for (std::size_t first = 0; first < worker.atoms.size(); first += rows_together) {
        poll();
        const std::size_t n = std::min(rows_together, worker.atoms.size() - first);
        const std::int32_t* atoms = worker.atoms.data() + first;
        grow(worker.rows, components * rows_together * ld);
        double* rows = worker.rows.data();
        worker.kind.rows(worker.w, atoms, n, by_strain ? nullptr : rows, by_strain ? rows : nullptr);
        visit(first, n, static_cast<const double*>(rows));
    }
}

// Turn rows (n_rows, stride) over atoms j into rows over eigenvectors, in the order of the features:
// (n_rows, stride), by the product with `basis` (n, stride).
template <class Kind>
const double* project(Worker<Kind>& worker, const double* rows, std::size_t n_rows, const double* basis) {
    const std::size_t n = worker.w.n, ld = worker.w.stride;
    const std::size_t padded = (n_rows + matrix_tile - 1) / matrix_tile * matrix_tile;
    grow(worker.turned, n * padded), grow(worker.product, padded * ld);
    std::fill_n(worker.product.begin(), padded * ld, 0.0);
    for (std::size_t j = 0; j < n; ++j)
        for (std::size_t r = 0; r < padded; ++r)
            worker.turned[j * padded + r] = r < n_rows ? rows[r * ld + j] : 0.0;
    add_product(worker.turned.data(), padded, basis, ld, n, worker.product.data());
    return worker.product.data();
}

template <class T, class Kind>
void jacobian(const Batch& batch, const Kind& kind, const MatrixFeatures<T>& features, const MatrixJacobian<T>& out,
              int n_threads) {
    const std::size_t n_features = features.n_features(), n_max = features.n_max;
    const bool spectrum = features.permutation == Permutation::eigenspectrum;
    auto workers = make_workers(batch, kind, features, n_threads);
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int index) {
        Worker<Kind>& worker = workers[static_cast<std::size_t>(index)];
        const MatrixWorkspace& w = worker.w;
        prepare(worker, batch[s], s, features);
        const std::size_t n = w.n, ld = w.stride;

        // Feature row of each atom, or element j of each eigenvector in row j.
        std::vector<std::size_t> place(n);
        if (spectrum) {
            grow(worker.scaled, n * ld);
            for (std::size_t j = 0; j < n; ++j)
                for (std::size_t k = 0; k < ld; ++k)
                    worker.scaled[j * ld + k] = k < n ? w.vectors[static_cast<std::size_t>(w.order[k]) * ld + j] : 0.0;
        } else {
            for (std::size_t p = 0; p < n; ++p)
                place[static_cast<std::size_t>(w.order[p])] = p;
        }
        const double* basis = worker.scaled.data();

        if (out.positions) {
            const std::int64_t* slots = out.slots + batch.offsets[s];
            worker.atoms.clear();
            for (std::size_t i = 0; i < n; ++i)
                if (slots[i] >= 0)
                    worker.atoms.push_back(static_cast<std::int32_t>(i));
            for_rows(worker, false, [&](std::size_t first, std::size_t n_rows, const double* rows) {
                if (spectrum)
                    rows = project(worker, rows, 3 * n_rows, basis);
                for (std::size_t r = 0; r < n_rows; ++r) {
                    const auto i = static_cast<std::size_t>(worker.atoms[first + r]);
                    T* to = out.positions + 3 * n_features * static_cast<std::size_t>(out.row_offsets[s] + slots[i]);
                    for (std::size_t c = 0; c < 3; ++c, to += n_features) {
                        const double* row = rows + (3 * r + c) * ld;
                        if (spectrum) // i stands in a row and in a column
                            for (std::size_t k = 0; k < n; ++k)
                                to[k] = static_cast<T>(2.0 * basis[i * ld + k] * row[k]);
                        else
                            for (std::size_t j = 0; j < n; ++j)
                                to[place[i] * n_max + place[j]] = to[place[j] * n_max + place[i]] =
                                    static_cast<T>(row[j]);
                    }
                }
            });
        }

        if (out.strain) {
            T* to = out.strain + 9 * n_features * s;
            worker.atoms.resize(n);
            for (std::size_t i = 0; i < n; ++i)
                worker.atoms[i] = static_cast<std::int32_t>(i);
            std::vector<double> sums(spectrum ? 6 * n : 0);
            for_rows(worker, true, [&](std::size_t first, std::size_t n_rows, const double* rows) {
                if (spectrum)
                    rows = project(worker, rows, 6 * n_rows, basis);
                for (std::size_t r = 0; r < n_rows; ++r)
                    for (std::size_t v = 0; v < 6; ++v) {
                        const std::size_t i = first + r;
                        const double* row = rows + (6 * r + v) * ld;
                        if (spectrum) {
                            for (std::size_t k = 0; k < n; ++k)
                                sums[v * n + k] += basis[i * ld + k] * row[k];
                            continue;
                        }
                        const auto [a, b] = voigt[v];
                        for (std::size_t j = 0; j < n; ++j) {
                            const std::size_t f = place[i] * n_max + place[j];
                            to[(3 * a + b) * n_features + f] = to[(3 * b + a) * n_features + f] =
                                static_cast<T>(row[j]);
                        }
                    }
            });
            for (std::size_t v = 0; v < 6 && spectrum; ++v) {
                const auto [a, b] = voigt[v];
                for (std::size_t k = 0; k < n; ++k)
                    to[(3 * a + b) * n_features + k] = to[(3 * b + a) * n_features + k] =
                        static_cast<T>(sums[v * n + k]);
            }
        }
    });
}

// Calls body with an object of the kind of matrix that is asked for.
template <class Body>
void with_kind(const MatrixInput& in, const Body& body) {
    switch (in.kind) {
    case MatrixKind::coulomb:
        return body(CoulombKind());
    case MatrixKind::sine:
        return body(SineKind());
    case MatrixKind::ewald:
        return body(EwaldKind(in.ewald.data()));
    }
}

} // namespace

void check_sizes(const Batch& batch, std::size_t n_max) {
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        if (batch[s].n_atoms > n_max)
            throw StructureError(s, "has more atoms than n_atoms_max");
}

template <class T>
void matrix_features(const MatrixInput& in, const MatrixFeatures<T>& out, int n_threads) {
    with_kind(in, [&](const auto& kind) { features(in.batch, kind, out, n_threads); });
}

template <class T>
void matrix_vjp(const MatrixInput& in, const MatrixFeatures<T>& features, const MatrixGradient<T>& gradient,
                int n_threads) {
    with_kind(in, [&](const auto& kind) { vjp(in.batch, kind, features, gradient, n_threads); });
}

template <class T>
void matrix_jacobian(const MatrixInput& in, const MatrixFeatures<T>& features, const MatrixJacobian<T>& derivatives,
                     int n_threads) {
    with_kind(in, [&](const auto& kind) { jacobian(in.batch, kind, features, derivatives, n_threads); });
}

#define ATOMPRINT_INSTANTIATE(T)                                                                                       \
    template void matrix_features(const MatrixInput&, const MatrixFeatures<T>&, int);                                  \
    template void matrix_vjp(const MatrixInput&, const MatrixFeatures<T>&, const MatrixGradient<T>&, int);             \
    template void matrix_jacobian(const MatrixInput&, const MatrixFeatures<T>&, const MatrixJacobian<T>&, int);
ATOMPRINT_INSTANTIATE(double)
ATOMPRINT_INSTANTIATE(float)
#undef ATOMPRINT_INSTANTIATE

} // namespace atomprint
