#include "matrices.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <string>

#include "aligned.hpp"
#include "dispatch.hpp"
#include "lattice.hpp"
#include "parallel.hpp"

namespace atomprint {

namespace {

// Memory of one thread: the structure at hand, and its matrix.
struct Workspace {
    std::size_t n = 0, stride = 0;
    AlignedVector<double> matrix, charge, position, fractional, norms, values, scratch;
    std::vector<std::int32_t> order;

    void load(const Structure& s) {
        n = s.n_atoms;
        stride = (n + matrix_tile - 1) / matrix_tile * matrix_tile;
        grow(matrix, stride * stride), grow(charge, stride), grow(position, 3 * stride);
        for (std::size_t i = 0; i < stride; ++i) {
            charge[i] = i < n ? s.numbers[i] : 0.0;
            for (int c = 0; c < 3; ++c)
                position[c * stride + i] = i < n ? s.positions[3 * i + c] : 0.0;
        }
    }

    // Move all atoms into the cell, and find their fractional coordinates.
    void wrap(const Lattice& lattice) {
        grow(fractional, 3 * stride);
        for (std::size_t i = 0; i < stride; ++i) {
            Vec3 r{position[i], position[stride + i], position[2 * stride + i]};
            lattice.wrap(r);
            for (int k = 0; k < 3; ++k) {
                position[k * stride + i] = r[k];
                fractional[k * stride + i] = dot(lattice.inverse[k], r);
            }
        }
    }

    MatrixAtoms atoms() const { return {n, stride, charge.data(), position.data(), fractional.data()}; }

    template <class V>
    static void grow(V& values, std::size_t size) {
        if (values.size() < size)
            values.resize(size);
    }
};

// The polynomial fit to the energies of free atoms that stands on the diagonal of Coulomb and sine matrices.
void set_diagonal(Workspace& w) {
    static const auto table = [] {
        std::array<double, 119> values{};
        for (std::size_t z = 0; z < values.size(); ++z)
            values[z] = 0.5 * std::pow(static_cast<double>(z), 2.4);
        return values;
    }();
    for (std::size_t i = 0; i < w.n; ++i)
        w.matrix[i * w.stride + i] = table[static_cast<std::size_t>(w.charge[i])];
}

void sort_rows(Workspace& w, const double* noise) {
    const std::size_t n = w.n;
    Workspace::grow(w.norms, n), Workspace::grow(w.order, n);
    for (std::size_t i = 0; i < n; ++i) {
        const double* row = w.matrix.data() + i * w.stride;
        w.norms[i] = std::sqrt(std::inner_product(row, row + n, row, 0.0)) + (noise ? noise[i] : 0.0);
    }
    const auto begin = w.order.begin(), end = begin + static_cast<std::ptrdiff_t>(n);
    std::iota(begin, end, 0);
    std::sort(begin, end,
              [&](auto a, auto b) { return w.norms[a] != w.norms[b] ? w.norms[a] > w.norms[b] : a < b; });
    for (auto first = begin; first != end;) { // runs of rows that are equal but for rounding
        auto last = first + 1;
        while (last != end && w.norms[*(last - 1)] - w.norms[*last] <= equal_norms * std::abs(w.norms[*last]))
            ++last;
        std::sort(first, last);
        first = last;
    }
}

// Write the features of one structure.
template <class T>
void write(Workspace& w, const MatrixFeatures<T>& out, std::size_t structure) {
    const std::size_t n = w.n, n_max = out.n_max;
    if (out.permutation == Permutation::eigenspectrum) {
        Workspace::grow(w.values, n), Workspace::grow(w.scratch, 3 * w.stride);
        if (!kernels().matrices.eigenvalues(w.matrix.data(), n, w.stride, w.values.data(), w.scratch.data()))
            throw std::runtime_error("structure " + std::to_string(structure) +
                                     ": the eigenvalues did not converge");
        std::sort(w.values.begin(), w.values.begin() + static_cast<std::ptrdiff_t>(n),
                  [](double a, double b) {
                      return std::abs(a) != std::abs(b) ? std::abs(a) > std::abs(b) : a > b;
                  });
        T* row = out.data + structure * n_max;
        for (std::size_t i = 0; i < n_max; ++i)
            row[i] = i < n ? static_cast<T>(w.values[i]) : T{};
        return;
    }
    T* to = out.data + structure * n_max * n_max;
    if (out.permutation == Permutation::none) {
        for (std::size_t i = 0; i < n; ++i, to += n_max) {
            const double* row = w.matrix.data() + i * w.stride;
            std::fill(std::copy(row, row + n, to), to + n_max, T{});
        }
    } else {
        sort_rows(w, out.permutation == Permutation::random ? out.noise + structure * n_max : nullptr);
        for (std::size_t i = 0; i < n; ++i, to += n_max) {
            const double* row = w.matrix.data() + static_cast<std::size_t>(w.order[i]) * w.stride;
            for (std::size_t j = 0; j < n; ++j)
                to[j] = static_cast<T>(row[w.order[j]]);
            std::fill(to + n, to + n_max, T{});
        }
    }
    std::fill(to, to + (n_max - n) * n_max, T{});
}

// fill(structure, workspace, index, worker) writes the matrix of one structure, whose atoms are loaded.
template <class T, class Fill>
void for_each_matrix(const Batch& batch, const MatrixFeatures<T>& out, int n_threads, const Fill& fill) {
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        if (batch[s].n_atoms > out.n_max)
            throw std::invalid_argument("structure " + std::to_string(s) +
                                        " has more atoms than n_atoms_max");
    std::vector<Workspace> workspaces(static_cast<std::size_t>(std::max(n_threads, 1)));
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int worker) {
        Workspace& w = workspaces[static_cast<std::size_t>(worker)];
        const Structure structure = batch[s];
        w.load(structure);
        fill(structure, w, s, worker);
        write(w, out, s);
    });
}

// The two lattice sums are for unit charges; here come the charges, the background and the self-energy.
void complete_ewald(Workspace& w, double a, double volume) {
    const double background = std::numbers::pi / (volume * a * a), self = a * std::numbers::inv_sqrtpi;
    if (!std::isfinite(background))
        throw std::length_error("a is too small for the cell: the energy of the background overflows");
    for (std::size_t i = 0; i < w.n; ++i) {
        double* row = w.matrix.data() + i * w.stride;
        const double charge = w.charge[i];
        row[i] = charge * charge * (0.5 * (row[i] - background) - self);
        for (std::size_t j = i + 1; j < w.n; ++j) {
            row[j] = charge * w.charge[j] * (row[j] - background);
            w.matrix[j * w.stride + i] = row[j];
        }
    }
}

} // namespace

template <class T>
void coulomb_features(const Batch& batch, const MatrixFeatures<T>& out, int n_threads) {
    for_each_matrix(batch, out, n_threads, [](const Structure&, Workspace& w, std::size_t, int) {
        kernels().matrices.coulomb(w.atoms(), w.matrix.data());
        set_diagonal(w);
    });
}

template <class T>
void sine_features(const Batch& batch, const MatrixFeatures<T>& out, int n_threads) {
    for_each_matrix(batch, out, n_threads, [](const Structure& structure, Workspace& w, std::size_t, int) {
        w.wrap(Lattice(structure));
        kernels().matrices.sine(w.atoms(), structure.cell, w.matrix.data());
        set_diagonal(w);
    });
}

template <class T>
void ewald_features(const Batch& batch, const EwaldParameters* parameters, const MatrixFeatures<T>& out,
                    int n_threads) {
    std::vector<EwaldSums> sums(static_cast<std::size_t>(std::max(n_threads, 1)));
    for_each_matrix(batch, out, n_threads,
                    [&](const Structure& structure, Workspace& w, std::size_t s, int worker) {
                        const Lattice lattice(structure);
                        w.wrap(lattice);
                        sums[static_cast<std::size_t>(worker)].compute(w.atoms(), lattice, parameters[s],
                                                                       w.matrix.data());
                        complete_ewald(w, parameters[s].a, lattice.volume);
                    });
}

template void coulomb_features(const Batch&, const MatrixFeatures<double>&, int);
template void coulomb_features(const Batch&, const MatrixFeatures<float>&, int);
template void sine_features(const Batch&, const MatrixFeatures<double>&, int);
template void sine_features(const Batch&, const MatrixFeatures<float>&, int);
template void ewald_features(const Batch&, const EwaldParameters*, const MatrixFeatures<double>&, int);
template void ewald_features(const Batch&, const EwaldParameters*, const MatrixFeatures<float>&, int);

} // namespace atomprint
