// One matrix at a time: its atoms, its elements, and how these become features.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/aligned.hpp"
#include "core/batch.hpp"
#include "core/dispatch.hpp"
#include "core/lattice.hpp"
#include "core/pairs.hpp"
#include "matrices/canonical.hpp"
#include "matrices/matrices.hpp"

namespace atomprint {

// Memory of one thread.
struct MatrixWorkspace {
    std::size_t n = 0, stride = 0;
    AlignedVector<double> charge, position, fractional; // padded to `stride`; see MatrixAtoms
    AlignedVector<double> matrix;                       // (stride, stride), both triangles
    std::vector<std::int32_t> order, ends;              // atom that row p of the features stands for; ends of runs
    CanonicalOrder canonical;
    AlignedVector<double> values, vectors; // (n) eigenvalues and (n, stride) eigenvectors
    AlignedVector<double> norms, scratch;

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

    // Find the order of the rows, or the eigenvalues in the order of the features, and if asked the
    // eigenvectors; the eigenvalues destroy the matrix. `noise` (n_max) is for `random`.
    void arrange(Permutation permutation, const double* noise, bool eigenvectors, std::size_t structure) {
        grow(order, n);
        std::iota(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), 0);
        if (permutation == Permutation::eigenspectrum)
            diagonalise(eigenvectors, structure);
        else if (permutation != Permutation::none)
            sort_rows(permutation == Permutation::random ? noise : nullptr);
    }

    // Write the features of one structure, which is arranged.
    template <class T>
    void write(const MatrixFeatures<T>& out, std::size_t structure) const {
        const std::size_t n_max = out.n_max;
        if (out.permutation == Permutation::eigenspectrum) {
            T* row = out.data + structure * n_max;
            for (std::size_t i = 0; i < n_max; ++i)
                row[i] = i < n ? static_cast<T>(values[i]) : T{};
            return;
        }
        T* to = out.data + structure * n_max * n_max;
        for (std::size_t p = 0; p < n; ++p, to += n_max) {
            const double* row = matrix.data() + static_cast<std::size_t>(order[p]) * stride;
            if (out.permutation == Permutation::none)
                std::copy(row, row + n, to);
            else
                for (std::size_t q = 0; q < n; ++q)
                    to[q] = static_cast<T>(row[order[q]]);
            std::fill(to + n, to + n_max, T{});
        }
        std::fill(to, to + (n_max - n) * n_max, T{});
    }

private:
    void sort_rows(const double* noise) {
        grow(norms, n);
        for (std::size_t i = 0; i < n; ++i) {
            const double* row = matrix.data() + i * stride;
            norms[i] = std::sqrt(std::inner_product(row, row + n, row, 0.0)) + (noise ? noise[i] : 0.0);
        }
        const auto begin = order.begin(), end = begin + static_cast<std::ptrdiff_t>(n);
        std::sort(begin, end, [&](auto a, auto b) { return norms[a] != norms[b] ? norms[a] > norms[b] : a < b; });
        if (noise)
            return;
        ends.assign(n, 0);
        bool alike = false;
        for (auto first = begin; first != end;) { // runs of rows that are equal but for rounding
            auto last = first + 1;
            while (last != end && norms[*(last - 1)] - norms[*last] <= equal_rows * std::abs(norms[*last]))
                ++last;
            ends[static_cast<std::size_t>(first - begin)] = static_cast<std::int32_t>(last - begin);
            alike |= last - first > 1;
            first = last;
        }
        if (alike)
            canonical.sort(matrix.data(), n, stride, ends, equal_rows, order.data());
    }

    void diagonalise(bool eigenvectors, std::size_t structure) {
        grow(values, n), grow(scratch, 6 * stride);
        bool converged;
        if (eigenvectors) {
            grow(vectors, stride * stride);
            converged = kernels().matrices.eigenvectors(matrix.data(), n, stride, values.data(), vectors.data(),
                                                        scratch.data());
        } else {
            converged = kernels().matrices.eigenvalues(matrix.data(), n, stride, values.data(), scratch.data());
        }
        if (!converged)
            throw StructureError(structure, "the eigenvalues of the matrix did not converge");
        const auto before = [](double a, double b) {
            return std::abs(a) != std::abs(b) ? std::abs(a) > std::abs(b) : a > b;
        };
        const auto size = static_cast<std::ptrdiff_t>(n);
        if (eigenvectors) {
            std::sort(order.begin(), order.begin() + size,
                      [&](auto a, auto b) { return values[a] != values[b] ? before(values[a], values[b]) : a < b; });
            std::copy_n(values.begin(), n, scratch.begin());
            for (std::size_t k = 0; k < n; ++k)
                values[k] = scratch[order[k]];
        } else {
            std::sort(values.begin(), values.begin() + size, before);
        }
    }
};

} // namespace atomprint
